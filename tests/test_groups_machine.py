"""Groups, dedupe, refusals and the ledger against a model of a few lines, on both databases, in random histories."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from storage import holds, ledger, schema
from storage.group import Group
from storage.ids import Ids
from storage.incoming import Answer, Incoming
from storage.ledger_check import check
from storage.store import DatabaseFault, Store
from storage.vault import Vault

START = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
STOCK = "stock/c/band"
VAULT = Vault(b"machine-secret-machine-secret-32")

_EMPTIED = ["inbox_key", "text", "delivery", "event", "posting", "hold", "balance", "memory", "identity", "subscriber"]

messages = st.lists(
    st.tuples(
        st.integers(0, 4),  # who
        st.integers(0, 30),  # which key: few, so that many are repeated
        st.sampled_from(["award", "spend", "take"]),
        st.integers(1, 40),
    ),
    min_size=1,
    max_size=7,
)


class Model:
    """What must be true, in plain dictionaries."""

    def __init__(self) -> None:
        self.points: dict[int, int] = {}
        self.held: dict[int, int] = {}
        self.stock = 12
        self.answers: dict[str, str] = {}
        self.holds: dict[int, tuple[int, int, datetime, str]] = {}

    def end_hold(self, number: int, how: str) -> None:
        who, amount, expires, _ = self.holds[number]
        self.holds[number] = (who, amount, expires, how)
        self.held[who] -= amount
        if how == "posted":
            self.points[who] -= amount

    def decide(self, who: int, act: str, amount: int) -> str:
        have = self.points.get(who, 0) - self.held.get(who, 0)
        if act == "award":
            self.points[who] = self.points.get(who, 0) + amount
        elif act == "spend":
            if have < amount:
                return "short"
            self.points[who] -= amount
        elif act == "take":
            # Points first, then the last gift may be gone: the points must come back.
            if have < 5 or self.stock < 1:
                return "short"
            self.points[who] -= 5
            self.stock -= 1
        return "done"


class Machine(RuleBasedStateMachine):
    """Random groups of messages, some heard before, some refused, some flushes failing and run again."""

    store: Store

    @initialize()
    def empty(self) -> None:
        with self.store.begin() as connection:
            for table in _EMPTIED:
                connection.exec_driver_sql(f"DELETE FROM {table}")
        self.model = Model()
        self.ids = Ids(self.store.begin)
        self.now = START
        self.group([], stock=True)

    def group(self, incoming: list[tuple[int, int, str, int]], stock: bool = False, fail: bool = False) -> None:
        self.now += timedelta(seconds=1)
        heard = {
            f"k{key}": (Incoming("wechat", "main", f"o{who}", f"k{key}", "text", self.now, text=act), who, act, amount)
            for who, key, act, amount in incoming
        }
        new_id = self.ids.reserve(400)
        with suppress(_Crash), self.store.begin() as connection:
            group = Group(connection, new_id, VAULT)
            stored = group.load([message for message, *_ in heard.values()])
            group.lock({STOCK: "band"})
            if stock:
                group.post_outside(ledger.Posting("stock", "band", "mint/band", STOCK, 12, "c", 1, "stock"), 0)
            for key, (message, who, act, amount) in heard.items():
                if key in self.model.answers:
                    answer = stored[key]
                    assert isinstance(answer, Answer)
                    assert answer.repeated
                    assert [m["text"] for m in answer.messages] == [self.model.answers[key]]
                else:
                    assert key not in stored
                    said = self.decide(group, message, who, act, amount)
                    if not fail:
                        expected = self.model.decide(who, act, amount)
                        assert said == expected, (who, act, amount)
                        self.model.answers[key] = said
            group.flush()
            if fail:
                raise _Crash

    def decide(self, group: Group, message: Incoming, who: int, act: str, amount: int) -> str:
        draft = group.begin(message)
        account = ledger.person(draft.speaker.id, "points")

        def move(source: str, destination: str, units: int, unit: str = "points") -> None:
            key = f"{message.key}/{source}/{destination}"
            group.post(ledger.Posting(key, unit, source, destination, units, "c", 1, act))

        said = "done"
        try:
            if act == "award":
                move("mint/points", account, amount)
            elif act == "spend":
                move(account, "spent/points", amount)
            else:
                move(account, "spent/points", 5)
                move(STOCK, "given/band", 1, "band")
        except ledger.Short:
            draft, said = group.refuse(draft), "short"
        draft.events.append((act, "subscriber", "c", 1, {"amount": amount}))
        group.accept(draft, [{"text": said}])
        return said

    @rule(batch=messages)
    def hear(self, batch: list[tuple[int, int, str, int]]) -> None:
        self.group(batch)

    @rule(batch=messages)
    def crash_before_commit(self, batch: list[tuple[int, int, str, int]]) -> None:
        self.group(batch, fail=True)

    @rule(who=st.integers(0, 4), number=st.integers(0, 9), amount=st.integers(1, 30), minutes=st.integers(1, 60))
    def reserve(self, who: int, number: int, amount: int, minutes: int) -> None:
        known = self.model.holds.get(number)
        account = self.account(who)
        if account is None:
            return
        if known:
            who, amount, expires, _ = known
            account = self.account(who)
        else:
            expires = self.now + timedelta(minutes=minutes)
        assert account
        hold = holds.Hold(f"h{number}", "points", account, "spent/points", amount, "c", 1, "gift", expires)
        free = self.model.points.get(who, 0) - self.model.held.get(who, 0)
        try:
            with self.store.begin() as connection:
                made = holds.reserve(connection, hold, self.now)
        except ledger.Short:
            assert not known
            assert free < amount
            return
        assert made == (known is None)
        if made:
            assert free >= amount
            self.model.holds[number] = (who, amount, expires, "open")
            self.model.held[who] = self.model.held.get(who, 0) + amount

    @rule(number=st.integers(0, 9), how=st.sampled_from(["posted", "voided"]))
    def end_hold(self, number: int, how: str) -> None:
        known = self.model.holds.get(number)
        end = holds.post if how == "posted" else holds.void
        try:
            with self.store.begin() as connection:
                done = end(connection, f"h{number}", self.now)
        except KeyError:
            assert known is None
            return
        except holds.HoldEnded as ended:
            assert known and known[3] == ended.state
            return
        assert known
        assert done == (known[3] == "open")
        if done:
            self.model.end_hold(number, how)

    @rule(minutes=st.integers(1, 40))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        with self.store.begin() as connection:
            expired = holds.expire(connection, self.now)
        due = [n for n, (_, _, expires, state) in self.model.holds.items() if state == "open" and expires <= self.now]
        assert expired == len(due)
        for number in due:
            self.model.end_hold(number, "expired")

    def account(self, who: int) -> str | None:
        with self.store.read() as connection:
            query = f"SELECT subscriber FROM identity WHERE address = 'o{who}'"
            number = connection.exec_driver_sql(query).scalar()
        return ledger.person(number, "points") if number else None

    @invariant()
    def balances_agree(self) -> None:
        if not hasattr(self, "model"):
            return
        with self.store.read() as connection:
            rows = connection.exec_driver_sql(
                "SELECT i.address, b.amount, b.held FROM balance b JOIN identity i ON i.subscriber = b.owner"
            ).all()
            stock = connection.exec_driver_sql(f"SELECT amount FROM balance WHERE account = '{STOCK}'").scalar()
            heard = connection.exec_driver_sql("SELECT count(*) FROM inbox_key").scalar()
        found = {int(address[1:]): (amount, held) for address, amount, held in rows}
        for who, points in self.model.points.items():
            assert found.get(who, (0, 0)) == (points, self.model.held.get(who, 0))
        assert stock == self.model.stock
        assert heard == len(self.model.answers)

    def teardown(self) -> None:
        with self.store.read() as connection:
            report = check(connection, VAULT)
        assert report.problems == []


class _Crash(Exception):
    pass


@pytest.mark.timeout(300)
def test_groups_follow_the_model(database_url: str) -> None:
    store = Store(database_url)
    schema.upgrade(store)
    machine = type("MachineOn", (Machine,), {"store": store})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
    store.close()


def test_the_database_refuses_what_the_book_would(database_url: str) -> None:
    """Even raw SQL cannot take an account below its floor."""
    store = Store(database_url)
    schema.upgrade(store)
    with store.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO balance (account, unit, amount, held, floor) VALUES ('stock/c/x', 'x', 3, 1, 0)"
        )
    with pytest.raises(DatabaseFault), store.begin() as connection:
        connection.exec_driver_sql("UPDATE balance SET amount = amount - 3 WHERE account = 'stock/c/x'")
    store.close()
