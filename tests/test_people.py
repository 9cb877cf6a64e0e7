"""One person: found by keyed hash, shown in the promised shape, exported whole, parked, forgotten, let go in time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Connection, text

from storage import acts, ledger, people, profiles, retention, schema
from storage.ledger import Posting
from storage.store import Store, machine_now
from storage.tables import micros
from storage.vault import Vault

VAULT = Vault(b"the secret of the tests about people")
NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=180)
IDS = count(1_000_000)
BUCKETS = [7775, 2573, 7087]


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    opened = Store(database_url)
    schema.upgrade(opened)
    yield opened
    opened.close()


@pytest.fixture
def connection(store: Store) -> Iterator[Connection]:
    with store.begin() as opened:
        yield opened


def insert(connection: Connection, table: str, **values: Any) -> int:
    if "id" not in values and table != "referral":
        values["id"] = next(IDS)
    names = ", ".join(values)
    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES (:{', :'.join(values)})"), values)
    return int(values.get("id", 0))


def person(connection: Connection, address: str, channel: str = "wechat", **more: Any) -> tuple[int, int]:
    """A subscriber with one identity: the ids of both."""
    number = next(IDS)
    known = {"id": number, "created_at": micros(NOW), "language": "zh", "status": "active", "code": f"C{number}"}
    insert(connection, "subscriber", **{**known, "consent": True, "guest": False, **more})
    return number, identity(connection, number, address, channel)


def identity(connection: Connection, subscriber: int, address: str, channel: str = "wechat") -> int:
    known = {"subscriber": subscriber, "channel": channel, "account": "main", "address": address, "following": True}
    digest = VAULT.digest(channel, "main", address)
    return insert(connection, "identity", **known, digest=digest, heard_kind="", sent_since=0)


def talk(connection: Connection, subscriber: int, identity: int, heard: str, at: datetime = NOW) -> int:
    said = json.dumps([{"text": f"你说：{heard}"}], ensure_ascii=False)
    known = {"subscriber": subscriber, "identity": identity, "at": micros(at), "kind": "text"}
    return insert(connection, "text", **known, heard=heard, said=said)


def queue(connection: Connection, subscriber: int, identity: int, words: int, state: str) -> int:
    known = {"subscriber": subscriber, "identity": identity, "account": "wechat:main", "text": words, "part": 0}
    rest = {"kind": "reminder", "lane": 0, "state": state, "due_at": 1, "lease": "", "tries": 0, "reason": ""}
    return insert(connection, "delivery", **known, **rest)


def award(connection: Connection, key: str, account: str, amount: int, at: datetime = NOW) -> None:
    acts.post(connection, Posting(key, "points", "mint/points", account, amount, "c", 1, "checkin"), at)


def one(connection: Connection, query: str) -> Any:
    return connection.execute(text(query)).scalar()


def test_found_by_channel_account_and_address(connection: Connection) -> None:
    number, own = person(connection, "o-1")
    assert people.find(connection, VAULT, "wechat", "main", "o-1") == number
    assert people.identity(connection, VAULT.digest("wechat", "main", "o-1")) == own
    for other in (("wechat", "main", "o-2"), ("wechat", "second", "o-1"), ("web", "main", "o-1")):
        assert people.find(connection, VAULT, *other) is None


def test_an_alias_of_an_alias_leads_to_the_oldest(connection: Connection) -> None:
    first, _ = person(connection, "o-1")
    second, _ = person(connection, "o-2", status="alias", alias_of=first)
    person(connection, "o-3", status="alias", alias_of=second)
    assert people.find(connection, VAULT, "wechat", "main", "o-3") == first


def test_aliases_that_run_in_a_ring_end(connection: Connection) -> None:
    number, _ = person(connection, "o-1")
    connection.execute(text("UPDATE subscriber SET alias_of = id WHERE id = :n"), {"n": number})
    assert people.find(connection, VAULT, "wechat", "main", "o-1") is None


def test_show_has_the_promised_shape(connection: Connection) -> None:
    referrer, _ = person(connection, "o-0")
    number, _ = person(connection, "o-1", referrer=referrer)
    identity(connection, number, "77", "telegram")
    referees = [person(connection, f"o-r{n}")[0] for n in range(2)]
    for referee, state in zip(referees, ("pending", "rewarded"), strict=True):
        known = {"referee": referee, "referrer": number, "campaign": "c", "state": state}
        insert(connection, "referral", **known, at=micros(NOW), changed_at=micros(NOW))
    award(connection, "a", ledger.person(number, "points"), 10)
    award(connection, "b", ledger.held(number, "points"), 5)
    shown = people.show(connection, number)
    assert json.loads(json.dumps(shown)) == shown
    assert {name: shown[name] for name in ("id", "language", "referral_code", "referrer")} == {
        "id": number,
        "language": "zh",
        "referral_code": f"C{number}",
        "referrer": referrer,
    }
    assert [(i["channel"], i["account"], i["id"]) for i in shown["identities"]] == [
        ("wechat", "main", "o-1"),
        ("telegram", "main", "77"),
    ]
    assert shown["balances"] == {"points": 10, "points_held": 5}
    assert shown["referrals"] == [
        {"subscriber": referees[0], "state": "pending"},
        {"subscriber": referees[1], "state": "rewarded"},
    ]


def test_nobody_cannot_be_shown(connection: Connection) -> None:
    with pytest.raises(KeyError):
        people.show(connection, 5)
    assert people.export(connection, VAULT, 5)["texts"] == []
    assert people.history(connection, 5, 10) == []


def test_history_is_signed_and_newest_first(connection: Connection) -> None:
    number, _ = person(connection, "o-1")
    account = ledger.person(number, "points")
    for day in range(3):
        award(connection, f"checkin/{day}", account, day + 1, NOW + timedelta(days=day))
    spent = Posting("gift", "points", account, "spent/points", 4, "c", 1, "gift")
    acts.post(connection, spent, NOW + timedelta(days=5))
    award(connection, "other", ledger.person(number + 1, "points"), 9)
    found = people.history(connection, number, 3)
    assert [(row["key"], row["amount"], row["reason"]) for row in found] == [
        ("gift", -4, "gift"),
        ("checkin/2", 3, "checkin"),
        ("checkin/1", 2, "checkin"),
    ]
    assert found[0]["at"] == NOW + timedelta(days=5)
    assert sum(row["amount"] for row in people.history(connection, number, 100)) == 2


def test_profile_is_read_only_under_the_persons_key(connection: Connection) -> None:
    number, _ = person(connection, "o-1")
    assert profiles.read(connection, VAULT, number) == {}
    profiles.write(connection, VAULT, number, {"name": "王芳"})
    profiles.write(connection, VAULT, number, {"name": "王芳", "phone": "13800138000"})
    assert profiles.read(connection, VAULT, number) == {"name": "王芳", "phone": "13800138000"}
    sealed = bytes(one(connection, "SELECT sealed FROM profile"))
    assert "王芳".encode() not in sealed
    assert b"13800138000" not in sealed


def test_export_holds_everything(connection: Connection) -> None:
    number, own = person(connection, "o-1")
    profiles.write(connection, VAULT, number, {"name": "王芳"})
    talk(connection, number, own, "签到")
    insert(connection, "consent", subscriber=number, given=True, wording="menu#1", at=micros(NOW))
    acts.event(connection, "checked_in", "subscriber", "c", 1, NOW, {"streak": 2}, number)
    award(connection, "a", ledger.person(number, "points"), 10)
    stranger, other = person(connection, "o-2")
    talk(connection, stranger, other, "not mine")
    known = people.export(connection, VAULT, number)
    assert known["profile"] == {"name": "王芳"}
    assert (known["messages"], known["texts"][0]["heard"]) == (1, "签到")
    assert known["texts"][0]["said"] == [{"text": "你说：签到"}]
    assert [c["given"] for c in known["consents"]] == [True]
    assert [(e["kind"], e["data"]) for e in known["events"]] == [("checked_in", {"streak": 2})]
    assert [row["amount"] for row in known["history"]] == [10]
    assert known["balances"] == {"points": 10}
    assert "not mine" not in str(known)


def test_conversation_is_the_latest_oldest_first(connection: Connection) -> None:
    number, own = person(connection, "o-1")
    for turn in range(5):
        talk(connection, number, own, f"m{turn}")
    talk(connection, number, identity(connection, number, "77", "telegram"), "elsewhere")
    assert [row["heard"] for row in people.conversation(connection, own, 3)] == ["m2", "m3", "m4"]


def pushed(connection: Connection, subscriber: int, own: int, said: str, at: datetime, **more: Any) -> int:
    """A push that the person's page fetched; its words belong to nobody."""
    known = {"subscriber": 0, "at": micros(at), "kind": "push", "said": json.dumps([{"text": said}])}
    number = queue(connection, subscriber, own, insert(connection, "text", **known), more.pop("state", "sent"))
    set_ = {"run": 1, "lane": 1, "reason": "fetched", "due_at": micros(at), "ended_at": micros(at)} | more
    names = ", ".join(f"{name} = :{name}" for name in set_)
    connection.execute(text(f"UPDATE delivery SET {names} WHERE id = :id"), {"id": number, **set_})
    return number


