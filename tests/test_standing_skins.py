"""Standing as staff meet it: the page under a subscriber, and the command line, also beside a serving process."""

from __future__ import annotations

import asyncio
import html
import json
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from bot.played.wechat import PlayedWeChat
from campaigns import rights
from storage.store import Store
from storage.tables import instant
from tests.commands import koukou
from tests.console_house import ConsoleHouse, serve_console
from tests.people_house import HOSTILE, Filled, fill
from tests.serving import ROOT, Node, _command, _environment, free_port
from tests.talking import SECRET, Talk, prepared
from tests.test_referrals import wechat


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleHouse]:
    with serve_console(tmp_path_factory.mktemp("standing")) as served:
        yield served


@pytest.fixture(scope="module")
def filled(house: ConsoleHouse) -> Filled:
    return fill(house)


def words_of(page: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))


def forms(page: str) -> set[str]:
    """Which acts the page offers."""
    return set(re.findall(r'action="/console/people/\d+/standing/(\w+)"', page))


@pytest.mark.parametrize("language", ["zh", "en"])
def test_one_blocks_and_unblocks_by_the_page_and_the_reason_stands_there(
    house: ConsoleHouse, filled: Filled, language: str
) -> None:
    somebody = house.member("service", language=language)
    client, person = house.client(somebody), filled.one
    path = f"/console/people/{person}/standing"
    assert f'href="{path}"' in client.get(f"/console/people/{person}").text
    before = client.get(path)
    assert forms(before.text) == {"block"}
    assert ("立即生效" if language == "zh" else "At once") in words_of(before.text)
    empty = client.submit(f"{path}/block", {"why": "  "})
    assert empty.status_code == 400 and ("原因" if language == "zh" else "Reason") in words_of(empty.text)
    assert client.submit(f"{path}/block", {"why": "x" * 401}).status_code == 400
    done = client.submit(f"{path}/block", {"why": HOSTILE})
    assert (done.status_code, done.headers["location"]) == (303, path)
    after = client.get(path)
    assert forms(after.text) == {"unblock"} and "<script>alert" not in after.text
    assert HOSTILE in html.unescape(after.text) and somebody.name in after.text
    chip = "已停用" if language == "zh" else "blocked"
    assert chip in words_of(client.get(f"/console/people/{person}").text)
    assert client.submit(f"{path}/block", {"why": "again"}).status_code == 303
    told = "没有改变" if language == "zh" else "nothing changed"
    assert told in words_of(client.get(path).text)
    assert client.submit(f"{path}/unblock", {"why": "asked nicely"}).status_code == 303
    page = client.get(path)
    assert forms(page.text) == {"block"} and "asked nicely" in page.text and "again" not in page.text
    kinds = house.sql("SELECT kind FROM event WHERE actor = :a ORDER BY id", a=f"staff:{somebody.id}")
    assert kinds == [("people.blocked",), ("people.unblocked",)]
    audit = words_of(house.client(house.member("planning", language=language)).get("/console/audit").text)
    assert ("停用用户" if language == "zh" else "Blocked a subscriber") in audit


def test_a_tester_is_named_shown_in_lists_and_taken_back(house: ConsoleHouse, filled: Filled) -> None:
    client = house.client(house.member("planning"))
    path = f"/console/people/{filled.friends[0]}/standing"
    assert forms(client.get(path).text) == {"test"}
    assert client.submit(f"{path}/test", {"why": "试用"}).status_code == 303
    page = client.get(path)
    assert forms(page.text) == {"untest"} and "测试账户 0 积分" in words_of(page.text)
    assert "测试用户" in words_of(client.get(f"/console/people/{filled.friends[0]}").text)
    assert client.submit(f"{path}/untest", {"why": "完成"}).status_code == 303
    assert forms(client.get(path).text) == {"test"}


