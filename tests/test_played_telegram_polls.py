"""Quiz polls of the played Bot API, against a client library that is not ours (pyTelegramBotAPI)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import telebot
from telebot import types

from bot.played.telegram import PlayedTelegram
from tests.telegram_client import refusal, started, telebot_world, updates


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedTelegram]:
    yield from telebot_world(monkeypatch)


@pytest.fixture
def bot(world: PlayedTelegram) -> telebot.TeleBot:
    return telebot.TeleBot(world.token, threaded=False)


def quiz(bot: telebot.TeleBot, chat: int, **changed: Any) -> types.Message:
    asked: dict[str, Any] = {"question": "2 + 2?", "options": ["3", "4", "5"], "correct_option_id": 1, "type": "quiz"}
    return bot.send_poll(chat, **{**asked, "is_anonymous": False, **changed})


def test_a_vote_is_told_with_poll_voter_and_option(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    ann = started(world)
    sent = quiz(bot, ann.id, explanation="four", open_period=30)
    assert (sent.poll.type, sent.poll.correct_option_id, sent.poll.open_period) == ("quiz", 1, 30)
    assert ann.received[-1].kind == "poll" and ann.received[-1].options == ["3", "4", "5"]
    ann.vote("4")
    (vote,) = updates(bot)
    told = vote.poll_answer
    assert (told.poll_id, told.user.id, told.option_ids) == (sent.poll.id, ann.id, [1])
    assert not hasattr(told, "chat") and world.faults == []


def test_a_vote_cannot_be_changed_and_a_closed_poll_takes_none(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    ann, ben = started(world), started(world)
    sent = quiz(bot, ann.id, open_period=30)
    ann.vote(0)
    with pytest.raises(ValueError):
        ann.vote(1)
    ben.vote(2, sent.poll.id)  # passed on to a friend, who votes in the same poll
    told = [one.poll_answer for one in updates(bot)]
    assert [(one.user.id, one.option_ids) for one in told] == [(ann.id, [0]), (ben.id, [2])]
    cleo, now = started(world), world.clock
    world.clock = lambda: now() + timedelta(seconds=31)
    with pytest.raises(ValueError):
        cleo.vote(1, sent.poll.id)
    with pytest.raises(LookupError):
        cleo.vote(1, "123")


@pytest.mark.parametrize(
    "changed",
    [
        {"question": ""},
        {"question": "x" * 301},
        {"options": ["only"]},
        {"options": [str(number) for number in range(13)]},
        {"options": ["a", "x" * 101]},
        {"correct_option_id": 3},
        {"explanation": "x" * 201},
        {"explanation": "a\nb\nc\nd"},
        {"open_period": 4},
        {"open_period": 601},
    ],
)
def test_what_the_platform_does_not_take(world: PlayedTelegram, bot: telebot.TeleBot, changed: dict[str, Any]) -> None:
    ann = started(world)
    before = len(ann.received)
    assert refusal(quiz, bot, ann.id, **changed)[0] == 400
    assert len(ann.received) == before and world.faults


def test_an_anonymous_poll_is_a_fault_of_ours(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    ann = started(world)
    quiz(bot, ann.id, is_anonymous=True)
    assert len(world.faults) == 1
