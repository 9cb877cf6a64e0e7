"""The proof of the books finds what raw SQL does to them, names the row, and finds nothing in honest books.

Holds that moved nothing are no sealed facts: only their sums and states are proved.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection, text

from storage import acts, holds, ids, ledger, schema, sealer
from storage.ledger import Posting
from storage.ledger_check import Report, check
from storage.store import DatabaseFault, Store
from storage.vault import Vault
from tests.sealing import PatientSealer as Sealer

VAULT = Vault(b"the secret of the books' own tests, long enough")
NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
PEOPLE = (1, 2, 3, 4)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    opened = Store(database_url)
    schema.upgrade(opened)
    keep_books(opened)
    Sealer(opened, VAULT).step(10_000)
    yield opened
    opened.close()


def move(connection: Connection, key: str, unit: str, source: str, destination: str, amount: int) -> None:
    number = acts.event(connection, "moved", "system", "c", 1, NOW, {"amount": amount}, subscriber=1)
    acts.post(connection, Posting(key, unit, source, destination, amount, "c", 1, "award"), NOW, number)


def keep_books(store: Store) -> None:
    """Awards, a guest's held points, stock, a reversal, and a hold of every state."""
    later = NOW + timedelta(days=1)
    for person in PEOPLE:
        with store.begin() as connection:
            for turn in range(3):
                account = ledger.person(person, "points")
                move(connection, f"award/{person}/{turn}", "points", "mint/points", account, 100 + turn)
            move(connection, f"guest/{person}", "points", "mint/points", ledger.held(person, "points"), 5)
            move(connection, f"gift/{person}", "points", ledger.person(person, "points"), "spent/points", 7)
    with store.begin() as connection:
        move(connection, "stock", "band", "mint/band", "stock/c/band", 10)
        move(connection, "budget", "fen", "mint/fen", ledger.budget("c", "points"), 10_000)
        acts.reverse(connection, "award/2/1", "c", 1, "mistake", NOW)
        for key, person in (("open", 1), ("posted", 1), ("voided", 2), ("expired", 3), ("open2", 3)):
            source, expires = ledger.person(person, "points"), NOW if key == "expired" else None
            hold = holds.Hold(key, "points", source, "spent/points", 20, "c", 1, "gift", expires)
            holds.reserve(connection, hold, NOW)
        holds.post(connection, "posted", later)
        holds.void(connection, "voided", later)
        assert holds.expire(connection, later) == 1


def proved(store: Store, against: str | None = None) -> Report:
    with store.read() as connection:
        return check(connection, VAULT, against)


def after(store: Store, *statements: str, against: str | None = None) -> list[str]:
    """The problems found after these statements, which are rolled back."""
    transaction = store.transaction()
    connection = transaction.connection
    try:
        for statement in _without_checks(store.is_sqlite):
            connection.exec_driver_sql(statement)
        for statement in statements:
            assert connection.exec_driver_sql(statement).rowcount != 0, statement
        return check(connection, VAULT, against).problems
    finally:
        if store.is_sqlite:
            connection.exec_driver_sql("PRAGMA ignore_check_constraints = OFF")
        transaction.rollback()


def _without_checks(sqlite: bool) -> list[str]:
    """What somebody who may do anything does first."""
    if sqlite:
        return ["PRAGMA ignore_check_constraints = ON"]
    names = ("balance_floor", "balance_held", "posting_amount", "posting_moves", "hold_amount", "hold_state")
    return [f"ALTER TABLE {name.partition('_')[0]} DROP CONSTRAINT {name}" for name in names]


def test_honest_books_prove(store: Store) -> None:
    report = proved(store)
    assert report.problems == []
    assert report.tree()["ok"] is True
    assert report.postings == 4 * 5 + 2 + 1 + 1
    assert report.sealed == report.postings + report.events
    with store.read() as connection:
        assert report.head == "{}:{}".format(*sealer.head(connection))


def test_books_prove_while_some_of_them_is_unsealed(store: Store) -> None:
    head = proved(store).head
    with store.begin() as connection:
        move(connection, "late", "points", "mint/points", "s/1/points", 3)
    assert proved(store, head).problems == []
    Sealer(store, VAULT).step()
    report = proved(store, head)
    assert (report.problems, report.head.partition(":")[0]) == ([], str(report.sealed))


def test_another_secret_proves_nothing(store: Store) -> None:
    with store.read() as connection:
        assert not check(connection, Vault(b"another secret that is as long as it must be")).ok


TEXTS = ("unit", "source", "destination", "campaign", "reason", "key", "kind", "actor", "data", "mac", "account")


