"""Getting into the console and out of it again, over HTTP against the real service: what a guesser, a thief of cookies
and a careless proxy meet, and what the owner does.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest
from sqlalchemy import text

from bot.console import locks
from bot.console.door import safe_next
from storage import staff, staff_guess
from tests.console_house import PASSWORD, Client, ConsoleHouse, Somebody, serve_console

NEW = "seven quiet boats at dawn"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleHouse]:
    with serve_console(tmp_path_factory.mktemp("entry"), more="[channels.web]\nenabled = false\n") as served:
        yield served


@pytest.fixture(autouse=True)
def no_guesses(house: ConsoleHouse) -> None:
    house.run(lambda connection: connection.execute(text("DELETE FROM staff_guess")))


def code_now(somebody: Somebody, offset: int = 0) -> str:
    return pyotp.TOTP(somebody.secret).at(int(time.time()) + offset * 30)


def token_of(client: Client) -> str | None:
    return client.cookies.get("koukou_staff")


def test_a_member_logs_in_sees_home_and_logs_out(house: ConsoleHouse) -> None:
    member = house.member("service")
    client = house.stranger()
    answer = client.log_in(member.name.upper())
    assert answer.status_code == 303 and answer.headers["location"] == "/console"
    cookie = next(line for line in answer.headers.get_list("set-cookie") if line.startswith("koukou_staff="))
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Path=/console" in cookie
    home = client.get("/console")
    assert home.status_code == 200 and member.name in home.text and "客户服务" in home.text
    token = token_of(client)
    assert client.submit("/console/logout").headers["location"] == "/console/login"
    client.cookies.set("koukou_staff", token or "", domain="127.0.0.1", path="/console")
    assert client.get("/console").status_code == 303


def test_a_stranger_cannot_tell_a_wrong_name_from_a_wrong_password(house: ConsoleHouse) -> None:
    member, gone = house.member("service"), house.member("service")
    house.run(lambda connection: staff.change(connection, gone.id, active=False))
    shown = set()
    for name, password in ((member.name, "wrong"), ("nobody-at-all", PASSWORD), (gone.name, PASSWORD)):
        answer = house.stranger().log_in(name, password)
        assert answer.status_code == 401
        shown.add(re.sub(r'value="[^"]*"|autofocus', "", answer.text))
    assert len(shown) == 1


def test_a_session_from_before_the_log_in_is_worth_nothing_after_it(house: ConsoleHouse) -> None:
    member = house.member("service")
    client = house.stranger()
    planted = "A" * 43
    client.cookies.set("koukou_staff", planted, domain="127.0.0.1", path="/console")
    client.log_in(member.name)
    assert token_of(client) != planted
    thief = house.stranger()
    thief.cookies.set("koukou_staff", planted, domain="127.0.0.1", path="/console")
    assert thief.get("/console").status_code == 303
    # Logging in again where one is logged in ends the session that was there.
    first = token_of(client)
    page = client.get("/console/me")
    token = re.search(r'name="csrf" value="(\w+)"', page.text)
    assert token
    client.post("/console/login", data={"csrf": token[1], "name": member.name, "password": PASSWORD})
    assert token_of(client) != first
    thief.cookies.set("koukou_staff", first or "", domain="127.0.0.1", path="/console")
    assert thief.get("/console").status_code == 303


def test_what_is_stored_opens_nothing(house: ConsoleHouse) -> None:
    member = house.member("service")
    client = house.client(member)
    token = token_of(client)
    stored = [row[0] for row in house.sql("SELECT digest FROM staff_session")]
    assert token not in stored and len(stored[0]) == 64
    client.cookies.set("koukou_staff", stored[0][:43], domain="127.0.0.1", path="/console")
    assert client.get("/console").status_code == 303


def test_a_one_time_password_leads_to_a_new_one_and_nowhere_else(house: ConsoleHouse) -> None:
    boss, member = house.client(house.member("administrator")), house.member("service")
    given = boss.submit(f"/console/staff/{member.id}/reset")
    found = re.search(r'class="big-code">([\w-]+)<', given.text)
    assert found, given.text
    client = house.stranger()
    assert client.log_in(member.name).status_code == 401
    assert client.log_in(member.name, found[1]).status_code == 303
    for path in ("/console", "/console/me"):
        assert client.get(path).headers["location"] == "/console/password"
    assert client.submit("/console/me/sessions/end").headers["location"] == "/console/password"
    for new, again, why in (
        ("short", "short", "10 到 128"),
        ("1234567890", "1234567890", "太容易猜"),
        (member.name + member.name, member.name + member.name, "太容易猜"),
        (NEW, NEW + "x", "不一样"),
        (found[1], found[1], "换一个"),
    ):
        answer = client.submit("/console/password", {"new": new, "again": again})
        assert answer.status_code == 400 and why in answer.text, new
    assert client.submit("/console/password", {"new": NEW, "again": NEW}).status_code == 303
    assert client.get("/console").status_code == 200
    assert house.stranger().log_in(member.name, found[1]).status_code == 401
    assert house.stranger().log_in(member.name, NEW).status_code == 303


def test_a_one_time_password_ends_by_itself(house: ConsoleHouse) -> None:
    member = house.member("service")
    house.run(lambda connection: connection.execute(text(f"UPDATE staff SET change_by = 1 WHERE id = {member.id}")))
    assert house.stranger().log_in(member.name).status_code == 401


def test_an_administrator_must_set_up_a_second_factor_before_anything_else(house: ConsoleHouse) -> None:
    member = house.member("administrator")
    house.run(lambda connection: staff.change(connection, member.id, totp=None))
    client = house.stranger()
    client.log_in(member.name)
    for path in ("/console", "/console/staff", "/console/audit", "/console/me"):
        assert client.get(path).headers["location"] == "/console/second", path
    page = client.get("/console/second")
    key = re.search(r'class="big-code">([A-Z2-7 ]+)<', page.text)
    assert key and key[1] in client.get("/console/second").text  # a reload keeps what was scanned
    assert "data:image/png;base64," in page.text
    assert client.submit("/console/second", {"code": "000000"}).status_code == 400
    totp = pyotp.TOTP(key[1].replace(" ", ""))
    done = client.submit("/console/second", {"code": totp.now()})
    codes = re.findall(r"<li>([a-z2-9]{5}-[a-z2-9]{5})</li>", done.text)
    assert len(codes) == 10 and len(set(codes)) == 10
    assert client.get("/console/staff").status_code == 200
    # The code that proved it is used up: logging in takes the next one, or a recovery code, once.
    other = house.stranger()
    assert other.log_in(member.name).headers["location"].startswith("/console/code")
    assert other.get("/console/staff").headers["location"] == "/console/code"
    assert other.submit("/console/code", {"code": totp.now()}).status_code == 401
    assert other.submit("/console/code", {"code": codes[0].upper()}).status_code == 303
    assert "还剩 9 个" in other.get("/console").text
    third = house.stranger()
    third.log_in(member.name)
    assert third.submit("/console/code", {"code": codes[0]}).status_code == 401
    kinds = [row[0] for row in house.sql("SELECT kind FROM event WHERE actor = :a ORDER BY id", a=f"staff:{member.id}")]
    assert "staff.second_set" in kinds and "staff.entered_by_recovery" in kinds


def test_a_code_is_good_once_and_the_half_open_session_never_is(house: ConsoleHouse) -> None:
    member = house.member("administrator")
    first = house.stranger()
    first.log_in(member.name)
    half = token_of(first)
    code = code_now(member)
    assert first.submit("/console/code", {"code": code}).headers["location"] == "/console"
    assert token_of(first) != half
    assert first.get("/console/staff").status_code == 200
    second = house.stranger()
    second.log_in(member.name)
    assert second.submit("/console/code", {"code": code}).status_code == 401
    assert second.submit("/console/code", {"code": code_now(member, 1)}).status_code == 303
    third = house.stranger()
    third.log_in(member.name)
    assert third.submit("/console/code", {"code": code}).status_code == 401  # an earlier one than the last used
    thief = house.stranger()
    thief.cookies.set("koukou_staff", half or "", domain="127.0.0.1", path="/console")
    assert thief.get("/console").headers["location"].startswith("/console/login")


def test_codes_cannot_be_guessed_on(house: ConsoleHouse) -> None:
    member = house.member("administrator")
    client = house.stranger()
    client.log_in(member.name)
    answers = [client.submit("/console/code", {"code": f"{guess:06d}"}).status_code for guess in range(8)]
    assert answers == [401] * staff_guess.FREE + [429] * (8 - staff_guess.FREE)


def test_the_owner_gets_in_while_everybody_guesses(house: ConsoleHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    member = house.member("service")
    hashed: list[str] = []
    real = locks.fits
    monkeypatch.setattr(locks, "fits", lambda stored, password: hashed.append(password) or real(stored, password))
    monkeypatch.setitem(vars(house.app.settings.service), "trusted_proxies", ["127.0.0.1/32"])
    owner = house.stranger()
    assert owner.log_in(member.name, headers={"X-Forwarded-For": "198.51.100.1"}).status_code == 303
    owner.submit("/console/logout")
    monkeypatch.setattr(staff_guess, "BESET", 10)
    guesser = house.stranger()
    page = guesser.get("/console/login")
    csrf = re.search(r'name="csrf" value="(\w+)"', page.text)
    assert csrf
    hashed.clear()
    for guess in range(120):
        form = {"csrf": csrf[1], "name": member.name, "password": f"guess {guess}"}
        headers = {"X-Forwarded-For": f"203.0.113.{guess % 40}"}
        answer = guesser.post("/console/login", data=form, headers=headers)
        assert answer.status_code in (401, 429)
    assert 40 <= len(hashed) <= 40 + 10
    # Beset: the owner's device is known, wherever it is now; and elsewhere the right password is enough.
    again = owner.log_in(member.name, headers={"X-Forwarded-For": "203.0.113.7"})
    assert again.status_code == 303
    fresh = house.stranger()
    assert fresh.log_in(member.name, headers={"X-Forwarded-For": "192.0.2.9"}).status_code == 303
    # Whoever is kept waiting is told how long.
    kept = house.stranger().log_in(member.name, headers={"X-Forwarded-For": "203.0.113.7"})
    assert kept.status_code == 429 and re.search(r"\d+ 秒后再试", kept.text)


def test_another_ones_device_is_nobodys_here(house: ConsoleHouse) -> None:
    mine, theirs = house.member("service"), house.member("service")
    client = house.stranger()
    client.log_in(mine.name)
    name = next(cookie.name for cookie in client.cookies.jar if cookie.name.startswith("koukou_device"))
    value = client.cookies[name]
    assert client.submit("/console/logout").status_code == 303
    for _ in range(staff_guess.FREE):
        assert client.log_in(theirs.name, "wrong").status_code == 401
    assert client.log_in(theirs.name).status_code == 429
    forged = house.stranger()
    forged.cookies.set(name, value[:-1] + ("0" if value[-1] != "0" else "1"), domain="127.0.0.1", path="/console")
    for _ in range(staff_guess.FREE):
        forged.log_in(mine.name, "wrong")
    assert forged.log_in(mine.name).status_code == 429
    assert client.log_in(mine.name).status_code == 303


def test_a_changed_password_ends_all_else_and_needs_the_present_one(house: ConsoleHouse) -> None:
    member = house.member("service")
    here, there = house.client(member), house.client(member)
    wrong = here.submit("/console/password", {"old": "not it", "new": NEW, "again": NEW})
    assert wrong.status_code == 400 and "现在的密码不对" in wrong.text
    assert here.submit("/console/password", {"old": PASSWORD, "new": NEW, "again": NEW}).status_code == 303
    assert here.get("/console").status_code == 200
    assert there.get("/console").status_code == 303


def test_sessions_are_listed_and_ended_by_their_owner_and_nobody_else(house: ConsoleHouse) -> None:
    member, other = house.member("service"), house.member("planning")
    here, there, stranger = house.client(member), house.client(member), house.client(other)
    numbers = [row[0] for row in house.sql("SELECT id FROM staff_session WHERE staff = :s ORDER BY id", s=member.id)]
    assert here.get("/console/me").text.count("/console/me/sessions/") == len(numbers) + 1
    for number in numbers:
        answer = stranger.submit(f"/console/me/sessions/{number}/end")
        assert answer.status_code == 409
    assert there.get("/console").status_code == 200
    assert here.submit(f"/console/me/sessions/{numbers[1]}/end").status_code == 303
    assert there.get("/console").status_code == 303 and here.get("/console").status_code == 200
    assert here.submit("/console/me/sessions/end").headers["location"] == "/console/login"
    assert here.get("/console").status_code == 303


def test_where_to_go_after_logging_in_stays_inside() -> None:
    for path in (
        "/console",
        "/console/people/5",
        "/console/audit?who=staff:3&day=2026-11-23",
        "/console/people?q=%E7%8E%8B",
    ):
        assert safe_next(path) == path
    for path in (
        *("", "/", "/chat", "//evil.example", "https://evil.example/console", "/console//evil.example", "/consolex"),
        *("/\\evil.example", "/console\\x", "/console\r\nX: y", "javascript:alert(1)", "/console/login?next=/console"),
    ):
        assert safe_next(path) == "/console", path


def test_a_link_to_a_page_is_kept_through_the_log_in(house: ConsoleHouse) -> None:
    boss = house.member("administrator")
    client = house.stranger()
    where = client.get("/console/audit?who=operator").headers["location"]
    page = client.get(where)
    kept = re.search(r'name="next" value="([^"]+)"', page.text)
    assert kept and kept[1] == "/console/audit?who=operator"
    step = client.submit("/console/login", {"name": boss.name, "password": PASSWORD, "next": kept[1]})
    kept = re.search(r'name="next" value="([^"]+)"', client.get(step.headers["location"]).text)
    assert kept
    done = client.submit("/console/code", {"code": code_now(boss), "next": kept[1]})
    assert done.headers["location"] == "/console/audit?who=operator"


def test_with_https_cookies_are_bound_to_the_host_and_never_sent_in_clear(tmp_path: Path) -> None:
    with serve_console(tmp_path) as house:
        vars(house.app.settings.service)["public_url"] = "https://koukou.example"
        member = house.member("service")
        client = house.stranger()
        page = client.get("/console/login")
        assert page.headers["strict-transport-security"]
        csrf = re.search(r'name="csrf" value="(\w+)"', page.text)
        visit = page.headers["set-cookie"].partition(";")[0]
        assert csrf and visit.startswith("__Host-koukou-visit=")
        form = {"csrf": csrf[1], "name": member.name, "password": PASSWORD}
        headers = {"Cookie": visit, "Origin": "https://koukou.example"}
        answer = client.post("/console/login", data=form, headers=headers)
        cookie = next(line for line in answer.headers.get_list("set-cookie") if line.startswith("__Host-koukou="))
        assert "Secure" in cookie and "Path=/;" in cookie + ";" and "Domain" not in cookie
