"""Two nodes on one PostgreSQL: the same message to both at once, one of them frozen, one of them killed mid-answer."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection

from bot.played.wechat import Person
from bot.played.wechat.people import _MESSAGE_WINDOW as _WINDOW
from storage import kept
from tests.bot_crowd import BotCrowd
from tests.crash import Run, audit, table
from tests.crowd import Crowd, percentile, seen
from tests.serving import Node, free_port
from tests.talking import talking

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]
CALLERS = 8
# What a frozen node can hold others up for: its transaction is ended after 2 s, and a lock is asked for again after
# 0.5 s; the rest is what a busy machine adds.
LONGEST_WAIT = 2.0 + 0.5 + 1.5


@asynccontextmanager
async def two_nodes(url: str, folder: Path) -> AsyncIterator[Crowd]:
    """A crowd before two serving nodes."""
    with Crowd(seed=5) as crowd:
        crowd.nodes = [Node(folder, url, free_port(), crowd) for _ in range(2)]
        crowd.nodes[0].upgrade()
        try:
            for node in crowd.nodes:
                await node.begin()
            yield crowd
        finally:
            for node in crowd.nodes:
                node.kill()


async def audited(crowd: Crowd, freezes: int = 0) -> Run:
    """Let the sender finish, stop both nodes as an operator does, and compare everything."""
    await asyncio.sleep(3)
    run = Run("postgresql", 2, 5, 0, freezes, CALLERS)
    for node in crowd.nodes:
        await node.stop()
    audit(crowd, BotCrowd(5), run)  # nobody talks to the bot here
    return run


def test_two_nodes_begin_on_an_empty_database_at_once(tmp_path: Path, empty_postgres_url: str) -> None:
    async def scenario() -> tuple[list[int], int]:
        with Crowd() as crowd:
            nodes = [Node(tmp_path, empty_postgres_url, free_port(), crowd) for _ in range(3)]
            nodes[0].upgrade()
            try:
                for node in nodes:
                    node.start()
                for node in nodes:
                    await node.ready()
                return [len(node.started) for node in nodes], nodes[0].koukou("plan", "show")["revision"]
            finally:
                for node in nodes:
                    node.kill()

    starts, revision = asyncio.run(scenario())
    assert starts == [1, 1, 1]
    assert revision == 1


def test_the_same_message_to_both_nodes_at_once(
    tmp_path: Path, empty_postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> tuple[Crowd, Run]:
        async with two_nodes(empty_postgres_url, tmp_path) as crowd:
            crowd.together = True
            talking = asyncio.create_task(crowd.talk(CALLERS, 24))
            await asyncio.sleep(6)
            crowd.hush()
            await talking
            return crowd, await audited(crowd)

    crowd, run = asyncio.run(scenario())
    with capsys.disabled():
        print(f"\n{table([run])}\nrefused by status: {dict(crowd.refused)}")
    assert run.problems == []
    assert run.doubled == 0
    assert run.acknowledged == run.messages > 30
    assert set(crowd.refused) <= {503}


def test_a_frozen_node_stops_nobody(
    tmp_path: Path, empty_postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    frozen: list[tuple[float, float, int]] = []

    async def scenario() -> tuple[Crowd, Run]:
        dice = random.Random(11)
        async with two_nodes(empty_postgres_url, tmp_path) as crowd:
            talking = asyncio.create_task(crowd.talk(CALLERS, 24))
            for _ in range(10):
                await asyncio.sleep(dice.uniform(0.1, 0.5))
                node, began = dice.choice(list(crowd.nodes)), time.monotonic()
                await node.freeze(dice.uniform(0.2, 3.0))
                frozen.append((began, time.monotonic(), node.port))
            crowd.hush()
            await talking
            return crowd, await audited(crowd, len(frozen))

    crowd, run = asyncio.run(scenario())
    # Calls that the other node ended while, or just after, one was frozen.
    waits = [
        seconds
        for ended, seconds, port, _ in crowd.waits
        if any(began <= ended <= until + 0.5 and port != stopped for began, until, stopped in frozen)
    ]
    worst = max(waits)
    with capsys.disabled():
        print(
            f"\n{table([run])}\nrefused by status: {dict(crowd.refused)}; beside a frozen node {len(waits)} answers, "
        )
        print(f"p50 {percentile(waits, 0.5):.3f} s, p99 {percentile(waits, 0.99):.3f} s, worst {worst:.3f} s")
    assert run.problems == []
    assert run.acknowledged == run.messages
    assert len(waits) > 50
    assert worst <= LONGEST_WAIT
    assert run.doubled <= len(frozen)


def test_what_a_killed_node_owed_leaves_once_by_the_other(
    tmp_path: Path, empty_postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    owed: list[tuple[Person, str]] = []

    async def scenario() -> Crowd:
        async with two_nodes(empty_postgres_url, tmp_path) as crowd:
            first, other = crowd.nodes
            with watching(empty_postgres_url) as watch:
                for _ in range(8):
                    person = crowd.person()
                    person.since = crowd.clock()
                    xml = person.text_xml("帮助")
                    if await killed_before_reply(first, crowd, person, xml, watch):
                        owed.append((person, xml))
                    if len(owed) == 3:
                        break
                    await first.begin()
                first.kill()
                # The time in which the platform could have come again passes.
                watch.execute("UPDATE delivery SET lease_until = lease_until - 20000000 WHERE state = 'passive'")
                await asyncio.sleep(6)
                for _, xml in owed:
                    status, answer = await other.door.exchange("POST", *crowd.sealed(xml))
                    assert (status, answer) == (200, b"success")
                await asyncio.sleep(1)
            return crowd

    crowd = asyncio.run(scenario())
    with capsys.disabled():
        print(f"\n{len(owed)} answers were owed by a killed node")
    assert owed
    for person, _ in owed:
        assert seen(person).total() == 1
        assert [(what.how, "签到" in what.content) for what in person.received] == [("custom", True)]
    assert crowd.faults == []


def test_a_job_whose_session_was_ended_is_done_once_more(empty_postgres_url: str) -> None:
    runs: list[int] = []

    def frozen_at_first(connection: Connection) -> int:
        kept.keep(connection, "thawed", {"run": len(runs)}, 60)
        runs.append(len(runs))
        if len(runs) == 1:
            time.sleep(2.6)  # longer than the database lets a transaction idle
        return len(runs)

    async def scenario() -> None:
        async with talking(empty_postgres_url) as talk:
            assert await talk.writer.run(frozen_at_first) == 2
            with talk.store.read() as connection:
                assert kept.recall(connection, "thawed") == {"run": 1}

    asyncio.run(scenario())


@contextmanager
def watching(url: str) -> Iterator[psycopg.Connection]:
    """A look into the database that sees each commit at once."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        yield connection


async def killed_before_reply(node: Node, crowd: Crowd, person: Person, xml: str, watch: psycopg.Connection) -> bool:
    """Kill the node as soon as its commit can be seen. True when it had not answered yet."""
    known = watch.execute("SELECT COUNT(*) FROM inbox_key").fetchone()
    person._open("message", _WINDOW)
    call = asyncio.create_task(node.door.exchange("POST", *crowd.sealed(xml)))
    while not call.done():
        await asyncio.sleep(0)
        if watch.execute("SELECT COUNT(*) FROM inbox_key").fetchone() != known:
            node.kill()
            break
    try:
        await call
    except (OSError, asyncio.IncompleteReadError):
        return True
    node.kill()
    return False