def changes(table: str, columns: str, row: str, dice: Random) -> Iterator[str]:
    """One statement for each column, that changes it in one row."""
    for column in columns.split():
        if column in TEXTS:
            value = f"{column} || '{dice.choice(['x', ' ', '0'])}'"
        elif column == "id":
            value = f"id + {10**8}"  # an id that is free
        else:
            value = f"COALESCE({column}, 0) {dice.choice(['+', '-'])} {dice.randint(1, 9)}"
        yield f"UPDATE {table} SET {column} = {value} WHERE {row}"


def tamperings(connection: Connection, dice: Random) -> Iterator[str]:
    def one(query: str) -> Any:
        return dice.choice(connection.execute(text(query)).scalars().all())

    events, postings, seals = "SELECT id FROM event", "SELECT id FROM posting", "SELECT seq FROM seal"
    accounts = "SELECT account FROM balance WHERE amount > 0"
    yield from changes(
        "event", "tx kind subscriber actor campaign revision text at data id", _is("id", one(events)), dice
    )
    columns = "tx key unit source destination amount campaign revision reason event at reverses id"
    yield from changes("posting", columns, _is("id", one(postings)), dice)
    yield from changes("posting", "amount destination", "key = 'budget'", dice)
    yield from changes("balance", "account owner unit amount held floor", _is("account", one(accounts)), dice)
    yield from changes("seal", "tx source row mac", _is("seq", one(seals)), dice)
    yield "UPDATE seal SET seq = seq + 1 WHERE seq = (SELECT MAX(seq) FROM seal)"
    yield f"UPDATE seal SET mac = (SELECT mac FROM seal WHERE seq = 1) WHERE seq = {dice.randint(2, 20)}"
    yield from changes("hold", "unit source amount key", "key = 'posted'", dice)
    yield from changes("hold", "destination campaign revision reason ended_at", "key = 'posted'", dice)
    yield from changes("hold", "unit source amount", "key = 'open'", dice)
    for key, state in (("open", "voided"), ("open", "posted"), ("posted", "open"), ("posted", "voided")):
        yield f"UPDATE hold SET state = '{state}' WHERE key = '{key}'"
    for key, state in (("voided", "open"), ("voided", "posted"), ("expired", "open"), ("voided", "expired")):
        yield f"UPDATE hold SET state = '{state}' WHERE key = '{key}'"
    yield "UPDATE hold SET amount = -amount WHERE key = 'voided'"
    yield "UPDATE hold SET ended_at = NULL WHERE key = 'expired'"
    for table, row in (("event", one(events)), ("posting", one(postings))):
        yield f"DELETE FROM {table} WHERE id = {row}"
    yield f"DELETE FROM balance WHERE {_is('account', one(accounts))}"
    yield f"DELETE FROM seal WHERE seq < {dice.randint(2, 9)}"
    yield f"DELETE FROM seal WHERE seq = {dice.randint(2, 20)}"
    for key in ("open", "posted"):
        yield f"DELETE FROM hold WHERE key = '{key}'"
    yield from _insertions(dice)
    yield "UPDATE posting SET amount = 9223372036854775807 WHERE key = 'stock'"
    yield "UPDATE posting SET amount = 9223372036854775807"
    yield "UPDATE posting SET amount = 0 WHERE key = 'stock'"
    yield "UPDATE balance SET amount = 0, held = 0"
    yield "UPDATE balance SET amount = -9223372036854775807 WHERE held > 0"
    yield "DELETE FROM posting"
    yield "DELETE FROM event"


def _is(column: str, value: Any) -> str:
    return f"{column} = {value!r}"


def _insertions(dice: Random) -> Iterator[str]:
    """What was never written: among the sealed, or where it moves a sum."""
    old, number, future = dice.randint(1, 3), dice.randint(10**6, 10**7), 2**40
    rest = f"'c', 1, 'award', {dice.randint(1, 99)})"
    yield (
        f"INSERT INTO event (id, tx, kind, actor, campaign, revision, at, data) VALUES ({number}, {old}, 'won', "
        "'system', 'c', 1, 5, '{}')"
    )
    for tx, key, unit, destination in (
        (old, "n1", "fen", "points-fund/c"),
        (future, "n2", "points", "s/1/points"),
        (future, "hold/n", "fen", "spent/fen"),
    ):
        yield (
            "INSERT INTO posting (id, tx, key, unit, source, destination, amount, campaign, revision, reason, at) "
            f"VALUES ({number}, {tx}, '{key}', '{unit}', 'mint/{unit}', '{destination}', 9, {rest}"
        )
    for values in ("'s/9/points', 9, 5", "'s/9/points', 8, 0", "'s/x/points', 9, 0", "'mint/points', NULL, 0"):
        yield f"INSERT INTO balance (account, owner, amount, unit, held, floor) VALUES ({values}, 'points', 0, 0)"
    for source in ("s/1/points", "s/77/points"):
        yield (
            "INSERT INTO hold (id, key, unit, source, destination, amount, campaign, revision, reason, state, at) "
            f"VALUES ({number}, 'n', 'points', '{source}', 'spent/points', {old}, 'c', 1, 'gift', 'open', 5)"
        )
    for row in ("row", str(number)):
        yield (
            f"INSERT INTO seal (seq, tx, source, row, mac) SELECT seq + 1, tx, source, {row}, mac FROM seal "
            "WHERE seq = (SELECT MAX(seq) FROM seal)"
        )


