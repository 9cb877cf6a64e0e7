"""The console in a real Chromium: the first log-in with a keyboard alone, then every page at 360 and 1280 px, in both
languages, light and dark, with an accessibility scan. KOUKOU_TEST_SHOTS names a folder for screenshots.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pyotp
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from campaigns import staff as acts
from storage.store import machine_now
from storage.tables import instant
from tests.console_house import ConsoleHouse, Somebody, serve_console

pytestmark = pytest.mark.browser

EVERY = list(itertools.product((360, 1280), ("zh", "en"), ("light", "dark")))
HOSTILE = '"><img src=x onerror=alert(1)>'


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleHouse]:
    with serve_console(tmp_path_factory.mktemp("console")) as served:
        yield served


@pytest.fixture(scope="module")
def boss(house: ConsoleHouse) -> Somebody:
    """An administrator among a few others, with something in the log."""
    boss = house.member("administrator", name="王芳")
    house.member("planning", name="li.lei")
    gone = house.member("service", name="zhang.wei", branch="renmin")
    house.member("handling", "service", name="a-rather-long-name.of-somebody@example")
    house.act(lambda desk: acts.activate(desk, gone.id, False))
    for place in range(60):
        house.act(lambda desk, place=place: desk.note("plan.applied", "spring", place + 1, {"files": 12}))
    return boss


class Watched:
    """A page and what went wrong on it."""

    def __init__(self, browser: Browser, url: str, width: int, language: str, scheme: Any, **more: Any) -> None:
        self.context = browser.new_context(
            base_url=url,
            viewport={"width": width, "height": 800},
            locale="zh-CN" if language == "zh" else "en-GB",
            color_scheme=scheme,
            has_touch=width < 600,
            reduced_motion="reduce",
            **more,
        )
        self.page: Page = self.context.new_page()
        self.width, self.language, self.scheme, self.host = width, language, scheme, urlsplit(url).netloc
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._heard)
        self.page.on("request", self._asked)

    def _heard(self, line: Any) -> None:
        if line.type in ("error", "warning") and "status of 4" not in line.text:
            self.errors.append(line.text)

    def _asked(self, request: Any) -> None:
        if urlsplit(request.url).netloc not in (self.host, ""):
            self.errors.append(f"asked {request.url}")

    def sound(self, name: str) -> None:
        """Nothing wider than the window, nothing a scan finds, buttons big enough for a thumb, nothing in the log."""
        if shots := os.environ.get("KOUKOU_TEST_SHOTS"):
            file = f"console-{name}-{self.width}-{self.language}-{self.scheme}.png"
            self.page.screenshot(path=f"{shots}/{file}", full_page=True)
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        found = Axe().run(self.page).response["violations"]
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == [], name
        for button in self.page.locator("button:visible, .button:visible, nav a:visible").all():
            box = button.bounding_box()
            assert box and box["height"] >= 43.5, (name, button.inner_text())
        assert self.errors == [], name

    def walk_to(self, words: str, presses: int = 40) -> None:
        """Press Tab until what has these words has the focus, and see that it shows."""
        for _ in range(presses):
            self.page.keyboard.press("Tab")
            active = self.page.evaluate(
                "(() => { const e = document.activeElement; return [e.innerText || e.value || e.name || '', "
                "getComputedStyle(e).outlineStyle, e.name || '']; })()"
            )
            if words in (active[0].strip(), active[2]):
                assert active[1] == "solid", f"{words} has the focus and does not show it"
                return
        raise AssertionError(f"{words} cannot be reached by Tab")


@pytest.mark.parametrize(("width", "language", "scheme"), EVERY)
def test_every_page_is_sound(
    house: ConsoleHouse, chromium: Browser, boss: Somebody, width: int, language: str, scheme: str
) -> None:
    house.run(lambda connection: _speak(connection, boss, language))
    watched = Watched(chromium, house.url, width, language, scheme)
    page = watched.page
    page.goto("/console/login")
    watched.sound("login")
    page.get_by_label("Name" if language == "en" else "姓名").fill("nobody")
    page.get_by_label("Password" if language == "en" else "密码").fill("nothing")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    watched.sound("login-wrong")
    house.enter(watched.context, boss)
    pages = {
        "home": "/console",
        "me": "/console/me",
        "password": "/console/password",
        "second": "/console/second",
        "staff": "/console/staff",
        "staff-new": "/console/staff/new",
        "audit": "/console/audit",
        "audit-empty": "/console/audit?day=2001-01-01",
        "nowhere": "/console/nowhere",
    }
    for name, path in pages.items():
        page.goto(path)
        watched.sound(name)
        assert page.locator("html").get_attribute("lang") == ("en" if language == "en" else "zh-CN")
    page.goto("/console/staff")
    page.get_by_role("link", name="a-rather-long-name").click()
    page.wait_for_url("**/console/staff/*")  # a click does not wait for the page it leads to
    watched.sound("member")
    watched.context.close()


def _speak(connection: Any, somebody: Somebody, language: str) -> None:
    from storage import staff

    staff.change(connection, somebody.id, language=language)


def test_the_first_log_in_with_a_keyboard_and_without_scripts(house: ConsoleHouse, chromium: Browser) -> None:
    member = house.member("administrator", name="first-of-all")
    soon = house.read(lambda connection: instant(machine_now(connection) + 3_600_000_000))

    def one_time(connection: Any) -> None:
        from storage import staff

        staff.change(connection, member.id, totp=None, change_by=soon)

    house.run(one_time)
    watched = Watched(chromium, house.url, 360, "zh", "light", java_script_enabled=True)
    page, keys = watched.page, watched.page.keyboard
    page.goto("/console")
    expect(page.locator("#f-name")).to_be_focused()
    keys.type(member.name)
    keys.press("Tab")
    keys.type(member.password)
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("设置新密码")
    watched.sound("password-first")
    watched.walk_to("new")
    keys.type("seven quiet boats at dawn")
    keys.press("Tab")
    keys.type("seven quiet boats at dawn")
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("启用动态口令")
    watched.sound("second-first")
    key = page.locator(".big-code").inner_text().replace(" ", "")
    watched.walk_to("code")
    keys.type(pyotp.TOTP(key).now())
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("恢复码")
    assert page.locator(".codes li").count() == 10
    watched.sound("recovery")
    watched.walk_to("已经收好，继续")
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("您好，first-of-all")
    page.keyboard.press("Home")
    watched.walk_to("员工")
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("员工和权限")
    watched.walk_to("添加员工")
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("添加员工")
    watched.walk_to("name")
    keys.type(HOSTILE)
    keys.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("姓名要有")
    assert page.locator("#f-name").input_value() == HOSTILE
    page.locator("#f-name").fill("小陈")
    watched.walk_to("roles")
    keys.press("Space")
    watched.walk_to("添加员工")
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("一次性密码")
    watched.sound("given")
    watched.walk_to("退出登录")
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("登录管理台")
    watched.context.close()


def test_a_member_reads_the_other_language_without_scripts(house: ConsoleHouse, chromium: Browser) -> None:
    member = house.member("planning")
    watched = Watched(chromium, house.url, 360, "zh", "dark", java_script_enabled=False)
    house.enter(watched.context, member)
    watched.page.goto("/console/audit")
    watched.page.get_by_role("button", name="English").click()
    expect(watched.page.get_by_role("heading", level=1)).to_have_text("Audit log")
    watched.page.get_by_label("Who").select_option("operator")
    watched.page.get_by_role("button", name="Filter").click()
    expect(watched.page.get_by_role("heading", level=1)).to_have_text("Audit log")
    watched.context.close()


def test_a_link_from_another_site_opens_the_page_for_somebody_who_is_logged_in(
    house: ConsoleHouse, chromium: Browser
) -> None:
    watched = Watched(chromium, house.url, 360, "zh", "light")
    house.enter(watched.context, house.member("planning"))
    elsewhere = f"<a href='{house.url}/console/audit'>x</a>"
    watched.page.route(
        "http://elsewhere.example/", lambda route: route.fulfill(body=elsewhere, content_type="text/html")
    )
    watched.page.goto("http://elsewhere.example/")
    watched.page.get_by_role("link").click()
    expect(watched.page.get_by_role("heading", level=1)).to_have_text("操作记录")
    watched.context.close()
