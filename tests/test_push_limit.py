"""The limit itself: 600 messages, broadcast and replies together, to a platform that takes 30 in any second and no more."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bot.channels.telegram import Telegram
from bot.played.telegram import PlayedTelegram
from bot.played.telegram.wire import too_many
from bot.sender import Sender
from storage.store import Store
from tests.conftest import _database
from tests.outbox import START, WritingThread, opened, people, put
from tests.telegram_house import TOKEN, House, settings

LIMIT = 30
PUSHED, REPLIES = 450, 150
IDEAL = (PUSHED + REPLIES) / LIMIT
# What is held up by more than this between a sender and the platform is the machine's doing (see storage/rates).
STALL = 0.04
TRIES = 3


class Strict(PlayedTelegram):
    """Takes so many messages in any second, to whomever; keeps when each came, and how many it refused."""

    def __init__(self) -> None:
        super().__init__(token=TOKEN)
        self.taken: list[float] = []
        self.refused = 0
        self._latest: deque[float] = deque()

    def spend(self, chat: int) -> None:
        now = self.machine()
        while self._latest and self._latest[0] <= now - 1:
            self._latest.popleft()
        if len(self._latest) >= LIMIT:
            self.refused += 1
            raise too_many(1.0)
        self._latest.append(now)
        self.taken.append(now)

    def fullest(self) -> int:
        """The most that came within one second."""
        return max(bisect_right(self.taken, at + 1) - place for place, at in enumerate(self.taken))


class Stalls:
    """The longest that the machine kept this process from running."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.005)
            self.longest = max(self.longest, time.monotonic() - began - 0.005)

    def close(self) -> None:
        self._task.cancel()


@contextmanager
def house(url: str) -> Iterator[tuple[Store, Strict]]:
    """A store whose 600 people are on the platform, with a row of a push for most of them."""
    with Strict() as world, opened(url) as store:
        for number in range(1, PUSHED + REPLIES + 1):
            world.person(number).start()
        people(store, PUSHED + REPLIES, "telegram", address="{}")
        put(store, [(number, number) for number in range(1, PUSHED + 1)], "telegram:main", lane=1)
        yield store, world


async def sent(store: Store, world: Strict, nodes: int) -> list[float]:
    """Everything sent by so many senders, a reply coming in every now and then; how long each reply waited."""
    small = House(lambda: datetime.now(UTC))
    channels = [Telegram("main", settings(api_url=world.url, messages_per_second=LIMIT), small) for _ in range(nodes)]
    senders = [
        Sender(WritingThread(store), [channel], lambda: START, f"node{place}") for place, channel in enumerate(channels)
    ]
    loops = [asyncio.create_task(sender.loop()) for sender in senders]
    asked: dict[int, float] = {}
    for number in range(PUSHED + 1, PUSHED + REPLIES + 1):
        asked[number] = time.monotonic()
        await asyncio.to_thread(put, store, [(number, number)], "telegram:main", kind="transactional")
        await asyncio.sleep(0.8 * IDEAL / REPLIES)
    until = time.monotonic() + 5 * IDEAL
    while len(world.taken) < PUSHED + REPLIES and time.monotonic() < until:
        await asyncio.sleep(0.02)
    for sender in senders:
        await sender.close()
    await asyncio.gather(*loops, *(channel.close() for channel in channels))
    came = {number: world.people[number].received[0].at.timestamp() for number in asked}
    offset = time.time() - time.monotonic()
    return [came[number] - offset - at for number, at in asked.items()]


def kept(store: Store) -> Counter[str]:
    with store.read() as connection:
        return Counter(connection.exec_driver_sql("SELECT state FROM delivery").scalars().all())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_limit_is_used_and_never_exceeded(
    migrated_name: str, migrated_file: Path, postgres_url: str, tmp_path: Path
) -> None:
    """One sender on SQLite, one on PostgreSQL, and two on another PostgreSQL, at the same time, each with its bot."""

    async def scenario(houses: list[tuple[Store, Strict]]) -> tuple[list[list[float]], float]:
        stalls = Stalls()
        waits = await asyncio.gather(
            *(sent(store, world, nodes) for (store, world), nodes in zip(houses, (1, 1, 2), strict=True))
        )
        stalls.close()
        return list(waits), stalls.longest

    for left in reversed(range(TRIES)):
        lite = tmp_path / f"{left}.db"
        lite.write_bytes(migrated_file.read_bytes())
        with (
            _database(postgres_url, migrated_name) as one,
            _database(postgres_url, migrated_name) as two,
            house(f"sqlite:///{lite}") as first,
            house(one) as second,
            house(two) as third,
        ):
            houses: list[Any] = [first, second, third]
            waits, stall = asyncio.run(scenario(houses))
            for (store, world), waited in zip(houses, waits, strict=True):
                took = world.taken[-1] - world.taken[0]
                print(
                    f"{took:.1f} s (ideal {IDEAL:.0f}), at most {world.fullest()} in a second, {world.refused} refused, "
                    f"replies waited {sorted(waited)[len(waited) * 99 // 100]:.2f} s at most, longest stall {stall:.3f} s"
                )
                assert kept(store) == {"sent": PUSHED + REPLIES}
                assert all(len(person.received) == 1 for person in world.people.values())
                assert took < 5 * IDEAL and sorted(waited)[len(waited) * 99 // 100] < 5.0
                assert world.fullest() <= LIMIT
                if stall < STALL or not left:
                    assert world.refused == (0 if stall < STALL else world.refused)
            if stall < STALL or not any(world.refused for _, world in houses):
                return
    pytest.fail(f"the machine stood still for more than {STALL} s in each of {TRIES} tries")
