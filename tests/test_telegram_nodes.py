"""Two real nodes on one PostgreSQL with one bot: one of them polls, and both obey the platform's pauses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from bot.played.telegram import PlayedTelegram
from bot.played.wechat import PlayedWeChat
from tests.houses import unhurried
from tests.serving import Node, free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


async def two_nodes(
    url: str, folder: Path, play: Callable[[list[Node], PlayedTelegram], Awaitable[None]], how: str
) -> None:
    with PlayedWeChat() as wechat, unhurried() as world:
        nodes = [Node(folder, url, free_port(), wechat, world, how) for _ in range(2)]
        nodes[0].upgrade()
        try:
            for node in nodes:
                await node.begin()
            await play(nodes, world)
            for node in nodes:
                assert not node.broken()
                assert world.token.split(":")[1] not in node.log.read_text()
            assert not world.faults
        finally:
            for node in nodes:
                node.kill()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("empty_database_url", ["postgres"], indirect=True)
def test_two_nodes_poll_in_turn_and_lose_nothing(empty_database_url: str, tmp_path: Path) -> None:
    """The one that polls is killed in the middle of its work: the other goes on, and everybody is answered once."""

    async def play(nodes: list[Node], world: PlayedTelegram) -> None:
        people = [world.person() for _ in range(30)]
        for person in people:
            person.start()
        await world.idle(30)
        for person in people:
            await person.wait_for(1, 30)
        polls = [node for node in nodes if "this node polls" in node.log.read_text()]
        assert len(polls) == 1
        for person in people:
            person.say("签到")
        await asyncio.sleep(0.15)
        polls[0].kill()
        for person in people:
            person.say("积分")
        await world.idle(40)
        for person in people:
            await person.wait_for(3, 90)  # what was being sent at the kill is in doubt for a minute
        other = next(node for node in nodes if node is not polls[0])
        assert "this node polls" in other.log.read_text()
        await asyncio.sleep(1.0)
        answers = [[one.text[:6] for one in person.received] for person in people]
        # A message that was being sent at the kill may come once more, never its effect.
        assert all(sum("签到成功" in text for text in said) >= 1 for said in answers)
        assert not any("已经签到" in text for said in answers for text in said)
        engine = create_engine(empty_database_url)
        with engine.connect() as connection:
            sql = "SELECT count(*), count(DISTINCT key) FROM posting WHERE key LIKE 'checkin/%'"
            assert tuple(connection.execute(text(sql)).one()) == (30, 30)
            heard = "SELECT count(*) FROM inbox_key WHERE key LIKE 'telegram:main:u:%'"
            assert connection.execute(text(heard)).scalar() == 90
        engine.dispose()

    asyncio.run(two_nodes(empty_database_url, tmp_path, play, "polling"))


@pytest.mark.parametrize("empty_database_url", ["postgres"], indirect=True)
def test_a_429_is_obeyed_by_both_nodes(empty_database_url: str, tmp_path: Path) -> None:
    async def play(nodes: list[Node], world: PlayedTelegram) -> None:
        people = [world.person() for _ in range(60)]
        world.webhook = f"http://127.0.0.1:{nodes[0].port}/telegram"
        for person in people[:10]:
            person.start()
        await world.idle(20)
        for person in people[:10]:
            await person.wait_for(1, 20)
        world.fail("sendPhoto", retry_after=3)
        began = world.clock()
        for person in people[10:]:
            person.start()
        await world.idle(20)
        for person in people:
            await person.wait_for(1, 30)
        # The other node learns of it with its next claim; until then it may use turns that it has.
        # Of the three seconds the rest is silent, perhaps before anybody got anything.
        times = [began, *sorted(person.received[0].at for person in people[10:])]
        gaps = sorted((later - earlier).total_seconds() for earlier, later in pairwise(times))
        assert gaps[-1] > 2.2, gaps[-3:]
        assert all(len(person.received) == 1 for person in people)

    asyncio.run(two_nodes(empty_database_url, tmp_path, play, "webhook"))
