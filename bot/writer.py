"""Takes whatever waits at a moment as one group, decides it in memory, and commits it with one flush.

Promises: one effect and one answer per key, answers only after the commit, a bad message harms nobody else. One task
owns all writing; it knows no channel and no rule.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import structlog

from bot.bell import Bell
from bot.beside import Beside
from bot.channels import Busy
from bot.deciding import Decider, Marks, Results, StalePlan
from content.library import Library
from storage import joining
from storage.group import Elsewhere
from storage.incoming import Answer, Incoming
from storage.store import DatabaseFault, Store, passing
from storage.tables import micros
from storage.vault import Vault

GROUP_MAX = 128
QUEUE_MAX = 4_000
ANSWER_SECONDS = 4.0  # WeChat cuts the line at 5
_ELSEWHERE_PAUSE = 0.05
_SETTLE_SECONDS = 0.01
_GATHER_SECONDS, _IDLE_ROUNDS = 0.004, 3
_MARK_PAUSE = 0.2
_PLAN_TRIES = 3
_JOB_TRIES = 6  # at half a second each: longer than PostgreSQL leaves a frozen node its locks

T = TypeVar("T")
Told = Callable[[Answer | Exception], None]
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Entry:
    incoming: Incoming
    told: Told | None  # None once it was told
    since: float


@dataclass(slots=True)
class _Job:
    work: Callable[[Any], Any]
    future: asyncio.Future[Any]
    tries: int = 0


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
        self._store, self._now = store, now
        self.decider = Decider(store, vault, slot, read_library, now, dice)
        self._entries: deque[_Entry] = deque()
        self._jobs: deque[_Job] = deque()
        self._settled: list[int] = []
        self._released: list[int] = []
        self._bell = Bell()
        self._closing = False
        self.heard = self.groups = self.reruns = 0
        self.loop = asyncio.get_running_loop()
        self._open: dict[str, list[_Entry]] = {}
        self._thread = Beside("writer")
        self._writing = self.loop.create_task(self._write())
        self._watch = self.loop.create_task(self._give_up_late())

    # ---- on the event loop

    async def hear(self, incoming: Incoming) -> Answer:
        """Decide and commit one message; a key heard before gets its stored answer.

        Raises Busy when no answer was committed in time, or when too many wait already.
        """
        future: asyncio.Future[Answer] = self.loop.create_future()
        self.hear_then(incoming, lambda result: _settle(future, result))
        return await future

    def hear_then(self, incoming: Incoming, told: Told) -> None:
        """The same; `told` gets the answer, or the Busy or fault that `hear` raises. It must not raise.

        Raises Busy when too many wait already.
        """
        if self._closing or len(self._entries) >= QUEUE_MAX:
            raise Busy(incoming.key)
        self._enter(_Entry(incoming, told, self.loop.time()))

    def _enter(self, entry: _Entry) -> None:
        key = entry.incoming.key
        waiting = self._open.get(key)
        if waiting is not None:
            waiting.append(entry)  # the same message twice at once: one decision, one answer
            return
        self._open[key] = [entry]
        self._entries.append(entry)
        self._bell.ring()

    def _enter_again(self, entry: _Entry) -> None:
        """Another node was working on it: by now its answer may be stored."""
        late = self._closing or self.loop.time() - entry.since > ANSWER_SECONDS
        if late:
            _tell(entry, Busy(entry.incoming.key))
        else:
            self._enter(entry)

    async def run(self, work: Callable[[Any], T]) -> T:
        """Run `work(connection)` in a transaction of its own, between groups. Raises what it raises."""
        if self._closing:
            raise Busy("closing")
        job = _Job(work, self.loop.create_future())
        self._jobs.append(job)
        self._bell.ring()
        result: T = await job.future
        return result

    async def apart(self, work: Callable[[Any], T]) -> T:
        """Run `work(connection)` in a transaction beside the groups where the database can, so that what takes long
        holds up nobody's answer; on SQLite between them. Is not tried again. Raises what it raises."""
        if self._store.is_sqlite:
            return await self.run(work)
        if self._closing:
            raise Busy("closing")
        return await asyncio.to_thread(self._transact, work)

    def settled(self, ids: Sequence[int]) -> None:
        """Passive deliveries that were written to the socket: marked with the next group, or soon."""
        self._keep_mark(self._settled, ids)

    def release(self, ids: Sequence[int]) -> None:
        """Passive deliveries that the sender is to take."""
        self._keep_mark(self._released, ids)

    def _keep_mark(self, marks: list[int], ids: Sequence[int]) -> None:
        first = not self._settled and not self._released
        marks += ids
        if first:
            self._bell.ring()

    @property
    def library(self) -> Library:
        """What is answered with: the applied revision as last read."""
        return self.decider.library

    @property
    def waiting(self) -> int:
        """How many messages wait to be decided."""
        return len(self._entries)

    async def close(self) -> None:
        """Take nothing new, finish what waits, and stop."""
        self._closing = True
        self._bell.ring()
        await self._writing
        self._thread.close()
        self._watch.cancel()

    async def _give_up_late(self) -> None:
        """A database that hangs must not keep callers: whoever waited too long is told to come again."""
        while True:
            await asyncio.sleep(0.25)
            late = self.loop.time() - ANSWER_SECONDS
            for entries in list(self._open.values()):
                for entry in entries:
                    if entry.since < late:
                        _tell(entry, Busy(entry.incoming.key))

    def _deliver(self, results: Sequence[tuple[str, Answer | Exception]]) -> None:
        for key, result in results:
            for entry in self._open.pop(key, ()):
                if isinstance(result, Elsewhere):
                    self.loop.call_later(_ELSEWHERE_PAUSE, self._enter_again, entry)
                else:
                    _tell(entry, result)

    # ---- the writing task

    async def _write(self) -> None:
        while True:
            await self._something_to_do()
            decided = bool(self._entries)
            if self._entries:
                await self._gather()
                await self._decide_all(self._take())
            if self._jobs:
                await self._work(self._jobs.popleft())
                decided = False
            # What a group's answers leave to be marked goes with the next group, if one comes soon.
            if not (decided or self._entries or self._jobs):
                await self._mark_deliveries()
                if self._closing and not self._entries and not self._jobs:
                    return

    async def _something_to_do(self) -> None:
        """Wait for a message or a job; marks alone wait a moment for a group that could take them along."""
        while not (self._entries or self._jobs or self._closing):
            marks = bool(self._settled or self._released)
            await self._bell.wait(_SETTLE_SECONDS if marks else None)
            if marks:
                return

    async def _gather(self) -> None:
        """Let in who stands at the door: a group of one costs as much as half a dozen more of its messages.

        A caller who was just answered and writes again needs some rounds of the loop to be read, opened and queued.
        """
        until = self.loop.time() + _GATHER_SECONDS
        before, idle = len(self._entries), 0
        while idle < _IDLE_ROUNDS and before < GROUP_MAX and self.loop.time() < until:
            await asyncio.sleep(0)
            idle = idle + 1 if len(self._entries) == before else 0
            before = len(self._entries)

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
        return await self._thread.do(work, *arguments)

    async def _decide_all(self, incomings: Sequence[Incoming]) -> None:
        results: Results
        try:
            results = await self._commit(incomings)
        except DatabaseFault as fault:
            if len(incomings) > 1:
                _log.warning("group_rerun", messages=len(incomings), fault=type(fault.orig).__name__)
            self.reruns += 1
            results = await self._in_thread(self.decider.one_by_one, incomings)
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
                    return await self._in_thread(self._one_transaction, incomings, marks)
                transaction, results = self.decider.group(incomings, marks)
                await self._in_thread(transaction.commit)
                return results
            except StalePlan:
                self._take_back(marks)
                await self._in_thread(self.decider.read_plan)
            except BaseException:
                self._take_back(marks)
                raise
        raise StalePlan("the plan changes faster than it can be read")

    def _marks(self) -> Marks:
        marks = Marks(self._settled, self._released)
        self._settled, self._released = [], []
        return marks

    def _take_back(self, marks: Marks) -> None:
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

    def _one_transaction(self, incomings: Sequence[Incoming], marks: Marks) -> Results:
        transaction, results = self.decider.group(incomings, marks)
        transaction.commit()
        return results

    def _transact(self, work: Callable[[Any], T]) -> T:
        with self._store.begin() as connection:
            return work(connection)


def _tell(entry: _Entry, result: Answer | Exception) -> None:
    told, entry.told = entry.told, None
    if told is None:
        return
    try:
        told(result)
    except Exception:  # of one who listens: nobody else is to suffer from it
        _log.exception("telling_failed", key=entry.incoming.key)


def _settle(future: asyncio.Future[Answer], result: Answer | Exception) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


def _stands_alone(incoming: Incoming) -> bool:
    """What has a group to itself: leaving erases, and joining two people moves, what others of it would write."""
    return incoming.kind == "unfollow" or bool(joining.spelled(incoming.text))