def test_a_conversation_tells_the_pushes_its_page_fetched_where_they_came(connection: Connection) -> None:
    number, own = person(connection, "g-1", channel="web")
    elsewhere = identity(connection, number, "g-2", "web")
    hours = [NOW + timedelta(hours=hour) for hour in range(9)]
    talk(connection, number, own, "first", hours[0])
    delivery = pushed(connection, number, own, "push", hours[1])
    talk(connection, number, own, "second", hours[2])
    pushed(connection, number, elsewhere, "not here", hours[3])
    pushed(connection, number, own, "still waits", hours[3], state="queued", reason="")
    pushed(connection, number, own, "went by another way", hours[3], reason="")
    pushed(connection, number, own, "later", hours[4])

    def told(limit: int = 50) -> list[str]:
        rows = people.conversation(connection, own, limit)
        return [row["heard"] or row["said"][0]["text"] for row in rows if row["heard"] or row["said"]]

    assert told() == ["first", "push", "second", "later"]
    assert told(2) == ["second", "later"] and told(1) == ["later"]
    assert people.conversation(connection, own, 50)[1]["id"] == delivery
    talk(connection, number, own, "forget me", hours[5])
    people.forget(connection, number, hours[5], LATER)
    assert told() == ["你说：forget me"]  # the answer that is still on its way
    pushed(connection, number, own, "after it", hours[6])
    assert told() == ["你说：forget me", "after it"]


