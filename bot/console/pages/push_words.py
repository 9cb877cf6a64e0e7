"""What the pages of pushes say, and the words for what is stored of them as a code. It answers no request."""

from __future__ import annotations

import re
from datetime import datetime, tzinfo
from typing import Any, ClassVar

from bot.console.pages.people_words import CHANNEL, KINDS_OF, PUSH_ENDS
from bot.console.words import Pairs
from campaigns import push_audience
from campaigns.desk import ActRefused
from content.plan.audience import WORDS as FOUR
from content.plan.model import Plan
from content.segments import RuleFault, parse, write

STATES: Pairs = {
    "draft": ("草稿", "draft"),
    "submitted": ("待复核", "waiting for approval"),
    "approved": ("已复核", "approved"),
    "scheduled": ("已排期", "scheduled"),
    "running": ("发送中", "going out"),
    "paused": ("已暂停", "paused"),
    "done": ("已结束", "done"),
    "cancelled": ("已取消", "cancelled"),
    "missed": ("已错过", "missed"),
    "opening": ("正在准备名单", "listing people"),
}
TONES = {
    **{"submitted": "warn", "scheduled": "good", "approved": "good", "running": "good", "paused": "warn"},
    **{"missed": "bad", "cancelled": "bad"},
}
STEPS: Pairs = {
    "create": ("写好", "written"),
    "change": ("修改", "changed"),
    "submit": ("提交复核", "submitted for approval"),
    "send_back": ("退回", "sent back"),
    "approve": ("复核通过", "approved"),
    "schedule": ("排期", "scheduled"),
    "begin": ("开始发送", "began to go out"),
    "pause": ("暂停", "paused"),
    "resume": ("继续", "resumed"),
    "finish": ("结束", "ended"),
    "miss": ("错过了时间", "missed its time"),
    "cancel": ("取消", "cancelled"),
}
KIND: Pairs = {
    "text": ("文字", "Text"),
    "poster": ("海报", "Poster"),
    "article": ("图文", "Article"),
    "quiz": ("答题", "Quiz"),
    "survey": ("问卷", "Survey"),
    "lottery": ("抽奖", "Lottery"),
}
AUDIENCES: Pairs = {
    "everyone": ("所有人", "everyone"),
    "members": ("已办理的用户", "members: people who have applied"),
    "prospects": ("还没办理的用户", "prospects: people who have not applied"),
    "referrers": ("带来过好友的用户", "referrers: people who brought a friend"),
}
WEEKDAYS: Pairs = {
    **{"mon": ("周一", "Monday"), "tue": ("周二", "Tuesday"), "wed": ("周三", "Wednesday")},
    **{"thu": ("周四", "Thursday"), "fri": ("周五", "Friday"), "sat": ("周六", "Saturday"), "sun": ("周日", "Sunday")},
}
WAYS: Pairs = {
    "bot": ("机器人消息", "a message by the bot"),
    "service": ("客服消息（互动后 48 小时内）", "a customer-service message (48 hours after they wrote)"),
    "mass": ("群发", "a mass send"),
    "notice": ("订阅通知（同意过一次的）", "a subscription notice (they agreed to one)"),
    "page": ("下次打开网页聊天时", "in the chat, when they next open it"),
}
ROWS: Pairs = {
    **{name: KINDS_OF["delivery"][name] for name in ("queued", "claimed", "sending", "sent", "refused", "failed")},
    "handed_over": ("已交给微信群发", "handed to WeChat's mass send"),
    "doubtful": ("结果不明", "in doubt"),
}
JOBS: Pairs = {
    "queued": ("等待发送", "waiting"),
    "sending": ("正在提交", "being handed over"),
    "accepted": ("微信已收下，等结果", "taken by WeChat; result to come"),
    "closed": ("有结果", "counted"),
    "refused": ("没有发出", "not sent"),
}
FORM: Pairs = {
    "name": ("名称", "Name"),
    "audience": ("发给谁", "To whom"),
    "at": ("日期和时间", "Day and time"),
    "often": ("什么时候", "When"),
    "weekday": ("每周几", "Weekday"),
    "hour": ("几点", "Time"),
    "cron": ("重复时间", "Cron line"),
    "latest": ("最多晚多少分钟", "May begin so many minutes late"),
    "first": ("先发给百分之几", "Per cent who get it first"),
    "rest": ("其余的人等几分钟", "Minutes until the others"),
    "errors": ("失败超过百分之几就暂停", "Pause beyond so many per cent of errors"),
    "missing": ("“{field}”没有填", "“{field}” is missing"),
    "too_long": ("“{field}”太长，最多 {most} 个字", "“{field}” is too long: at most {most} characters"),
    "no_whole": ("“{field}”要填 {least} 到 {most} 的整数", "“{field}” is a whole number from {least} to {most}"),
    "no_share": ("“{field}”要填 0.01 到 100", "“{field}” is a number from 0.01 to 100"),
    "no_time": ("“{field}”要写成 19:30", "write “{field}” as 19:30"),
    "choose": ("请选择“{field}”", "choose “{field}”"),
    "no_key": ("表单不完整，请重新打开", "The form is incomplete; open it again"),
}


