"""The pages about surveys: figures that agree with what was answered, no small groups, own words after a purpose and
without their writers, sheets that no spreadsheet runs, and only for who may."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Iterator
from typing import Any

import pytest

from campaigns import rights
from content.surveys import STARTERS
from storage import revisions
from storage.incoming import Incoming
from tests.console_house import Client, ConsoleHouse, serve_console
from tests.survey_house import CAMPAIGN, FILE, plain, plan_with

HOSTILE = "<script>alert(1)</script>"
PAGE = "/console/surveys/service"
FORMULA = "=1+1"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleHouse]:
    """Twelve on WeChat, of whom one tests now, six on Telegram of whom three skipped words, a guest who left off."""
    with serve_console(tmp_path_factory.mktemp("surveys")) as served:
        served.run(lambda connection: change(served, connection, plain().replace("longest = 20", "longest = 60")))
        for number in range(12):
            answer(served, "wechat", f"oW{number}", "5" if number < 9 else "1", "1", f"好{number}", "10")
        for number in range(6):
            said = (FORMULA, HOSTILE, "CANARY-电话", "跳过", "跳过", "跳过")[number]
            answer(served, "telegram", str(7000 + number), "2", "3", said, *(["4"] if number < 3 else []))
        answer(served, "web", "g1", "3")
        served.run(
            lambda connection: connection.exec_driver_sql(
                "UPDATE subscriber SET tester_since = 1 WHERE id = (SELECT subscriber FROM identity "
                "WHERE channel = 'wechat' AND address = 'oW0')"
            )
        )
        yield served


def change(house: ConsoleHouse, connection: Any, file: str) -> None:
    files = dict(plan_with(file).files)
    number = revisions.current(connection, CAMPAIGN)
    revisions.store_revision(connection, CAMPAIGN, files, house.app.now(), "operator", number)


def answer(house: ConsoleHouse, channel: str, who: str, *said: str) -> None:
    writer = house.app.writer
    assert writer
    for part, words in enumerate((f"{STARTERS[0]} service 开始", *said)):
        incoming = Incoming(channel, "main", who, f"{channel}:{who}:{part}", "text", house.app.now(), words, {}, "zh")
        asyncio.run_coroutine_threadsafe(writer.hear(incoming), writer.loop).result(30)


@pytest.fixture
def client(house: ConsoleHouse) -> Client:
    return house.client(house.member("publicity"))


def text_of(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_figures_are_those_of_the_answers_without_testers(house: ConsoleHouse, client: Client) -> None:
    assert "服务满意度问卷 18 14" in text_of(client.get("/console/surveys").text)
    told = text_of(client.get(PAGE).text)
    assert "开始 18 答完 14 · 78% 其中网页访客 1" in told
    assert "18 人回答 平均分 3.22" in told
    assert "1 · 差 3 17% 2 6 33% 3 1 6% 4 0 0% 5 · 好 8 44%" in told
    assert "朋友 11 65% 店里 0 0% 网上 6 35%" in told and "写了文字 14 82% 跳过 3 18%" in told
    english = house.client(house.member("planning", language="en"))
    told = text_of(english.get(PAGE).text)
    assert "Began 18" in told and "Mean rating 3.22" in told and "1 · bad 3 17%" in told


def test_a_segment_of_the_plan_and_a_rule_show_the_same_for_a_group(house: ConsoleHouse, client: Client) -> None:
    told = text_of(client.get(f"{PAGE}?rule=渠道 是 微信").text)
    assert "人群：渠道 是 微信 开始 11 答完 11 · 100%" in told
    assert "11 人回答 · 平均分 3.91" in told and "5 · 好 8 44% 8 73%" in told
    segment = house.app.writer.library.plan.segments[0]
    answered = client.get(f"{PAGE}?segment={segment.id}")
    assert answered.status_code == 200 and segment.name["zh"] in text_of(answered.text)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("渠道 是 网页", "答过的不到 5 人"),
        ("语言 是 英文", "答过的不到 5 人"),
        ("not channel is web", "以外答过的只有不到 5 人"),
    ],
)
def test_a_small_group_or_all_but_a_few_are_not_shown(client: Client, rule: str, said: str) -> None:
    answer = client.get(PAGE, params={"rule": rule})
    told = text_of(answer.text)
    assert answer.status_code == 200 and said in told and "人群：" not in told
    table = client.get(f"{PAGE}/table", params={"rule": rule}).content.decode("utf-8-sig")
    assert rule not in table


def test_a_question_that_few_of_a_group_answered_is_kept_back(client: Client) -> None:
    params = {"rule": "渠道 是 Telegram"}
    page = client.get(PAGE, params=params).text
    sections = page.split('<section class="card"')
    (stars,) = [one for one in sections if "满意吗" in one]
    (ten,) = [one for one in sections if "会推荐吗" in one]
    assert "人群人数" in stars and "不到 5 人回答，不显示" not in stars
    assert "人群人数" not in ten and "不到 5 人回答，不显示" in ten
    table = client.get(f"{PAGE}/table", params=params).content.decode("utf-8-sig")
    lines = [line for line in table.splitlines() if "会推荐吗" in line]
    assert len(lines) == 10 and all("人数太少，不显示" in line for line in lines)


@pytest.mark.parametrize(("rule", "said"), [("积分 >", "客群第"), ("参加过 抽奖", "还不知道"), ("网点 是 x", "客群第")])
def test_a_rule_that_cannot_be_asked_is_refused_and_the_whole_is_shown(client: Client, rule: str, said: str) -> None:
    answer = client.get(PAGE, params={"rule": rule})
    assert answer.status_code == 400 and said in text_of(answer.text) and "开始 18" in text_of(answer.text)
    assert client.get(f"{PAGE}/table", params={"rule": rule}).status_code == 409
    assert client.get(PAGE, params={"segment": "nowhere"}).status_code == 400


def test_own_words_are_shown_after_a_purpose_without_who_wrote_them(house: ConsoleHouse, client: Client) -> None:
    page = client.get(PAGE).text
    assert "CANARY" not in page and "好3" not in page
    asked = {"question": "words", "campaign": CAMPAIGN}
    refused = client.submit(f"{PAGE}/words", asked | {"purpose": ""})
    assert refused.status_code == 409 and "请选择查看的用途" in refused.text and "CANARY" not in refused.text
    assert client.submit(f"{PAGE}/words", asked | {"purpose": "curiosity"}).status_code in (400, 409)
    before = house.sql("SELECT COUNT(*) FROM event WHERE kind = 'surveys.revealed'")
    shown = client.submit(f"{PAGE}/words", asked | {"purpose": "evaluation"})
    assert shown.status_code == 200 and "CANARY-电话" in shown.text and "共 14 条" in shown.text
    assert HOSTILE not in shown.text and html.escape(HOSTILE) in shown.text and "好0" not in shown.text
    words = shown.text[shown.text.index('id="words"') :]
    assert "/console/people" not in words and "oW1" not in words
    assert house.sql("SELECT COUNT(*) FROM event WHERE kind = 'surveys.revealed'")[0][0] == before[0][0] + 1
    log = house.client(house.member("planning")).get("/console/audit?kind=surveys.revealed").text
    assert "查看问卷的文字回答" in log and "evaluation" in log
    for question in ("stars", "nothing", ""):
        assert client.submit(f"{PAGE}/words", asked | {"purpose": "law", "question": question}).status_code == 404


def test_a_branch_sees_the_words_of_its_own_people(house: ConsoleHouse) -> None:
    north = house.client(house.member("publicity", branch="north"))
    asked = {"question": "words", "campaign": CAMPAIGN, "purpose": "evaluation"}
    assert "没有文字回答" in north.submit(f"{PAGE}/words", asked).text


def test_sheets_are_run_by_no_spreadsheet(client: Client) -> None:
    asked = {"question": "words", "campaign": CAMPAIGN, "purpose": "evaluation", "sheet": "1"}
    words = client.submit(f"{PAGE}/words", asked)
    assert words.headers["content-type"].startswith("text/csv") and "attachment" in words.headers["content-disposition"]
    assert f'"\'{FORMULA}"' in words.content.decode("utf-8-sig")
    table = client.get(f"{PAGE}/table").content.decode("utf-8-sig").splitlines()
    assert table[0] == '"题目","回答","人数","占比"' and '"满意吗","5 · 好",8,"44%"' in table


def test_words_whose_time_is_over_are_said_to_be(house: ConsoleHouse, client: Client) -> None:
    house.run(lambda connection: connection.exec_driver_sql("UPDATE text SET heard = NULL WHERE heard = '好11'"))
    asked = {"question": "words", "campaign": CAMPAIGN, "purpose": "law"}
    assert "已过保存期" in client.submit(f"{PAGE}/words", asked).text


def test_only_for_those_who_may(house: ConsoleHouse) -> None:
    asked = {"question": "words", "campaign": CAMPAIGN, "purpose": "evaluation"}
    for role in rights.ROLES:
        member = house.client(house.member(role))
        has = rights.of([role])
        for path in ("/console/surveys", PAGE, f"{PAGE}/table"):
            assert member.get(path).status_code == (200 if "surveys.read" in has else 403), (role, path)
        assert member.submit(f"{PAGE}/words", asked).status_code == (200 if "surveys.texts" in has else 403), role
    planning = house.client(house.member("planning"))
    for path in ("/console/surveys?campaign=nowhere", "/console/surveys/nowhere", f"{PAGE}?campaign=nowhere"):
        assert planning.get(path).status_code == 404, path


def test_a_survey_that_is_gone_from_the_plan_keeps_its_figures(house: ConsoleHouse, client: Client) -> None:
    """Runs last: it changes the plan."""

    def gone(connection: Any) -> None:
        files = dict(revisions.files(connection, CAMPAIGN, revisions.current(connection, CAMPAIGN) or 0))
        plan = files["plan.toml"].decode()
        start, end = plan.index("[[social.surveys]]"), plan.index("[social.lottery]")
        files["plan.toml"] = (plan[:start] + plan[end:]).encode()
        number = revisions.current(connection, CAMPAIGN)
        revisions.store_revision(connection, CAMPAIGN, files, house.app.now(), "operator", number)

    house.run(lambda connection: change(house, connection, plain("rating").replace("满意吗", HOSTILE)))
    page = client.get(PAGE).text
    assert HOSTILE not in page and html.escape(HOSTILE) in page and "以前的题 where" in text_of(page)
    house.run(gone)
    assert "service 已不在方案里 18 14" in text_of(client.get("/console/surveys").text)
    told = text_of(client.get(PAGE).text)
    assert "以前的题 stars" in told and "18 人回答" in told
    assert FILE
