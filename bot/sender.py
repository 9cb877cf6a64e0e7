"""Takes what waits in the delivery table to its channel: a claim and a grant in one commit, the request, its end.

Promises that no request starts before the row says so, that all nodes together obey one rate and one pause per channel
account, and that a fault of one message or account harms no other. It knows no platform and no rule.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Protocol, TypeVar

import structlog

from bot.channels import Channel, Outcome, Parcel
from storage import deliveries, pauses, rates
from storage.deliveries import Claimed, Ended
from storage.store import machine_now
from storage.tables import instant, micros

SEND_SECONDS = 40.0  # a request that takes longer is given up, in doubt,
_LATE_SECONDS = 1.0  # or so much later
_SENDING_SECONDS = 60.0  # more than SEND_SECONDS and the commit after it
# Per channel account and node: what a fault may leave in doubt. An account that takes very many a second gets places
# for a twentieth of them, up to a number whose rows are still written within some tens of milliseconds.
_IN_FLIGHT, _MOST_IN_FLIGHT, _OF_A_SECOND = 64, 2048, 20
BEGIN_SECONDS = 1.5  # a request that begins later would not know of an emergency stop since its commit
_STOP_SECONDS = 8.0  # SIGTERM leaves ten
_LINGER_SECONDS = 0.05
# Requests end one by one; their rows are written, and places filled again, by the handful: after a breath, or as soon
# as half of the places wait for it.
_BREATH_SECONDS = 0.02
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.01, 0.25
_SECOND = 1_000_000
# Who is so late for their turn gives it back, where there are few: requests that close up to others would be more than
# a second may hold. Turns that come so soon are not waited for.
_LATE_TURN, _SOON_SECONDS = 0.025, 0.003
_FINAL = frozenset({"sent", "refused", "failed"})  # what needs no clock to be written
_LATE = Outcome("slow", "late")  # not sent, and no fault of the account

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class Run(Protocol):
    """Executes a job in a transaction of its own in the process's writer."""

    def __call__(self, job: Callable[[Any], T], /) -> Awaitable[T]:
        """What the job returned, once it is committed; raises what it raised."""
        ...


