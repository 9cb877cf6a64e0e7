"""The sealed order: gap-free, by transaction, the same however it is taken, never ahead of an open transaction."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count
from random import Random
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Connection, text

from storage import acts, schema, sealer
from storage.ledger import Posting
from storage.ledger_check import check
from storage.store import Store, transaction_number
from storage.vault import Vault
from tests.sealing import PatientSealer as Sealer

VAULT = Vault(b"the secret of the sealer's own tests")
IDS = count(1_000_000)
NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    opened = Store(database_url)
    schema.upgrade(opened)
    yield opened
    opened.close()


def note(connection: Connection, number: int) -> None:
    """An event as a group writes it: its id comes from a block that was taken before."""
    values = {"id": next(IDS), "tx": transaction_number(connection), "data": json.dumps({"number": number})}
    sql = "INSERT INTO event (id, tx, kind, actor, campaign, revision, at, data) "
    connection.execute(text(sql + "VALUES (:id, :tx, 'noted', 'system', 'c', 1, 5, :data)"), values)


def award(connection: Connection, number: int) -> None:
    posting = Posting(f"award/{number}", "points", "mint/points", "s/7/points", number + 1, "c", 1, "award")
    acts.post(connection, posting, NOW)


def numbers(store: Store) -> list[int]:
    """Which `note`s are sealed, in their order."""
    with store.read() as connection:
        rows = sealer.read(connection, 0, 10_000)
    return [json.loads(row["data"])["number"] for row in rows if row["table"] == "event"]


def links(store: Store) -> list[Any]:
    with store.read() as connection:
        return list(connection.execute(text("SELECT seq, tx, source, row, mac FROM seal ORDER BY seq")))


def test_nothing_to_seal(store: Store) -> None:
    assert Sealer(store, VAULT).step() == 0
    with store.read() as connection:
        assert sealer.head(connection) == (0, "")
        assert sealer.read(connection, 0, 10) == []


@pytest.mark.parametrize("seed", range(4))
def test_any_way_of_taking_it_gives_the_same_chain(store: Store, seed: int) -> None:
    """Rows of both tables share transactions, and ids do not grow with them."""
    dice = Random(seed)
    ids = dice.sample(range(1, 500), 120)
    rows = [(dice.randint(1, 40), number, dice.choice(["event", "posting"])) for number in ids]
    with store.begin() as connection:
        for tx, number, source in rows:
            if source == "event":
                sql = (
                    "INSERT INTO event (id, tx, kind, actor, campaign, revision, at, data) "
                    "VALUES (:id, :tx, 'noted', 'system', 'c', 1, 5, '{}')"
                )
            else:
                sql = (
                    "INSERT INTO posting (id, tx, key, unit, source, destination, amount, campaign, revision, reason, "
                    "at) VALUES (:id, :tx, :key, 'points', 'mint/points', 'spent', 1, 'c', 1, 'r', 5)"
                )
            connection.execute(text(sql), {"id": number, "tx": tx, "key": f"k{number}"})
    assert Sealer(store, VAULT).step(10_000) == len(rows)
    whole = links(store)
    assert [(tx, source, row) for _, tx, source, row, _ in whole] == [(t, s, n) for t, n, s in sorted(rows)]
    assert [seq for seq, *_ in whole] == list(range(1, len(rows) + 1))
    with store.begin() as connection:
        connection.execute(text("DELETE FROM seal"))
    while Sealer(store, VAULT).step(dice.randint(1, 9)):
        pass
    assert links(store) == whole


def test_a_new_sealer_goes_on_where_the_last_one_stopped(store: Store) -> None:
    for number in range(6):
        with store.begin() as connection:
            note(connection, number)
            award(connection, number)
        Sealer(store, VAULT).step(1)
    restarted = Sealer(store, Vault(b"the secret of the sealer's own tests"))
    while restarted.step(2):
        pass
    assert restarted.step() == 0
    assert numbers(store) == list(range(6))
    with store.read() as connection:
        report = check(connection, VAULT)
        assert (report.problems, report.sealed) == ([], 12)
        assert report.head == "{}:{}".format(*sealer.head(connection))


def test_read_gives_rows_in_order_from_a_cursor(store: Store) -> None:
    with store.begin() as connection:
        for number in range(5):
            note(connection, number)
            award(connection, number)
    Sealer(store, VAULT).step()
    with store.read() as connection:
        whole = sealer.read(connection, 0, 100)
        paged = [row for after in range(0, 10, 3) for row in sealer.read(connection, after, 3)]
        assert sealer.read(connection, 10, 3) == []
    assert paged == whole
    assert [row["seq"] for row in whole] == list(range(1, 11))
    posting = next(row for row in whole if row["table"] == "posting")
    assert (posting["key"], posting["source"], posting["reverses"]) == ("award/0", "mint/points", None)


def test_a_given_transaction_that_fails_seals_nothing(store: Store) -> None:
    with store.begin() as connection:
        note(connection, 1)
    sealing = Sealer(store, VAULT)
    with pytest.raises(ZeroDivisionError), store.begin() as connection:
        assert sealing.step(connection=connection) == 1
        raise ZeroDivisionError
    assert links(store) == []
    with store.begin() as connection:
        assert sealing.step(connection=connection) == 1
    assert numbers(store) == [1]


def test_a_row_that_rolled_back_leaves_no_gap(store: Store) -> None:
    for number in range(4):
        try:
            with store.begin() as connection:
                note(connection, number)
                if number % 2:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    assert Sealer(store, VAULT).step() == 2
    assert [seq for seq, *_ in links(store)] == [1, 2]
    assert numbers(store) == [0, 2]


def test_no_two_rows_have_the_same_bytes() -> None:
    rows = [
        (1, None, "a"),
        (1, "", "a"),
        (1, "null", "a"),
        ("1", None, "a"),
        (1, "\x1fa", ""),
        (1, "", "\x1fa"),
        (1, 'a","b', "c"),
        (1, "a", 'b","c'),
    ]
    assert len({sealer.payload(source, row) for row in rows for source in ("event", "posting")}) == 2 * len(rows)


# ---- PostgreSQL: the order follows the snapshot horizon


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store on PostgreSQL alone."""
    maintenance: str = request.getfixturevalue("postgres_url")
    name, plain = f"test_{uuid4().hex}", maintenance.replace("+psycopg", "")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    opened = Store(maintenance.replace("/postgres?", f"/{name}?"))
    schema.upgrade(opened)
    yield opened
    opened.close()
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_nothing_is_sealed_ahead_of_an_open_transaction(server: Store) -> None:
    sealing = Sealer(server, VAULT)
    with server.begin() as old:
        old.execute(text("SELECT pg_current_xact_id()"))  # it is older than what follows, and has written nothing yet
        for number in (2, 3):
            with server.begin() as quick:
                note(quick, number)
        assert sealing.step() == 0
        assert links(server) == []
        note(old, 1)  # its id is higher than theirs, its place before them
    assert sealing.step() == 3
    assert numbers(server) == [1, 2, 3]


