"""Random histories of proposals: the books stay whole, nobody falls below zero, each proposal happens at most once."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from campaigns import proposals
from campaigns.desk import ActRefused
from storage import holds, ledger
from tests.proposing import FUND, LIBRARY, LINE, PLAN, House, housed

PEOPLE = list(range(5001, 5006))
GUEST = 6001
WORTH = PLAN.points.worth or 0
CAP = PLAN.points.guest_cap
_EMPTIED = ["proposal_line", "proposal", "posting", "hold", "event", "seal"]


def account(person: int, unit: str) -> str:
    return ledger.held(person, unit) if person == GUEST else ledger.person(person, unit)


class Machine(RuleBasedStateMachine):
    """Staff propose, approve, decline, withdraw and press twice; what people own is kept beside in a dictionary."""

    house: House
    line: int

    @initialize()
    def empty(self) -> None:
        for table in _EMPTIED:
            self.house.sql(
                f"DELETE FROM {table} WHERE 1 = 1" + (" AND reason <> 'budget'" if table == "posting" else "")
            )
        self.house.sql("DELETE FROM balance WHERE account NOT LIKE 'budget/%'")
        self.house.sql("UPDATE balance SET amount = :a, held = 0 WHERE account = :l", a=self.line, l=LINE)
        self.owned: dict[tuple[int, str], int] = {}
        self.held: dict[tuple[int, str], int] = {}
        self.opened: set[tuple[int, str]] = set()
        self.paid = 0
        self.made: dict[int, tuple[str, str, list[tuple[int, int]]]] = {}
        self.states: dict[int, str] = {}
        self.reversed: set[str] = set()
        self.undoes: dict[int, tuple[str, int, str, int]] = {}
        self.keys = 0

    def free(self, person: int, unit: str) -> int:
        return self.owned.get((person, unit), 0) - self.held.get((person, unit), 0)

    def fit(self, kind: str, unit: str, lines: list[tuple[int, int]]) -> bool:
        if len({person for person, _ in lines}) < len(lines):
            return False
        for person, amount in lines:
            if amount == 0 or (amount < 0 and kind != "correction") or self.free(person, unit) + amount < 0:
                return False
            if person == GUEST and unit == "points" and amount > 0 and self.free(person, unit) + amount > CAP:
                return False
            if kind == "opening" and (person, unit) in self.opened:
                return False
        return True

    @rule(
        kind=st.sampled_from(["goodwill", "correction", "opening"]),
        unit=st.sampled_from(["points", "chances"]),
        lines=st.lists(st.tuples(st.sampled_from([*PEOPLE, GUEST]), st.integers(-40, 120)), min_size=1, max_size=4),
    )
    def propose(self, kind: str, unit: str, lines: list[tuple[int, int]]) -> None:
        self.keys += 1
        key = f"m{self.keys}"
        if not self.fit(kind, unit, lines):
            with pytest.raises(ActRefused):
                self.house.propose(kind, lines, unit, key=key, again=True)
            return
        made = self.house.propose(kind, lines, unit, key=key, again=True)
        assert self.house.propose(kind, lines[::-1], unit, key=key) == made, "the same key again"
        self.made[made.number], self.states[made.number] = (kind, unit, lines), "open"

    @rule(pick=st.integers(0, 99), again=st.booleans())
    def approve(self, pick: int, again: bool) -> None:
        if not self.made:
            return
        number = sorted(self.made)[pick % len(self.made)]
        kind, unit, lines = self.made[number]
        state = self.states[number]
        if state != "open" or not self.fit(kind, unit, lines):
            if state == "approved":
                self.house.approve(number, len(lines))
            with pytest.raises(ActRefused):
                self.house.approve(number, len(lines), actor="staff:3")
            return
        for _ in range(1 + again):
            assert self.house.approve(number, len(lines)).state == "approved"
        self.states[number] = "approved"
        for person, amount in lines:
            self.owned[person, unit] = self.owned.get((person, unit), 0) + amount
            if kind == "opening":
                self.opened.add((person, unit))
        if unit == "points":
            self.paid += WORTH * sum(amount for _, amount in lines)

    @rule(pick=st.integers(0, 99))
    def reverse(self, pick: int) -> None:
        given = [n for n, state in self.states.items() if state == "approved"]
        if not given:
            return
        number = sorted(given)[pick % len(given)]
        kind, unit, lines = self.made[number]
        place = pick % len(lines)
        person, amount = lines[place]
        key = f"opening/{PLAN.id}/{unit}/{person}" if kind == "opening" else f"proposal/{number}/L{place + 1}"
        after = self.free(person, unit) - amount
        guest = person == GUEST and unit == "points" and amount < 0 and after > CAP
        if key in self.reversed or after < 0 or guest:
            with pytest.raises(ActRefused):
                self.house.propose("reversal", [(key, 0)], "", again=True)
            return
        self.house.done("reversal", [(key, 0)], "", again=True)
        self.reversed.add(key)
        self.owned[person, unit] -= amount
        if unit == "points":
            self.paid -= WORTH * amount

    @rule(pick=st.integers(0, 99), decline=st.booleans())
    def end(self, pick: int, decline: bool) -> None:
        waiting = [number for number, state in self.states.items() if state == "open"]
        if not waiting:
            return
        number = sorted(waiting)[pick % len(waiting)]
        for _ in range(2):
            with self.house.store.begin() as connection:
                if decline:
                    proposals.decline(self.house.desk(connection, "staff:2"), number)
                else:
                    proposals.withdraw(self.house.desk(connection), number)
        self.states[number] = "declined" if decline else "withdrawn"

    @rule(person=st.sampled_from(PEOPLE), amount=st.integers(1, 30))
    def hold(self, person: int, amount: int) -> None:
        self.keys += 1
        hold = holds.Hold(
            f"h{self.keys}",
            "points",
            account(person, "points"),
            "gifts",
            amount,
            PLAN.id,
            1,
            "redeem",
            self.house.now + timedelta(days=1),
        )
        with suppress(ledger.Short), self.house.store.begin() as connection:
            holds.reserve(connection, hold, self.house.now)
            self.held[person, "points"] = self.held.get((person, "points"), 0) + amount

    @invariant()
    def books(self) -> None:
        assert self.house.problems() == []
        rows = self.house.sql("SELECT account, amount, held FROM balance WHERE owner IS NOT NULL")
        found = {row.account: (row.amount, row.held) for row in rows if row.amount or row.held}
        wanted = {
            account(person, unit): (amount, self.held.get((person, unit), 0))
            for (person, unit), amount in self.owned.items()
            if amount or self.held.get((person, unit))
        }
        assert found == wanted
        assert self.house.balance(LINE) == self.line - self.paid
        assert self.house.moved(LINE, FUND) - self.house.moved(FUND, LINE) == self.paid
        with self.house.store.read() as connection:
            listed = proposals.listed(self.house.desk(connection), limit=1000)
        states = {one.number: one.state for one in listed if one.kind != "reversal"}
        assert states == self.states


def test_any_history_of_proposals_leaves_the_books_whole(database_url: str) -> None:
    with housed(database_url) as house:
        house.people(len(PEOPLE), first=PEOPLE[0])
        house.people(1, first=GUEST, guest=True)
        assert LIBRARY.plan.id == PLAN.id
        Machine.house, Machine.line = house, house.balance(LINE)
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=20,
                stateful_step_count=15,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                print_blob=True,
            ),
        )
