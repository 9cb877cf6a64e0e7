"""The played Bot API against a client library that is not ours (pyTelegramBotAPI): calls, limits, errors and rates."""

from __future__ import annotations

import http.client
import io
import json
import math
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import telebot
from telebot import apihelper, types
from telebot.apihelper import ApiTelegramException

from bot.played.telegram import PlayedTelegram, Toast
from tests.wechat_house import Clock

KEYS = types.InlineKeyboardMarkup().row(
    types.InlineKeyboardButton("签到", callback_data="checkin"),
    types.InlineKeyboardButton("网页", url="https://example.org/"),
)


class Machine:
    """Machine time that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedTelegram]:
    with PlayedTelegram(clock=Clock(), machine=Machine(), hurry=100) as played:
        monkeypatch.setattr(apihelper, "API_URL", played.url + "/bot{0}/{1}")
        monkeypatch.setattr(apihelper, "LONG_POLLING_TIMEOUT", 0)
        monkeypatch.setattr(apihelper, "FILE_URL", played.url + "/file/bot{0}/{1}")
        yield played


@pytest.fixture
def bot(world: PlayedTelegram) -> telebot.TeleBot:
    return telebot.TeleBot(world.token, threaded=False)


def png(width: int = 750, height: int = 1334, size: int = 100) -> bytes:
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height)
    return head + bytes(size - len(head))


def ask(world: PlayedTelegram, method: str, token: str = "", **args: Any) -> dict[str, Any]:
    """The raw JSON answer of one call with a JSON body."""
    answer: dict[str, Any] = httpx.post(f"{world.url}/bot{token or world.token}/{method}", json=args).json()
    return answer


def refusal(call: Any, *arguments: Any, **named: Any) -> tuple[int, str]:
    """Code and description with which a call is refused; (200, "") when it is not."""
    try:
        call(*arguments, **named)
    except ApiTelegramException as refused:
        return refused.error_code, refused.description
    return 200, ""


def updates(bot: telebot.TeleBot, offset: int | None = None, seconds: int = 0, **how: Any) -> list[types.Update]:
    """What a poll gets; the library's own default waits."""
    return list(bot.get_updates(offset, timeout=20, long_polling_timeout=seconds, **how))


def started(world: PlayedTelegram, **how: Any) -> Any:
    """Somebody who started the bot, which has heard of it."""
    person = world.person(**how)
    person.start()
    world.courier.clear()
    return person


