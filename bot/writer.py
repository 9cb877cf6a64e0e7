"""Takes whatever waits at a moment as one group, decides it in memory, and commits it with one flush.

Promises: one effect and one answer per key, answers only after the commit, a bad message harms nobody else. One thread
owns all writing; it knows no channel and no rule.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import structlog

from bot import dialogue
from bot.channels import Busy
from campaigns import points
from campaigns.turn import Turn
from content.library import Library
from storage import deliveries, joining, ledger, loading, revisions
from storage.draft import Draft
from storage.group import Elsewhere, Group
from storage.ids import Ids
from storage.incoming import Answer, Incoming
from storage.store import DatabaseFault, Store, passing
from storage.tables import micros
from storage.vault import Vault

GROUP_MAX = 128
QUEUE_MAX = 4_000
ANSWER_SECONDS = 4.0  # WeChat cuts the line at 5
_ELSEWHERE_PAUSE = 0.05
_IDS_PER_MESSAGE = 12  # people, text, deliveries, events, postings, timers of one message, generously
_SETTLE_SECONDS = 0.01
_JOB_TRIES = 6  # at half a second each: longer than PostgreSQL leaves a frozen node its locks

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class StalePlan(Exception):
    """A newer revision was applied: read it, then decide again."""


@dataclass(slots=True)
class _Entry:
    incoming: Incoming
    future: asyncio.Future[Answer]
    since: float


@dataclass(slots=True)
class _Job:
    work: Callable[[Any], Any]
    future: asyncio.Future[Any]
    tries: int = 0


class Writer:
    """One per process. `hear` and `run` belong to the event loop; everything else happens in the writer's thread."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        slot: int,
        read_library: Callable[[], Library],
        now: Callable[[], datetime],
        dice: random.Random,
    ) -> None:
        self._store, self._vault, self.slot = store, vault, slot
        self._read_library, self._now, self._dice = read_library, now, dice
        self.library = read_library()
        self._ids = Ids(store.engine)
        self._entries: deque[_Entry] = deque()
        self._jobs: deque[_Job] = deque()
        self._settled: list[int] = []
        self._released: list[int] = []
        self._tried: list[str] = []
        self._wake = threading.Condition()
        self._closing = False
        self.heard = self.groups = self.reruns = 0
        self.loop = asyncio.get_running_loop()
        self._open: dict[str, list[_Entry]] = {}
        self._thread = threading.Thread(target=self._write, name="writer", daemon=True)
        self._thread.start()
        self._watch = self.loop.create_task(self._give_up_late())

    # ---- on the event loop

    async def hear(self, incoming: Incoming) -> Answer:
        """Decide and commit one message; a key heard before gets its stored answer.

        Raises Busy when no answer was committed in time, or when too many wait already.
        """
        started = self.loop.time()
        while True:
            try:
                return await self._enter(incoming, started)
            except Elsewhere:
                if self.loop.time() - started > ANSWER_SECONDS:
                    raise Busy(incoming.key) from None
                await asyncio.sleep(_ELSEWHERE_PAUSE)

    def _enter(self, incoming: Incoming, started: float) -> asyncio.Future[Answer]:
        if self._closing or len(self._entries) >= QUEUE_MAX:
            raise Busy(incoming.key)
        entry = _Entry(incoming, self.loop.create_future(), started)
        waiting = self._open.get(incoming.key)
        if waiting is not None:
            waiting.append(entry)  # the same message twice at once: one decision, one answer
            return entry.future
        self._open[incoming.key] = [entry]
        with self._wake:
            self._entries.append(entry)
            self._wake.notify()
        return entry.future

    async def run(self, work: Callable[[Any], T]) -> T:
        """Run `work(connection)` in a transaction of its own, between groups. Raises what it raises."""
        if self._closing:
            raise Busy("closing")
        job = _Job(work, self.loop.create_future())
        with self._wake:
            self._jobs.append(job)
            self._wake.notify()
        result: T = await job.future
        return result

    def settled(self, ids: Sequence[int]) -> None:
        """Passive deliveries that were written to the socket: marked with the next group, or soon."""
        with self._wake:
            if not self._settled:  # else the thread knows already that something is to be marked
                self._wake.notify()
            self._settled.extend(ids)

    def release(self, ids: Sequence[int]) -> None:
        """Passive deliveries that the sender is to take."""
        with self._wake:
            self._released.extend(ids)
            self._wake.notify()

    @property
    def waiting(self) -> int:
        """How many messages wait to be decided."""
        return len(self._entries)

    async def close(self) -> None:
        """Take nothing new, finish what waits, and stop the thread."""
        self._closing = True
        with self._wake:
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)
        await asyncio.sleep(0)
        self._watch.cancel()

    async def _give_up_late(self) -> None:
        """A database that hangs must not keep callers: whoever waited too long is told to come again."""
        while True:
            await asyncio.sleep(0.25)
            late = self.loop.time() - ANSWER_SECONDS
            for entries in list(self._open.values()):
                for entry in entries:
                    if entry.since < late and not entry.future.done():
                        entry.future.set_exception(Busy(entry.incoming.key))

    def _deliver(self, results: Sequence[tuple[str, Answer | Exception]]) -> None:
        for key, result in results:
            for entry in self._open.pop(key, ()):
                if entry.future.done():
                    continue
                if isinstance(result, Exception):
                    entry.future.set_exception(result)
                else:
                    entry.future.set_result(result)

    # ---- in the writer's thread

    def _write(self) -> None:
        while True:
            entries, job = self._take()
            if entries:
                self._decide_all(entries)
            if job:
                self._work(job)
            if not entries and not job:
                self._mark_deliveries()
                if self._closing and not self._entries and not self._jobs:
                    return

    def _take(self) -> tuple[list[_Entry], _Job | None]:
        with self._wake:
            while not (self._entries or self._jobs or self._closing):
                marking = bool(self._settled or self._released)
                if not self._wake.wait(_SETTLE_SECONDS if marking else None) and marking:
                    return [], None
            entries: list[_Entry] = []
            while self._entries and len(entries) < GROUP_MAX:
                alone = _stands_alone(self._entries[0].incoming)
                if alone and entries:
                    break
                entries.append(self._entries.popleft())
                if alone:
                    break
            return entries, self._jobs.popleft() if self._jobs else None

    def _decide_all(self, entries: Sequence[_Entry]) -> None:
        incomings = [entry.incoming for entry in entries]
        results: list[tuple[str, Answer | Exception]]
        try:
            results = self._commit(incomings)
        except DatabaseFault as fault:
            if len(incomings) > 1:
                _log.warning("group_rerun", messages=len(incomings), fault=type(fault.orig).__name__)
            self.reruns += 1
            results = [result for incoming in incomings for result in self._alone(incoming)]
        except Exception as broken:
            _log.exception("group_failed", messages=len(incomings))
            results = [(incoming.key, Busy(str(broken))) for incoming in incomings]
        self.groups += 1
        self.heard += len(results)
        self.loop.call_soon_threadsafe(self._deliver, results)

    def _alone(self, incoming: Incoming) -> list[tuple[str, Answer | Exception]]:
        """One message in a group of its own, until it passes or its time is up."""
        known: dict[str, ledger.Posting] = {}
        for attempt in range(5):
            try:
                return self._commit([incoming], known)
            except DatabaseFault as fault:
                _log.warning("message_rerun", key=incoming.key, attempt=attempt, fault=type(fault.orig).__name__)
                if attempt:
                    time.sleep(0.05 * attempt)
                self._learn_postings(known)
        return [(incoming.key, Busy(incoming.key))]

    def _learn_postings(self, known: dict[str, ledger.Posting]) -> None:
        """After a clash on a posting's key: read what stands there, so that the same effect counts as done."""
        try:
            with self._store.begin() as connection:
                known.update(loading.postings(connection, self._tried))
        except DatabaseFault:
            _log.warning("database_away")

    def _commit(
        self, incomings: Sequence[Incoming], known: dict[str, ledger.Posting] | None = None
    ) -> list[tuple[str, Answer | Exception]]:
        for _ in range(3):
            try:
                return self._one_transaction(incomings, known or {})
            except StalePlan:
                self.library = self._read_library()
        raise StalePlan("the plan changes faster than it can be read")

    def _one_transaction(
        self, incomings: Sequence[Incoming], known: dict[str, ledger.Posting]
    ) -> list[tuple[str, Answer | Exception]]:
        library, plan = self.library, self.library.plan
        new_id = self._ids.reserve(_IDS_PER_MESSAGE * len(incomings) + 8)
        settled, released = self._marks()
        try:
            with self._store.begin() as connection:
                if revisions.current(connection, plan.id) != library.revision:
                    raise StalePlan(plan.id)
                group = Group(connection, new_id, self._vault)
                group.known_postings = known
                results = self._decide(group, incomings, library)
                self._tried = [posting.key for posting in group.book.postings]
                group.flush()
                self._write_marks(connection, settled, released)
        except BaseException:
            with self._wake:
                self._settled.extend(settled)
                self._released.extend(released)
            raise
        return results

    def _decide(
        self, group: Group, incomings: Sequence[Incoming], library: Library
    ) -> list[tuple[str, Answer | Exception]]:
        stored = group.load(incomings)
        if len(stored) < len(incomings):
            group.lock(points.issue_accounts(library.plan, self.slot))
            points.stock_up(group, library.plan, self.slot, library.revision, micros(incomings[-1].at))

        def turn(draft: Draft) -> Turn:
            return Turn(group, draft, library, self.slot, self._dice)

        results: list[tuple[str, Answer | Exception]] = list(stored.items())
        for incoming in incomings:
            if incoming.key not in stored:
                draft, messages = dialogue.answer(group, group.begin(incoming), turn)
                results.append((incoming.key, group.accept(draft, messages)))
        return results

    def _work(self, job: _Job) -> None:
        """Run a job; one that met a lock of a node that is frozen, or our own session ended, comes again later.

        It goes to the end of the queue, so that messages are decided in between.
        """
        result: Any = None
        fault: BaseException | None = None
        try:
            with self._store.begin() as connection:
                result = job.work(connection)
        except Exception as broken:
            fault = broken
            if isinstance(broken, DatabaseFault) and passing(broken) and job.tries < _JOB_TRIES:
                job.tries += 1
                with self._wake:
                    self._jobs.append(job)
                return
        self.loop.call_soon_threadsafe(_finish, job.future, result, fault)

    def _marks(self) -> tuple[list[int], list[int]]:
        with self._wake:
            settled, self._settled = self._settled, []
            released, self._released = self._released, []
        return settled, released

    def _mark_deliveries(self) -> None:
        settled, released = self._marks()
        if not settled and not released:
            return
        try:
            with self._store.begin() as connection:
                self._write_marks(connection, settled, released)
        except DatabaseFault:
            _log.warning("marks_failed", count=len(settled) + len(released))
            with self._wake:
                self._settled.extend(settled)
                self._released.extend(released)
            time.sleep(0.2)

    def _write_marks(self, connection: Any, settled: list[int], released: list[int]) -> None:
        if settled:
            deliveries.settle(connection, settled, micros(self._now()))
        if released:
            deliveries.release(connection, released)


def _stands_alone(incoming: Incoming) -> bool:
    """What has a group to itself: leaving erases, and joining two people moves, what others of it would write."""
    return incoming.kind == "unfollow" or bool(joining.spelled(incoming.text))


def _finish(future: asyncio.Future[Any], result: Any, fault: BaseException | None) -> None:
    if future.done():
        return
    if fault:
        future.set_exception(fault)
    else:
        future.set_result(result)
