"""One push: what it says to whom and when, its steps, what may be done about it, and how it goes or went.

Whoever approves types the number of people shown; whatever changed since the page was opened is said, not done. The
part that shows a run is fetched again every few seconds by a small script.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from starlette.responses import Response

from bot.console import page, post
from bot.console.pages.plan import _members
from bot.console.pages.push_compose import WORDS as COMPOSER
from bot.console.pages.push_compose import everybody, preview_of
from bot.console.pages.push_result import WORDS as RESULTS
from bot.console.pages.push_result import progress
from bot.console.pages.push_words import TONES, Say, wall
from bot.console.pages.pushes import PUSHES
from bot.console.push_form import seen
from bot.console.visit import Missing, Visit, Wrong
from campaigns import push_clock, push_trial, pushing
from campaigns.desk import ActRefused
from content.library import Library
from content.occasions import BadSchedule, days
from storage import push_runs, pushes, stops, whom
from storage.pushes import Push

WORDS = {
    "back": ("全部推送", "All pushes"),
    "branch": (
        "推送会发给所有网点的用户：您可以查看，写、复核和暂停由不分网点的同事做。",
        "A push reaches the people of every branch: you may look; colleagues without a branch write, approve and "
        "pause.",
    ),
    "stopped": (
        "现在全部发送已紧急停止，恢复后接着发。",
        "All sending is stopped now; it goes on once that is lifted.",
    ),
    "quiet": ("现在是免打扰时段，{until} 起再发。", "Nobody is disturbed now; it goes on from {until}."),
    "facts": ("概况", "About"),
    "kind": ("种类", "Kind"),
    "to": ("发给谁", "To whom"),
    "also": ("Telegram 频道", "Telegram channels"),
    "when": ("什么时候", "When"),
    "next": ("接下来", "Next"),
    "over": ("没有了", "no more"),
    "latest": ("最多晚", "May begin late by"),
    "minutes": ("{count} 分钟", "{count} minutes"),
    "wechat": ("微信上", "On WeChat"),
    "wechat.mass": ("群发", "mass send"),
    "wechat.service": ("只用客服消息", "customer-service messages alone"),
    "ramp": ("节奏", "Pace"),
    "ramp.all": ("一次发完", "all at once"),
    "ramp.part": ("先发 {share}%，{minutes} 分钟后发其余的", "{share} % first, the others {minutes} minutes later"),
    "errors": ("自动暂停", "Pauses by itself"),
    "errors.is": ("失败超过 {share}%", "beyond {share} % of errors"),
    "author": ("作者", "Author"),
    "approved_by": ("复核", "Approved by"),
    "revision": ("方案", "Plan"),
    "revision.is": ("第 {number} 版", "revision {number}"),
    "says": ("说什么、会到多少人", "What it says, and to how many"),
    "says_only": ("说什么", "What it says"),
    "do": ("可以做的事", "What you can do"),
    "edit": ("修改", "Edit"),
    "copy": ("照着写一条新的", "Write a new one like it"),
    "submit": ("提交复核", "Submit for approval"),
    "approve": ("复核通过", "Approve"),
    "approve_what": (
        "现在发会到 {count} 人。请核对内容、对象和时间；通过后到时自动发出。",
        "Now it would reach {count} people. Check what it says, to whom and when; once approved it goes out by itself.",
    ),
    "yours": ("这是您写的，要由同事复核。", "You wrote this: a colleague approves it."),
    "typed": ("输入会到的人数 {count} 确认", "Type the number of people, {count}, to confirm"),
    "people": ("人数", "Number of people"),
    "mismatch": ("输入的人数不对，请输入 {count}", "That is not the number; type {count}"),
    "moved": (
        "您打开这页以后，会到的人数变了，现在是 {count} 人；请再看一遍",
        "The number of people has changed since you opened this page and is {count} now; look once more",
    ),
    "changed": (
        "您打开这页以后，这条推送被改过；请看清楚现在的内容再复核",
        "The push was changed since you opened this page; look at it as it is now",
    ),
    "send_back": ("退回给作者", "Send back to its author"),
    "pause": ("暂停", "Pause"),
    "pause_what": ("不再发出新的；已在路上的会发完。", "Nothing more begins; what is on its way ends."),
    "resume": ("继续发", "Go on"),
    "resume_what": (
        "从停下的地方接着发，不漏也不重。",
        "It goes on where it stood: nobody is missed, nobody gets two.",
    ),
    "cancel": ("取消这条推送", "Cancel the push"),
    "cancel_what": ("还没发到的人不再发；不能恢复。", "Whoever has not got it does not get it. For good."),
    "why": ("原因", "Reason"),
    "why_hint": ("留在下面的经过里，同事看得到。", "Kept with the steps below, for colleagues."),
    "test": ("试发给测试用户", "Send it to a tester"),
    "test_what": (
        "马上发一条给一位测试用户（比如您自己），不算推送。先在用户页上把本人指定为测试用户。",
        "Sends it at once to one tester, such as yourself; it counts as no push. Name yourself a tester on your page "
        "of the subscribers first.",
    ),
    "who": ("测试用户的编号或推荐码", "The tester's number or code"),
    "nobody": ("没有找到“{who}”；写编号或推荐码", "Nobody is known as “{who}”; give a number or a code"),
    "several": ("“{who}”可能是几个人；请写编号", "“{who}” can be several people; give a number"),
    "tested": ("已发给测试用户 {number}。", "Sent to tester {number}."),
    "tested_already": ("这张表单已经发过一次，没有再发。", "This form has sent it already; nothing was sent again."),
    "submitted": ("已提交，等同事复核。", "Submitted: a colleague approves it."),
    "approved": ("已复核通过，{when} 发出。", "Approved: it goes out at {when}."),
    "sent_back": ("已退回给作者。", "Sent back to its author."),
    "paused": ("已暂停。", "Paused."),
    "resumed": ("继续发。", "It goes on."),
    "cancelled": ("已取消。", "Cancelled."),
    "steps": ("经过", "Steps"),
    "step": ("做了什么", "Step"),
    "at": ("时间", "When"),
    "by": ("谁", "Who"),
    "operator": ("命令行（运维）", "the command line (operator)"),
    "system": ("系统自动", "by itself"),
    "runs": ("历次发送", "Each time it went out"),
    "run": ("{when} 这一次", "The one of {when}"),
}
ONE = f"{PUSHES}/{{number:int}}"
_RUNS = 20
_SHOWN_NEXT = 3
_YEAR = timedelta(days=366)


@page(ONE, "pushes.read")
async def look(visit: Visit) -> Response:
    """Everything about one push."""
    return await _show(visit, await _push(visit))


@page(f"{ONE}/now", "pushes.read")
async def now(visit: Visit) -> Response:
    """Its living part alone, for the script."""
    push = await _push(visit)
    told = await progress(visit, push, _asked_run(visit))
    return visit.show("push_now.html", RESULTS, **told, push=push, say=Say(visit.language), tones=TONES)


@post(f"{ONE}/submit", "pushes.write")
async def submit(visit: Visit) -> Response:
    """Hand a draft to a colleague."""
    library = visit.app.writer.library
    return await _press(visit, "submit", lambda desk, number: pushing.submit(desk, library, number), "submitted")


@post(f"{ONE}/approve", "pushes.approve")
async def approve(visit: Visit) -> Response:
    """Let it go out, after the number of people was typed."""
    everybody(visit)
    push, library = await _push(visit), visit.app.writer.library
    alone = not visit.app.settings.console.second_person
    kept = {"form": "approve", "typed": visit.form.text("typed", 20, needed=False)}

    def work(desk: Any) -> Push:
        stood = pushes.find(desk.connection, push.number, lock=True)
        if stood and seen(stood) != sent:
            raise ActRefused(*WORDS["changed"])
        return pushing.approve(desk, library, push.number, alone=alone)

    try:
        sent = visit.form.text("seen", 60, needed=False)
        shown, typed = visit.form.whole("shown"), visit.form.whole("typed", label=WORDS["people"])
        if typed != shown:
            raise Wrong(*(text.format(count=shown) for text in WORDS["mismatch"]))
        told = (await preview_of(visit, push, library, fresh=True))["audience"]
        # People come and go by the minute: a number that moved by less than one in a hundred is still what was meant.
        if told and abs(told.reached - shown) * 100 > shown:
            raise ActRefused(*(text.format(count=told.reached) for text in WORDS["moved"]))
        done: Push = await visit.act(work)
    except (Wrong, ActRefused) as refused:
        return await _show(visit, await _push(visit), refused=refused, kept=kept)
    assert done.next_at
    when = wall(done.next_at, library.plan.zone)
    return visit.go(f"{PUSHES}/{push.number}", said=_filled("approved", when=when))


@post(f"{ONE}/send_back", "pushes.approve")
async def send_back(visit: Visit) -> Response:
    """Give it back to its author."""
    return await _press(visit, "send_back", pushing.send_back, "sent_back")


@post(f"{ONE}/pause", "pushes.write")
async def pause(visit: Visit) -> Response:
    """Begin nothing more of it."""
    return await _press(visit, "pause", pushing.pause, "paused")


@post(f"{ONE}/resume", "pushes.write")
async def resume(visit: Visit) -> Response:
    """Go on where it stood."""
    library = visit.app.writer.library
    return await _press(visit, "resume", lambda desk, number: pushing.resume(desk, library, number), "resumed")


@post(f"{ONE}/cancel", "pushes.write")
async def cancel(visit: Visit) -> Response:
    """End it."""
    return await _press(visit, "cancel", pushing.cancel, "cancelled")


@post(f"{ONE}/test", "pushes.write")
async def test(visit: Visit) -> Response:
    """Send it to one tester."""
    everybody(visit)
    push, library, ways = await _push(visit), visit.app.writer.library, await visit.app.pushes.ways()
    kept = {"form": "test"}
    try:
        kept["who"] = visit.form.text("who", 200, label=WORDS["who"])
        key = visit.form.text("key", 64)
        found = (await visit.read(whom.named, visit.app.vault, [kept["who"]]))[kept["who"]]
        if len(found) != 1:
            raise Wrong(*(text.format(who=kept["who"]) for text in WORDS["several" if found else "nobody"]))
        (person,) = found
        sent = await visit.act(lambda desk: push_trial.send_test(desk, library, push.number, person, ways, key))
    except (Wrong, ActRefused) as refused:
        return await _show(visit, push, refused=refused, kept=kept)
    visit.app.sender.wake()
    return visit.go(
        f"{PUSHES}/{push.number}", said=_filled("tested", number=person) if sent else WORDS["tested_already"]
    )


async def _press(visit: Visit, name: str, act: Callable[[Any, int], Any], said: str) -> Response:
    """Take a step and come back; refused, show the page once more with what was written."""
    everybody(visit)
    push, kept = await _push(visit), {"form": name}
    try:
        kept["why"] = visit.form.text("why", pushing.WHY_MAX, needed=False, label=WORDS["why"])
        await visit.act(lambda desk: act(desk, push.number), kept["why"])
    except (Wrong, ActRefused) as refused:
        return await _show(visit, await _push(visit), refused=refused, kept=kept)
    return visit.go(f"{PUSHES}/{push.number}", said=WORDS[said])


async def _push(visit: Visit) -> Push:
    push = await visit.read(pushes.find, visit.number("number"))
    if push is None or push.campaign != visit.app.writer.library.plan.id:
        raise Missing
    return push


async def _show(
    visit: Visit,
    push: Push,
    refused: Wrong | ActRefused | None = None,
    kept: dict[str, str] | None = None,
) -> Response:
    """The page; `kept` is what a refused form said."""
    current: Library = visit.app.writer.library
    library = current
    if push.state not in pushing.STEPS["change"][0] and push.revision != current.revision:
        library = await asyncio.to_thread(visit.app.library_of, push.revision)
    may = _may(visit, push)
    # Counting a million people takes a moment: only who is about to let it go is told how many there are.
    seen_now = await preview_of(visit, push, library, fresh="approve" in may)
    if push.state not in pushing.STEPS["change"][0]:
        seen_now["audience"], seen_now["faults"] = None, []
    status = 200 if refused is None else 400 if isinstance(refused, Wrong) else 409
    return visit.show(
        "push.html",
        {**COMPOSER, **RESULTS, **WORDS},
        status,
        **seen_now,
        **await visit.read(_read, push, library, visit.now),
        **await progress(visit, push, _asked_run(visit)),
        **{"push": push, "plan": library.plan, "say": Say(visit.language), "tones": TONES, "may": may},
        **{"refused": refused, "kept": {"form": "", "why": "", "typed": "", "who": "", **(kept or {})}},
        seen=seen(push),
        key=secrets.token_urlsafe(18),
        mine=push.author == f"staff:{visit.me.id}" and visit.app.settings.console.second_person,
        asked=_asked_run(visit),
    )


def _read(connection: Any, push: Push, library: Library, now: datetime) -> dict[str, Any]:
    social = library.plan.social
    return {
        "steps": pushes.steps(connection, push.number),
        "runs": push_runs.of_push(connection, push.number, _RUNS),
        "members": _members(connection),
        "stopped": stops.standing(connection),
        "quiet": social.quiet_until if social and push_clock.quiet(library, now) else None,
        "coming": _coming(push, library, now),
    }


def _coming(push: Push, library: Library, now: datetime) -> list[str]:
    """The next few times, if there are any."""
    if push.state in ("done", "cancelled", "missed"):
        return []
    try:
        found = days(push.schedule, library.plan.zone, now, now + _YEAR)
        return [wall(moment, library.plan.zone) for (moment, _), _ in zip(found, range(_SHOWN_NEXT), strict=False)]
    except BadSchedule:
        return []


def _may(visit: Visit, push: Push) -> set[str]:
    """The steps that this member may take from where the push stands."""
    if visit.me.branch is not None:
        return set()
    steps = {"pause", "resume", "cancel", "submit", "change"} if visit.may("pushes.write") else set()
    steps |= {"approve", "send_back"} if visit.may("pushes.approve") else set()
    own = push.author == f"staff:{visit.me.id}" and visit.app.settings.console.second_person
    able = {step for step in steps if push.state in pushing.STEPS[step][0] and not (step == "approve" and own)}
    return able | ({"test", "copy"} if visit.may("pushes.write") else set())


def _asked_run(visit: Visit) -> int:
    asked = visit.query("run", 19)
    return int(asked) if asked.isascii() and asked.isdigit() and int(asked) < 2**62 else 0


def _filled(name: str, **values: object) -> tuple[str, str]:
    zh, en = WORDS[name]
    return zh.format(**values), en.format(**values)
