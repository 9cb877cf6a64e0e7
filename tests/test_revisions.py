"""Revisions: numbered, whole or not at all, kept as they were, and nobody overwrites another unseen."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from storage import revisions, schema
from storage.revisions import Applied, RevisionConflict, store_revision
from storage.store import DatabaseFault, Store

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
FILES = {"plan.toml": b"id = 'c'\n", "faq/资费.md": "多少钱？".encode(), "a.jpg": bytes(range(256)), "empty": b""}
PATHS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    opened = Store(database_url)
    schema.upgrade(opened)
    yield opened
    opened.close()


def apply(store: Store, files: dict[str, bytes], expected: int | None, campaign: str = "c") -> Applied:
    with store.begin() as connection:
        return store_revision(connection, campaign, files, NOW, "staff:1", expected)


def test_nothing_applied_yet(store: Store) -> None:
    with store.read() as connection:
        assert revisions.current(connection, "c") is None
        assert revisions.campaigns(connection) == []
        with pytest.raises(KeyError):
            revisions.files(connection, "c", 1)


def test_each_change_is_the_next_number_and_old_ones_stay(store: Store) -> None:
    changed = {**FILES, "plan.toml": b"id = 'c'\nname = 'x'\n"}
    del changed["empty"]
    assert apply(store, FILES, None) == Applied(1, True)
    assert apply(store, changed, 1) == Applied(2, True)
    assert apply(store, FILES, 2) == Applied(3, True)
    with store.read() as connection:
        assert revisions.current(connection, "c") == 3
        assert [revisions.files(connection, "c", number) for number in (1, 2, 3)] == [FILES, changed, FILES]


def test_the_same_files_make_no_revision(store: Store) -> None:
    apply(store, FILES, None)
    again = dict(reversed(FILES.items()))
    assert apply(store, again, 1) == Applied(1, False)
    assert apply(store, again, None) == Applied(1, False)  # a retried command that was carried out before


@pytest.mark.parametrize("change", ["content", "name", "more", "fewer"])
def test_any_difference_makes_one(store: Store, change: str) -> None:
    apply(store, FILES, None)
    files = dict(FILES)
    if change == "content":
        files["empty"] = b"\0"
    elif change == "name":
        files["void"] = files.pop("empty")
    elif change == "more":
        files["empty2"] = b""
    else:
        del files["empty"]
    assert apply(store, files, 1) == Applied(2, True)


@pytest.mark.parametrize("expected", [None, 0, 1, 3])
def test_files_made_from_another_revision_are_refused(store: Store, expected: int | None) -> None:
    apply(store, FILES, None)
    apply(store, {"plan.toml": b"2"}, 1)
    with pytest.raises(RevisionConflict) as refused:
        apply(store, {"plan.toml": b"3"}, expected)
    assert refused.value.current == 2
    with store.read() as connection:
        assert revisions.files(connection, "c", 2) == {"plan.toml": b"2"}


def test_a_first_revision_has_nothing_before_it(store: Store) -> None:
    with pytest.raises(RevisionConflict) as refused:
        apply(store, FILES, 1)
    assert refused.value.current is None


def test_the_same_bytes_are_stored_once(store: Store) -> None:
    apply(store, {"a": b"same", "b": b"same", "c": b"other"}, None)
    apply(store, {"a": b"same", "b": b"new"}, 1)
    apply(store, {"x": b"same"}, None, "another")
    with store.read() as connection:
        contents = [bytes(content) for content in connection.execute(text("SELECT content FROM blob")).scalars()]
    assert sorted(contents) == [b"new", b"other", b"same"]


def test_campaigns_stand_apart_in_the_order_they_came(store: Store) -> None:
    with store.begin() as connection:
        for number, campaign in enumerate(("z", "a", "m")):
            store_revision(connection, campaign, {"plan": campaign.encode()}, NOW + timedelta(number), "x", None)
    apply(store, {"plan": b"z2"}, 1, "z")
    with store.read() as connection:
        assert revisions.campaigns(connection) == ["z", "a", "m"]
        assert [revisions.current(connection, campaign) for campaign in "zam"] == [2, 1, 1]


def test_a_transaction_that_fails_applies_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.begin() as connection:
        store_revision(connection, "c", FILES, NOW, "staff:1", None)
        raise ZeroDivisionError
    with store.read() as connection:
        for table in ("blob", "revision", "revision_file"):
            assert connection.execute(text(f"SELECT COUNT(*) FROM {table}")).scalar() == 0, table


def test_of_many_at_once_one_applies_and_the_others_hear_of_it(store: Store) -> None:
    apply(store, {"plan": b"first", "shared": b"s"}, None)
    together = Barrier(4)

    def race(number: int) -> int | str:
        together.wait()
        try:
            return apply(store, {"plan": f"{number}".encode(), "shared": b"t"}, 1).number
        except RevisionConflict as conflict:
            return f"{conflict.current} now"
        except DatabaseFault as fault:  # a lock waited for longer than anybody may
            return type(fault.orig).__name__

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(race, range(4)))
    assert results.count(2) == 1
    assert set(results) <= {2, "2 now", "LockNotAvailable"}
    with store.read() as connection:
        assert revisions.files(connection, "c", 2)["plan"] == f"{results.index(2)}".encode()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.dictionaries(PATHS, st.binary(max_size=64), min_size=1), max_size=5))
def test_what_was_stored_comes_back(store: Store, versions: list[dict[str, bytes]]) -> None:
    """Any files, any number of revisions, in one transaction that is rolled back."""
    transaction = store.transaction()
    connection = transaction.connection
    try:
        number, kept = None, {}
        for files in versions:
            number = store_revision(connection, "c", files, NOW, "x", number).number
            kept[number] = files
        assert {number: revisions.files(connection, "c", number) for number in kept} == kept
        assert revisions.current(connection, "c") == number
    finally:
        transaction.rollback()
