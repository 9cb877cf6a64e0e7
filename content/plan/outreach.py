"""How the word gets out: site, social media (pushes, quizzes, surveys, lottery), press, offline, words and menu.

Times of pushes stay local wall time, because people read them so; fixed deadlines are instants.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from content.plan.terms import Benefit, Clock, Count, Fen, Id, Share, Span, Table, amount, instead, refuse, term
from content.plan.texts import Caption, Digest, File, Headline, Long, MenuLabel, Name, Public, Says, SubLabel, Taps, Url

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)
TOP_PRIZE_FEN = 50_000 * 100
MENU_RULE = ("微信自定义菜单规则", "WeChat custom menu rule")


class Banner(Table):
    """One line of the rolling banner, and where it leads."""

    text: Name = term("文字", "text")
    url: Url = term("网址", "address")


class Site(Table):
    """The campaign page, its pop-up and its rolling banner."""

    line: Id = term("预算科目", "budget line")
    cost: Fen = amount("费用", "cost")
    url: Url = term("活动页网址", "address of the campaign page")
    headline: Name = term("标题", "headline")
    rules: Long = term("活动规则", "rules")
    popup: Long = term("弹窗", "pop-up")
    banners: tuple[Banner, ...] = term("滚动横幅", "rolling banner", min_length=1)


def _local(value: datetime) -> datetime:
    if value.tzinfo:
        raise refuse(
            "推送时间按活动时区写，不带时差", "push times are wall times of the campaign's zone, without offset"
        )
    return value


class News(Table):
    """An article of WeChat's: its body lies beside the plan, a file for each language (`articles/opening.zh.md`)."""

    title: Headline = term("标题", "title")
    digest: Digest | None = instead("摘要", "digest")
    author: Annotated[str, Field(strict=True, max_length=16)] | None = instead("作者", "author")
    body: File = term("正文文件", "file of the body")


class Push(Table):
    """One planned push: once `at` a wall time, or every `weekday` at `hour`."""

    id: Id = term("代号", "id")
    to: Id = term("发给谁", "to whom")  # everyone, members, prospects, referrers, or a segment
    way: Literal["mass", "service", "template"] = term("微信发送方式", "way on WeChat")
    about: Literal["campaign", "service"] = term("内容性质", "what it is about")
    at: Annotated[datetime, AfterValidator(_local)] | None = instead("时间", "at")
    weekday: Weekday | None = instead("每周几", "weekday")
    hour: Clock | None = instead("几点", "hour")
    kind: Literal["text", "poster", "article", "quiz", "lottery"] | None = instead(
        "种类", "kind"
    )  # poster or text as it has one
    poster: File | None = instead("海报", "poster")
    article: News | None = instead("图文", "article")
    text: Caption = term("文案", "text")
    buttons: tuple[Taps, ...] | None = instead("按钮", "buttons")
    channels: tuple[Public, ...] | None = instead("Telegram 频道", "Telegram channels")  # that the bot administers
    latest: Span | None = instead("最迟晚多久开始", "may begin so much later")

    @model_validator(mode="after")
    def _once_or_weekly(self) -> Push:
        if (self.at is None) == (self.weekday is None) or (self.weekday is None) != (self.hour is None):
            raise refuse(
                "要么写 at，要么写 weekday 和 hour",
                "either `at`, or `weekday` and `hour`",
                "例如 at = 2026-11-05T10:00:00",
                'e.g. at = 2026-11-05T10:00:00, or weekday = "fri" and hour = 10:00:00',
            )
        return self

    @model_validator(mode="after")
    def _article_with_its_cover(self) -> Push:
        if self.kind == "article" and self.article is None:
            raise refuse("图文推送要写 article", "an article push needs `article`")
        if self.article and self.kind not in (None, "article"):
            raise refuse("写了 article，种类就是 article", "with `article` the kind is article")
        if self.article and self.poster is None:
            raise refuse("图文要有海报作封面", "an article needs a poster as its cover")
        return self


class Quiz(Table):
    """One quiz: where its questions are, and what a right answer brings."""

    id: Id = term("代号", "id")
    name: Name = term("名称", "name")
    file: File = term("题目文件", "file of questions")
    points_each: Count = amount("每题积分", "points per right answer")
    pass_at: Share = amount("及格线", "share of right answers to pass")
    tries: Count = amount("每人可答几次", "tries per person")


class Survey(Table):
    """One survey: where its questions are, and the points for answering all of it."""

    id: Id = term("代号", "id")
    name: Name = term("名称", "name")
    file: File = term("题目文件", "file of questions")
    points: Count = amount("答完得多少积分", "points for answering all of it")


class Chance(Table):
    """How one earns draws. Sharing and following are known words so that they can be refused with the rule."""

    why: Literal["checkin", "quiz", "joined", "referral", "share", "follow"] = term("凭什么", "earned by")
    draws: Count = amount("抽奖次数", "draws")


class Prize(Table):
    """One prize with what the law wants published: its worth and its number or odds."""

    id: Id = term("代号", "id")
    name: Name = term("奖品", "prize")
    gives: Benefit = amount("内容", "what it gives")
    worth: Fen = amount("单个价值", "worth of one")
    quantity: Count = instead("数量", "quantity")
    odds: Share = instead("中奖概率", "odds")

    @model_validator(mode="after")
    def _lawful(self) -> Prize:
        if self.worth is not None and self.worth > TOP_PRIZE_FEN:
            raise refuse(
                "奖品价值超过 50000 元",
                "a prize is worth more than 50,000 yuan",
                "《反不正当竞争法》：抽奖最高奖不超过五万元",
                "Anti-Unfair Competition Law: the top prize of a draw is at most 50,000 yuan",
            )
        if self.quantity is None and self.odds is None:
            raise refuse(
                "奖品没有公示数量或中奖概率",
                "neither the quantity nor the odds of this prize are published",
                "《规范促销行为暂行规定》（2020-12-01）：填 quantity 或 odds",
                "SAMR order 32 on promotions (2020-12-01): give `quantity` or `odds`",
            )
        return self


