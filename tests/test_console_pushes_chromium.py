"""A push's way through real browsers: written on a phone in Chinese, approved at a desk in English and the dark, gone
out while somebody watches; every page scanned for accessibility, none wider than its window, one without scripts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.console_house import Somebody
from tests.push_pages import PushPages, push_pages
from tests.test_console_pages_chromium import Desktop

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PushPages]:
    with push_pages(tmp_path_factory.mktemp("pushes")) as made:
        made.crowd(telegram=5, wechat=3, web=1)
        made.hear(*made.who[0], "退订")
        yield made


@contextmanager
def at_desk(
    chromium: Browser, pages: PushPages, who: Somebody, width: int, language: str, scheme: Any, *, scripts: bool = True
) -> Iterator[Desktop]:
    """Somebody's browser; what it complained about fails the test."""
    context: Any = chromium.new_context(
        viewport={"width": width, "height": 900},
        locale="zh-CN" if language == "zh" else "en-GB",
        color_scheme=scheme,
        has_touch=width < 600,
        reduced_motion="reduce",
        java_script_enabled=scripts,
    )
    pages.house.enter(context, who)
    made = Desktop(context, context.new_page(), pages.house, f"{width}-{language}-{scheme}")
    made.page.on("console", lambda line: made.errors.append(line.text) if line.type in ("error", "warning") else None)
    made.page.on("pageerror", lambda error: made.errors.append(str(error)))
    try:
        yield made
        assert made.errors == []
    finally:
        context.close()


def press(page: Page, name: str) -> None:
    """Go to a button by its value or words and press Enter."""
    page.locator(name).focus()
    page.keyboard.press("Enter")


def test_written_on_a_phone_approved_at_a_desk_and_watched(chromium: Browser, pages: PushPages) -> None:
    author = pages.house.member("publicity", name="小李", language="zh")
    approver = pages.house.member("publicity", name="Maria", language="en")
    with at_desk(chromium, pages, author, 360, "zh", "light") as phone:
        page = phone.page
        phone.open("/console/pushes")
        page.get_by_role("link", name="写推送").click()
        page.fill("#f-name", "周五提醒")
        page.check("input[name=kind][value=poster]")
        page.fill("#f-text-zh", "周五别忘了签到，全家都有积分。\n电话 {hotline}")
        page.fill("#f-text-en", "Check in on Friday: points for the whole family.")
        page.check("input[name=poster][value=opening]")
        page.fill("input[name=button1]", "签到")
        page.fill("#f-at", "2026-11-25T10:00")
        # The script shows it by itself; the button, and no script, would too.
        expect(page.locator("#preview")).to_contain_text("现在发会到 8 人，共找到 9 人", timeout=15_000)
        expect(page.locator("#preview .bubble.wechat .headline").first).to_have_text("周五别忘了签到，全家都有积分。")
        expect(page.locator("#preview .bubble.telegram .choices").first).to_contain_text("签到")
        picture = page.locator("#preview .bubble.telegram img").first
        picture.scroll_into_view_if_needed()
        page.wait_for_function("document.querySelector('#preview .bubble.telegram img').naturalWidth > 0")
        page.wait_for_function("[...document.querySelectorAll('.poster img')].length >= 4")
        for image in page.locator(".poster img").all():
            image.scroll_into_view_if_needed()
        page.wait_for_function("[...document.querySelectorAll('.poster img')].every(i => i.naturalWidth > 0)")
        phone.look("push-new-filled")
        press(page, "button[value=submit]")
        expect(page.locator(".note.done")).to_contain_text("已提交")
        number = int(page.url.rpartition("/")[2])
        expect(page.locator("body")).to_contain_text("这是您写的，要由同事复核")
        phone.look("push-submitted-author")
    with at_desk(chromium, pages, approver, 1280, "en", "dark") as desk:
        page = desk.page
        desk.open("/console/pushes")
        press(page, ".queue a.button >> nth=0")
        page.wait_for_url(f"**/console/pushes/{number}*")
        expect(page.locator("h1")).to_have_text("周五提醒")
        page.wait_for_function("[...document.querySelectorAll('.bubble img')].every(i => i.naturalWidth > 0)")
        desk.look("push-to-approve")
        page.focus("#f-typed")
        page.keyboard.type("9")
        page.keyboard.press("Enter")
        expect(page.locator("[role=alert]")).to_contain_text("type 8")
        desk.errors.clear()  # the browser notes that this was a 400
        page.locator("#f-typed").fill("8")
        page.keyboard.press("Enter")
        expect(page.locator(".note.done")).to_contain_text("it goes out at 2026-11-25 10:00")
        pages.clock.offset += timedelta(days=1, minutes=1)
        pages.until(lambda: pages.push(number).state == "running")
        expect(page.locator(".live")).to_contain_text("It is going out now", timeout=15_000)
        expect(page.locator(".live dl.pair")).to_contain_text("4", timeout=15_000)
        desk.look("push-running")
        page.reload()
        page.locator("summary", has_text="Pause").focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        page.keyboard.type("something is wrong")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator(".note.done")).to_contain_text("Paused")
        desk.look("push-paused")
        expect(page.locator("table", has_text="something is wrong")).to_have_count(1)
    with at_desk(chromium, pages, author, 360, "zh", "dark") as phone:
        phone.open(f"/console/pushes/{number}")


