"""Random histories of pushes beside a small model: every row is accounted for and nobody gets one run twice.

People agree, leave and are blocked, staff take every step in every order, and the platform ends requests as it likes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import ExitStack, suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import text

from bot.channels import Outcome
from campaigns import pushing
from campaigns.desk import ActRefused
from storage import push_runs, pushes
from tests.push_house import CONTENT, MORNING, Line, PushHouse, crowd, push_house, talked

PEOPLE = 5
MOST_A_WEEK = 2  # of the shipped plan
SERVICE = {**CONTENT, "wechat": "service"}
OPEN, OVER = ("opening", "running", "paused"), ("done", "cancelled", "missed")
# What staff may do to a push in a state, written down apart from pushing.STEPS: the state after it, or refused.
MAY = {
    "change": {"draft": "draft", "submitted": "draft", "approved": "draft", "scheduled": "draft"},
    "submit": {"draft": "submitted"},
    "send_back": {"submitted": "draft"},
    "approve": {"submitted": "scheduled"},
    "pause": {"scheduled": "paused", "running": "paused"},
    "resume": {"paused": "running"},  # or scheduled, missed or done later, where nothing of it ran yet
    "cancel": dict.fromkeys(("draft", "submitted", "approved", "scheduled", "running", "paused"), "cancelled"),
}
WHERE = "FROM delivery WHERE run IS NOT NULL"


class Machine(RuleBasedStateMachine):
    """`states` is where each push stands, `consent` and `blocked` who may get one, `got` what reached whom."""

    loop: asyncio.AbstractEventLoop
    house: PushHouse
    seen: Counter[str]  # what all histories together came upon

    def wait(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def rows(self, sql: str) -> list[Any]:
        with self.house.talk.store.read() as connection:
            return list(connection.execute(text(sql)).all())

    @initialize()
    def empty(self) -> None:
        with self.house.talk.store.begin() as connection:
            for table in ("delivery", "mass_job", "push_run", "push_step", "push"):
                connection.execute(text(f"DELETE FROM {table}"))
            connection.execute(text("UPDATE subscriber SET consent = TRUE, blocked_at = NULL"))
        self.house.talk.now = MORNING - timedelta(minutes=10)
        self.states: dict[int, str] = {}
        self.consent = dict.fromkeys(range(PEOPLE), True)
        self.blocked = dict.fromkeys(range(PEOPLE), False)
        self.got: Counter[tuple[str, int]] = Counter()  # certainly arrived, by text and person
        self.closed: dict[int, int] = {}  # requests for a push that is cancelled
        self.begun: list[tuple[int, int]] = []  # (person, push) of every request
        self.wrong: list[str] = []  # requests that should not have been made
        self.fate = "sent"
        self.keys = 0
        self.line.fate = self.answer

    @property
    def line(self) -> Line:
        return self.house.lines["telegram"]

    def answer(self, parcel: Any) -> Outcome:
        person, number = int(parcel.address[-4:]), int(parcel.message["text"].split("号")[0].removeprefix("第"))
        # Kept, for the sender would take a fault here for the channel's.
        if not self.consent[person] or self.blocked[person]:
            self.wrong.append(f"{person} has left, and was sent {number}")
        if self.states[number] in ("cancelled", "paused", "draft"):
            self.wrong.append(f"{number} is {self.states[number]}, and was sent to {person}")
        self.begun.append((person, number))
        return Outcome(self.fate, "" if self.fate == "sent" else "said_so")  # type: ignore[arg-type]

    # ---- staff

    def written(self, number: int, minutes: int, daily: bool) -> dict[str, Any]:
        at = self.house.talk.now + timedelta(minutes=minutes)
        wall = at.astimezone(MORNING.tzinfo)
        schedule = {"cron": f"{wall.minute} {wall.hour} * * *"} if daily else {"at": f"{wall:%Y-%m-%dT%H:%M:00}"}
        content = {**SERVICE, "text": {"zh": f"第{number}号", "en": f"第{number}号"}}
        return {"content": content, "audience": "everyone", "schedule": schedule, "limits": {"errors": 100}}

    @rule(minutes=st.integers(1, 30), daily=st.booleans(), hurry=st.sampled_from([True, True, True, False]))
    def create(self, minutes: int, daily: bool, hurry: bool) -> None:
        if len(self.states) > 4:
            return
        self.keys += 1
        library = self.house.talk.writer.library

        def made(desk: Any) -> Any:
            first = pushing.create(desk, library, f"m{self.keys}", "推送", **self.written(0, minutes, daily))
            return pushing.change(
                desk, library, first.number, name="推送", **self.written(first.number, minutes, daily)
            )

        number = self.wait(self.house.act(made)).number
        self.states[number] = "draft"
        if hurry:
            self.step(len(self.states) - 1, "submit", 0)
            self.step(len(self.states) - 1, "approve", 0)

    @rule(which=st.integers(0, 4), name=st.sampled_from(sorted(MAY)), minutes=st.integers(1, 30))
    def step(self, which: int, name: str, minutes: int) -> None:
        """Any step at any time: taken where MAY says so, and else refused with nothing changed."""
        if which >= len(self.states):
            return
        number, library = sorted(self.states)[which], self.house.talk.writer.library
        acts = {
            "change": lambda desk: pushing.change(
                desk, library, number, name="改", **self.written(number, minutes, False)
            ),
            "submit": lambda desk: pushing.submit(desk, library, number),
            "send_back": lambda desk: pushing.send_back(desk, number),
            "approve": lambda desk: pushing.approve(desk, library, number, alone=False),
            "pause": lambda desk: pushing.pause(desk, number),
            "resume": lambda desk: pushing.resume(desk, library, number),
            "cancel": lambda desk: pushing.cancel(desk, number),
        }
        before = self.states[number]
        after = MAY[name].get(before)
        who = "staff:2" if name == "approve" else "staff:1"
        if after is None:
            same = name == "change" and before in OVER  # the same words again change nothing, wherever it stands
            with suppress(ActRefused) if same else pytest.raises(ActRefused):
                self.wait(self.house.act(acts[name], who))
            assert self.stands(number) == before
            return
        try:
            self.wait(self.house.act(acts[name], who))
        except ActRefused:
            assert name == "approve", (name, before)  # its time is over
            assert self.stands(number) == before
            return
        now = self.stands(number)
        if name == "resume":
            assert now in ("running", "scheduled", "done"), now
        elif name == "change":
            assert now in ("draft", before)  # written as it was before, nothing changes
        else:
            assert now == after
        self.states[number] = now

    def stands(self, number: int) -> str:
        with self.house.talk.store.read() as connection:
            found = pushes.find(connection, number)
        assert found
        return found.state

    # ---- people and platform

    @rule(person=st.integers(0, PEOPLE - 1))
    def leave_or_return(self, person: int) -> None:
        self.consent[person] = not self.consent[person]
        said = "恢复接收" if self.consent[person] else "退订"
        if not self.blocked[person]:
            self.wait(talked(self.house.talk, said, f"telegram-{person:04d}", "telegram"))
        self.consent[person] = bool(
            self.rows(
                "SELECT s.consent FROM subscriber s JOIN identity i ON i.subscriber = s.id "
                f"WHERE i.address = 'telegram-{person:04d}'"
            )[0][0]
        )

    @rule(person=st.integers(0, PEOPLE - 1))
    def block_or_not(self, person: int) -> None:
        self.blocked[person] = not self.blocked[person]
        at = "1" if self.blocked[person] else "NULL"
        with self.house.talk.store.begin() as connection:
            connection.execute(
                text(
                    f"UPDATE subscriber SET blocked_at = {at} WHERE id = (SELECT subscriber FROM identity "
                    f"WHERE address = 'telegram-{person:04d}')"
                )
            )

    @rule(fate=st.sampled_from(["sent", "sent", "refused", "failed", "doubtful", "retry", "slow"]))
    def platform(self, fate: str) -> None:
        self.fate = fate

    # ---- time

    @rule(minutes=st.sampled_from([30, 7, 7, 30, 30, 1, 0, 150, 24 * 60]), slices=st.sampled_from([0, 0, 0, 1, 2, 3]))
    def tick(self, minutes: int, slices: int) -> None:
        """Time passes and any node steps; now and then only a slice or two is opened before something else happens."""
        self.house.talk.now += timedelta(minutes=minutes)
        if slices and self.states:
            for number in sorted(self.states):
                if self.states[number] == "scheduled":
                    push = self.wait(self.house.talk.writer.run(lambda c, n=number: pushes.find(c, n)))
                    with suppress(IndexError):  # it is not due
                        self.wait(self.house.slice(push, slices))
            self.follow()
            return
        # What is sent is asked about in the states that the nodes see: those before the step, or running.
        for number, state in self.states.items():
            if state == "scheduled":
                self.states[number] = "running"
        self.wait(self.house.step())
        self.follow()

    @rule()
    def its_time_comes(self) -> None:
        """Written, approved and due: else most histories would end before anything is sent."""
        self.create(7, False, True)
        self.tick(7, 0)

    @rule()
    def patience(self) -> None:
        self.wait(self.house.patience())

    def follow(self) -> None:
        """What the clock did by itself: only from where it may."""
        for number, before in self.states.items():
            now = self.stands(number)
            if before in ("draft", "submitted", "paused", "cancelled", "done", "missed"):
                assert now == before, (before, now)
            else:
                assert now in ("scheduled", "running", "done", "missed", "paused"), (before, now)
            self.states[number] = now

    # ---- always

    @invariant()
    def everybody_once(self) -> None:
        if not hasattr(self, "states"):
            return
        assert self.wrong == []
        self.seen.update(set(self.states.values()))
        self.seen.update({f"{row.state}/{row.reason}" for row in self.rows(f"SELECT DISTINCT state, reason {WHERE}")})
        assert self.rows(f"SELECT run, subscriber {WHERE} GROUP BY 1, 2 HAVING COUNT(*) > 1") == []
        for run in self.rows("SELECT id, push, state, people, opened FROM push_run"):
            with self.house.talk.store.read() as connection:
                told = push_runs.counts(connection, run.id)
            assert sum(sum(reasons.values()) for reasons in told.values()) == run.people <= PEOPLE
            left = told.keys() & {"queued", "claimed", "sending"}
            assert not (left and run.state in OVER), (run.state, told)

    @invariant()
    def the_books_know_every_request(self) -> None:
        if not hasattr(self, "states"):
            return
        sent = Counter(number for _, number in self.begun)
        for number, tries in self.rows(
            "SELECT r.push, SUM(CASE WHEN d.state IN ('sent', 'doubtful', 'failed') THEN 1 ELSE 0 END) "
            "FROM delivery d JOIN push_run r ON r.id = d.run GROUP BY r.push"
        ):
            assert tries <= sent[number], (number, tries, sent)

    @invariant()
    def not_too_often(self) -> None:
        if not hasattr(self, "states"):
            return
        week = int((self.house.talk.now - timedelta(days=7)).timestamp() * 1e6)
        often = self.rows(
            f"SELECT subscriber {WHERE} AND due_at > {week} AND state NOT IN ('refused', 'failed') "
            f"GROUP BY subscriber HAVING COUNT(*) > {MOST_A_WEEK}"
        )
        assert often == []


def _machine(url: str, examples: int, steps: int) -> Counter[str]:
    loop = asyncio.new_event_loop()
    with ExitStack() as stack:
        stack.callback(loop.close)
        context = push_house(url, Line("telegram", {"bot"}), most=2)
        house = loop.run_until_complete(context.__aenter__())
        stack.callback(lambda: loop.run_until_complete(context.__aexit__(None, None, None)))
        loop.run_until_complete(crowd(house.talk, telegram=PEOPLE))

        class Bound(Machine):
            pass

        Bound.loop, Bound.house, Bound.seen = loop, house, Counter()
        run_state_machine_as_test(
            Bound,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                derandomize=True,  # what the histories come upon is asserted
                suppress_health_check=list(HealthCheck),
            ),
        )
        return Bound.seen


def test_any_history_of_pushes_adds_up(database_url: str) -> None:
    sqlite = database_url.startswith("sqlite")
    seen = _machine(database_url, 40 if sqlite else 4, 25)
    if sqlite:  # histories in which little happens prove little
        assert seen.keys() >= {"running", "done", "sent/", "queued/resent", "refused/no_consent", "refused/blocked"}, (
            seen
        )
