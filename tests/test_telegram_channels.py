"""Posts to channels: the played platform against a client that is not ours, and what our bot makes of its answers."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
import telebot
from telebot import types

from bot.channels import Outcome
from bot.played.telegram import Channel, PlayedTelegram
from tests.telegram_client import KEYS, ask, png, refusal, telebot_world
from tests.telegram_house import HELLO, TOKEN, URL, Stage, choices, labels, picture

NO_RIGHTS = 400, "Bad Request: need administrator rights in the channel chat"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlayedTelegram]:
    yield from telebot_world(monkeypatch)


@pytest.fixture
def bot(world: PlayedTelegram) -> telebot.TeleBot:
    return telebot.TeleBot(world.token, threaded=False)


def test_a_client_of_others_posts_edits_and_deletes(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    owner, channel = world.person(), world.channel("小店", "xiaodian")
    channel.promote(owner)
    sent = bot.send_message("@XiaoDian", "周五见", reply_markup=KEYS)
    assert (sent.chat.id, sent.chat.type, sent.chat.title) == (channel.id, "channel", "小店")
    assert sent.sender_chat.id == channel.id and sent.from_user is None
    bot.edit_message_text("周六见", channel.id, sent.message_id)
    shown = bot.send_photo(channel.id, io.BytesIO(png()), caption="海报")
    assert [(r.kind, r.text, r.edits) for r in channel.received] == [("text", "周六见", 1), ("photo", "海报", 0)]
    bot.delete_message(channel.id, shown.message_id)
    assert [received.deleted for received in channel.received] == [False, True]
    assert bot.get_chat("@xiaodian").title == "小店"
    assert bot.get_chat_member(channel.id, world.id).can_post_messages is True
    assert not world.faults


def test_only_an_administrator_with_the_right_may_post(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    owner, channel = world.person(), world.channel("小店", "xiaodian")

    def post(chat: Any = channel.id) -> tuple[int, str]:
        return refusal(bot.send_message, chat, "x")

    stranger = 403, "Forbidden: bot is not a member of the channel chat"
    assert post() == post("@xiaodian") == stranger
    channel.demote(owner)
    assert post() == NO_RIGHTS
    channel.promote(owner, may_post=False)
    assert post() == NO_RIGHTS
    channel.promote(owner)
    assert post() == (200, "")
    channel.kick(owner)
    assert post() == (403, "Forbidden: bot was kicked from the channel chat")
    assert post("@nobody") == post(-1_001_234_567_890) == (400, "Bad Request: chat not found")
    private = world.channel("内部")
    assert refusal(bot.get_chat, private.id) == stranger
    assert refusal(bot.get_chat_member, private.id, world.id) == stranger
    assert len(channel.received) == 1
    with pytest.raises(ValueError, match="no channel"):
        world.channel("x", "1")


def test_twenty_posts_a_minute_to_each_channel(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    owner, first, second = world.person(), world.channel(), world.channel()
    first.promote(owner)
    second.promote(owner)
    answers = [ask(world, "sendMessage", chat_id=first.id, text="x") for _ in range(21)]
    assert [answer["ok"] for answer in answers] == [True] * 20 + [False]
    assert answers[-1]["parameters"] == {"retry_after": 3}
    assert ask(world, "sendMessage", chat_id=second.id, text="x")["ok"]
    world.machine.at += 60  # type: ignore[attr-defined]
    assert [ask(world, "sendMessage", chat_id=first.id, text="x")["ok"] for _ in range(21)] == [True] * 20 + [False]


def test_members_of_the_bot_are_told_as_updates(world: PlayedTelegram, bot: telebot.TeleBot) -> None:
    channel = world.channel("小店")
    assert channel.promote(world.person())
    (update,) = bot.get_updates()
    assert isinstance(update.my_chat_member, types.ChatMemberUpdated)
    assert update.my_chat_member.chat.type == "channel"
    assert (update.my_chat_member.old_chat_member.status, update.my_chat_member.new_chat_member.status) == (
        "left",
        "administrator",
    )


class Shop(Stage):
    """The stage with a channel that the bot administers."""

    def __init__(self, world: PlayedTelegram) -> None:
        super().__init__(world)
        self.channel: Channel = world.channel("小店", "xiaodian")
        self.channel.promote(self.person)

    def post(self, message: dict[str, Any] = HELLO, key: str = "1", **more: Any) -> Outcome:
        name = more.pop("channel", "@xiaodian")
        outcome: Outcome = self.run(lambda channel: channel.post(name, message, key, **more))
        return outcome

    def posted(self) -> list[tuple[str, str]]:
        return [(received.kind, received.text) for received in self.channel.received]


@pytest.fixture
def shop() -> Iterator[Shop]:
    with PlayedTelegram(token=TOKEN, chat_burst=100, hurry=100) as world:
        yield Shop(world)


def test_a_post_with_buttons_that_open_the_bot(shop: Shop) -> None:
    link = {"label": "活动页", "url": "/p/1"}
    assert shop.post({"text": "周五见", "choices": [*choices("签到"), link]}, scene="p_channel") == Outcome("sent")
    assert shop.post({"text": "再见", "choices": choices("签到")}, channel=str(shop.channel.id)) == Outcome("sent")
    assert shop.posted() == [("text", "周五见"), ("text", "再见")]
    assert shop.channel.received[0].keyboard == [
        [
            {"text": "签到", "url": f"https://t.me/{shop.world.username}?start=p_channel"},
            {"text": "活动页", "url": f"{URL}/p/1"},
        ]
    ]
    assert shop.channel.received[1].keyboard == [[{"text": "签到", "url": f"https://t.me/{shop.world.username}"}]]
    assert not shop.world.faults


def test_a_poster_is_uploaded_once_for_people_and_channels(shop: Shop) -> None:
    shop.house.pictures["p.png"] = (picture(), "image/png")
    poster = {"text": "你好", "picture": {"name": "p.png", "alt": "海报"}}
    assert shop.send(poster).state == shop.post(poster).state == "sent"
    assert shop.posted() == [("photo", "你好")]
    assert len(shop.world.files) == 2  # the two sizes of one upload
    shop.house.pictures["p.png"] = (b"no picture", "image/png")
    assert shop.post(poster, key="2").state == "sent"
    assert shop.posted()[1] == ("text", "你好\n〔海报〕")
    assert labels(shop.channel.received[1]) == []


@pytest.mark.parametrize(
    ("trouble", "ended"),
    [
        ({"code": 429, "retry_after": 7}, Outcome("slow", "too_many_requests", 7.0)),
        ({"drop": True, "accept": True}, Outcome("doubtful", "platform_fault")),
        ({"code": 502, "accept": True}, Outcome("doubtful", "platform_fault")),
        ({"code": 401}, Outcome("slow", "token_refused", 600.0)),
        ({"code": 400, "description": "Bad Request: CHAT_WRITE_FORBIDDEN"}, Outcome("refused", "not_admin")),
        ({"code": 400, "description": "Bad Request: message is bad"}, Outcome("failed", "bad_request")),
    ],
)
def test_each_trouble_has_its_outcome(shop: Shop, trouble: dict[str, Any], ended: Outcome) -> None:
    shop.world.fail("sendMessage", **trouble)
    assert shop.post() == ended
    assert shop.post(key="2") == Outcome("sent")


def test_where_the_bot_may_not_post_it_says_why(shop: Shop) -> None:
    def fault(name: str = "@xiaodian") -> str:
        why: str = shop.run(lambda channel: channel.post_fault(name))
        return why

    assert fault() == ""
    shop.channel.promote(shop.person, may_post=False)
    assert (shop.post(), fault()) == (Outcome("refused", "not_admin"), "not_admin")
    shop.channel.kick(shop.person)
    assert (shop.post(), fault()) == (Outcome("refused", "not_admin"), "not_admin")
    assert (shop.post(channel="@nobody"), fault("@nobody")) == (Outcome("refused", "no_channel"), "no_channel")
    assert shop.posted() == []


@pytest.mark.parametrize("name", ["xiaodian", "@", "@小店", "12345", "-5", "", "@a b", "-100x"])
def test_what_names_no_channel_is_refused_before_any_request(shop: Shop, name: str) -> None:
    with pytest.raises(ValueError, match="频道"):
        shop.post(channel=name)
    assert not shop.world.asked["sendMessage"]


def test_a_long_post_goes_on_where_it_ended(shop: Shop) -> None:
    shop.house.pictures["p.png"] = (picture(), "image/png")
    long = {"text": "字" * 1_025, "picture": {"name": "p.png", "alt": "海报"}}  # longer than a caption
    shop.world.fail("sendMessage", code=429, retry_after=1)
    assert shop.post(long) == Outcome("slow", "too_many_requests", 1.0)
    assert shop.posted() == [("photo", "")]
    assert shop.post(long) == Outcome("sent")
    assert shop.posted() == [("photo", ""), ("text", long["text"])]


def test_a_quiz_poll_is_no_post(shop: Shop) -> None:
    poll = {"before": "", "question": "?", "options": ["a", "b"], "right": 0, "why": "", "seconds": 0, "say": "x"}
    assert shop.post({"text": "", "poll": poll}) == Outcome("refused", "no_polls")
    asked = ask(shop.world, "sendPoll", chat_id=shop.channel.id, question="?", options=[{"text": "a"}, {"text": "b"}],
                type="quiz", is_anonymous=False, correct_option_id=0)  # fmt: skip
    assert asked["description"] == "Bad Request: non-anonymous polls can't be sent to channel chats"


def test_our_own_pace_keeps_a_channel_below_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("bot.telegram.pace.asyncio.sleep", sleep)
    with PlayedTelegram(token=TOKEN, hurry=100) as world:
        shop = Shop(world)

        async def many(channel: Any) -> list[str]:
            return [(await channel.post("@xiaodian", HELLO, str(number))).state for number in range(6)]

        assert shop.run(many) == ["sent"] * 6
    assert [round(seconds) for seconds in waited if seconds > 1] == [3, 6, 9]


def test_each_button_of_a_post_may_open_the_bot_with_words_of_its_own(shop: Shop) -> None:
    buttons = [{"label": "答题", "scene": "w_quiz"}, {"label": "积分", "scene": "w_points"}, {"label": "看看"}]
    assert shop.post({"text": "周五见", "choices": buttons}) == Outcome("sent")
    bot = f"https://t.me/{shop.world.username}"
    urls = [key["url"] for row in shop.channel.received[0].keyboard for key in row]
    assert urls == [f"{bot}?start=w_quiz", f"{bot}?start=w_points", bot]
