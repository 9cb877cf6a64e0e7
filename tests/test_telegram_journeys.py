"""Whole conversations on Telegram with the real service, as people have them and as the platform's faults allow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bot.played.telegram import Person, PlayedTelegram, Received
from bot.played.wechat import PlayedWeChat
from tests.houses import Furnished, furnish, unhurried


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Furnished]:
    with PlayedWeChat() as wechat, unhurried(hurry=20) as telegram:
        found = furnish(tmp_path_factory.mktemp("house"), wechat, telegram)
        asyncio.run(found.node.begin())
        try:
            yield found
            assert not found.node.broken()
            assert not telegram.faults
            assert telegram.token.split(":")[1] not in found.node.log.read_text()
        finally:
            found.node.kill()


@pytest.fixture
def world(house: Furnished) -> PlayedTelegram:
    assert house.telegram
    return house.telegram


async def after(person: Person, act: Callable[[], Any], edited: bool = False) -> Received:
    """What comes of an act: the next message, or the one that it changed."""
    before, edits = len(person.received), sum(one.edits for one in person.received)
    act()
    if not edited:
        return (await person.wait_for(before + 1))[before]
    for _ in range(500):
        if sum(one.edits for one in person.received) > edits:
            assert len(person.received) == before, "said anew as well"
            return max(person.received, key=lambda one: one.edits)
        await asyncio.sleep(0.01)
    raise AssertionError("nothing was edited")


def labels(received: Received) -> list[str]:
    return [button["text"] for row in received.keyboard for button in row]


def test_a_newcomer_is_spoken_to_in_their_language(world: PlayedTelegram) -> None:
    async def journey() -> None:
        for code, word in (("zh-hans", "签到"), ("en-GB", "Check in"), ("de", "Check in"), ("", "签到")):
            person = world.person(language_code=code)
            welcome = await after(person, lambda person=person: person.start("r_NOBODY"))
            assert welcome.kind == "photo" and word in labels(welcome)

    asyncio.run(journey())


def test_commands_work_with_the_bots_name_and_without(world: PlayedTelegram) -> None:
    async def journey() -> None:
        person = world.person()
        await after(person, person.start)
        assert "签到成功" in (await after(person, lambda: person.say("/checkin"))).text
        assert "已经签到" in (await after(person, lambda: person.say(f"/checkin@{world.username}"))).text
        for command in person.menu():
            answer = await after(person, lambda command=command: person.say("/" + command["command"]))
            assert answer.text and "没看懂" not in answer.text

    asyncio.run(journey())


def test_who_starts_again_gets_the_menu_and_who_left_the_way_back(world: PlayedTelegram) -> None:
    async def journey() -> None:
        person = world.person()
        await after(person, person.start)
        menu = await after(person, person.start)
        assert menu.kind == "text" and "签到" in labels(menu)
        await after(person, lambda: person.say("/stop"))
        asked = await after(person, person.start)
        assert "要恢复接收吗" in asked.text and labels(asked)[0] == "恢复接收"
        by_link = await after(person, lambda: person.start("p_SHOP"))  # a code is greeted, and still asks nobody back
        assert by_link.kind == "photo" and labels(by_link)[0] == "恢复接收"
        assert "活动会告诉您" in (await after(person, lambda: person.tap("恢复接收"))).text

    asyncio.run(journey())


def test_starting_again_counts_nobody_twice(house: Furnished, world: PlayedTelegram) -> None:
    async def journey() -> None:
        followed = "SELECT count(*) FROM event WHERE kind = 'followed'"
        before = house.count(followed)
        person = world.person()
        for payload in ("", "", "r_ABC", "r_ABC"):
            await after(person, lambda payload=payload: person.start(payload))
        assert house.count(followed) == before + 1
        await world.taken(person.block())
        person.unblock()
        welcome = await after(person, person.start)
        assert welcome.kind == "photo" and house.count(followed) == before + 2

    asyncio.run(journey())


def test_a_choice_of_language_takes_the_place_of_its_question(world: PlayedTelegram) -> None:
    async def journey() -> None:
        person = world.person()
        await after(person, person.start)
        asked = await after(person, lambda: person.say("语言"))
        changed = await after(person, lambda: person.tap("English"), edited=True)
        assert changed.message_id == asked.message_id and "English it is" in changed.text
        assert labels(changed) == ["Menu"]
        assert len(person.toasts) == 1

    asyncio.run(journey())


def test_an_old_list_of_long_questions_still_answers(world: PlayedTelegram) -> None:
    """Buttons carry 64 bytes; a question that is longer comes back by its label, also after a restart."""

    async def journey() -> None:
        person = world.person()
        await after(person, person.start)
        asked = await after(person, lambda: person.say("家庭网 多少"))
        long = max(labels(asked), key=len)
        await after(person, lambda: person.say("菜单"))
        answer = await after(person, lambda: person.tap(long, asked.message_id))
        assert "没看懂" not in answer.text and answer.keyboard

    asyncio.run(journey())


def test_a_tap_can_be_repeated(house: Furnished, world: PlayedTelegram) -> None:
    async def journey() -> None:
        person = world.person()
        await after(person, person.start)
        assert "签到成功" in (await after(person, lambda: person.tap("签到"))).text
        for _ in range(2):
            assert "已经签到" in (await after(person, lambda: person.tap("签到", person.received[0].message_id))).text
        assert len(person.toasts) == 3

    asyncio.run(journey())


def test_mended_words_do_nothing_twice(house: Furnished, world: PlayedTelegram) -> None:
    async def journey() -> None:
        person = world.person()
        await after(person, person.start)
        await after(person, lambda: person.say("菜单"))
        own = max(number for number, one in person.messages.items() if one["from"]["id"] == person.id)
        before = len(person.received)
        await world.taken(person.edit(own, "签到"))
        await asyncio.sleep(0.3)
        assert len(person.received) == before
        assert "签到成功" in (await after(person, lambda: person.say("签到"))).text

    asyncio.run(journey())


def test_blocking_parks_and_coming_back_opens(house: Furnished, world: PlayedTelegram) -> None:
    def known(person: Person) -> dict[str, Any]:
        return dict(house.node.koukou("subscriber", "show", f"telegram:{person.id}"))

    async def journey() -> None:
        person = world.person()
        await after(person, person.start)
        await after(person, lambda: person.say("签到"))
        assert known(person)["consent"] and known(person)["identities"][0]["following"]
        await world.taken(person.block())
        assert not known(person)["consent"] and not known(person)["identities"][0]["following"]
        await world.taken(person.unblock())
        assert not known(person)["consent"], "being reachable again is not agreeing"
        await after(person, person.start)
        assert known(person)["consent"] and known(person)["balances"]["points"] == 5

    asyncio.run(journey())


def test_groups_are_left_alone(house: Furnished, world: PlayedTelegram) -> None:
    async def journey() -> None:
        person = world.person()
        await after(person, person.start)
        before, rows = len(person.received), await house.rows()
        group = {"id": -1001234567890, "type": "supergroup", "title": "家庭群"}
        message = {"message_id": 5, "from": person.user(), "chat": group, "date": 1, "text": "/checkin"}
        await world.taken(world.courier.add("message", message, ("chat", group["id"])))
        assert await house.rows() == rows and len(person.received) == before

    asyncio.run(journey())


def test_lost_answers_and_redeliveries_have_one_effect(house: Furnished, world: PlayedTelegram) -> None:
    """The platform did not hear our 200, or says everything again a day later, in any order."""

    async def journey() -> None:
        person = world.person()
        await after(person, person.start)
        world.forget_answers(2)
        answer = await after(person, lambda: person.say("签到"))
        assert "签到成功" in answer.text
        await world.idle()
        update = person.say("积分")
        world.jump()  # as after a week of silence: the next number may be smaller
        later = person.say("菜单")
        await world.idle()
        await person.wait_for(4)
        for again in (later, update, later):
            world.redeliver(again)
        await world.idle()
        await asyncio.sleep(0.3)
        assert len(person.received) == 4

    asyncio.run(journey())


def test_a_restart_loses_no_update(house: Furnished, world: PlayedTelegram) -> None:
    async def journey() -> None:
        person = world.person()
        await after(person, person.start)
        await house.node.stop()
        person.say("签到")
        await asyncio.sleep(0.3)
        assert world.pending()
        await house.node.begin()
        await world.idle(20)
        assert "签到成功" in (await person.wait_for(2))[1].text

    asyncio.run(journey())
