"""My poster as people get it: read by an independent reader, renewed, rationed, drawn once, and with a name."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.pictures import Pictures, code_of
from bot.wechat import door, scenes
from storage import people
from tests.poster_house import PUBLIC, PosterHouse, poster_house, read, reads_as


def run(folder: Path, journey: Any, **how: Any) -> None:
    async def day() -> None:
        async with poster_house(folder, **how) as house:
            await journey(house)
            assert house.world.faults == []

    asyncio.run(day())


def test_on_wechat_the_code_brings_strangers_to_whom_it_belongs(tmp_path: Path) -> None:
    async def journey(house: PosterHouse) -> None:
        person = await house.follower()
        picture = await house.poster(person)
        code, url = house.code(person), read(picture)
        reads_as(picture, url)
        assert house.world.codes[url].scene == f"r_{code}"
        assert house.world.codes[url].until >= house.clock() + timedelta(days=29)
        said = [one.content for one in person.received if one.how == "passive"][-1]
        assert code in said and f"{PUBLIC}/r/{code}" in said
        stranger = house.world.person()
        assert await stranger.scan_code(url)
        assert house.touches() == [{"by": "follow", "channel": "wechat", "referrer": house.number(person)}]
        assert len(picture) < 2 * 1024 * 1024

    run(tmp_path, journey)


def test_on_the_web_it_holds_the_link_that_offers_every_channel(tmp_path: Path) -> None:
    async def journey(house: PosterHouse) -> None:
        await house.guest()
        first = await house.http.post("/chat/send", json={"key": "0" * 32, "text": "海报"})
        assert "welcome.jpg" in first.json()["answers"][0]["picture"]["url"]
        with house.app.store.begin() as connection:  # as joining a messenger does
            connection.exec_driver_sql("UPDATE subscriber SET guest = FALSE")
            code = connection.exec_driver_sql("SELECT code FROM subscriber").scalar_one()
        answer = (await house.http.post("/chat/send", json={"key": "1" * 32, "text": "海报"})).json()["answers"][0]
        drawn = await house.http.get(answer["picture"]["url"])
        assert drawn.headers["content-type"] == "image/jpeg"
        reads_as(drawn.content, f"{PUBLIC}/r/{code}")
        assert house.world.asked["qrcode/create"] == 0
        assert (await house.http.get(f"/r/{code}")).status_code == 200

    run(tmp_path, journey)


def test_what_is_drawn_anew_is_valid_for_three_weeks_at_least(tmp_path: Path) -> None:
    async def journey(house: PosterHouse) -> None:
        person = await house.follower()
        first = await house.poster(person)
        again = await house.poster(person)
        assert first == again and house.pictures.drawings == 1
        house.clock.ahead = timedelta(days=10)
        later = await house.poster(person)
        assert read(later) != read(first) and house.pictures.drawings == 2
        assert house.world.codes[read(later)].until >= house.clock() + timedelta(days=29)
        house.clock.ahead = timedelta(days=31)
        stranger = house.world.person()
        assert await stranger.scan_code(read(first)) == ""  # expired, as the poster says
        assert await stranger.scan_code(read(later)) != ""

    run(tmp_path, journey)


def test_the_last_day_printed_is_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def journey(house: PosterHouse) -> None:
        told: list[Any] = []
        poster = house.pictures._library().poster("invite")
        draw = type(poster).draw

        def noted(self: Any, language: str, **more: Any) -> bytes:
            told.append((language, more["fields"], more["name"]))
            return draw(self, language, **more)

        monkeypatch.setattr(type(poster), "draw", noted)
        person = await house.follower()
        url = read(await house.poster(person))
        last = house.world.codes[url].until
        assert last
        day = last.astimezone(house.pictures._library().plan.zone) - timedelta(days=1)
        written = f"{day.year} 年 {day.month} 月 {day.day} 日"
        assert told == [("zh", {"code": house.code(person), "until": written}, "")]

    run(tmp_path, journey)


def test_when_the_quota_is_spent_the_poster_leads_to_our_own_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenes, "FOR_REFERRERS", 1)

    async def journey(house: PosterHouse) -> None:
        lucky, late = await house.follower(), await house.follower()
        assert read(await house.poster(lucky)) in house.world.codes
        reads_as(await house.poster(late), f"{PUBLIC}/r/{house.code(late)}")
        assert house.world.asked["qrcode/create"] == 1
        page = (await house.http.get(f"/r/{house.code(late)}")).text
        assert house.code(late) in page and "微信关注" in page

    run(tmp_path, journey)


def test_accounts_without_scene_codes_get_the_link(tmp_path: Path) -> None:
    async def journey(house: PosterHouse) -> None:
        person = await house.follower()
        reads_as(await house.poster(person), f"{PUBLIC}/r/{house.code(person)}")

    run(tmp_path, journey, wechat='kind = "subscription"', kind="subscription")


def test_fifty_who_ask_at_once_draw_once(tmp_path: Path) -> None:
    async def journey(house: PosterHouse) -> None:
        code = house.code(await house.follower())
        answers = await asyncio.gather(*(house.get(f"poster:invite:zh:wechat:main:{code}") for _ in range(50)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert (house.pictures.drawings, house.world.asked["qrcode/create"]) == (1, 1)

    run(tmp_path, journey)


def test_one_drawing_runs_at_a_time_beside_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def journey(house: PosterHouse) -> None:
        poster = house.pictures._library().poster("invite")
        draw, at_once, most = type(poster).draw, [0], [0]

        def counted(self: Any, language: str, **more: Any) -> bytes:
            assert threading.current_thread().name != "writer"
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
            try:
                return draw(self, language, **more)
            finally:
                at_once[0] -= 1

        monkeypatch.setattr(type(poster), "draw", counted)
        codes = [house.code(await house.follower()) for _ in range(6)]
        answers = await asyncio.gather(*(house.get(f"poster:invite:zh:web:main:{code}") for code in codes))
        assert len({answer.content for answer in answers}) == 6
        assert most == [1]

    run(tmp_path, journey)


def test_names_that_nobody_was_given_cost_nothing(tmp_path: Path) -> None:
    async def journey(house: PosterHouse) -> None:
        code = house.code(await house.follower())
        await house.guest()
        with house.app.store.read() as connection:
            guest = connection.exec_driver_sql("SELECT code FROM subscriber WHERE guest").scalar_one()
        before = house.rows()
        for name in (
            "poster:invite:zh:wechat:main:ZZZZ9999",
            f"poster:invite:zh:wechat:main:{guest}",
            f"poster:nothing:zh:wechat:main:{code}",
            f"poster:invite:fr:wechat:main:{code}",
            f"poster:invite:zh:wechat:second:{code}",
            f"poster:invite:zh:whatsapp:main:{code}",
            f"poster:invite:zh:wechat:main:{code.lower()}",
            f"poster:invite:zh:wechat:main:{code}:not-a-mark",
            f"poster:../invite:zh:wechat:main:{code}",
            "poster:",
            "poster:invite",
            f"code:wechat:main:{guest}",
            f"code:whatsapp:main:{code}",
            "code:wechat:main:ZZZZ9999",
        ):
            assert (await house.get(name)).status_code == 404, name
        assert (house.pictures.drawings, house.world.asked["qrcode/create"]) == (0, 0)
        assert house.rows() == before

    run(tmp_path, journey)


def test_strangers_are_slowed_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.site.pages.DRAWINGS_A_MINUTE", 5)

    async def journey(house: PosterHouse) -> None:
        code = house.code(await house.follower())
        answers = [await house.get(f"poster:invite:zh:web:main:{code}") for _ in range(7)]
        assert [one.status_code for one in answers] == [200] * 5 + [429] * 2
        assert int(answers[-1].headers["retry-after"]) > 0
        assert (await house.get("pictures/welcome.jpg")).status_code == 200

    run(tmp_path, journey)


def test_the_name_is_on_it_and_no_cache_shows_an_earlier_one(tmp_path: Path) -> None:
    async def journey(house: PosterHouse) -> None:
        person = await house.follower()
        plain = await house.poster(person)
        pictures = [plain]
        for name in ("阿芳", "老王"):
            await person.say("海报名字")
            await person.say(name)
            pictures.append(await house.poster(person))
        assert len(set(pictures)) == 3 and {read(one) for one in pictures} == {read(plain)}
        await person.say("不署名")
        assert await house.poster(person) == plain
        # A link to the picture with an old mark shows what holds now, also after forgetting.
        await person.say("海报名字")
        await person.say("阿芳")
        name = f"poster:invite:zh:wechat:main:{house.code(person)}"
        assert (await house.get(f"{name}:0123abcd")).content == (await house.get(name)).content == pictures[1]
        with house.app.store.begin() as connection:
            number = people.find(connection, house.app.vault, "wechat", "main", person.openid)
            assert number
            people.forget(connection, number, house.clock(), house.clock())
        assert (await house.get(f"{name}:0123abcd")).content == plain

    run(tmp_path, journey)


def test_a_joined_persons_earlier_code_still_draws(tmp_path: Path) -> None:
    async def journey(house: PosterHouse) -> None:
        older, newer = await house.follower(), await house.follower()
        await older.say("海报名字")
        await older.say("阿芳")
        code = house.code(newer)
        with house.app.store.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE subscriber SET status = 'alias', alias_of = "
                f"(SELECT id FROM subscriber WHERE code = '{house.code(older)}') WHERE code = '{code}'"
            )
        holder = await asyncio.wrap_future(
            asyncio.run_coroutine_threadsafe(house.pictures.holder(code), house.app.writer.loop)  # type: ignore[union-attr]
        )
        assert holder and (holder.code, holder.name) == (code, "阿芳")

    run(tmp_path, journey)


def test_the_picture_leaves_passively_where_nothing_can_follow(tmp_path: Path) -> None:
    """The platform took customer service away (48001): the reply itself is the picture."""

    async def journey(house: PosterHouse) -> None:
        person = await house.follower()
        await lose_customer_service(house)
        before = len(person.received)
        await person.say("海报")
        shown = person.received[before:]
        assert [(one.how, one.kind) for one in shown] == [("passive", "image")]
        assert f"r_{house.code(person)}" == house.world.codes[read(house.world.uploads[shown[0].content].content)].scene
        await person.say("签到")
        assert "签到成功" in person.received[-1].content

    run(tmp_path, journey)


def test_a_picture_that_takes_too_long_is_a_link_and_comes_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "PICTURE_SECONDS", 0.5)

    async def journey(house: PosterHouse) -> None:
        person = await house.follower()
        await lose_customer_service(house)
        house.world.fail("media/upload", delay=1.0, accept=True)
        before = len(person.received)
        await person.say("海报")
        (text,) = person.received[before:]
        name = f"poster%3Ainvite%3Azh%3Awechat%3Amain%3A{house.code(person)}"
        assert text.kind == "text" and f'<a href="{PUBLIC}/pictures/{name}">' in text.content
        assert (await house.get(name)).status_code == 200
        await asyncio.sleep(1.2)
        await person.say("海报")
        assert person.received[-1].kind == "image"

    run(tmp_path, journey)


async def lose_customer_service(house: PosterHouse) -> None:
    """As the channel learns it: the platform answers 48001 to a message of ours."""
    assert house.app.writer
    abilities = house.app.channels[-1].abilities if house.app.channels[-1].name == "wechat" else None
    abilities = abilities or next(one for one in house.app.channels if one.name == "wechat").abilities
    learning = asyncio.run_coroutine_threadsafe(abilities.refused("message/custom/send"), house.app.writer.loop)
    await asyncio.wrap_future(learning)


def test_what_cannot_be_drawn_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def journey(house: PosterHouse) -> None:
        def broken(*_: Any, **__: Any) -> bytes:
            raise OSError("no such font")

        person = await house.follower()
        monkeypatch.setattr(type(house.pictures._library().poster("invite")), "draw", broken)
        await person.say("海报")
        for _ in range(200):
            if person.received[-1].how == "custom" and person.received[-1].content.startswith("〔"):
                break
            await asyncio.sleep(0.02)
        assert house.code(person) in person.received[-1].content
        assert (await house.get(f"poster:invite:zh:web:main:{house.code(person)}")).status_code == 404

    run(tmp_path, journey)


def test_a_poster_that_staff_broke_breaks_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def journey(house: PosterHouse) -> None:
        library = house.pictures._library()
        files = {**library.files, "posters/invite/poster.toml": b"size = [1]\n"}
        monkeypatch.setattr(library, "files", files)
        code = house.code(await house.follower())
        assert (await house.get(f"poster:invite:zh:web:main:{code}")).status_code == 404
        assert (await house.http.get(f"/r/{code}")).status_code == 200

    run(tmp_path, journey)


def test_an_unverified_account_gets_words_with_a_link(tmp_path: Path) -> None:
    async def journey(house: PosterHouse) -> None:
        person = await house.follower()
        await person.say("海报")
        said = person.received[-1]
        assert said.kind == "text" and f'<a href="{PUBLIC}/pictures/poster' in said.content
        assert f"{PUBLIC}/r/{house.code(person)}" in said.content

    run(tmp_path, journey, wechat="verified = false", verified=False)


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.pictures.CACHE_BYTES", 1000)

    async def fill() -> Pictures:
        pictures = Pictures(None, None, None, "")  # type: ignore[arg-type]
        for number in range(50):
            assert await pictures._once((number,), lambda: b"x" * 90) == b"x" * 90
        assert await pictures._once((49,), lambda: b"never") == b"x" * 90
        return pictures

    pictures = asyncio.run(fill())
    assert pictures._size == sum(map(len, pictures._kept.values())) <= 1000
    assert (list(pictures._kept)[-1], len(pictures._kept), pictures.drawings) == ((49,), 11, 50)


@pytest.mark.parametrize("typed", ["ABCD2345", "abcd2345", " abcd 2345 ", "ABCD-2345", "abcd·2345", "ab cd 23 45"])
def test_a_code_is_read_as_people_type_it(typed: str) -> None:
    assert code_of(typed) == "ABCD2345"


@pytest.mark.parametrize(
    "typed", ["", "ABCD234", "ABCD23456", "ABCD2340", "ABCDI345", "ABCD234'", "ＡBCD2345x", "海报"]
)
def test_what_is_no_code(typed: str) -> None:
    assert code_of(typed) == ""
