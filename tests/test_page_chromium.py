"""The campaign page and its chat in a real Chromium against the real service: at 360 and 1280 px, in Chinese and
English, light and dark, offline and back, with an accessibility scan.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.serving import ROOT, SECRET, free_port

pytestmark = pytest.mark.browser

WORDS = {
    "zh": {"online": "在线", "checkin": "签到", "done": "签到成功", "twice": "已经签到"},
    "en": {"online": "Online", "checkin": "Check in", "done": "Checked in", "twice": "already"},
}


@pytest.fixture(scope="module")
def service_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the service as users run it, with the shipped plan and an empty SQLite database."""
    folder = tmp_path_factory.mktemp("page")
    url = f"http://127.0.0.1:{free_port()}"
    config = folder / "config.toml"
    config.write_text(
        f'[service]\nlisten = "{urlsplit(url).netloc}"\npublic_url = "{url}"\n'
        f'plan = "{ROOT}/content/family-network"\n'
        f'[storage]\nurl = "sqlite:///{folder}/page.db"\nsecret = "{SECRET}"\n[channels.web]\nguests_per_hour = 200\n'
    )
    command = [sys.executable, "-m", "bot", "--config", str(config), "serve"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KOUKOU_")}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        _until_ready(url, process, folder / "log")
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert "Traceback" not in (folder / "log").read_text()


def _until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text())


@dataclass
class Visit:
    """One person's browser on the page, and what went wrong there."""

    context: BrowserContext
    page: Page
    language: str
    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    @property
    def words(self) -> dict[str, str]:
        return WORDS[self.language]

    @property
    def theirs(self) -> Any:
        return self.page.locator(".said.theirs")

    @property
    def mine(self) -> Any:
        return self.page.locator(".said.mine")

    def greeted(self) -> None:
        """Move as people do, and be greeted."""
        self.page.mouse.move(20, 200)
        expect(self.theirs).to_have_count(1)

    def say(self, text: str) -> None:
        self.page.fill("#chat-text", text)
        self.page.press("#chat-text", "Enter")

    def fits(self) -> bool:
        """Whether nothing is wider than the window."""
        return bool(
            self.page.evaluate(
                "document.documentElement.scrollWidth <= innerWidth && "
                "document.getElementById('chat-log').scrollWidth <= document.getElementById('chat-log').clientWidth"
            )
        )

    def moved(self) -> float:
        """How far things were moved about while nobody touched the page (cumulative layout shift)."""
        return float(
            self.page.evaluate(
                "new Promise((done) => { let sum = 0; new PerformanceObserver((list) => { for (const e of "
                "list.getEntries()) if (!e.hadRecentInput) sum += e.value; })"
                ".observe({ type: 'layout-shift', buffered: true }); setTimeout(() => done(sum), 300); })"
            )
        )


@pytest.fixture
def visit(request: pytest.FixtureRequest, chromium: Browser, service_url: str) -> Iterator[Visit]:
    width, language, scheme = getattr(request, "param", (360, "zh", "light"))
    context = chromium.new_context(
        viewport={"width": width, "height": 800},
        locale="zh-CN" if language == "zh" else "en-GB",
        color_scheme=scheme,
        has_touch=width < 600,
        reduced_motion="reduce",
    )
    page = context.new_page()
    found = Visit(context, page, language)
    page.on("console", lambda line: found.errors.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: found.errors.append(str(error)))
    page.on("request", lambda asked: found.hosts.add(urlsplit(asked.url).netloc))
    try:
        page.goto(service_url)
        expect(page.locator("#chat-state")).to_have_text(found.words["online"])
        yield found
        assert not found.errors
        assert found.hosts == {urlsplit(service_url).netloc}
    finally:
        context.close()


EVERY = list(itertools.product((360, 1280), ("zh", "en"), ("light", "dark")))