def test_leaving_an_account_erases_what_it_knew_and_keeps_the_balance(connection: Connection) -> None:
    number, own = person(connection, "o-1")
    profiles.write(connection, VAULT, number, {"name": "王芳"})
    award(connection, "a", ledger.person(number, "points"), 10)
    words = talk(connection, number, own, "private")
    states = {state: queue(connection, number, own, words, state) for state in ("passive", "queued", "sending", "sent")}
    people.park(connection, own, NOW, LATER)
    row = connection.execute(text("SELECT address, following, parked_until FROM identity WHERE id = :i"), {"i": own})
    assert tuple(row.one()) == (None, False, micros(LATER))
    assert profiles.read(connection, VAULT, number) == {}
    assert one(connection, "SELECT COUNT(*) FROM person_key") == 0
    assert people.export(connection, VAULT, number)["texts"] == []
    ended = dict(connection.execute(text("SELECT id, state FROM delivery")).all())
    assert {state: ended[own] for state, own in states.items()} == {
        "passive": "refused",
        "queued": "refused",
        "sending": "sending",
        "sent": "sent",
    }
    assert people.find(connection, VAULT, "wechat", "main", "o-1") == number
    assert people.balances(connection, number) == {"points": 10}


def test_leaving_one_account_keeps_what_another_still_needs(connection: Connection) -> None:
    number, own = person(connection, "o-1")
    other = identity(connection, number, "77", "telegram")
    profiles.write(connection, VAULT, number, {"name": "王芳"})
    talk(connection, number, own, "on wechat")
    talk(connection, number, other, "on telegram")
    people.park(connection, own, NOW, LATER)
    assert profiles.read(connection, VAULT, number) == {"name": "王芳"}
    assert [row["heard"] for row in people.export(connection, VAULT, number)["texts"]] == ["on telegram"]


def test_forgetting_destroys_key_details_and_texts_but_the_answer(connection: Connection) -> None:
    number, own = person(connection, "o-1")
    other = identity(connection, number, "77", "telegram")
    stranger, theirs = person(connection, "o-2")
    talk(connection, stranger, theirs, "another's")
    profiles.write(connection, VAULT, number, {"name": "王芳"})
    answer = talk(connection, number, own, "忘记我", NOW + timedelta(seconds=1))
    talk(connection, number, other, "earlier, with a higher id", NOW)
    award(connection, "a", ledger.person(number, "points"), 10)
    kept = people.forget(connection, number, NOW, LATER)
    assert set(kept) == {"ledger", "once", "law"}
    assert profiles.read(connection, VAULT, number) == {}
    rows = connection.execute(text("SELECT id, heard, said FROM text WHERE subscriber = :s"), {"s": number}).all()
    assert all(row.heard is None for row in rows)
    assert [row.id for row in rows if row.said] == [answer]
    assert people.balances(connection, number) == {"points": 10}
    assert people.export(connection, VAULT, stranger)["texts"][0]["heard"] == "another's"


# ---- what goes by itself


def retain(connection: Connection, now: datetime, **more: int) -> int:
    return retention.step(connection, now, 90, **more)