_WEEKLY = re.compile(r"(\d{1,2}) (\d{1,2}) \* \* ([a-z]{3})")


class Say:
    """What is stored as a code, in one language: `say("state", code)`; a code without words is shown as it is."""

    _tables: ClassVar[dict[str, Pairs]] = {
        **{"state": STATES, "step": STEPS, "kind": KIND, "weekday": WEEKDAYS, "way": WAYS, "row": ROWS, "job": JOBS},
        **{"reason": {**KINDS_OF["end"], **PUSH_ENDS}, "channel": CHANNEL, "form": FORM},
    }

    def __init__(self, language: str) -> None:
        self.language, self._place = language, 0 if language == "zh" else 1

    def __call__(self, what: str, code: str) -> str:
        pair = self._tables[what].get(code)
        return pair[self._place] if pair else code

    def account(self, account: str) -> str:
        """A channel account: its channel, and its name where it is not the main one."""
        channel, _, name = account.partition(":")
        told = self("channel", channel)
        return told if name in ("", "main") else f"{told} · {name}"

    def tongue(self, language: str) -> str:
        """A language of the plan by its name."""
        pair = KINDS_OF["language"].get(language)
        return pair[self._place] if pair else language

    def audience(self, audience: str, plan: Plan) -> str:
        """A rule as people read it."""
        if audience in AUDIENCES:
            return AUDIENCES[audience][self._place]
        for segment in plan.segments or ():
            if segment.id == audience:
                return str(segment.name[self.language if self.language in plan.languages else plan.languages[0]])
        try:
            return write(parse(audience).tree, "zh" if self.language == "zh" else "en")
        except RuleFault:
            return audience

    def schedule(self, schedule: dict[str, Any]) -> str:
        """When it goes out, as people say it."""
        if "at" in schedule:
            return str(schedule["at"])[:16].replace("T", " ")
        cron = str(schedule.get("cron", ""))
        again = _WEEKLY.fullmatch(cron)
        if again and again[3] in WEEKDAYS:
            day, at = again[3], f"{again[2]:0>2}:{again[1]:0>2}"
            return f"每{self('weekday', day)} {at}" if self._place == 0 else f"every {self('weekday', day)} at {at}"
        return f"重复 {cron}" if self._place == 0 else f"again and again: {cron}"


def suggestions(plan: Plan, say: Say) -> list[tuple[str, str]]:
    """What can be written for an audience now: the words of the plan's language, and the plan's segments."""
    known = (*FOUR, *(one.id for one in plan.segments or ()))
    return [(word, say.audience(word, plan)) for word in known if _can(word, plan)]


def _can(word: str, plan: Plan) -> bool:
    try:
        push_audience.check(plan, word)
    except ActRefused:
        return False
    return True


def wall(instant: datetime, zone: tzinfo) -> str:
    """An instant on the campaign's clocks, to the minute."""
    return instant.astimezone(zone).strftime("%Y-%m-%d %H:%M")
