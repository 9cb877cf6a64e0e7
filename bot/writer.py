"""Takes whatever waits at a moment as one group, decides it in memory, and commits it with one flush.

Promises: one effect and one answer per key, answers only after the commit, a bad message harms nobody else. One task
owns all writing; it knows no channel and no rule.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
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
from storage.store import DatabaseFault, Store, Transaction, passing
from storage.tables import micros
from storage.vault import Vault

GROUP_MAX = 128
QUEUE_MAX = 4_000
ANSWER_SECONDS = 4.0  # WeChat cuts the line at 5
_ELSEWHERE_PAUSE = 0.05
_IDS_PER_MESSAGE = 12  # people, text, deliveries, events, postings, timers of one message, generously
_SETTLE_SECONDS = 0.01
_MARK_PAUSE = 0.2
_PLAN_TRIES = 3
_JOB_TRIES = 6  # at half a second each: longer than PostgreSQL leaves a frozen node its locks

Results = list[tuple[str, Answer | Exception]]
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


@dataclass(frozen=True, slots=True)
class _Marks:
    """Passive deliveries whose state is known now."""

    settled: list[int]
    released: list[int]

    def write(self, connection: Any, at: int) -> None:
        if self.settled:
            deliveries.settle(connection, self.settled, at)
        if self.released:
            deliveries.release(connection, self.released)


class Writer:
    """One per process; its methods belong to the event loop.

    What waits for a disk or a network happens in one thread of the writer's own. On SQLite that is the commit alone:
    its statements are calls within the process, and two threads that take turns at the interpreter for each of them
    cost half as much again as the statements themselves. On PostgreSQL it is the whole transaction.
    """

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
        self._ids = Ids(store.begin)
        self._entries: deque[_Entry] = deque()
        self._jobs: deque[_Job] = deque()
        self._settled: list[int] = []
        self._released: list[int] = []
        self._tried: list[str] = []
        self._woken = asyncio.Event()
        self._closing = False
        self.heard = self.groups = self.reruns = 0
        self.loop = asyncio.get_running_loop()
        self._open: dict[str, list[_Entry]] = {}
        self._thread = ThreadPoolExecutor(1, "writer")
        self._writing = self.loop.create_task(self._write())
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
        self._entries.append(entry)
        self._woken.set()
        return entry.future

    async def run(self, work: Callable[[Any], T]) -> T:
        """Run `work(connection)` in a transaction of its own, between groups. Raises what it raises."""
        if self._closing:
            raise Busy("closing")
        job = _Job(work, self.loop.create_future())
        self._jobs.append(job)
        self._woken.set()
        result: T = await job.future
        return result

    def settled(self, ids: Sequence[int]) -> None:
        """Passive deliveries that were written to the socket: marked with the next group, or soon."""
        self._settled.extend(ids)
        self._woken.set()

    def release(self, ids: Sequence[int]) -> None:
        """Passive deliveries that the sender is to take."""
        self._released.extend(ids)
        self._woken.set()

    @property
    def waiting(self) -> int:
        """How many messages wait to be decided."""
        return len(self._entries)

    async def close(self) -> None:
        """Take nothing new, finish what waits, and stop."""
        self._closing = True
        self._woken.set()
        await self._writing
        self._thread.shutdown()
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

    # ---- the writing task

    async def _write(self) -> None:
        while True:
            await self._something_to_do()
            if self._entries:
                await self._decide_all(self._take())
            if self._jobs:
                await self._work(self._jobs.popleft())
            if not self._entries and not self._jobs:
                await self._mark_deliveries()
                if self._closing and not self._entries and not self._jobs:
                    return

    async def _something_to_do(self) -> None:
        """Wait for a message or a job; marks alone wait a moment for a group that could take them along."""
        while not (self._entries or self._jobs or self._closing):
            self._woken.clear()
            if not self._settled and not self._released:
                await self._woken.wait()
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), _SETTLE_SECONDS)
            if not self._entries:
                return

    def _take(self) -> list[Incoming]:
        """The next group, in the order of coming."""
        group: list[Incoming] = []
        while self._entries and len(group) < GROUP_MAX:
            alone = _stands_alone(self._entries[0].incoming)
            if alone and group:
                break
            group.append(self._entries.popleft().incoming)
            if alone:
                break
        return group

    async def _in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        return await self.loop.run_in_executor(self._thread, work, *arguments)

    async def _decide_all(self, incomings: Sequence[Incoming]) -> None:
        results: Results
        try:
            results = await self._commit(incomings)
        except DatabaseFault as fault:
            if len(incomings) > 1:
                _log.warning("group_rerun", messages=len(incomings), fault=type(fault.orig).__name__)
            self.reruns += 1
            results = await self._in_thread(self._one_by_one, incomings)
        except Exception as broken:
            _log.exception("group_failed", messages=len(incomings))
            results = [(incoming.key, Busy(str(broken))) for incoming in incomings]
        self.groups += 1
        self.heard += len(results)
        self._deliver(results)

    async def _commit(self, incomings: Sequence[Incoming]) -> Results:
        """Decide and commit one group."""
        for _ in range(_PLAN_TRIES):
            marks = self._marks()
            try:
                if not self._store.is_sqlite:
                    return await self._in_thread(self._one_transaction, incomings, {}, marks)
                transaction, results = self._decided(incomings, {}, marks)
                await self._in_thread(transaction.commit)
                return results
            except StalePlan:
                self._take_back(marks)
                self.library = await self._in_thread(self._read_library)
            except BaseException:
                self._take_back(marks)
                raise
        raise StalePlan("the plan changes faster than it can be read")

    def _decided(
        self, incomings: Sequence[Incoming], known: dict[str, ledger.Posting], marks: _Marks
    ) -> tuple[Transaction, Results]:
        """A group decided and written, all but its commit. Raises StalePlan, DatabaseFault."""
        library, plan = self.library, self.library.plan
        new_id = self._ids.reserve(_IDS_PER_MESSAGE * len(incomings) + 8)
        transaction = self._store.transaction()
        try:
            if revisions.current(transaction.connection, plan.id) != library.revision:
                raise StalePlan(plan.id)
            group = Group(transaction.connection, new_id, self._vault)
            group.known_postings = known
            results = self._decide(group, incomings, library)
            self._tried = [posting.key for posting in group.book.postings]
            group.flush()
            marks.write(transaction.connection, micros(self._now()))
        except BaseException:
            transaction.rollback()
            raise
        return transaction, results

    def _decide(self, group: Group, incomings: Sequence[Incoming], library: Library) -> Results:
        stored = group.load(incomings)
        if len(stored) < len(incomings):
            group.lock(points.issue_accounts(library.plan, self.slot))
            points.stock_up(group, library.plan, self.slot, library.revision, micros(incomings[-1].at))

        def turn(draft: Draft) -> Turn:
            return Turn(group, draft, library, self.slot, self._dice)

        results: Results = list(stored.items())
        for incoming in incomings:
            if incoming.key not in stored:
                draft, messages = dialogue.answer(group, group.begin(incoming), turn)
                results.append((incoming.key, group.accept(draft, messages)))
        return results

    def _marks(self) -> _Marks:
        marks = _Marks(self._settled, self._released)
        self._settled, self._released = [], []
        return marks

    def _take_back(self, marks: _Marks) -> None:
        self._settled += marks.settled
        self._released += marks.released

    async def _mark_deliveries(self) -> None:
        marks = self._marks()
        if not marks.settled and not marks.released:
            return
        at = micros(self._now())
        try:
            await self._in_thread(self._transact, lambda connection: marks.write(connection, at))
        except DatabaseFault:
            _log.warning("marks_failed", count=len(marks.settled) + len(marks.released))
            self._take_back(marks)
            await asyncio.sleep(_MARK_PAUSE)

    async def _work(self, job: _Job) -> None:
        """Run a job; one that met a lock of a node that is frozen, or our own session ended, comes again later.

        It goes to the end of the queue, so that messages are decided in between.
        """
        try:
            result = await self._in_thread(self._transact, job.work)
        except Exception as fault:
            if isinstance(fault, DatabaseFault) and passing(fault) and job.tries < _JOB_TRIES:
                job.tries += 1
                self._jobs.append(job)
            elif not job.future.done():
                job.future.set_exception(fault)
        else:
            if not job.future.done():
                job.future.set_result(result)

    # ---- in the writer's thread

    def _transact(self, work: Callable[[Any], T]) -> T:
        with self._store.begin() as connection:
            return work(connection)

    def _one_transaction(
        self, incomings: Sequence[Incoming], known: dict[str, ledger.Posting], marks: _Marks
    ) -> Results:
        transaction, results = self._decided(incomings, known, marks)
        transaction.commit()
        return results

    def _one_by_one(self, incomings: Sequence[Incoming]) -> Results:
        return [result for incoming in incomings for result in self._alone(incoming)]

    def _alone(self, incoming: Incoming) -> Results:
        """One message in a group of its own, until it passes or its time is up."""
        known: dict[str, ledger.Posting] = {}
        for attempt in range(5):
            try:
                return self._one_transaction([incoming], known, _Marks([], []))
            except StalePlan:
                self.library = self._read_library()
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


def _stands_alone(incoming: Incoming) -> bool:
    """What has a group to itself: leaving erases, and joining two people moves, what others of it would write."""
    return incoming.kind == "unfollow" or bool(joining.spelled(incoming.text))
