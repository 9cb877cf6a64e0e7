"""The contract of every channel, told as the same journeys through each one's real protocol against the real service:
newcomers are greeted, an answer comes once and whole, and nothing that is malformed or forged changes a row.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest

from bot import channels
from bot.played.wechat import PlayedWeChat
from tests.houses import LONG, STRANGE, VISITORS, Furnished, Visitor, furnish, unhurried

CHECKINS = "SELECT count(*) FROM posting WHERE key LIKE 'checkin/%'"
TEXTS = "SELECT count(*) FROM text"
ALONE = "SELECT count(*) FROM subscriber WHERE NOT consent AND id = (SELECT max(id) FROM subscriber)"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Furnished]:
    with PlayedWeChat() as world, unhurried() as telegram:
        found = furnish(tmp_path_factory.mktemp("house"), world, telegram)
        asyncio.run(found.node.begin())
        try:
            yield found
            assert not found.node.broken()
            assert not world.faults, "the service sent what the platform would not take"
            assert not telegram.faults, "the service sent what the platform would not take"
        finally:
            found.node.kill()


@pytest.fixture(params=sorted(VISITORS))
def channel(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def visiting(house: Furnished, channel: str) -> AsyncIterator[Visitor]:
    visitor: Visitor = VISITORS[channel](house)
    try:
        yield visitor
    finally:
        await visitor.close()


def test_every_channel_takes_the_contract() -> None:
    assert set(VISITORS) == set(channels.names())


def test_a_newcomer_is_greeted_with_picture_and_choices(house: Furnished, channel: str) -> None:
    async def journey() -> None:
        async with visiting(house, channel) as visitor:
            shown = await visitor.arrive()
            assert "家庭网" in shown.text
            assert "签到" in shown.choices
            assert (await visitor.picture()).startswith(b"\xff\xd8\xff")

    asyncio.run(journey())


def test_an_answer_ends_in_choices_that_work_by_number(house: Furnished, channel: str) -> None:
    async def journey() -> None:
        async with visiting(house, channel) as visitor:
            await visitor.arrive()
            menu = await visitor.say("菜单")
            by_number = await visitor.say(str(menu.choices.index("我的积分") + 1))
            assert by_number == await visitor.say("我的积分")
            assert "积分" in by_number.text and by_number.choices

    asyncio.run(journey())


def test_a_message_delivered_again_has_one_effect_and_one_answer(house: Furnished, channel: str) -> None:
    async def journey() -> None:
        async with visiting(house, channel) as visitor:
            await visitor.arrive()
            texts, checkins = house.count(TEXTS), house.count(CHECKINS)
            letter = visitor.letter("签到")
            at_once = await asyncio.gather(*[visitor.deliver(letter) for _ in range(3)])
            later = [await visitor.deliver(letter) for _ in range(3)]
            assert "签到" in at_once[0].text
            assert {*at_once, *later} == {at_once[0]}
            assert (house.count(TEXTS), house.count(CHECKINS)) == (texts + 1, checkins + 1)

    asyncio.run(journey())


def test_two_messages_at_once_from_one_person_both_count(house: Furnished, channel: str) -> None:
    async def journey() -> None:
        async with visiting(house, channel) as visitor:
            await visitor.arrive()
            texts, checkins = house.count(TEXTS), house.count(CHECKINS)
            said = await asyncio.gather(*map(visitor.say, ("签到", "签到", "帮助")))
            assert sum("成功" in shown.text for shown in said) == 1
            assert sum("已经" in shown.text for shown in said) == 1
            assert (house.count(TEXTS), house.count(CHECKINS)) == (texts + 3, checkins + 1)

    asyncio.run(journey())


def test_leave_words_stop_messages_and_say_what_they_did_not_do(house: Furnished, channel: str) -> None:
    async def journey() -> None:
        async with visiting(house, channel) as visitor:
            await visitor.arrive()
            shown = await visitor.say("退订")
            assert "没有被取消" in shown.text.split("\n")[0]
            assert house.count(ALONE) == 1
            await visitor.say("恢复接收")
            assert house.count(ALONE) == 0

    asyncio.run(journey())


def test_a_long_answer_arrives_whole(house: Furnished, channel: str) -> None:
    async def journey() -> None:
        async with visiting(house, channel) as visitor:
            await visitor.arrive()
            shown = await visitor.say("请说一篇很长很长的话")
            assert await visitor.whole(shown) == LONG
            assert len(LONG.encode()) > 2040  # and the choices come on top

    asyncio.run(journey())


def test_strange_letters_come_back_as_text(house: Furnished, channel: str) -> None:
    async def journey() -> None:
        async with visiting(house, channel) as visitor:
            await visitor.arrive()
            assert (await visitor.say("请原样说一遍古怪的字")).text == STRANGE
            assert (await visitor.say(STRANGE)).choices

    asyncio.run(journey())


def test_what_cannot_be_read_is_answered_kindly(house: Furnished, channel: str) -> None:
    async def journey() -> None:
        async with visiting(house, channel) as visitor:
            await visitor.arrive()
            for shown in await visitor.odd():
                assert shown.text and shown.choices

    asyncio.run(journey())


def test_malformed_forged_and_oversized_input_is_refused_and_changes_nothing(house: Furnished, channel: str) -> None:
    async def journey() -> None:
        async with visiting(house, channel) as visitor:
            await visitor.arrive()
            await visitor.picture()
            before = await house.rows()
            wrong = {}
            for what, letter in visitor.hostile().items():
                status = (await visitor.post(letter)).status_code
                if not 400 <= status < 500:
                    wrong[what] = status
            assert wrong == {}
            assert await house.rows() == before
            assert (await visitor.say("菜单")).choices, "the door still opens"

    asyncio.run(journey())


def test_a_shutdown_drains_and_the_next_start_still_knows_every_answer(house: Furnished, channel: str) -> None:
    """What was answered stays answered; what was not is heard at its next delivery, and nothing twice."""

    async def journey() -> None:
        async with visiting(house, channel) as visitor:
            await visitor.arrive()
            texts, checkins = house.count(TEXTS), house.count(CHECKINS)
            letters = [visitor.letter("签到"), *[visitor.letter("积分") for _ in range(30)]]
            first = await visitor.deliver(letters[0])
            flying = [asyncio.create_task(visitor.deliver(letter)) for letter in letters[1:]]
            await asyncio.sleep(0.02)
            await house.node.stop()
            before = [first, *await asyncio.gather(*flying, return_exceptions=True)]
            await house.node.begin()
            for said, letter in zip(before, letters, strict=True):
                again = await visitor.deliver(letter)
                assert again.text
                if isinstance(said, httpx.HTTPError):
                    continue
                assert again == said
            assert (house.count(TEXTS), house.count(CHECKINS)) == (texts + len(letters), checkins + 1)

    asyncio.run(journey())