class Sender:
    """One per process; all its methods belong to the event loop.

    `ended` counts results by (channel account, state) and `alarms` what staff should look at, by channel account.
    """

    def __init__(
        self,
        run: Run,
        channels: Iterable[Channel],
        now: Callable[[], datetime],
        holder: str,
        runs: Callable[[Any, datetime], Sequence[int]] = lambda connection, now: (),
        further: Callable[[int, str, Outcome], Awaitable[Outcome]] | None = None,
        noticed: Callable[[Claimed], Awaitable[Outcome | None]] | None = None,
    ) -> None:
        """`holder` must be unique to this process. Channels whose people fetch are left alone.

        `runs` says which runs of pushes may be sent at a moment of campaign time, in order. `further` takes an answer
        that was refused (its delivery, account and outcome) along other ways, if it is a notice. `noticed` sends a push
        whose way is a notice; None when that was not begun after all.
        """
        self._further, self._noticed = further, noticed
        self._runs = runs
        self._run, self._now, self._holder = run, now, holder
        self._channels = {f"{channel.name}:{channel.account}": channel for channel in channels if not channel.pulls()}
        self._half = {name: _places(channel) // 2 for name, channel in self._channels.items()}
        self._flying: dict[asyncio.Task[Outcome], tuple[Claimed, float]] = {}  # and since when, the longest first
        self._looking_after: asyncio.TimerHandle | None = None
        self._in_flight: Counter[str] = Counter()
        self._landed: list[tuple[Claimed, Outcome]] = []
        self._many_landed = asyncio.Event()
        self._claims = 0
        self._away = 0.0  # how long a claim takes to be committed
        self._resting: dict[str, float] = {}  # account → until when it waits, as far as this process knows
        self._begun: dict[str, deque[float]] = {}  # paced account → when its last requests began: a second's worth
        self._more = False  # an account had as many as could be claimed at once
        self._busy = asyncio.Lock()
        self._woken = asyncio.Event()
        self._closing = False
        self.held = False  # a restored copy: nothing leaves
        self.ended: Counter[tuple[str, str]] = Counter()
        self.alarms: Counter[str] = Counter()

    def wake(self) -> None:
        """Something was queued or released: look sooner."""
        self._woken.set()

    async def loop(self) -> None:
        """Step until `close`, resting while there is nothing to do. Survives a database that is away."""
        rest = _SHORTEST_PAUSE
        while not self._closing:
            moved, self._more = 0, False
            try:
                moved = await self.step(self._now())
            except Exception as fault:
                _log.warning("sender_step_failed", fault=type(fault).__name__)
            if self._more:
                continue
            rest = _SHORTEST_PAUSE if moved else min(2 * rest, _LONGEST_PAUSE)
            if not moved:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), rest)
                    rest = _SHORTEST_PAUSE  # what was released is committed a moment later: keep looking
            elif self._flying:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._many_landed.wait(), _BREATH_SECONDS)
            self._woken.clear()

    async def step(self, now: datetime) -> int:
        """Write the ends of finished requests and begin new ones; returns how many ended, began or are on their way.

        Does not wait for requests, but for a moment when there is nothing else to do. 0 means that nothing is due, or
        that rate or pause forbid it now.
        """
        async with self._busy:
            if self._closing or self.held:
                return 0
            moved = await self._land(now)
            moved += await self._take_off(now)
            if not moved and self._flying:
                await asyncio.wait(self._flying, timeout=_LINGER_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                await self._land(now)
                return 1
            return moved or await self._land(now)

    async def close(self) -> None:
        """Begin nothing more, let requests end, and write how. What does not end in time is in doubt."""
        self._closing = True
        self._woken.set()
        async with self._busy:
            if self._flying:
                _, late = await asyncio.wait(self._flying, timeout=_STOP_SECONDS)
                for task in late:
                    task.cancel()
                if late:
                    await asyncio.wait(late)
            await self._land(self._now())

    # ---- beginning

    async def _take_off(self, now: datetime) -> int:
        # Half of the places at a time: while these are on their way, the next are claimed.
        most = self._half = {name: _places(channel) // 2 for name, channel in self._channels.items()}
        free = {name: min(number, 2 * number - self._in_flight[name]) for name, number in most.items()}
        self._claims += 1
        lease = f"{self._holder}/{self._claims}"  # one of its own: an earlier claim's late result must not end this one
        looked: list[float] = []
        resting: dict[str, float] = {}

        def claim(connection: Any) -> list[tuple[Claimed, float]]:
            looked.append(time.monotonic())
            return self._claim(connection, free, now, lease, resting)

        turns = await self._run(claim)
        unwritten = {row.account for row, outcome in self._landed if _pauses(outcome)}
        self._resting.update((account, until) for account, until in resting.items() if account not in unwritten)
        began = time.monotonic()
        self._away = min(max(0.9 * self._away, began - looked[-1]), BEGIN_SECONDS / 2)
        for row, turn in turns:
            task = asyncio.create_task(self._send(row, turn, looked[-1] + BEGIN_SECONDS))
            self._flying[task] = row, began
            self._in_flight[row.account] += 1
            task.add_done_callback(self._land_one)
        self._more = any(number == most[name] for name, number in Counter(row.account for row, _ in turns).items())
        if turns and self._looking_after is None:
            self._give_up_late()
        return len(turns)

    def _give_up_late(self) -> None:
        """Once in a while, for all: a timer for each request would cost as much as the rest of it does here."""
        late = time.monotonic() - SEND_SECONDS
        for task, (_, began) in self._flying.items():
            if began > late:
                break
            task.cancel()
        self._looking_after = None
        if self._flying and not self._closing:
            self._looking_after = asyncio.get_running_loop().call_later(_LATE_SECONDS, self._give_up_late)

    def _claim(
        self, connection: Any, free: Mapping[str, int], now: datetime, lease: str, resting: dict[str, float]
    ) -> list[tuple[Claimed, float]]:
        """Rows and when their requests are to begin; until when accounts wait goes into `resting`. Looks at everything
        that must be looked at just before: runs, stop, consent, pause and rate."""
        machine, looked = machine_now(connection), time.monotonic()
        turns: list[tuple[Claimed, float]] = []
        runs, at = self._runs(connection, self._now()), micros(now)
        for account, places in sorted(free.items()):
            rate = self._channels[account].per_second
            granted: list[float] = []
            room, pause_until = rates.room(connection, account, rate, machine)
            room = min(places, room)
            resting[account] = looked + (pause_until - machine) / _SECOND

            def grant(wanted: int, account: str = account, rate: float = rate, into: list[float] = granted) -> int:
                away = int(self._away * _SECOND) if rate <= rates.PACED else 0
                # The database's clock, read a moment ago: asking again would be a round trip more.
                since = int((time.monotonic() - looked) * _SECOND)
                instants = rates.take(connection, account, rate, wanted, machine + since, away)
                into += [looked + (instant - machine) / _SECOND for instant in instants]
                return len(into)

            if room > 0:
                rows = deliveries.claim(connection, account, at, machine, lease, room, _SENDING_SECONDS, runs, grant)
                turns += zip(rows, granted, strict=False)
        return turns

    async def _send(self, row: Claimed, turn: float, latest: float) -> Outcome:
        wait = turn - time.monotonic()
        if wait > _SOON_SECONDS:
            await asyncio.sleep(wait)
        channel = self._channels[row.account]
        try:
            await channel.open()
        except Exception as broken:  # nothing was sent; the next in turn tries again
            self._alarm("open_broke", row.account, delivery=row.id, fault=type(broken).__name__)
            return Outcome("retry", "channel_broke")
        if channel.per_second <= rates.PACED:
            # Only so late that others' turns have come.
            if time.monotonic() > turn + _LATE_TURN:
                return _LATE
            await self._keep_apart(row.account)
        # Frozen: what was read before the commit may have changed. Or the platform has asked for a pause since.
        late = time.monotonic()
        if late > latest or late < self._resting.get(row.account, late):
            return _LATE
        heard_at = None if row.heard_at is None else instant(row.heard_at)
        parcel = Parcel(row.id, row.address, row.message, heard_at, row.heard_kind, row.sent_since)
        try:
            if self._noticed and row.way == "notice":
                return await self._noticed(row) or _LATE
            outcome = await channel.send(parcel)
            if self._further and outcome.state in ("refused", "failed") and not row.pushed:
                outcome = await self._further(row.id, row.account, outcome)
            return outcome
        except TimeoutError:
            return Outcome("doubtful", "no_answer")
        except Exception as broken:
            # The type alone: a vendor's message may hold an address with the token in it.
            self._alarm("send_broke", row.account, delivery=row.id, fault=type(broken).__name__)
            return Outcome("doubtful", "channel_broke")

    async def _keep_apart(self, account: str) -> None:
        """Who began late must not be closed up to by who begins in time, a second's worth of requests behind."""
        now = time.monotonic()
        begun = self._begun.setdefault(account, deque(maxlen=max(1, int(self._channels[account].per_second))))
        begin = max(now, begun[0] + rates.APART_SECONDS) if len(begun) == begun.maxlen else now
        begun.append(begin)
        if begin > now:
            await asyncio.sleep(begin - now)

    # ---- ending

    async def _land(self, now: datetime) -> int:
        """Write the ends of all requests that are done. They are kept for the next time when the database is away."""
        self._many_landed.clear()
        landed = list(self._landed)
        if landed:
            await self._run(lambda connection: _finish(connection, landed, micros(now)))
            del self._landed[: len(landed)]
            self.ended.update((row.account, outcome.state) for row, outcome in landed)
        return len(landed)

    def _land_one(self, task: asyncio.Task[Outcome]) -> None:
        row, _ = self._flying.pop(task)
        cancelled = Outcome("doubtful", "stopped" if self._closing else "no_answer")
        outcome = cancelled if task.cancelled() else task.result()
        self._in_flight[row.account] -= 1
        self._landed.append((row, outcome))
        if _pauses(outcome):
            until = time.monotonic() + max(outcome.wait, pauses.SHORTEST)
            self._resting[row.account] = max(self._resting.get(row.account, until), until)
            self._alarm("account_paused", row.account, reason=outcome.reason, seconds=outcome.wait)
        if len(self._landed) >= self._half[row.account]:
            self._many_landed.set()

    def _alarm(self, event: str, account: str, **more: Any) -> None:
        self.alarms[account] += 1
        _log.warning(event, account=account, **more)


def _pauses(outcome: Outcome) -> bool:
    return outcome.state == "slow" and outcome is not _LATE


def _places(channel: Channel) -> int:
    return min(_MOST_IN_FLIGHT, max(_IN_FLIGHT, int(channel.per_second / _OF_A_SECOND)))


def _finish(connection: Any, landed: Sequence[tuple[Claimed, Outcome]], at: int) -> None:
    # Asked only where something waits.
    machine = 0 if all(outcome.state in _FINAL for _, outcome in landed) else machine_now(connection)
    results = [Ended(row.id, row.lease, outcome.state, outcome.reason, outcome.wait) for row, outcome in landed]
    deliveries.finish(connection, results, machine, at)
    longest: dict[str, Outcome] = {}
    for row, outcome in landed:
        if _pauses(outcome):
            before = longest.setdefault(row.account, outcome)
            longest[row.account] = max(before, outcome, key=lambda one: one.wait)
    for account, outcome in sorted(longest.items()):  # in one order, for other nodes do the same
        pauses.note(connection, account, outcome.reason, outcome.wait)
