"""Proves the books: balances, floors and holds from the postings, and the sealed chain link by link.

Reads only, set-wise or streaming. Each problem is one sentence that names the row. A hold is no sealed fact: its sums,
state and posting are proved, but not whither an open one would go, nor that one which came to nothing ever was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from storage.ledger import has_floor, owner
from storage.sealer import EVENT, POSTING, payload
from storage.store import counted
from storage.vault import Vault

_PROBLEMS_MAX = 100
_AMOUNT_MAX = 10**15  # beyond any that is real; what is larger is named, and left out of sums that it would overflow


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
    _tests(connection, report)
    _chain(connection, vault, report, against)
    _unsealed(connection, report)
    return report


def _balances(connection: Connection, report: Report) -> None:
    """Every balance is the sum of what came and went, belongs to whom its name says, and is not below its floor."""
    for number, amount, source, destination in _stream(
        connection,
        "SELECT id, amount, source, destination FROM posting "
        "WHERE amount NOT BETWEEN 1 AND :most OR source = destination",
    ):
        report.add(f"posting {number}: {amount} from {source} to {destination}")
    for account, unit, stored, made in _stream(
        connection,
        "SELECT account, unit, SUM(stored), SUM(moved) FROM (SELECT source AS account, unit, 0 AS stored, "
        "-amount AS moved FROM posting WHERE amount BETWEEN 1 AND :most UNION ALL SELECT destination, unit, 0, amount "
        "FROM posting WHERE amount BETWEEN 1 AND :most UNION ALL SELECT account, unit, amount, 0 FROM balance) "
        "AS books GROUP BY account, unit HAVING SUM(stored) <> SUM(moved)",
    ):
        if has_floor(account):
            report.add(f"balance {account}: {stored} {unit} stored, postings make {made}")
    for account, amount, held, floor in _stream(
        connection, "SELECT account, amount, held, floor FROM balance WHERE floor <> 0 OR held < 0 OR amount < held"
    ):
        report.add(f"balance {account}: {amount} with {held} held is below 0, or its floor of {floor} is not 0")
    for account, stored in _stream(connection, "SELECT account, owner FROM balance"):
        if not has_floor(account) or _owner(account) != stored:
            report.add(f"balance {account}: is kept for {stored}, which its name does not say")


def _owner(account: str) -> int | str | None:
    try:
        return owner(account)
    except ValueError:
        return "nobody"


def _holds(connection: Connection, report: Report) -> None:
    """What is held is the sum of open holds; a posted hold has its posting, and no other hold has one."""
    for account, stored, made in _stream(
        connection,
        "SELECT account, SUM(stored), SUM(made) FROM (SELECT account, held AS stored, 0 AS made FROM balance UNION ALL "
        "SELECT source, 0, amount FROM hold WHERE state = 'open' AND amount BETWEEN 1 AND :most) AS books "
        "GROUP BY account HAVING SUM(stored) <> SUM(made)",
    ):
        report.add(f"balance {account}: {stored} held, open holds make {made}")
    for key, state, amount, source in _stream(
        connection,
        "SELECT h.key, h.state, h.amount, h.source FROM hold h LEFT JOIN balance b ON b.account = h.source "
        "AND b.unit = h.unit WHERE h.amount NOT BETWEEN 1 AND :most OR h.source = h.destination OR b.account IS NULL "
        "OR h.state NOT IN ('open', 'posted', 'voided', 'expired') OR (h.state = 'open') <> (h.ended_at IS NULL) "
        "OR h.ended_at < h.at OR (h.state = 'expired' AND (h.expires_at IS NULL OR h.expires_at > h.ended_at))",
    ):
        report.add(f"hold {key}: {state} with {amount} of {source} cannot be")
    for key, state, amount, posted in _stream(
        connection,
        "SELECT h.key, h.state, h.amount, p.amount FROM hold h LEFT JOIN posting p ON p.key = 'hold/' || h.key "
        "WHERE (h.state = 'posted') <> (p.key IS NOT NULL) OR p.amount <> h.amount OR p.source <> h.source "
        "OR p.destination <> h.destination OR p.unit <> h.unit OR p.campaign <> h.campaign "
        "OR p.revision <> h.revision OR p.reason <> h.reason OR p.at <> h.ended_at",
    ):
        report.add(f"hold {key}: {state} with {amount}, its posting has {posted} or differs otherwise")
    for number, key in _stream(
        connection,
        "SELECT p.id, p.key FROM posting p LEFT JOIN hold h ON h.key = substr(p.key, 6) "
        "WHERE p.key LIKE 'hold/%' AND h.key IS NULL",
    ):
        report.add(f"posting {number}: there is no hold for its key {key}")


def _reversals(connection: Connection, report: Report) -> None:
    for number, reverses in _stream(
        connection,
        "SELECT p.id, p.reverses FROM posting p LEFT JOIN posting o ON o.id = p.reverses "
        "WHERE p.reverses IS NOT NULL AND (o.id IS NULL OR o.unit <> p.unit OR o.amount <> p.amount "
        "OR o.source <> p.destination OR o.destination <> p.source)",
    ):
        report.add(f"posting {number}: not the mirror of posting {reverses}")


def _tests(connection: Connection, report: Report) -> None:
    """What is tested moves between a tester's account and where tests' units come from, and touches nothing else."""
    one = "(substr({0}, 1, 5) = 'test/')"
    origin = "(substr({0}, 1, 10) = 'mint-test/')"
    for number, source, destination in _stream(
        connection,
        "SELECT id, source, destination FROM posting "
        f"WHERE {one.format('source')} <> {origin.format('destination')} "
        f"OR {origin.format('source')} <> {one.format('destination')}",
    ):
        report.add(f"posting {number}: from {source} to {destination} mixes a test with what counts")


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
        else:
            before = (tx, number)
        mac = str(stored)
        found = found or against == f"{seq}:{stored}"
    report.head = f"{report.sealed}:{mac}"
    if not found:
        report.add(f"head {against} is not in the chain: what was sealed then was cut off or replaced")


def _unsealed(connection: Connection, report: Report) -> None:
    """Nothing may have slipped in before the last link, or wait for a transaction that is still to come."""
    last = "(r.tx, r.id) < (SELECT tx, row FROM seal ORDER BY seq DESC LIMIT 1)"
    if connection.dialect.name != "sqlite":
        last = f"({last} OR r.tx >= {counted('pg_snapshot_xmax(pg_current_snapshot())')})"
    for source in ("event", "posting"):
        for (number,) in _stream(
            connection,
            f"SELECT r.id FROM {source} r LEFT JOIN seal s ON s.source = '{source}' AND s.row = r.id "
            f"WHERE s.seq IS NULL AND {last} LIMIT {_PROBLEMS_MAX}",
        ):
            report.add(f"{source} {number}: written into a part that was sealed already")


def _stream(connection: Connection, query: str) -> Iterator[Any]:
    values = {"most": _AMOUNT_MAX} if ":most" in query else {}
    return iter(connection.execute(text(query), values, execution_options={"yield_per": 1000}))
