"""Updates in: what each means, what is refused, what is nobody's, and that nothing makes the door fail."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest

from bot.channels import Busy
from bot.knocking import Refused
from bot.telegram.buttons import DATA_BYTES, rows, words_of
from bot.telegram.door import BODY_BYTES, Door
from bot.telegram.reading import Heard, heard, read_json
from storage.incoming import KINDS, Incoming
from tests.serving import BOT_SECRET
from tests.telegram_house import CHAT, PERSON, House, knock, message, update, written
from tests.wechat_house import START


def read(**fields: Any) -> Incoming:
    one = heard(update(**fields), "main", START).incoming
    assert one is not None
    return one


def meant(**fields: Any) -> tuple[str, str, dict[str, Any]]:
    one = read(**fields)
    assert one.kind in KINDS and not one.passive
    return one.kind, one.text, dict(one.data)


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ({"text": "签到"}, ("text", "签到", {})),
        ({"text": "/checkin@koukou_bot"}, ("text", "/checkin@koukou_bot", {})),
        ({"text": "/start"}, ("follow", "", {})),
        ({"text": "/start r_ABC-1"}, ("follow", "", {"scene": "r_ABC-1"})),
        ({"text": "/start@koukou_bot  r_ABC "}, ("follow", "", {"scene": "r_ABC"})),
        ({"text": "/Start"}, ("follow", "", {})),
        ({"text": "/start <script>"}, ("follow", "", {})),
        ({"text": "/start " + "x" * 65}, ("follow", "", {})),
        ({"text": "/starting"}, ("text", "/starting", {})),
        ({"text": "start"}, ("text", "start", {})),
        ({"text": "签\0到\ud800"}, ("text", "签�到�", {})),
        ({"text": "长" * 5000}, ("text", "长" * 4096, {})),
        ({"photo": [{"file_id": "S"}, {"file_id": "L"}]}, ("picture", "", {"media": "L"})),
        ({"photo": [{"file_id": "L"}], "caption": "看"}, ("picture", "看", {"media": "L"})),
        ({"voice": {"file_id": "V"}}, ("voice", "", {"media": "V"})),
        ({"location": {"latitude": 31.2, "longitude": -1}}, ("location", "", {"latitude": 31.2, "longitude": -1.0})),
        ({"venue": {"title": "家"}, "location": {"latitude": 1, "longitude": 2}},
         ("location", "", {"latitude": 1.0, "longitude": 2.0})),
        ({"sticker": {"emoji": "👍"}}, ("other", "", {"type": "sticker"})),
        ({"contact": {"phone_number": "1"}}, ("other", "", {"type": "contact"})),
        ({"document": {}, "caption": "表"}, ("other", "表", {"type": "document"})),
        ({"of_next_year": True}, ("other", "", {"type": "of_next_year"})),
        ({}, ("other", "", {})),
        ({"pinned_message": {"message_id": 1}}, ("notice", "", {"event": "pinned_message"})),
        ({"write_access_allowed": {}}, ("notice", "", {"event": "write_access_allowed"})),
    ],
)  # fmt: skip
def test_what_a_message_means(said: dict[str, Any], means: tuple[str, str, dict[str, Any]]) -> None:
    assert meant(message=message(**said)) == means


def test_an_edit_is_told_and_never_a_second_effect() -> None:
    assert meant(edited_message=message(text="签到")) == ("notice", "", {"event": "edited"})


@pytest.mark.parametrize(
    ("status", "means"),
    [("kicked", ("unfollow", "", {})), ("member", ("notice", "", {"event": "unblocked"}))],
)
def test_blocking_and_unblocking(status: str, means: tuple[str, str, dict[str, Any]]) -> None:
    change = {"chat": CHAT, "from": PERSON, "date": 1, "new_chat_member": {"status": status}}
    assert meant(my_chat_member=change) == means


def test_key_sender_and_language() -> None:
    for code, language in (("zh-hans", "zh"), ("zh", "zh"), ("ZH-TW", "zh"), ("en", "en"), ("fr", "en"), (None, "")):
        tree = update(message=message(text="1") | {"from": PERSON | {"language_code": code}})
        one = heard(tree, "shop", START).incoming
        assert one and (one.key, one.account) == (f"telegram:shop:u:{tree['update_id']}", "shop")
        assert (one.sender, one.language, one.at) == ("5000000001", language, START)


def tap(data: str, **message_fields: Any) -> Heard:
    under = message(**{"from": {"id": 1, "is_bot": True}, **message_fields})
    return heard(update(callback_query={"id": "Q1", "from": PERSON, "message": under, "data": data}), "main", START)


def keyboard(*choices: dict[str, Any]) -> dict[str, Any]:
    """The reply_markup that the platform sends back for these choices."""
    lines = rows(choices, "https://k.example")
    return {
        "inline_keyboard": [
            [{"text": b.label} | ({"url": b.url} if b.url else {"callback_data": b.data}) for b in line]
            for line in lines
        ]
    }


def test_a_tap_is_the_words_of_its_button() -> None:
    markup = keyboard({"label": "我的积分", "say": "积分"})
    one = tap(markup["inline_keyboard"][0][0]["callback_data"], message_id=77, reply_markup=markup)
    assert one.query == "Q1" and one.incoming
    assert (one.incoming.kind, one.incoming.text, one.incoming.data) == ("text", "积分", {"message": "77"})


def test_words_too_long_for_a_button_are_found_by_its_label() -> None:
    """They come back with the tap itself, so that no node and no plan need remember them."""
    long = [f"{'一家人最多可以有几位成员加入家庭网呢' * 2}，第{n}问？" for n in range(3)]
    markup = keyboard(*[{"label": words, "say": words} for words in long], {"label": "人工", "say": "人工"})
    buttons = [button for line in markup["inline_keyboard"] for button in line]
    assert all(len(button["callback_data"].encode()) <= DATA_BYTES for button in buttons)
    for button, words in zip(buttons, [*long, "人工"], strict=True):
        assert tap(button["callback_data"], reply_markup=markup).incoming.text == words  # type: ignore[union-attr]
    # The message was edited between the tap and its arrival: nothing is better than something else.
    other = keyboard({"label": "别的" * 30, "say": "别的" * 30})
    gone = tap(buttons[0]["callback_data"], reply_markup=other).incoming
    assert gone and (gone.kind, gone.text, gone.data["type"]) == ("other", "", "button")


def test_a_tap_under_a_message_that_the_platform_forgot() -> None:
    """It then has date 0, no keyboard, and cannot be edited."""
    one = tap("积分", date=0).incoming
    assert one and one.text == "积分" and "message" not in one.data


def test_words_cannot_pretend_to_be_a_mark() -> None:
    for say in ("#~x", " ", "签" * 22):
        data = keyboard({"label": "标签", "say": say})["inline_keyboard"][0][0]["callback_data"]
        assert data != say and words_of(data, keyboard({"label": "标签", "say": say})) == "标签"
    for markup in (None, 7, {"inline_keyboard": 7}, {"inline_keyboard": [7, [7, {"text": 7}]]}):
        assert words_of("#~x", markup) == ""


NOT_OURS: list[dict[str, Any]] = [
    {"message": message(chat={"id": -100123, "type": "supergroup", "title": "群"}, text="签到")},
    {"message": message(chat={"id": -5, "type": "group"}, new_chat_members=[PERSON])},
    {"message": message(text="签到") | {"from": PERSON | {"is_bot": True}}},
    {"edited_message": message(chat={"id": -5, "type": "group"}, text="签到")},
    {"my_chat_member": {"chat": {"id": -5, "type": "group"}, "from": PERSON, "new_chat_member": {"status": "kicked"}}},
    {"callback_query": {"id": "Q", "from": PERSON, "data": "签到", "inline_message_id": "I"}},
    {"channel_post": {"chat": {"id": -100, "type": "channel"}, "text": "签到"}},
    {"inline_query": {"id": "1", "from": PERSON, "query": "签到"}},
    {"of_next_year": {"chat": CHAT, "from": PERSON, "text": "签到"}},
    {},
]


@pytest.mark.parametrize("fields", NOT_OURS)
def test_what_is_not_ours_is_taken_and_changes_nothing(fields: dict[str, Any]) -> None:
    house = House()
    status, body = asyncio.run(knock(Door("main", BOT_SECRET, house), written(update(**fields))))
    assert status == 200 and house.heard == []
    assert (b"answerCallbackQuery" in body) == ("callback_query" in fields)  # else the button would seem to hang


@pytest.mark.parametrize(
    "fields",
    [
        {"update_id": 0, "message": message(text="1")},
        {"update_id": True, "message": message(text="1")},
        {"update_id": 1.5, "message": message(text="1")},
        {"message": None},
        {"message": message(text=None)},
        {"message": message(text="1", chat=7)},
        {"message": message(text="1", chat={"id": 5, "type": 7})},
        {"message": message(text="1", chat={"id": "5", "type": "private"})},
        {"message": message(text="1") | {"from": {"id": 2**60}}},
        {"message": message(photo=[])},
        {"message": message(photo="x")},
        {"message": message(photo=[{"file_id": 7}])},
        {"message": message(voice="x")},
        {"message": message(location={"latitude": float("nan"), "longitude": 1})},
        {"message": message(location={"latitude": True, "longitude": 1})},
        {"message": message(sticker={}, caption=["x"])},
        {"callback_query": {"from": PERSON}},
        {"callback_query": {"id": "Q", "from": PERSON, "data": 7, "message": message()}},
        {"callback_query": {"id": "Q", "from": 7, "data": "x", "message": message()}},
        {"callback_query": {"id": "Q", "from": PERSON, "data": "x", "message": message(message_id="1")}},
        {"my_chat_member": {"chat": CHAT, "from": PERSON, "new_chat_member": {}}},
    ],
)
def test_what_is_malformed_is_refused(fields: dict[str, Any]) -> None:
    house = House()
    assert asyncio.run(knock(Door("main", BOT_SECRET, house), written(update() | fields)))[0] == 400
    assert house.heard == []


def test_only_json_objects_of_sensible_depth() -> None:
    for body in (b"", b"{", b"[]", b'"x"', b"\xff\xfe{}", b"[" * 200_000, b'{"a":' * 5000 + b"1" + b"}" * 5000):
        with pytest.raises(Refused):
            read_json(body)
    wide = {"update_id": 1, "of_next_year": [{"n": n} for n in range(2000)]}
    assert read_json(written(wide)) == wide
    deep: Any = 1
    for _ in range(80):
        deep = {"a": deep}
    with pytest.raises(Refused, match="deep"):
        read_json(written({"update_id": 1, "a": deep}))


def test_the_secret_comes_first() -> None:
    """Without it not even the body is read."""

    async def story() -> None:
        house = House()
        door = Door("main", BOT_SECRET, house)
        body = written(update(message=message(text="签到")))
        for wrong in (None, b"", BOT_SECRET.encode()[:-1], BOT_SECRET.upper().encode(), "口令".encode()):
            assert (await knock(door, body, secret=wrong))[0] == 403
        assert (await knock(door, body, method="GET"))[0] == 405
        assert house.heard == []
        assert (await knock(door, body))[0] == 200
        assert [one.text for one in house.heard] == ["签到"]

    asyncio.run(story())


def test_the_body_has_a_limit_whether_it_says_its_length_or_not() -> None:
    async def story() -> None:
        house = House()
        door = Door("main", BOT_SECRET, house)
        body = written(update(message=message(text="签到")))
        large = body + b" " * BODY_BYTES
        assert (await knock(door, large))[0] == 413
        assert (await knock(door, large, headers={}, parts=9))[0] == 413
        assert (await knock(door, body, headers={b"content-length": b"-1"}))[0] == 413
        assert house.heard == []
        # The largest that the platform writes: two full texts with every letter escaped, and a hundred buttons.
        text = "😀" * 2048
        markup = {"inline_keyboard": [[{"text": "字" * 256, "callback_data": "签" * 21}]] * 100}
        full = message(text=text, reply_to_message=message(text=text, reply_markup=markup))
        escaped = json.dumps(update(message=full)).encode()
        assert len(escaped) < BODY_BYTES / 2
        assert (await knock(door, escaped, parts=7))[0] == 200
        assert house.heard[0].text == text

    asyncio.run(story())


def test_a_button_is_let_go_with_the_response() -> None:
    house = House()
    under = message(**{"from": {"id": 1, "is_bot": True}})
    tree = update(callback_query={"id": "987", "from": PERSON, "data": "积分", "message": under})
    status, body = asyncio.run(knock(Door("main", BOT_SECRET, house), written(tree)))
    assert status == 200
    assert json.loads(body) == {"method": "answerCallbackQuery", "callback_query_id": "987"}


def test_200_is_said_after_the_commit_and_busy_asks_to_come_again() -> None:
    async def story() -> None:
        house = House()
        door = Door("main", BOT_SECRET, house)
        go = asyncio.Event()

        async def wait(_: Incoming) -> None:
            await go.wait()

        house.before = wait
        body = written(update(message=message(text="签到")))
        asked = asyncio.create_task(knock(door, body))
        await asyncio.sleep(0.05)
        assert not asked.done()
        go.set()
        assert (await asked)[0] == 200

        async def busy(_: Incoming) -> None:
            raise Busy

        house.before = busy
        assert (await knock(door, body))[0] == 503

    asyncio.run(story())


def test_ten_thousand_mutated_bodies_never_break_the_door() -> None:
    """Bits, bytes, cuts and swapped values of real updates: taken, or refused with 4xx, and nothing else."""
    dice = random.Random(20261123)
    markup = keyboard({"label": "问" * 40, "say": "问" * 40}, {"label": "网页", "url": "/x"})
    seeds = [
        update(message=message(text="签到")),
        update(message=message(text="/start r_ABC")),
        update(message=message(photo=[{"file_id": "L", "width": 1}], caption="看")),
        update(message=message(location={"latitude": 31.2, "longitude": 121.5})),
        update(edited_message=message(text="签到", edit_date=5)),
        update(callback_query={"id": "1", "from": PERSON, "data": "#~x", "message": message(reply_markup=markup)}),
        update(my_chat_member={"chat": CHAT, "from": PERSON, "new_chat_member": {"status": "kicked"}}),
    ]
    odd = (None, True, -1, 0, 2**70, 1e308, float("nan"), "", "\ud800", "\0", [], {}, [[]], {"id": {}}, "签" * 99)

    def swapped(tree: Any) -> Any:
        """The tree with one value in it replaced."""
        tree = json.loads(json.dumps(tree))
        node, path = tree, []
        while isinstance(node, dict | list) and node and (not path or dice.random() < 0.7):
            path.append((node, key := dice.choice(list(node) if isinstance(node, dict) else range(len(node)))))
            node = node[key]
        holder, key = path[-1]
        holder[key] = dice.choice(odd)
        return tree

    def mutated() -> bytes:
        tree = dice.choice(seeds)
        kind = dice.choice((0, 0, 0, 1, 2, 3))
        if kind == 0:
            return json.dumps(swapped(tree)).encode()
        body = bytearray(written(tree))
        if kind == 1:
            for _ in range(dice.randrange(1, 4)):
                body[dice.randrange(len(body))] = dice.choice((dice.randrange(256), dice.randrange(48, 123)))
        elif kind == 2:
            del body[dice.randrange(len(body)) :]
        else:
            start, end = sorted(dice.randrange(len(body)) for _ in range(2))
            body[start:start] = body[start:end]
        return bytes(body)

    async def story() -> dict[int, int]:
        house, counts = House(), dict.fromkeys((200, 400), 0)
        door = Door("main", BOT_SECRET, house)
        for _ in range(10_000):
            status, _ = await knock(door, mutated())
            counts[status] += 1
        for one in house.heard:
            assert one.kind in KINDS and one.sender.isdecimal()
            one.text.encode()  # whatever came, it can be stored
            assert "\0" not in one.text + json.dumps(dict(one.data), ensure_ascii=False)
            json.dumps(dict(one.data), ensure_ascii=False).encode()
        return counts

    counts = asyncio.run(story())
    assert min(counts.values()) > 1000  # both ways were tried
