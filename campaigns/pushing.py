"""Pushes as acts on the Desk: written, submitted, approved by somebody else, paused, resumed, cancelled.

STEPS is the one place that says what may follow what, and each step is kept. Who sends, and when a step falls due by
itself, is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from campaigns import push_audience
from campaigns.desk import ActRefused, Desk, NotAllowed
from content import pushes as saying
from content.library import Library
from content.occasions import BadSchedule, following, recurs
from storage import channel_posts, mass_jobs, push_runs, pushes
from storage.pushes import Push, Step
from storage.store import machine_now

WHY_MAX = 400
NAME_MAX = 60
LATEST_MINUTES = 120  # how late a push may begin unless it says otherwise
RAMP_MINUTES = 30
OPERATOR = "operator"
SYSTEM = "system"

# step: (from which states, to which).
STEPS: dict[str, tuple[frozenset[str], str]] = {
    "change": (frozenset({"draft", "submitted", "approved", "scheduled"}), "draft"),
    "submit": (frozenset({"draft"}), "submitted"),
    "send_back": (frozenset({"submitted"}), "draft"),
    "approve": (frozenset({"submitted"}), "approved"),
    "schedule": (frozenset({"approved", "running"}), "scheduled"),
    "begin": (frozenset({"scheduled"}), "running"),
    "pause": (frozenset({"scheduled", "running"}), "paused"),
    "resume": (frozenset({"paused"}), "running"),
    "finish": (frozenset({"running", "paused"}), "done"),
    "miss": (frozenset({"scheduled"}), "missed"),
    "cancel": (frozenset({"draft", "submitted", "approved", "scheduled", "running", "paused"}), "cancelled"),
}


def create(
    desk: Desk,
    library: Library,
    key: str,
    name: str,
    content: Mapping[str, Any],
    audience: str,
    schedule: Mapping[str, Any],
    limits: Mapping[str, Any] | None = None,
) -> Push:
    """A draft; the same `key` again gives the push that it made. Needs `pushes.write`. Raises ActRefused."""
    may(desk, "pushes.write")
    push = Push(
        key=key,
        campaign=library.plan.id,
        name=_name(name),
        content=dict(content),
        audience=audience,
        schedule=dict(schedule),
        limits=limits_of(limits or {}),
        revision=library.revision,
        author=desk.actor,
    )
    _sound(push, library, desk)
    stored = pushes.add(desk.connection, push, desk.now)
    if stored.made_at == desk.now and stored.author == desk.actor and not pushes.steps(desk.connection, stored.number):
        keep_step(desk, stored, "create")
    elif stored.said != push.said:
        raise ActRefused("这张表单已经用过，请重新打开", "this form was used already; open it again")
    return stored


def change(
    desk: Desk,
    library: Library,
    number: int,
    *,
    name: str,
    content: Mapping[str, Any],
    audience: str,
    schedule: Mapping[str, Any],
    limits: Mapping[str, Any] | None = None,
) -> Push:
    """Write a push anew: what was approved needs approval again. The same as before changes nothing."""
    may(desk, "pushes.write")
    push = locked(desk, number)
    written = replace(
        push,
        name=_name(name),
        content=dict(content),
        audience=audience,
        schedule=dict(schedule),
        limits=limits_of(limits or {}),
        revision=library.revision,
    )
    _sound(written, library, desk)
    if written.said == push.said and push.revision == library.revision:
        return push
    return take_step(desk, written, "change", author=desk.actor, approved_by="", next_at=None)


def submit(desk: Desk, library: Library, number: int) -> Push:
    """Hand it to a colleague for approval. Needs `pushes.write`."""
    may(desk, "pushes.write")
    push = locked(desk, number)
    _sound(push, library, desk)
    return take_step(desk, push, "submit")


def send_back(desk: Desk, number: int) -> Push:
    """Give it back to its author, saying why. Needs `pushes.approve`."""
    may(desk, "pushes.approve")
    _say_why(desk)
    return take_step(desk, locked(desk, number), "send_back")


def approve(desk: Desk, library: Library, number: int, *, alone: bool) -> Push:
    """Let it go out when it is due. Needs `pushes.approve`, and somebody else than its author unless `alone`.

    It keeps the plan's revision of this moment. Raises ActRefused when its time is over.
    """
    may(desk, "pushes.approve")
    push = locked(desk, number)
    if push.author == desk.actor and not alone:
        raise ActRefused(
            "推送要由作者以外的人复核（[console] second_person）",
            "somebody else than its author approves a push ([console] second_person)",
        )
    _sound(push, library, desk)
    # What is to go out once may still begin a little late; what comes again waits for its next time.
    since = desk.now if recurs(push.schedule) else desk.now - latest_start(push)
    due = following(push.schedule, library.plan.zone, since)
    if due is None:
        raise ActRefused("发送时间已经过了，请改时间", "its time is over; change the time")
    approved = take_step(desk, push, "approve", approved_by=desk.actor, revision=library.revision)
    return take_step(_as_system(desk), approved, "schedule", next_at=due)


def pause(desk: Desk, number: int) -> Push:
    """Begin no further request of it; what is on its way ends. Needs `pushes.write` and a reason."""
    _may_hold(desk)
    return _hold(desk, number)


def pause_by_itself(desk: Desk, number: int) -> Push:
    """Pause a push that fails too often; for the service itself."""
    return _hold(desk, number)


def resume(desk: Desk, library: Library, number: int) -> Push:
    """Go on where it stood. Needs `pushes.write` and a reason."""
    _may_hold(desk)
    push = locked(desk, number)
    runs = [run for run in push_runs.live_of(desk.connection, number) if run.state == "paused"]
    resumed = take_step(desk, push, "resume")
    for run in runs:
        push_runs.resumed(desk.connection, run.id)
        push_runs.set_state(desk.connection, run.id, "running" if run.opened else "opening", ["paused"])
    return resumed if runs else rest_or_finish(desk, library, resumed)


def cancel(desk: Desk, number: int) -> Push:
    """End it: whoever has not got it does not get it. Needs `pushes.write` and a reason."""
    _may_hold(desk)
    push = take_step(desk, locked(desk, number), "cancel", next_at=None)
    for run in push_runs.live_of(desk.connection, number):
        push_runs.set_state(desk.connection, run.id, "paused", push_runs.LIVE)  # nothing more is opened
        mass_jobs.drop(desk.connection, run.id, "cancelled", desk.now)
        channel_posts.give_up(desk.connection, run.id, "cancelled", machine_now(desk.connection), desk.now)
        push_runs.give_up(desk.connection, run.id, "cancelled", desk.now)
    return push


def only_look(branch: str) -> tuple[str, str]:
    """Why staff of a branch may look at pushes and no more, in both languages."""
    return (
        f"推送会发给所有网点的用户，网点 {branch} 的员工只能查看；请找不分网点的同事",
        f"a push reaches the people of every branch, so staff of branch {branch} may only look; "
        "ask a colleague who has no branch",
    )


# ---- what falls due by itself


def rest_or_finish(desk: Desk, library: Library, push: Push) -> Push:
    """Its run is over: wait for the next time, or be done."""
    due = push.next_at or following(push.schedule, library.plan.zone, desk.now)
    # A time that has come meanwhile is kept: the clock begins it, or shows that it was missed.
    if due is None or due >= library.plan.window.end:
        return take_step(_as_system(desk), push, "finish", next_at=None)
    return take_step(_as_system(desk), push, "schedule", next_at=due)


# ---- parts of acts


def _hold(desk: Desk, number: int) -> Push:
    push = take_step(desk, locked(desk, number), "pause")
    for run in push_runs.live_of(desk.connection, number):
        push_runs.set_state(desk.connection, run.id, "paused", ["opening", "running"])
    return push


def take_step(desk: Desk, push: Push, step: str, **changes: Any) -> Push:
    """Take a step of STEPS from where the push stands; what it changes is written with it. Asks for no right: acts do.

    Raises ActRefused where the step may not follow.
    """
    before, after = STEPS[step]
    if push.state not in before:
        raise ActRefused(
            f"推送现在是“{_STATES_ZH[push.state]}”，不能{_ZH[step]}；请刷新页面",
            f"the push is {push.state}, so it cannot {step.replace('_', ' ')}; look at it again",
        )
    written = pushes.write(desk.connection, replace(push, state=after, **changes), desk.now)
    keep_step(desk, written, step)
    return written


def keep_step(desk: Desk, push: Push, step: str) -> None:
    """Keep that a step was taken, by whom and why."""
    pushes.note_step(desk.connection, push.number, Step(step, push.state, desk.actor, desk.now, desk.why))
    desk.note(f"push.{step}", push.campaign, push.revision, {"push": push.number})


def locked(desk: Desk, number: int) -> Push:
    """One push, which nobody else steps until the commit. Raises ActRefused."""
    push = pushes.find(desk.connection, number, lock=True)
    if push is None:
        raise ActRefused(f"没有第 {number} 号推送", f"there is no push {number}")
    return push


def _sound(push: Push, library: Library, desk: Desk) -> None:
    for zh, en in saying.faults(push.content, library):
        raise ActRefused(zh, en)
    push_audience.check(library.plan, push.audience)
    try:
        following(push.schedule, library.plan.zone, desk.now)
    except BadSchedule as bad:
        raise ActRefused(bad.zh, bad.en) from None


def _name(name: str) -> str:
    clean = name.strip()
    if not clean or len(clean) > NAME_MAX:
        raise ActRefused(f"名称要有 1 到 {NAME_MAX} 个字", f"the name has 1 to {NAME_MAX} characters")
    return clean


def limits_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Limits with nothing left out. `first`: share per 10,000 that gets it at once; `rest`: minutes until the others
    do; `errors`: per cent.

    Raises ActRefused.
    """
    first, rest, errors = (
        int(given.get("first", 10_000)),
        int(given.get("rest", RAMP_MINUTES)),
        int(given.get("errors", 20)),
    )
    if not (1 <= first <= 10_000 and 1 <= rest <= 24 * 60 and 1 <= errors <= 100):
        raise ActRefused(
            "先发的比例、等待分钟或允许的失败比例不对",
            "the share that goes first, the minutes to wait or the share of errors is out of range",
        )
    return {"first": first, "rest": rest, "errors": errors}


