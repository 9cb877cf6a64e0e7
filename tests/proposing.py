"""A house in which things are proposed: the shipped plan applied, people put in by hand, desks of any staff."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import text

from campaigns import proposals, rights
from campaigns.desk import Desk
from campaigns.moves import InForce
from campaigns.proposals import Asked, Proposal
from content.bundle import Bundle
from storage import acts, bulk, ledger, tables
from storage.ledger import Posting
from storage.ledger_check import check
from storage.store import Store
from storage.vault import Vault
from tests.talking import NOON, SECRET, SHIPPED, prepared

PLAN = Bundle.read(SHIPPED).plan
LIBRARY = InForce(PLAN, 1)
LINE = ledger.budget(PLAN.id, PLAN.points.line)
FUND = ledger.points_fund(PLAN.id)


def with_points(**changes: Any) -> InForce:
    """The plan with other `[points]`."""
    return InForce(PLAN.model_copy(update={"points": PLAN.points.model_copy(update=changes)}), 1)


class House:
    """A store with people; each method is a transaction of its own."""

    def __init__(self, url: str, store: Store | None = None) -> None:
        self.store, self.vault, self.now = store or prepared(url), Vault(SECRET), NOON
        self._keys = itertools.count(1)

    def desk(
        self,
        connection: Any,
        actor: str = "staff:1",
        roles: Sequence[str] = ("administrator",),
        why: str = "because",
        branch: str | None = None,
    ) -> Desk:
        return Desk(connection, actor, rights.of(roles), self.now, why, branch)

    def people(self, count: int, first: int = 5001, *, guest: bool = False, branch: str | None = None) -> list[int]:
        """Known on WeChat as o<number>, each with a code of their own."""
        numbers = range(first, first + count)
        letters = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"

        def code(number: int) -> str:
            return "AA" + "".join(letters[number // 31**place % 31] for place in range(6))

        columns = ("id", "created_at", "language", "status", "code", "consent", "guest", "branch")
        rows = [(number, 0, "zh", "active", code(number), False, guest, branch) for number in numbers]
        known = ("id", "subscriber", "channel", "account", "digest", "address", "following", "heard_kind", "sent_since")
        places = [
            (
                *(number + 1_000_000, number, "wechat", "main", self.vault.digest("wechat", "main", f"o{number}")),
                *(f"o{number}", True, "", 0),
            )
            for number in numbers
        ]
        with self.store.begin() as connection:
            bulk.insert(connection, tables.metadata.tables["subscriber"], columns, rows)
            bulk.insert(connection, tables.metadata.tables["identity"], known, places)
        return list(numbers)

    def code(self, number: int) -> str:
        return str(self.sql("SELECT code FROM subscriber WHERE id = :n", n=number)[0][0])

    def own(self, person: int, amount: int, unit: str = "points", key: str = "") -> int:
        """Let a person have some; returns the posting's id."""
        key = key or f"seed/{next(self._keys)}"
        ends = (ledger.mint(unit), ledger.person(person, unit))
        with self.store.begin() as connection:
            acts.post(connection, Posting(key, unit, *ends, amount, PLAN.id, 1, "seed"), self.now)
        return int(self.sql("SELECT id FROM posting WHERE key = :k", k=key)[0][0])

    def propose(
        self,
        kind: str,
        asked: Sequence[tuple[Any, int]],
        unit: str = "points",
        *,
        key: str = "",
        library: Any = LIBRARY,
        again: bool = False,
        **desk: Any,
    ) -> Proposal:
        lines = [Asked(line, str(who), amount) for line, (who, amount) in enumerate(asked, 1)]
        with self.store.begin() as connection:
            return proposals.propose(
                self.desk(connection, **desk),
                library,
                kind,
                unit,
                lines,
                key or f"k{next(self._keys)}",
                vault=self.vault,
                again=again,
            )

    def approve(
        self, number: int, count: int | None = None, *, alone: bool = False, library: Any = LIBRARY, **desk: Any
    ) -> Proposal:
        with self.store.begin() as connection:
            who = self.desk(connection, **{"actor": "staff:2", **desk})
            if count is None:
                count = proposals.find(who, number).lines
            return proposals.approve(who, library, number, count, alone=alone)

    def done(self, kind: str, asked: Sequence[tuple[Any, int]], unit: str = "points", **more: Any) -> Proposal:
        return self.approve(self.propose(kind, asked, unit, **more).number, library=more.get("library", LIBRARY))

    def balance(self, account: str | int, unit: str = "points") -> int:
        """What an account, or a person's, holds."""
        name = account if isinstance(account, str) else ledger.person(account, unit)
        found = self.sql("SELECT amount FROM balance WHERE account = :a", a=name)
        return int(found[0][0]) if found else 0

    def moved(self, source: str, destination: str) -> int:
        """The sum of all that went from one account to another."""
        query = "SELECT COALESCE(SUM(amount), 0) FROM posting WHERE source = :s AND destination = :d"
        return int(self.sql(query, s=source, d=destination)[0][0])

    def sql(self, query: str, **values: Any) -> list[Any]:
        with self.store.begin() as connection:
            done = connection.execute(text(query), values)
            return list(done.all()) if done.returns_rows else []

    def everything(self) -> dict[str, list[Any]]:
        """All rows that an act may change."""
        return {
            table: [tuple(row) for row in self.sql(f"SELECT * FROM {table} ORDER BY 1, 2")]
            for table in ("proposal", "proposal_line", "posting", "balance", "event")
        }

    def problems(self) -> list[str]:
        with self.store.begin() as connection:
            return check(connection, self.vault).problems


@contextmanager
def housed(url: str) -> Iterator[House]:
    """A house that is closed at the end."""
    house = House(url)
    try:
        yield house
    finally:
        house.store.close()
