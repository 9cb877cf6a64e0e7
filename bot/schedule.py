"""The ticker: APScheduler wakes each `step` in memory; what is due, and who does it, is decided by rows.

Nothing is scheduled per person here, and a missed tick loses nothing: the next one finds the same rows.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog

from bot.channels import Busy
from bot.writer import Writer
from storage import deliveries, holds, kept, nodes, retention, timers
from storage.incoming import Incoming
from storage.sealer import Sealer
from storage.store import DatabaseFault, machine_now

if TYPE_CHECKING:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

SLOT_STALE_SECONDS = 30.0
TIMERS_AT_ONCE = 200
SEALED_AT_ONCE = 250
_SEALED_WHEN_BUSY, _BUSY_BITES, _BITE_PAUSE = 50, 5, 0.05
_BUSY = 20  # messages since the last tick
_DAILY_LOOK_SECONDS = 600
_RETENTION, _RETENTION_SECONDS, _RETENTION_SOON_SECONDS = "retention", 120.0, 30.0
_log = structlog.get_logger(__name__)


class Schedule:
    """All steps of one process. `now` is campaign time; each step can be driven by hand in a test."""

    def __init__(
        self,
        writer: Writer,
        sealer: Sealer,
        holder: str,
        now: Callable[[], datetime],
        daily: Sequence[Callable[[], Awaitable[None]]] = (),
        pushes: Callable[[], Awaitable[None]] | None = None,
        notices: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        """`daily` are asked every ten minutes whether their work of the day is to be done, `pushes` twice a second;
        `notices` settles every second those that were sent."""
        self._notices = notices
        self._pushes = pushes
        self._writer, self._sealer, self._holder, self._now = writer, sealer, holder, now
        self._daily = daily
        self._ticker: AsyncIOScheduler | None = None
        self._beginning: asyncio.Task[None] | None = None
        self.sealed = self.retained = self._heard = 0
        self.retained_at = 0.0  # when the last look for what is past its retention ended, seconds since 1970
        self.held = False  # a restored copy: timers and daily work, which may speak, wait for its release

    async def timers(self) -> int:
        """Fire what is due, each as a turn of its own; returns how many."""
        if self.held:
            return 0
        now = self._now()
        due = await self._writer.run(lambda connection: timers.due(connection, now, TIMERS_AT_ONCE))
        for timer in due:
            data = {**timer.data, "timer": timer.id, "kind": timer.kind}
            incoming = Incoming("", "", str(timer.subscriber), f"timer:{timer.key}", "timer", now, data=data)
            await self._writer.hear(incoming)
        return len(due)

    async def seal(self) -> int:
        """Seal what was committed, between groups, and go on while there is more; returns how many.

        While people write, in some bites so small that nobody feels them: what is left then is sealed when it is quiet.
        """
        heard, self._heard = self._writer.heard - self._heard, self._writer.heard
        busy = heard > _BUSY
        size, sealed = _SEALED_WHEN_BUSY if busy else SEALED_AT_ONCE, 0

        def seal(connection: Any) -> int:
            return self._sealer.step(size, connection)

        for bite in itertools.count(1):
            done = await self._writer.run(seal)
            sealed += done
            if done < size or (bite == _BUSY_BITES if busy else self._writer.waiting):
                break
            if busy:
                await asyncio.sleep(_BITE_PAUSE)
        self.sealed += sealed
        return sealed

    async def reap(self) -> None:
        """Give expired leases back, and free holds whose time is over."""
        now = self._now()
        await self._writer.run(lambda connection: deliveries.reap(connection, machine_now(connection)))
        await self._writer.run(lambda connection: holds.expire(connection, now))

    async def beat(self) -> None:
        """Keep this node's slot; a node that was away so long that another took it gets a new one."""
        decider = self._writer.decider
        if not await self._writer.run(lambda connection: nodes.beat(connection, decider.slot, self._holder)):
            _log.warning("slot_lost", slot=decider.slot)
            decider.slot = await self._writer.run(
                lambda connection: nodes.take_slot(connection, self._holder, SLOT_STALE_SECONDS)
            )

    async def retain(self) -> None:
        """Empty texts past their retention and erase people whose term ended, in small bites, on one node at a time."""
        days = self._writer.library.plan.privacy.text_days
        lease = _RETENTION, self._holder
        while await self._writer.run(lambda connection: kept.hold(connection, *lease, _RETENTION_SECONDS)):
            touched = await self._writer.run(lambda connection: retention.step(connection, self._now(), days))
            self.retained += touched
            if not touched:
                await self._writer.run(lambda connection: kept.hold(connection, *lease, 0))
                self.retained_at = time.time()
                return

    def _unless_held(self, work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        async def daily() -> None:
            if not self.held:
                await work()

        return daily

    def start(self) -> None:
        """Begin ticking, as soon as the ticker is loaded: readiness does not wait for it."""
        self._beginning = asyncio.create_task(_calm(self._begin)())

    async def _begin(self) -> None:
        ticker = await asyncio.to_thread(_ticker)
        every: list[tuple[Callable[[], Awaitable[Any]], float]] = [
            (self.timers, 1),
            *([(self._unless_held(self._pushes), 0.5)] if self._pushes else []),
            *([(self._notices, 1)] if self._notices else []),
            (self.seal, 0.5),
            (self.reap, 2),
            (self.beat, 5),
            (self.retain, 3600),
            *[(self._unless_held(work), _DAILY_LOOK_SECONDS) for work in self._daily],
        ]
        for step, seconds in every:
            ticker.add_job(_calm(step), "interval", seconds=seconds, max_instances=1, coalesce=True)
        # The first look for what is old soon after the start: a service that is restarted often must not miss it.
        soon = datetime.now(UTC) + timedelta(seconds=_RETENTION_SOON_SECONDS)
        ticker.add_job(_calm(self.retain), "date", run_date=soon)
        ticker.start()
        self._ticker = ticker

    async def close(self) -> None:
        """Stop ticking."""
        if self._beginning:
            self._beginning.cancel()
        if self._ticker:
            self._ticker.shutdown(wait=False)
        await asyncio.sleep(0)


def _ticker() -> AsyncIOScheduler:
    """APScheduler looks through every installed package as it is loaded, which is nothing for the event loop."""
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

    return AsyncIOScheduler(timezone="UTC")


def _calm(step: Callable[[], Awaitable[Any]]) -> Callable[[], Coroutine[Any, Any, None]]:
    """A tick that fails is logged and tried again by the next."""

    async def tick() -> None:
        try:
            await step()
        except asyncio.CancelledError:
            return  # the service stops; what is due is found by the next to start
        except (Busy, DatabaseFault) as fault:
            _log.warning("tick_failed", step=step.__name__, fault=type(fault).__name__)
        except Exception:
            _log.exception("tick_broke", step=step.__name__)

    return tick