def test_a_referral_is_rejected_by_the_page_once(house: ConsoleHouse, filled: Filled) -> None:
    client = house.client(house.member("handling"))
    path = f"/console/people/{filled.friends[1]}/standing"
    page = client.get(path)
    assert forms(page.text) == {"reject"} and f"由用户 {filled.one} 推荐" in words_of(page.text)
    with ThreadPoolExecutor(4) as crowd:
        tokens = client.csrf()

        def press(_: int) -> int:
            data = {"csrf": tokens, "why": "同一户人"}
            return int(client.post(f"{path}/reject", data=data, headers={"Sec-Fetch-Site": "same-origin"}).status_code)

        assert set(crowd.map(press, range(4))) == {303}
    about = {"s": filled.friends[1]}
    assert house.sql("SELECT COUNT(*) FROM event WHERE kind = 'referral' AND subscriber = :s", **about) == [(1,)]
    assert house.sql("SELECT kind, why FROM standing WHERE subscriber = :s", **about) == [("rejected", "同一户人")]
    assert forms(client.get(path).text) == set()
    nobodys = client.submit(f"/console/people/{filled.north}/standing/reject", {"why": "x"})
    assert nobodys.status_code == 409 and "没有推荐人" in nobodys.text


ACTS = {"block": "people.block", "unblock": "people.block", "test": "people.test", "untest": "people.test"} | {
    "reject": "referrals.reject"
}


@pytest.mark.parametrize("role", [*rights.ROLES, ""])
def test_each_role_gets_the_forms_of_its_rights_and_no_branch_reaches_anothers(
    role: str, house: ConsoleHouse, filled: Filled
) -> None:
    having = rights.of([role])
    free = house.client(house.member(*([role] if role else [])))
    person = filled.friends[2]
    page = free.get(f"/console/people/{person}/standing")
    if "people.read" not in having:
        assert page.status_code == 403
    else:
        offered = {name for name in ("block", "test", "reject") if ACTS[name] in having}
        assert forms(page.text) == offered
    if role == "administrator":
        return  # looks after everybody
    client = house.client(house.member(*([role] if role else []), branch="south"))
    before = house.sql("SELECT COUNT(*) FROM standing")
    for name, right in ACTS.items():
        answer = client.submit(f"/console/people/{filled.north}/standing/{name}", {"why": "why"})
        assert answer.status_code == 403, (name, answer.status_code)
        assert ("别的网点" in answer.text) == (right in having), name
    assert client.get(f"/console/people/{filled.north}/standing").status_code == 403
    assert house.sql("SELECT COUNT(*) FROM standing") == before


def test_of_somebody_joined_the_page_is_that_of_whom_they_are_now(house: ConsoleHouse, filled: Filled) -> None:
    client = house.client(house.member("administrator"))
    there = client.get(f"/console/people/{filled.alias}/standing")
    assert there.headers["location"] == f"/console/people/{filled.one}/standing"
    assert client.get("/console/people/999999/standing").status_code == 404
    answer = client.submit("/console/people/999999/standing/block", {"why": "x"})
    assert answer.status_code == 404 or "没有编号是 999999" in answer.text


# ---- the command line


def settings(folder: Path, url: str) -> Path:
    file = folder / "standing.toml"
    plan = f'[service]\nplan = "{ROOT}/content/family-network"\n'
    file.write_text(f'{plan}[storage]\nurl = "{url}"\nsecret = "{SECRET.decode()}"\n')
    return file


def peopled(url: str) -> list[tuple[int, str]]:
    """Somebody and the friend they brought: numbers and codes."""

    async def journey() -> None:
        store = prepared(url)
        talk = Talk(store)
        try:
            await talk.say("签到", **wechat(1))
            with store.read() as connection:
                code = connection.execute(text("SELECT code FROM subscriber")).scalar()
            await talk.say(kind="follow", data={"scene": f"r_{code}"}, **wechat(2))
        finally:
            await talk.writer.close()
            store.close()

    asyncio.run(journey())
    store = Store(url, writer=False)
    with store.read() as connection:
        found = [tuple(row) for row in connection.execute(text("SELECT id, code FROM subscriber ORDER BY id"))]
    store.close()
    return found  # type: ignore[return-value]