def test_what_is_below_the_horizon_does_not_wait_for_what_is_not(server: Store) -> None:
    sealing = Sealer(server, VAULT)
    with server.begin() as connection:
        note(connection, 1)
    with server.begin() as old:
        note(old, 2)
        with server.begin() as quick:
            note(quick, 3)
        assert sealing.step() == 1
        assert numbers(server) == [1]
    assert sealing.step() == 2
    assert numbers(server) == [1, 2, 3]


def test_one_sealer_at_a_time(server: Store) -> None:
    with server.begin() as connection:
        note(connection, 1)
    first, second = Sealer(server, VAULT), Sealer(server, VAULT)
    with server.begin() as connection:
        assert first.step(connection=connection) == 1
        assert second.step() == 0
    assert second.step() == 0
    assert numbers(server) == [1]


def test_two_sealers_under_four_writers_make_one_chain(server: Store) -> None:
    done = threading.Event()
    turns = 40

    def write(writer: int) -> None:
        dice = Random(writer)
        for turn in range(turns):
            with server.begin() as connection:
                note(connection, writer * 1000 + turn)
                if dice.random() < 0.3:
                    connection.execute(text("SELECT pg_sleep(0.01)"))

    def seal() -> int:
        sealing, total = Sealer(server, VAULT), 0
        while True:
            last = done.is_set()
            made = sealing.step(7)
            total += made
            if last and not made:
                return total

    with ThreadPoolExecutor(6) as pool:
        sealers = [pool.submit(seal) for _ in range(2)]
        writers = [pool.submit(write, writer) for writer in range(4)]
        for writer in writers:
            writer.result()
        done.set()
        sealed = sum(one.result() for one in sealers)
    sealed += Sealer(server, VAULT).step()
    assert sealed == 4 * turns
    order = numbers(server)
    for writer in range(4):  # what one writer committed one after the other stands in that order
        assert [n for n in order if n // 1000 == writer] == [writer * 1000 + turn for turn in range(turns)]
    with server.read() as connection:
        assert check(connection, VAULT).problems == []
