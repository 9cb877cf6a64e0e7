"""Every route of the console asked as every role and logged out: the registry and the rights table say what to expect.

A route cannot be registered without a rule, and nothing answers that is not registered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot import console
from bot.console import ANY_STAFF, ENTERING, MARKS, PUBLIC, Rule, rules, words_tables
from bot.console.words import SHELL
from campaigns import rights
from tests.console_house import ConsoleHouse, Somebody, serve_console

ROLES = [*rights.ROLES, ""]  # and somebody without any


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleHouse]:
    with serve_console(tmp_path_factory.mktemp("rights")) as served:
        yield served


@pytest.fixture(scope="module")
def members(house: ConsoleHouse) -> dict[str, Somebody]:
    return {role: house.member(*([role] if role else []), name=f"of-{role or 'none'}") for role in ROLES}


def address(rule: Rule) -> str:
    """The route's path with parameters that lead nowhere."""
    return re.sub(r"\{\w+(?::(\w+))?\}", lambda found: "999999" if found[1] == "int" else "nowhere", rule.path)


def names(rule: Rule) -> str:
    return f"{rule.method} {rule.path}"


@pytest.mark.parametrize("rule", rules(), ids=names)
def test_every_route_lets_in_whom_its_rule_admits_and_nobody_else(
    rule: Rule, house: ConsoleHouse, members: dict[str, Somebody]
) -> None:
    path = address(rule)
    stranger = house.stranger()
    answer = stranger.submit(path) if rule.method == "POST" else stranger.get(path)
    if rule.right != PUBLIC:
        assert answer.status_code == 303 and answer.headers["location"].startswith("/console/login"), answer.text
    if rule.path in ("/console/logout",):
        return  # ends the session that the roles below share
    for role, somebody in members.items():
        client = house.client(somebody)
        answer = client.submit(path) if rule.method == "POST" else client.get(path)
        allowed = rule.right in MARKS or rule.right in rights.of([role])
        if allowed:
            assert answer.status_code in (200, 303, 400, 404, 409, 429, 401), (role, answer.status_code, answer.text)
        else:
            assert answer.status_code == 403 and rule.right in answer.text, (role, answer.status_code)


@pytest.mark.parametrize("rule", [rule for rule in rules() if rule.method == "POST"], ids=names)
def test_no_form_is_taken_without_its_token_or_from_another_site(
    rule: Rule, house: ConsoleHouse, members: dict[str, Somebody]
) -> None:
    client, other = house.client(members["administrator"]), house.client(members["planning"])
    path, token = address(rule), client.csrf()
    tables = ("staff", "staff_session", "event", "staff_guess")
    before = [house.sql(f"SELECT * FROM {table} ORDER BY 1") for table in tables]
    ours = {"Sec-Fetch-Site": "same-origin"}
    sent: list[tuple[dict[str, str], dict[str, str]]] = [
        ({}, ours),
        ({"csrf": ""}, ours),
        ({"csrf": token[:-1]}, ours),
        ({"csrf": other.csrf()}, ours),
        ({"csrf": token}, {"Sec-Fetch-Site": "cross-site"}),
        ({"csrf": token}, {"Sec-Fetch-Site": "same-site"}),
        ({"csrf": token}, {"Origin": "https://evil.example"}),
        ({"csrf": token}, {"Origin": "null"}),
    ]
    for data, headers in sent:
        assert client.post(path, data=data, headers=headers).status_code == 403, (data, headers)
    for table, rows in zip(tables, before, strict=True):
        assert house.sql(f"SELECT * FROM {table} ORDER BY 1") == rows


def test_a_route_without_a_rule_does_not_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_rules", dict(console._rules))
    for right in ("", "people.everything", "public"):
        with pytest.raises(ValueError, match="no right"):
            console.page("/console/new", right)
    with pytest.raises(ValueError, match="under /console"):
        console.post("/elsewhere", PUBLIC)
    with pytest.raises(ValueError, match="already"):
        console.page("/console", ANY_STAFF)
    with pytest.raises(TypeError):
        console.page("/console/new")  # type: ignore[call-arg]


def test_every_right_of_a_rule_is_listed_and_only_the_known_routes_are_open() -> None:
    assert all(rule.right in MARKS or rule.right in rights.RIGHTS for rule in rules())
    # Whoever opens one more to everybody says so here.
    assert {names(rule) for rule in rules() if rule.right == PUBLIC} == {
        "GET /console/login",
        "POST /console/login",
        "GET /console/static/{name}",
    }
    assert {rule.path for rule in rules() if rule.right == ENTERING} <= {
        "/console/logout",
        "/console/code",
        "/console/language",
        "/console/password",
        "/console/second",
    }


def test_what_is_not_registered_is_not_there(house: ConsoleHouse, members: dict[str, Somebody]) -> None:
    client = house.client(members["administrator"])
    for path in (
        "/console/nowhere",
        "/console/staff/-1",
        "/console/../console/x",
        "/console/staff/1e3",
        "/console/%00",
    ):
        assert client.get(path).status_code == 404, path
    assert client.delete("/console").status_code == 405
    assert client.post("/console").status_code == 405
    assert client.head("/console").status_code == 200


def test_every_answer_carries_the_headers_that_keep_it_private(
    house: ConsoleHouse, members: dict[str, Somebody]
) -> None:
    client = house.client(members["administrator"])
    for path in ("/console", "/console/nowhere", "/console/login", "/console/staff/999999"):
        headers = client.get(path).headers
        assert headers["cache-control"] == "no-store", path
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY" and headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("module", "table"), [*words_tables(), ("shell", SHELL)], ids=lambda each: str(each)[-24:])
def test_every_word_of_every_page_exists_in_both_languages(module: str, table: dict[str, Any]) -> None:
    for key, (zh, en) in table.items():
        assert zh.strip() and en.strip(), f"{module}: {key}"
        fields = [sorted(re.findall(r"\{(\w+)\}", text)) for text in (zh, en)]
        assert fields[0] == fields[1], f"{module}: {key}"


def test_templates_carry_no_words_styles_or_scripts_of_their_own() -> None:
    for template in sorted((Path(console.__file__).parent / "templates").glob("*.html")):
        source = template.read_text("utf-8")
        bare = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", source, flags=re.S)
        assert not re.search(r"[\u4e00-\u9fff]", bare), template.name
        assert not re.search(r"\son\w+=|style=|<style|javascript:", bare), template.name
        assert not re.search(r"<script(?![^>]*\ssrc=)", bare), template.name
        assert "|safe" not in source.replace(" ", ""), template.name


@pytest.mark.parametrize("page", ["console.md", "console.zh.md"])
def test_the_docs_list_the_rights_that_each_role_has(page: str) -> None:
    text = (Path(console.__file__).parent.parent.parent / "docs" / page).read_text("utf-8")
    for role, having in rights.ROLES.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{role}` |"))
        named = set(re.findall(r"`([a-z]+\.[a-z]+)`", row))
        assert named == (having if role != "administrator" else {"staff.manage"}), role
    assert {role for role in rights.ROLES if "staff.manage" in rights.ROLES[role]} == {"administrator"}


def test_both_languages_of_the_docs_say_the_same() -> None:
    pages = [
        (Path(console.__file__).parent.parent.parent / "docs" / name).read_text()
        for name in ("console.md", "console.zh.md")
    ]
    for shape in (r"^#+ ", r"^\| ", r"^\d\. ", r"^- ", r"^koukou "):
        assert len(re.findall(shape, pages[0], re.M)) == len(re.findall(shape, pages[1], re.M)), shape
