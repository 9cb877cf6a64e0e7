"""What pushes do by themselves: begin when they are due, pause when too much fails, end when every row has ended.

Plain functions on a Desk, called again and again: each finds in the rows what is still to do. Nothing is sent here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from campaigns import push_audience, pushing
from campaigns.desk import Desk
from campaigns.notices import PUSH
from content import pushes as saying
from content.library import Library
from content.occasions import BadSchedule, following, recurs
from content.plan.audience import holdout
from storage import channel_posts, mass_jobs, push_runs, pushes, served, stops
from storage.push_opening import Rule
from storage.push_runs import Run
from storage.pushes import Push
from storage.segments import Audience
from storage.store import machine_now
from storage.tables import micros

TRIED_LEAST = 20  # before that a share of errors says nothing
FETCH_DAYS = 7  # what nobody fetched from the page by then is given up
_CHINA = ZoneInfo("Asia/Shanghai")  # where WeChat's month begins


def quiet(library: Library, now: datetime) -> bool:
    """Whether the plan wants nobody to be disturbed at this moment."""
    social = library.plan.social
    if social is None:
        return False
    wall, start, end = now.astimezone(library.plan.zone).time(), social.quiet_from, social.quiet_until
    return start <= wall < end if start <= end else wall >= start or wall < end


def quiet_until(library: Library, moment: datetime) -> datetime | None:
    """When the quiet hours end in which a moment lies; None when it lies in none."""
    social = library.plan.social
    if social is None or not quiet(library, moment):
        return None
    wall = moment.astimezone(library.plan.zone)
    day = wall.date() + timedelta(days=wall.time() >= social.quiet_until)
    return datetime.combine(day, social.quiet_until, library.plan.zone)


def held_over(push: Push, library: Library, now: datetime) -> tuple[datetime, datetime] | None:
    """When a push is due next, and when the quiet hours end in which that lies; None when it lies in none."""
    try:
        due = following(push.schedule, library.plan.zone, now)
    except BadSchedule:
        return None
    until = quiet_until(library, due) if due else None
    return (due, until) if due and until else None


def begin(
    desk: Desk, number: int, library: Library, said: Mapping[str, str], posted: str = "", account: str = ""
) -> None:
    """Begin what is due of a push, saying `said` (language → JSON): a run, or a miss when it is too late.

    Its channels get `posted` (JSON) from this account's bot, each once.
    A run before it that only waits for pages to be fetched ends now; one that still sends makes this time a miss.
    """
    push = pushes.find(desk.connection, number, lock=True)
    if push is None or push.next_at is None or push.next_at > desk.now or push.state not in ("scheduled", "running"):
        return
    occurrence, later = push.next_at, None
    latest = pushing.latest_start(push) + stood_still(desk, occurrence)
    if recurs(push.schedule):
        later = following(push.schedule, library.plan.zone, occurrence)
        later = later if later and later < library.plan.window.end else None
    if push.state == "running":
        push = _make_room(desk, push)
    # Of times that passed while nothing could begin only the last is caught up with.
    passed = later is not None and later <= desk.now
    if desk.now > occurrence + latest or passed or push.state == "running":
        push_runs.miss(desk.connection, push.number, push.campaign, occurrence, push.revision, desk.now)
        desk.note("push.missed", push.campaign, push.revision, {"push": push.number})
        if push.state == "running" or later:
            pushes.write(desk.connection, replace(push, next_at=later), desk.now)
        else:
            pushing.take_step(desk, push, "miss", next_at=None)
        return
    run = push_runs.begin(desk.connection, push.number, push.campaign, occurrence, push.revision, said, desk.now)
    if run and (channels := saying.channels(push.content)):
        channel_posts.add(desk.connection, run.id, account, channels, posted, desk.now)
    pushing.take_step(desk, push, "begin", next_at=later)


def stood_still(desk: Desk, since: datetime) -> timedelta:
    """How long an emergency stop held everything since then: so much longer deadlines are."""
    return timedelta(microseconds=stops.stopped(desk.connection, micros(since), micros(desk.now)))


def _make_room(desk: Desk, push: Push) -> Push:
    for run in push_runs.live_of(desk.connection, push.number):
        if run.state == "running" and run.opened and not push_runs.waiting(desk.connection, run.id):
            _end(desk, run, "done")
            return pushing.take_step(desk, push, "schedule")
    return push


def look_after(desk: Desk, library: Library, number: int) -> None:
    """Pause a run that fails too often; end one whose rows have all ended, and its push with it."""
    known = push_runs.find(desk.connection, number)
    if known is None or known.state not in push_runs.LIVE:
        return
    push = pushes.find(desk.connection, known.push, lock=True)  # the push before its run, as acts do
    run = push_runs.find(desk.connection, number, lock=True)
    assert push and run
    if run.state not in push_runs.LIVE:
        return
    if push.state == "cancelled":
        # What came back into the queue since: it was in hand when the push was cancelled.
        push_runs.give_up(desk.connection, run.id, "cancelled", desk.now)
        mass_jobs.abandon(desk.connection, run.id, "cancelled", desk.now)
        channel_posts.give_up(desk.connection, run.id, "cancelled", machine_now(desk.connection), desk.now)
        if not push_runs.waiting(desk.connection, run.id):
            _end(desk, run, "cancelled")
        return
    if run.state == "paused":
        return
    if push_runs.troubled(desk.connection, run, int(push.limits["errors"]), TRIED_LEAST):
        pushing.pause_by_itself(desk, push.number)
        return
    _leave_behind(desk, run)
    if run.state != "running" or push_runs.waiting(desk.connection, run.id):
        return
    fetch_until = run.occurrence + timedelta(days=FETCH_DAYS) + stood_still(desk, run.occurrence)
    if desk.now < fetch_until and push_runs.queued(desk.connection, run.id):
        return
    _end(desk, run, "done")
    pushing.rest_or_finish(desk, library, push)


def _leave_behind(desk: Desk, run: Run) -> None:
    """End what waits for an account that was switched off meanwhile: nobody would ever send it."""
    for account in served.left_alone(desk.connection, run.id):
        push_runs.give_up(desk.connection, run.id, "account_off", desk.now, account)
    for account in served.jobs_left_alone(desk.connection, run.id):
        mass_jobs.abandon(desk.connection, run.id, "account_off", desk.now, account)
    for account in served.posts_left_alone(desk.connection, run.id):
        machine = machine_now(desk.connection)
        channel_posts.give_up(desk.connection, run.id, "account_off", machine, desk.now, account)


def rule(push: Push, library: Library, ways: Mapping[str, Sequence[str]], now: datetime) -> Rule:
    """For whom a push is, and how it may go, on accounts (`channel:account`) by the ways they have."""
    social = library.plan.social
    month = now.astimezone(_CHINA).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    plan = library.plan
    audience = Audience(plan.id, push_audience.tree(plan, push.audience), now, plan.zone, holdout(plan))
    return Rule(
        audience=audience,
        bots=ways.get("bot", ()),
        service=ways.get("service", ()),
        notices=_templates(library, ways.get("notice", ())),
        mass=ways.get("mass", ()) if push.content.get("wechat") == "mass" else (),
        pages=ways.get("page", ()),
        most=social.most_a_week if social else None,
        month=month,
        first=int(push.limits["first"]),
        rest=timedelta(minutes=int(push.limits["rest"])),
    )


def _templates(library: Library, accounts: Sequence[str]) -> dict[str, str]:
    """The templates of pushes on those of the accounts that have one."""
    found = {account: library.asking.get(account, {}).get(PUSH, "") for account in accounts}
    return {account: template for account, template in found.items() if template}


def _end(desk: Desk, run: Run, state: str) -> None:
    reason = "cancelled" if state == "cancelled" else "not_fetched"
    push_runs.give_up(desk.connection, run.id, reason, desk.now)
    push_runs.end(desk.connection, run.id, state, desk.now)
    desk.note("push.ended", run.campaign, run.revision, {"push": run.push, "run": run.id, "people": run.people})
