"""Decides a group of messages and writes it, in one transaction: load, decide in memory, flush.

Promises one effect per key, that a bad message harms nobody else, and that every group is decided under the revision
of the plan that stands as it commits. It knows no queue and waits for nobody.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from bot import dialogue
from bot.channels import Busy
from campaigns import points
from campaigns.turn import Turn
from content.library import Library
from storage import deliveries, ledger, loading, revisions
from storage.draft import Draft
from storage.group import Group
from storage.ids import Ids
from storage.incoming import Answer, Incoming
from storage.store import DatabaseFault, Store, Transaction
from storage.tables import micros
from storage.vault import Vault

_IDS_PER_MESSAGE = 12  # people, text, deliveries, events, postings, timers of one message, generously
_ALONE_TRIES = 5

Results = list[tuple[str, Answer | Exception]]
_log = structlog.get_logger(__name__)


class StalePlan(Exception):
    """A newer revision was applied: read it, then decide again."""


@dataclass(frozen=True, slots=True)
class Marks:
    """Passive deliveries whose state is known now."""

    settled: Sequence[int] = ()
    released: Sequence[int] = ()

    def write(self, connection: Any, at: int) -> None:
        """Mark them. `at` is campaign time in microseconds."""
        if self.settled:
            deliveries.settle(connection, self.settled, at)
        if self.released:
            deliveries.release(connection, self.released)


class Decider:
    """What a writer decides with: the plan, the database, this process's slot, the time and the dice."""

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
        self._tried: list[str] = []

    def read_plan(self) -> None:
        """Read the revision that stands now."""
        self.library = self._read_library()

    def group(
        self, incomings: Sequence[Incoming], marks: Marks, known: dict[str, ledger.Posting] | None = None
    ) -> tuple[Transaction, Results]:
        """A group decided and written, all but its commit. Raises StalePlan, DatabaseFault."""
        library, plan = self.library, self.library.plan
        new_id = self._ids.reserve(_IDS_PER_MESSAGE * len(incomings) + 8)
        transaction = self._store.transaction()
        try:
            if revisions.current(transaction.connection, plan.id) != library.revision:
                raise StalePlan(plan.id)
            group = Group(transaction.connection, new_id, self._vault)
            group.known_postings = known or {}
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

    def one_by_one(self, incomings: Sequence[Incoming]) -> Results:
        """Each message in a group of its own, after the group of all of them failed."""
        return [result for incoming in incomings for result in self._alone(incoming)]

    def _alone(self, incoming: Incoming) -> Results:
        """One message in a group of its own, until it passes or its time is up."""
        known: dict[str, ledger.Posting] = {}
        for attempt in range(_ALONE_TRIES):
            try:
                transaction, results = self.group([incoming], Marks(), known)
                transaction.commit()
                return results
            except StalePlan:
                self.read_plan()
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
