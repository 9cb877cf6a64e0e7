"""The pages of surveys in real browsers: on a phone and at a desk, in both languages, light and dark, by keyboard,
scanned for accessibility, none wider than its window.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.console_house import ConsoleHouse, serve_console
from tests.survey_house import plain
from tests.test_console_pages_chromium import Desktop, desktop  # noqa: F401
from tests.test_console_surveys import answer, change

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleHouse]:
    with serve_console(tmp_path_factory.mktemp("surveys")) as served:
        served.run(lambda connection: change(served, connection, plain()))
        for number in range(7):
            answer(served, "wechat", f"oW{number}", "5", "1", f"说得很长很长的话{number}", "10")
            answer(served, "telegram", str(7000 + number), "2", "3", "跳过", *(["4"] if number < 3 else []))
        yield served


@pytest.mark.parametrize(
    "desktop",
    [
        (360, "zh", "light", "publicity"),
        (360, "en", "dark", "publicity"),
        (1280, "zh", "dark", "publicity"),
    ],
    indirect=True,
    ids=lambda one: "-".join(map(str, one)),
)
def test_figures_are_read_for_a_group_and_words_after_a_purpose(desktop: Desktop) -> None:  # noqa: F811
    page = desktop.page
    desktop.open("/console/surveys")
    page.locator("tbody a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/surveys/service*")
    desktop.look("survey")
    page.focus("#f-rule")
    page.keyboard.type("channel is telegram")
    page.keyboard.press("Enter")
    page.wait_for_url("**rule=channel*")
    expect(page.locator("section.card", has_text="channel is telegram")).not_to_have_count(0)
    expect(page.locator(".note.warn")).to_have_count(1)  # three of them answered the last question
    desktop.look("survey-group")
    page.fill("#f-rule", "channel is web")
    page.keyboard.press("Enter")
    expect(page.locator("[role=status]")).to_have_count(1)
    desktop.look("survey-few")
    assert "说得很长" not in page.content()
    page.locator("select[name=purpose]").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#words")).to_be_visible()
    expect(page.locator("body")).to_contain_text("说得很长很长的话6")
    desktop.look("survey-words")
