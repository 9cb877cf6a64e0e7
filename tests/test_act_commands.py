"""`koukou act`: what is proposed, shown and decided from the command line, alone and beside a serving process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.played.wechat import PlayedWeChat
from campaigns import proposals, sheets
from storage import ledger
from storage.store import Store
from tests.commands import koukou, koukou_apart
from tests.proposing import LIBRARY, House, housed
from tests.serving import Node, free_port
from tests.talking import SECRET

SETTINGS = """
[service]
plan = "{plan}"
[storage]
url = "{url}"
secret = "{secret}"
[console]
second_person = {second}
"""


class Desk:
    """A command line at a house's database."""

    def __init__(self, house: House, url: str, folder: Path) -> None:
        self.house, self._url, self._folder = house, url, folder
        self.second(True)

    def second(self, needed: bool) -> None:
        told = {"plan": "content/family-network", "url": self._url, "secret": SECRET.decode()}
        self.config = self._folder / "config.toml"
        self.config.write_text(SETTINGS.format(second=str(needed).lower(), **told))

    def act(self, *words: str, code: int = 0) -> str:
        """What `koukou act` says, both streams; it ends with this exit code."""
        self.house.store.close()
        done = koukou(self.config, "act", *words)
        assert done.exit_code == code, done.output
        self.house.store = Store(self._url)
        return done.output

    def json(self, *words: str) -> Any:
        return json.loads(self.act(*words, "--json"))


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Desk]:
    with housed(database_url) as house:
        yield Desk(house, database_url, tmp_path)
        assert house.problems() == []


def test_one_person_is_proposed_shown_and_approved_by_a_colleague(desk: Desk) -> None:
    one, two = desk.house.people(2)
    said = desk.act("goodwill", f"wechat:o{one}", "50", "--why", "the outage")
    for words in ("Number 1, goodwill", "+50 points", "Cost: 0.50 yuan", "400,000.00 yuan left", "somebody else"):
        assert words in said, said
    assert "somebody else" in desk.act("approve", "1", "--yes", "1", code=1)
    assert "--again" in desk.act("goodwill", str(one), "50", "--why", "the outage", code=1)
    desk.act("goodwill", str(one), "50", "--why", "the outage", "--again")
    assert "withdrawn" in desk.act("withdraw", "2")
    desk.house.approve(1)
    shown = desk.act("show", "1")
    assert "approved and done" in shown and f"{one}\t+50\t50 -> 50" in shown
    document = desk.json("show", "1")
    assert (document["state"], document["cost"]["fen"]) == ("approved", 50)
    assert document["people"][0]["subscriber"] == one
    assert [one["number"] for one in desk.json("list", "--state", "approved")] == [1]
    assert [one["state"] for one in desk.json("list")] == ["withdrawn", "approved"]
    posting = desk.house.sql("SELECT id FROM posting WHERE key = 'proposal/1/L1'")[0][0]
    assert "reversal: 1 line, -50 points" in desk.act("reverse", str(posting), "--why", "wrong person")
    assert "declined" in _declined(desk, 3)
    assert desk.house.balance(two) == 0


def _declined(desk: Desk, number: int) -> str:
    with desk.house.store.begin() as connection:
        return proposals.decline(desk.house.desk(connection, "staff:2"), number).state


def test_alone_the_operator_approves_after_saying_how_many(desk: Desk) -> None:
    desk.second(False)
    one, two = desk.house.people(2)
    desk.house.own(one, 10)
    assert "koukou act approve 1 --yes 1" in desk.act("correction", str(one), "-4", "--why", "a typo")
    assert "--yes" in desk.act("approve", "1", code=1)
    assert "not 2" in desk.act("approve", "1", "--yes", "2", code=1)
    assert desk.house.balance(one) == 10
    for _ in range(2):
        assert "approved and done" in desk.act("approve", "1", "--yes", "1")
    assert desk.house.balance(one) == 6
    assert "was approved already" in desk.act("withdraw", "1", code=1)
    assert "withdraw it" not in desk.act("decline", "1", "--why", "late", code=1)
    desk.act("correction", "12", "--unit", "stock:earphones", "--why", "counted")
    desk.act("approve", "2", "--yes", "1")
    assert desk.house.balance(ledger.stock(LIBRARY.plan.id, "gifts.earphones")) == 12
    assert "no number 9" in desk.act("show", "9", code=1)
    desk.act("opening", str(two), "5", "--unit", "chances", "--why", "the old programme")