def latest_start(push: Push) -> timedelta:
    """How late it may begin; later it is missed."""
    return timedelta(minutes=int(push.schedule.get("latest", LATEST_MINUTES)))


def may(desk: Desk, right: str) -> None:
    """The right, and everybody's people: a push reaches those of all branches. Raises NotAllowed."""
    desk.require(right)
    if desk.branch is not None:
        raise NotAllowed(*only_look(desk.branch))


def _may_hold(desk: Desk) -> None:
    may(desk, "pushes.write")
    _say_why(desk)


def _say_why(desk: Desk) -> None:
    if not desk.why and desk.actor != OPERATOR:
        raise ActRefused("请写明原因", "say why")
    if len(desk.why) > WHY_MAX:
        raise ActRefused(f"原因最多 {WHY_MAX} 个字", f"the reason may have {WHY_MAX} characters at most")


def _as_system(desk: Desk) -> Desk:
    return Desk(desk.connection, SYSTEM, frozenset(), desk.now)


_ZH = {
    **{"change": "修改", "submit": "提交", "send_back": "退回", "approve": "复核", "schedule": "排期", "begin": "开始"},
    **{"pause": "暂停", "resume": "继续", "finish": "结束", "miss": "标为错过", "cancel": "取消"},
}
_STATES_ZH = {
    **{"draft": "草稿", "submitted": "待复核", "approved": "已复核", "scheduled": "已排期", "running": "发送中"},
    **{"paused": "已暂停", "done": "已结束", "cancelled": "已取消", "missed": "已错过"},
}
