"""Quizzes on Telegram with the real service: as buttons, and as native polls in which only the one asked is heard."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.played.telegram import Person, PlayedTelegram, Received
from bot.played.wechat import PlayedWeChat
from bot.telegram.reading import WANTED
from tests.houses import Furnished, furnish, unhurried
from tests.quiz_house import plain
from tests.test_telegram_journeys import after, labels

VOTES = "SELECT count(*) FROM event WHERE kind = 'quiz_answered'"


def furnished(folder: Path, wechat: PlayedWeChat, telegram: PlayedTelegram, updates: str, file: str) -> Furnished:
    found = furnish(folder, wechat, telegram)
    (folder / "plan" / "quizzes" / "family.toml").write_text(file)
    config = found.node.config.read_text()
    found.node.config.write_text(config.replace('updates = "webhook"', f'updates = "{updates}"'))
    return found


@pytest.fixture(scope="module", params=["webhook", "polling"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Furnished]:
    """A house whose one quiz is open."""
    file = plain("open = true", {2: "seconds = 30\n"})
    with PlayedWeChat() as wechat, unhurried(hurry=20) as telegram:
        found = furnished(tmp_path_factory.mktemp("house"), wechat, telegram, request.param, file)
        asyncio.run(found.node.begin())
        try:
            yield found
            assert not found.node.broken()
            assert not telegram.faults, "the service sent what the platform would not take"
        finally:
            found.node.kill()


@pytest.fixture
def world(house: Furnished) -> PlayedTelegram:
    assert house.telegram
    return house.telegram


async def begun(world: PlayedTelegram) -> Person:
    """Somebody before the first poll."""
    person = world.person()
    await after(person, person.start)
    about = await after(person, lambda: person.say("/quiz"))
    assert "Telegram 的测验功能" in about.text and labels(about)[0] == "开始答题"
    poll = await after(person, lambda: person.tap("开始答题"))
    assert poll.kind == "poll" and poll.options == ["甲1", "乙1", "丙1"]
    assert "第 1 题" in poll.text and "问题1" in poll.text
    return person


async def voted(person: Person, option: int, count: int = 2) -> list[Received]:
    """What comes of a vote: words, and the next poll."""
    before = len(person.received)
    person.vote(option)
    return (await person.wait_for(before + count))[before:]


def test_a_quiz_as_polls_from_start_to_end(house: Furnished, world: PlayedTelegram) -> None:
    async def journey() -> None:
        person = await begun(world)
        first = person.received[-1].message["poll"]
        assert first["type"] == "quiz" and not first["is_anonymous"] and "open_period" not in first
        assert (first["correct_option_id"], first["explanation"]) == (1, "讲解1")
        told, second = await voted(person, 1)
        assert "✓ 答对了" in told.text and "+10 积分" in told.text and second.kind == "poll"
        assert second.message["poll"]["open_period"] == 30
        told, third = await voted(person, 0)
        assert "✗ 答错了，正确答案是：乙2" in told.text and third.kind == "poll"
        (done,) = await voted(person, 1, 1)
        assert "3 题答对 2 题，及格" in done.text and "这次共得 20 积分" in done.text
        assert world.asked["sendPoll"] >= 3

    asyncio.run(journey())


def test_only_the_person_asked_is_heard(house: Furnished, world: PlayedTelegram) -> None:
    async def journey() -> None:
        person, friend = await begun(world), world.person()
        await after(friend, friend.start)
        poll = person.received[-1].message["poll"]["id"]
        stranger = world.person()  # has never started the bot
        before, rows = house.count(VOTES), await house.rows()
        for other in (friend, stranger):
            await world.taken(other.vote(1, poll))
        assert house.count(VOTES) == before and await house.rows() == rows
        told, _ = await voted(person, 1)
        assert "✓ 答对了" in told.text

    asyncio.run(journey())


def test_a_number_works_beside_the_poll_and_the_late_vote_does_nothing(house: Furnished, world: PlayedTelegram) -> None:
    async def journey() -> None:
        person = await begun(world)
        poll = person.received[-1].message["poll"]["id"]
        before = len(person.received)
        person.say("2")
        told, _ = (await person.wait_for(before + 2))[before:]
        assert "✓ 答对了" in told.text
        counted = house.count(VOTES)
        again = await after(person, lambda: person.vote(0, poll))
        assert "第 1 题已经答过了" in again.text and labels(again) == ["甲2", "乙2", "丙2"]
        assert house.count(VOTES) == counted

    asyncio.run(journey())


def test_a_vote_that_comes_again_has_one_effect(house: Furnished, world: PlayedTelegram) -> None:
    async def journey() -> None:
        person = await begun(world)
        before, counted = len(person.received), house.count(VOTES)
        vote = person.vote(1)
        await person.wait_for(before + 2)
        for _ in range(2):
            world.redeliver(vote)
        await world.idle()
        await asyncio.sleep(0.3)
        assert len(person.received) == before + 2 and house.count(VOTES) == counted + 1

    asyncio.run(journey())


def test_a_vote_for_a_poll_nobody_remembers_is_kept_silently(house: Furnished, world: PlayedTelegram) -> None:
    async def journey() -> None:
        person = await begun(world)
        before, counted = len(person.received), house.count(VOTES)
        body = {"poll_id": "5123456789012345678", "user": person.user(), "option_ids": [0]}
        await world.taken(world.courier.add("poll_answer", body, ("poll", 1)))
        taken_back = {"poll_id": person.received[-1].message["poll"]["id"], "user": person.user(), "option_ids": []}
        await world.taken(world.courier.add("poll_answer", taken_back, ("poll", 2)))
        assert len(person.received) == before and house.count(VOTES) == counted

    asyncio.run(journey())


def test_coming_back_shows_buttons_and_no_second_poll(house: Furnished, world: PlayedTelegram) -> None:
    async def journey() -> None:
        person = await begun(world)
        await after(person, lambda: person.say("签到"))
        back = await after(person, lambda: person.say("答题"))
        assert back.kind == "text" and labels(back) == ["甲1", "乙1", "丙1"]
        before = len(person.received)
        person.tap("乙1")
        told, poll = (await person.wait_for(before + 2))[before:]
        assert "✓ 答对了" in told.text and poll.kind == "poll"

    asyncio.run(journey())


def test_a_poll_whose_answer_was_lost_is_asked_again_and_either_counts_once(
    house: Furnished, world: PlayedTelegram
) -> None:
    """Telegram has no key against repeats: in doubt the poll goes out once more, and a vote in the first is unknown."""

    async def journey() -> None:
        person = world.person()
        await after(person, person.start)
        await after(person, lambda: person.say("/quiz"))
        world.fail("sendPoll", drop=True, accept=True)
        before, counted = len(person.received), house.count(VOTES)
        person.tap("开始答题")
        lost, again = (await person.wait_for(before + 2))[before:]
        assert lost.text == again.text and lost.kind == again.kind == "poll"
        await world.taken(person.vote(1, lost.message["poll"]["id"]))
        assert house.count(VOTES) == counted and len(person.received) == before + 2
        told, second = await voted(person, 1)
        assert "✓ 答对了" in told.text and second.kind == "poll" and house.count(VOTES) == counted + 1

    asyncio.run(journey())


def test_votes_are_asked_for() -> None:
    assert "poll_answer" in WANTED and "poll" not in WANTED


def test_a_quiz_that_is_not_open_is_buttons(tmp_path: Path) -> None:
    async def journey(world: PlayedTelegram) -> None:
        person = world.person(language_code="en")
        await after(person, person.start)
        about = await after(person, lambda: person.say("/quiz"))
        assert "Telegram" not in about.text and labels(about)[0] == "Start the quiz"
        asked = await after(person, lambda: person.tap("Start the quiz"))
        assert asked.kind == "text" and labels(asked) == ["first 1", "second 1", "third 1"]
        second = await after(person, lambda: person.tap("second 1"))
        assert "✓ Right." in second.text and "Ask 2" in second.text
        old = await after(person, lambda: person.tap("third 1"))
        assert "answered already" in old.text and "Ask 2" in old.text
        assert not world.asked["sendPoll"] and not world.faults

    with PlayedWeChat() as wechat, unhurried(hurry=20) as telegram:
        found = furnished(tmp_path, wechat, telegram, "webhook", plain())
        try:
            asyncio.run(found.node.begin())
            asyncio.run(journey(telegram))
        finally:
            found.node.kill()
