"""The sender on a real store with a channel that records: order, rate, pause, freezes and kills, on both databases."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from bot.channels import Outcome, Parcel
from bot.sender import Sender
from storage import rates
from storage.store import Store, machine_now
from tests.outbox import (
    MAIN,
    START,
    Recorder,
    age,
    counted,
    drain,
    opened,
    people,
    put,
    row,
    sender,
    sent_since,
    states,
)

SECOND = 1_000_000


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with opened(database_url) as store:
        yield store


@asynccontextmanager
async def looping(*senders: Sender) -> AsyncIterator[None]:
    loops = [asyncio.create_task(node.loop()) for node in senders]
    yield
    for node in senders:
        await node.close()
    await asyncio.gather(*loops)


async def until(condition: Any, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        await asyncio.sleep(0.01)


def test_each_person_hears_everything_once_in_order(store: Store) -> None:
    async def story() -> None:
        people(store, 20)
        for number in range(5):
            put(store, [(1000 * person + number, person) for person in range(1, 21)])
        channel = Recorder(seconds=0.001)
        mail, _ = sender(store, channel)
        await drain(mail)
        assert counted(store) == {"sent": 100}
        for person in range(1, 21):
            assert [n for n in channel.said() if n // 1000 == person] == [1000 * person + n for n in range(5)]
            assert sent_since(store, person) == 5
        since = [parcel.sent_since for _, parcel in channel.log if parcel.address == "a7"]
        assert since == [0, 1, 2, 3, 4]
        assert mail.ended == {(MAIN, "sent"): 100}

    asyncio.run(story())


def test_every_row_ends_and_the_sums_add_up(store: Store) -> None:
    async def story() -> None:
        people(store, 60)
        put(store, [(100 + n, n) for n in range(1, 31)])
        put(store, [(200 + n, n) for n in range(31, 61)], kind="transactional")
        tries: Counter[int] = Counter()
        ends = [
            Outcome("sent"),
            Outcome("refused", "blocked"),
            Outcome("failed", "too_long"),
            Outcome("doubtful", "no_answer"),
        ]

        def answer(parcel: Parcel) -> Outcome:
            tries[parcel.delivery] += 1
            if parcel.delivery % 5 == 4:
                raise RuntimeError("the token is s3cret")
            return ends[parcel.delivery % 5]

        channel = Recorder()
        channel.answer = answer
        mail, _ = sender(store, channel)
        await drain(mail)
        assert counted(store) == {"sent": 12, "refused": 12, "failed": 12, "doubtful": 12, "queued": 12}
        with store.begin() as connection:  # reminders in doubt wait a moment for their one repetition
            connection.exec_driver_sql("UPDATE delivery SET lease_until = NULL WHERE state = 'queued'")
        await drain(mail)
        assert counted(store) == {"sent": 12, "refused": 12, "failed": 12, "doubtful": 24}
        assert {n: c for n, c in tries.items() if c > 1} == {n: 2 for n in tries if n < 200 and n % 5 >= 3}
        assert (row(store, 101).reason, row(store, 102).reason) == ("blocked", "too_long")
        assert row(store, 234).reason == "channel_broke"
        assert mail.alarms[MAIN] == sum(c for n, c in tries.items() if n % 5 == 4)

    asyncio.run(story())


def test_a_broken_channel_is_logged_without_its_secret(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    async def story() -> None:
        people(store, 1)
        put(store, [(10, 1)], kind="transactional")
        channel = Recorder()
        channel.answer = lambda parcel: Outcome("sent", str(1 / 0))
        mail, _ = sender(store, channel)
        await drain(mail)

    asyncio.run(story())
    printed = capsys.readouterr()
    assert "ZeroDivisionError" in printed.out + printed.err
    assert "division by zero" not in printed.out + printed.err


def test_two_senders_share_the_work_and_the_rate(store: Store) -> None:
    """Requests of two nodes together: no row twice, and no second with more than the limit."""

    async def story() -> None:
        limit = 30
        people(store, 60)
        put(store, [(100 + n, n) for n in range(1, 61)])
        log: list[tuple[float, Parcel]] = []
        nodes = [sender(store, Recorder(log), per_second=limit)[0] for _ in range(2)]
        async with looping(*nodes):
            await until(lambda: len(log) == 60)
        assert counted(store) == {"sent": 60}
        instants = sorted(at for at, _ in log)
        assert max(sum(1 for at in instants if first <= at < first + 1) for first in instants) <= limit
        assert instants[-1] - instants[0] < 3 * 60 / limit
        assert len({parcel.delivery for _, parcel in log}) == 60
        assert all(node.ended[MAIN, "sent"] for node in nodes) or store.is_sqlite

    asyncio.run(story())


def test_slow_pauses_the_account_for_every_node(store: Store) -> None:
    async def story() -> None:
        people(store, 40)
        put(store, [(100 + n, n) for n in range(1, 41)])
        log: list[tuple[float, Parcel]] = []
        channels = [Recorder(log), Recorder(log)]
        channels[0].answer = channels[1].answer = lambda parcel: (
            Outcome("slow", "minute_quota", 1.2) if len(log) == 10 else Outcome("sent")
        )
        nodes = [sender(store, channel, per_second=20)[0] for channel in channels]
        async with looping(*nodes):
            await until(lambda: len(log) == 41)
        gaps = sorted(later[0] - earlier[0] for earlier, later in pairwise(log))
        assert gaps[-1] > 1.0
        paused = log[max(range(40), key=lambda n: log[n + 1][0] - log[n][0]) + 1][0]
        assert sum(1 for at, _ in log if paused <= at < paused + 0.3) <= 10  # a fifth of a second at once, then spaced
        assert counted(store) == {"sent": 40}
        assert sum(node.alarms[MAIN] for node in nodes) >= 1

    asyncio.run(story())


def test_turns_that_were_given_before_a_pause_are_not_used(store: Store) -> None:
    async def story() -> None:
        people(store, 30)
        put(store, [(100 + n, n) for n in range(1, 31)])
        channel = Recorder()
        channel.answer = lambda parcel: (
            Outcome("slow", "minute_quota", 1.2) if len(channel.log) == 10 else Outcome("sent")
        )
        mail, _ = sender(store, channel, per_second=100)  # fifteen turns are given at once
        async with looping(mail):
            await until(lambda: len(channel.log) == 31)
        assert channel.log[10][0] - channel.log[9][0] > 1.1
        assert counted(store) == {"sent": 30}

    asyncio.run(story())


def test_who_begins_late_is_not_closed_up_to(store: Store) -> None:
    """As many as a second may hold are a second apart, and a little, from when they began, not from their turns."""

    async def story() -> None:
        people(store, 75)
        put(store, [(100 + n, n) for n in range(1, 76)])
        with store.begin() as connection:  # after a pause nothing is caught up: an even pace from the first
            rates.pause(connection, MAIN, machine_now(connection) + SECOND // 10)
        channel = Recorder()
        mail, _ = sender(store, channel, per_second=30)
        loop = asyncio.get_running_loop()

        def hold_up(parcel: Parcel) -> Outcome:
            if len(channel.log) % 7 == 0:  # the next turn comes 35 ms behind this one
                loop.call_later(0.027, time.sleep, 0.025)
            return Outcome("sent")

        channel.answer = hold_up
        async with looping(mail):
            await until(lambda: len(channel.log) == 75)
        apart = [later - earlier for (earlier, _), (later, _) in zip(channel.log, channel.log[30:], strict=False)]
        assert min(apart) > rates.APART_SECONDS - 0.002
        assert counted(store) == {"sent": 75}

    asyncio.run(story())


def test_a_pause_set_elsewhere_is_obeyed(store: Store) -> None:
    async def story() -> None:
        people(store, 2)
        put(store, [(10, 1), (11, 2)])
        with store.begin() as connection:
            rates.pause(connection, MAIN, machine_now(connection) + SECOND // 2)
        channel = Recorder()
        mail, _ = sender(store, channel)
        await drain(mail)
        assert channel.log == []
        assert counted(store) == {"queued": 2}
        await asyncio.sleep(0.5)
        await drain(mail)
        assert counted(store) == {"sent": 2}

    asyncio.run(story())


def test_a_node_frozen_before_the_request_loses(store: Store) -> None:
    async def story() -> None:
        people(store, 1)
        put(store, [(10, 1)], kind="transactional")
        channel = Recorder()
        mail, run = sender(store, channel)

        async def freeze(jobs: int) -> None:
            if jobs == 1:  # it has claimed, and sleeps until its lease is over: whether it was sent, nobody else knows
                assert age(store)["doubtful"] == 1
                other, _ = sender(store, channel)
                await drain(other)
                assert channel.log == []
                await asyncio.sleep(1.6)

        run.after = freeze
        await drain(mail)  # thawed, it does not send what it began so long ago; it knows that, and begins again
        assert channel.said() == [10]
        assert states(store) == {10: "sent"}

    asyncio.run(story())


@pytest.mark.parametrize(("kind", "requests", "state"), [("reminder", 2, "sent"), ("transactional", 1, "doubtful")])
def test_a_node_frozen_in_the_request(store: Store, kind: str, requests: int, state: str) -> None:
    async def story() -> None:
        people(store, 1)
        put(store, [(10, 1)], kind=kind)
        log: list[tuple[float, Parcel]] = []
        frozen, _ = sender(store, Recorder(log, seconds=0.2))
        await frozen.step(START)
        assert age(store)["sending"] == 1
        other, _ = sender(store, Recorder(log))
        await drain(other)
        assert states(store) == {10: state}
        assert len(log) == requests
        await drain(frozen)  # thawed: what it knows does no harm, and ends a doubt
        assert states(store) == {10: "sent"}
        assert len(log) == requests
        assert sent_since(store, 1) == 1

    asyncio.run(story())


def test_an_old_result_does_not_end_a_newer_request_of_the_same_node(store: Store) -> None:
    async def story() -> None:
        people(store, 1)
        put(store, [(10, 1)])
        channel = Recorder(seconds=0.2)
        ends = iter([Outcome("failed", "old"), Outcome("sent")])
        channel.answer = lambda parcel: next(ends)
        mail, _ = sender(store, channel)
        await mail.step(START)
        await asyncio.sleep(0.05)
        channel.seconds = 0.7
        age(store)
        await mail.step(START)
        await asyncio.sleep(0.3)
        await drain(mail)
        assert channel.said() == [10, 10]
        assert (states(store), row(store, 10).reason) == ({10: "sent"}, "resent")

    asyncio.run(story())


def test_retry_comes_after_its_wait(store: Store) -> None:
    async def story() -> None:
        people(store, 1)
        put(store, [(10, 1), (11, 1)])
        channel = Recorder()
        channel.answer = lambda parcel: Outcome("retry", "away", 2.5) if len(channel.log) == 1 else Outcome("sent")
        mail, _ = sender(store, channel)
        await drain(mail)
        assert channel.said() == [10]  # and nothing overtakes it
        assert row(store, 10).tries == 1
        await asyncio.sleep(2.5)
        await drain(mail)
        assert channel.said() == [10, 10, 11]
        assert counted(store) == {"sent": 2}

    asyncio.run(story())


def test_closing_ends_what_is_in_flight_and_begins_no_more(store: Store) -> None:
    async def story() -> None:
        people(store, 2)
        put(store, [(10, 1)])
        channel = Recorder(seconds=0.2)
        mail, run = sender(store, channel)
        await mail.step(START)
        put(store, [(11, 2), (12, 2)])

        async def close(jobs: int) -> None:
            mail.wake()
            run.after = None
            closing.append(asyncio.create_task(mail.close()))
            await asyncio.sleep(0)

        closing: list[asyncio.Task[None]] = []
        run.after = close  # right after the claim of 11 was committed
        await mail.step(START)
        await closing[0]
        assert states(store) == {10: "sent", 11: "sent", 12: "queued"}
        assert await mail.step(START) == 0
        assert channel.said() == [10, 11]

    asyncio.run(story())


def test_people_who_fetch_are_left_alone(store: Store) -> None:
    async def story() -> None:
        people(store, 1)
        put(store, [(10, 1)])
        channel = Recorder()
        channel.fetching = True
        mail, _ = sender(store, channel)
        await drain(mail)
        assert channel.log == []

    asyncio.run(story())


def test_a_database_that_is_away_loses_nothing(store: Store) -> None:
    """The end of a request that could not be written is written when the database is back."""

    async def story() -> None:
        people(store, 3)
        put(store, [(10, 1), (11, 2), (12, 3)])
        log: list[tuple[float, Parcel]] = []
        channel = Recorder(log)
        mail, run = sender(store, channel)
        broken, faults = iter([False, False, True, True, False, True]), []

        async def away(jobs: int) -> None:
            if next(broken, False):
                faults.append(jobs)
                raise ConnectionError("away")

        run.after = away
        async with looping(mail):
            await until(lambda: counted(store) == {"sent": 3} and faults)
            list(broken)  # what is left of it must not meet the stop
        assert sorted(channel.said()) == [10, 11, 12]

    asyncio.run(story())


def test_waking_is_quicker_than_looking(store: Store) -> None:
    async def story() -> None:
        people(store, 1)
        log: list[tuple[float, Parcel]] = []
        mail, run = sender(store, Recorder(log))
        async with looping(mail):
            await asyncio.sleep(0.6)
            looks = run.jobs
            assert looks < 20
            began = asyncio.get_running_loop().time()
            put(store, [(10, 1)])
            mail.wake()
            await until(lambda: log)
            assert log[0][0] - began < 0.2
            await until(lambda: states(store) == {10: "sent"})

    asyncio.run(story())