@pytest.mark.parametrize("visit", EVERY, indirect=True, ids=lambda each: "-".join(map(str, each)))
def test_a_person_opens_chats_taps_and_comes_back(visit: Visit) -> None:
    page, words = visit.page, visit.words
    assert not visit.context.cookies(), "a look made a guest"
    assert Axe().run(page).violations_count == 0
    visit.greeted()
    picture = visit.theirs.first.locator("img")
    expect(picture).to_have_count(1)
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    assert picture.get_attribute("alt")
    page.get_by_role("button", name=words["checkin"], exact=True).click()
    expect(visit.theirs.last).to_contain_text(words["done"])
    visit.say(words["checkin"])
    expect(visit.theirs.last).to_contain_text(words["twice"])
    for button in page.locator(".log button, .write button, .bar a:visible").all():
        box = button.bounding_box()
        assert box and box["height"] >= 44, button.inner_text()
    assert visit.fits() and visit.moved() < 0.02
    assert [one["impact"] for one in Axe().run(page).response["violations"]] == []
    said = [bubble.inner_text() for bubble in page.locator(".bubble").all()]
    page.reload()
    expect(visit.theirs).to_have_count(3)
    assert [bubble.inner_text() for bubble in page.locator(".bubble").all()] == said
    assert page.locator("#chat-log").evaluate("log => log.scrollHeight - log.scrollTop - log.clientHeight") < 200


def test_what_was_written_without_a_network_is_sent_once_it_is_back(visit: Visit) -> None:
    visit.greeted()
    visit.context.set_offline(True)
    visit.say("签到")
    expect(visit.page.locator("#chat-state")).to_have_text("正在重连…")
    expect(visit.mine.locator(".mark")).to_have_text("等待重发")
    visit.say("帮助")
    visit.context.set_offline(False)
    expect(visit.theirs).to_have_count(3)
    expect(visit.theirs.nth(1)).to_contain_text("签到成功")
    expect(visit.page.locator("#chat-state")).to_have_text("在线")
    assert visit.mine.locator(".mark").all_inner_texts() == ["", ""]
    visit.errors.clear()  # the browser's own words about the missing network


def test_an_answer_lost_on_the_way_is_asked_for_again_and_takes_effect_once(visit: Visit) -> None:
    visit.greeted()
    keys = []

    def lose(route: Any) -> None:
        keys.append(route.request.post_data_json["key"])
        if len(keys) == 1:
            route.fetch()
            route.abort()
        else:
            route.continue_()

    visit.page.route("**/chat/send", lose)
    visit.say("签到")
    expect(visit.theirs.last).to_contain_text("签到成功")
    assert len(keys) == 2 and len(set(keys)) == 1
    visit.errors.clear()


def test_a_reload_keeps_what_was_not_sent_yet(visit: Visit) -> None:
    visit.greeted()
    visit.page.route("**/chat/send", lambda route: route.abort())
    visit.say("签到")
    expect(visit.mine.locator(".mark")).to_have_text("等待重发")
    visit.page.unroute_all(behavior="wait")
    visit.page.reload()
    expect(visit.mine).to_have_count(1)
    expect(visit.theirs.last).to_contain_text("签到成功")
    visit.errors.clear()


def test_everything_is_done_with_a_keyboard_alone(visit: Visit) -> None:
    page = visit.page
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    expect(visit.theirs).to_have_count(1)
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.say") == "签到":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(visit.theirs.last).to_contain_text("签到成功")
    expect(page.locator("#chat-log")).to_be_focused()
    for _ in range(2):  # past the greeting's picture
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.choices') !== null")


def test_the_page_can_be_read_in_the_other_language(visit: Visit) -> None:
    visit.page.get_by_role("link", name="English").click()
    expect(visit.page.locator("html")).to_have_attribute("lang", "en")
    expect(visit.page.get_by_role("heading", name="Offers")).to_be_visible()


def test_the_way_to_apply_leads_into_the_chat(visit: Visit) -> None:
    visit.greeted()
    visit.page.get_by_role("link", name="在聊天里办理").click()
    expect(visit.mine.last).to_contain_text("办理")
    expect(visit.theirs).to_have_count(2)
    expect(visit.page.locator("#chat-text")).to_be_in_viewport()


def test_without_scripts_the_page_still_says_everything(chromium: Browser, service_url: str) -> None:
    context = chromium.new_context(java_script_enabled=False, locale="zh-CN", viewport={"width": 360, "height": 800})
    page = context.new_page()
    page.goto(service_url)
    expect(page.locator("#chat-plain")).to_contain_text("客服热线")
    expect(page.locator("#rules li").first).to_be_visible()
    expect(page.locator("#chat-text")).to_be_disabled()
    context.close()
