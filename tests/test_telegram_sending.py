"""Messages out, against the played platform over real HTTP: pieces, buttons, pictures, edits, errors."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bot.channels import Outcome
from bot.channels.telegram import Telegram
from bot.played.telegram import PlayedTelegram
from bot.telegram import sending
from bot.telegram.rendering import pieces, split, units
from tests.telegram_house import TOKEN, URL, Stage, choices, labels, picture


@pytest.fixture
def stage() -> Iterator[Stage]:
    with PlayedTelegram(token=TOKEN, chat_burst=100, hurry=100) as world:
        stage = Stage(world)
        yield stage
        assert not stage.world.faults


def test_a_text_arrives_as_plain_words_with_buttons(stage: Stage) -> None:
    text = "*不是粗体* _x_ <b>1</b> [a](b) & `c`"
    tree = {"text": text, "choices": [*choices("签到"), {"label": "网页", "url": "/p/1"}]}
    assert stage.send(tree).state == "sent"
    assert stage.shown() == [("text", text)]
    assert stage.person.received[0].keyboard == [
        [{"text": "签到", "callback_data": "签到"}, {"text": "网页", "url": f"{URL}/p/1"}]
    ]
    assert not [
        mark
        for mark in stage.person.received[0].message.get("entities", [])
        if mark["type"] not in ("url", "bot_command")
    ]


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["签到", "我的积分", "怎么办理", "活动海报", "人工客服", "帮助"], [3, 3]),
        (["签到", "积分", "办理", "海报"], [2, 2]),
        (["签到", "积分", "办理", "海报", "人工"], [3, 2]),
        (["Check in", "My points", "How to apply"], [2, 1]),
        (["一家人最多可以有几位成员？", "家庭网要多少钱一个月？", "人工客服"], [1, 1, 1]),
        (["是", "一家人最多可以有几位成员？", "否", "人工"], [1, 1, 2]),
        (["X" * 17], [1]),
    ],
)
def test_rows_read_well_on_a_phone(words: list[str], lines: list[int]) -> None:
    [piece] = pieces({"text": "选", "choices": choices(*words)}, URL)
    assert [len(row) for row in piece.keyboard] == lines
    assert [button.label for row in piece.keyboard for button in row] == words


def test_a_link_that_cannot_be_a_button_is_written_out(stage: Stage) -> None:
    stage.house.public_url = "http://localhost:8000"
    tree = {"text": "看", "choices": [{"label": "网页", "url": "/p/1"}, *choices("菜单")]}
    assert stage.send(tree).state == "sent"
    assert stage.shown() == [("text", "看\n网页: http://localhost:8000/p/1")]
    assert labels(stage.person.received[0]) == [["菜单"]]


def test_a_hundred_buttons_go(stage: Stage) -> None:
    words = [f"第{n}个选择{'很长' * 20}" for n in range(100)]
    assert stage.send({"text": "选", "choices": choices(*words)}).state == "sent"
    assert labels(stage.person.received[0]) == [[word] for word in words]


def test_long_texts_are_split_where_lines_end(stage: Stage) -> None:
    text = "\n".join(f"第{n}行：{'长长的一句话😀' * 30}" for n in range(40))[:4096]
    tree = {"text": text, "choices": choices("菜单")}
    assert units(text) > 4096
    assert stage.send(tree).state == "sent"
    parts = [received.text for received in stage.person.received]
    assert len(parts) == 2 and "\n".join(parts) == text
    assert [labels(received) for received in stage.person.received] == [[], [["菜单"]]]


def test_no_part_is_too_long_or_empty() -> None:
    for text in ("😀" * 5000, "长" * 9000, "\n" * 5000 + "x", " " * 5000, "a\n" + "😀" * 4096, "x" * 4096):
        parts = split(text)
        assert all(part.strip() and units(part) <= 4096 for part in parts)
        assert "".join(parts).replace("\n", "").strip() == text.replace("\n", "").strip()
    assert pieces({"text": " "}, URL) == []
    assert [piece.text for piece in pieces({"text": " ", "choices": choices("签到")}, URL)] == ["👇"]


def test_a_picture_carries_its_words_and_is_uploaded_once(stage: Stage) -> None:
    stage.house.pictures = {"a.png": (picture(), "image/png"), "b.png": (picture(), "image/png")}
    tree = {"text": "欢迎", "picture": {"name": "a.png", "alt": "海报"}, "choices": choices("签到")}
    others = [stage.somebody() for _ in range(20)]

    async def everybody(channel: Telegram) -> list[Outcome]:
        return await asyncio.gather(*[channel.send(stage.parcel(tree, to=person)) for person in others])

    assert {outcome.state for outcome in stage.run(everybody)} == {"sent"}
    assert stage.send(tree).state == "sent"  # another node
    shown = [*others, stage.person]
    assert {person.received[0].text for person in shown} == {"欢迎"}
    assert {person.received[0].photo for person in shown} == {stage.house.pictures["a.png"][0]}
    assert len({id(file) for file in stage.world.files.values()}) == 1
    # By what it shows, not by its name.
    stage.house.pictures["a.png"] = (picture(9), "image/png")
    assert stage.send(tree).state == "sent"
    assert len({id(file) for file in stage.world.files.values()}) == 2


def test_a_forgotten_picture_is_uploaded_again(stage: Stage) -> None:
    stage.house.pictures = {"a.png": (picture(), "image/png")}
    tree = {"text": "欢迎", "picture": {"name": "a.png", "alt": "海报"}}
    assert stage.send(tree).state == "sent"
    stage.world.files.clear()
    assert stage.send(tree).state == "sent"
    assert stage.send(tree).state == "sent"
    assert len({id(file) for file in stage.world.files.values()}) == 1
    assert [received.kind for received in stage.person.received] == ["photo"] * 3
    assert all("wrong remote file identifier" in fault for fault in stage.world.faults) and stage.world.faults
    stage.world.faults.clear()


def test_words_too_long_for_a_caption_follow_the_picture(stage: Stage) -> None:
    stage.house.pictures = {"a.png": (picture(), "image/png")}
    text = "长" * 1025
    tree = {"text": text, "picture": {"name": "a.png", "alt": "海报"}, "choices": choices("签到")}
    assert stage.send(tree).state == "sent"
    assert stage.shown() == [("photo", ""), ("text", text)]
    assert labels(stage.person.received[1]) == [["签到"]]


@pytest.mark.parametrize(
    "held", [None, (b"<svg/>", "image/svg+xml"), (b"\x89PNG broken", "image/png"), (b"x" * 10_485_761, "image/png")]
)
def test_a_picture_that_cannot_be_shown_is_said(stage: Stage, held: tuple[bytes, str] | None) -> None:
    if held:
        stage.house.pictures = {"a.png": held}
    tree = {"text": "欢迎", "picture": {"name": "a.png", "alt": "海报"}, "choices": choices("签到")}
    assert stage.send(tree).state == "sent"
    assert stage.shown() == [("text", "欢迎\n〔海报〕")]
    assert labels(stage.person.received[0]) == [["签到"]]
    stage.world.faults.clear()  # only the platform knows that a file is broken


# ---- in the place of an earlier message


def test_an_answer_takes_the_place_of_what_was_tapped(stage: Stage) -> None:
    assert stage.send({"text": "选语言", "choices": choices("中文", "English")}).state == "sent"
    place = str(stage.person.received[0].message_id)
    answer = {"text": "好的", "choices": choices("菜单"), "edits": place}
    for _ in range(2):  # repeated, it changes nothing and is said no second time
        assert stage.send(answer).state == "sent"
    assert stage.shown() == [("text", "好的")]
    assert labels(stage.person.received[0]) == [["菜单"]] and stage.person.received[0].edits == 1


def test_a_picture_takes_the_place_of_a_picture(stage: Stage) -> None:
    stage.house.pictures = {name: (picture(size), "image/png") for name, size in (("a.png", 8), ("b.png", 9))}
    assert stage.send({"text": "一", "picture": {"name": "a.png", "alt": "甲"}}).state == "sent"
    place = str(stage.person.received[0].message_id)
    for _ in range(2):  # uploaded by the edit itself, then by its file_id
        assert stage.send({"text": "二", "picture": {"name": "b.png", "alt": "乙"}, "edits": place}).state == "sent"
    assert stage.shown() == [("photo", "二")]
    assert stage.person.received[0].photo == stage.house.pictures["b.png"][0]


@pytest.mark.parametrize("place", ["picture", "gone", "not ours", "nonsense"])
def test_where_the_platform_will_not_edit_it_is_said_anew(stage: Stage, place: str) -> None:
    stage.house.pictures = {"a.png": (picture(), "image/png")}
    stage.send({"text": "图", "picture": {"name": "a.png", "alt": "甲"}})
    own = next(number for number, one in stage.person.messages.items() if one["from"]["id"] == stage.person.id)
    edits = {"picture": str(stage.person.received[0].message_id), "gone": "99999", "not ours": str(own)}
    assert stage.send({"text": "答", "edits": edits.get(place, "m-1")}).state == "sent"
    assert stage.shown() == [("photo", "图"), ("text", "答")]
    stage.world.faults.clear()


def test_an_edit_whose_reply_was_lost_is_simply_tried_again(stage: Stage) -> None:
    stage.send()
    answer = {"text": "答", "edits": str(stage.person.received[0].message_id)}
    stage.world.fail("editMessageText", drop=True, accept=True)
    assert stage.send(answer).state == "retry"
    assert stage.send(answer) == Outcome("sent", "unchanged")
    assert stage.shown() == [("text", "答")]


def test_a_long_answer_is_said_anew(stage: Stage) -> None:
    stage.send()
    long = {"text": "长" * 4000 + "\n" + "长" * 96 + "😀" * 60, "edits": str(stage.person.received[0].message_id)}
    assert stage.send(long).state == "sent"
    assert len(stage.shown()) == 3 and not stage.person.received[0].edits


# ---- how it can go wrong


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        ({"code": 429, "retry_after": 17}, Outcome("slow", "too_many_requests", 17.0)),
        ({"code": 429, "retry_after": 10072}, Outcome("slow", "too_many_requests", 10072.0)),
        ({"code": 403}, Outcome("refused", "blocked")),
        ({"code": 403, "description": "Forbidden: user is deactivated"}, Outcome("refused", "deactivated")),
        ({"code": 403, "description": "Forbidden: bot can't initiate conversation with a user"},
         Outcome("refused", "unknown_person")),
        ({"code": 400, "description": "Bad Request: chat not found"}, Outcome("refused", "unknown_person")),
        ({"code": 400, "description": "Bad Request: PEER_ID_INVALID"}, Outcome("refused", "unknown_person")),
        ({"code": 400, "description": "Bad Request: something new"}, Outcome("failed", "bad_request")),
        ({"code": 401, "description": "Unauthorized"}, Outcome("slow", "token_refused", 600.0)),
        ({"code": 404, "description": "Not Found"}, Outcome("slow", "token_refused", 600.0)),
        ({"code": 500}, Outcome("doubtful", "platform_fault")),
        ({"code": 502, "html": True}, Outcome("doubtful", "platform_fault")),
        ({"html": True, "accept": True}, Outcome("doubtful", "platform_fault")),
        ({"drop": True}, Outcome("doubtful", "platform_fault")),
        ({"drop": True, "accept": True}, Outcome("doubtful", "platform_fault")),
    ],
)  # fmt: skip
def test_each_error_has_its_outcome(stage: Stage, trouble: dict[str, Any], expected: Outcome) -> None:
    stage.world.fail("sendMessage", **trouble)
    assert stage.send() == expected
    assert stage.world.asked["sendMessage"] == 1  # nothing is tried again behind the sender's back
    assert len(stage.shown()) == bool(trouble.get("accept"))


def test_who_blocked_left_or_never_came(stage: Stage) -> None:
    stage.person.block()
    assert stage.send() == Outcome("refused", "blocked")
    stage.person.unblock()
    stage.person.deactivate()
    assert stage.send() == Outcome("refused", "deactivated")
    assert stage.send(to=stage.world.person()) == Outcome("refused", "unknown_person")


def test_a_chat_that_moved_is_followed(stage: Stage) -> None:
    new = stage.somebody()
    stage.world.fail("sendMessage", migrate_to_chat_id=new.id)
    assert stage.send().state == "sent"
    assert [received.text for received in new.received] == ["你好"] and not stage.shown()


def test_no_answer_in_time_is_doubt_and_no_connection_is_none(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_SECONDS", 0.2)
    stage.world.fail("sendMessage", delay=1.0)
    assert stage.send() == Outcome("doubtful", "no_answer")
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{deaf.getsockname()[1]}"
    assert stage.run(lambda channel: channel.send(stage.parcel()), api_url=nobody) == Outcome(
        "retry", "no_connection", 5.0
    )


def test_pieces_go_on_where_an_earlier_try_ended(stage: Stage) -> None:
    text = "\n".join("长" * 4000 for _ in range(1)) + "\n" + "短" * 95
    stage.house.pictures = {"a.png": (picture(), "image/png")}
    tree = {"text": text, "picture": {"name": "a.png", "alt": "海报"}, "choices": choices("菜单")}
    stage.world.fail("sendMessage", code=429, retry_after=1)
    assert stage.send(tree) == Outcome("slow", "too_many_requests", 1.0)
    assert stage.shown() == [("photo", "")]
    assert stage.send(tree, delivery=8).state == "sent"  # another message of the same words begins at its beginning
    assert [kind for kind, _ in stage.shown()] == ["photo", "photo", "text"]
    assert stage.send(tree).state == "sent"
    assert [kind for kind, _ in stage.shown()] == ["photo", "photo", "text", "text"]


def test_one_who_taps_without_end_is_answered_at_a_pace_and_brings_no_pause() -> None:
    """The platform would answer more with a 429, and the whole bot would wait."""
    with PlayedTelegram(token=TOKEN) as world:
        stage = Stage(world)
        other = stage.somebody()

        async def all_of_it(channel: Telegram) -> list[Outcome]:
            began = time.monotonic()
            many = [asyncio.create_task(channel.send(stage.parcel(delivery=n))) for n in range(8)]
            assert (await channel.send(stage.parcel(to=other))).state == "sent"
            assert time.monotonic() - began < 1.5, "nobody else waits"
            return await asyncio.gather(*many)

        assert {outcome.state for outcome in stage.run(all_of_it)} == {"sent"}
        times = [received.at for received in stage.person.received]
        assert len(times) == 8 and world.asked["sendMessage"] == 9
        assert (times[2] - times[0]).total_seconds() < 0.7 < (times[4] - times[3]).total_seconds()
