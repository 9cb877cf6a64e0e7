"""What moved on a person's accounts is found by their messages and, for the rest, by account: all of it, and nothing
else, as if every posting were looked at, which none of it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text

from storage import acts, ledger, people, proposals, uniting
from storage.vault import Vault
from tests.standing_house import act
from tests.talking import SECRET, Talk, run, talking
from tests.test_joining import TELEGRAM, WEB, WECHAT, join, number, rows, whole

CAMPAIGN = "family-network-2026"
OLD_NODE = "UPDATE posting SET text = NULL"  # as a node of the version before writes them


async def say(talk: Talk, who: tuple[str, str], *words: str) -> None:
    for said in words:
        await talk.say(said, channel=who[0], who=who[1])


async def filled(talk: Talk) -> list[int]:
    """An older person with a younger and a guest joined to them, tests, acts and a stranger; the numbers of all."""
    for who in (WECHAT, TELEGRAM, WEB, ("wechat", "w2")):
        talk.now += timedelta(seconds=1)
        await say(talk, who, "签到")
    numbers = [number(talk, who) for who in (WECHAT, TELEGRAM, WEB, ("wechat", "w2"))]
    talk.days(1)
    await say(talk, WECHAT, "签到", "积分明细")
    seed(talk, numbers[0], "seed")
    act(talk, "test", numbers[1])
    await say(talk, TELEGRAM, "签到")
    act(talk, "untest", numbers[1])
    act(talk, "test", numbers[3])
    await say(talk, ("wechat", "w2"), "签到")
    talk.days(1)
    await say(talk, TELEGRAM, "签到")
    await join(talk, WECHAT, TELEGRAM)
    await join(talk, WEB, WECHAT)
    seed(talk, numbers[0], "gift")
    talk.days(1)
    await say(talk, WEB, "签到")
    return numbers


def seed(talk: Talk, person: int, key: str) -> None:
    account = ledger.person(person, "points")
    with talk.store.begin() as connection:
        acts.post(connection, ledger.Posting(key, "points", "mint/points", account, 9, CAMPAIGN, 1, "redeem"), talk.now)


def looked_through(connection: Connection, person: int, *, test: bool) -> list[tuple[int, int]]:
    """Cursors and amounts of a person's movements, newest first, from every posting there is."""
    numbers = [row.id for row in rows(connection, "SELECT id FROM subscriber WHERE :s IN (id, alias_of)", s=person)]

    def own(account: str) -> bool:
        return ledger.owner(account) in numbers and account.startswith("test/") == test

    found = []
    for row in rows(connection, "SELECT * FROM posting ORDER BY at DESC, id DESC"):
        if own(row.source) != own(row.destination):
            found.append((row.id, -row.amount if own(row.source) else row.amount))
    return found


def movements(connection: Connection, person: int, *, test: bool) -> list[tuple[int, int]]:
    """The same as it is read for them, three at a time."""
    found: list[dict[str, Any]] = []
    while part := people.movements(connection, person, 3, found[-1]["cursor"] if found else None, test=test):
        found += part
    assert found == people.movements(connection, person, 1000, test=test)
    return [(row["cursor"][1], row["amount"]) for row in found]


