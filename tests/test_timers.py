"""Timers are handed out once while leased and fired once; slots have one holder; kept values end in machine time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Barrier

import pytest
from sqlalchemy import text

from storage import kept, nodes, schema, timers
from storage.store import Store, machine_now
from storage.tables import micros

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    opened = Store(database_url)
    schema.upgrade(opened)
    yield opened
    opened.close()


def set_timers(store: Store, *seconds: int) -> None:
    """One timer for each, due so many seconds after NOW; ids grow in the order given."""
    numbers = count(5000)
    with store.begin() as connection:
        for after in seconds:
            number = next(numbers)
            connection.execute(
                text(
                    "INSERT INTO timer (id, key, subscriber, kind, due_at, data, fired) "
                    "VALUES (:id, :key, 7, 'instalment', :due, '{\"part\": 1}', FALSE)"
                ),
                {"id": number, "key": f"t{number}", "due": micros(NOW + timedelta(seconds=after))},
            )


def due(store: Store, after: int = 0, limit: int = 100) -> list[str]:
    with store.begin() as connection:
        return [timer.key for timer in timers.due(connection, NOW + timedelta(seconds=after), limit)]


def run(store: Store, statement: str) -> None:
    with store.begin() as connection:
        connection.execute(text(statement), {"machine": machine_now(connection)} if ":machine" in statement else {})


def test_only_what_is_due_is_handed_out(store: Store) -> None:
    set_timers(store, 0, -5, 1)
    assert sorted(due(store)) == ["t5000", "t5001"]
    assert due(store, after=1) == ["t5002"]


def test_a_timer_says_whom_and_what(store: Store) -> None:
    set_timers(store, 0)
    with store.begin() as connection:
        (timer,) = timers.due(connection, NOW, 5)
    assert (timer.id, timer.subscriber, timer.kind, timer.data) == (5000, 7, "instalment", {"part": 1})


def test_of_many_the_longest_due_come_first(store: Store) -> None:
    set_timers(store, -1, -9, -5, -7)
    assert [sorted(due(store, limit=2)) for _ in range(3)] == [["t5001", "t5003"], ["t5000", "t5002"], []]


def test_a_batch_is_in_the_order_of_what_is_due(store: Store) -> None:
    set_timers(store, -1, -9, -5)
    assert due(store) == ["t5001", "t5002", "t5000"]


def test_a_leased_timer_comes_back_when_its_lease_is_over_and_never_once_fired(store: Store) -> None:
    set_timers(store, 0, 0)
    assert len(due(store)) == 2
    assert due(store, after=10**6) == []  # campaign time does not end a lease
    run(store, "UPDATE timer SET lease_until = :machine - 1")
    run(store, "UPDATE timer SET fired = TRUE WHERE key = 't5000'")
    assert due(store) == ["t5001"]


def test_a_claim_that_fails_leaves_the_timer_due(store: Store) -> None:
    set_timers(store, 0)
    with pytest.raises(ZeroDivisionError), store.begin() as connection:
        assert timers.due(connection, NOW, 5)
        raise ZeroDivisionError
    assert due(store) == ["t5000"]


def test_nodes_at_once_share_the_timers(store: Store) -> None:
    set_timers(store, *range(-40, 0))
    together = Barrier(4)

    def take(_: int) -> list[str]:
        together.wait()
        return [key for _ in range(5) for key in due(store, limit=3)]

    with ThreadPoolExecutor(4) as pool:
        taken = [key for keys in pool.map(take, range(4)) for key in keys]
    assert len(taken) == len(set(taken)) == 40


# ---- slots


def slot(store: Store, holder: str, stale: float = 30) -> int:
    with store.begin() as connection:
        return nodes.take_slot(connection, holder, stale)


def beat(store: Store, number: int, holder: str) -> bool:
    with store.begin() as connection:
        return nodes.beat(connection, number, holder)


def test_a_single_process_takes_its_slot_again_at_every_start(store: Store) -> None:
    assert slot(store, "a") == 1
    assert slot(store, "b") == (1 if store.is_sqlite else 2)


def test_a_slot_given_back_is_the_next_one_taken(store: Store) -> None:
    first = slot(store, "a")
    with store.begin() as connection:
        nodes.leave(connection, first, "a")
    assert slot(store, "b") == first
    assert beat(store, first, "b")
    assert not beat(store, first, "a")


def test_a_node_not_heard_of_loses_its_slot_and_learns_of_it(store: Store) -> None:
    first = slot(store, "a")
    run(store, "UPDATE node SET beat_at = :machine - 31000000")
    assert slot(store, "b") == first
    assert not beat(store, first, "a")


def test_a_beat_keeps_the_slot(store: Store) -> None:
    first = slot(store, "a")
    run(store, "UPDATE node SET beat_at = :machine - 31000000")
    assert beat(store, first, "a")
    assert slot(store, "b") == (first if store.is_sqlite else 2)


def test_slots_run_out(store: Store) -> None:
    if store.is_sqlite:
        assert {slot(store, f"n{number}") for number in range(70)} == {1}
        return
    assert [slot(store, f"n{number}") for number in range(nodes.SLOTS)] == list(range(1, nodes.SLOTS + 1))
    with pytest.raises(nodes.NoSlot):
        slot(store, "one more")


def test_nodes_that_start_at_once_get_a_slot_each(store: Store) -> None:
    if store.is_sqlite:
        return
    together = Barrier(4)

    def start(number: int) -> int:
        together.wait()
        return slot(store, f"n{number}")

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(start, range(4))) == [1, 2, 3, 4]


# ---- kept values


def keep(store: Store, key: str, value: dict[str, object], seconds: float) -> None:
    with store.begin() as connection:
        kept.keep(connection, key, value, seconds)


def recall(store: Store, key: str) -> dict[str, object] | None:
    with store.read() as connection:
        return kept.recall(connection, key)


def test_a_value_is_kept_until_its_time_is_over(store: Store) -> None:
    assert recall(store, "token") is None
    keep(store, "token", {"value": "令牌", "n": 1}, 60)
    assert recall(store, "token") == {"value": "令牌", "n": 1}
    run(store, "UPDATE kept SET until = :machine - 1")
    assert recall(store, "token") is None


def test_a_value_kept_again_replaces_the_old_one(store: Store) -> None:
    keep(store, "token", {"n": 1}, 0)
    assert recall(store, "token") is None
    keep(store, "token", {"n": 2}, 60)
    keep(store, "other", {}, 60)
    assert recall(store, "token") == {"n": 2}
    assert recall(store, "other") == {}
