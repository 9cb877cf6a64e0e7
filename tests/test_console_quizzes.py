"""The page about quizzes: counts that agree with what was answered, hostile words as text, and only for who may."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

import pytest

from campaigns import rights
from storage import quizzes, revisions
from tests.console_house import Client, ConsoleHouse, serve_console
from tests.quiz_house import CAMPAIGN, FILE, plain

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleHouse]:
    with serve_console(tmp_path_factory.mktemp("quizzes")) as served:
        yield served


@pytest.fixture
def client(house: ConsoleHouse) -> Client:
    return house.client(house.member("publicity"))


def text_of(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_counts_of_every_writer_are_added_and_those_of_testers_are_not(house: ConsoleHouse, client: Client) -> None:
    before = text_of(client.get("/console/quizzes").text)
    assert "家庭网知识问答" in before and "开始 0" in before and "平均答对 –" in before
    counted = {
        ("", "started", 1): 30,
        ("", "started", 2): 12,
        ("", "finished", 1): 40,
        ("", "passed", 2): 30,
        ("", "right", 1): 150,
        ("", "asked", 1): 200,
        ("cloud", "2", 1): 25,
        ("cloud", "2", 2): 5,
        ("cloud", "1", 1): 6,
        ("cloud", "late", 1): 4,
        ("cloud", "right", 1): 30,
        ("older-one", "3", 1): 7,
    }
    rows = {(CAMPAIGN, "family", question, what, slot): times for (question, what, slot), times in counted.items()}
    rows[f"{CAMPAIGN}/test", "family", "", "started", 1] = 1000
    rows[CAMPAIGN, "gone-quiz", "", "started", 1] = 3
    house.run(lambda connection: quizzes.write(connection, {}, rows))
    page = client.get("/console/quizzes").text
    told = text_of(page)
    assert "开始 42" in told and "答完 40" in told and "及格 30（占答完的 75%）" in told and "平均答对 75%" in told
    assert "家庭云的起始空间是多少？ 40 75% 4 20 GB · 6 · 15% 50 GB 正确 · 30 · 75% 100 GB · 0 · 0%" in told
    assert "以前的题 older-one 7" in told and "gone-quiz 已不在方案里" in told and "1000" not in told
    english = house.client(house.member("planning", language="en"))
    told = text_of(english.get("/console/quizzes").text)
    assert "Started 42" in told and "30 (75% of finished)" in told and "an earlier question, older-one" in told


def test_what_a_plan_says_stays_text(house: ConsoleHouse, client: Client) -> None:
    def change(connection: object) -> None:
        files = dict(revisions.files(connection, CAMPAIGN, 1))  # type: ignore[arg-type]
        files[FILE] = plain().replace("问题1", HOSTILE).replace("甲1", HOSTILE).encode()
        revisions.store_revision(connection, CAMPAIGN, files, house.app.now(), "staff:1", 1)  # type: ignore[arg-type]

    house.run(change)
    page = client.get("/console/quizzes").text
    assert HOSTILE not in page and html.escape(HOSTILE) in page


def test_only_for_those_who_may_read_the_plan(house: ConsoleHouse) -> None:
    for role in rights.ROLES:
        answer = house.client(house.member(role)).get("/console/quizzes")
        assert answer.status_code == (200 if "plan.read" in rights.of([role]) else 403), role
    assert house.client(house.member("planning")).get("/console/quizzes?campaign=nowhere").status_code == 404