@pytest.mark.parametrize("seed", range(2))
def test_tampering_by_raw_sql_is_found(store: Store, seed: int) -> None:
    with store.read() as connection:
        statements = list(tamperings(connection, Random(seed)))
    assert len(statements) >= 60
    missed = [statement for statement in statements if not after(store, statement)]
    assert missed == []
    assert proved(store).problems == []


def test_values_of_another_type_are_found(store: Store) -> None:
    if not store.is_sqlite:
        with pytest.raises(DatabaseFault, match="bigint"):
            after(store, "UPDATE posting SET amount = 'many'")
        return
    for table, column in (("posting", "amount"), ("balance", "amount"), ("balance", "held"), ("hold", "amount")):
        assert after(store, f"UPDATE {table} SET {column} = 'many'"), (table, column)
    for table, column in (("event", "data"), ("event", "tx"), ("seal", "tx"), ("seal", "mac"), ("posting", "key")):
        last = f"rowid = (SELECT MAX(rowid) FROM {table})"
        assert after(store, f"UPDATE {table} SET {column} = x'00ff' WHERE {last}"), (table, column)


def test_a_problem_names_the_row(store: Store) -> None:
    (problem,) = after(store, "UPDATE balance SET amount = amount + 1 WHERE account = 's/1/points'")
    assert problem == "balance s/1/points: 277 points stored, postings make 276"
    (problem,) = after(store, "UPDATE balance SET owner = 2 WHERE account = 's/1/points'")
    assert problem == "balance s/1/points: is kept for 2, which its name does not say"
    assert "seal 3: event" in after(store, f"UPDATE event SET at = at + 1 WHERE id = {sealed_row(store, 3)}")[0]


def sealed_row(store: Store, seq: int) -> int:
    with store.read() as connection:
        return int(connection.execute(text("SELECT row FROM seal WHERE seq = :s"), {"s": seq}).scalar_one())


def test_a_tail_cut_off_cleanly_is_found_by_an_exported_head(store: Store) -> None:
    """Whoever removes the last rows everywhere leaves books that agree: only what was exported knows better."""
    with store.begin() as connection:
        move(connection, "win", "points", "mint/points", "s/4/points", 50)
    Sealer(store, VAULT).step()
    exported = proved(store).head
    cut = (
        "DELETE FROM posting WHERE key = 'win'",
        "DELETE FROM event WHERE id = (SELECT MAX(id) FROM event)",
        "UPDATE balance SET amount = amount - 50 WHERE account = 's/4/points'",
        "DELETE FROM seal WHERE seq > (SELECT MAX(seq) - 2 FROM seal)",
    )
    assert after(store, *cut) == []
    (problem,) = after(store, *cut, against=exported)
    assert exported in problem


def test_a_sealed_row_replaced_and_sealed_again_is_found_by_an_exported_head(store: Store) -> None:
    exported = proved(store).head
    with store.begin() as connection:
        connection.execute(text("DELETE FROM seal"))
        connection.execute(text("UPDATE event SET at = at + 1 WHERE id = (SELECT MIN(id) FROM event)"))
    Sealer(store, VAULT).step(10_000)
    assert proved(store).problems == []
    assert len(proved(store, exported).problems) == 1


@pytest.mark.parametrize("head", ["5", "1:", ":", "99999:00", "x:y", "0:00"])
def test_a_head_that_never_was_is_not_in_the_chain(store: Store, head: str) -> None:
    assert not proved(store, head).ok


def test_no_more_problems_are_listed_than_one_can_read(store: Store) -> None:
    with store.begin() as connection:
        first = ids.take(connection, 300)
        for number in range(300):
            connection.execute(
                text(
                    "INSERT INTO balance (account, owner, unit, amount, held, floor) VALUES (:a, :s, 'points', 1, 0, 0)"
                ),
                {"a": f"s/{first + number}/points", "s": first + number},
            )
    assert len(proved(store).problems) == 100