def test_a_forgotten_address_goes_when_the_last_answer_has_left(connection: Connection) -> None:
    number, own = person(connection, "o-1")
    answer = talk(connection, number, own, "忘记我")
    delivery = queue(connection, number, own, answer, "passive")
    people.forget(connection, number, NOW, LATER)
    assert retain(connection, NOW) == 0
    assert one(connection, "SELECT address FROM identity") == "o-1"
    connection.execute(text("UPDATE delivery SET state = 'sent' WHERE id = :d"), {"d": delivery})
    assert retain(connection, NOW) == 1
    assert one(connection, "SELECT address FROM identity") is None
    assert people.find(connection, VAULT, "wechat", "main", "o-1") == number


def test_after_the_term_nothing_ties_what_is_kept_to_anybody(connection: Connection) -> None:
    number, own = person(connection, "o-1")
    award(connection, "a", ledger.person(number, "points"), 10)
    connection.execute(text("INSERT INTO memory VALUES (:s, 'checkin', '{}')"), {"s": number})
    people.park(connection, own, NOW, LATER)
    retain(connection, LATER)
    assert people.find(connection, VAULT, "wechat", "main", "o-1") == number
    assert retain(connection, LATER + timedelta(seconds=1)) == 1
    assert people.find(connection, VAULT, "wechat", "main", "o-1") is None
    assert one(connection, "SELECT status FROM subscriber") == "erased"
    assert one(connection, "SELECT COUNT(*) FROM memory") == 0
    assert one(connection, "SELECT SUM(amount) FROM balance") == 10
    assert retain(connection, LATER + timedelta(days=9)) == 0


def test_who_is_still_known_elsewhere_outlives_the_term(connection: Connection) -> None:
    number, own = person(connection, "o-1")
    identity(connection, number, "77", "telegram")
    people.park(connection, own, NOW, LATER)
    retain(connection, LATER + timedelta(seconds=1))
    assert one(connection, "SELECT status FROM subscriber") == "active"
    assert people.find(connection, VAULT, "telegram", "main", "77") == number
    assert people.find(connection, VAULT, "wechat", "main", "o-1") is None


def test_old_texts_are_emptied_in_batches(connection: Connection) -> None:
    number, own = person(connection, "o-1")
    for day in range(10):
        talk(connection, number, own, f"day {day}", NOW + timedelta(days=day))
    now = NOW + timedelta(days=97, seconds=1)
    assert [retain(connection, now, batch=3) for _ in range(4)] == [3, 3, 2, 0]
    assert [row["heard"] for row in people.conversation(connection, own, 10)][-3:] == [None, "day 8", "day 9"]


def test_old_keys_go_and_new_ones_stay(store: Store) -> None:
    with store.begin() as connection:
        machine = machine_now(connection)
        for name, days in (("old", 31), ("new", 29)):
            at = machine - days * 86_400_000_000
            connection.execute(text("INSERT INTO inbox_key (key, text, at) VALUES (:k, 1, :at)"), {"k": name, "at": at})
        assert retain(connection, NOW) == 1
        assert one(connection, "SELECT key FROM inbox_key") == "new"


# ---- the fixed bucket


def test_a_bucket_is_fixed_for_ever() -> None:
    assert [people.bucket("family-2026", number) for number in (1, 2, 1001)] == BUCKETS
    assert people.bucket("other", 1) != people.bucket("family-2026", 1)


def test_buckets_are_even() -> None:
    counts = [0] * 10
    for number in range(20_000):
        counts[people.bucket("c", number) // 1000] += 1
    # Nine degrees of freedom: 27.9 is passed by chance once in a thousand, and the numbers here never change.
    assert sum((found - 2000) ** 2 / 2000 for found in counts) < 27.9


def test_events_are_those_of_messages_and_what_others_caused(connection: Connection) -> None:
    number, home = person(connection, "oEvents")
    alias, _ = person(connection, "oBefore", status="alias", alias_of=number)
    other, elsewhere = person(connection, "oOther")

    def noted(kind: str, subscriber: int, place: int | None, actor: str = "subscriber") -> None:
        words = None
        if place is not None:
            words = insert(connection, "text", subscriber=subscriber, identity=place, at=micros(NOW), kind="text")
        what = {"tx": 1, "kind": kind, "subscriber": subscriber, "actor": actor, "campaign": "c", "revision": 1}
        insert(connection, "event", **what, text=words, at=micros(NOW), data="{}")

    noted("checkin", number, home)
    noted("joined", alias, home)
    noted("corrected", number, None, "staff:1")
    noted("people.blocked", alias, None, "staff:1")
    noted("checkin", other, elsewhere)
    noted("corrected", other, None, "staff:1")
    told = people.export(connection, VAULT, number)["events"]
    assert [event["kind"] for event in told] == ["checkin", "joined", "corrected", "people.blocked"]
