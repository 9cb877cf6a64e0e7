"""What the played Bot API will not take, how fast it takes the rest, and the troubles it makes on demand."""

from __future__ import annotations

import http.client
import io
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import telebot

from bot.played.telegram import PlayedTelegram
from tests.telegram_client import ask, png, refusal, started, telebot_world


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedTelegram]:
    yield from telebot_world(monkeypatch)


@pytest.fixture
def bot(world: PlayedTelegram) -> telebot.TeleBot:
    return telebot.TeleBot(world.token, threaded=False)


@pytest.mark.parametrize(
    ("good", "args"),
    [
        (True, {"text": "字" * 4096}),
        (False, {"text": "字" * 4097}),
        (False, {"text": "😀" * 2049}),
        (True, {"text": f"<b>{'x' * 4096}</b>", "parse_mode": "HTML"}),
        (True, {"text": "&lt;" * 4096, "parse_mode": "HTML"}),
        (False, {"text": f"<b>{'x' * 4097}</b>", "parse_mode": "HTML"}),
        (False, {"text": ""}),
        (False, {"text": " \n "}),
        (False, {"text": "<b></b>", "parse_mode": "HTML"}),
        (False, {"text": "<b>x", "parse_mode": "HTML"}),
        (False, {"text": "x</b>", "parse_mode": "HTML"}),
        (False, {"text": "<b><i>x</b></i>", "parse_mode": "HTML"}),
        (False, {"text": "<br>", "parse_mode": "HTML"}),
        (False, {"text": "1 < 2", "parse_mode": "HTML"}),
        (True, {"text": "1 < 2"}),
        (False, {"text": "x", "parse_mode": "BBCode"}),
        (False, {"text": "x", "reply_markup": "{"}),
    ],
)
def test_limits_of_texts(world: PlayedTelegram, good: bool, args: dict[str, Any]) -> None:
    ann = started(world)
    assert ask(world, "sendMessage", chat_id=ann.id, **args)["ok"] is good
    assert bool(ann.received) is good and bool(world.faults) is not good


@pytest.mark.parametrize(
    ("good", "button"),
    [
        (True, {"callback_data": "字" * 21 + "x"}),
        (False, {"callback_data": "字" * 21 + "xx"}),
        (False, {"callback_data": ""}),
        (False, {}),
        (False, {"callback_data": "x", "url": "https://example.org"}),
        (True, {"url": "http://example.org/x?y=1"}),
        (True, {"url": "tg://user?id=1"}),
        (False, {"url": "ftp://example.org"}),
        (False, {"url": "http://localhost/"}),
        (False, {"url": "example"}),
        (True, {"copy_text": {"text": "x" * 256}}),
        (False, {"copy_text": {"text": "x" * 257}}),
        (False, {"callback_data": "x", "text": " "}),
        (False, {"callback_data": "x", "text": 1}),
    ],
)
def test_limits_of_buttons(world: PlayedTelegram, good: bool, button: dict[str, Any]) -> None:
    ann = started(world)
    markup = {"inline_keyboard": [[{"text": "按"} | button]]}
    assert ask(world, "sendMessage", chat_id=ann.id, text="x", reply_markup=markup)["ok"] is good
    assert bool(ann.received) is good and bool(world.faults) is not good


def test_limits_of_keyboards(world: PlayedTelegram) -> None:
    ann = started(world)
    row = [{"text": str(n), "callback_data": str(n)} for n in range(5)]
    for rows, good in (([row] * 20, True), ([row] * 20 + [row[:1]], False), (row, False)):
        answer = ask(world, "sendMessage", chat_id=ann.id, text="x", reply_markup={"inline_keyboard": rows})
        assert answer["ok"] is good
    assert ask(world, "sendMessage", chat_id=ann.id, text="x", reply_markup={"keyboard": [[{"text": "a"}]]})["ok"]
    assert ann.keyboard == {"keyboard": [[{"text": "a"}]]} and ann.received[-1].keyboard == []


@pytest.mark.parametrize(
    ("good", "content", "caption"),
    [
        (True, png(), "字" * 1024),
        (False, png(), "字" * 1025),
        (True, png(size=10 * 1024 * 1024), ""),
        (False, png(size=10 * 1024 * 1024 + 1), ""),
        (True, png(5000, 5000), ""),
        (False, png(5001, 5000), ""),
        (True, png(20, 400), ""),
        (False, png(20, 401), ""),
        (False, b"no picture", ""),
        (False, b"", ""),
        (True, b"\xff\xd8\xff\xe0\x00\x04JF\xff\xc0\x00\x11\x08\x00\x10\x00\x20\x03", ""),
        (False, b"\xff\xd8\xff\xe0\x00\x04JF", ""),
    ],
)
def test_limits_of_pictures(world: PlayedTelegram, good: bool, content: bytes, caption: str) -> None:
    ann = started(world)
    data = {"chat_id": str(ann.id), "caption": caption}
    files = {"photo": ("a.png", io.BytesIO(content))}
    answer = httpx.post(f"{world.url}/bot{world.token}/sendPhoto", data=data, files=files, timeout=30).json()
    assert answer["ok"] is good, answer
    assert bool(ann.received) is good and bool(world.faults) is not good


