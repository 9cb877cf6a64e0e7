"""A push on our own page in a real browser: an open page has it at once, who is away has it on the next visit, and
either finds it again among what was said.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import text

from content.plan.audience import holdout
from storage import people
from tests.push_pages import PushPages, colleagues, push_pages

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PushPages]:
    with push_pages(tmp_path_factory.mktemp("pushed")) as made:
        yield made


def guest(chromium: Browser, pages: PushPages) -> Page:
    """A page on a phone whose guest agreed to campaign messages and is not in the holdout."""
    app = pages.house.app
    assert app.writer and app.writer.library
    plan = app.writer.library.plan
    while True:
        context = chromium.new_context(
            viewport={"width": 360, "height": 800}, locale="zh-CN", base_url=pages.house.url, reduced_motion="reduce"
        )
        page = context.new_page()
        page.goto("/")
        page.fill("#chat-text", "恢复接收")
        page.press("#chat-text", "Enter")
        expect(page.locator(".said.theirs")).not_to_have_count(0)
        newest = pages.house.read(
            lambda connection: connection.execute(text("SELECT MAX(id) FROM subscriber")).scalar()
        )
        if people.bucket(plan.id, newest) >= holdout(plan):
            return page
        context.close()


def said(page: Page) -> list[str]:
    """All that was said, from top to bottom, by its first lines."""
    return [words.strip().splitlines()[0] for words in page.locator(".said .bubble").all_inner_texts()]


def test_an_open_page_has_it_at_once_a_later_visit_too_and_both_find_it_again(
    chromium: Browser, pages: PushPages
) -> None:
    here, away = guest(chromium, pages), guest(chromium, pages)
    away.goto("about:blank")
    (_, author), (_, approver) = colleagues(pages)
    number = pages.write(author, at="2026-11-25T10:00", **{"text-zh": "周五见，来签到吧"})
    assert pages.approve(approver, number).status_code == 303
    pages.clock.offset += timedelta(days=1, minutes=1)
    pages.until(lambda: pages.push(number).state == "running")
    push = here.locator(".said.theirs", has_text="周五见，来签到吧")
    expect(push).to_have_count(1, timeout=10_000)
    expect(push.locator("button").first).to_have_text("签到")
    pages.until(lambda: pages.counts(number).get("sent/fetched") == 1)
    here.reload()
    expect(push).to_have_count(1)
    push.locator("button", has_text="签到").first.click()
    expect(here.locator(".said.mine", has_text="签到")).to_have_count(1)
    here.wait_for_function("document.querySelectorAll('.said').length >= 5")
    before = said(here)
    here.reload()
    expect(push).to_have_count(1)
    assert said(here) == before  # in its place

    away.goto("/")
    late = away.locator(".said.theirs", has_text="周五见，来签到吧")
    expect(late).to_have_count(1, timeout=10_000)
    pages.until(lambda: pages.counts(number).get("sent/fetched") == 2)
    away.reload()
    expect(late).to_have_count(1)
    for page in (here, away):
        page.context.close()
