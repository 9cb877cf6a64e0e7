"""Proposals while people talk, and several who decide at once: nothing is lost, nothing is done twice, nobody waits for
ever."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from campaigns import proposals
from campaigns.desk import ActRefused
from storage import holds, ledger, people
from storage.store import DatabaseFault, Store, passing
from tests.proposing import LIBRARY, LINE, PLAN, House, housed
from tests.talking import Talk, prepared, run

CROWD = 6


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    with housed(database_url) as house:
        yield house
        assert house.problems() == []


def together(house: House, act: Callable[[int], Any]) -> list[Any]:
    """What becomes of the same act of many at the same moment: its result or why it was refused."""
    gate = Barrier(CROWD)

    def one(number: int) -> Any:
        gate.wait()
        return _until_done(lambda: act(number))

    with ThreadPoolExecutor(CROWD) as crowd:
        return list(crowd.map(one, range(CROWD)))


def _until_done(act: Callable[[], Any]) -> Any:
    """As the writer does: what met a lock comes again; nobody may meet a deadlock."""
    for _ in range(40):
        try:
            return act()
        except ActRefused as refused:
            return refused.en
        except DatabaseFault as fault:
            assert passing(fault) and type(fault.orig).__name__ != "DeadlockDetected", fault
    raise AssertionError("the locks never came free")


def test_of_many_approvers_at_once_one_approves(house: House) -> None:
    crowd = house.people(50)
    made = house.propose("goodwill", [(person, 7) for person in crowd])
    ends = together(house, lambda number: house.approve(made.number, 50, actor=f"staff:{10 + number}").state)
    assert Counter(ends) == {"approved": 1, f"number {made.number} was approved already": CROWD - 1}
    assert all(house.balance(person) == 7 for person in crowd)
    assert len(house.sql("SELECT 1 FROM event WHERE kind = 'proposal.approved'")) == 1


def test_one_approves_while_another_declines_and_the_proposer_withdraws(house: House) -> None:
    (one,) = house.people(1)
    made = house.propose("goodwill", [(one, 7)])

    def act(number: int) -> str:
        with house.store.begin() as connection:
            if number % 3 == 0:
                desk = house.desk(connection, f"staff:{10 + number}")
                return proposals.approve(desk, LIBRARY, made.number, 1, alone=False).state
            if number % 3 == 1:
                return proposals.decline(house.desk(connection, f"staff:{10 + number}"), made.number).state
            return proposals.withdraw(house.desk(connection), made.number).state

    ends = set(together(house, act))
    (state,) = ends & {"approved", "declined", "withdrawn"}
    assert house.balance(one) == (7 if state == "approved" else 0)


def test_of_the_same_asked_at_once_one_is_made(house: House) -> None:
    (one,) = house.people(1)
    ends = together(house, lambda number: house.propose("goodwill", [(one, 7)], key=f"key{number}").number)
    assert sorted(map(str, ends))[0] == "1" and sum(isinstance(end, int) for end in ends) == 1
    same = together(house, lambda number: house.propose("goodwill", [(one, 8)], key="one").number)
    assert set(same) == {2}
    numbered = together(house, lambda number: house.propose("goodwill", [(one, 10 + number)]).number)
    assert sorted(numbered) == list(range(3, 3 + CROWD))


def test_an_opening_balance_in_many_proposals_at_once_comes_once(house: House) -> None:
    one, two = house.people(2)
    made = [house.propose("opening", [(one, 100 + number), (two, 5)]).number for number in range(CROWD)]
    ends = together(house, lambda number: house.approve(made[number], 2).state)
    assert Counter(ends)["approved"] == 1 and sum("already" in end for end in ends) == CROWD - 1
    assert 100 <= house.balance(one) < 100 + CROWD and house.balance(two) == 5


def test_a_stock_that_nobody_opened_yet_is_opened_once(house: House) -> None:
    made = [house.propose("goodwill", [("", 10 + number)], "stock:gifts.band").number for number in range(CROWD)]
    assert together(house, lambda number: house.approve(made[number], 1).state) == ["approved"] * CROWD
    assert house.balance(ledger.stock(PLAN.id, "gifts.band")) == sum(range(10, 10 + CROWD))


def test_people_in_any_order_and_the_same_budget_do_not_lock_each_other_out(house: House) -> None:
    crowd = house.people(300)
    left = house.balance(LINE)
    made = []
    for number in range(CROWD):
        order = crowd if number % 2 else crowd[::-1]
        made.append(house.propose("goodwill", [(person, 1 + number) for person in order]).number)
    assert together(house, lambda number: house.approve(made[number], 300).state) == ["approved"] * CROWD
    each = sum(range(1, 1 + CROWD))
    assert {house.balance(person) for person in crowd} == {each}
    assert left - house.balance(LINE) == each * 300 * (PLAN.points.worth or 0)


def test_what_is_reserved_meanwhile_is_not_taken(house: House) -> None:
    (one,) = house.people(1)
    house.own(one, 100)
    made = house.propose("correction", [(one, -70)]).number

    def act(number: int) -> Any:
        if number == 0:
            return house.approve(made, 1).state
        with house.store.begin() as connection:
            account = ledger.person(one, "points")
            end = house.now + timedelta(days=1)
            hold = holds.Hold(f"h{number}", "points", account, "gifts", 20, PLAN.id, 1, "redeem", end)
            try:
                return holds.reserve(connection, hold, house.now)
            except ledger.Short:
                return "short"

    ends = together(house, act)
    assert ends[0] == "approved" or "free" in ends[0] or "left" in ends[0], ends
    held = ends.count(True) * 20
    assert held == (20 if ends[0] == "approved" else 100)
    assert house.balance(one) == (30 if ends[0] == "approved" else 100)


# ---- beside people who talk


def test_approving_while_the_same_people_check_in_loses_nothing(database_url: str) -> None:
    count, rounds = 40, 4

    async def story() -> None:
        store = prepared(database_url)
        nodes = [Talk(store, "one")]
        if not store.is_sqlite:
            nodes.append(Talk(Store(database_url), "two"))
        names = [f"oCrowd{number}" for number in range(count)]
        for name in names:
            await nodes[0].say("帮助", who=name)
        house = House(database_url, store)
        with store.read() as connection:
            numbers = [people.find(connection, house.vault, "wechat", "main", name) for name in names]
        made = []
        for number in range(2 * rounds):
            order = numbers if number % 2 else numbers[::-1]
            made.append(house.propose("goodwill", [(person, 3 + number) for person in order]).number)

        def act(number: int) -> str:
            return str(_until_done(lambda: house.approve(number, count).state))

        async def job(number: int) -> str:
            """As the console does it: in the writer, between groups."""

            def work(connection: Any) -> str:
                desk = house.desk(connection, "staff:2")
                return proposals.approve(desk, LIBRARY, number, count, alone=False).state

            return await nodes[-1].writer.run(work)

        heard: list[str] = []
        for place in range(rounds):
            for node in nodes:
                node.days(1)
            talking = [
                nodes[n % len(nodes)].say("签到", who=name, key=f"in{place}/{n}") for n, name in enumerate(names)
            ]
            apart = asyncio.to_thread(act, made[2 * place])
            *said, first, second = await asyncio.gather(*talking, apart, job(made[2 * place + 1]))
            assert (first, second) == ("approved", "approved")
            heard += said
        assert len(heard) == count * rounds and all("积分" in words for words in heard)
        for node in nodes:
            await node.writer.close()
        given = sum(range(3, 3 + 2 * rounds))
        earned = house.sql("SELECT COUNT(*), SUM(amount) FROM posting WHERE key LIKE 'checkin%'")[0]
        assert earned[0] == count * rounds
        balances = [house.balance(number) for number in numbers if number]
        assert sum(balances) == int(earned[1]) + given * count and len(set(balances)) == 1
        assert house.problems() == []
        store.close()

    run(story())


@pytest.mark.timeout(240)
def test_twenty_thousand_lines_in_one_transaction(house: House) -> None:
    crowd = house.people(20_000)
    for name in ("goodwill", "correction"):
        asked = [(f"wechat:o{person}", 5 if name == "goodwill" else -2) for person in crowd]
        began = time.perf_counter()
        made = house.propose(name, asked)
        proposed = time.perf_counter()
        house.approve(made.number, 20_000)
        ended = time.perf_counter()
        kind = make_url(str(house.store.url)).get_backend_name()
        print(f"{kind} {name}: proposed in {proposed - began:.2f} s, approved in {ended - proposed:.2f} s")
    assert house.sql("SELECT COUNT(*), MIN(amount), MAX(amount) FROM balance WHERE owner IS NOT NULL")[0] == (
        20_000,
        3,
        3,
    )
    assert len(house.sql("SELECT 1 FROM event WHERE kind = 'corrected'")) == 40_000


def test_a_proposal_costs_the_same_few_statements_whatever_its_length(house: House) -> None:
    from sqlalchemy import event

    from storage import bulk

    def statements(act: Callable[[], Any]) -> int:
        counted = [0]
        run_, execute = bulk._run, bulk._execute

        def counting(*arguments: Any, **more: Any) -> Any:
            counted[0] += 1
            return execute(*arguments, **more)

        def before(*arguments: Any) -> None:
            counted[0] += 1

        bulk._execute = counting  # type: ignore[assignment]
        event.listen(house.store.engine, "before_cursor_execute", before)
        try:
            act()
        finally:
            bulk._execute = execute
            assert bulk._run is run_
            event.remove(house.store.engine, "before_cursor_execute", before)
        return counted[0]

    crowd = house.people(400)
    costs = []
    for size in (2, 400):
        made: list[int] = []
        asked = [(f"wechat:o{person}", 5) for person in crowd[:size]]
        proposing = statements(lambda a=asked, m=made: m.append(house.propose("opening", a).number))
        if size == 400:
            house.sql("DELETE FROM posting WHERE key LIKE 'opening/%'")
            house.sql("UPDATE balance SET amount = 0 WHERE owner IS NOT NULL")
        costs.append((proposing, statements(lambda m=made, s=size: house.approve(m[0], s))))
        house.sql("DELETE FROM posting WHERE reason = 'opening'")
        house.sql("UPDATE balance SET amount = 0 WHERE owner IS NOT NULL")
        house.sql("UPDATE balance SET amount = :a WHERE account = :l", a=40_000_000, l=LINE)
    assert costs[0] == costs[1], costs
    assert max(map(max, costs)) < 60, costs


def test_a_long_proposal_is_read_page_by_page(house: House) -> None:
    crowd = house.people(3_000)
    made = house.propose("goodwill", [(person, 1) for person in crowd])
    with house.store.read() as connection:
        desk = house.desk(connection)
        pages = [proposals.lines(desk, made.number, after, 50) for after in (0, 50, 2_990)]
    assert [len(page) for page in pages] == [50, 50, 10] and pages[1][0].line == 51