def test_all_that_moved_is_found_whoever_one_is_now(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            numbers = await filled(talk)

            def told() -> list[list[tuple[int, int]]]:
                with talk.store.read() as connection:
                    lists = []
                    for person in numbers:
                        for test in (False, True):
                            lists.append(movements(connection, person, test=test))
                            assert lists[-1] == looked_through(connection, person, test=test), (person, test)
                    return lists

            before = told()
            older, _, younger, tested, guest, *_, others = before
            assert len(older) > len(younger) > 1 and tested and guest and others
            with talk.store.begin() as connection:
                connection.execute(text(f"{OLD_NODE} WHERE id % 2 = 0"))
            assert told() == before
            with talk.store.begin() as connection:
                connection.execute(text(OLD_NODE))
            assert told() == before
            whole(talk)

    run(journey())


def test_a_posting_names_the_message_of_whose_accounts_it_moves(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            numbers = await filled(talk)
            with talk.store.read() as connection:
                found = rows(
                    connection,
                    "SELECT p.key, p.reason, p.source, p.destination, p.text, t.heard, i.subscriber, e.text AS caused "
                    "FROM posting p LEFT JOIN text t ON t.id = p.text LEFT JOIN identity i ON i.id = t.identity "
                    "LEFT JOIN event e ON e.id = p.event",
                )
            of_messages = [row for row in found if row.text is not None]
            assert {row.reason for row in of_messages} == {"checkin"}
            others = {row.reason for row in found if row.text is None}
            assert others >= {"joined", "joined_twice", "points_block", "redeem"}
            for row in of_messages:
                assert (row.heard, row.text) == ("签到", row.caused)
                person = ledger.owner(row.destination)
                assert row.subscriber == (numbers[0] if person in numbers[:3] else person), row.key
            assert len(of_messages) == 9

    run(journey())


@pytest.mark.parametrize("who", [WECHAT, TELEGRAM])
def test_what_an_old_node_posted_for_either_is_taken_back_all_the_same(database_url: str, who: tuple[str, str]) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await say(talk, WECHAT, "签到")
            talk.now += timedelta(seconds=1)
            await say(talk, TELEGRAM, "签到")
            account = ledger.person(number(talk, who), "points")
            with talk.store.begin() as connection:
                connection.execute(text(f"{OLD_NODE} WHERE destination = :a"), {"a": account})
            assert "重复得到的 5 积分已经扣回" in await join(talk, WECHAT, TELEGRAM)
            whole(talk)

    run(journey())


def test_a_message_may_cause_a_reversal_and_a_joining_heeds_it(database_url: str) -> None:
    """No message does today; what is reversed is found by either end all the same."""

    async def journey() -> None:
        async with talking(database_url) as talk:
            await say(talk, WECHAT, "签到")
            talk.now += timedelta(seconds=1)
            await say(talk, TELEGRAM, "签到")
            with talk.store.begin() as connection:
                (gain,) = rows(
                    connection,
                    "SELECT key, text FROM posting WHERE key LIKE :k",
                    k=f"checkin/%/{number(talk, TELEGRAM)}",
                )
                acts.reverse(connection, gain.key, CAMPAIGN, 1, "reversal", talk.now)
                connection.execute(text("UPDATE posting SET text = :t WHERE reverses IS NOT NULL"), {"t": gain.text})
            answer = await join(talk, WECHAT, TELEGRAM)
            assert "绑定成功" in answer and "扣回" not in answer
            whole(talk)

    run(journey())


# ---- how it is found


@contextmanager
def no_posting_read_whole(connection: Connection) -> Iterator[None]:
    """What is run meanwhile finds postings by their indexes, of which even PostgreSQL makes use in a small table."""
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        ran: list[str] = []
        driver.set_trace_callback(ran.append)
        try:
            yield
        finally:
            driver.set_trace_callback(None)
        steps = [(sql, row[3]) for sql in set(ran) for row in driver.execute(f"EXPLAIN QUERY PLAN {sql}")]
        assert any("ix_posting_" in step for _, step in steps)
        assert [(sql, step) for sql, step in steps if step in ("SCAN p", "SCAN posting")] == []
    else:
        scans = text("SELECT seq_scan, idx_scan FROM pg_stat_xact_user_tables WHERE relname = 'posting'")
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        before = connection.execute(scans).one()
        yield
        after = connection.execute(scans).one()
        assert after.seq_scan == before.seq_scan and after.idx_scan > before.idx_scan


def twice(connection: Connection, one: int, other: int) -> list[Any]:
    """What joining would take back of the second."""
    sides = [uniting.Side(None, 0, (person,), frozenset(), False, 0, None) for person in (one, other)]  # type: ignore[arg-type]
    return uniting._twice(connection, *sides)


LOOKS: dict[str, Callable[[Connection, list[int]], object]] = {
    "movements": lambda connection, numbers: people.movements(connection, numbers[0], 3),
    "of a test": lambda connection, numbers: people.movements(connection, numbers[3], 3, test=True),
    "of an alias": lambda connection, numbers: people.movements(connection, numbers[1], 3),
    "export": lambda connection, numbers: people.export(connection, Vault(SECRET), numbers[0]),
    "what both got": lambda connection, numbers: twice(connection, numbers[0], numbers[3]),
    "budgets": lambda connection, _: acts.budget_given(connection, CAMPAIGN),
    "undone": lambda connection, _: proposals.movements(connection, {1, 2, 3}),
}


def test_no_look_reads_all_that_ever_moved(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            numbers = await filled(talk)
            with talk.store.begin() as connection:
                assert len(twice(connection, numbers[0], numbers[3])) == 1
            for look in LOOKS.values():
                with talk.store.begin() as connection, no_posting_read_whole(connection):
                    look(connection, numbers)

    run(journey())