def test_who_the_bot_is(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    me = bot.get_me()
    assert (me.id, me.is_bot, me.username) == (7012345678, True, world.username)


def test_what_people_do_is_understood(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    ann = world.person(language_code="en", first_name="Ann", username="ann")
    ann.start("r_CODE")
    bot.send_message(ann.id, "hi", reply_markup=KEYS)
    ann.tap("签到")
    ann.edit(1, "changed")
    ann.photo(png(), "mine")
    ann.voice()
    ann.location(22.5, 114.1)
    ann.sticker("🎉")
    ann.contact("+8613800000000")
    ann.block()
    ann.unblock()
    start, tap, edit, photo, voice, place, sticker, contact, left, back = updates(bot)
    assert ann.id > 2**31 and start.message.chat.id == start.message.from_user.id == ann.id
    assert (start.message.text, start.message.from_user.language_code) == ("/start r_CODE", "en")
    assert [(e.type, e.offset, e.length) for e in start.message.entities] == [("bot_command", 0, 6)]
    assert (tap.callback_query.data, tap.callback_query.message.message_id) == ("checkin", 2)
    assert tap.callback_query.from_user.id == ann.id and tap.callback_query.chat_instance
    assert (edit.edited_message.message_id, edit.edited_message.text) == (1, "changed")
    assert (photo.message.caption, photo.message.photo[-1].width) == ("mine", 750)
    assert bot.download_file(bot.get_file(photo.message.photo[-1].file_id).file_path) == png()
    assert voice.message.voice.duration == 3 and place.message.location.latitude == 22.5
    assert sticker.message.sticker.emoji == "🎉" and contact.message.contact.user_id == ann.id
    assert left.my_chat_member.new_chat_member.status == "kicked"
    assert back.my_chat_member.new_chat_member.status == "member"
    ids = [u.update_id for u in (start, tap, edit, photo, voice, place, sticker, contact, left, back)]
    assert ids == list(range(ids[0], ids[0] + 10))
    assert world.faults == []


def test_links_lead_to_a_start(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    ann = world.person()
    ann.open(f"https://t.me/{world.username}?start=p_{'x' * 62}")
    assert updates(bot)[0].message.text == f"/start p_{'x' * 62}"
    for link in (
        "https://t.me/other_bot?start=a",
        f"http://t.me/{world.username}?start=a",
        f"https://t.me/{world.username}?start={'x' * 65}",
        f"https://t.me/{world.username}?start=a.b",
    ):
        with pytest.raises(ValueError):
            ann.open(link)


def test_messages_are_numbered_by_chat(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    ann, bob = started(world), started(world)
    assert [bot.send_message(p.id, "x").message_id for p in (ann, ann, bob)] == [2, 3, 2]


def test_a_message_arrives_as_sent(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    ann = started(world)
    sent = bot.send_message(ann.id, " <b>你</b>好 &lt;/help ", parse_mode="HTML", reply_markup=KEYS)
    assert sent.text == "你好 </help" and sent.from_user.id == bot.get_me().id and sent.chat.id == ann.id
    assert [(e.type, e.offset, e.length) for e in sent.entities] == [("bold", 0, 1), ("bot_command", 4, 5)]
    (shown,) = ann.received
    assert (shown.kind, shown.text, shown.message_id) == ("text", "你好 </help", sent.message_id)
    assert [[button["text"] for button in row] for row in shown.keyboard] == [["签到", "网页"]]
    with pytest.raises(ValueError, match="sends nothing"):
        ann.tap("网页")
    with pytest.raises(LookupError):
        ann.tap("抽奖")


def test_pictures_by_upload_and_by_file_id(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    ann, bob = started(world), started(world)
    sent = bot.send_photo(ann.id, png(), caption="<i>海报</i>", parse_mode="HTML", reply_markup=KEYS)
    again = bot.send_photo(bob.id, sent.photo[-1].file_id)
    assert (sent.photo[-1].width, sent.photo[-1].height, sent.caption) == (750, 1334, "海报")
    assert bob.received[0].photo == ann.received[0].photo == png() and bob.received[0].text == ""
    assert ann.received[0].kind == "photo" and ann.received[0].keyboard
    assert again.photo[-1].file_id == sent.photo[-1].file_id == bob.received[0].file_id
    assert bot.send_photo(ann.id, png()).photo[-1].file_id != sent.photo[-1].file_id
    attached = {"photo": "attach://poster", "chat_id": ann.id}
    answer = httpx.post(f"{world.url}/bot{world.token}/sendPhoto", data=attached, files={"poster": png()}).json()
    assert answer["ok"] and ann.received[-1].photo == png() and world.faults == []


def test_a_file_id_belongs_to_one_bot(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    ann = started(world)
    with PlayedTelegram(token="7999999999:AAHother") as other:
        cy = started(other)
        answer = httpx.post(f"{other.url}/bot{other.token}/sendPhoto", data={"chat_id": cy.id}, files={"photo": png()})
        theirs = answer.json()["result"]["photo"][-1]["file_id"]
    code, why = refusal(bot.send_photo, ann.id, theirs)
    assert code == 400 and "file identifier" in why and ann.received == []


def test_edits_show_and_their_errors(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    ann = started(world)
    text = bot.send_message(ann.id, "one", reply_markup=KEYS).message_id
    picture = bot.send_photo(ann.id, png(), caption="one").message_id
    shown, poster = ann.received
    assert bot.edit_message_text("two", ann.id, text, reply_markup=KEYS).edit_date
    assert (shown.text, shown.edits, bool(shown.keyboard)) == ("two", 1, True)
    unchanged = refusal(bot.edit_message_text, "two", ann.id, text, reply_markup=KEYS)
    assert unchanged[0] == 400 and "message is not modified" in unchanged[1] and shown.edits == 1
    bot.edit_message_text("two", ann.id, text)
    assert shown.keyboard == [] and shown.edits == 2  # an edit without a keyboard takes it away
    bot.edit_message_reply_markup(ann.id, text, reply_markup=KEYS)
    assert shown.keyboard and shown.text == "two"
    assert "not modified" in refusal(bot.edit_message_reply_markup, ann.id, text, reply_markup=KEYS)[1]
    bot.edit_message_caption("two", ann.id, picture)
    assert (poster.text, poster.edits, poster.photo) == ("two", 1, png())
    assert "no text in the message" in refusal(bot.edit_message_text, "x", ann.id, picture)[1]
    assert "no caption in the message" in refusal(bot.edit_message_caption, "x", ann.id, text)[1]
    assert refusal(bot.edit_message_text, "x", ann.id, 99) == (400, "Bad Request: message to edit not found")
    assert refusal(bot.edit_message_text, "x", ann.id, 1) == (400, "Bad Request: message can't be edited")
    assert refusal(bot.edit_message_text, "字" * 4097, ann.id, text)[0] == 400
    assert refusal(bot.edit_message_caption, "字" * 1025, ann.id, picture)[0] == 400


def test_a_picture_can_take_a_messages_place(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    ann = started(world)
    message = bot.send_message(ann.id, "soon", reply_markup=KEYS).message_id
    bot.edit_message_media(types.InputMediaPhoto(io.BytesIO(png()), "<b>海报</b>", "HTML"), ann.id, message)
    (shown,) = ann.received
    assert (shown.photo, shown.text, shown.edits, shown.keyboard) == (png(), "海报", 1, [])
    same = types.InputMediaPhoto(shown.file_id, "<b>海报</b>", "HTML")
    assert "not modified" in refusal(bot.edit_message_media, same, ann.id, message)[1] and world.faults == []
    assert "no text in the message" in refusal(bot.edit_message_text, "x", ann.id, message)[1]
    other = types.InputMediaPhoto(shown.file_id, "字" * 1025)
    assert refusal(bot.edit_message_media, other, ann.id, message)[0] == 400


def test_a_pressed_button_is_answered_once_and_in_time(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    ann = started(world)
    bot.send_message(ann.id, "press", reply_markup=KEYS)
    for _ in range(3):
        ann.tap("checkin")
    first, second, third = (update.callback_query.id for update in updates(bot))
    assert bot.answer_callback_query(first, "已签到", show_alert=True)
    assert ann.toasts == [Toast("已签到", True)]
    assert "query is too old" in refusal(bot.answer_callback_query, first)[1]
    assert refusal(bot.answer_callback_query, second, "x" * 201)[0] == 400
    world.clock.pass_(seconds=150)  # type: ignore[attr-defined]
    assert bot.answer_callback_query(second)
    world.clock.pass_(seconds=1)  # type: ignore[attr-defined]
    assert refusal(bot.answer_callback_query, third)[0] == 400
    assert refusal(bot.answer_callback_query, "1")[0] == 400 and len(ann.toasts) == 2


def test_messages_can_be_deleted_for_two_days(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    ann = started(world)
    ids = [bot.send_message(ann.id, "x").message_id for _ in range(2)]
    assert bot.delete_message(ann.id, ids[0]) and ann.received[0].deleted
    assert "message to delete not found" in refusal(bot.delete_message, ann.id, ids[0])[1]
    assert "message to edit not found" in refusal(bot.edit_message_text, "y", ann.id, ids[0])[1]
    world.clock.pass_(hours=48, seconds=1)  # type: ignore[attr-defined]
    assert "can't be deleted" in refusal(bot.delete_message, ann.id, ids[1])[1] and not ann.received[1].deleted


def test_commands_by_scope_and_language(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    ann, li = started(world, language_code="en-GB"), started(world, language_code="zh-hans")

    def command(label: str) -> list[types.BotCommand]:
        return [types.BotCommand("checkin", label)]

    assert bot.get_my_commands() == [] == ann.menu()
    bot.set_my_commands(command("签到"))
    bot.set_my_commands(command("Check in"), language_code="en")
    assert (ann.menu()[0]["description"], li.menu()[0]["description"]) == ("Check in", "签到")
    bot.set_my_commands(command("private"), types.BotCommandScopeAllPrivateChats())
    bot.set_my_commands(command("hers"), types.BotCommandScopeChat(ann.id))
    assert (ann.menu()[0]["description"], li.menu()[0]["description"]) == ("hers", "private")
    assert bot.get_my_commands(language_code="en")[0].description == "Check in"
    bot.delete_my_commands(types.BotCommandScopeChat(ann.id))
    assert ann.menu()[0]["description"] == "private" and world.faults == []


@pytest.mark.parametrize(
    ("commands", "language", "good"),
    [
        ([("a" * 32, "d" * 256)], "zh", True),
        ([("checkin", "签到")] * 100, "", True),
        ([("checkin", "签到")] * 101, "", False),
        ([("a" * 33, "d")], "", False),
        ([("Checkin", "d")], "", False),
        ([("签到", "d")], "", False),
        ([("checkin", "")], "", False),
        ([("checkin", "d" * 257)], "", False),
        ([("checkin", "d")], "zh-hans", False),
    ],
)
def test_limits_of_commands(world: PlayedTelegram, commands: list[tuple[str, str]], language: str, good: bool) -> None:
    listed = [{"command": command, "description": label} for command, label in commands]
    assert ask(world, "setMyCommands", commands=listed, language_code=language)["ok"] is good
    assert bool(world.commands) is good and bool(world.faults) is not good


def test_who_cannot_be_written_to(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    stranger, ann, gone = world.person(), started(world), started(world)
    not_found = (400, "Bad Request: chat not found")
    assert refusal(bot.send_message, stranger.id, "x") == refusal(bot.send_message, 1, "x") == not_found
    ann.block()
    with pytest.raises(ValueError):
        ann.say("x")
    blocked = (403, "Forbidden: bot was blocked by the user")
    assert refusal(bot.send_message, ann.id, "x") == blocked
    assert refusal(bot.send_photo, ann.id, png()) == refusal(bot.send_chat_action, ann.id, "typing") == blocked
    ann.start()
    assert refusal(bot.send_message, ann.id, "x") == (200, "")
    gone.deactivate()
    assert refusal(bot.send_message, gone.id, "x") == (403, "Forbidden: user is deactivated")
    assert bot.send_chat_action(ann.id, "typing") and ann.actions == ["typing"]
    assert refusal(bot.send_chat_action, ann.id, "dancing")[0] == 400


def test_wrong_tokens_methods_and_parameters(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    ann = started(world)
    unauthorised = {"ok": False, "error_code": 401, "description": "Unauthorized"}
    assert ask(world, "getMe", token=world.token[:-1] + "x") == unauthorised
    assert ask(world, "getMe", token="nonsense")["description"] == "Unauthorized: invalid token specified"
    missing = {"ok": False, "error_code": 404, "description": "Not Found: method not found"}
    assert ask(world, "sendMessages") == missing
    assert httpx.get(world.url + "/nothing").status_code == 404
    assert ask(world, "SENDMESSAGE", chat_id=ann.id, text="case is nothing", shiny=True)["ok"]
    assert any("takes no shiny" in fault for fault in world.faults) and len(world.faults) == 4
    broken = httpx.post(
        f"{world.url}/bot{world.token}/getMe", content="{", headers={"Content-Type": "application/json"}
    )
    assert broken.status_code == 400


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
    assert three.person().id != next(iter(one.people)) and math.isfinite(three.person().id)
