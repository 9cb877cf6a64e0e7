"""The pages of proposed changes over HTTP: who may do what, sent twice, decided twice, bad sheets, hostile words."""

from __future__ import annotations

import csv
import html
import io
import re
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from bot.console.pages import proposals as pages
from campaigns import proposals as acts
from campaigns import rights, sheets
from campaigns.asked import Asked
from storage import ledger_check, people, story
from tests.console_house import Client, ConsoleHouse, serve_console
from tests.people_house import HOSTILE, Filled, fill

LIST = "/console/proposals"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleHouse]:
    with serve_console(tmp_path_factory.mktemp("proposals")) as served:
        yield served


@pytest.fixture(scope="module")
def filled(house: ConsoleHouse) -> Filled:
    return fill(house)


@pytest.fixture
def service(house: ConsoleHouse) -> Client:
    return house.client(house.member("service"))


@pytest.fixture
def planning(house: ConsoleHouse) -> Client:
    return house.client(house.member("planning"))


def text_of(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def key_of(client: Client, path: str = f"{LIST}/new") -> str:
    found = re.search(r'name="key" value="([\w-]+)"', client.get(path).text)
    assert found
    return found[1]


def filled_in(client: Client, who: int | str, amount: int | str, **more: Any) -> dict[str, Any]:
    """The form for one person."""
    data = {"way": "one", "key": key_of(client), "kind": "correction", "unit": "points", "who": str(who)}
    return data | {"amount": str(amount), "why": "快递丢失，已核对"} | more


def proposed(client: Client, who: int | str, amount: int | str, **more: Any) -> int:
    """Propose it; the number of the proposal."""
    answer = client.submit(LIST, filled_in(client, who, amount, **more))
    return number_of(answer)


def number_of(answer: httpx.Response) -> int:
    assert answer.status_code == 303, text_of(answer.text)
    found = re.fullmatch(rf"{LIST}/(\d+)", answer.headers["location"])
    assert found, answer.headers
    return int(found[1])


def uploaded(client: Client, content: bytes, name: str = "list.csv", **more: str) -> httpx.Response:
    """Send the form for a list, as a browser does."""
    data = {"way": "sheet", "key": key_of(client), "kind": "correction", "unit": "points", "why": "摆摊点补发"}
    return client.submit(LIST, data | more, files={"file": (name, content, "text/csv")})


def points(house: ConsoleHouse, number: int) -> int:
    return int(house.read(people.balances, number).get("points", 0))


def rows_of(house: ConsoleHouse, table: str) -> list[tuple[Any, ...]]:
    return house.sql(f"SELECT * FROM {table} ORDER BY 1")


def _branch(connection: Any, number: int, branch: str | None) -> None:
    connection.execute(text("UPDATE subscriber SET branch = :b WHERE id = :n"), {"b": branch, "n": number})


def test_each_role_is_offered_what_it_may_do(house: ConsoleHouse, filled: Filled, service: Client) -> None:
    number = proposed(service, filled.one, 7)
    for role in rights.ROLES:
        client, may = house.client(house.member(role)), rights.of([role])
        home, page = client.get("/console").text, client.get(f"{LIST}/{number}")
        person = client.get(f"/console/people/{filled.one}").text
        assert (f'href="{LIST}"' in home) is ("acts.read" in may), role
        assert page.status_code == (200 if "acts.read" in may else 403), role
        assert ("项变动等您复核" in home) is ("acts.approve" in may), role
        assert (f"{LIST}/{number}/approve" in page.text) is ("acts.approve" in may), role
        assert (f"{LIST}/{number}/decline" in page.text) is ("acts.approve" in may), role
        assert f"{LIST}/{number}/withdraw" not in page.text, role
        assert (f"people/{filled.one}/propose" in person) is ("acts.propose" in may), role
        assert ("/reverse?movement=" in person) is ("acts.propose" in may), role
        if "acts.read" in may:
            assert (f'href="{LIST}/new"' in client.get(LIST).text) is ("acts.propose" in may), role
            assert (client.get(f"{LIST}/new").status_code == 200) is ("acts.propose" in may), role


def test_the_whole_way_from_a_persons_page_to_the_ledger(
    house: ConsoleHouse, filled: Filled, service: Client, planning: Client
) -> None:
    before = points(house, filled.one)
    form = service.get(f"/console/people/{filled.one}/propose")
    assert f'value="{filled.one}"' in form.text and f"{before:,} 积分" in text_of(form.text)
    data = filled_in(
        service, filled.one, 53, kind="goodwill", key=key_of(service, f"/console/people/{filled.one}/propose")
    )
    number = number_of(service.submit(LIST, data))
    told = text_of(planning.get(f"{LIST}/{number}").text)
    for words in ("1 人", "+53 积分", "0.53 元", "该科目还可用", f"{before:,} 积分 {before + 53:,} 积分", "快递丢失"):
        assert words in told, words
    assert points(house, filled.one) == before, "nothing moves before it is approved"
    assert "快递丢失" in text_of(planning.get(LIST).text)
    for typed in ("", "x", "2", "0", "-1"):
        refused = planning.submit(f"{LIST}/{number}/approve", {"typed": typed})
        assert refused.status_code in (400, 409) and points(house, filled.one) == before, typed
    for _ in range(2):
        answer = planning.submit(f"{LIST}/{number}/approve", {"typed": "1"})
        assert answer.status_code == 303 and points(house, filled.one) == before + 53
    done = planning.get(f"{LIST}/{number}").text
    assert "已通过" in done and f"/console/people/{filled.one}" in done and "/approve" not in done
    story_page = text_of(service.get(f"/console/people/{filled.one}").text)
    assert "服务补偿 +53 积分" in story_page
    audit = text_of(planning.get("/console/audit").text)
    assert f"变动第 {number}；类别 补偿；单位 积分" in audit and "通过变动" in audit and "提出变动" in audit
    assert not house.read(ledger_check.check, house.app.vault).problems


def test_a_form_sent_twice_or_at_once_is_one_proposal(house: ConsoleHouse, filled: Filled, service: Client) -> None:
    before = len(rows_of(house, "proposal"))
    data, token = filled_in(service, filled.one, 11), service.csrf()
    headers = {"Sec-Fetch-Site": "same-origin"}

    def send(_: int) -> int:
        with httpx.Client(base_url=house.url, cookies=service.cookies, timeout=30) as one:
            return number_of(one.post(LIST, data=data | {"csrf": token}, headers=headers))

    with ThreadPoolExecutor(6) as many:
        numbers = set(many.map(send, range(6)))
    assert len(numbers) == 1 and len(rows_of(house, "proposal")) == before + 1
    # The same form with something else in it is neither the first one nor a second.
    other = service.submit(LIST, data | {"amount": "12"})
    assert other.status_code == 409 and "内容不同" in other.text and 'value="12"' in other.text
    assert len(rows_of(house, "proposal")) == before + 1
    # Nobody reaches somebody else's by its key.
    colleague = house.client(house.member("service"))
    assert colleague.submit(LIST, data | {"again": "1"}).headers["location"] != f"{LIST}/{numbers.pop()}"
    for key in ("", "short", "x" * 23, "!" * 22):
        assert service.submit(LIST, data | {"key": key}).status_code == 400, key


def test_the_same_again_takes_a_tick_that_is_offered_only_then(
    house: ConsoleHouse, filled: Filled, service: Client
) -> None:
    first = proposed(service, filled.friends[0], 13)
    assert 'name="again"' not in service.get(f"{LIST}/new").text
    data = filled_in(service, filled.friends[0], 13, why="第二次")
    asked = service.submit(LIST, data)
    assert asked.status_code == 409 and f"第 {first} 号（等待复核）" in asked.text
    assert 'name="again"' in asked.text and "第二次" in asked.text and "--again" not in asked.text
    again = re.search(r'name="key" value="([\w-]+)"', asked.text)
    assert again and number_of(service.submit(LIST, data | {"key": again[1], "again": "1"})) == first + 1


def test_two_approvers_at_once_move_it_once(house: ConsoleHouse, filled: Filled, service: Client) -> None:
    number, before = proposed(service, filled.one, 17), points(house, filled.one)
    clients = [house.client(house.member("planning")) for _ in range(4)]
    tokens = [client.csrf() for client in clients]

    def press(place: int) -> int:
        data = {"csrf": tokens[place], "typed": "1"}
        headers = {"Sec-Fetch-Site": "same-origin"}
        return clients[place].post(f"{LIST}/{number}/approve", data=data, headers=headers).status_code

    with ThreadPoolExecutor(4) as many:
        answers = sorted(many.map(press, range(4)))
    assert answers == [303, 409, 409, 409] and points(house, filled.one) == before + 17
    late = house.client(house.member("planning"))
    for what, data in (("decline", {"why": "晚了"}), ("approve", {"typed": "1"})):
        answer = late.submit(f"{LIST}/{number}/{what}", data)
        assert answer.status_code == 409 and "已经复核通过" in answer.text and "/approve" not in answer.text


def test_nobody_approves_their_own_and_learns_who_can(house: ConsoleHouse, filled: Filled) -> None:
    both = house.client(house.member("service", "planning"))
    other = house.member("planning", name="fang")
    house.member("planning", name="gone-north", branch="north")
    number = proposed(both, filled.one, 19)
    page = text_of(both.get(f"{LIST}/{number}").text)
    assert "要由另一个人复核" in page and other.name in page and "gone-north" not in page
    before = points(house, filled.one)
    refused = both.submit(f"{LIST}/{number}/approve", {"typed": "1"})
    assert refused.status_code == 409 and "另一位同事" in refused.text and points(house, filled.one) == before
    assert both.submit(f"{LIST}/{number}/decline", {"why": "x"}).status_code == 409
    assert "项变动等您复核" in both.get("/console").text  # those of others, not this one
    stranger = house.client(house.member("service"))
    assert stranger.submit(f"{LIST}/{number}/withdraw").status_code == 403
    assert both.submit(f"{LIST}/{number}/withdraw").status_code == 303
    assert "撤回，没有任何变动" in text_of(both.get(f"{LIST}/{number}").text)


def test_a_team_of_one_may_approve_and_the_record_says_so(tmp_path: Path) -> None:
    with serve_console(tmp_path, more="[console]\nsecond_person = false\n") as alone:
        everything = fill(alone)
        owner = alone.client(alone.member("administrator"))
        number, before = proposed(owner, everything.one, 5), points(alone, everything.one)
        assert "有 1 项变动等您复核" in owner.get("/console").text
        assert owner.submit(f"{LIST}/{number}/approve", {"typed": "1"}).status_code == 303
        assert points(alone, everything.one) == before + 5
        assert "由提出人自己复核" in owner.get("/console/audit").text


def test_declining_takes_a_reason_that_the_proposer_reads(
    house: ConsoleHouse, filled: Filled, service: Client, planning: Client
) -> None:
    number, before = proposed(service, filled.one, 23), points(house, filled.one)
    assert planning.submit(f"{LIST}/{number}/decline", {"why": " "}).status_code == 409
    too_long = planning.submit(f"{LIST}/{number}/decline", {"why": "长" * 401})
    assert too_long.status_code == 409 and "400" in too_long.text
    assert planning.submit(f"{LIST}/{number}/decline", {"why": f"请附照片 {HOSTILE}"}).status_code == 303
    page = service.get(f"{LIST}/{number}").text
    assert "退回，没有任何变动" in text_of(page) and html.escape(HOSTILE, quote=True)[:30] in page
    assert "<script>alert" not in page and points(house, filled.one) == before


def test_a_list_in_the_encoding_of_a_chinese_spreadsheet(
    house: ConsoleHouse, filled: Filled, service: Client, planning: Client
) -> None:
    people_ = [filled.one, *filled.friends]
    code = str(house.sql("SELECT code FROM subscriber WHERE id = :n", n=filled.friends[0])[0][0])
    good = f"用户,数量\r\n{filled.one},31\r\n{code},31\r\nwechat:friend-1,31\r\n{filled.friends[2]},31\r\n"
    before = {one: points(house, one) for one in people_}
    number = number_of(uploaded(service, good.encode("gb18030")))
    page = text_of(planning.get(f"{LIST}/{number}").text)
    assert "4 人" in page and "+124 积分" in page and "1.24 元" in page
    assert planning.submit(f"{LIST}/{number}/approve", {"typed": "4"}).status_code == 303
    assert {one: points(house, one) for one in people_} == {one: had + 31 for one, had in before.items()}


def test_every_fault_of_a_list_is_shown_and_nothing_else_is_lost(
    house: ConsoleHouse, filled: Filled, service: Client
) -> None:
    before = rows_of(house, "proposal")
    bad = f"用户,数量\r\n{filled.one},三十\r\n{filled.friends[0]},37\r\n{filled.friends[0]},37\r\n没这人{HOSTILE},1\r\n"
    refused = uploaded(service, bad.encode("gb18030"), kind="goodwill", why=f"补发 {HOSTILE}")
    told = text_of(refused.text)
    assert refused.status_code == 409 and rows_of(house, "proposal") == before
    for words in ("处要改", "第 2 行", "三十 不是整数", "第 4 行", "同一位用户", "补发 <script>alert(1)"):
        assert words in told, words
    assert "<script>alert" not in refused.text and '<option value="goodwill" selected>' in refused.text
    assert f"{filled.friends[0]},37" in refused.text, "the list comes back as text"
    # Mended in place and sent without a file.
    key = re.search(r'name="key" value="([\w-]+)"', refused.text)
    assert key
    rows = f"用户,数量\n{filled.one},37\n{filled.friends[0]},37"
    data = {"way": "sheet", "key": key[1], "kind": "goodwill", "unit": "points", "why": "补发", "rows": rows}
    number = number_of(service.submit(LIST, data, files={"file": ("", b"", "application/octet-stream")}))
    assert "2 人" in text_of(service.get(f"{LIST}/{number}").text)
    for content, words in (
        (b"", "请选择 CSV 文件"),
        (b"PK\x03\x04", "另存为 CSV"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"a,b\n1,2\n", "第一行要是"),
        (b"subscriber,amount\n", "只有表头"),
        (b'subscriber,amount\n"1,2\n', "引号"),
        (b"subscriber,amount\n999999,1\n", "没有用户 999999"),
    ):
        answer = uploaded(service, content)
        assert answer.status_code in (400, 409) and words in text_of(answer.text), (content, answer.status_code)
        assert ('name="rows"' in answer.text) is (content.find(b",") > 0), "what is no text does not come back"


def test_what_is_too_large_is_refused_before_it_is_read(house: ConsoleHouse, service: Client) -> None:
    line = b"subscriber,amount\n" + b"1,1\n" * (sheets.BYTES_MAX // 4)
    assert len(line) > sheets.BYTES_MAX
    answer = uploaded(service, line)
    assert answer.status_code == 409 and "2 MiB" in answer.text
    huge = uploaded(service, b"x" * (sheets.BYTES_MAX + 70_000))
    assert huge.status_code == 413 and "2112 KB" in huge.text
    small = service.submit(f"{LIST}/1/withdraw", {"why": "x" * 70_000})
    assert small.status_code == 413


def test_the_download_holds_no_formula(house: ConsoleHouse, filled: Filled, service: Client) -> None:
    evil = '=HYPERLINK("http://evil.example","x")'
    number = proposed(service, filled.one, -41, why=evil)
    answer = service.get(f"{LIST}/{number}/lines.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == f'attachment; filename="changes-{number}.csv"'
    head, row = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    now = points(house, filled.one)
    assert head == ["编号", "类别", "用户", "变动", "单位", "现在", "之后", "原因"]
    assert row == [str(number), "更正", str(filled.one), "-41", "积分", str(now), str(now - 41), f"'{evil}"]
    sample = service.get(f"{LIST}/sample.csv").content
    assert [one.amount for one in sheets.read(sample)] == [50, 50]


def test_hostile_words_come_out_as_text_everywhere(house: ConsoleHouse, filled: Filled, service: Client) -> None:
    number = proposed(service, filled.one, 43, why=HOSTILE)
    refused = service.submit(LIST, filled_in(service, HOSTILE, HOSTILE, kind=HOSTILE, unit=HOSTILE))
    assert refused.status_code == 400
    unknown = service.submit(LIST, filled_in(service, HOSTILE, 1))
    assert unknown.status_code == 409 and "没有用户" in unknown.text
    assert service.submit(LIST, filled_in(service, filled.one, 1, kind="gift")).status_code == 409
    assert service.submit(LIST, filled_in(service, filled.one, 1, unit="fen")).status_code == 409
    pages = [service.get(path).text for path in (LIST, f"{LIST}/{number}", f"{LIST}/new?who={HOSTILE}&kind={HOSTILE}")]
    for page in (*pages, refused.text, unknown.text):
        assert "<script>alert" not in page and "<img src=x" not in page and ">49<" not in page
    assert html.escape(HOSTILE, quote=True)[:30] in pages[1]


def test_a_branch_proposes_for_its_own_people_and_sees_its_own_proposals(
    house: ConsoleHouse, filled: Filled, service: Client
) -> None:
    north = house.client(house.member("service", branch="north"))
    other = proposed(service, filled.north, 47)
    mine = proposed(north, filled.north, 48)
    listed = north.get(LIST).text
    assert f"{LIST}/{mine}" in listed and f'"{LIST}/{other}"' not in listed
    for path in (f"{LIST}/{other}", f"{LIST}/{other}/lines.csv"):
        assert north.get(path).status_code == 403
    chief = house.client(house.member("planning", branch="north"))
    south = house.client(house.member("planning", branch="south"))
    for what, data in (("approve", {"typed": "1"}), ("decline", {"why": "x"})):
        assert chief.submit(f"{LIST}/{other}/{what}", data).status_code == 403
        assert south.submit(f"{LIST}/{mine}/{what}", data).status_code == 403
    refused = north.submit(LIST, filled_in(north, filled.one, 49))
    assert refused.status_code == 409 and "别的网点" in refused.text
    balance = f"{points(house, filled.one):,} 积分"
    assert balance not in text_of(north.get(f"{LIST}/new?who={filled.one}").text), "nor what they have"
    house.run(lambda connection: _branch(connection, filled.alias, "north"))
    for path in (f"/console/people/{filled.alias}/propose", f"{LIST}/new?who={filled.alias}"):
        assert balance not in text_of(north.get(path).text), "by an earlier number neither"
    house.run(lambda connection: _branch(connection, filled.alias, None))
    stock = {"way": "stock", "key": key_of(north), "kind": "correction", "unit": "stock:gifts.band", "amount": "5"}
    assert north.submit(LIST, stock | {"why": "进货"}).status_code in (403, 409)
    assert chief.submit(f"{LIST}/{mine}/approve", {"typed": "1"}).status_code == 303


def test_stock_is_corrected_by_the_same_way(
    house: ConsoleHouse, filled: Filled, service: Client, planning: Client
) -> None:
    form = service.get(f"{LIST}/new?way=stock").text
    assert "礼品库存 运动手环" in form and 'name="who"' not in form
    data = {"way": "stock", "key": key_of(service), "kind": "correction", "unit": "stock:gifts.band", "amount": "20"}
    number = number_of(service.submit(LIST, data | {"why": "到货 20 只"}))
    page = text_of(planning.get(f"{LIST}/{number}").text)
    assert "+20 件" in page and "不占用预算" in page and "输入行数 1 确认" in page
    assert planning.submit(f"{LIST}/{number}/approve", {"typed": "1"}).status_code == 303
    assert house.sql("SELECT amount FROM balance WHERE account LIKE 'stock/%/gifts.band'")[0][0] == 20


def test_a_movement_is_reversed_once(house: ConsoleHouse, filled: Filled, service: Client, planning: Client) -> None:
    number = proposed(service, filled.one, 59)
    planning.submit(f"{LIST}/{number}/approve", {"typed": "1"})
    before = points(house, filled.one)
    path = f"/console/people/{filled.one}/reverse"
    newest = re.search(r"/reverse\?movement=([\d-]+)", service.get(f"/console/people/{filled.one}").text)
    assert newest
    form = service.get(f"{path}?movement={newest[1]}")
    assert "+59 积分" in text_of(form.text)
    key = re.search(r'name="key" value="([\w-]+)"', form.text)
    assert key
    data = {"movement": newest[1], "key": key[1], "why": "发错了人"}
    empty = service.submit(path, data | {"why": ""})
    assert empty.status_code == 409 and "请写明原因" in empty.text
    reversal = number_of(service.submit(path, data))
    assert number_of(service.submit(path, data)) == reversal
    assert "-59 积分" in text_of(planning.get(f"{LIST}/{reversal}").text)
    assert planning.submit(f"{LIST}/{reversal}/approve", {"typed": "1"}).status_code == 303
    assert points(house, filled.one) == before - 59
    page = service.get(f"/console/people/{filled.one}").text
    assert newest[1] not in page, "it is not offered again"
    again = service.submit(path, data | {"key": secrets.token_urlsafe(16)})
    assert again.status_code == 409 and "已经冲正过" in again.text
    for wild in ("", "1", "1-1", newest[1] + "0", f"{'9' * 18}-1", "x-y"):
        assert service.get(f"{path}?movement={wild}").status_code == 404, wild
        assert service.submit(path, data | {"movement": wild}).status_code == 404, wild
    elsewhere = f"/console/people/{filled.friends[0]}/reverse"
    assert service.get(f"{elsewhere}?movement={newest[1]}").status_code == 404
    assert service.submit(elsewhere, data).status_code == 404


def test_what_no_longer_fits_is_marked_and_refused_whole(
    house: ConsoleHouse, filled: Filled, service: Client, planning: Client
) -> None:
    poor, rich = filled.friends[1], filled.one
    proposal = proposed(service, poor, 100)
    assert planning.submit(f"{LIST}/{proposal}/approve", {"typed": "1"}).status_code == 303
    had = points(house, poor)
    both = number_of(uploaded(service, f"subscriber,amount\n{rich},61\n{poor},{-had}\n".encode()))
    taken = proposed(service, poor, -had + 1)
    assert planning.submit(f"{LIST}/{taken}/approve", {"typed": "1"}).status_code == 303
    before = points(house, rich)
    page = text_of(planning.get(f"{LIST}/{both}").text)
    assert "有 1 处现在通不过" in page and f"用户 {poor} 只有 1 可用" in page and "可以" in page
    refused = planning.submit(f"{LIST}/{both}/approve", {"typed": "2"})
    assert refused.status_code == 409 and f"只有 1 可用，不能减 {had}" in refused.text
    assert (points(house, rich), points(house, poor)) == (before, 1)


def test_of_a_long_list_the_lines_shown_are_judged_and_the_page_says_so(
    house: ConsoleHouse, filled: Filled, service: Client, planning: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    poor, had = filled.friends[2], points(house, filled.friends[2])
    give = proposed(service, poor, 90)
    assert planning.submit(f"{LIST}/{give}/approve", {"typed": "1"}).status_code == 303
    number = number_of(uploaded(service, f"subscriber,amount\n{filled.one},73\n{poor},{-had - 90}\n".encode()))
    take = proposed(service, poor, -80)
    assert planning.submit(f"{LIST}/{take}/approve", {"typed": "1"}).status_code == 303
    monkeypatch.setattr(pages, "_JUDGED", 1)
    monkeypatch.setattr(pages, "_LINES", 1)
    first = text_of(planning.get(f"{LIST}/{number}").text)
    assert "只看过这一页" in first and "现在通不过" not in first and f"用户 {poor}" not in first
    second = text_of(planning.get(f"{LIST}/{number}?after=2").text)
    assert "有 1 处现在通不过" in second and f"用户 {filled.one}" not in second
    assert planning.submit(f"{LIST}/{number}/approve", {"typed": "2"}).status_code == 409


def test_long_lists_go_on_page_by_page_without_a_gap(house: ConsoleHouse, filled: Filled, service: Client) -> None:
    def many(desk: Any) -> None:
        library = house.app.writer.library  # type: ignore[union-attr]
        for n in range(95):
            asked = [Asked(1, str(filled.one), 1000 + n)]
            made = acts.propose(desk, library, "correction", "points", asked, f"many{n}", vault=house.app.vault)
            if n % 2:
                acts.withdraw(desk, made.number)

    house.act(many, "为了翻页")
    for name, state in (("open", ["open"]), ("before", ["approved", "declined", "withdrawn"])):
        section = "open" if name == "open" else "decided"
        seen, pages, page = [], 0, service.get(LIST).text
        while True:
            block = page.partition(f'aria-labelledby="{section}"')[2].partition("</section>")[0]
            seen += [int(found) for found in re.findall(rf'href="{LIST}/(\d+)"', block)]
            pages += 1
            older = re.search(rf"\?{name}=(\d+)", block)
            if not older:
                break
            page = service.get(f"{LIST}?{name}={older[1]}").text
        every = house.sql("SELECT number, state FROM proposal ORDER BY number DESC")
        assert seen == [number for number, stands in every if stands in state] and pages > 1, name
    for wild in ("open=x", "before=-1", f"open={'9' * 40}", "before=0"):
        assert service.get(f"{LIST}?{wild}").status_code == 200, wild


def test_every_page_speaks_english_as_well(house: ConsoleHouse, filled: Filled) -> None:
    both = house.client(house.member("administrator", language="en"))
    number = proposed(both, filled.one, 67, why="lost in the post")
    movement = re.search(r"/reverse\?movement=[\d-]+", both.get(f"/console/people/{filled.one}").text)
    assert movement
    wrong = both.submit(LIST, filled_in(both, "nobody", "1"))
    paths = [f"{LIST}/{number}", f"{LIST}/new", f"{LIST}/new?way=sheet", f"/console/people/{filled.one}{movement[0]}"]
    for page in (*(both.get(path).text for path in paths), wrong.text):
        assert '<html lang="en"' in page
        bare = text_of(
            re.sub(r"<title>.*?</title>|lang=\"zh-CN\">[^<]*<|<textarea.*?</textarea>", "", page, flags=re.S)
        )
        assert re.findall(r"[\u4e00-\u9fff]+", bare) == []


def test_nothing_personal_stands_on_these_pages(house: ConsoleHouse, filled: Filled, service: Client) -> None:
    number = proposed(service, f"wechat:{filled.canaries[0]}", 71)
    texts = [service.get(path).text for path in (LIST, f"{LIST}/{number}", f"{LIST}/{number}/lines.csv")]
    assert [canary for canary in filled.canaries if any(canary in one for one in texts)] == []
    assert house.read(story.person, filled.one)