def test_every_page_at_a_desk_in_chinese_and_on_a_phone_in_english(chromium: Browser, pages: PushPages) -> None:
    boss = pages.house.member("publicity", language="en")
    client = pages.house.client(boss)
    weekly = pages.write(client, name="Every Friday", often="weekly", poster="invite", kind="poster")
    pages.write(client, "save", name="A long name of a push that says much", often="cron", cron="0 12 * * mon,wed")
    for width, language, scheme in ((1280, "zh", "light"), (360, "en", "dark")):
        who = pages.house.member("publicity", language=language)
        with at_desk(chromium, pages, who, width, language, scheme) as desk:
            desk.open("/console/pushes")
            desk.open(f"/console/pushes/{weekly}/edit")
            desk.page.goto(f"{pages.house.url}/console/pushes/{weekly}")
            for summary in desk.page.locator("main summary").all():
                summary.click()
            desk.look("push-open")


def test_an_article_is_written_on_a_phone_where_its_kind_is_chosen(chromium: Browser, pages: PushPages) -> None:
    who = pages.house.member("publicity", language="zh")
    with at_desk(chromium, pages, who, 360, "zh", "light") as phone:
        page = phone.page
        page.goto(f"{pages.house.url}/console/pushes/new")
        expect(page.locator("#f-title-zh")).to_be_hidden()
        page.check("input[name=kind][value=article]")
        page.check("input[name=poster][value=opening]")
        page.fill("#f-name", "图文")
        for language, title, words in (("zh", "新年全家一起省", "三个月免费"), ("en", "A new year", "Three months")):
            page.fill(f"#f-text-{language}", words)
            page.fill(f"#f-title-{language}", title)
            page.fill(f"#f-body-{language}", f"## {title}\n**{words}**")
        page.fill("#f-at", "2026-11-29T10:00")
        expect(page.locator("#preview .bubble.wechat .headline").first).to_have_text("新年全家一起省", timeout=15_000)
        phone.look("push-article")
        press(page, "button[value=submit]")
        expect(page.locator(".note.done")).to_contain_text("已提交")


def test_without_scripts_it_is_previewed_and_saved(chromium: Browser, pages: PushPages) -> None:
    who = pages.house.member("publicity", language="en")
    with at_desk(chromium, pages, who, 360, "en", "light", scripts=False) as bare:
        page = bare.page
        page.goto(f"{pages.house.url}/console/pushes/new")
        page.fill("#f-name", "No scripts")
        page.fill("#f-text-zh", "你好")
        page.locator("#f-name").press("Enter")  # the first button of the form is the harmless one
        expect(page.locator("#preview")).to_contain_text("the text is missing in en")
        page.fill("#f-text-en", "Hello")
        press(page, "button[value=preview]")
        expect(page.locator("#preview")).to_contain_text("Now it would reach")
        press(page, "button[value=save]")
        expect(page.locator(".note.done")).to_contain_text("Saved as a draft")
