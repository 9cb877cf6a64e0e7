"""Proves the books: balances, floors and holds from the postings, and the sealed chain link by link.

Reads only, set-wise or streaming. Each problem is one sentence that names the row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from storage.ledger import has_floor
from storage.sealer import EVENT, POSTING, payload
from storage.vault import Vault

_PROBLEMS_MAX = 100


@dataclass(slots=True)
class Report:
    """What was counted, and what is wrong (at most 100 problems are listed). `head` is `SEQ:MAC`."""

    postings: int = 0
    events: int = 0
    sealed: int = 0
    head: str = "0:"
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not self.problems

    def tree(self) -> dict[str, Any]:
        """The report as plain JSON."""
        return {
            "ok": self.ok,
            "postings": self.postings,
            "events": self.events,
            "sealed": self.sealed,
            "head": self.head,
            "problems": self.problems,
        }

    def add(self, problem: str) -> None:
        """Note a problem, up to the most that are listed."""
        if len(self.problems) < _PROBLEMS_MAX:
            self.problems.append(problem)


def check(connection: Connection, vault: Vault, against: str | None = None) -> Report:
    """Prove balances, floors, holds, reversals and the chain. `against` is an earlier head that must be in it."""
    report = Report()
    report.postings = int(connection.execute(text("SELECT COUNT(*) FROM posting")).scalar_one())
    report.events = int(connection.execute(text("SELECT COUNT(*) FROM event")).scalar_one())
    _balances(connection, report)
    _holds(connection, report)
    _reversals(connection, report)
    _chain(connection, vault, report, against)
    _unsealed(connection, report)
    return report


def _balances(connection: Connection, report: Report) -> None:
    """Every balance is the sum of what came and went, and nothing is below its floor."""
    moved: dict[tuple[str, str], int] = {}
    for account, unit, amount in connection.execute(
        text(
            "SELECT account, unit, SUM(amount) FROM (SELECT source AS account, unit, -amount AS amount FROM posting "
            "UNION ALL SELECT destination, unit, amount FROM posting) AS moved GROUP BY account, unit"
        )
    ):
        if has_floor(account):
            moved[account, unit] = int(amount)
    for account, unit, amount, held, floor in _stream(
        connection, "SELECT account, unit, amount, held, floor FROM balance ORDER BY account"
    ):
        expected = moved.pop((account, unit), 0)
        if amount != expected:
            report.add(f"balance {account}: {amount} {unit} stored, postings make {expected}")
        if amount - held < floor:
            report.add(f"balance {account}: {amount} less {held} held is below its floor of {floor}")
    for (account, unit), amount in moved.items():
        if amount:
            report.add(f"balance {account}: no row for {unit}, postings make {amount}")
    for number, amount in connection.execute(text("SELECT id, amount FROM posting WHERE amount <= 0")):
        report.add(f"posting {number}: amount {amount}")


def _holds(connection: Connection, report: Report) -> None:
    """What is held is the sum of open holds; a posted hold has its posting, any other has none."""
    for account, stored, made in connection.execute(
        text(
            "SELECT b.account, b.held, COALESCE(h.amount, 0) FROM balance b LEFT JOIN (SELECT source, SUM(amount) AS amount "
            "FROM hold WHERE state = 'open' GROUP BY source) h ON h.source = b.account "
            "WHERE b.held <> COALESCE(h.amount, 0)"
        )
    ):
        report.add(f"balance {account}: {stored} held, open holds make {made}")
    for key, state, amount, posted in connection.execute(
        text(
            "SELECT h.key, h.state, h.amount, p.amount FROM hold h LEFT JOIN posting p ON p.key = 'hold/' || h.key "
            "WHERE (h.state = 'posted') <> (p.key IS NOT NULL) OR p.amount <> h.amount OR p.source <> h.source "
            "OR p.destination <> h.destination OR p.unit <> h.unit"
        )
    ):
        report.add(f"hold {key}: {state} with {amount}, its posting has {posted}")


def _reversals(connection: Connection, report: Report) -> None:
    for number, reverses in connection.execute(
        text(
            "SELECT p.id, p.reverses FROM posting p LEFT JOIN posting o ON o.id = p.reverses WHERE p.reverses IS NOT NULL "
            "AND (o.id IS NULL OR o.unit <> p.unit OR o.amount <> p.amount OR o.source <> p.destination "
            "OR o.destination <> p.source)"
        )
    ):
        report.add(f"posting {number}: not the mirror of posting {reverses}")


def _chain(connection: Connection, vault: Vault, report: Report, against: str | None) -> None:
    """Walk the seal in order, recomputing each link from the row it names."""
    event = ", ".join(f"e.{name} AS e_{name}" for name in EVENT)
    posting = ", ".join(f"p.{name} AS p_{name}" for name in POSTING)
    query = (
        f"SELECT s.seq, s.tx, s.source, s.row, s.mac, {event}, {posting} FROM seal s "
        "LEFT JOIN event e ON s.source = 'event' AND e.id = s.row "
        "LEFT JOIN posting p ON s.source = 'posting' AND p.id = s.row ORDER BY s.seq"
    )
    mac, before, found = "", (0, 0), against in (None, "", "0:")
    for row in _stream(connection, query):
        seq, tx, source, number, stored, *columns = row
        values = columns[: len(EVENT)] if source == "event" else columns[len(EVENT) :]
        report.sealed += 1
        if seq != report.sealed:
            report.add(f"seal {seq}: expected {report.sealed}, links are missing")
            report.sealed = seq
        if values[0] is None:
            report.add(f"seal {seq}: {source} {number} is gone")
        elif vault.mac(mac, payload(source, values)) != stored:
            report.add(f"seal {seq}: {source} {number} is not what was sealed")
        elif values[1] != tx or (tx, number) <= before:
            report.add(f"seal {seq}: {source} {number} stands in the wrong order")
        mac, before = stored, (tx, number)
        found = found or against == f"{seq}:{stored}"
    report.head = f"{report.sealed}:{mac}"
    if not found:
        report.add(f"head {against} is not in the chain: what was sealed then was cut off or replaced")


def _unsealed(connection: Connection, report: Report) -> None:
    """Nothing may have slipped in before the last link."""
    for source in ("event", "posting"):
        for (number,) in connection.execute(
            text(
                f"SELECT r.id FROM {source} r LEFT JOIN seal s ON s.source = '{source}' AND s.row = r.id "
                "WHERE s.seq IS NULL AND (r.tx, r.id) < (SELECT tx, row FROM seal ORDER BY seq DESC LIMIT 1) LIMIT 100"
            )
        ):
            report.add(f"{source} {number}: written into a part that was sealed already")


def _stream(connection: Connection, query: str) -> Iterator[Any]:
    return iter(connection.execution_options(yield_per=1000).execute(text(query)))
