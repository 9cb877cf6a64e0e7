"""Journeys through the pages about people, the plan, the system and the stop in a real Chromium, at 360 and 1280 px, in
both languages, light and dark, by keyboard alone where a form is filled, with an accessibility scan of each page.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.console_house import ConsoleHouse, serve_console
from tests.people_house import Filled, fill

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
SHOTS = os.environ.get("KOUKOU_SCREENSHOTS", "")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleHouse]:
    with serve_console(tmp_path_factory.mktemp("browser")) as served:
        yield served


@pytest.fixture(scope="module")
def filled(house: ConsoleHouse) -> Filled:
    return fill(house)


@dataclass
class Desktop:
    """One member's browser, and what went wrong in it."""

    context: BrowserContext
    page: Page
    house: ConsoleHouse
    name: str
    errors: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        self.page.goto(f"{self.house.url}{path}")
        self.look(path)

    def look(self, name: str) -> None:
        """Nothing is wider than the window, and the scan finds nothing; kept as a picture when asked for."""
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is too wide"
        wrong = Axe().run(self.page).response["violations"]
        found = [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in wrong]
        assert found == [], (name, found)
        if SHOTS:
            file = name.strip("/").replace("/", "-").replace("?", "-").replace("=", "").replace("&", "-")
            self.page.screenshot(path=f"{SHOTS}/{self.name}-{file}.png", full_page=True)


@pytest.fixture
def desktop(request: pytest.FixtureRequest, chromium: Browser, house: ConsoleHouse) -> Iterator[Desktop]:
    width, language, scheme, role = request.param
    context: Any = chromium.new_context(
        viewport={"width": width, "height": 800},
        locale="zh-CN" if language == "zh" else "en-GB",
        color_scheme=scheme,
        has_touch=width < 600,
        reduced_motion="reduce",
    )
    house.enter(context, house.member(role, language=language))
    context.add_cookies([{"name": "koukou_language", "value": language, "domain": "127.0.0.1", "path": "/console"}])
    page = context.new_page()
    made = Desktop(context, page, house, f"{width}-{language}-{scheme}")
    page.on("console", lambda line: made.errors.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: made.errors.append(str(error)))
    page.on("dialog", lambda dialog: made.errors.append(f"dialog {dialog.message}"))
    try:
        yield made
        assert made.errors == []
    finally:
        context.close()


def each(role: str) -> Any:
    looks = [(360, "zh", "light"), (360, "en", "dark"), (1280, "zh", "dark"), (1280, "en", "light")]
    return pytest.mark.parametrize(
        "desktop", [(*one, role) for one in looks], indirect=True, ids=lambda one: "-".join(map(str, one))
    )


@each("service")
def test_a_member_finds_somebody_by_keyboard_and_sees_more_after_a_purpose(desktop: Desktop, filled: Filled) -> None:
    page = desktop.page
    desktop.open("/console/people")
    page.focus("#f-q")
    page.keyboard.type("nobody-of-that-name")
    page.keyboard.press("Enter")
    expect(page.locator("[role=status]")).to_have_count(1)
    desktop.look("people-none")
    page.focus("#f-q")
    page.keyboard.press("Control+A")
    page.keyboard.type(str(filled.one))
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/console/people/{filled.one}")
    desktop.look("person")
    assert filled.canaries[0] not in page.content()
    page.focus("#f-purpose")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".note.warn")).to_be_visible()
    expect(page.locator("body")).to_contain_text(filled.canaries[0])
    desktop.look("person-revealed")
    for link in page.locator(".jump a").all():
        target = link.get_attribute("href")
        assert target and page.locator(target).count() == 1, target


@each("planning")
def test_plan_system_and_stop_are_read_and_pressed(desktop: Desktop, filled: Filled) -> None:
    page = desktop.page
    desktop.open("/console/plan")
    page.locator("details summary").first.focus()
    page.keyboard.press("Enter")
    desktop.look("plan-open")
    desktop.open("/console/plan/diff?from=1&to=1")
    desktop.open("/console/system")
    before = page.locator(".live .hint").first.inner_text()
    expect(page.locator(".live .hint").first).not_to_have_text(before, timeout=15_000)
    desktop.look("system-later")
    desktop.open("/console/stop")
    for _ in range(2):  # stop, and resume
        page.focus("#f-why")
        page.keyboard.type("平台在维护 maintenance")
        page.keyboard.press("Tab")
        page.keyboard.type(page.locator("input[name=shown]").get_attribute("value") or "")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator(".note.done")).to_be_visible()
        desktop.look(f"stop-{_}")
        desktop.open("/console/system")
        desktop.open("/console/stop")


@each("planning")
def test_without_scripts_every_page_says_the_same(desktop: Desktop, chromium: Browser, filled: Filled) -> None:
    bare = chromium.new_context(java_script_enabled=False)
    try:
        bare.add_cookies(desktop.context.cookies())  # type: ignore[arg-type]
        page = bare.new_page()
        for path in ("/console/system", f"/console/people/{filled.one}", "/console/plan", "/console/stop"):
            page.goto(f"{desktop.house.url}{path}")
            assert page.locator("h1").count() == 1 and page.locator("h2").count() >= 1, path
    finally:
        bare.close()
