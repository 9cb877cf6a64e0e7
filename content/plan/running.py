"""How a campaign is run: groups, applications, response, training, stress test, monitoring, emergency.

Also what every subscriber may ask for: who organises it, how to leave, what is kept about them. It knows no staff
account and no system; those are matched to these names elsewhere.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import model_validator

from content.plan.outreach import WEEKDAYS, Weekday
from content.plan.terms import Clock, Count, Moment, Share, Span, Table, Whole, amount, refuse, term
from content.plan.texts import Long, Name, Words

GroupName = Literal["planning", "publicity", "handling", "service"]


class Organiser(Table):
    """Who runs the campaign; the law wants the name and a contact beside every draw."""

    name: Name = term("主办方", "organiser")
    contact: Name = term("联系方式", "contact")


class Group(Table):
    """One group of the task force."""

    name: Name = term("名称", "name")
    duties: Long = term("职责", "duties")
    people: Count = amount("人数", "people")


class Groups(Table):
    """One task force, four groups."""

    task_force: Name = term("专项工作组", "task force")
    planning: Group = term("策划组", "planning group")
    publicity: Group = term("宣传组", "publicity group")
    handling: Group = term("业务办理组", "business handling group")
    service: Group = term("客户服务组", "customer service group")


class Applications(Table):
    """The online self-service application: what it asks, and how soon it is settled."""

    asks: tuple[Literal["name", "number", "address", "package", "members"], ...] = term("填写项", "asks", min_length=1)
    settle_within: Span = amount("办结时限", "settled within")
    wait_at_most: Span = amount("排队等待上限", "waiting at most")
    text: Long = term("说明", "explanation")


class Hours(Table):
    """Service hours on some weekdays."""

    days: tuple[Weekday, ...] = term("星期", "days", min_length=1)
    opens: Clock = term("开始", "opens")
    closes: Clock = term("结束", "closes")

    @model_validator(mode="after")
    def _forward(self) -> Hours:
        if self.opens >= self.closes:
            raise refuse("结束时间要晚于开始时间", "`closes` must be later than `opens`")
        return self


class Response(Table):
    """Within what time questions and complaints are answered and settled, and who can be reached when."""

    answer_within: Span = amount("首次回复时限", "first answer within")
    hours: Count = amount("多少小时内办结", "settled within so many hours")
    hotline: Words = term("客服热线", "hotline")
    complaints: Long = term("投诉渠道", "complaint channel")
    service_hours: Name = term("人工服务时间", "service hours")
    desk: tuple[Hours, ...] = term("人工服务时段", "desk hours", min_length=1)
    holidays: tuple[date, ...] = term("休息日", "holidays")

    def open_at(self, instant: datetime, zone: ZoneInfo) -> bool:
        """Whether people are at the desk at this instant (aware), by the wall clock of `zone`."""
        local = instant.astimezone(zone)
        day = WEEKDAYS[local.weekday()]
        clock = local.time()
        return local.date() not in self.holidays and any(
            day in hours.days and hours.opens <= clock < hours.closes for hours in self.desk
        )


class Course(Table):
    """One training session."""

    name: Name = term("课程", "course")
    group: GroupName = term("参加组", "for the group")
    length: Span = amount("时长", "length")


class Training(Table):
    """Handling staff are trained before the start."""

    by: Moment = term("完成日期", "done by")
    pass_at: Share = amount("考核及格线", "share to pass")
    courses: tuple[Course, ...] = term("课程", "courses", min_length=1)


class StressTest(Table):
    """The load test before the start, and what it must show."""

    by: Moment = term("完成日期", "done by")
    messages_a_second: Count = amount("每秒消息数", "messages per second")
    answer_within: Span = amount("回复不超过", "answers within")
    errors_at_most: Share = amount("错误率上限", "errors at most")


class Alarm(Table):
    """One figure watched live and the value that raises an alarm."""

    figure: Literal["applications-waiting", "questions-waiting", "sending-failures", "messages-waiting"] = term(
        "指标", "figure"
    )
    above: Count = amount("超过即报警", "alarm above")
    group: GroupName = term("通知组", "tells the group")


class Monitoring(Table):
    """What is watched live."""

    every: Span = amount("刷新间隔", "refreshed every")
    alarms: tuple[Alarm, ...] = term("报警", "alarms", min_length=1)


class Case(Table):
    """One kind of emergency and what is done."""

    name: Name = term("情形", "case")
    steps: Long = term("处置", "what is done")
    group: GroupName = term("负责组", "group in charge")


class Emergency(Table):
    """Network faults and outages; users' rights are not affected by them."""

    promise: Long = term("用户权益承诺", "promise to users")
    back_within: Span = amount("恢复时限", "back within")
    cases: tuple[Case, ...] = term("情形", "cases", min_length=1)


class Leave(Table):
    """What follows 退订: stopping campaign messages cancels no telecom service, and this says how one is cancelled."""

    cancel_product: Long = term("怎么退订产品", "how the product itself is cancelled")


class Privacy(Table):
    """Whom to ask about personal data, and how long what is kept."""

    contact: Name = term("个人信息联系人", "contact for personal data")
    notice: Long = term("隐私说明", "privacy notice")
    text_days: Whole = term("聊天内容保存天数", "days that message texts are kept")
    parked_days: Whole = term("取消关注后记录保留天数", "days that balances and records are kept after unfollowing")
