"""The played Bot API polled by a client library that is not ours (pyTelegramBotAPI)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import telebot

from bot.played.telegram import PlayedTelegram
from tests.telegram_client import KEYS, ask, refusal, started, telebot_world, updates


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedTelegram]:
    yield from telebot_world(monkeypatch)


@pytest.fixture
def bot(world: PlayedTelegram) -> telebot.TeleBot:
    return telebot.TeleBot(world.token, threaded=False)


def test_a_later_offset_acknowledges(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    ann = world.person()
    ids = [ann.say(str(n)) for n in range(5)]
    assert [update.update_id for update in updates(bot, limit=2)] == ids[:2]
    assert [update.update_id for update in updates(bot, ids[0])] == ids == world.pending()
    assert [update.update_id for update in updates(bot, ids[2])] == ids[2:] == world.pending()
    assert [update.update_id for update in updates(bot, -1)] == ids[4:] == world.pending()
    assert updates(bot, ids[4] + 1) == [] == world.pending()


def test_update_ids_jump_after_a_week(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    ann = world.person()
    first = ann.say("x")
    world.clock.pass_(days=6)  # type: ignore[attr-defined]
    assert ann.say("x") == first + 1
    world.clock.pass_(days=7)  # type: ignore[attr-defined]
    assert ann.say("x") not in (first + 2, 0)
    world.jump(5)
    assert ann.say("x") == 5
    assert updates(bot, first + 2)[-1].update_id == 5  # an offset far in the future confirms nothing


def test_updates_expire(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    ann = started(world)
    bot.send_message(ann.id, "press", reply_markup=KEYS)
    pressed, said = ann.tap("checkin"), ann.say("x")
    world.clock.pass_(seconds=151)  # type: ignore[attr-defined]
    assert [update.update_id for update in updates(bot)] == [said]
    assert [update.id for update in world.expired] == [pressed]
    world.clock.pass_(hours=24)  # type: ignore[attr-defined]
    assert updates(bot, 1) == [] == world.pending()


def test_only_what_was_asked_for_comes(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    ann = world.person()
    updates(bot, allowed_updates=["my_chat_member"])
    assert ann.say("x") == 0 != ann.block()
    updates(bot, 1)  # as before
    assert ann.unblock() != 0 == ann.say("x")
    updates(bot, 2, allowed_updates=[])
    assert ann.say("x") != 0
    updates(bot, 3, allowed_updates=["messages"])
    assert world.faults == ["there is no update messages"]


def test_a_poll_waits_for_what_comes(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    ann = world.person()
    begun = time.monotonic()
    assert updates(bot, 1, seconds=1) == []
    assert 0.9 < time.monotonic() - begun < 5
    threading.Timer(0.2, ann.say, ["x"]).start()
    assert updates(bot, 2, seconds=10)[0].message.text == "x"
    assert time.monotonic() - begun < 8


def test_a_poll_waits_fifty_seconds_at_most(world: PlayedTelegram, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int, float]] = []

    async def fetch(*how: Any) -> list[Any]:
        asked.append(how)
        return []

    monkeypatch.setattr(world.courier, "fetch", fetch)
    ask(world, "getUpdates", timeout=60, limit=101, offset=3)
    ask(world, "getUpdates", timeout=-1, limit=0)
    assert asked == [(3, 100, 50), (0, 1, 0)]


def test_who_asks_the_same_again_is_slowed_down(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    world.hurry = 10
    ann = world.person()
    updates(bot, 7)
    begun = time.monotonic()
    updates(bot, 7)
    assert 0.25 < time.monotonic() - begun < 2
    for _ in range(2):
        ann.say("x")
    assert len(updates(bot, 7)) == 1 and len(updates(bot, 8)) == 2


def test_two_pollers_are_in_conflict(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    ended: list[tuple[int, str]] = []
    poll = {"seconds": 10}
    other = threading.Thread(target=lambda: ended.append(refusal(updates, bot, 1, **poll)))
    other.start()
    while world.courier._poll is None:
        time.sleep(0.01)
    updates(bot, 2, seconds=1)
    other.join(5)
    assert ended[0][0] == 409 and ended[0][1].startswith("Conflict: terminated by other getUpdates request")


def test_a_poll_beside_a_webhook_is_refused(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    ended: list[tuple[int, str]] = []
    poll = {"seconds": 10}
    other = threading.Thread(target=lambda: ended.append(refusal(updates, bot, 1, **poll)))
    other.start()
    while world.courier._poll is None:
        time.sleep(0.01)
    bot.set_webhook("http://127.0.0.1:9/telegram")
    other.join(5)
    assert ended == [(409, "Conflict: terminated by setWebhook request")]
    code, why = refusal(updates, bot)
    assert code == 409 and "while webhook is active" in why
    bot.delete_webhook()
    assert updates(bot) == []


def test_the_same_seed_plays_the_same_again() -> None:
    one, two, three = (PlayedTelegram(seed=seed) for seed in (1, 1, 2))
    assert [one.person().id, one.person().say("x")] == [two.person().id, two.person().say("x")]
    assert three.person().id != next(iter(one.people))
