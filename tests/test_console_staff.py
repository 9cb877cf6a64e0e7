"""The pages about staff over HTTP: who can do what to whom, hostile input, limits, the audit log, two nodes, and the
command line beside a serving process.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from storage import staff
from tests.console_house import ConsoleHouse, serve_console
from tests.serving import ROOT, SECRET, free_port

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "'; DROP TABLE staff; --",
    "\x00\x1b[31m\ud800\u202e",
    "🏠" * 300,
    "=HYPERLINK(1)",
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleHouse]:
    with serve_console(tmp_path_factory.mktemp("staff")) as served:
        yield served


def test_an_administrator_adds_changes_and_sends_away(house: ConsoleHouse) -> None:
    boss = house.client(house.member("administrator"))
    made = boss.submit(
        "/console/staff",
        {"name": "Li Lei".replace(" ", "."), "roles": ["service", "handling"], "branch": "renmin", "language": "en"},
    )
    assert made.status_code == 200 and "li.lei" in made.text
    password = re.search(r'class="big-code">([\w-]+)<', made.text)
    member = house.read(staff.by_name, "li.lei")
    assert password and member and member.roles == ("handling", "service") and member.branch == "renmin"
    assert member.language == "en" and member.change_by
    for row in house.sql("SELECT data FROM event") + house.sql("SELECT password FROM staff"):
        assert password[1] not in row[0]
    page = boss.get(f"/console/staff/{member.id}")
    assert page.status_code == 200 and "renmin" in page.text and "待改密码" in page.text
    assert boss.submit(f"/console/staff/{member.id}/change", {"roles": ["planning"], "branch": ""}).status_code == 303
    changed = house.read(staff.member, member.id)
    assert changed and changed.roles == ("planning",) and changed.branch is None
    entered = house.stranger()
    assert entered.log_in("li.lei", password[1]).status_code == 303
    assert boss.submit(f"/console/staff/{member.id}/deactivate").status_code == 303
    assert entered.get("/console/password").headers["location"].startswith("/console/login")
    assert house.stranger().log_in("li.lei", password[1]).status_code == 401
    assert "已停用" in boss.get("/console/staff").text
    assert boss.submit(f"/console/staff/{member.id}/activate").status_code == 303
    log = boss.get("/console/audit?who=operator").text
    assert boss.get("/console/audit").text.count("添加员工") > log.count("添加员工")


def test_what_is_refused_is_said_above_the_form_that_keeps_what_was_typed(house: ConsoleHouse) -> None:
    only = house.member("administrator")
    boss = house.client(only)
    for row in house.sql("SELECT id FROM staff WHERE roles LIKE '%administrator%' AND id <> :id", id=only.id):
        house.run(lambda connection, row=row: staff.change(connection, row[0], active=False))
    answer = boss.submit(f"/console/staff/{only.id}/deactivate")
    assert answer.status_code == 409 and "最后一位管理员" in answer.text and only.name in answer.text
    assert boss.submit(f"/console/staff/{only.id}/change", {"roles": ["service"]}).status_code == 409
    answer = boss.submit("/console/staff", {"name": "x y", "roles": ["service"], "branch": "renmin", "language": "zh"})
    assert answer.status_code == 409 and 'value="x y"' in answer.text and 'value="renmin"' in answer.text
    assert boss.submit(f"/console/staff/{only.id}/reset").status_code == 409
    for path in ("/console/staff/999999/change", "/console/staff/999999/reset", "/console/staff/99999999999999999999"):
        answer = boss.submit(path) if "999999/" in path else boss.get(path)
        assert answer.status_code == 404, path


def test_somebody_elses_log_in_is_ended_only_through_their_own_page(house: ConsoleHouse) -> None:
    boss, one, two = house.client(house.member("administrator")), house.member("service"), house.member("service")
    client = house.client(two)
    session = house.sql("SELECT id FROM staff_session WHERE staff = :s", s=two.id)[0][0]
    assert boss.submit(f"/console/staff/{one.id}/sessions/{session}/end").status_code == 409
    assert client.get("/console").status_code == 200
    assert boss.submit(f"/console/staff/{two.id}/sessions/{session}/end").status_code == 303
    assert client.get("/console").status_code == 303


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_in_any_field_comes_out_as_text_and_never_breaks_anything(house: ConsoleHouse, text: str) -> None:
    boss = house.client(house.member("administrator"))
    sent = text.encode("utf-8", "surrogatepass")
    for path in (
        "/console/staff",
        "/console/language",
        "/console/password",
        "/console/second",
        "/console/login",
        "/console/code",
    ):
        csrf = boss.csrf().encode()
        fields = {b"csrf": csrf} | dict.fromkeys(
            (
                b"name",
                b"roles",
                b"branch",
                b"language",
                b"old",
                b"new",
                b"again",
                b"code",
                b"password",
                b"next",
                b"back",
            ),
            sent,
        )
        body = b"&".join(name + b"=" + b"".join(b"%%%02X" % byte for byte in value) for name, value in fields.items())
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = boss.post(path, content=body, headers=headers)
        assert answer.status_code < 500, path
        assert (
            "<script>alert" not in answer.text
            and "<img src=x" not in answer.text
            and "49" not in answer.headers.get("location", "")
        )
    for query in ("who", "kind", "day", "before", "lang", "next"):
        for path in ("/console/audit", "/console/login", "/console/staff"):
            assert boss.get(path, params={query: text.encode("utf-8", "replace").decode()}).status_code in (200, 303)
    house.stranger().get("/console", headers={"Cookie": 'koukou_staff="<x>"; koukou_said=%5B1'})


def test_the_note_of_the_last_act_is_text_too(house: ConsoleHouse) -> None:
    client = house.client(house.member("service"))
    for said in ('["<b>x</b>", "<b>x</b>"]', "[1]", "{}", "not json", "%"):
        client.cookies.set(
            "koukou_said", httpx.QueryParams({"a": said}).__str__()[2:], domain="127.0.0.1", path="/console"
        )
        answer = client.get("/console")
        assert answer.status_code == 200 and "<b>x" not in answer.text


def test_what_is_too_large_or_no_form_is_refused(house: ConsoleHouse) -> None:
    client = house.client(house.member("administrator"))
    csrf = client.csrf()
    assert client.submit("/console/staff", {"name": "x" * 70_000}).status_code == 413
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    def endless() -> Iterator[bytes]:
        for _ in range(200):
            yield b"a" * 1000

    assert client.post("/console/staff", content=endless(), headers=form).status_code == 413
    many = "&".join(f"f{n}=1" for n in range(2000))
    assert client.post("/console/staff", content=f"csrf={csrf}&{many}", headers=form).status_code == 400
    for kind, body in (
        ("application/json", "{}"),
        ("text/plain", f"csrf={csrf}"),
        ("multipart/form-data", "x"),
        ("multipart/form-data; boundary=x", "no boundary at all"),
        ("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data\r\n\r\n\r\n--x--\r\n"),
    ):
        assert client.post("/console/staff", content=body, headers={"Content-Type": kind}).status_code in (400, 403), (
            kind
        )
    parts = [("csrf", (None, csrf)), ("name", (None, "by.parts")), ("language", (None, "zh"))]
    assert client.post("/console/staff", files=parts).status_code == 200


def test_a_branch_reads_of_the_log_what_its_own_staff_did(house: ConsoleHouse) -> None:
    local, colleague = house.member("planning", branch="binhe"), house.member("service", branch="binhe")
    other = house.member("service", branch="renmin")
    for member in (local, colleague, other):
        house.stranger().log_in(member.name)
    client = house.client(local)
    page = client.get("/console/audit").text
    assert colleague.name in page and other.name not in page and "命令行（运维）</option>" not in page
    for who in (f"staff:{other.id}", "operator"):
        assert "没有这样的记录" in client.get("/console/audit", params={"who": who}).text
    everything = house.client(house.member("planning")).get("/console/audit").text
    assert other.name in everything and "命令行（运维）" in everything


def test_the_log_is_paged_without_a_gap(house: ConsoleHouse) -> None:
    for place in range(120):
        house.act(lambda desk, place=place: desk.note("plan.applied", "paged", place + 1, {"files": 1}))
    client = house.client(house.member("planning"))
    seen, path = [], "/console/audit?kind=plan.applied"
    while path:
        page = client.get(path).text
        seen += [int(found) for found in re.findall(r"方案第 (\d+) 版", page)]
        older = re.search(r'href="(\?[^"]*before=[^"]+)"', page)
        path = "/console/audit" + older[1].replace("&amp;", "&") if older else ""
    assert [number for number in seen if number <= 120][:120] == list(range(120, 0, -1))


def test_two_nodes_see_a_revocation_at_once(tmp_path: Path, empty_postgres_url: str) -> None:
    with (
        serve_console(tmp_path, empty_postgres_url) as one,
        serve_console(tmp_path, empty_postgres_url) as two,
    ):
        boss, member = one.member("administrator"), one.member("service")
        here, there = one.client(boss), two.client(member)
        assert there.get("/console").status_code == 200
        token = there.cookies["koukou_staff"]
        session = one.sql("SELECT id FROM staff_session WHERE staff = :s", s=member.id)[0][0]
        assert here.submit(f"/console/staff/{member.id}/sessions/{session}/end").status_code == 303
        assert there.get("/console").status_code == 303
        there.cookies.set("koukou_staff", two.session(member), domain="127.0.0.1", path="/console")
        assert there.get("/console").status_code == 200 and token
        assert here.submit(f"/console/staff/{member.id}/change", {"roles": ["planning"]}).status_code == 303
        assert there.get("/console").status_code == 303
        guesser = [house.stranger() for house in (one, two)]
        answers = [guesser[turn % 2].log_in(member.name, "wrong").status_code for turn in range(8)]
        assert answers == [401] * 5 + [429] * 3


def koukou(config: Path, *words: str, fails: bool = False) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KOUKOU_", "LC_", "LANG"))}
    command = [sys.executable, "-m", "bot", "--config", str(config), *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == int(fails), done.stdout + done.stderr
    return done.stderr if fails else done.stdout


def test_the_first_start_prints_a_password_that_works_once_and_is_in_no_log(tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "config.toml"
    config.write_text(
        f'[service]\nlisten = "127.0.0.1:{port}"\npublic_url = "http://127.0.0.1:{port}"\n'
        f'plan = "{ROOT}/content/family-network"\n[storage]\nurl = "sqlite:///{tmp_path}/k.db"\nsecret = "{SECRET}"\n'
    )
    printed = []
    for _ in range(2):
        out, err = (tmp_path / "out").open("w+"), (tmp_path / "err").open("w+")
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("KOUKOU_", "LC_", "LANG"))
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "bot", "--config", str(config), "serve"],
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=err,
        )
        try:
            for _ in range(300):
                try:
                    if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.1)
            said = (tmp_path / "out").read_text()
            found = re.search(r"一次性密码 ([\w-]+)", said)
            printed.append(found[1] if found else None)
            if found:
                from tests.console_house import Client

                with Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                    answer = client.log_in("admin", found[1])
                    assert answer.status_code == 303
                    assert client.get("/console").headers["location"] == "/console/password"
                assert found[1] not in (tmp_path / "err").read_text()
                added = koukou(config, "staff", "add", "王芳", "--role", "service", "--branch", "renmin")
                assert re.search(r"王芳 的一次性密码.*：[\w-]{19}", added)
                listed = json.loads(koukou(config, "staff", "list", "--json"))
                assert [one["name"] for one in listed] == ["admin", "王芳"] and listed[1]["branch"] == "renmin"
                assert "最后一位管理员" in koukou(config, "staff", "deactivate", "admin", fails=True)
                sessions = json.loads(koukou(config, "staff", "sessions", "admin", "--json"))
                assert len(sessions) == 1
                koukou(config, "staff", "sessions", "admin", "--end", str(sessions[0]["id"]))
                assert json.loads(koukou(config, "staff", "sessions", "admin", "--json")) == []
        finally:
            process.terminate()
            process.wait(20)
            out.close()
            err.close()
    assert printed[0] and printed[1] is None
    # And without a serving process.
    koukou(config, "staff", "roles", "王芳", "--role", "planning")
    assert json.loads(koukou(config, "staff", "list", "--json"))[1]["roles"] == ["planning"]
    assert "没有这位员工" in koukou(config, "staff", "reset", "nobody", fails=True)
    assert "没有这个角色" in koukou(config, "staff", "add", "new", "--role", "king", fails=True)
