"""Asking for one's poster and choosing the name on it: what is said, what is kept where, which names are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from campaigns import naming, running
from campaigns.desk import Desk, apply_plan
from campaigns.poster import drawing
from content.bundle import Bundle
from content.posters import setting
from storage import people, profiles
from tests.talking import NOON, SHIPPED, Talk, run, talking

WHO = "oRef0000000000000000000000A1"


async def poster(talk: Talk, **more: Any) -> dict[str, Any]:
    """The picture of what 海报 is answered with."""
    answer = await talk.hear("海报", **more)
    picture: dict[str, Any] = answer.messages[0]["picture"]
    return picture


def person(talk: Talk, who: str = WHO, channel: str = "wechat") -> dict[str, Any]:
    with talk.store.read() as connection:
        number = people.find(connection, talk.vault, channel, "main", who)
        assert number
        return people.show(connection, number) | {"profile": profiles.read(connection, talk.vault, number)}


def everywhere(talk: Talk, besides: tuple[str, ...]) -> str:
    """All that the database holds in the clear, but for these tables."""
    from storage.tables import metadata

    with talk.store.read() as connection:
        names = [name for name in metadata.tables if name not in besides]
        return "\n".join(str(connection.exec_driver_sql(f'SELECT * FROM "{name}"').all()) for name in names)


@pytest.mark.parametrize("channel", ["wechat", "telegram"])
def test_everybody_gets_a_poster_of_their_own(channel: str, database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            answer = await talk.hear("海报", channel=channel)
            code = person(talk, channel=channel)["referral_code"]
            message = answer.messages[0]
            assert message["picture"]["name"] == f"poster:invite:zh:{channel}:main:{code}"
            assert code in message["picture"]["alt"] and code in message["text"] and f"/r/{code}" in message["text"]
            english = await talk.hear("poster", channel=channel, who="o2", language="en")
            other = person(talk, "o2", channel)["referral_code"]
            assert other != code
            assert english.messages[0]["picture"]["name"] == f"poster:invite:en:{channel}:main:{other}"
            assert "There is no reward" in english.messages[0]["text"] or "no reward" in english.messages[0]["text"]
            assert "poster" in [row["kind"] for row in events(talk)]

    run(journey())


def events(talk: Talk) -> list[dict[str, Any]]:
    with talk.store.read() as connection:
        rows = connection.exec_driver_sql("SELECT kind, data FROM event ORDER BY id").all()
    return [{"kind": row.kind, "data": json.loads(row.data)} for row in rows]


def test_a_guest_is_told_how_to_get_one(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            answer = await talk.hear("海报", channel="web")
            assert answer.messages[0]["picture"]["name"] == "pictures/welcome.jpg"
            assert "活动海报" in answer.messages[0]["text"] and "绑定" in answer.messages[0]["text"]
            assert "关注我们" in await talk.say("海报名字", channel="web")
            # Known by a messenger as well, as joining does it: their own, with the page's link.
            with talk.store.begin() as connection:
                connection.exec_driver_sql("UPDATE subscriber SET guest = FALSE")
            code = person(talk, channel="web")["referral_code"]
            assert (await poster(talk, channel="web"))["name"] == f"poster:invite:zh:web:main:{code}"

    run(journey())


def test_a_name_is_chosen_changed_and_taken_off(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            plain = (await poster(talk))["name"]
            assert "想在海报上写什么名字" in await talk.say("海报名字")
            assert "会写上这个名字" in await talk.say("  阿芳妈妈 ")
            assert person(talk)["profile"] == {"poster_name": "阿芳妈妈"}
            named = (await poster(talk))["name"]
            assert named.startswith(f"{plain}:") and named == (await poster(talk))["name"]
            assert "改成什么" in await talk.say("海报名字")
            assert "会写上这个名字" in await talk.say("J. O'Neil-Zoë 3")
            renamed = (await poster(talk))["name"]
            assert renamed not in (plain, named)
            assert person(talk)["profile"] == {"poster_name": "J. O'Neil-Zoë 3"}
            assert "不署名" in await talk.say("不署名")
            assert (await poster(talk))["name"] == plain
            assert person(talk)["profile"] == {}
            # What was typed stands in the texts, which have their retention; nowhere else does it stand readably.
            kept = everywhere(talk, besides=("text",))
            assert "阿芳" not in kept and "Neil" not in kept
            chosen = [row["data"] for row in events(talk) if row["kind"] == "poster_name"]
            assert chosen == [{"chosen": True}, {"chosen": True}, {"chosen": False}]

    run(journey())


def test_a_name_leaves_other_details_alone_and_goes_when_forgotten(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await talk.hear("海报")
            number = person(talk)["id"]
            with talk.store.begin() as connection:
                profiles.write(connection, talk.vault, number, {"number": "13800000000"})
            await talk.hear("海报名字")
            await talk.hear("阿芳")
            assert person(talk)["profile"] == {"number": "13800000000", "poster_name": "阿芳"}
            assert "海报名字: 阿芳" in await talk.say("我的资料")
            await talk.hear("不署名")
            assert person(talk)["profile"] == {"number": "13800000000"}
            await talk.hear("海报名字")
            await talk.hear("阿芳")
            await talk.hear("忘记我")
            await talk.hear("确认忘记我")
            with talk.store.read() as connection:
                assert people.by_code(connection, talk.vault, person(talk)["referral_code"])["profile"] == {}  # type: ignore[index]

    run(journey())


def test_while_a_name_is_asked_for_words_and_questions_are_themselves(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            for said, answered in (
                ("签到", "签到成功"),
                ("新用户有什么优惠", "首月"),
                ("退订", "没有被取消"),
                ("2", "想做什么"),
                ("打卡", "已经签到过"),
            ):
                await talk.hear("海报名字")
                assert answered in await talk.say(said), said
                assert person(talk)["profile"] == {}
            assert "会写上" not in await talk.say("阿芳妈妈")  # nothing is asked for any more
            assert person(talk)["profile"] == {}

    run(journey())


def test_a_refused_name_is_asked_for_again(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await talk.hear("海报名字")
            for name, why in (
                ("13812345678", "电话"),
                ("家庭网官方", "不能用的词"),
                ("赢🎁", "表情"),
                ("这是一个特别特别长的名字呀", "太长"),
            ):
                assert why in await talk.say(name), name
            assert "1. 不署名" in await talk.say("微信阿芳")
            assert "会写上" in await talk.say("阿芳")
            assert person(talk)["profile"] == {"poster_name": "阿芳"}

    run(journey())


def test_the_same_answer_twice_changes_once(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await talk.hear("海报名字")
            first = await talk.hear("阿芳", key="wechat:main:m:1")
            again = await talk.hear("阿芳", key="wechat:main:m:1")
            assert again.repeated and again.messages == first.messages
            assert [row["kind"] for row in events(talk)].count("poster_name") == 1

    run(journey())


BANNED = ("官方", "客服", "微信", "vx", "sex", "admin", "official", "shit", "家庭网", "Family Network")


@pytest.mark.parametrize(
    "name",
    [
        "阿芳",
        "阿芳妈妈",
        "欧阳·娜娜",
        "Zoë",
        "Mary-Jane O'Neil",
        "老王 88",
        "Essex",
        "J. Smith",
        "五哥",
        "十三姨",
        "Lǚ Bù",
        "Dvořák",
    ],
)
def test_names_that_may_stand(name: str) -> None:
    assert naming.unfit(naming.tidy(name), BANNED) == ""


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("字" * 13, "long"),
        ("x" * 25, "long"),
        ("138 1234", "number"),
        ("１３８１２３４５６７８", "number"),
        ("一三八零零一三八", "number"),
        ("一三 八-零零", "number"),
        ("a.com", "number"),
        ("http阿芳", "number"),
        ("www 阿芳", "number"),
        ("微。信", "letters"),
        ("", "letters"),
        ("···", "letters"),
        ("88", "letters"),
        ("赢🎁", "letters"),
        ("阿\u200b芳", "letters"),
        ("阿\x07芳", "letters"),
        ("阿\u202e芳", "letters"),
        ("аdmin", "letters"),  # its first letter is Cyrillic
        ("<b>阿芳", "letters"),
        ("[[阿芳]]", "letters"),
        ("阿芳@家", "letters"),
        ("Łukasz", "letters"),  # the font has no such letter
        ("官方阿芳", "banned"),
        ("官 方", "banned"),
        ("官·方", "banned"),
        ("ＡＤＭＩＮ", "banned"),
        ("a.d.m.i.n", "number"),
        ("Adm1n", "banned"),
        ("ádmin", "banned"),
        ("s h i t", "banned"),
        ("5ex", "banned"),
        ("vx 阿芳", "banned"),
        ("FamilyNetwork", "banned"),
        ("家庭网小王", "banned"),
    ],
)
def test_names_that_may_not_stand(name: str, why: str) -> None:
    assert naming.unfit(naming.tidy(name), BANNED) == f"poster.name_{why}"


@pytest.mark.parametrize(
    ("old", "new", "key", "words"),
    [
        ('poster.use = "invite"', 'poster.use = "invit"', "referral.poster.use", "did you mean invite"),
        ('poster.use = "invite"', "poster.use = 3", "referral.poster.use", "text"),
        ('"官方", "客服"', '"", "客服"', "referral.poster.banned[0]", "empty"),
        ("poster.use", "poster.name", "referral.poster", ""),
    ],
)
def test_the_plan_says_which_poster_and_which_words(old: str, new: str, key: str, words: str) -> None:
    files = dict(Bundle.read(SHIPPED).files)
    text = files["plan.toml"].decode()
    assert text.count(old) == 1
    files["plan.toml"] = text.replace(old, new).encode()
    faults = [one for one in Bundle(files).check(running()) if one.severity == "fault"]
    assert [one for one in faults if one.key.startswith(key) and words in one.text("en")], faults


def test_a_plan_without_one_shows_the_campaigns(tmp_path: Path) -> None:
    files = dict(Bundle.read(SHIPPED).files)
    lines = files["plan.toml"].decode().split("\n")
    first = next(n for n, line in enumerate(lines) if line.startswith("poster.use"))
    last = next(n for n, line in enumerate(lines) if n > first and line == "]")
    shows_the_campaigns(files, "\n".join(lines[:first] + lines[last + 1 :]), tmp_path)


def test_while_referral_waits_for_an_amount_there_is_the_campaigns(tmp_path: Path) -> None:
    files = dict(Bundle.read(SHIPPED).files)
    plan = files["plan.toml"].decode()
    assert plan.count("\nmost = 20\nhold") == 1
    shows_the_campaigns(files, plan.replace("\nmost = 20\nhold", '\nmost = "unset"\nhold'), tmp_path)


def shows_the_campaigns(files: dict[str, bytes], plan: str, tmp_path: Path) -> None:
    """Ask for a poster under this plan: the campaign's, and not a word of one's own."""
    files["plan.toml"] = plan.encode()

    async def journey() -> None:
        async with talking(f"sqlite:///{tmp_path}/house.db") as talk:
            with talk.store.begin() as connection:
                apply_plan(Desk(connection, "operator", frozenset({"plan.apply"}), NOON), Bundle(files), 1)
            answer = await talk.hear("海报")
            assert answer.messages[0]["picture"]["name"] == "pictures/welcome.jpg"
            assert "绑定" not in answer.messages[0]["text"]
            answer = await talk.hear("海报署名")
            assert "署名" not in answer.messages[0]["text"] and answer.messages[0]["text"].startswith("这是")

    run(journey())


def test_the_posters_font_has_every_letter_that_a_name_may_have() -> None:
    face = setting.font(b"", 24, 400)

    def drawn(char: str) -> tuple[Any, bytes]:
        mask = face.getmask(char)
        return mask.size, bytes(mask)

    absent = drawn("\ue000")
    allowed = [char for char in map(chr, range(0x20, 0xA000)) if naming._plain(char)]
    assert len(allowed) > 20_000
    assert [char for char in allowed if drawn(char) == absent] == []


def test_a_drawing_is_told_by_its_name() -> None:
    assert drawing("invite", "zh", "wechat", "main", "ABCD2345") == "poster:invite:zh:wechat:main:ABCD2345"
    assert drawing("invite", "zh", "wechat", "main", "ABCD2345", "0a1b2c3d").endswith(":ABCD2345:0a1b2c3d")