class Lottery(Table):
    """The draw, its prizes and its disclosures."""

    line: Id = term("预算科目", "budget line")
    name: Name = term("名称", "name")
    most_a_day: Count = amount("每人每天最多抽几次", "draws per person and day at most")
    claim_within: Span = amount("领奖期限", "time to claim")
    claim: Long = term("领奖方式和条件", "how and on what terms prizes are claimed")
    fallback: Benefit = amount("参与奖", "fallback prize")
    chances: tuple[Chance, ...] = term("抽奖机会", "how draws are earned", min_length=1)
    prizes: tuple[Prize, ...] = term("奖品", "prizes", min_length=1)


class Social(Table):
    """Posters, news and interactive parts on social media."""

    line: Id = term("预算科目", "budget line")
    cost: Fen = amount("费用", "cost")
    quiet_from: Clock = term("免打扰开始", "quiet from")
    quiet_until: Clock = term("免打扰结束", "quiet until")
    most_a_week: Count = amount("每人每周最多收几条", "pushes per person and week at most")
    pushes: tuple[Push, ...] | None = None
    quizzes: tuple[Quiz, ...] | None = None
    surveys: tuple[Survey, ...] | None = None
    lottery: Lottery | None = None


class Article(Table):
    """One article or feature placed with an outside medium; it gets its own trackable link."""

    id: Id = term("代号", "id")
    outlet: Name = term("媒体", "medium")
    title: Name = term("标题", "title")
    on: date = term("刊发日期", "day of publication")
    cost: Fen = amount("费用", "cost")


class Media(Table):
    """Articles and features with outside media."""

    line: Id = term("预算科目", "budget line")
    articles: tuple[Article, ...] = term("稿件", "articles")


class Spot(Table):
    """One promotion spot: a shop, a staffed booth or a property manager's notice; it gets its own code.

    With a `branch` the newcomers it brings belong to that branch: its staff, and those of no branch, look after them.
    """

    id: Id = term("代号", "id")
    kind: Literal["shop", "booth", "property"] = term("类型", "kind")
    name: Name = term("名称", "name")
    poster: File = term("海报", "poster")
    line: Id = term("预算科目", "budget line")
    cost: Fen = amount("费用", "cost")
    branch: Id | None = instead("网点", "branch")


class Offline(Table):
    """Posters and leaflets in shops, booths, notices with property managers."""

    booth_hours: Name = term("摆摊时间", "booth hours")
    spots: tuple[Spot, ...] = term("推广点位", "spots")


class Welcome(Table):
    """What a new follower or visitor is told first, and the picture beside it, if there is one."""

    text: Caption = term("欢迎语", "welcome")
    picture: File | None = instead("图片", "picture")


def _one_target(says: str | None, url: str | None, sub: Any) -> None:
    if sum(target is not None for target in (says, url, sub)) != 1:
        raise refuse(
            "says、url、sub 选一个",
            "exactly one of `says`, `url`, `sub`",
            "says 写用户会发的那句话",
            "`says` is what the person would have typed",
        )


class SubButton(Table):
    """A second-level entry of the WeChat menu."""

    label: SubLabel = term("名称", "label")
    says: Says | None = instead("相当于用户说", "says")
    url: Url | None = instead("打开网页", "opens the page")

    @model_validator(mode="after")
    def _target(self) -> SubButton:
        _one_target(self.says, self.url, None)
        return self


class Button(Table):
    """A first-level entry of the WeChat menu: says something, opens a page, or holds up to five more."""

    label: MenuLabel = term("名称", "label")
    says: Says | None = instead("相当于用户说", "says")
    url: Url | None = instead("打开网页", "opens the page")
    sub: tuple[SubButton, ...] | None = instead("子菜单", "sub-buttons")

    @model_validator(mode="after")
    def _target(self) -> Button:
        _one_target(self.says, self.url, self.sub)
        if self.sub is not None and not 1 <= len(self.sub) <= 5:
            raise refuse("子菜单 1 到 5 个", "a menu button holds 1 to 5 sub-buttons", *MENU_RULE)
        return self


class Menu(Table):
    """The custom menu of a WeChat account: at most three buttons."""

    buttons: tuple[Button, ...] = term("按钮", "buttons", min_length=1)

    @model_validator(mode="after")
    def _three(self) -> Menu:
        if len(self.buttons) > 3:
            raise refuse("一级菜单最多 3 个", "at most 3 menu buttons", *MENU_RULE)
        return self

    def tree(self, language: str) -> list[dict[str, Any]]:
        """The buttons in one language: `{"label", "say"}`, `{"label", "url"}` or `{"label", "items": [buttons]}`."""
        return [_button_tree(button, language) for button in self.buttons]


def _button_tree(button: Button | SubButton, language: str) -> dict[str, Any]:
    label = button.label[language]
    if isinstance(button, Button) and button.sub:
        return {"label": label, "items": [_button_tree(one, language) for one in button.sub]}
    return {"label": label, "say": button.says} if button.says else {"label": label, "url": button.url}


class Keyword(Table):
    """Extra words a person may type, and the words they stand for."""

    words: tuple[Says, ...] = term("用户会说", "words", min_length=1)
    says: Says = term("等同于", "stand for")