def test_one_message_a_second_and_chat_with_short_bursts(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    ann, bob = started(world), started(world)
    assert [refusal(bot.send_message, ann.id, "x")[0] for _ in range(7)] == [200] * 5 + [429] * 2
    answer = ask(world, "sendMessage", chat_id=ann.id, text="x")
    text = "Too Many Requests: retry after 1"
    assert answer == {"ok": False, "error_code": 429, "description": text, "parameters": {"retry_after": 1}}
    assert refusal(bot.send_message, bob.id, "x")[0] == 200 and len(ann.received) == 5
    world.machine.at += 1  # type: ignore[attr-defined]
    assert [refusal(bot.send_message, ann.id, "x")[0] for _ in range(2)] == [200, 429]


def test_thirty_messages_a_second_over_all(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    people = [started(world) for _ in range(32)]
    assert [refusal(bot.send_message, person.id, "x")[0] for person in people] == [200] * 30 + [429] * 2
    world.machine.at += 1  # type: ignore[attr-defined]
    assert [refusal(bot.send_message, person.id, "x")[0] for person in people] == [200] * 30 + [429] * 2
    assert sum(len(person.received) for person in people) == 60


def test_uploads_of_one_size_go_one_after_the_other(world: PlayedTelegram) -> None:
    world.chat_burst = 100
    ann, big = started(world), png(size=1_000_000)

    def upload(content: bytes) -> tuple[int, float]:
        begun = time.monotonic()
        url = f"{world.url}/bot{world.token}/sendPhoto"
        answer = httpx.post(url, data={"chat_id": str(ann.id)}, files={"photo": content}, timeout=30)
        return answer.json().get("parameters", {}).get("retry_after", 0), time.monotonic() - begun

    waits = [upload(big)[1] for _ in range(5)]  # one per 0.2 s of a clock that stands still
    assert waits[4] >= 0.79 and waits[0] < 0.7 and upload(png(size=999_999))[1] < 0.7
    world.uploads[len(big)] = world.machine() + 5.1
    assert upload(big)[0] == 60 and upload(png())[0] == 0 and len(ann.received) == 7


def test_troubles_on_demand(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    ann, bob = started(world), started(world)
    world.fail("sendMessage", 2, retry_after=7)
    assert refusal(bot.send_message, ann.id, "x") == (429, "Too Many Requests: retry after 7")
    answer = httpx.post(f"{world.url}/bot{world.token}/sendMessage", json={"chat_id": ann.id, "text": "x"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert answer.json()["parameters"] == {"retry_after": 7} and ann.received == []
    world.fail("*", code=403, chat=ann.id)
    assert refusal(bot.send_message, bob.id, "x")[0] == 200 and refusal(bot.send_message, ann.id, "x")[0] == 403
    world.fail("sendMessage", migrate_to_chat_id=-1_002_000_000_000_000)
    migrated = ask(world, "sendMessage", chat_id=ann.id, text="x")
    assert (migrated["error_code"], migrated["parameters"]) == (400, {"migrate_to_chat_id": -1_002_000_000_000_000})
    world.fail("sendMessage", code=502, html=True)
    assert httpx.post(f"{world.url}/bot{world.token}/sendMessage").text.startswith("<html>")
    world.fail("sendMessage", code=500, accept=True)
    assert refusal(bot.send_message, ann.id, "executed")[0] == 500 and len(ann.received) == 1
    assert ask(world, "sendMessage", chat_id=ann.id, text="well again")["ok"] and world.faults == []


def test_replies_that_are_late_or_lost(world: PlayedTelegram) -> None:
    ann = started(world)
    url, message = f"{world.url}/bot{world.token}/sendMessage", {"chat_id": ann.id, "text": "x"}
    world.fail("sendMessage", delay=0.3)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(url, json=message, timeout=0.1)
    assert len(ann.received) == 1  # late, but executed
    world.fail("sendMessage", drop=True, accept=True)
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.post(url, json=message)
    assert len(ann.received) == 2  # lost, but executed
    world.fail("sendMessage", drop=True)
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.post(url, json=message)
    assert len(ann.received) == 2


def test_connections_are_kept(world: PlayedTelegram) -> None:
    connection = http.client.HTTPConnection(world.url.removeprefix("http://"))
    connection.connect()
    socket = connection.sock
    for _ in range(3):
        connection.request("GET", f"/bot{world.token}/getMe")
        assert json.loads(connection.getresponse().read())["ok"]
        assert connection.sock is socket
    connection.close()
