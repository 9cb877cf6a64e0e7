"""The emergency stop: nothing new is sent while it stands, nothing is lost or repeated, and deadlines lengthen."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import pytest
from sqlalchemy import create_engine, text

from bot.played.telegram import PlayedTelegram
from bot.played.wechat import PlayedWeChat
from campaigns import rights, stopping
from campaigns.desk import ActRefused, Desk, NotAllowed
from storage import holds, ledger, stops, timers
from storage.store import Store
from storage.tables import micros
from tests.houses import unhurried
from tests.outbox import START, Recorder, counted, drain, opened, people, put, sender
from tests.serving import ROOT, Node, _command, _environment, free_port
from tests.talking import run, talking
from tests.test_joining import CODE

MINUTE = timedelta(minutes=1)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with opened(database_url) as store:
        yield store


def switch(store: Store, at: Any = START, *, on: bool, actor: str = "operator", why: str = "test") -> bool:
    with store.begin() as connection:
        desk = Desk(connection, actor, rights.OPERATOR, at, why)
        return stopping.stop(desk) if on else stopping.resume(desk)


def events(store: Store) -> list[str]:
    with store.read() as connection:
        query = "SELECT kind FROM event WHERE kind LIKE 'service.%' ORDER BY id"
        return list(connection.execute(text(query)).scalars())


# ---- the switch


def test_stopping_and_resuming_twice_is_one_effect(store: Store) -> None:
    assert not switch(store, on=False)
    assert [switch(store, on=True) for _ in range(2)] == [True, False]
    assert [switch(store, START + MINUTE, on=False) for _ in range(2)] == [True, False]
    assert switch(store, START + 2 * MINUTE, on=True, why="again")
    assert events(store) == ["service.stopped", "service.resumed", "service.stopped"]
    with store.read() as connection:
        newest, first = stops.latest(connection, 5)
    assert (newest.number, newest.ended_at, newest.began_why) == (2, None, "again")
    assert (first.number, first.ended_at, first.ended_by) == (1, START + MINUTE, "operator")


def test_of_many_who_stop_at_once_one_does(store: Store) -> None:
    gate = Barrier(8)

    def press(on: bool) -> bool:
        gate.wait()
        return switch(store, START + MINUTE, on=on)

    for on in (True, False):
        with ThreadPoolExecutor(8) as crowd:
            assert Counter(crowd.map(press, [on] * 8)) == {True: 1, False: 7}
    assert events(store) == ["service.stopped", "service.resumed"]


def test_who_may_not_stop_and_who_says_no_reason_changes_nothing(store: Store) -> None:
    with store.begin() as connection:
        with pytest.raises(NotAllowed):
            stopping.stop(Desk(connection, "staff:3", rights.of(["service"]), START, "because"))
        for why in ("", "x" * 401):
            with pytest.raises(ActRefused):
                stopping.stop(Desk(connection, "staff:3", rights.of(["planning"]), START, why))
        assert stops.standing(connection) is None


# ---- the way out


def test_nothing_is_claimed_or_begun_and_everything_leaves_once_afterwards(store: Store) -> None:
    async def story() -> None:
        people(store, 30)
        put(store, [(100 * person + number, person) for person in range(1, 31) for number in range(2)])
        channel = Recorder()
        mail, _ = sender(store, channel)
        switch(store, on=True)
        await drain(mail)
        assert not channel.log and counted(store) == {"queued": 60}
        switch(store, on=False)
        await drain(mail)
        assert counted(store) == {"sent": 60}
        assert sorted(channel.said()) == sorted(100 * person + number for person in range(1, 31) for number in range(2))

    asyncio.run(story())


def test_a_node_that_froze_before_its_request_does_not_send_after_a_stop(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        people(store, 3)
        put(store, [(100 + person, person) for person in range(1, 4)])
        channel = Recorder()
        mail, run_job = sender(store, channel)
        clock = time.monotonic
        away = [0.0]
        monkeypatch.setattr("bot.sender.time", SimpleNamespace(monotonic=lambda: clock() + away[0]))

        async def after(job: int) -> None:
            if job == 1:  # the rows are sending; then the process stands still and somebody presses the switch
                switch(store, on=True)
                away[0] = 60.0

        run_job.after = after
        await drain(mail, 1)
        assert not channel.log and counted(store) == {"queued": 3}
        run_job.after = None
        switch(store, on=False)
        with store.begin() as connection:
            connection.execute(text("UPDATE delivery SET lease_until = NULL"))
        await drain(mail)
        assert sorted(channel.said()) == [101, 102, 103] and counted(store) == {"sent": 3}

    asyncio.run(story())


# ---- deadlines


def test_a_stopped_time_is_counted_once_and_only_since_a_deadline_was_set(store: Store) -> None:
    def stopped(since: int, now: int) -> float:
        with store.read() as connection:
            return stops.stopped(connection, micros(START + since * MINUTE), micros(START + now * MINUTE)) / 60_000_000

    assert stopped(0, 99) == 0
    for begin, end in ((10, 15), (20, 30)):
        switch(store, START + begin * MINUTE, on=True)
        switch(store, START + end * MINUTE, on=False)
    switch(store, START + 40 * MINUTE, on=True)
    assert [stopped(0, now) for now in (9, 12, 15, 18, 25, 35, 41, 50)] == [0, 2, 5, 5, 10, 15, 16, 25]
    assert [stopped(since, 35) for since in (12, 15, 17, 22, 30)] == [13, 10, 10, 8, 0]
    with store.read() as connection:
        assert stops.stopped(connection, None, micros(START + 35 * MINUTE)) == 15 * 60_000_000


_IDS = itertools.count(5000)


def set_timer(store: Store, key: str, made: int | None, due: int) -> None:
    with store.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO timer (id, key, subscriber, kind, due_at, data, fired, made_at) "
                "VALUES (:id, :key, 7, 'nudge', :due, '{}', FALSE, :made)"
            ),
            {
                **{"id": next(_IDS), "key": key, "due": micros(START + due * MINUTE)},
                "made": None if made is None else micros(START + made * MINUTE),
            },
        )


def due(store: Store, minute: int) -> list[str]:
    with store.begin() as connection:
        connection.execute(text("UPDATE timer SET lease_until = NULL"))
        found = sorted(timer.key for timer in timers.due(connection, START + minute * MINUTE, 50))
        for key in found:
            connection.execute(text("UPDATE timer SET fired = TRUE WHERE key = :k"), {"k": key})
        return found


def test_timers_wait_and_lengthen_by_what_stood_still_since_they_were_set(store: Store) -> None:
    set_timer(store, "due-before", 0, 9)
    set_timer(store, "due-during", 0, 12)
    set_timer(store, "written-by-an-older-node", None, 25)
    set_timer(store, "due-after", 0, 25)
    switch(store, START + 10 * MINUTE, on=True)
    set_timer(store, "set-during", 15, 16)
    assert [due(store, minute) for minute in (10, 18)] == [[], []]
    switch(store, START + 20 * MINUTE, on=False)
    set_timer(store, "set-after", 21, 21)
    # Ten minutes stood still; of what was set in the middle five.
    expected = {20: ["due-before"], 21: ["set-after", "set-during"], 22: ["due-during"], 34: []}
    expected[35] = ["due-after", "written-by-an-older-node"]
    assert {minute: due(store, minute) for minute in expected} == expected


def test_a_hold_expires_later_by_the_stop(store: Store) -> None:
    with store.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO balance (account, owner, unit, amount, held, floor) VALUES ('s/7/points', 7, 'points', 9, "
                "0, 0)"
            )
        )
        account = ledger.person(7, "points")
        for key, minutes in (("short", 5), ("long", 30)):
            holds.reserve(
                connection,
                holds.Hold(key, "points", account, "gone", 2, "c", 1, "r", START + minutes * MINUTE),
                START,
            )
    switch(store, START + 10 * MINUTE, on=True)

    def expired(minute: int) -> int:
        with store.begin() as connection:
            return holds.expire(connection, START + minute * MINUTE)

    assert expired(11) == 1, "what was over before the stop is over"
    assert [expired(45), switch(store, START + 50 * MINUTE, on=False), expired(69), expired(70)] == [0, True, 0, 1]


def test_a_joining_code_can_be_typed_later_by_the_stop(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            for minutes, answer in ((14, "绑定成功"), (16, "已经过期")):
                given = await talk.say("绑定", who=f"w{minutes}")
                code = CODE.search(given)
                assert code, given
                talk.now += 2 * MINUTE
                switch(talk.store, talk.now, on=True)
                talk.now += 5 * MINUTE
                switch(talk.store, talk.now, on=False)
                talk.now += (minutes - 7) * MINUTE
                said = await talk.say(code[1], who=f"7{minutes}", channel="telegram")
                assert answer in said, (minutes, said)

    run(journey())


# ---- as operators use it


def koukou(node: Node, *words: str) -> str:
    done = subprocess.run(
        _command(node.config, *words), cwd=ROOT, env=_environment() | {"LANG": "C"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_stops_beside_a_serving_process_and_alone(tmp_path: Path) -> None:
    async def story() -> None:
        with PlayedWeChat() as world:
            node = Node(tmp_path, f"sqlite:///{tmp_path}/koukou.db", free_port(), world)

            def seen() -> tuple[Any, bool]:
                base = f"http://127.0.0.1:{node.port}"
                ready = json.loads(urlopen(f"{base}/readyz").read())
                assert ready["ready"] is True
                return ready["stopped"], "koukou_stopped 1.0" in urlopen(f"{base}/metrics").read().decode()

            try:
                await node.begin()
                assert await asyncio.to_thread(seen) == (False, False)
                said = await asyncio.to_thread(koukou, node, "stop", "平台在维护")
                assert "已停止发送" in said and "koukou resume" in said
                assert "先前已经停止" in await asyncio.to_thread(koukou, node, "stop")
                assert await asyncio.to_thread(seen) == (True, True)
                assert "已恢复发送" in await asyncio.to_thread(koukou, node, "stop", "--resume")
                assert await asyncio.to_thread(seen) == (False, False)
                await node.stop()
                assert "已停止发送" in await asyncio.to_thread(koukou, node, "stop")
                await node.begin()
                assert await asyncio.to_thread(seen) == (True, True)
                assert "已恢复发送" in await asyncio.to_thread(koukou, node, "resume", "好了")
                assert not node.broken()
            finally:
                node.kill()

    asyncio.run(story())


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("empty_database_url", ["postgres"], indirect=True)
def test_two_nodes_under_load_stop_within_two_seconds_and_lose_or_repeat_nothing(
    empty_database_url: str, tmp_path: Path
) -> None:
    """People write to two nodes all the while; between two seconds after the stop and the resume nobody is sent to."""

    async def play(nodes: list[Node], world: PlayedTelegram) -> None:
        people = [world.person() for _ in range(60)]

        said: Counter[int] = Counter()
        enough = asyncio.Event()

        async def write() -> None:
            turn = 0
            while not enough.is_set():
                index = turn % len(people)
                world.webhook = f"http://127.0.0.1:{nodes[turn % 2].port}/telegram"
                people[index].say("积分")
                said[index] += 1
                turn += 1
                await asyncio.sleep(0.05)

        for person in people:
            person.start()
        await world.idle(30)
        for person in people:
            await person.wait_for(1, 60)
        writing = asyncio.create_task(write())
        await asyncio.sleep(2)
        pressed = world.clock()
        await asyncio.to_thread(koukou, nodes[1], "stop", "test")
        stopped = world.clock()
        await asyncio.sleep(4)
        enough.set()
        await writing
        await world.idle(30)
        await asyncio.sleep(1)
        resumed = world.clock()
        left = sum(said.values()) + 60 - sum(len(person.received) for person in people)
        assert left > 20, "nothing was left to be sent"
        await asyncio.to_thread(koukou, nodes[0], "resume", "test")
        for index, person in enumerate(people):
            await person.wait_for(1 + said[index], 60)
        await asyncio.sleep(1.5)
        expected = [1 + said[index] for index in range(60)]
        assert [len(person.received) for person in people] == expected, "lost or repeated"
        times = sorted(one.at for person in people for one in person.received)
        late = [at for at in times if stopped + timedelta(seconds=2) < at < resumed]
        assert not late, [(at - stopped).total_seconds() for at in late]
        last = max(at for at in times if at < resumed)
        print(f"the last message came {(last - stopped).total_seconds():.2f} s after the stop, {left} waited")
        assert any(at < pressed for at in times) and not world.faults
        engine = create_engine(empty_database_url)
        with engine.connect() as connection:
            heard = "SELECT count(*) FROM inbox_key WHERE key LIKE 'telegram:main:u:%'"
            assert connection.execute(text(heard)).scalar() == sum(expected)
            ends = connection.execute(text("SELECT state, count(*) FROM delivery GROUP BY state")).all()
            assert dict(map(tuple, ends)) == {"sent": sum(expected)}
        engine.dispose()

    async def story() -> None:
        with PlayedWeChat() as wechat, unhurried() as world:
            nodes = [Node(tmp_path, empty_database_url, free_port(), wechat, world, "webhook") for _ in range(2)]
            nodes[0].upgrade()
            try:
                for node in nodes:
                    await node.begin()
                world.webhook = f"http://127.0.0.1:{nodes[0].port}/telegram"
                await play(nodes, world)
                for node in nodes:
                    assert not node.broken()
            finally:
                for node in nodes:
                    node.kill()

    asyncio.run(story())
