"""What subscribers get: joining, redemption, referral, entitlements, points and the daily check-in.

Amounts only; who has earned what is the ledger's business, and the rules that move it live in campaigns.
"""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from content.plan.terms import Benefit, Count, Fen, Id, Megabytes, Span, Table, Whole, amount, instead, refuse, term
from content.plan.texts import Caption, Long, Name, Words


class Package(Table):
    """One tariff a new household can join with, and the gift it brings."""

    id: Id = term("代号", "id")
    name: Name = term("名称", "name")
    price: Fen = amount("月费", "monthly price")
    gift: Benefit = amount("入网礼", "joining gift")
    cost: Fen = amount("每户让利成本（首月免费和入网礼）", "cost of the free month and the gift per household")


class Joining(Table):
    """First month free, a gift per package, top-up credit in equal monthly instalments."""

    line: Id = term("预算科目", "budget line")
    free_months: Count = amount("免费月数", "months free")
    credit: Fen = amount("话费返还总额", "top-up credit in all")
    instalments: Count = amount("分几个月到账", "monthly instalments")
    expected: Count = amount("预计新用户数", "new users expected")
    text: Long = term("说明", "explanation")
    packages: tuple[Package, ...] = term("套餐", "packages", min_length=1)

    @model_validator(mode="after")
    def _equal_instalments(self) -> Joining:
        credit, months = self.credit, self.instalments
        if credit is not None and months is not None and (months == 0 or credit % months):
            raise refuse(
                "话费不能平均分到每个月",
                "the credit does not divide into equal instalments",
                "调整 credit 或 instalments，使每月整分",
                "change `credit` or `instalments` so that each month is whole fen",
            )
        return self


class Gift(Table):
    """One thing that points buy."""

    id: Id = term("代号", "id")
    name: Name = term("名称", "name")
    gives: Benefit = amount("内容", "what it gives")
    price: Count = amount("所需积分", "price in points")
    stock: Count = amount("库存", "stock")
    worth: Fen = amount("单件成本", "cost of one")
    collect: Literal["credited", "desk", "post"] = term("领取方式", "how it is collected")


class Redemption(Table):
    """Points for minutes, data or goods, while stocks last."""

    line: Id = term("预算科目（积分资金不够的部分）", "budget line for what the points fund does not cover")
    hold: Span = amount("兑换预占时长", "how long a gift is held")
    text: Long = term("说明", "explanation")
    gifts: tuple[Gift, ...] = term("礼品", "gifts", min_length=1)


class OwnPoster(Table):
    """Every referrer's own poster: which one, and what the name that people put on it must not say."""

    use: Id = term("用哪张海报", "which poster")
    banned: tuple[Words, ...] = term("署名禁用词", "words banned from names")


class Referral(Table):
    """A reward for both sides when a friend really signs up; one level only."""

    line: Id = term("预算科目", "budget line")
    levels: Count = amount("推荐层级", "levels")
    counts_when: Literal["joined", "first-bill", "follow", "share"] = term(
        "何时算有效推荐", "when a referral qualifies"
    )
    referrer: Benefit = amount("推荐人奖励", "the referrer's reward")
    referee: Benefit = amount("新用户奖励", "the new user's reward")
    most: Count = amount("每人最多有效推荐", "qualified referrals per referrer at most")
    hold: Span = amount("观察期", "time a reward is held")
    clawback: Span = amount("可扣回期限", "time in which a reward can be taken back")
    expected: Count = amount("预计有效推荐数", "qualified referrals expected")
    typed_within: Span = amount("首次来访后多久内可补填推荐码", "time after the first contact to type a code")
    poster: OwnPoster | None = instead("我的海报", "a poster of one's own")
    text: Long = term("说明", "explanation")


class Cloud(Table):
    """The family cloud store: it starts somewhere and grows with tenure and activity."""

    start: Megabytes = amount("起始空间", "space at the start")
    per_month: Megabytes = amount("每满一个月增加", "grows each full month by")
    per_active_month: Megabytes = amount("活跃月另增加", "grows in an active month by")
    active_days: Count = amount("一个月用几天算活跃", "days of use that make a month active")
    most: Megabytes = amount("空间上限", "space at most")


class Partner(Table):
    """One partner offer: a course discount, a shop coupon, a ticket."""

    id: Id = term("代号", "id")
    kind: Literal["course", "shop", "ticket"] = term("类型", "kind")
    name: Name = term("名称", "name")
    text: Long = term("使用说明", "how to use it")
    stock: Count = amount("数量", "how many")
    worth: Fen = amount("单张成本", "cost of one")


class Entitlements(Table):
    """What every member has for the campaign: HD video calls, cloud space, partner offers."""

    line: Id = term("预算科目", "budget line")
    hd_video: Name = term("高清视频通话", "HD video calls")
    cost: Fen = amount("视频和云空间总成本", "cost of video and cloud in all")
    cloud: Cloud = term("家庭云", "family cloud")
    partners: tuple[Partner, ...] = term("合作权益", "partner offers")


class Points(Table):
    """What a point is worth, whose budget funds it, how long it lasts, and what a web guest may gather."""

    line: Id = term("预算科目", "budget line")
    name: Name = term("积分名称", "what points are called")
    worth: Fen = amount("每分价值", "worth of one point")
    guest_cap: Whole = term("网页访客最多暂存", "points a web guest may hold")
    expire_after: Span = amount("有效期", "points last")
    expected: Count = amount("预计发放（签到、答题）", "points expected to be given by check-in and quizzes")


class Streak(Table):
    """A bonus on the day a streak reaches a length."""

    days: Count = amount("连续天数", "days in a row")
    points: Count = amount("额外积分", "bonus points")


class Checkin(Table):
    """Points once a day, and bonuses for streaks."""

    points: Count = amount("每日积分", "points a day")
    streaks: tuple[Streak, ...] = term("连续签到奖励", "streak bonuses")
    text: Caption = term("说明", "explanation")

    @model_validator(mode="after")
    def _streaks_rise(self) -> Checkin:
        days = [streak.days for streak in self.streaks if streak.days is not None]
        if days != sorted(set(days)) or 0 in days:
            raise refuse(
                "连续天数要从小到大、不重复",
                "streaks must rise and not repeat",
                "按 days 从小到大排列",
                "order them by `days`",
            )
        return self

    def bonus(self, day: int) -> int:
        """Bonus points on the `day`-th day of a streak; 0 when there is none or it is unset."""
        for streak in self.streaks:
            if streak.days == day:
                return streak.points or 0
        return 0
