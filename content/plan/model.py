"""One campaign as staff wrote it, every clause in the order of the written plan.

A `Plan` is read once per revision and then only looked at: plain attributes, nothing changes. A clause that is absent
or has an amount still unset is off (`plan.on("social.lottery")` is False); that is a state, not a fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from content.plan.audience import Segment
from content.plan.offers import Checkin, Entitlements, Joining, OwnPoster, Points, Redemption, Referral
from content.plan.outreach import Keyword, Media, Menu, Offline, Site, Social, Welcome
from content.plan.running import (
    Applications,
    Emergency,
    Groups,
    Leave,
    Monitoring,
    Organiser,
    Privacy,
    Response,
    StressTest,
    Training,
)
from content.plan.terms import CURRENCY, Id, Moment, Table, refuse, term
from content.plan.texts import Name
from content.plan.worth import Budget, Evaluation, Goals, Indicators

CLAUSES: dict[str, tuple[str, str]] = {
    "goals": ("活动目标", "goals"),
    "window": ("活动期", "window"),
    "joining": ("入网优惠", "joining"),
    "redemption": ("积分兑换", "redemption"),
    "referral": ("推荐有礼", "referral"),
    "entitlements": ("会员权益", "entitlements"),
    "points": ("积分", "points"),
    "checkin": ("每日签到", "check-in"),
    "site": ("活动页", "site"),
    "social": ("社交媒体", "social"),
    "social.pushes": ("推送", "pushes"),
    "social.quizzes": ("答题", "quizzes"),
    "social.surveys": ("问卷", "surveys"),
    "social.lottery": ("抽奖", "lottery"),
    "media": ("媒体投放", "media"),
    "offline": ("线下推广", "offline"),
    "welcome": ("欢迎语", "welcome"),
    "menu": ("自定义菜单", "menu"),
    "keywords": ("关键词", "keywords"),
    "groups": ("组织分工", "groups"),
    "applications": ("业务办理", "applications"),
    "response": ("响应时限", "response"),
    "training": ("培训", "training"),
    "stress-test": ("压力测试", "stress test"),
    "monitoring": ("实时监控", "monitoring"),
    "emergency": ("应急预案", "emergency"),
    "leave": ("退订", "leaving"),
    "privacy": ("隐私", "privacy"),
    "budget": ("预算", "budget"),
    "indicators": ("考核指标", "indicators"),
    "evaluation": ("效果评估", "evaluation"),
}


def _zone(value: Any) -> ZoneInfo:
    try:
        return ZoneInfo(value)
    except (KeyError, ValueError, TypeError, OSError):
        raise refuse(
            f"没有这个时区：{value!r}", f"no such time zone: {value!r}", '例如 "Asia/Shanghai"', 'e.g. "Asia/Shanghai"'
        ) from None


def _currency(value: Any) -> Any:
    if not (isinstance(value, str) and CURRENCY.fullmatch(value)):
        raise refuse(f"不是货币代码：{value!r}", f"not a currency code: {value!r}", '例如 "CNY"', 'e.g. "CNY"')
    return value


def _once_each(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(value)) != len(value):
        raise refuse("有重复", "the same thing twice")
    return value


Language = Annotated[str, Field(strict=True, pattern=r"^[a-z]{2}$")]


class Window(Table):
    """The campaign runs from `start` (inside) to `end` (outside), both aware UTC; written as wall time of its zone."""

    start: Moment = term("开始", "start")
    end: Moment = term("结束", "end")

    @model_validator(mode="after")
    def _forward(self) -> Window:
        if self.start >= self.end:
            raise refuse("结束要晚于开始", "`end` must be later than `start`")
        return self

    def holds(self, instant: datetime) -> bool:
        """Whether an aware instant lies in [start, end)."""
        return self.start <= instant < self.end


class Plan(Table):
    """The whole plan. Required parts are those without which nobody could be answered; clauses may be absent."""

    id: Id = term("代号", "id")
    languages: Annotated[tuple[Language, ...], AfterValidator(_once_each)] = term("语言", "languages", min_length=1)
    zone: Annotated[ZoneInfo, BeforeValidator(_zone)] = term("时区", "time zone")
    currency: Annotated[str, BeforeValidator(_currency)] = term("货币", "currency")
    channels: Annotated[tuple[Literal["wechat", "telegram", "web"], ...], AfterValidator(_once_each)] = term(
        "渠道", "channels", min_length=1
    )
    without: tuple[str, ...] = Field(default=(), json_schema_extra={"zh": "不做的条款", "en": "left out on purpose"})
    approvals: bool = Field(
        default=True, strict=True, json_schema_extra={"zh": "推送要复核", "en": "pushes are approved"}
    )
    title: Name = term("活动名称", "title")
    product: Name = term("产品", "product")
    organiser: Organiser = term("主办方", "organiser")
    goals: Goals | None = None
    window: Window = term("活动期", "window")
    joining: Joining | None = None
    redemption: Redemption | None = None
    referral: Referral | None = None
    entitlements: Entitlements | None = None
    points: Points = term("积分", "points")
    checkin: Checkin | None = None
    segments: tuple[Segment, ...] | None = Field(default=None, json_schema_extra={"zh": "客群", "en": "segments"})
    site: Site | None = None
    social: Social | None = None
    media: Media | None = None
    offline: Offline | None = None
    welcome: Welcome = term("欢迎语", "welcome")
    menu: Menu | None = None
    keyword_list: tuple[Keyword, ...] | None = Field(default=None, alias="keywords")
    groups: Groups | None = None
    applications: Applications | None = None
    response: Response = term("响应时限", "response")
    training: Training | None = None
    stress_test: StressTest | None = Field(default=None, alias="stress-test")
    monitoring: Monitoring | None = None
    emergency: Emergency | None = None
    leave: Leave = term("退订", "leaving")
    privacy: Privacy = term("隐私", "privacy")
    budget: Budget = term("预算", "budget")
    indicators: Indicators | None = None
    evaluation: Evaluation | None = None

    def clause(self, name: str) -> Any:
        """The clause of that name (`stress-test`, `social.lottery`), or None."""
        if name == "keywords":
            return self.keyword_list
        part: Any = self
        for step in name.split("."):
            part = getattr(part, step.replace("-", "_"), None)
        return part

    @cached_property
    def keywords(self) -> dict[str, str]:
        """Extra words by what they stand for: word → canonical words."""
        return {word: keyword.says for keyword in self.keyword_list or () for word in keyword.words}

    @cached_property
    def off(self) -> frozenset[str]:
        """Names of clauses that are absent or have an amount unset."""
        absent = {name for name in CLAUSES if self.clause(name) is None}
        return frozenset(absent | {owner(path) for path in _unset(self, ())})

    @property
    def own_poster(self) -> OwnPoster | None:
        """What the plan says of the poster that carries each one's own code; None while nobody gets one."""
        return self.referral.poster if self.referral and self.on("referral") else None

    def on(self, name: str) -> bool:
        """Whether a clause is there with every amount set, and so is the clause that holds it."""
        return name in CLAUSES and name not in self.off and name.partition(".")[0] not in self.off


def owner(path: tuple[str | int, ...]) -> str:
    """The clause that a key path belongs to; the empty string for keys outside clauses."""
    both = ".".join(str(step) for step in path[:2])
    return both if both in CLAUSES else str(path[0]) if path and path[0] in CLAUSES else ""


def _unset(part: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(part, tuple):
        for index, item in enumerate(part):
            yield from _unset(item, (*path, index))
    elif isinstance(part, Table):
        for name, field in type(part).model_fields.items():
            value, here = getattr(part, name), (*path, field.alias or name)
            if value is None and described(field).get("amount"):
                yield here
            elif isinstance(value, (BaseModel, tuple)):
                yield from _unset(value, here)


def described(field: Any) -> dict[str, Any]:
    """What a key is called in both languages (`zh`, `en`) and whether it is an `amount`."""
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
