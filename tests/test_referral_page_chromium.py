"""The page behind a friend's link in a real Chromium: at 360 and 1280 px, in both languages, light and dark, with an
accessibility scan; the WeChat code read off the screen, and the way into the chat walked to its end.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from bot.channels import Link
from tests.poster_house import poster_house, read

SHOTS = os.environ.get("KOUKOU_TEST_SHOTS")  # a folder, to look at what the test saw


class Telegram:
    """The link of a bot at the network's edge."""

    name, account = "telegram", "main"

    async def link(self, scene: str) -> Link:
        return Link(f"https://t.me/family_network_bot?start={scene}")


@dataclass
class Served:
    """Where it is, whose code it is, and what the platform knows."""

    url: str
    code: str
    referrer: int
    world: Any
    house: Any


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The service on a loop of its own, with one referrer who chose a name."""
    found: list[Served] = []
    ready, done = threading.Event(), threading.Event()

    async def serve() -> None:
        async with poster_house(
            tmp_path_factory.mktemp("referral"), "[channels.web]\nguests_per_hour = 200\n"
        ) as house:
            person = await house.follower()
            await person.say("海报名字")
            await person.say("阿芳妈妈")
            house.pictures.channels = (*house.pictures.channels, Telegram())  # type: ignore[arg-type]
            url, world = str(house.http.base_url).rstrip("/"), house.world
            found.append(Served(url, house.code(person), house.number(person), world, house))
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(60)
    yield found[0]
    done.set()
    thread.join(30)


def opened(chromium: Browser, width: int, language: str, scheme: Any, **more: Any) -> Any:
    return chromium.new_context(
        viewport={"width": width, "height": 800},
        locale="zh-CN" if language == "zh" else "en-GB",
        color_scheme=scheme,
        has_touch=width < 600,
        reduced_motion="reduce",
        **more,
    )


EVERY = list(itertools.product((360, 1280), ("zh", "en"), ("light", "dark")))


@pytest.mark.parametrize("width, language, scheme", EVERY)
def test_the_page_is_for_everybody(
    width: int, language: str, scheme: str, chromium: Browser, served: Served, tmp_path: Path
) -> None:
    context = opened(chromium, width, language, scheme)
    page, errors, hosts = context.new_page(), [], set()
    page.on("console", lambda line: errors.append(line.text) if line.type in ("error", "warning") else None)
    page.on("request", lambda asked: hosts.add(urlsplit(asked.url).netloc))
    page.goto(f"{served.url}/r/{served.code}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("阿芳妈妈")
    assert Axe().run(page).violations_count == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    scan = page.locator("img.scan")
    assert scan.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    shot = scan.screenshot(path=tmp_path / "scan.png")
    assert served.world.codes[read(shot)].scene == f"r_{served.code}"  # off the screen, in the dark as well
    for link in page.locator("main a:visible, .bar a:visible").all():
        box = link.bounding_box()
        assert box and box["height"] >= 44, link.inner_text()
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/referral-{width}-{language}-{scheme}.png", full_page=True)
    page.goto(f"{served.url}/r/ZZZZ9999")
    assert Axe().run(page).violations_count == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/lost-{width}-{language}-{scheme}.png", full_page=True)
    assert errors == ["Failed to load resource: the server responded with a status of 404 (Not Found)"]
    assert hosts == {urlsplit(served.url).netloc}
    assert not context.cookies()
    context.close()


def test_the_way_into_the_chat_carries_the_friend_along(chromium: Browser, served: Served) -> None:
    context = opened(chromium, 360, "zh", "light")
    page = context.new_page()
    page.goto(f"{served.url}/r/{served.code.lower()}")
    assert page.get_by_role("link", name="在 Telegram 打开").get_attribute("href") == (
        f"https://t.me/family_network_bot?start=r_{served.code}"
    )
    page.get_by_role("link", name="打开网页聊天").click()
    expect(page.locator("#chat-state")).to_have_text("在线")
    page.mouse.move(20, 200)
    expect(page.locator(".said.theirs").first).to_be_visible()
    assert {"by": "follow", "channel": "web", "referrer": served.referrer} in served.house.touches()
    context.close()


def test_it_needs_no_script_and_reads_in_the_other_language(chromium: Browser, served: Served) -> None:
    context = opened(chromium, 360, "zh", "light", java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{served.url}/r/{served.code}")
    expect(page.locator("img.scan")).to_be_visible()
    page.get_by_role("link", name="English").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator(".code")).to_have_text(served.code)
    context.close()
