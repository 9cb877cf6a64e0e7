"""The delivery table by itself: who may take which row when, and where each row ends, on both databases."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import text

from storage import deliveries, rates
from storage.deliveries import Ended
from storage.store import Store, machine_now
from tests.outbox import MAIN, NOW, RUN, counted, opened, people, put, row, sent_since, states

SECOND = 1_000_000


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with opened(database_url) as store:
        yield store


def claim(store: Store, lease: str = "n1/1", limit: int = 100, machine: int = NOW, now: int = NOW) -> list[int]:
    with store.begin() as connection:
        return [row.id for row in deliveries.claim(connection, MAIN, now, machine, lease, limit, 60, [RUN])]


def finish(store: Store, *results: Ended, machine: int = NOW) -> set[int]:
    with store.begin() as connection:
        return deliveries.finish(connection, results, machine, NOW)


def reap(store: Store, machine: int) -> dict[str, int]:
    with store.begin() as connection:
        return deliveries.reap(connection, machine)


def in_flight(store: Store, kind: str) -> None:
    """Row 10 of person 1, begun and never finished: what a kill leaves."""
    people(store, 1)
    put(store, [(10, 1)], kind=kind)
    assert claim(store) == [10]


def test_passive_answers_are_settled_or_released(store: Store) -> None:
    people(store, 1)
    put(store, [(10, 1), (11, 1), (12, 1)], state="passive", lease_until=NOW + SECOND)
    assert claim(store) == []
    with store.begin() as connection:
        deliveries.settle(connection, [10], NOW + 5)
        deliveries.release(connection, [11, 10])
        deliveries.settle(connection, [], NOW)
    assert states(store) == {10: "sent", 11: "queued", 12: "passive"}
    assert (row(store, 10).reason, row(store, 10).ended_at) == ("passive", NOW + 5)
    with store.begin() as connection:
        deliveries.settle(connection, [11], NOW)
    assert row(store, 11).state == "sent"  # a repeated request carried it after all


def test_what_the_sender_took_is_not_settled(store: Store) -> None:
    people(store, 1)
    put(store, [(10, 1)])
    claim(store)
    with store.begin() as connection:
        deliveries.settle(connection, [10], NOW)
    assert states(store) == {10: "sending"}


def test_a_claim_knows_what_a_channel_needs(store: Store) -> None:
    people(store, 2)
    put(store, [(10, 2)], lane=1, kind="transactional")
    with store.begin() as connection:
        (claimed,) = deliveries.claim(connection, MAIN, NOW, NOW, "n1/1", 10, 60, [RUN])
    assert (claimed.id, claimed.account, claimed.address, claimed.message) == (10, MAIN, "a2", {"text": "10"})
    assert (claimed.heard_at, claimed.heard_kind, claimed.sent_since) == (NOW, "text", 0)
    assert (claimed.kind, claimed.subscriber, claimed.lease) == ("transactional", 2, "n1/1")


def test_replies_before_pushes_oldest_first_and_only_what_is_due(store: Store) -> None:
    people(store, 9)
    put(store, [(10, 1)], lane=1, due_at=NOW - 9)
    put(store, [(11, 2)], due_at=NOW - 5)
    put(store, [(12, 3)], due_at=NOW - 7)
    put(store, [(13, 4)], due_at=NOW + 1)
    put(store, [(14, 5)], account="wechat:other")
    assert claim(store, limit=2) == [12, 11]
    assert claim(store) == [10]
    assert claim(store, now=NOW + 1) == [13]


def test_a_person_is_told_one_thing_after_the_other(store: Store) -> None:
    people(store, 2)
    put(store, [(12, 1), (11, 1), (13, 2)], due_at=NOW - 1)
    put(store, [(10, 1)], due_at=NOW)  # an id of another node's block says nothing about order
    order = []
    while taken := claim(store):
        assert len(taken) == len(set(taken) - {13}) + (13 in taken)
        order += [number for number in taken if number != 13]
        assert claim(store, "n2/1") == []
        finish(store, *(Ended(number, "n1/1", "sent") for number in taken))
    assert order == [11, 12, 10]
    assert (sent_since(store, 1), sent_since(store, 2)) == (3, 1)


def test_a_push_waits_for_the_persons_replies_not_they_for_it(store: Store) -> None:
    people(store, 1)
    put(store, [(10, 1)], lane=1, due_at=NOW - 9)
    put(store, [(11, 1)])
    assert claim(store) == [11]
    put(store, [(12, 1)], state="passive", lease_until=NOW + SECOND)
    finish(store, Ended(11, "n1/1", "sent"))
    assert claim(store) == []
    with store.begin() as connection:
        deliveries.settle(connection, [12], NOW)
    assert claim(store) == [10]


def test_a_lease_that_passed_on_loses(store: Store) -> None:
    people(store, 1)
    put(store, [(10, 1)])
    assert claim(store, "frozen/1", limit=1) == [10]
    assert reap(store, NOW + 60 * SECOND)["sending"] == 1
    assert claim(store, "n2/1", limit=1) == [10]
    assert finish(store, Ended(10, "frozen/1", "failed"), Ended(10, "frozen/1", "sent")) == set()
    assert finish(store, Ended(10, "n2/1", "sent")) == {10}


def test_what_is_not_granted_waits(store: Store) -> None:
    people(store, 4)
    put(store, [(10, 1), (11, 2), (12, 3)], due_at=NOW - 1)
    put(store, [(13, 4)])
    asked: list[int] = []

    def grant(wanted: int) -> int:
        asked.append(wanted)
        return 2

    with store.begin() as connection:
        rows = deliveries.claim(connection, MAIN, NOW, NOW, "n1/1", 3, 60, [RUN], grant)
    assert ([row.id for row in rows], asked) == ([10, 11], [3])
    assert states(store) == {10: "sending", 11: "sending", 12: "queued", 13: "queued"}


def test_nothing_begins_that_was_stopped_while_it_waited_for_its_grant(store: Store) -> None:
    people(store, 2)
    put(store, [(10, 1)])
    put(store, [(11, 2)], lane=1)

    def meanwhile(sql: str) -> Callable[[int], int]:
        def grant(wanted: int) -> int:
            connection.exec_driver_sql(sql)
            return wanted

        return grant

    with store.begin() as connection:
        paused = meanwhile("UPDATE push_run SET state = 'paused'")
        assert [row.id for row in deliveries.claim(connection, MAIN, NOW, NOW, "n1/1", 9, 60, [RUN], paused)] == [10]
        deliveries.finish(connection, [Ended(10, "n1/1", "slow")], NOW, NOW)
        columns = "number, began_at, began_by, began_why, ended_by, ended_why"
        stopped = meanwhile(f"INSERT INTO stop ({columns}) VALUES (1, 1, '', '', '', '')")
        assert deliveries.claim(connection, MAIN, NOW, NOW + 9 * SECOND, "n1/2", 9, 60, [RUN], stopped) == []
    assert states(store) == {10: "queued", 11: "queued"}


def test_whose_row_is_being_written_is_passed_over(store: Store) -> None:
    """Somebody who is leaving right now holds up neither the others nor, in a circle, themselves."""
    people(store, 2)
    put(store, [(10, 1), (11, 2)])
    if store.is_sqlite:
        return  # it has one writer
    with store.begin() as leaving:
        leaving.exec_driver_sql("UPDATE subscriber SET consent = FALSE WHERE id = 1")
        began = time.perf_counter()
        assert claim(store) == [11]
        assert time.perf_counter() - began < 0.4
    assert claim(store, "n1/2") == [10]


@pytest.mark.parametrize(
    ("person", "delivery", "reason"),
    [
        ({"following": False}, {}, "not_following"),
        ({"address": None}, {}, "erased"),
        ({}, {"erased": True}, "erased"),
        ({"consent": False}, {"lane": 1}, "no_consent"),
    ],
)
def test_the_last_look_refuses(store: Store, person: dict, delivery: dict, reason: str) -> None:
    people(store, 1, **person)
    put(store, [(10, 1)], **delivery)
    assert claim(store) == []
    ended = row(store, 10)
    assert (ended.state, ended.reason, ended.ended_at) == ("refused", reason, NOW)


def test_replies_need_no_consent(store: Store) -> None:
    people(store, 1, consent=False)
    put(store, [(10, 1)])
    assert claim(store) == [10]


def test_unsent_rows_come_back_when_their_lease_ends(store: Store) -> None:
    people(store, 2)
    put(store, [(10, 1)], state="passive", lease_until=NOW + 20 * SECOND)
    put(store, [(11, 2)])
    put(store, [(12, 2)], state="claimed", lease_until=NOW + 20 * SECOND)  # by a node of an earlier version
    assert reap(store, NOW) == {"passive": 0, "claimed": 0, "sending": 0, "doubtful": 0}
    assert reap(store, NOW + 20 * SECOND) == {"passive": 1, "claimed": 1, "sending": 0, "doubtful": 0}
    assert sorted(claim(store, "n2/1")) == [10, 11]


def test_a_reminder_in_doubt_is_repeated_once(store: Store) -> None:
    in_flight(store, "reminder")
    assert reap(store, NOW + 60 * SECOND)["sending"] == 1
    assert claim(store, "n2/1") == [10]
    finish(store, Ended(10, "n2/1", "retry"))  # that try certainly did not arrive; the first may have
    assert claim(store, "n2/2", machine=NOW + 9 * SECOND) == [10]
    assert reap(store, NOW + 90 * SECOND)["doubtful"] == 1
    assert (row(store, 10).state, row(store, 10).reason) == ("doubtful", "lease_ended")
    assert claim(store, "n2/3", machine=NOW + 900 * SECOND) == []


def test_a_transaction_in_doubt_is_never_repeated(store: Store) -> None:
    in_flight(store, "transactional")
    assert reap(store, NOW + 60 * SECOND)["doubtful"] == 1
    assert claim(store, "n2/1") == []
    # The frozen node comes back and knows: late truth ends the doubt.
    assert finish(store, Ended(10, "n1/1", "sent")) == {10}
    assert (row(store, 10).state, sent_since(store, 1)) == ("sent", 1)


def test_late_truth_spares_the_repetition_unless_it_began(store: Store) -> None:
    in_flight(store, "reminder")
    reap(store, NOW + 60 * SECOND)
    assert finish(store, Ended(10, "n1/1", "sent")) == {10}
    put(store, [(11, 1)])
    assert claim(store) == [11]
    reap(store, NOW + 60 * SECOND)
    claim(store, "n2/1")
    assert finish(store, Ended(11, "n1/1", "sent")) == set()


@pytest.mark.parametrize("order", [1, -1])
def test_two_ends_written_at_once_are_told_apart(store: Store, order: int) -> None:
    in_flight(store, "reminder")
    reap(store, NOW + 60 * SECOND)
    assert claim(store, "n1/2") == [10]
    ends = [Ended(10, "n1/1", "failed"), Ended(10, "n1/2", "sent")][::order]
    assert finish(store, *ends) == {10}
    assert (row(store, 10).state, sent_since(store, 1)) == ("sent", 1)


def test_a_keyed_one_goes_again_since_the_platform_knows_it(store: Store) -> None:
    in_flight(store, "keyed")
    for attempt in range(2, deliveries.MAX_TRIES + 1):
        reap(store, NOW + 60 * SECOND)
        assert claim(store, f"n2/{attempt}") == [10]
    reap(store, NOW + 60 * SECOND)
    assert row(store, 10).state == "doubtful"


@pytest.mark.parametrize(
    ("kind", "state"), [("reminder", "queued"), ("keyed", "queued"), ("transactional", "doubtful")]
)
def test_an_answer_in_doubt_ends_as_the_class_says(store: Store, kind: str, state: str) -> None:
    in_flight(store, kind)
    finish(store, Ended(10, "n1/1", "doubtful", "no_answer"))
    assert row(store, 10).state == state


def test_retries_back_off_and_end(store: Store) -> None:
    in_flight(store, "reminder")
    machine, waits = NOW, []
    for attempt in range(1, deliveries.MAX_TRIES):
        finish(store, Ended(10, f"n1/{attempt}", "retry", "busy", 3.0), machine=machine)
        wait = row(store, 10).lease_until - machine
        waits.append(wait // SECOND)
        assert claim(store, machine=machine + wait - 1) == []
        machine += wait
        lease = f"n1/{attempt + 1}"
        assert claim(store, lease, machine=machine) == [10]
    finish(store, Ended(10, f"n1/{deliveries.MAX_TRIES}", "retry", "busy"), machine=machine)
    assert waits == [3, 4, 8, 16]
    assert (row(store, 10).state, row(store, 10).reason, row(store, 10).tries) == ("failed", "busy", 5)


def test_slow_is_not_the_messages_fault(store: Store) -> None:
    in_flight(store, "reminder")
    for attempt in range(1, 8):
        finish(store, Ended(10, f"n1/{attempt}", "slow", "day_quota"))
        lease = f"n1/{attempt + 1}"
        assert claim(store, lease) == [10]
    assert row(store, 10).tries == 0


def test_fetching_acknowledges_only_what_was_handed_out(store: Store) -> None:
    people(store, 2, channel="web")
    put(store, [(20, 1), (21, 1), (22, 2)], account="web:main")
    put(store, [(19, 1)], account="web:main", due_at=NOW + 1)

    def waiting() -> list[tuple[int, dict]]:
        with store.begin() as connection:
            return deliveries.waiting(connection, 1001, NOW, 2)

    def fetched(last: int) -> int:
        with store.begin() as connection:
            return deliveries.fetched(connection, 1001, last, NOW)

    with store.read() as connection:
        assert deliveries.identities_waiting(connection, [1001, 1002, 1003], NOW) == [1001, 1002]
    assert waiting() == [(20, {"text": "20"}), (21, {"text": "21"})]
    assert waiting() == [(20, {"text": "20"}), (21, {"text": "21"})]  # the page never got the first answer
    assert fetched(21) == 2
    assert fetched(21) == 0
    assert waiting() == [(19, {"text": "19"})]
    assert fetched(21) == 0  # the answer with 19 was lost: it is handed out again
    assert waiting() == [(19, {"text": "19"})]
    assert fetched(19) == 1
    assert states(store) == {19: "sent", 20: "sent", 21: "sent", 22: "queued"}
    assert row(store, 20).reason == "fetched"


def test_what_the_history_does_not_tell_is_not_acknowledged_with_it(store: Store) -> None:
    """A push's words are in nobody's conversation: whoever opens the page has still to be shown them."""
    people(store, 1, channel="web")
    put(store, [(20, 1), (21, 1)], account="web:main")
    with store.begin() as connection:
        texts = "(SELECT text FROM delivery WHERE id = {})"
        connection.execute(text(f"UPDATE text SET identity = 1001 WHERE id = {texts.format(20)}"))
        connection.execute(text(f"UPDATE text SET identity = NULL WHERE id = {texts.format(21)}"))
    with store.begin() as connection:
        assert [number for number, _ in deliveries.waiting(connection, 1001, NOW, 9, told=True)] == [20]
    with store.begin() as connection:
        assert deliveries.fetched(connection, 1001, 20, NOW) == 1
        assert [number for number, _ in deliveries.waiting(connection, 1001, NOW, 9)] == [21]


def test_open_rows_are_counted_by_account_and_state(store: Store) -> None:
    people(store, 4)
    put(store, [(10, 1), (11, 2), (12, 3)])
    put(store, [(13, 4)], account="web:main", state="passive", lease_until=NOW)
    (first,) = claim(store, limit=1)
    finish(store, Ended(first, "n1/1", "sent"))
    claim(store, limit=1)
    with store.read() as connection:
        assert deliveries.open_counts(connection) == {
            (MAIN, "queued"): 1,
            (MAIN, "sending"): 1,
            ("web:main", "passive"): 1,
        }


def test_claims_stay_quick_before_a_long_queue(store: Store) -> None:
    """Ten claims of ten read what they take, not the queue: before 20,000 waiting people as quickly as before 500."""
    people(store, 20_000)
    spent = {}
    for waiting in (500, 20_000):
        put(store, [(100_000 + n, n) for n in range(1, waiting + 1)], lane=1)
        began = time.perf_counter()
        taken = [number for n in range(10) for number in claim(store, f"n1/{n}", limit=10)]
        spent[waiting] = time.perf_counter() - began
        assert taken == [100_000 + n for n in range(1, 101)]
        with store.begin() as connection:
            assert deliveries.reap(connection, NOW + 60 * SECOND)["sending"] == 100
            for table in ("delivery", "text"):
                connection.execute(text(f"DELETE FROM {table}"))
    # Reading the queue would cost forty times as much; a busy machine slows both.
    assert spent[20_000] < max(10 * spent[500], 0.5), spent


# ---- rates


def test_no_second_holds_more_than_the_limit(store: Store) -> None:
    """Greedy takers at odd instants, over a stall: every window of a second is looked at, and little is left unused."""
    for limit in (0.5, 1, 5, 20, 30, 500):
        granted: list[int] = []
        machine = NOW
        with store.begin() as connection:
            for turn in range(300):
                machine += 5 * SECOND if turn == 150 else (turn * 7919) % 23_000
                away = 9_000 if turn % 3 == 0 else 0
                granted += rates.take(connection, f"telegram:{limit}", limit, 1000, machine, away)
        windows = [bisect_left(granted, start + SECOND) - place for place, start in enumerate(granted)]
        assert granted == sorted(set(granted))
        assert max(windows) <= max(limit, 1)
        assert max(windows) >= 0.93 * limit


def test_unused_requests_die(store: Store) -> None:
    with store.begin() as connection:
        first = rates.take(connection, MAIN, 30, 1000, NOW)
        much_later = rates.take(connection, MAIN, 30, 1000, NOW + 3600 * SECOND)
        assert 0 < len(first) == len(much_later) < 10
        assert (first[0], much_later[0]) == (NOW, NOW + 3600 * SECOND)
        assert not rates.take(connection, MAIN, 30, 1000, NOW + 3600 * SECOND)
        assert len(rates.take(connection, "telegram:main", 30, 2, NOW)) == 2


def test_a_pause_holds_for_all_and_only_grows(store: Store) -> None:
    with store.begin() as connection:
        rates.pause(connection, MAIN, NOW + 10 * SECOND)
        rates.pause(connection, MAIN, NOW + 5 * SECOND)
    with store.begin() as connection:
        assert not rates.take(connection, MAIN, 30, 1, NOW + 9 * SECOND)
        assert rates.room(connection, MAIN, 30, NOW + 9 * SECOND) == (0, NOW + 10 * SECOND)
        assert rates.paused(connection, NOW) == {MAIN: NOW + 10 * SECOND}
        room, _ = rates.room(connection, MAIN, 30, NOW + 10 * SECOND)
        after = rates.take(connection, MAIN, 30, 1000, NOW + 10 * SECOND)
        assert 0 < len(after) == room < 10  # no flood after the pause
        assert rates.paused(connection, NOW + 10 * SECOND) == {}


def test_threads_on_one_database_never_claim_a_row_twice(store: Store) -> None:
    people(store, 300)
    put(store, [(10_000 + n, n) for n in range(1, 301)])
    taken: list[int] = []

    def take(name: str) -> None:
        turn = 0
        while mine := claim(store, f"{name}/{turn}", limit=7, machine=_machine(store)):
            taken.extend(mine)
            turn += 1

    threads = [threading.Thread(target=take, args=(name,)) for name in ("n1", "n2", "n3")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 300
    assert counted(store) == {"sending": 300}


def _machine(store: Store) -> int:
    with store.read() as connection:
        return machine_now(connection)
