"""`/r/CODE`: every way in with the code along, previews for robots, and a kind page for a code that nobody has."""

from __future__ import annotations

import asyncio
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.channels import Link
from bot.wechat import scenes
from tests.poster_house import PUBLIC, PosterHouse, poster_house, read, reads_as


def run(folder: Path, journey: Any, **how: Any) -> None:
    async def day() -> None:
        async with poster_house(folder, **how) as house:
            await journey(house)

    asyncio.run(day())


class Parts(HTMLParser):
    """The metas by name, the links and images of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.metas: dict[str, str] = {}
        self.links: list[str] = []
        self.images: dict[str, str] = {}
        self.outside: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        at = {name: value or "" for name, value in attrs}
        if tag == "meta":
            self.metas[at.get("property") or at.get("name", "")] = at.get("content", "")
        elif tag == "a":
            self.links.append(at["href"])
        elif tag == "img":
            self.images[at["src"]] = at["alt"]
        if tag in ("script", "iframe", "form", "link", "img") and at.get("src", at.get("href", "")).startswith("http"):
            self.outside.append(at.get("src") or at["href"])


async def page(house: PosterHouse, code: str, language: str = "zh") -> tuple[httpx.Response, Parts]:
    answer = await house.http.get(f"/r/{code}", headers={"Accept-Language": language})
    return answer, Parts(answer.text)


def test_it_offers_every_open_channel(tmp_path: Path) -> None:
    async def journey(house: PosterHouse) -> None:
        code = house.code(await house.follower())
        answer, parts = await page(house, code)
        assert answer.status_code == 200 and "noindex" in answer.headers["x-robots-tag"]
        (scan,) = [src for src in parts.images if src.startswith("/pictures/code")]
        drawn = await house.http.get(scan)
        assert drawn.headers["content-type"] == "image/png"
        reads_as(drawn.content, read(drawn.content))
        assert house.world.codes[read(drawn.content)].scene == f"r_{code}"
        assert code in parts.images[scan] and "朋友邀请您" in answer.text
        assert f"/?c=r_{code}&lang=zh#chat" in parts.links
        assert "Telegram" not in answer.text  # it is not enabled
        assert parts.outside == [f"{PUBLIC}/r/{code}"]  # the canonical address
        # The same code as on the poster, so that nobody's day has two.
        assert house.world.asked["qrcode/create"] == 1
        english, _ = await page(house, code, "en")
        assert "A friend invites you to Family Network" in english.text

    run(tmp_path, journey)


def test_whoever_comes_by_it_is_known_as_touched(tmp_path: Path) -> None:
    async def journey(house: PosterHouse) -> None:
        friend = await house.follower()
        code, before = house.code(friend), house.rows()
        for method in ("GET", "HEAD", "GET"):
            assert (await house.http.request(method, f"/r/{code}")).status_code == 200
        assert house.rows() == before  # looking changes nothing
        chat = (await house.http.get(f"/?c=r_{code}&lang=zh")).text
        assert f'data-scene="r_{code}"' in chat
        assert (await house.http.post("/chat/open", json={"scene": f"r_{code}"})).status_code == 200
        assert house.touches() == [{"by": "follow", "channel": "web", "referrer": house.number(friend)}]

    run(tmp_path, journey)


def test_a_telegram_account_is_a_button(tmp_path: Path) -> None:
    class Telegram:
        name, account = "telegram", "main"

        async def link(self, scene: str) -> Link:
            return Link(f"https://t.me/family_bot?start={scene}")

    async def journey(house: PosterHouse) -> None:
        code = house.code(await house.follower())
        house.pictures.channels = (*house.pictures.channels, Telegram())  # type: ignore[arg-type]
        answer, parts = await page(house, code)
        assert f"https://t.me/family_bot?start=r_{code}" in parts.links
        assert "在 Telegram 打开" in answer.text
        drawn = await house.get(f"poster:invite:zh:telegram:main:{code}")
        reads_as(drawn.content, f"https://t.me/family_bot?start=r_{code}")

    run(tmp_path, journey)


def test_a_code_is_found_as_it_is_typed(tmp_path: Path) -> None:
    async def journey(house: PosterHouse) -> None:
        code = house.code(await house.follower())
        for typed in (code.lower(), f"{code[:4]} {code[4:]}", f"{code[:4]}-{code[4:].lower()}", f"%20{code}%20"):
            answer, parts = await page(house, typed)
            assert answer.status_code == 200, typed
            assert parts.metas["og:url"] == f"{PUBLIC}/r/{code}"

    run(tmp_path, journey)


def test_a_preview_shows_the_poster(tmp_path: Path) -> None:
    async def journey(house: PosterHouse) -> None:
        person = await house.follower()
        code = house.code(person)
        _, parts = await page(house, code)
        metas = parts.metas
        assert metas["og:title"] == "朋友邀请您了解家庭网" and metas["og:description"]
        assert metas["og:image"].startswith(f"{PUBLIC}/pictures/poster")
        drawn = await house.http.get(metas["og:image"].removeprefix(PUBLIC))
        reads_as(drawn.content, f"{PUBLIC}/r/{code}")

    run(tmp_path, journey)


def test_of_the_friend_it_tells_the_chosen_name_alone(tmp_path: Path) -> None:
    async def journey(house: PosterHouse) -> None:
        person = await house.follower()
        await person.say("海报名字")
        await person.say("O'Neil-Zoë")
        answer, parts = await page(house, house.code(person))
        assert "O&#39;Neil-Zoë 邀请您了解家庭网" in answer.text and parts.metas["og:title"].startswith("O'Neil-Zoë")
        assert person.openid not in answer.text
        with house.app.store.read() as connection:
            number = connection.exec_driver_sql("SELECT id FROM subscriber").scalar_one()
        assert str(number) not in answer.text

    run(tmp_path, journey)


@pytest.mark.parametrize("language, words", [("zh", "没有找到这个推荐码"), ("en", "We do not know this referral code")])
def test_an_unknown_code_is_answered_kindly(tmp_path: Path, language: str, words: str) -> None:
    async def journey(house: PosterHouse) -> None:
        await house.guest()
        with house.app.store.read() as connection:
            guest = connection.exec_driver_sql("SELECT code FROM subscriber").scalar_one()
        before = house.rows()
        for code in ("ZZZZ9999", "x", guest, "%3Cscript%3Ealert(1)%3C%2Fscript%3E", "a" * 2000, "%00", "%F0%9F%8E%81"):
            answer, parts = await page(house, code, language)
            assert answer.status_code == 404, code
            assert words in unescape(answer.text) and f"/?lang={language}" in parts.links
            assert "<script" not in answer.text and "alert(1)" not in re.sub('href="[^"]*"', "", answer.text)
        assert house.rows() == before and house.world.asked["qrcode/create"] == 0

    run(tmp_path, journey)


def test_without_a_code_of_the_platform_it_says_how_to_follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "FOR_REFERRERS", 1)

    async def journey(house: PosterHouse) -> None:
        first, second = await house.follower(), await house.follower()
        assert "微信扫码" in (await page(house, house.code(first)))[0].text
        answer, parts = await page(house, house.code(second))
        assert "微信关注" in answer.text and "山河通信" in answer.text and house.code(second) in answer.text
        assert not [src for src in parts.images if src.startswith("/pictures/code")]

    run(tmp_path, journey)


def test_a_slow_platform_does_not_keep_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.pictures.LINK_SECONDS", 0.3)

    async def journey(house: PosterHouse) -> None:
        code = house.code(await house.follower())
        house.world.fail("qrcode/create", delay=1.5, accept=True)
        began = asyncio.get_running_loop().time()
        assert "微信关注" in (await page(house, code))[0].text
        assert asyncio.get_running_loop().time() - began < 1.2
        await asyncio.sleep(1.6)
        assert "微信扫码" in (await page(house, code))[0].text  # what was asked for came all the same

    run(tmp_path, journey)


def test_only_the_web_is_open(tmp_path: Path) -> None:
    async def journey(house: PosterHouse) -> None:
        code = house.code(await house.follower())
        house.pictures.channels = tuple(one for one in house.pictures.channels if one.name == "web")
        answer, parts = await page(house, code)
        assert "微信" not in answer.text.partition("<main")[2].partition("</main")[0]
        assert f"/?c=r_{code}&lang=zh#chat" in parts.links

    run(tmp_path, journey)
