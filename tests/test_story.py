"""What staff read of one person and of the installation, after real journeys, on both databases, in bounded queries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from storage import acts, holds, ledger, people, revisions, state, stops, story
from storage.store import Store
from tests.talking import NOON, Talk, run, talking
from tests.test_joining import CODE

CAMPAIGN = "family-network-2026"
WECHAT = "oSTORY00000000000000000000A1"
ACCOUNTS = [("web", "main"), ("wechat", "main"), ("telegram", "main")]


@contextmanager
def counting(store: Store) -> Iterator[list[str]]:
    """The statements that are run meanwhile."""
    ran: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        ran.append(statement)

    event.listen(store._reader, "before_cursor_execute", note)
    try:
        yield ran
    finally:
        event.remove(store._reader, "before_cursor_execute", note)


def number(talk: Talk, address: str, channel: str = "wechat") -> int:
    with talk.store.read() as connection:
        found = people.find(connection, talk.vault, channel, "main", address)
    assert found
    return found


def found(talk: Talk, words: str) -> list[int]:
    with talk.store.read() as connection:
        return [one.id for one in story.find(connection, talk.vault, words, ACCOUNTS)]


def test_somebody_is_found_by_number_code_and_address_and_after_a_joining(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await talk.say("签到", who=WECHAT)
            await talk.say("签到", who="778899", channel="telegram")
            one, other = number(talk, WECHAT), number(talk, "778899", "telegram")
            with talk.store.read() as connection:
                codes = [story.person(connection, n).code for n in (one, other)]  # type: ignore[union-attr]
            for words in (str(one), f" {one} ", codes[0], codes[0].lower(), WECHAT, f"wechat:{WECHAT}"):
                assert found(talk, words) == [one], words
            assert found(talk, f"wechat/main:{WECHAT}") == [one]
            assert found(talk, "778899") == found(talk, "telegram:778899") == found(talk, "７７８８９９") == [other]
            for words in ("", "x", "telegram:1", "'; DROP TABLE subscriber; --", "9" * 400, "%", "wechat:", "ABCDEFGH"):
                assert found(talk, words) == [], words
            code = CODE.search(await talk.say("绑定", who=WECHAT))
            assert code
            await talk.say(code[1], who="778899", channel="telegram")
            for words in (str(other), codes[1], "778899", str(one)):
                assert found(talk, words) == [one], words
            with talk.store.read() as connection:
                assert story.stands_for(connection, other) == one
                person = story.person(connection, one)
            assert person and person.aliases == (other,) and person.channels == ("telegram", "wechat")

    run(journey())


def test_a_story_tells_each_part_with_its_rule(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await talk.say("签到", who=WECHAT)
            one = number(talk, WECHAT)
            with talk.store.read() as connection:
                code = story.person(connection, one).code  # type: ignore[union-attr]
            for friend in range(3):
                await talk.say(code, who=f"friend{friend}")
            talk.days(1)
            await talk.say("退订", who=WECHAT)
            with talk.store.begin() as connection:
                acts.post(
                    connection,
                    ledger.Posting("t/1", "points", "mint/points", ledger.person(one, "points"), 40, "c", 3, "redeem"),
                    talk.now,
                )
                hold = ("points", ledger.person(one, "points"), "gifts", 7, "family-network", 1, "redeem")
                holds.reserve(connection, holds.Hold("h1", *hold, talk.now + timedelta(hours=1)), talk.now)
                stops.begin(connection, talk.now + timedelta(minutes=5), "operator", "why")
                stops.end(connection, talk.now + timedelta(minutes=15), "operator", "why")
            later = talk.now + timedelta(minutes=20)
            with talk.store.read() as connection:
                moved = people.movements(connection, one, 50)
                assert next((row["amount"], row["reason"]) for row in moved) == (40, "redeem")
                checkin = next(row for row in moved if row["reason"] == "checkin")
                assert (checkin["campaign"], checkin["revision"], checkin["event"]) == (CAMPAIGN, 1, "checkin")
                assert people.movements(connection, one, 50, before=moved[0]["cursor"]) == moved[1:]
                (held,) = story.reserved(connection, one, later, 10)
                assert held["expires_at"] == talk.now + timedelta(minutes=70), "an hour and the ten minutes of the stop"
                assert story.consents(connection, one, 9)[0]["given"] is False
                assert "@family-network-2026/1" in story.consents(connection, one, 9)[0]["wording"]
                brought, counts = story.brought(connection, one, 2)
                assert len(brought) == 2 and counts == {"pending": 3}
                assert story.brought_by(connection, brought[0]["referee"])["referrer"] == one  # type: ignore[index]
                assert story.brought_by(connection, one) is None
                (home,) = story.identities(connection, one, 5)
                assert (home["address"], home["following"], home["since"]) == (WECHAT, True, NOON)
                points = {row["unit"]: row for row in story.accounts(connection, one)}["points"]
                assert points["held"] == 7 and points["amount"] >= 45
                said = story.messages(connection, one, 10)
                assert [row["heard"] for row in said] == ["退订", "签到"] and said[0]["said"][0]["text"]
                assert story.messages(connection, one, 10, before=said[0]["id"]) == said[1:]
                assert {row["state"] for row in story.deliveries(connection, one, 9)} <= {"passive", "queued", "sent"}
                assert {row["kind"] for row in story.timers(connection, one, later, 9)} == {"referral_pending"}
                assert story.person(connection, 12345) is None

    run(journey())


def test_a_long_story_takes_no_more_queries_than_a_short_one(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await talk.say("签到", who=WECHAT)
            one = number(talk, WECHAT)

            def everything(connection: Connection) -> None:
                story.find(connection, talk.vault, str(one), ACCOUNTS)
                for part in (story.identities, story.consents, story.brought, story.messages, story.deliveries):
                    part(connection, one, 20)
                story.accounts(connection, one)
                story.reserved(connection, one, talk.now, 20)
                story.timers(connection, one, talk.now, 20)
                people.movements(connection, one, 20)
                state.read(connection)

            def asked() -> int:
                with counting(talk.store) as ran, talk.store.read() as connection:
                    everything(connection)
                return len(ran)

            before = asked()
            with talk.store.read() as connection:
                code = story.person(connection, one).code  # type: ignore[union-attr]
            for n in range(30):
                await talk.say("积分", who=WECHAT)
                await talk.say(code, who=f"friend{n}")
            assert asked() == before

    run(journey())


def test_the_state_tells_queues_faults_rates_and_the_chain(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await talk.say("签到", who="778899", channel="telegram")
            one = number(talk, "778899", "telegram")
            with talk.store.begin() as connection:
                for offset, (mode, reason) in enumerate([("queued", ""), ("failed", "too_long"), ("sending", "")]):
                    connection.execute(
                        text(
                            "INSERT INTO delivery (id, subscriber, identity, account, text, part, kind, lane, state, "
                            "due_at, lease, tries, reason, ended_at) VALUES (:id, :s, 1, 'telegram:main', 1, 0, "
                            "'reminder', 1, :state, 5, '', 0, :reason, 7)"
                        ),
                        {"id": 9_000_000 + offset, "s": one, "state": mode, "reason": reason},
                    )
            with talk.store.read() as connection:
                seen = state.read(connection)
                assert state.waiting(connection)["sending"] == 1 and state.waiting(connection)["queued"] >= 1
            pushes = {(row["state"], row["lane"]): row["count"] for row in seen["queues"]}
            assert pushes["queued", 1] == pushes["sending", 1] == 1
            assert [(row["reason"], row["count"]) for row in seen["troubles"]] == [("too_long", 1)]
            assert seen["nodes"][0]["beat"] < 60 and seen["sealer"]["seq"] == 0 and seen["sealer"]["lag"] > 0
            assert seen["texts"] == NOON and seen["stop"] is None and seen["schema"]
            assert seen["database"].split()[0] in ("SQLite", "PostgreSQL")

    run(journey())


def test_budget_lines_tell_what_was_given_spent_and_held(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await talk.say("签到", who=WECHAT)
            with talk.store.begin() as connection:
                lines = acts.budget_state(connection, CAMPAIGN)
                given = acts.budget_given(connection, CAMPAIGN)
                assert {line: row[0] for line, row in lines.items()} == given and given
                line = max(given, key=lambda name: given[name])
                hold = ("fen", ledger.budget(CAMPAIGN, line), "out", 300, "family-network", 1, "r")
                holds.reserve(connection, holds.Hold("h", *hold), talk.now)
                away = ledger.Posting("p", "fen", ledger.budget(CAMPAIGN, line), "out", 200, "c", 1, "r")
                acts.post(connection, away, talk.now)
                spent = lines[line][1]
                assert acts.budget_state(connection, CAMPAIGN)[line] == (given[line], spent + 200, 300)

    run(journey())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_revisions_are_listed_newest_first(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            with talk.store.begin() as connection:
                for n in range(2, 5):
                    revisions.store_revision(connection, CAMPAIGN, {"a": b"%d" % n}, talk.now, "staff:3", n - 1)
                assert [(one.number, one.by) for one in revisions.listed(connection, CAMPAIGN, 2)] == [
                    (4, "staff:3"),
                    (3, "staff:3"),
                ]
                assert [one.number for one in revisions.listed(connection, CAMPAIGN, 9, 3)] == [2, 1]

    run(journey())
