"""Goodwill, corrections, opening balances and reversals: every rule, on both databases, and that a refusal changes
nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from campaigns import proposals
from campaigns.desk import ActRefused, NotAllowed
from campaigns.moves import InForce
from campaigns.proposals import Asked, Unfit
from storage import acts, holds, ledger
from tests.proposing import FUND, LIBRARY, LINE, PLAN, House, housed, with_points
from tests.talking import run, talking

WORTH = PLAN.points.worth or 0
BAND = "stock:gifts.band"


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    with housed(database_url) as house:
        yield house
        assert house.problems() == []


def refused(house: House, act: Callable[[], Any], *words: str, kind: type[ActRefused] = ActRefused) -> ActRefused:
    """The act is refused with these words in it, and nothing has changed."""
    before = house.everything()
    with pytest.raises(kind) as caught:
        act()
    assert house.everything() == before
    for word in words:
        assert word in caught.value.en, caught.value.en
    assert caught.value.zh and caught.value.zh != caught.value.en
    return caught.value


def events(house: House, kind: str) -> list[tuple[str, int | None, dict[str, Any]]]:
    rows = house.sql("SELECT actor, subscriber, data FROM event WHERE kind = :k ORDER BY id", k=kind)
    return [(row.actor, row.subscriber, json.loads(row.data)) for row in rows]


# ---- the whole way


def test_goodwill_is_proposed_by_one_approved_by_another_and_paid_for(house: House) -> None:
    one, two, three = house.people(3)
    left = house.balance(LINE)
    who = [(one, 30), (house.code(two), 12), (f"wechat:o{three}", 8)]
    made = house.propose("goodwill", who, why=" the outage of Monday ")
    assert (made.number, made.state, made.lines, made.total, made.why) == (1, "open", 3, 50, "the outage of Monday")
    assert [house.balance(person) for person in (one, two, three)] == [0, 0, 0], "nothing moves before approval"
    assert house.balance(LINE) == left
    with house.store.read() as connection:
        desk = house.desk(connection)
        price = proposals.cost(desk, LIBRARY, made)
        shown = proposals.lines(desk, 1, 1, 1)
    assert (price.fen, price.line, price.left) == (50 * WORTH, PLAN.points.line, left)
    assert [(line.line, line.subscriber, line.amount, line.have, line.would) for line in shown] == [(2, two, 12, 0, 12)]

    done = house.approve(1)
    assert (done.state, done.decided_by) == ("approved", "staff:2")
    assert [house.balance(person) for person in (one, two, three)] == [30, 12, 8]
    assert (house.balance(LINE), house.moved(LINE, FUND)) == (left - 50 * WORTH, 50 * WORTH)
    assert events(house, "proposal.made") == [
        ("staff:1", None, {"proposal": 1, "kind": "goodwill", "unit": "points", "lines": 3, "total": 50})
    ]
    assert events(house, "proposal.approved")[0][2]["alone"] == 0
    told = {"proposal": 1, "kind": "goodwill", "unit": "points", "amount": 12}
    assert events(house, "corrected")[1] == ("system", two, told)
    causes = "SELECT e.subscriber FROM posting p JOIN event e ON e.id = p.event WHERE p.key LIKE 'proposal/1/L%'"
    assert sorted(row[0] for row in house.sql(causes)) == [one, two, three]
    with house.store.read() as connection:
        desk = house.desk(connection)
        assert proposals.cost(desk, LIBRARY, done).fen == 50 * WORTH
        assert [line.would for line in proposals.lines(desk, 1)] == [30, 12, 8]


def test_a_correction_takes_away_and_gives_the_money_back(house: House) -> None:
    one, two = house.people(2)
    house.own(one, 100)
    left = house.balance(LINE)
    house.done("correction", [(one, -70), (two, 20)])
    assert (house.balance(one), house.balance(two)) == (30, 20)
    assert house.moved(FUND, LINE) == 50 * WORTH and house.balance(LINE) == left + 50 * WORTH
    nothing = house.done("correction", [(one, 5), (two, -5)])
    assert nothing.total == 0 and house.balance(LINE) == left + 50 * WORTH


def test_chances_and_stock_move_without_money(house: House) -> None:
    (one,) = house.people(1)
    left = house.balance(LINE)
    house.done("goodwill", [(one, 3)], "chances")
    assert house.balance(one, "chances") == 3 and house.balance(LINE) == left
    stock = ledger.stock(PLAN.id, "gifts.band")
    house.done("correction", [("", 40)], BAND)
    house.done("correction", [("", -15)], BAND)
    assert house.balance(stock) == 25 and house.balance(LINE) == left
    assert events(house, "corrected")[-1][1] is None
    refused(house, lambda: house.propose("correction", [("", -26)], BAND), "only 25", kind=Unfit)
    refused(house, lambda: house.propose("correction", [(one, 5)], BAND), "nobody's", kind=Unfit)
    with house.store.read() as connection:
        assert proposals.cost(house.desk(connection), LIBRARY, proposals.find(house.desk(connection), 1)).line == ""


def test_units_are_those_of_the_plan(house: House) -> None:
    (one,) = house.people(1)
    known = proposals.units(PLAN)
    assert {"points", "chances", BAND, "stock:prizes.band", "stock:gifts.earphones"} <= known.keys()
    assert house.propose("goodwill", [("", 1)], "stock:earphones").unit == "stock:gifts.earphones"
    for unit, words in (
        ("stock:band", (BAND, "stock:prizes.band")),
        ("stock:boat", ("no such unit", "points", BAND)),
        ("credit", ("no such unit",)),
        ("", ("no such unit",)),
    ):
        refused(house, lambda unit=unit: house.propose("goodwill", [(one, 1)], unit), *words)
    refused(house, lambda: house.propose("opening", [("", 1)], BAND), "points or chances")
    refused(house, lambda: house.propose("gift", [(one, 1)]), "no such kind")


def test_an_opening_balance_comes_once_per_person_unit_and_campaign(house: House) -> None:
    one, two = house.people(2)
    first = house.propose("opening", [(one, 500)])
    other = house.propose("opening", [(one, 400), (two, 5)])
    house.approve(first.number)
    assert house.sql("SELECT key FROM posting WHERE key LIKE 'opening/%'")[0][0] == f"opening/{PLAN.id}/points/{one}"
    refused(house, lambda: house.propose("opening", [(two, 1), (one, 1)]), "line 2", "already", kind=Unfit)
    refused(house, lambda: house.approve(other.number), "line 1", "already", kind=Unfit)
    house.done("opening", [(one, 2)], "chances")
    assert (house.balance(one), house.balance(one, "chances"), house.balance(two)) == (500, 2, 0)


def test_what_an_alias_had_the_older_person_had(house: House) -> None:
    older, younger = house.people(2)
    house.done("opening", [(younger, 50)])
    waiting = house.propose("goodwill", [(younger, 7), (older, 7)])
    house.sql("UPDATE subscriber SET status = 'alias', alias_of = :o WHERE id = :y", o=older, y=younger)
    refused(house, lambda: house.propose("opening", [(older, 1)]), "already", kind=Unfit)
    made = house.propose("goodwill", [(younger, 9)])
    assert house.sql("SELECT subscriber FROM proposal_line WHERE proposal = :n", n=made.number)[0][0] == older
    refused(house, lambda: house.propose("goodwill", [(older, 1), (younger, 2)]), "same person", kind=Unfit)
    refused(house, lambda: house.approve(waiting.number), "line 2", "same person", kind=Unfit)
    house.approve(made.number)
    assert house.balance(older) == 9


# ---- reversals


def test_a_movement_is_reversed_once_and_its_money_comes_back(house: House) -> None:
    (one,) = house.people(1)
    given = house.done("goodwill", [(one, 60)])
    posting = house.sql("SELECT id, key FROM posting WHERE key LIKE 'proposal/1/L%'")[0]
    left = house.balance(LINE)
    made = house.propose("reversal", [(posting.key, 0)], "")
    assert (made.unit, made.total, given.number) == ("points", -60, 1)
    with house.store.read() as connection:
        desk = house.desk(connection)
        assert proposals.cost(desk, LIBRARY, made).fen == -60 * WORTH
        assert proposals.lines(desk, made.number)[0].posting == posting.id
    again = house.propose("reversal", [(posting.id, 0)], "", again=True)
    house.approve(made.number)
    assert house.balance(one) == 0 and house.balance(LINE) == left + 60 * WORTH
    assert house.sql("SELECT reverses FROM posting WHERE reason = 'reversal' AND unit = 'points'")[0][0] == posting.id
    refused(house, lambda: house.approve(again.number), "reversed already", kind=Unfit)
    refused(house, lambda: house.propose("reversal", [(posting.id, 0)], "", again=True), "reversed already", kind=Unfit)
    undoing = house.sql("SELECT id FROM posting WHERE reason = 'reversal' AND unit = 'points'")[0][0]
    refused(house, lambda: house.propose("reversal", [(undoing, 0)], ""), "a reversal itself", kind=Unfit)


def test_what_was_earned_goes_back_where_it_came_from_without_money(database_url: str) -> None:
    async def story() -> None:
        async with talking(database_url) as talk:
            await talk.say("签到")

    run(story())
    with housed(database_url) as house:
        row = house.sql("SELECT id, key, source, destination, amount FROM posting WHERE key LIKE 'checkin%'")[0]
        left, fund = house.balance(LINE), house.moved(FUND, LINE)
        issued = house.balance(row.source)
        house.done("reversal", [(row.id, 0)], "")
        assert house.balance(row.source) == issued + row.amount and house.balance(row.destination) == 0
        assert (house.balance(LINE), house.moved(FUND, LINE)) == (left, fund)
        block = house.sql("SELECT id FROM posting WHERE key LIKE 'block/%'")
        refused(house, lambda: house.propose("reversal", [(block[0].id, 0)], ""), "a person's account", kind=Unfit)
        assert house.problems() == []


def test_what_is_spent_cannot_be_reversed_and_what_moved_with_its_person_can(house: House) -> None:
    older, younger, third = house.people(3)
    spent, moved = house.own(older, 50), house.own(younger, 30)
    house.done("correction", [(older, -45)])
    text = refused(house, lambda: house.propose("reversal", [(spent, 0)], ""), "has only 5", "50", kind=Unfit)
    assert "只有 5" in text.zh
    refused(house, lambda: house.propose("reversal", [(spent, 0), (spent, 0)], ""), "same movement", kind=Unfit)
    refused(house, lambda: house.propose("reversal", [("nowhere", 0), (7, 0)], ""), "line 1", "line 2", kind=Unfit)
    chance = house.own(third, 2, "chances")
    refused(house, lambda: house.propose("reversal", [(moved, 0), (chance, 0)], ""), "one unit", kind=Unfit)
    refused(house, lambda: house.propose("reversal", [(moved, 0)], "chances"), "is of points")
    # Joined, as storage/joining.py does it: what the younger had is the older's now.
    house.sql("UPDATE subscriber SET status = 'alias', alias_of = :o WHERE id = :y", o=older, y=younger)
    with house.store.begin() as connection:
        ends = (ledger.person(younger, "points"), ledger.person(older, "points"))
        acts.post(connection, ledger.Posting("join/x", "points", *ends, 30, PLAN.id, 1, "joined"), house.now)
    joined = house.sql("SELECT id FROM posting WHERE key = 'join/x'")[0][0]
    refused(house, lambda: house.propose("reversal", [(joined, 0)], ""), "a person's account", kind=Unfit)
    house.done("reversal", [(moved, 0)], "")
    assert house.balance(older) == 5
    refused(house, lambda: house.propose("reversal", [(moved, 0)], "", again=True), "already", kind=Unfit)


# ---- refusals


def test_who_falls_short_is_named_with_what_they_have_and_nobody_is_changed(house: House) -> None:
    people = house.people(6)
    for person in people:
        house.own(person, 10)
    with house.store.begin() as connection:
        account = ledger.person(people[0], "points")
        held = holds.Hold("h", "points", account, "gifts", 4, PLAN.id, 1, "redeem", house.now + timedelta(days=1))
        holds.reserve(connection, held, house.now)
    made = house.propose("correction", [(person, -6) for person in people])
    house.done("correction", [(person, -5) for person in people[1:]])
    found = refused(house, lambda: house.approve(made.number), "line 2", "has only 5", "and 2 more", kind=Unfit)
    assert isinstance(found, Unfit) and [fault.line for fault in found.faults] == [2, 3, 4, 5, 6]
    assert "第 2 行" in found.zh and "另有 2 处" in found.zh
    house.own(people[1], 100, key="later")
    for person in people[2:]:
        house.own(person, 100)
    house.approve(made.number)
    assert house.balance(people[0]) == 4, "down to what is held"


def test_guests_gather_up_to_the_cap_and_wait(house: House) -> None:
    guest, other = house.people(2, guest=True)
    cap = PLAN.points.guest_cap
    house.done("goodwill", [(guest, cap - 1)])
    assert house.balance(ledger.held(guest, "points")) == cap - 1 and house.balance(guest) == 0
    refused(house, lambda: house.propose("goodwill", [(other, cap), (guest, 2)]), "line 2", f"most {cap}", kind=Unfit)
    house.done("correction", [(guest, -5)])
    made = house.propose("goodwill", [(guest, 6)])
    house.done("goodwill", [(other, 5)], "chances")
    assert house.balance(ledger.held(other, "chances")) == 5
    house.sql("UPDATE subscriber SET guest = FALSE WHERE id = :n", n=guest)
    house.approve(made.number)
    assert house.balance(guest) == 6, "known meanwhile: it arrives where they are now"


def test_the_budget_line_pays_or_it_is_refused_with_what_is_missing(house: House) -> None:
    (one,) = house.people(1)
    left = house.balance(LINE)
    dear = with_points(worth=left)
    house.propose("goodwill", [(one, 1)], library=dear)
    missing = f"{(left * 2 - left) // 100:,}"
    refused(house, lambda: house.propose("goodwill", [(one, 2)], library=dear), "short", missing)
    made = house.propose("goodwill", [(one, 2)])
    refused(house, lambda: house.approve(made.number, library=dear), "short", missing)
    unset = with_points(worth=None)
    refused(house, lambda: house.propose("goodwill", [(one, 3)], library=unset), "worth", "[points]")
    refused(house, lambda: house.approve(made.number, library=unset), "worth", "[points]")
    with house.store.read() as connection:
        assert proposals.cost(house.desk(connection), unset, made).fen is None
    free = with_points(worth=0)
    house.done("goodwill", [(one, 4)], library=free)
    assert house.balance(one) == 4 and house.balance(LINE) == left


@pytest.mark.parametrize(
    ("kind", "amount", "words"),
    [
        ("goodwill", 0, "is 0"),
        ("goodwill", -5, "only adds"),
        ("opening", -5, "only adds"),
        ("correction", 0, "is 0"),
        ("goodwill", 1_000_000_001, "beyond"),
        ("correction", -1_000_000_001, "beyond"),
        ("goodwill", True, "beyond"),
        ("goodwill", 1.0, "beyond"),
    ],
)
def test_amounts_are_whole_and_of_the_right_sign(house: House, kind: str, amount: Any, words: str) -> None:
    (one,) = house.people(1)
    refused(house, lambda: house.propose(kind, [(one, amount)]), words, kind=Unfit)


def test_everybody_who_is_unknown_erased_or_named_twice_is_a_fault_by_line(house: House) -> None:
    one, two, gone = house.people(3)
    house.sql("UPDATE subscriber SET status = 'erased' WHERE id = :n", n=gone)
    who: list[tuple[Any, int]] = [
        (one, 1),
        ("99999", 1),
        (f"wechat/second:o{two}", 1),
        (f"telegram:o{two}", 1),
        ("ABCDEFGH", 1),
        ("什么", 1),
        (f"wechat:o{one}", 1),
        (gone, 1),
        ("", 1),
        ("x" * 5000, 1),
        (two, 0),
    ]
    found = refused(house, lambda: house.propose("goodwill", who), "and 7 more", kind=Unfit)
    assert isinstance(found, Unfit)
    assert [fault.line for fault in found.faults] == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert max(len(fault.en) for fault in found.faults) < 100
    waiting = house.propose("goodwill", [(two, 1)])
    house.sql("UPDATE subscriber SET status = 'erased' WHERE id = :n", n=two)
    refused(house, lambda: house.approve(waiting.number), "erased", kind=Unfit)


def test_words_that_are_a_number_and_a_code_of_two_people_name_nobody(house: House) -> None:
    one, two = house.people(1) + house.people(1, first=23456789)
    house.sql("UPDATE subscriber SET code = '23456789' WHERE id = :n", n=one)
    refused(house, lambda: house.propose("goodwill", [("23456789", 1)]), str(one), str(two), kind=Unfit)


def test_a_reason_is_asked_of_everybody(house: House) -> None:
    (one,) = house.people(1)
    for actor in ("staff:1", "operator"):
        for why in ("", "  \n", "长" * 401):
            refused(house, lambda a=actor, w=why: house.propose("goodwill", [(one, 1)], actor=a, why=w))
    made = house.propose("goodwill", [(one, 1)], why="长" * 400)

    def decline(why: str) -> None:
        with house.store.begin() as connection:
            proposals.decline(house.desk(connection, "staff:2", why=why), made.number)

    refused(house, lambda: decline(" "), "say why")
    decline("not ours")
    assert house.sql("SELECT decided_why FROM proposal")[0][0] == "not ours"
    assert "长" not in str(house.sql("SELECT data FROM event")) and "ours" not in str(
        house.sql("SELECT data FROM event")
    )


def test_how_much_fits_into_one_proposal(house: House) -> None:
    many = [Asked(line, "1", 1) for line in range(1, proposals.LINES_MAX + 2)]
    for lines, words in (([], "nobody"), (many, "at most 20,000")):
        with house.store.begin() as connection, pytest.raises(ActRefused, match=words):
            proposals.propose(house.desk(connection), LIBRARY, "goodwill", "points", lines, "k", vault=house.vault)
    for lines in ([Asked(0, "1", 1)], [Asked(1, "1", 1), Asked(1, "2", 1)]):
        with house.store.begin() as connection, pytest.raises(ValueError, match="numbered"):
            proposals.propose(house.desk(connection), LIBRARY, "goodwill", "points", lines, "k", vault=house.vault)


# ---- once


def test_the_same_key_is_one_proposal_and_the_same_contents_are_noticed(house: House) -> None:
    one, two = house.people(2)
    first = house.propose("goodwill", [(one, 5), (two, 6)], key="form")
    assert house.propose("goodwill", [(two, 6), (f"wechat:o{one}", 5)], key="form") == first, "in any order and name"
    refused(house, lambda: house.propose("goodwill", [(one, 5)], key="form"), "number 1", "other contents")
    refused(house, lambda: house.propose("goodwill", [(two, 6), (one, 5)]), "number 1", "waits", "--again")
    house.propose("goodwill", [(one, 5), (two, 6)], "chances")
    house.propose("correction", [(one, 5), (two, 6)])
    approved = house.approve(1)
    assert house.propose("goodwill", [(one, 5), (two, 6)], key="form") == approved
    refused(house, lambda: house.propose("goodwill", [(two, 6), (one, 5)]), "number 1", "approved within a day")
    assert house.propose("goodwill", [(two, 6), (one, 5)], again=True).number == 4
    with house.store.begin() as connection:
        proposals.withdraw(house.desk(connection), 4)
    house.now += timedelta(hours=24)
    assert house.propose("goodwill", [(two, 6), (one, 5)]).number == 5


def test_the_same_key_of_an_opening_balance_that_was_approved_gives_it_back(house: House) -> None:
    (one,) = house.people(1)
    done = house.done("opening", [(one, 5)], key="form")
    assert house.propose("opening", [(one, 5)], key="form") == done


def test_an_open_proposal_is_decided_once(house: House) -> None:
    (one,) = house.people(1)

    def act(name: str, number: int, actor: str) -> proposals.Proposal:
        with house.store.begin() as connection:
            done: proposals.Proposal = getattr(proposals, name)(house.desk(connection, actor), number)
            return done

    ways: dict[str, Callable[[int, str], proposals.Proposal]] = {
        "approved": lambda number, actor: house.approve(number, actor=actor),
        "declined": lambda number, actor: act("decline", number, actor),
        "withdrawn": lambda number, actor: act("withdraw", number, actor),
    }
    for state, decide in ways.items():
        made = house.propose("goodwill", [(one, 10)], again=True)
        who = "staff:1" if state == "withdrawn" else "staff:2"
        done = decide(made.number, who)
        assert done.state == state
        before = house.everything()
        assert decide(made.number, who) == done and house.everything() == before, "pressed twice"
        for other, again in ways.items():
            actor = "staff:1" if other == "withdrawn" else "staff:3"
            if other != state or actor != who:
                refused(house, lambda a=again, n=made.number, w=actor: a(n, w), "already")
    assert house.balance(one) == 10


def test_who_proposed_does_not_approve_unless_alone_and_the_count_is_what_they_saw(house: House) -> None:
    one, two = house.people(2)
    for actor in ("staff:1", "operator"):
        made = house.propose("goodwill", [(one, 5), (two, 6)], actor=actor, again=True)
        refused(house, lambda n=made.number, a=actor: house.approve(n, actor=a), "somebody else")
        refused(house, lambda n=made.number: house.approve(n, 1), "2 lines", "not 1")
        refused(house, lambda n=made.number, a=actor: _decline(house, n, a), "withdraw it")
        house.approve(made.number, actor=actor, alone=True)
    assert [event[2]["alone"] for event in events(house, "proposal.approved")] == [1, 1]
    made = house.propose("goodwill", [(one, 7)])
    with house.store.begin() as connection, pytest.raises(NotAllowed):
        proposals.withdraw(house.desk(connection, "staff:2"), made.number)
    house.approve(made.number, alone=True)
    assert events(house, "proposal.approved")[-1][2]["alone"] == 0


def _decline(house: House, number: int, actor: str) -> None:
    with house.store.begin() as connection:
        proposals.decline(house.desk(connection, actor), number)


def test_a_branch_sees_and_names_its_own_people_only(house: House) -> None:
    north, south = house.people(1, branch="north") + house.people(1, first=6001, branch="south")
    (nobodys,) = house.people(1, first=7001)
    for who in (south, nobodys):
        found = refused(
            house,
            lambda w=who: house.propose("goodwill", [(north, 1), (w, 1)], branch="north"),
            "line 2",
            "another branch",
        )
        assert isinstance(found, Unfit)
    refused(house, lambda: house.propose("correction", [("", 1)], BAND, branch="north"), "whole campaign")
    own = house.propose("goodwill", [(north, 1)], branch="north")
    every = house.propose("goodwill", [(north, 2), (south, 2)])
    with house.store.read() as connection:
        desk = house.desk(connection, branch="north")
        assert [one.number for one in proposals.listed(desk)] == [own.number]
        assert [one.number for one in proposals.listed(house.desk(connection))] == [every.number, own.number]
        for read in (proposals.find, proposals.lines):
            with pytest.raises(NotAllowed):
                read(desk, every.number)
    refused(house, lambda: house.approve(own.number, 1, branch="south"), "another branch", kind=NotAllowed)
    refused(house, lambda: house.approve(every.number, 2, branch="north"), "another branch", kind=NotAllowed)
    house.sql("UPDATE subscriber SET branch = 'south' WHERE id = :n", n=north)
    refused(house, lambda: house.approve(own.number, branch="north"), "another branch", kind=Unfit)
    house.approve(own.number)


def test_lists_go_by_state_and_page(house: House) -> None:
    (one,) = house.people(1)
    for amount in range(1, 6):
        house.propose("goodwill", [(one, amount)])
    house.approve(2)
    with house.store.read() as connection:
        desk = house.desk(connection)
        assert [one.number for one in proposals.listed(desk, "open", 5, 2)] == [4, 3]
        assert [one.number for one in proposals.listed(desk, "approved")] == [2]
        for number in (0, 6, -1, 2**40):
            with pytest.raises(proposals.NoSuchProposal, match="koukou act list"):
                proposals.find(desk, number)


# ---- the plan in force


def test_a_plan_that_this_process_has_not_read_yet_is_read_anew(house: House) -> None:
    (one,) = house.people(1)
    stale = InForce(with_points(worth=10**9).plan, 0)
    made = house.propose("goodwill", [(one, 5)], library=stale)
    assert made.revision == 1
    house.approve(made.number, library=stale)
    assert house.moved(LINE, FUND) == 5 * WORTH, "by the worth of the revision in force"


def test_another_campaigns_proposal_is_not_approved_under_this_plan(house: House) -> None:
    (one,) = house.people(1)
    made = house.propose("goodwill", [(one, 5)])
    house.sql("UPDATE proposal SET campaign = 'other'")
    refused(house, lambda: house.approve(made.number), "campaign other")


# ---- told


def test_the_person_reads_why_in_their_history(database_url: str) -> None:
    async def story() -> None:
        async with talking(database_url) as talk:
            await talk.say("签到", who="oTold")
            house = House(database_url, talk.store)
            for number, kind in enumerate(("goodwill", "opening", "correction"), 1):
                house.done(kind, [("wechat:oTold", 10 * number)])
            given = house.sql("SELECT id FROM posting WHERE reason = 'goodwill' AND unit = 'points'")[0][0]
            house.done("reversal", [(given, 0)], "")
            assert house.problems() == []
            zh = await talk.say("积分明细", who="oTold")
            for words in ("+10  服务补偿", "+20  期初余额转入", "+30  客服更正", "-10  冲正先前的一笔"):
                assert words in zh, zh
            await talk.say("English", who="oTold")
            en = await talk.say("history", who="oTold")
            for words in (
                "+10  goodwill",
                "+20  brought over",
                "+30  corrected by staff",
                "-10  an earlier entry undone",
            ):
                assert words in en, en

    run(story())