def test_each_command_shows_whom_it_concerns_and_is_one_effect(database_url: str, tmp_path: Path) -> None:
    (one, code), (friend, _) = peopled(database_url)
    config = settings(tmp_path, database_url)

    def told(*words: str) -> tuple[int, str]:
        done = koukou(config, *words)
        return done.exit_code, done.stdout + done.stderr

    who = f"wechat:{wechat(1)['who']}"
    for name, first, again in (
        ("block", "blocked", "was blocked already"),
        ("unblock", "unblocked", "was not blocked"),
        ("test", "tests now", "tests already"),
        ("untest", "the test is taken back", "does not test"),
    ):
        for words, said in ((who, first), (str(one), again), (code, again)):
            status, answer = told("subscriber", name, words, "--why", "because")
            shown, result = answer.strip().splitlines()
            assert status == 0 and shown.startswith(f"subscriber {one}, code {code}, wechat, since "), answer
            assert result == f"subscriber {one}: {said}", answer
        document = json.loads(told("subscriber", "show", who, "--json")[1])
        assert (document["blocked"], document["tester"]) == (name == "block", name == "test")
        assert {"id", "language", "identities", "balances", "referral_code", "referrer", "referrals"} <= set(document)
        lines = told("subscriber", "show", who)[1].splitlines()
        assert len(lines) == len(document) and {
            "balances: 5 points",
            f"accounts: {who}",
            "guest of the page: no",
        } <= set(lines)
        assert document["balances"] == {"points": 5} and set(document["test_balances"].values()) <= {0}
    assert told("referral", "reject", str(friend), "--why", "same house") == (
        0,
        told_of(database_url, friend) + f"subscriber {friend}: the referral is rejected\n",
    )
    status, answer = told("referral", "reject", who, "--why", "x")
    assert status == 1 and "nobody referred this person" in answer
    for words, expected, exit_code in (
        (("subscriber", "block", who), "--why", 2),
        (("subscriber", "block", who, "--why", " "), "say why", 1),
        (("subscriber", "block", "wechat:nobody", "--why", "x"), "no such subscriber", 1),
    ):
        status, answer = told(*words)
        assert status == exit_code and expected in answer, answer


def told_of(url: str, person: int) -> str:
    """The line that shows somebody."""
    store = Store(url, writer=False)
    with store.read() as connection:
        query = text("SELECT code, created_at FROM subscriber WHERE id = :n")
        code, since = connection.execute(query, {"n": person}).one()
    store.close()
    return f"subscriber {person}, code {code}, wechat, since {instant(since):%Y-%m-%d}\n"


def test_beside_a_serving_process_the_act_is_done_by_it(tmp_path: Path) -> None:
    """A real `koukou serve` holds the file; the command goes over its socket, and the next message feels it."""

    async def story() -> None:
        with PlayedWeChat() as world:
            node = Node(tmp_path, f"sqlite:///{tmp_path}/koukou.db", free_port(), world)
            try:
                await node.begin()
                world.webhook = f"http://127.0.0.1:{node.port}/wechat"
                person = world.person()
                assert "签到成功" in await person.say("签到")
                who = f"wechat:{person.openid}"
                done = await asyncio.to_thread(command, node, "subscriber", "block", who, "--why", "spam")
                assert done.returncode == 0 and "blocked" in done.stdout, done.stderr
                assert "您的账号已停用" in await person.say("签到")
                assert not node.broken()
            finally:
                node.kill()

    asyncio.run(story())


def command(node: Node, *words: str) -> subprocess.CompletedProcess[str]:
    environment = _environment() | {"LC_ALL": "en_US.UTF-8"}
    return subprocess.run(_command(node.config, *words), cwd=ROOT, env=environment, capture_output=True, text=True)
