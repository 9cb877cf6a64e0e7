"""The played Bot API against a client library that is not ours (pyTelegramBotAPI): people, messages and edits."""

from __future__ import annotations

import io
from collections.abc import Iterator

import httpx
import pytest
import telebot
from telebot import types

from bot.played.telegram import PlayedTelegram, Toast
from tests.telegram_client import KEYS, ask, png, refusal, started, telebot_world, updates


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedTelegram]:
    yield from telebot_world(monkeypatch)


@pytest.fixture
def bot(world: PlayedTelegram) -> telebot.TeleBot:
    return telebot.TeleBot(world.token, threaded=False)


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
    bot.send_photo(ann.id, png())
    with PlayedTelegram(token="7999999999:AAHother") as other:
        cy = started(other)
        answer = httpx.post(f"{other.url}/bot{other.token}/sendPhoto", data={"chat_id": cy.id}, files={"photo": png()})
        theirs = answer.json()["result"]["photo"][-1]["file_id"]
    code, why = refusal(bot.send_photo, ann.id, theirs)
    assert code == 400 and "file identifier" in why and len(ann.received) == 1


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
