"""A journey through proposed changes in a real Chromium: customer service proposes from a phone, planning approves; at
360 and 1280 px, in both languages, light and dark, by keyboard, with an accessibility scan of each page.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from campaigns import proposals as acts
from campaigns.asked import Asked
from storage import people
from tests.console_house import ConsoleHouse
from tests.people_house import HOSTILE, Filled
from tests.test_console_pages_chromium import Desktop, filled, house  # noqa: F401  (fixtures)

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
LOOKS = [(360, "zh", "light"), (360, "en", "dark"), (1280, "zh", "dark"), (1280, "en", "light")]
LIST = "/console/proposals"
ENDS = [LOOKS[0], LOOKS[3]]
looks, ends = (pytest.mark.parametrize("look", some, ids=lambda one: "-".join(map(str, one))) for some in (LOOKS, ENDS))


@contextmanager
def desk(browser: Browser, served: ConsoleHouse, role: str, look: Any, **more: Any) -> Iterator[Desktop]:
    """The browser of a new member of this role."""
    width, language, scheme = look
    context: Any = browser.new_context(
        viewport={"width": width, "height": 800},
        locale="zh-CN" if language == "zh" else "en-GB",
        color_scheme=scheme,
        has_touch=width < 600,
        reduced_motion="reduce",
        **more,
    )
    name = f"{role}-{width}{language}-{secrets.token_hex(2)}"
    served.enter(context, served.member(role, name=name, language=language))
    page = context.new_page()
    made = Desktop(context, page, served, f"{width}-{language}-{scheme}")

    def heard(line: Any) -> None:
        if line.type in ("error", "warning") and "status of 4" not in line.text:
            made.errors.append(line.text)

    page.on("console", heard)
    page.on("pageerror", lambda error: made.errors.append(str(error)))
    page.on("dialog", lambda dialog: made.errors.append(f"dialog {dialog.message}"))
    try:
        yield made
        assert made.errors == []
    finally:
        context.close()


def tab_to(page: Any, selector: str, presses: int = 60) -> None:
    """Press Tab until this has the focus."""
    for _ in range(presses):
        page.keyboard.press("Tab")
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached by Tab")


def points(served: ConsoleHouse, number: int) -> int:
    return int(served.read(people.balances, number).get("points", 0))


@looks
def test_service_proposes_and_planning_approves(
    look: Any,
    chromium: Browser,
    house: ConsoleHouse,  # noqa: F811
    filled: Filled,  # noqa: F811
) -> None:
    before, amount = points(house, filled.one), str(60 + LOOKS.index(look))
    with desk(chromium, house, "service", look) as service:
        page = service.page
        page.goto(f"{house.url}/console/people/{filled.one}")
        page.locator(f'a[href="/console/people/{filled.one}/propose"]').focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/propose")
        service.look("proposals-for-person")
        tab_to(page, "#f-amount")
        page.keyboard.type("abc")
        tab_to(page, "#f-why")
        page.keyboard.type(f"快递丢失，客服已核对 {HOSTILE}")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("[role=alert]")).to_be_visible()
        service.look("proposals-refused")
        page.fill("#f-amount", amount)
        page.focus("#f-why")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_url("**/proposals/*")
        address = page.url.removeprefix(house.url)
        service.look("proposal-own")
        assert points(house, filled.one) == before
    with desk(chromium, house, "planning", look) as planning:
        page = planning.page
        planning.open("/console")
        page.locator(f'.note a[href="{LIST}"]').focus()
        page.keyboard.press("Enter")
        page.wait_for_url(f"**{LIST}")
        planning.look("proposals")
        page.locator(f'a[href="{address}"]').focus()
        page.keyboard.press("Enter")
        page.wait_for_url(f"**{address}")
        planning.look("proposal")
        tab_to(page, "#f-typed")
        page.keyboard.type("2")
        page.keyboard.press("Enter")
        expect(page.locator("[role=alert]")).to_be_visible()
        assert points(house, filled.one) == before
        page.fill("#f-typed", "1")
        page.keyboard.press("Enter")
        expect(page.locator(".note.done")).to_be_visible()
        planning.look("proposal-approved")
        assert points(house, filled.one) == before + int(amount)


@ends
def test_a_list_is_mended_in_place_without_scripts(
    look: Any,
    chromium: Browser,
    house: ConsoleHouse,  # noqa: F811
    filled: Filled,  # noqa: F811
) -> None:
    extra = 80 + LOOKS.index(look)
    rows = [f"{filled.one},{extra}", f"{filled.friends[0]},一百", f"nobody-{HOSTILE.replace(',', '')},5"]
    content = "\r\n".join(["用户,数量", *rows]).encode("gb18030")
    with desk(chromium, house, "service", look) as service:
        page = service.page
        page.goto(f"{house.url}{LIST}/new?way=sheet")
        page.set_input_files("#f-file", {"name": "名单.csv", "mimeType": "text/csv", "buffer": content})
        page.fill("#f-why", "摆摊点补发 booth")
        page.press("#f-why", "Tab")
        page.keyboard.press("Enter")
        expect(page.locator(".faults li")).to_have_count(1)
        service.look("proposals-faults")
        page.fill("#f-rows", f"用户,数量\n{filled.one},{extra}\n{filled.friends[0]},100")
        page.press("#f-rows", "Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_url("**/proposals/*")
    with desk(chromium, house, "service", look, java_script_enabled=False) as bare:
        bare.page.goto(page_of := f"{house.url}{LIST}/new?way=stock")
        bare.page.fill("#f-amount", str(extra))
        bare.page.fill("#f-why", "到货")
        bare.page.click("main form button")
        assert bare.page.url != page_of and "/proposals/" in bare.page.url


@ends
def test_a_movement_is_taken_back_and_a_long_proposal_is_read(
    look: Any,
    chromium: Browser,
    house: ConsoleHouse,  # noqa: F811
    filled: Filled,  # noqa: F811
) -> None:
    place = LOOKS.index(look)

    def long(desk_: Any) -> int:
        everybody = [filled.one, *filled.friends, filled.north]
        asked = [Asked(n + 1, str(one), 200 + n + place) for n, one in enumerate(everybody)]
        asked[-1] = Asked(len(everybody), str(filled.north), 1_000_000 + place)
        library = house.app.writer.library  # type: ignore[union-attr]
        made = acts.propose(desk_, library, "opening", "chances", asked, f"long{place}", vault=house.app.vault)
        return made.number

    number = house.act(long, "旧会员系统导入 " + "很长的说明 " * 30)
    with desk(chromium, house, "service", look) as service:
        page = service.page
        service.open(f"/console/people/{filled.one}")
        page.locator('a[href*="/reverse?movement="]').nth(place + 1).focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/reverse?*")
        service.look("reverse")
        page.fill("#f-why", "记错了")
        page.press("#f-why", "Tab")
        page.keyboard.press("Enter")
        page.wait_for_url("**/proposals/*")
        page.click("button.quiet:has-text('撤回'), main button.quiet:has-text('Withdraw')")
        expect(page.locator(".note.done")).to_be_visible()
        service.look("withdrawn")
        service.open(LIST)
    with desk(chromium, house, "planning", look) as planning:
        planning.open(f"{LIST}/{number}")
        planning.page.fill("#f-why", "名单不全 incomplete")
        planning.page.press("#f-why", "Tab")
        planning.page.keyboard.press("Enter")
        expect(planning.page.locator(".note.done")).to_be_visible()
        planning.look("declined")