def test_a_file_is_proposed_whole_or_every_fault_is_named(desk: Desk, tmp_path: Path) -> None:
    crowd = desk.house.people(5)
    sheet = tmp_path / "people.csv"
    sheet.write_bytes(sheets.write([["subscriber", "amount"], *((person, 7) for person in crowd)]))
    assert "5 lines, +35 points" in desk.act("opening", "--file", str(sheet), "--why", "the old programme")
    before = desk.house.everything()
    sheet.write_text("用户,数量\n99999,5\n" + f"{crowd[0]},1.5\n", "gb18030")
    said = desk.act("goodwill", "--file", str(sheet), "--why", "x", code=1)
    assert "line 3: 1.5 is no whole number" in said and "nothing was changed" in said
    sheet.write_text("subscriber,amount\n" + "".join(f"{number},5\n" for number in range(90_000, 90_060)))
    said = desk.act("goodwill", "--file", str(sheet), "--why", "x", code=1)
    assert "line 2: nobody is called 90000" in said and "line 51:" in said and "and 10 more" in said
    assert "cannot read" in desk.act("goodwill", "--file", str(tmp_path / "none.csv"), "--why", "x", code=1)
    assert desk.house.everything() == before


@pytest.mark.parametrize(
    "words",
    [
        ("goodwill", "5001", "5"),
        ("goodwill", "--why", "x"),
        ("goodwill", "5001", "--why", "x"),
        ("goodwill", "5001", "5.5", "--why", "x"),
        ("goodwill", "5001", "5", "6", "--why", "x"),
        ("correction", "5001", "--five", "5", "--why", "x"),
        ("goodwill", "5001", "5", "--file", "x.csv", "--why", "x"),
        ("approve", "one"),
        ("list", "--state", "half"),
        ("reverse", "--why", "x"),
    ],
)
def test_wrong_usage_ends_with_two(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(f'[storage]\nurl = "sqlite:///{tmp_path}/k.db"\n')
    assert koukou(tmp_path / "config.toml", "act", *words).exit_code == 2


@pytest.mark.timeout(240)
def test_beside_a_serving_process_a_file_of_thousands_is_handed_over(tmp_path: Path) -> None:
    """Over the socket: the whole file, every fault of it, and the plan's rules as the service has them."""
    url = f"sqlite:///{tmp_path}/koukou.db"
    with housed(url) as house:
        crowd = house.people(20_000)
    sheet, wrong = tmp_path / "people.csv", tmp_path / "wrong.csv"
    sheet.write_bytes(sheets.write([["subscriber", "amount"], *((person, 2) for person in crowd)]))
    wrong.write_bytes(sheets.write([["subscriber", "amount"], *((person + 10**6, 2) for person in crowd[:8])]))

    async def story() -> None:
        with PlayedWeChat() as world:
            node = Node(tmp_path, url, free_port(), world)

            def act(*words: str, code: int = 0) -> str:
                done = koukou_apart(node.config, "act", *words)
                assert done.returncode == code, done.stdout + done.stderr
                return done.stdout + done.stderr

            try:
                await node.begin()
                said = await asyncio.to_thread(act, "goodwill", "--file", str(sheet), "--why", "the outage")
                assert "20000 lines, +40,000 points" in said and "Cost: 400.00 yuan" in said
                said = await asyncio.to_thread(act, "goodwill", "--file", str(wrong), "--why", "x", code=1)
                assert said.count("nobody is called") == 8, "all faults come back over the socket"
                assert "somebody else" in await asyncio.to_thread(act, "approve", "1", "--yes", "20000", code=1)
                assert "withdrawn" in await asyncio.to_thread(act, "withdraw", "1")
                assert not node.broken()
            finally:
                node.kill()

    asyncio.run(story())
