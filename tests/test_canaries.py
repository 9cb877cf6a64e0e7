"""Canaries: secrets of ours and personal fields of people, planted in a filled house and looked for wherever they must
not be: logs, pages of whoever has given no purpose, error pages, metrics, `--json` exports, and the plain tables.
"""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from bot import logs
from bot.console import rules
from bot.played.wechat import PlayedWeChat
from campaigns import rights
from tests.console_house import PASSWORD, ConsoleHouse, serve_console
from tests.people_house import Filled, fill
from tests.serving import ROOT, SECRET, _environment

# Where a personal field may stand plain, and why: what a platform calls somebody is needed to answer them, and texts
# are kept for their retention. Both are emptied when the person is forgotten.
PLAIN = {("identity", "address"), ("text", "heard"), ("text", "said")}


@dataclass
class Planted:
    house: ConsoleHouse
    filled: Filled
    folder: Path
    secrets: list[str]
    seen: dict[str, str] = field(default_factory=dict)  # everything that came out, by where


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    folder = tmp_path_factory.mktemp("canaries")
    log = folder / "log"
    with PlayedWeChat() as world, log.open("w") as stream:
        wechat = (
            f'[channels.wechat]\nenabled = true\napp_id = "{world.app_id}"\napp_secret = "{world.app_secret}"\n'
            f'token = "{world.token}"\naes_key = "{world.aes_key}"\napi_url = "{world.url}"\n'
        )
        secrets = [world.app_secret, world.token, world.aes_key, SECRET, PASSWORD]
        before, stderr = logging.getLogger().handlers[:], sys.stderr
        sys.stderr = stream  # where the service's own logging goes from here on
        try:
            logs.configure(True, logging.DEBUG)
            with serve_console(folder, more=wechat) as house:
                planted = Planted(house, fill(house), folder, secrets)
                _visit_everything(planted)
                yield planted
        finally:
            sys.stderr = stderr
            logging.getLogger().handlers[:] = before


def _visit_everything(planted: Planted) -> None:
    """Every page as every role, wrong addresses, broken callbacks and refused forms; each answer is kept."""
    house, number = planted.house, planted.filled.one
    for role in rights.ROLES:
        client = house.client(house.member(role, name=f"member-{role}"))
        for rule in rules():
            path = rule.path.replace("{number:int}", str(number)).replace("{name}", "console.css")
            if rule.method == "GET" and "{" not in path and path != "/console/logout":
                planted.seen[f"{role} {path}"] = client.get(path).text
        for canary in planted.filled.canaries:
            # What was typed into the field is shown there again; everything else counts.
            answer = client.get("/console/people", params={"q": f"{canary}x"})
            planted.seen[f"{role} search"] = answer.text.replace(f"{canary}x", "")
        planted.seen[f"{role} refused"] = client.submit(f"/console/people/{number}/reveal", {"purpose": ""}).text
    stranger = house.stranger()
    planted.seen["log-in"] = stranger.log_in("member-service", "wrong password").text
    for method, path in (
        *(("GET", "/console/nowhere"), ("GET", f"/console/people/{number}"), ("POST", "/wechat"), ("GET", "/wechat")),
        *(("GET", "/metrics"), ("GET", "/readyz"), ("GET", "/"), ("GET", "/r/NOBODY22"), ("POST", "/console/login")),
    ):
        planted.seen[f"{method} {path}"] = stranger.request(method, path, content=b"<xml>" * 3).text


def _found(words: str, canaries: list[str]) -> list[str]:
    return [canary for canary in canaries if canary in words]


def test_no_page_shows_a_personal_field_before_a_purpose_is_given_nor_ever_a_secret(planted: Planted) -> None:
    assert len(planted.seen) > 60
    every = planted.secrets + planted.filled.canaries
    assert {where: _found(page, every) for where, page in planted.seen.items() if _found(page, every)} == {}


def test_the_search_for_canaries_would_find_them(planted: Planted) -> None:
    client = planted.house.client(planted.house.member("service"))
    page = client.submit(f"/console/people/{planted.filled.one}/reveal", {"purpose": "asked"}).text
    assert len(_found(page, planted.filled.canaries)) >= 4
    assert any("text/css" not in page and "<h1>" in page for page in planted.seen.values())


def test_metrics_and_error_answers_hold_none(planted: Planted) -> None:
    for path in ("/metrics", "/readyz", "/healthz", "/console/login?next=%2Fconsole"):
        answer = httpx.get(f"{planted.house.url}{path}")
        assert answer.status_code == 200 and _found(answer.text, planted.secrets + planted.filled.canaries) == []


def test_exports_hold_only_the_address_that_was_asked_for(planted: Planted) -> None:
    (config,) = planted.folder.glob("*.toml")
    who, every = planted.filled.canaries[0], planted.secrets + planted.filled.canaries
    for words, allowed in (
        (("plan", "show"), set()),
        (("plan", "diff"), set()),
        (("ledger", "check"), set()),
        (("staff", "list"), set()),
        (("subscriber", "show", f"wechat:{who}"), {who, planted.filled.canaries[1]}),  # the person's own two
    ):
        command = [sys.executable, "-m", "bot", "--config", str(config), *words, "--json"]
        done = subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True)
        assert done.stdout, (words, done.stderr)
        assert set(_found(done.stdout + done.stderr, every)) == allowed, words


def test_plain_tables_hold_personal_fields_only_where_they_must_stand_and_no_secret(planted: Planted) -> None:
    every = planted.secrets + planted.filled.canaries
    wrong, looked = [], 0
    with closing(sqlite3.connect(f"file:{planted.folder}/koukou.db?mode=ro", uri=True)) as connection:
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows = connection.execute(f'SELECT * FROM "{table}"')
            columns = [column[0] for column in rows.description]
            for row in rows:
                for column, value in zip(columns, row, strict=True):
                    looked += 1
                    words = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
                    if (table, column) not in PLAIN and _found(words, every):
                        wrong.append((table, column, _found(words, every)))
                    assert not _found(words, planted.secrets), (table, column)
    assert wrong == [] and looked > 1000


def test_logs_hold_none(planted: Planted) -> None:
    sys.stderr.flush()
    said = (planted.folder / "log").read_text()
    assert said.strip(), "nothing was logged"
    assert _found(said, planted.secrets + planted.filled.canaries) == []
