"""The pages about people, the plan, the system and the stop, over HTTP, as each role and each branch."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

import pytest

from bot.console import Rule, rules
from campaigns import rights
from storage import people, revisions, schema
from tests.console_house import Client, ConsoleHouse, serve_console
from tests.people_house import CAMPAIGN, HOSTILE, Filled, fill


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleHouse]:
    with serve_console(tmp_path_factory.mktemp("pages")) as served:
        yield served


@pytest.fixture(scope="module")
def filled(house: ConsoleHouse) -> Filled:
    return fill(house)


@pytest.fixture
def service(house: ConsoleHouse) -> Client:
    return house.client(house.member("service"))


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", page))


def events(house: ConsoleHouse, kind: str) -> list[tuple[object, ...]]:
    return house.sql("SELECT actor, subscriber, data FROM event WHERE kind = :k ORDER BY id", k=kind)


def test_somebody_is_found_and_opened_at_once(house: ConsoleHouse, filled: Filled, service: Client) -> None:
    code = house.sql("SELECT code FROM subscriber WHERE id = :n", n=filled.one)[0][0]
    for words in (str(filled.one), str(code), filled.canaries[0], f"wechat:{filled.canaries[0]}", str(filled.alias)):
        answer = service.get("/console/people", params={"q": words})
        assert answer.status_code == 303, words
        assert answer.headers["location"] == f"/console/people/{filled.one}", words
    nobody = service.get("/console/people", params={"q": HOSTILE})
    assert nobody.status_code == 200 and "没有找到" in nobody.text
    assert "<script>alert" not in nobody.text and html.escape(HOSTILE, quote=True)[:20] in nobody.text
    assert service.get(f"/console/people/{filled.alias}").headers["location"] == f"/console/people/{filled.one}"


def test_the_story_is_masked_until_a_purpose_is_given_and_the_look_is_an_event(
    house: ConsoleHouse, filled: Filled, service: Client
) -> None:
    path = f"/console/people/{filled.one}"
    page = service.get(path)
    told = text_of(page.text)
    for words in ("积分", "1,4", "签到", "family-network-2026 第 1 版", "待办理", "占用中", "300 积分", "接收活动消息"):
        assert words in told, words
    assert [canary for canary in filled.canaries if canary in page.text] == []
    refused = service.submit(f"{path}/reveal", {"purpose": ""})
    assert refused.status_code == 409 and "请选择查看的用途" in refused.text
    assert service.submit(f"{path}/reveal", {"purpose": "curious"}).status_code == 409
    assert not events(house, "people.revealed")
    shown = service.submit(f"{path}/reveal", {"purpose": "complaint"})
    assert shown.status_code == 200
    for canary in (filled.canaries[0], "CANARY-text-13800138000", "CANARY-heard", "卡娜丽"):
        assert canary in shown.text, canary
    assert "<script>alert" not in shown.text and "<img src=x" not in shown.text and " 49 " not in text_of(shown.text)
    ((actor, subscriber, data),) = events(house, "people.revealed")
    assert str(actor).startswith("staff:") and subscriber == filled.one and data == '{"purpose":"complaint"}'
    assert [canary for canary in filled.canaries if canary in service.get(path).text] == [], "masked again"


def test_a_persons_notices_are_listed(house: ConsoleHouse, filled: Filled, service: Client) -> None:
    with house.app.store.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO notice (id, subscriber, kind, phrase, data, at, state, way, reason, part) VALUES "
            f"(7, {filled.one}, 'friend_came', '', '{{}}', 1795000000000000, 'sent', 'subscription', '', 0)"
        )
    page = service.get(f"/console/people/{filled.one}").text
    told = text_of(page[page.index('<h2 id="notices">') :].partition("</section>")[0])
    assert [words in told for words in ("有朋友来了", "已发", "订阅通知")] == [True] * 3


def test_who_may_not_reveal_is_not_even_asked(house: ConsoleHouse, filled: Filled) -> None:
    path = f"/console/people/{filled.one}"
    for role in rights.ROLES:
        client = house.client(house.member(role))
        page, may = client.get(path), "people.reveal" in rights.of([role])
        assert page.status_code == 200 and ("/reveal" in page.text) is may, role
        answer = client.submit(f"{path}/reveal", {"purpose": "asked"})
        assert answer.status_code == (200 if may else 403), role
        if not may:
            assert [canary for canary in filled.canaries if canary in answer.text] == []


def test_a_branch_sees_its_own_people_and_nobody_else(house: ConsoleHouse, filled: Filled) -> None:
    client = house.client(house.member("service", branch="north"))
    before = len(events(house, "people.revealed"))
    assert client.get(f"/console/people/{filled.north}").status_code == 200
    for number in (filled.one, filled.friends[0], filled.alias):
        assert client.get(f"/console/people/{number}").status_code == 403
        assert client.submit(f"/console/people/{number}/reveal", {"purpose": "asked"}).status_code == 403
        found = client.get("/console/people", params={"q": str(number)})
        assert found.status_code == 200 and "没有找到" in found.text
    assert client.submit("/console/people/999999/reveal", {"purpose": "asked"}).status_code == 404
    assert len(events(house, "people.revealed")) == before
    assert client.get("/console/people", params={"q": filled.canaries[2]}).status_code == 303


def test_long_lists_go_on_page_by_page_without_a_gap(house: ConsoleHouse, filled: Filled, service: Client) -> None:
    path, seen, pages = f"/console/people/{filled.one}", [], 0
    page = service.get(path)
    while True:
        block = page.text.partition('<section class="card" aria-labelledby="moves">')[2].partition("</section>")[0]
        seen += re.findall(r'datetime="([^"]+)"', block)
        pages += 1
        older = re.search(r"\?moves=([\d-]+)#", page.text)
        if not older:
            break
        page = service.get(f"{path}?moves={older[1]}")
    every = house.read(people.movements, filled.one, 1000)
    assert pages == 3 and seen == [row["at"].isoformat() for row in every] and len(seen) > 25
    for wild in ("moves=1", "moves=x-y", "moves=-", "texts=abc", "texts=-5", f"moves={'9' * 40}-1"):
        assert service.get(f"{path}?{wild}").status_code == 200, wild


def test_the_plan_tells_what_is_unset_the_budget_and_what_changed(house: ConsoleHouse, filled: Filled) -> None:
    client = house.client(house.member("planning"))
    page = text_of(client.get("/console/plan").text)
    for words in ("第 1 版", "命令行（运维）", "还没有填的内容", "全部填好了", "社交媒体", "250,000.00", "现行"):
        assert words in page, words

    def next_revision(connection: object) -> None:
        files = revisions.files(connection, CAMPAIGN, 1)  # type: ignore[arg-type]
        plan = files["plan.toml"].decode().replace("250000 元", "240000 元", 1).replace('amount = "60000 元"', "", 1)
        revisions.store_revision(  # type: ignore[arg-type]
            connection, CAMPAIGN, {**files, "plan.toml": plan.encode()}, house.app.now(), "staff:999", 1
        )

    house.run(next_revision)
    page = text_of(client.get("/console/plan").text)
    assert "staff:999" in page and "全部填好了" not in page and "plan.toml:" in page
    diff = client.get("/console/plan/diff", params={"campaign": CAMPAIGN, "from": "1", "to": "2"})
    assert diff.status_code == 200
    assert "budget.lines[social].amount" in diff.text and "250000 元" in text_of(diff.text)
    assert "240000 元" in text_of(diff.text) and "2 处不同" in diff.text and "60000 元" in text_of(diff.text)
    same = client.get("/console/plan/diff", params={"from": "2", "to": "2"})
    assert "两版相同" in same.text
    for wild in ("from=0&to=1", "from=1&to=99", "from=x&to=1", "campaign=nowhere&from=1&to=1", "from=&to="):
        assert client.get(f"/console/plan/diff?{wild}").status_code == 404, wild
    assert client.get("/console/plan?campaign=nowhere").status_code == 404


def test_the_system_page_and_its_living_part_tell_the_same(house: ConsoleHouse, filled: Filled) -> None:
    client = house.client(house.member("publicity"))
    whole, part = client.get("/console/system"), client.get("/console/system/now")
    assert whole.status_code == part.status_code == 200
    assert "<html" not in part.text and "data-live" in whole.text
    for page in (whole.text, part.text):
        told = text_of(page)
        for words in ("在线", "web:main", "发送正常进行", schema.head(), "SQLite", "链头", "180 天"):
            assert words in told, words
        assert "<script>alert" not in page
        assert [canary for canary in filled.canaries if canary in page] == []


def test_stopping_takes_the_number_that_is_shown_and_a_reason(house: ConsoleHouse, filled: Filled) -> None:
    client = house.client(house.member("publicity"))
    page = client.get("/console/stop")
    shown = re.search(r'name="shown" value="(\d+)"', page.text)
    assert shown and "从未停止过" in page.text
    for typed, why in (("", "why"), ("x", "why"), (str(int(shown[1]) + 1), "why"), (shown[1], "")):
        answer = client.submit("/console/stop", {"shown": shown[1], "typed": typed, "why": why})
        assert answer.status_code in (400, 409) and (not why or "why" in answer.text), (typed, why)
    assert client.submit("/console/stop", {"typed": "0", "why": "x"}).status_code == 400
    assert not events(house, "service.stopped")
    right = {"shown": shown[1], "typed": shown[1], "why": f"平台故障 {HOSTILE}"}
    for _ in range(2):
        assert client.submit("/console/stop", right).headers["location"] == "/console/stop"
    assert len(events(house, "service.stopped")) == 1
    page = client.get("/console/stop")
    assert "仍在停止" in page.text and "<script>alert" not in page.text and "平台故障" in page.text
    assert "已紧急停止发送" in client.get("/console/system").text
    handling = house.client(house.member("handling"))  # who neither sends nor stops
    assert "全部发送已紧急停止" in client.get("/console").text and "紧急停止" not in handling.get("/console").text
    assert client.get("/readyz").json() == {"ready": True, "reasons": [], "stopped": True}
    again = re.search(r'name="shown" value="(\d+)"', page.text)
    assert again
    assert (
        client.submit("/console/stop/resume", {"shown": again[1], "typed": again[1], "why": "好了"}).status_code == 303
    )
    assert len(events(house, "service.resumed")) == 1 and "发送正常进行" in client.get("/console/stop").text
    audit = house.client(house.member("planning")).get("/console/audit").text
    assert "紧急停止发送" in audit and "恢复发送" in audit


def test_every_page_speaks_english_as_well(house: ConsoleHouse, filled: Filled) -> None:
    client = house.client(house.member("administrator", language="en"))
    client.submit("/console/language", {"language": "en", "back": "/console"})
    paths = ["people", f"people/{filled.one}", "plan", "plan/diff?from=1&to=1", "system", "stop"]
    for path in paths:
        page = client.get(f"/console/{path}")
        assert page.status_code == 200 and '<html lang="en"' in page.text, path
        bare = text_of(re.sub(r"<title>.*?</title>|lang=\"zh-CN\">[^<]*<", "", page.text))
        left = re.findall(r"[\u4e00-\u9fff]+", bare)
        # What the plan and people themselves wrote stays as it was written.
        assert path.startswith(("plan", "stop")) or left == [], (path, left)


@pytest.mark.parametrize(
    "rule", [rule for rule in rules() if rule.path.startswith("/console/people/{number:int}")], ids=lambda r: r.path
)
def test_every_route_of_a_person_refuses_the_people_of_another_branch(
    rule: Rule, house: ConsoleHouse, filled: Filled
) -> None:
    """Whatever is registered below a person's address, by whichever page, asks whose person it is."""
    for role in rights.ROLES:
        if rule.right not in rights.of([role]) or role == "administrator":
            continue
        client = house.client(house.member(role, branch="north"))
        for number, expected in ((filled.one, (403, 404)), (999_999, (404,))):
            path = rule.path.replace("{number:int}", str(number))
            data = {"purpose": "asked", "why": "because"}
            answer = client.submit(path, data) if rule.method == "POST" else client.get(path)
            assert answer.status_code in expected, (role, number, answer.status_code)
            assert [canary for canary in filled.canaries if canary in answer.text] == []
