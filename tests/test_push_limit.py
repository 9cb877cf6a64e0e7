"""A platform's limit held by the whole way out: 600 messages, a push's and replies between them, thirty in any second.

One node and two on PostgreSQL and one on SQLite, each with a played Telegram of its own, side by side since they mostly
wait. The platform refuses the thirty-first message of any second and gives nobody a reserve.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import deque
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path

import pytest

from bot.channels.telegram import Telegram
from bot.played.telegram import PlayedTelegram
from bot.played.telegram.wire import Call, Refused, Reply, too_many
from bot.sender import Sender
from storage.store import Store
from tests import telegram_house
from tests.conftest import _database
from tests.outbox import NOW, RUN, SECOND, START, WritingThread, counted, opened, people, put

LIMIT, MESSAGES, REPLIES = 30, 600, 60
EVERY = 0.3  # seconds from one reply to the next
FIRST = 6_000_000_000  # persons' addresses begin here
_TELEGRAM = "telegram:main"


class Pulse:
    """Notices when this process was held up: what came meanwhile was seen later than it came."""

    _BEAT, _LATE, _AFTERMATH = 0.004, 0.012, 0.05

    def __init__(self) -> None:
        self._beats: dict[int, float] = {}
        self._held: deque[tuple[float, float]] = deque(maxlen=50)

    async def beat(self) -> None:
        """For ever, in each event loop that has a part in it."""
        loop = id(asyncio.get_running_loop())
        while True:
            before = self._beats[loop] = time.monotonic()
            await asyncio.sleep(self._BEAT)
            if time.monotonic() > before + self._LATE:
                self._held.append((before, time.monotonic()))

    def earliest(self, seen: float) -> float:
        """When something that was seen just now may have come: then, or before the process was held up."""
        held = [began for began, ended in list(self._held) if ended > seen - self._AFTERMATH]
        return min([seen, *held, *(beat for beat in list(self._beats.values()) if beat < seen - self._LATE)])


class Strict(PlayedTelegram):
    """Takes LIMIT messages in any second and answers 429 beyond; each answer takes its time."""

    def __init__(self, pulse: Pulse, seed: int) -> None:
        super().__init__(seed=seed, token=telegram_house.TOKEN)
        self.pulse, self.taken_at, self.refused = pulse, list[float](), list[float]()
        self.by_chat: dict[int, float] = {}
        self._window: deque[float] = deque(maxlen=LIMIT)

    def spend(self, chat: int) -> None:
        """Refuses what is certainly one too many in a second, and notes the instants of all."""
        now = self.machine()
        if len(self._window) == LIMIT and now - self._window[0] < 1.0:
            self.refused.append(now)
            raise too_many(1)
        self._window.append(self.pulse.earliest(now))
        self.taken_at.append(now)
        self.by_chat[chat] = now

    def watch(self) -> None:
        """Its own thread may be held up as well. Called there."""
        self._watching = asyncio.get_running_loop().create_task(self.pulse.beat())

    async def handle(self, call: Call) -> Reply:
        reply = await super().handle(call)
        return dataclasses.replace(reply, delay=reply.delay + self.dice.uniform(0.01, 0.09))

    def densest(self, seconds: float) -> int:
        """The most messages taken in so many seconds in a row."""
        window: deque[float] = deque()
        most = 0
        for at in self.taken_at:
            window.append(at)
            while at - window[0] >= seconds:
                window.popleft()
            most = max(most, len(window))
        return most


class Case:
    """Nodes on one database with everything queued: a push to most, and to the others a reply now and then."""

    def __init__(self, name: str, url: str, nodes: int, world: Strict, stack: ExitStack) -> None:
        self.name, self.world = name, world
        self.stores = [stack.enter_context(opened(url))]
        self.stores += [stack.enter_context(closing(Store(url))) for _ in range(nodes - 1)]
        people(self.stores[0], MESSAGES, "telegram", address="6{:09d}")
        for number in range(1, MESSAGES + 1):
            world.person(FIRST + number).known = True
        pushed = range(1, MESSAGES - REPLIES + 1)
        put(self.stores[0], [(10_000 + n, n) for n in pushed], _TELEGRAM, lane=1)
        for place, number in enumerate(range(MESSAGES - REPLIES + 1, MESSAGES + 1)):
            due = NOW + int(place * EVERY * SECOND)
            put(self.stores[0], [(10_000 + number, number)], _TELEGRAM, kind="transactional", due_at=due)

    async def run(self) -> None:
        """Until everything was taken or all patience is at its end."""
        began = self.began = time.monotonic()
        small = telegram_house.House(lambda: START)
        told = telegram_house.settings(api_url=self.world.url, messages_per_second=LIMIT)
        lines = [Telegram("main", told, small) for _ in self.stores]
        nodes = [
            Sender(
                WritingThread(store),
                [line],
                lambda: START + timedelta(seconds=time.monotonic() - began),
                f"{self.name}/{place}",
                lambda connection, now: [RUN],
            )
            for place, (store, line) in enumerate(zip(self.stores, lines, strict=True))
        ]
        loops = [asyncio.create_task(node.loop()) for node in nodes]
        while len(self.world.taken_at) < MESSAGES and time.monotonic() < began + 5 * MESSAGES / LIMIT:
            await asyncio.sleep(0.05)
        for node in nodes:
            await node.close()
        await asyncio.gather(*loops)
        self.shares = [sum(node.ended.values()) for node in nodes]
        for line in lines:
            await line.close()

    def replies(self) -> list[float]:
        """Seconds from the moment each reply was due until the platform had it, the shortest first."""
        first = FIRST + MESSAGES - REPLIES + 1
        return sorted(self.world.by_chat[first + n] - self.began - n * EVERY for n in range(REPLIES))

    def __str__(self) -> str:
        instants, replies = self.world.taken_at, self.replies()
        return (
            f"{self.name}: {len(instants)} in {instants[-1] - instants[0]:.1f} s, most in a second "
            f"{self.world.densest(1.0)}, in five {self.world.densest(5.0)}, refused "
            f"{[round(at - self.began, 2) for at in self.world.refused]}, by node "
            f"{self.shares}; replies {1000 * replies[len(replies) // 2]:.0f} ms, at most {1000 * replies[-1]:.0f} ms"
        )


def test_the_platform_refuses_one_too_many() -> None:
    """It would tell: the thirty-first within a second gets 429; when the first is a second old, it is taken."""
    world, now = Strict(Pulse(), 1), 0.0
    world.machine = lambda: now
    for place in range(30):
        now = place * 0.033
        world.spend(FIRST)
    now = 0.999
    with pytest.raises(Refused):
        world.spend(FIRST)
    now = 1.0
    world.spend(FIRST)
    assert (len(world.refused), len(world.taken_at), world.densest(1.0)) == (1, 31, 30)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_no_second_holds_more_than_the_platform_takes(
    tmp_path: Path, postgres_url: str, migrated_name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as stack:
        urls = [stack.enter_context(_database(postgres_url, migrated_name)) for _ in range(2)]
        given = [("PostgreSQL, one node", urls[0], 1), ("PostgreSQL, two nodes", urls[1], 2)]
        given.append(("SQLite", f"sqlite:///{tmp_path / 'koukou.db'}", 1))
        cases, pulse = [], Pulse()
        for seed, (name, url, nodes) in enumerate(given):
            world = stack.enter_context(Strict(pulse, seed))
            cases.append(Case(name, url, nodes, world, stack))

        async def all_of_them() -> None:
            beating = [asyncio.create_task(pulse.beat())]
            for case in cases:
                case.world.soon(case.world.watch)
            await asyncio.gather(*(case.run() for case in cases))
            beating[0].cancel()

        asyncio.run(all_of_them())
        with capsys.disabled():
            print("", *cases, sep="\n")
        for case in cases:
            world = case.world
            assert world.refused == [] and world.faults == []
            assert counted(case.stores[0]) == {"sent": MESSAGES}
            assert [len(world.people[FIRST + n].received) for n in range(1, MESSAGES + 1)] == [1] * MESSAGES
            assert all(case.shares)
            # Of the rate a good part is kept: in the five seconds in which nothing else was going on here.
            assert world.densest(5.0) >= 0.8 * 5 * LIMIT
            assert world.taken_at[-1] - world.taken_at[0] < 5 * MESSAGES / LIMIT
