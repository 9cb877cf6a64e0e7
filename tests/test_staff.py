"""Members of staff, their sessions, guesses at their passwords and the audit log, on both databases."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from campaigns import rights
from campaigns import staff as acts
from campaigns.desk import ActRefused, Desk, NotAllowed, apply_plan, may_see, sees
from storage import audit, staff, staff_guess
from storage.store import Store
from tests.plan_editing import edited, shipped_files
from tests.talking import NOON, Talk, prepared, run

OPERATOR = rights.OPERATOR


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    opened = Store(database_url)
    yield opened
    opened.close()


def desk(connection: Any, actor: str = "operator", may: frozenset[str] = OPERATOR, branch: str | None = None) -> Desk:
    return Desk(connection, actor, may, NOON, "", branch)


def add(connection: Any, name: str, *roles: str, branch: str | None = None) -> int:
    return acts.add(desk(connection), name, roles, branch, "zh", "hash", None)


def log_in(connection: Any, number: int, digest: str) -> int:
    return staff.open_session(
        connection, number, digest, proved=True, seconds=3600, source="10.0.0.1", agent="Firefox · Linux"
    )


def events(connection: Any) -> list[tuple[str, str]]:
    return [(entry.kind, entry.actor) for entry in reversed(audit.entries(connection, 100))]


def test_a_member_is_added_changed_reset_and_sent_away_and_each_is_an_event(store: Store) -> None:
    with store.begin() as connection:
        add(connection, "boss", "administrator")
        number = add(connection, "Ｗang.Fang", "service", branch="xinhua")
        found = staff.by_name(connection, "wang.fang")
        assert found and found.id == number and found.branch == "xinhua" and found.roles == ("service",)
        assert acts.change(desk(connection), number, ["service", "handling"], None)
        assert not acts.change(desk(connection), number, ["handling", "service", "service"], "")
        acts.reset(desk(connection), number, "another", NOON + timedelta(hours=1), second=True)
        assert acts.activate(desk(connection), number, False) and not acts.activate(desk(connection), number, False)
        after = staff.member(connection, number)
        assert after and not after.active and after.password == "another" and after.change_by
    with store.read() as connection:
        kinds = ["added", "added", "changed", "reset", "deactivated"]
        assert events(connection) == [(f"staff.{kind}", "operator") for kind in kinds]


@pytest.mark.parametrize(
    ("name", "roles", "branch", "why"),
    [
        ("", ["service"], None, "letters"),
        ("a b", ["service"], None, "letters"),
        ("<script>", ["service"], None, "letters"),
        ("x" * 41, ["service"], None, "letters"),
        ("boss", ["service"], None, "called boss already"),
        ("BOSS ", ["service"], None, "called boss already"),
        ("new", ["king"], None, "no such role: king"),
        ("new", ["service"], "Xin Hua", "small letters"),
        ("new", ["administrator"], "xinhua", "has no branch"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    store: Store, name: str, roles: list[str], branch: str | None, why: str
) -> None:
    with store.begin() as connection:
        add(connection, "boss", "administrator")
    with pytest.raises(ActRefused, match=why), store.begin() as connection:
        acts.add(desk(connection), name, roles, branch, "zh", "hash", None)
    with store.read() as connection:
        assert [one.name for one in staff.members(connection)] == ["boss"]


def test_nobody_without_the_right_touches_anybody(store: Store) -> None:
    with store.begin() as connection:
        boss, other = add(connection, "boss", "administrator"), add(connection, "other", "service")
        session = log_in(connection, boss, "d1")
        weak = desk(connection, acts.actor(other), rights.of(["planning", "service"]))
        tries: list[Any] = [
            lambda: acts.add(weak, "new", ["administrator"], None, "zh", "hash", None),
            lambda: acts.change(weak, other, ["administrator"], None),
            lambda: acts.reset(weak, boss, "mine", NOON, second=True),
            lambda: acts.activate(weak, boss, False),
            lambda: acts.end_session(weak, boss, session),
            lambda: acts.end_session(weak, boss, None),
        ]
        for attempt in tries:
            with pytest.raises(NotAllowed):
                attempt()
        own: list[Any] = [
            lambda: acts.set_password(weak, boss, "mine", 0),
            lambda: acts.set_second(weak, boss, b"x", 1, [], 0),
            lambda: acts.set_language(weak, boss, "en"),
        ]
        for attempt in own:
            with pytest.raises(ActRefused, match="only the member"):
                attempt()
        with pytest.raises(ActRefused, match="over already"):
            acts.end_session(weak, other, session)  # somebody else's, under one's own name
        found = staff.member(connection, boss)
        assert found and found.password == "hash" and len(staff.sessions(connection, boss, 60)) == 1


def test_the_last_administrator_stays(store: Store) -> None:
    with store.begin() as connection:
        first = add(connection, "first", "administrator")
        second = add(connection, "second", "administrator")
        acts.activate(desk(connection), second, False)
        for attempt in (
            lambda: acts.activate(desk(connection), first, False),
            lambda: acts.change(desk(connection), first, ["service"], None),
        ):
            with pytest.raises(ActRefused, match="last administrator"):
                attempt()
        acts.activate(desk(connection), second, True)
        assert acts.change(desk(connection), first, ["service"], None)


def test_two_administrators_cannot_send_each_other_away_at_once(store: Store) -> None:
    for _ in range(5):
        with store.begin() as connection:
            connection.execute(text("DELETE FROM staff"))
            pair = [add(connection, name, "administrator") for name in ("a", "b")]

        def leave(number: int) -> bool:
            try:
                with store.begin() as connection:
                    return acts.activate(desk(connection), number, False)
            except ActRefused:
                return False

        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(leave, pair)) == [False, True]


def test_sessions_end_by_time_by_idleness_and_by_every_change_of_standing(store: Store) -> None:
    with store.begin() as connection:
        boss, number = add(connection, "boss", "administrator"), add(connection, "one", "service")
        log_in(connection, boss, "boss")

        def alive() -> bool:
            return staff.session(connection, "d", 600) is not None

        def again() -> int:
            staff.end_sessions(connection, number)
            return log_in(connection, number, "d")

        again()
        assert alive()
        connection.execute(text("UPDATE staff_session SET seen_at = seen_at - 601000000 WHERE digest = 'd'"))
        assert not alive() and staff.sessions(connection, number, 600) == []
        session = again()
        connection.execute(text("UPDATE staff_session SET until = opened_at WHERE digest = 'd'"))
        assert not alive()
        for end in (
            lambda: acts.change(desk(connection), number, ["handling"], None),
            lambda: acts.change(desk(connection), number, ["handling"], "xinhua"),
            lambda: acts.reset(desk(connection), number, "new", NOON, second=False),
            lambda: acts.activate(desk(connection), number, False),
            lambda: (
                acts.activate(desk(connection), number, True)
                and again()
                and acts.end_session(desk(connection), number, None)
            ),
        ):
            again()
            end()
            assert not alive()
        session = again()
        log_in(connection, number, "elsewhere")
        acts.set_password(desk(connection, acts.actor(number)), number, "mine", session)
        assert alive() and staff.session(connection, "elsewhere", 600) is None
        assert staff.session(connection, "boss", 600)


def test_a_code_counts_once_and_a_recovery_code_too(store: Store) -> None:
    with store.begin() as connection:
        number, other = add(connection, "one", "service"), add(connection, "two", "service")
        assert staff.use_step(connection, number, 100)
        assert not staff.use_step(connection, number, 100) and not staff.use_step(connection, number, 99)
        assert staff.use_step(connection, number, 101)
        staff.set_recovery(connection, number, ["a", "b"])
        assert not staff.use_recovery(connection, other, "a")
        assert staff.use_recovery(connection, number, "a") and not staff.use_recovery(connection, number, "a")
        assert staff.recovery_left(connection, number) == 1


def test_an_administrator_keeps_a_second_factor(store: Store) -> None:
    with store.begin() as connection:
        boss = add(connection, "boss", "administrator")
        own = desk(connection, acts.actor(boss), rights.of(["administrator"]))
        acts.set_second(own, boss, b"sealed", 5, ["a"], 0)
        with pytest.raises(ActRefused, match="needs a second factor"):
            acts.set_second(own, boss, None, 0, [], 0)
        found = staff.member(connection, boss)
        assert found and found.totp == b"sealed" and found.totp_step == 5


# ---- guesses


@pytest.mark.slow
def test_a_hundred_thousand_guesses_from_a_thousand_sources(store: Store) -> None:
    """What is heard of them is bounded by sources, whatever their number; the owner gets in all the while.

    As the console does, each asks by a read first. PostgreSQL hears fewer: what is proved is the same statements.
    """
    dice, guesses = random.Random(4), 100_000 if store.is_sqlite else 5_000
    name, real, owner_waits = "member-7", 0, []
    with store.begin() as connection:
        for guess in range(guesses):
            source = f"a{guess if guess < 1000 else dice.randrange(1000)}"
            if staff_guess.wait(connection, name, source) == 0:
                real += staff_guess.admit(connection, name, source) == 0
            if guess % (guesses // 10) == 50:
                owner_waits.append(staff_guess.admit(connection, name, "owner", device="known"))
                staff_guess.was_right(connection, name, "owner", device="known")
        assert 1000 <= real <= 1000 + staff_guess.BESET
        assert owner_waits == [0.0] * 10
        # On a new device in a network that guessed nothing, the first try is heard at once as well.
        assert staff_guess.admit(connection, name, "somewhere else") == 0.0
        # Another member is not touched by it.
        assert staff_guess.admit(connection, "member-8", "somewhere else") == 0.0


def test_pauses_grow_to_a_quarter_of_an_hour_and_no_further(store: Store) -> None:
    pauses = []
    with store.begin() as connection:
        for _ in range(14):
            assert staff_guess.admit(connection, "n", "s", device="d") == 0
            pauses.append(round(staff_guess.wait(connection, "n", "s", device="d")))
            connection.execute(text("UPDATE staff_guess SET open_at = 0"))
    assert pauses == [0] * 4 + [30, 60, 120, 240, 480] + [900] * 5


def test_one_source_cannot_try_all_names(store: Store) -> None:
    with store.begin() as connection:
        heard = sum(staff_guess.admit(connection, f"n{place}", "s") == 0 for place in range(200))
        assert heard == staff_guess.SOURCE_MOST
        assert 0 < staff_guess.wait(connection, "n0", "s") <= 900
        assert staff_guess.admit(connection, "n0", "another") == 0


def test_an_office_that_types_its_passwords_right_is_never_kept_waiting(store: Store) -> None:
    with store.begin() as connection:
        for place in range(200):
            assert staff_guess.admit(connection, f"n{place}", "office") == 0
            staff_guess.was_right(connection, f"n{place}", "office")


def test_many_at_once_get_no_more_tries_than_one(store: Store) -> None:
    def guess(_: int) -> bool:
        with store.begin() as connection:
            return staff_guess.admit(connection, "n", "s") == 0

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(guess, range(60))) == staff_guess.FREE


def test_a_reset_lets_in_anew_and_old_guesses_are_forgotten(store: Store) -> None:
    with store.begin() as connection:
        number, other = add(connection, "one", "service"), add(connection, "two", "service")
        for member in (number, other):
            for _ in range(staff_guess.FREE):
                staff_guess.admit(connection, staff_guess.member_key(member), "s")
        acts.reset(desk(connection), number, "new", NOON, second=False)
        assert staff_guess.wait(connection, staff_guess.member_key(number), "s") == 0
        assert staff_guess.wait(connection, staff_guess.member_key(other), "s") > 0
        connection.execute(text("UPDATE staff_guess SET until = 1"))
        assert staff_guess.clean(connection) > 0
        assert connection.execute(text("SELECT COUNT(*) FROM staff_guess")).scalar() == 0


# ---- the branch of a subscriber, and the audit log


def test_a_placement_gives_the_newcomers_it_brings_to_its_branch(database_url: str) -> None:
    spot = 'id = "shop-renmin"\nkind'
    bundle, _ = edited(shipped_files(), spot, spot.replace("\nkind", '\nbranch = "renmin"\nkind'))

    async def journey() -> list[str | None]:
        store = prepared(database_url)
        with store.begin() as connection:
            apply_plan(desk(connection), bundle, 1)
        talk = Talk(store)
        try:
            for who, scene in (("oA", "p_shop-renmin"), ("oB", "p_shop-binhe"), ("oC", ""), ("oD", "p_nowhere")):
                await talk.hear(kind="follow", who=who, data={"scene": scene} if scene else {})
            await talk.hear(kind="scan", who="oC", data={"scene": "p_shop-renmin"})  # known already: stays nobody's
            await talk.hear(kind="scan", who="oA", data={"scene": "p_shop-binhe"})
            with store.read() as connection:
                query = "SELECT s.branch FROM subscriber s JOIN identity i ON i.subscriber = s.id ORDER BY i.address"
                return list(connection.execute(text(query)).scalars())
        finally:
            await talk.writer.close()
            store.close()

    assert run(journey()) == ["renmin", None, None, None]


def test_a_branch_sees_its_own_people_and_nobody_elses(store: Store) -> None:
    with store.read() as connection:
        everywhere, renmin = desk(connection), desk(connection, "staff:1", rights.of(["service"]), "renmin")
    assert all(may_see(everywhere, branch) for branch in (None, "renmin", "binhe"))
    assert may_see(renmin, "renmin") and not sees(renmin, None)
    for branch in (None, "binhe", ""):
        with pytest.raises(NotAllowed, match="another branch"):
            may_see(renmin, branch)


def test_the_audit_log_is_read_by_pages_by_who_what_and_when(store: Store) -> None:
    with store.begin() as connection:
        one = add(connection, "one", "service")
        for place in range(7):
            moved = Desk(connection, acts.actor(one), OPERATOR, NOON + timedelta(hours=place // 2))
            moved.note("plan.applied" if place % 2 else "people.blocked", "spring", 3, {"count": place})
        connection.execute(
            text(
                "INSERT INTO event (id, tx, kind, actor, campaign, revision, at, data) "
                "VALUES (1, 1, 'checked_in', 'subscriber', 'c', 1, 5, '{}')"
            )
        )
    with store.read() as connection:
        assert audit.kinds(connection) == ["people.blocked", "plan.applied", "staff.added"]
        everything = audit.entries(connection, 100)
        assert len(everything) == 8 and {entry.who for entry in everything} == {None, "one"}
        paged, cursor = [], None
        while rows := audit.entries(connection, 3, before=cursor):
            paged += rows
            cursor = audit.cursor(rows[-1])
        assert paged == everything
        assert len(audit.entries(connection, 9, kind="people.blocked")) == 4
        assert len(audit.entries(connection, 9, actors=["operator"])) == 1
        assert audit.entries(connection, 9, actors=[]) == []
        hour = NOON + timedelta(hours=1)
        assert len(audit.entries(connection, 9, since=hour, until=hour + timedelta(hours=1))) == 2
