"""All pushes: what waits for approval, a calendar of the coming four weeks, and a list by state."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from starlette.responses import Response

from bot.console import ROOT, page
from bot.console.pages.plan import _members
from bot.console.pages.push_words import STATES, TONES, Say
from bot.console.visit import Visit
from content.library import Library
from content.occasions import BadSchedule, days, recurs
from storage import pushes, stops
from storage.pushes import Push

KINDS = {
    "push.create": ("写推送", "Wrote a push"),
    "push.change": ("修改推送", "Changed a push"),
    "push.submit": ("提交推送复核", "Submitted a push"),
    "push.send_back": ("退回推送", "Sent a push back"),
    "push.approve": ("复核通过推送", "Approved a push"),
    "push.schedule": ("推送排期", "Push scheduled"),
    "push.begin": ("推送开始发送", "Push began"),
    "push.pause": ("暂停推送", "Paused a push"),
    "push.resume": ("继续推送", "Resumed a push"),
    "push.finish": ("推送结束", "Push finished"),
    "push.miss": ("推送错过时间", "Push missed its time"),
    "push.missed": ("推送错过一次", "A push's turn was missed"),
    "push.ended": ("推送发完一次", "A push's run ended"),
    "push.cancel": ("取消推送", "Cancelled a push"),
    "push.tested": ("试发推送", "Sent a push to a tester"),
}
WORDS = {
    "title": ("推送", "Pushes"),
    "write": ("写推送", "Write a push"),
    "branch": (
        "推送会发给所有网点的用户：您可以查看，写、复核和暂停由不分网点的同事做。",
        "A push reaches the people of every branch: you may look; colleagues without a branch write, approve and "
        "pause.",
    ),
    "stopped": ("现在全部发送已紧急停止。", "All sending is stopped now."),
    "queue": ("等待复核", "Waiting for approval"),
    "queue_none": ("没有等待复核的推送。", "No push waits for approval."),
    "yours": ("您写的，要由别人复核", "yours: somebody else approves it"),
    "look": ("查看并复核", "Look and approve"),
    "calendar": ("接下来四周", "The coming four weeks"),
    "calendar_hint": (
        "按活动时区 {zone}。虚线框的还没有复核，到时不会发。",
        "By the clocks of {zone}. Those in a dashed frame are not approved: they do not go out.",
    ),
    "calendar_none": ("接下来四周没有推送。", "No push is planned in the coming four weeks."),
    "today": ("今天", "today"),
    "more": ("当天多次", "several times that day"),
    "not_approved": ("未复核", "not approved"),
    "list": ("全部推送", "All pushes"),
    "all": ("全部", "All"),
    "states": ("按状态", "By state"),
    "list_none": ("没有这样的推送。", "There is no such push."),
    "name": ("名称", "Name"),
    "state": ("状态", "State"),
    "when": ("什么时候", "When"),
    "next": ("下一次 {when}", "next at {when}"),
    "to": ("发给谁", "To whom"),
    "author": ("作者", "Author"),
    "operator": ("命令行（运维）", "the command line (operator)"),
    "older": ("更早的", "Older"),
    "newest": ("回到最新", "Newest"),
}
PUSHES = f"{ROOT}/pushes"
_PAGE = 30
_QUEUE = 50
_PLANNED = 200
_WEEKS = 4
_COMING = ("draft", "submitted", "approved", "scheduled", "running", "paused")
_SURE = ("approved", "scheduled", "running")


@dataclass
class Day:
    """One day of the calendar: what goes out on it, each with its time and whether it does so more than once."""

    date: date
    pushes: list[tuple[Push, datetime, bool]] = field(default_factory=list)


@page(PUSHES, "pushes.read", menu=WORDS["title"], order=20)
async def look(visit: Visit) -> Response:
    """What waits, what comes, and all there are."""
    library: Library = visit.app.writer.library
    state, before = visit.query("state", 20), visit.query("before", 19)
    state = state if state in STATES and state != "opening" else ""
    older_than = int(before) if before.isascii() and before.isdigit() and int(before) < 2**62 else 0
    told = await visit.read(_read, library, visit.now, state, older_than)
    return visit.show(
        "pushes.html",
        WORDS,
        **told,
        say=Say(visit.language),
        plan=library.plan,
        zone=library.plan.zone,
        tones=TONES,
        states=[one for one in STATES if one != "opening"],
        chosen=state,
        before=older_than,
        sure=_SURE,
        approves=visit.may("pushes.approve") and visit.me.branch is None,
        writes=visit.may("pushes.write") and visit.me.branch is None,
        me=f"staff:{visit.me.id}",
        alone=not visit.app.settings.console.second_person,
    )


def _read(connection: Any, library: Library, now: datetime, state: str, before: int) -> dict[str, Any]:
    campaign = library.plan.id
    rows = pushes.listed(connection, campaign, _PAGE + 1, states=[state] if state else (), before=before)
    return {
        "queue": pushes.listed(connection, campaign, _QUEUE, states=["submitted"]),
        "weeks": calendar(pushes.listed(connection, campaign, _PLANNED, states=_COMING), library, now),
        "rows": rows[:_PAGE],
        "older": rows[_PAGE - 1].number if len(rows) > _PAGE else 0,
        "members": _members(connection),
        "stopped": stops.standing(connection),
    }


def calendar(planned: list[Push], library: Library, now: datetime) -> list[list[Day]]:
    """Four weeks of days, from this week's Monday, with what would go out on each from now on."""
    zone = library.plan.zone
    today = now.astimezone(zone).date()
    first = today - timedelta(days=today.weekday())
    found = {first + timedelta(days=place): Day(first + timedelta(days=place)) for place in range(7 * _WEEKS)}
    end = datetime.combine(max(found) + timedelta(days=1), datetime.min.time(), zone)
    for push in planned:
        # As the acts have it: what recurs ends with the campaign, what goes once does so whenever its author says.
        until = min(end, library.plan.window.end) if recurs(push.schedule) else end
        try:
            for moment, more in days(push.schedule, zone, now, until):
                found[moment.astimezone(zone).date()].pushes.append((push, moment, more))
        except BadSchedule:
            continue
    every = [found[day] for day in sorted(found)]
    for day in every:
        day.pushes.sort(key=lambda one: (one[1], one[0].number))
    return [every[place : place + 7] for place in range(0, len(every), 7)]
