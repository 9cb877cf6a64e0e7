"""Random lives of people on several channels who join one another, against a model in plain sets and numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from bot.channels import Busy
from storage import acts, joining, ledger, people
from storage.ledger_check import check
from tests.talking import NOON, Talk, prepared, told
from tests.test_joining import CODE, whole

WHO = [(channel, str(n)) for channel in ("web", "wechat", "telegram") for n in range(2)]
DAYS = 5  # with the first one six: the streak's bonus on the seventh is another test's
LIVES = count(1)
who = st.sampled_from(range(len(WHO)))


class One:
    """A person of the model."""

    def __init__(self, made: int, place: int) -> None:
        self.made, self.places, self.points, self.days = made, {place}, 0, set[int]()

    @property
    def guest(self) -> bool:
        return all(WHO[place][0] == "web" for place in self.places)

    def accounts(self) -> set[str]:
        return {WHO[place][0] for place in self.places} - {"web"}


class Machine(RuleBasedStateMachine):
    """Says what people say, sometimes twice, sometimes into a node that breaks at the last moment."""

    talk: Talk
    loop: asyncio.AbstractEventLoop

    @initialize()
    def begin(self) -> None:
        self.life, self.day, self.clock = next(LIVES), 0, count(1)
        self.talk.now = NOON
        self.people: dict[int, One] = {}
        self.codes: dict[int, str] = {}  # by place that asked: live ones
        self.last: tuple[int, str, str] = (0, "", "")

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def address(self, place: int) -> str:
        return f"{WHO[place][1]}-{self.life}-{id(type(self))}"

    def say(self, place: int, words: str, key: str = "") -> str:
        key = key or f"m{self.life}/{next(self.clock)}/{id(type(self))}"
        self.talk.now += timedelta(milliseconds=1)
        self.last = (place, words, key)
        answer = self.wait(self.talk.hear(words, channel=WHO[place][0], who=self.address(place), key=key))
        if place not in self.people:  # heard first by a node that broke, perhaps
            self.people[place] = One(next(self.clock), place)
        return told(answer)

    @rule(place=who)
    def check_in(self, place: int) -> None:
        answer = self.say(place, "签到")
        one = self.people[place]
        assert ("签到成功" in answer) == (self.day not in one.days), answer
        if self.day not in one.days:
            one.days.add(self.day)
            one.points += 5

    @rule(place=who, amount=st.integers(1, 12))
    def spend(self, place: int, amount: int) -> None:
        one = self.people.get(place)
        if one is None or one.guest or one.points < amount:
            return
        key = f"spend/{self.life}/{next(self.clock)}/{id(type(self))}"
        with self.talk.store.begin() as connection:
            source = ledger.person(self.number(connection, place), "points")
            acts.post(
                connection, ledger.Posting(key, "points", source, "spent/points", amount, "c", 1, "x"), self.talk.now
            )
        one.points -= amount

    @rule(place=who)
    def ask_for_code(self, place: int) -> None:
        (code,) = CODE.findall(self.say(place, "绑定"))
        for other in self.people[place].places:
            self.codes.pop(other, None)
        self.codes[place] = code

    @rule(place=who, asked=who, breaks=st.booleans())
    def type_code(self, place: int, asked: int, breaks: bool) -> None:
        code = self.codes.get(asked)
        if code is None:
            return
        words, key = code.lower(), f"t{self.life}/{next(self.clock)}/{id(type(self))}"
        if breaks:
            self.break_once(place, words, key)
        answer = self.say(place, words, key)
        one, other = self.people[place], self.people[asked]
        if one is other:
            assert "自己的绑定码" in answer
        elif one.guest and other.guest:
            assert "两边都是网页访客" in answer
        elif one.accounts() & other.accounts():
            assert "同一个账号" in answer
        else:
            assert "绑定成功" in answer, answer
            self.unite(one, other)

    def break_once(self, place: int, words: str, key: str) -> None:
        """The node breaks after all is written and before it is committed: nothing of it may be left."""
        write = joining.write

        def broken(*arguments: Any) -> None:
            write(*arguments)
            raise RuntimeError("power cut")

        joining.write = broken
        try:
            with suppress(Busy):
                self.wait(self.talk.hear(words, channel=WHO[place][0], who=self.address(place), key=key))
        finally:
            joining.write = write

    def unite(self, one: One, other: One) -> None:
        older, younger = sorted((one, other), key=lambda person: person.made)
        older.points += younger.points - min(younger.points, 5 * len(older.days & younger.days))
        older.days |= younger.days
        older.places |= younger.places
        for place in older.places:
            self.people[place] = older
            self.codes.pop(place, None)

    @rule()
    def say_the_last_again(self) -> None:
        place, words, key = self.last
        if words:
            self.say(place, words, key)

    @rule()
    def a_day_passes(self) -> None:
        if self.day < DAYS:
            self.day += 1
            self.talk.now = NOON + timedelta(days=self.day)
            self.codes.clear()

    def number(self, connection: Any, place: int) -> int:
        found = people.find(connection, self.talk.vault, WHO[place][0], "main", self.address(place))
        assert found
        return found

    @invariant()
    def everybody_has_what_is_theirs(self) -> None:
        if not hasattr(self, "people"):
            return
        with self.talk.store.read() as connection:
            found = {place: people.show(connection, self.number(connection, place)) for place in self.people}
        for place, one in self.people.items():
            shown = found[place]
            owned = shown["balances"]
            assert owned["points"] + owned.get("points_held", 0) == one.points, (place, owned)
            assert owned["points" if one.guest else "points_held"] == 0 if "points_held" in owned else True
            assert shown["guest"] == one.guest
            assert len(shown["identities"]) == len(one.places)
            assert {found[other]["id"] for other in one.places} == {shown["id"]}

    def teardown(self) -> None:
        with self.talk.store.read() as connection:
            assert check(connection, self.talk.vault).problems == []


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_lives_that_join_follow_the_model(database_url: str) -> None:
    loop = asyncio.new_event_loop()
    store = prepared(database_url)

    async def opened() -> Talk:
        return Talk(store)

    talk = loop.run_until_complete(opened())
    try:
        run_state_machine_as_test(
            type("MachineOn", (Machine,), {"talk": talk, "loop": loop}),
            settings=settings(
                max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
        whole(talk)
    finally:
        loop.run_until_complete(talk.writer.close())
        store.close()
        loop.close()
