"""What is proved after a push whose nodes and platforms were struck: who got what against what the books say of it.

Knows what befell them as counts alone; `tests/push_crash.py` strikes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bot.played.telegram import PlayedTelegram
from bot.played.wechat import PlayedWeChat
from tests.serving import Node

WORD, SECRET_WORD = "周五见", "兑换码"
FIRST_CHAT = 6_000_000_000
MASS = "message/mass/send"
_IN_FLIGHT = 64  # what one node may have on its way: bot/sender.py


@dataclass
class Ran:
    """What was done and found; `problems` must be empty."""

    people: int
    faults: Counter[str] = field(default_factory=Counter)
    lied: int = 0  # calls that took effect though their answer said otherwise or was lost
    got: int = 0
    doubled: int = 0
    doubtful: int = 0
    left: int = 0
    secrets: Counter[str] = field(default_factory=Counter)  # transactional: got, twice, doubtful
    keyed: Counter[str] = field(default_factory=Counter)  # in a mass send: got, twice, doubtful; jobs, requests
    seconds: float = 0.0
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        done = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))
        return (
            f"{self.people} people, {self.seconds:.0f} s; {done}; got it {self.got}, twice {self.doubled}, "
            f"doubtful {self.doubtful}, left meanwhile {self.left}; transactional: got it {self.secrets['got']}, "
            f"twice {self.secrets['twice']}, doubtful {self.secrets['doubtful']}; keyed: got it {self.keyed['got']}, "
            f"twice {self.keyed['twice']}, doubtful {self.keyed['doubtful']} in {self.keyed['jobs']} jobs of "
            f"{self.keyed['requests']} requests; {self.counts}"
        )


class Audit:
    """`do` gives the rows of a query; `left` are the chats of those who opted out meanwhile, `promised` the number of
    transactional messages."""

    def __init__(
        self,
        ran: Ran,
        do: Callable[..., list[Any]],
        world: PlayedTelegram,
        wechat: PlayedWeChat,
        left: set[int],
        promised: int,
    ) -> None:
        self.ran, self._do, self._world, self._wechat = ran, do, world, wechat
        self._left, self._promised = left, promised

    def all(self, nodes: list[Node]) -> None:
        ran = self.ran
        rows = {
            int(row.address): row
            for row in self._do(
                "SELECT i.address, d.state, d.reason, d.tries FROM delivery d JOIN identity i ON i.id = d.identity "
                "WHERE d.run IS NOT NULL AND i.channel = 'telegram'"
            )
        }
        (total,) = self._do("SELECT COUNT(*), COUNT(DISTINCT subscriber) FROM delivery WHERE run IS NOT NULL")
        if tuple(total) != (people := ran.people + len(self._wechat.people),) * 2:
            ran.problems.append(f"{total} rows and persons for {people} people")
        for row in self._do("SELECT people, counts FROM push_run"):
            ran.counts = json.loads(row.counts or "{}")
            if sum(sum(reasons.values()) for reasons in ran.counts.values()) != row.people:
                ran.problems.append(f"the counts do not add up to {row.people}: {ran.counts}")
        for address, person in self._world.people.items():
            self._audit_one(address, sum(WORD in one.text for one in person.received), rows.get(address))
        self._audit_secrets()
        self._audit_keyed()
        strikes = sum(ran.faults[name] for name in ("kill", "freeze", "cut", "sever"))
        if ran.doubled > strikes * _IN_FLIGHT + ran.lied:
            ran.problems.append(f"{ran.doubled} got it twice after {strikes} strikes and {ran.lied} lies")
        if ran.doubtful > strikes * _IN_FLIGHT + ran.lied:
            ran.problems.append(f"{ran.doubtful} in doubt after {strikes} strikes and {ran.lied} lies")
        if ran.secrets["doubtful"] > strikes * _IN_FLIGHT + ran.lied:
            ran.problems.append(f"{ran.secrets} after {strikes} strikes and {ran.lied} lies")
        if open_rows := self._do(
            "SELECT state, COUNT(*) FROM delivery WHERE state IN ('queued', 'claimed', 'sending') GROUP BY state"
        ):
            ran.problems.append(f"stuck: {open_rows}")
        ran.problems += nodes[0].koukou("ledger", "check")["problems"]
        ran.problems += [*map(str, self._world.faults), *self._wechat.faults]
        ran.problems += [line for node in nodes for line in node.broken()]

    def _audit_secrets(self) -> None:
        """What is transactional came at most once, or stands on the list; nothing else."""
        rows = self._do(
            "SELECT i.address, d.state, d.reason FROM delivery d JOIN identity i ON i.id = d.identity "
            "WHERE d.kind = 'transactional'"
        )
        if len(rows) != self._promised:
            self.ran.problems.append(f"{len(rows)} transactional rows of {self._promised}")
        for row in rows:
            person = self._world.people[int(row.address)]
            got = sum(SECRET_WORD in one.text for one in person.received)
            self.ran.secrets.update(got=got > 0, twice=got > 1, doubtful=row.state == "doubtful")
            if got > 1 or row.state not in ("sent", "doubtful") or (row.state == "sent" and not got):
                self.ran.problems.append(f"{row.address}: transactional {row.state} {row.reason}, got it {got} times")

    def _audit_keyed(self) -> None:
        """Whatever was lost on the way, the platform counts a key once: nobody has it twice, nobody goes without."""
        rows = self._do(
            "SELECT i.address, d.state, d.reason, s.consent FROM delivery d JOIN identity i ON i.id = d.identity "
            "JOIN subscriber s ON s.id = d.subscriber WHERE d.run IS NOT NULL AND i.channel = 'wechat'"
        )
        self.ran.keyed.update(jobs=len(self._wechat.masses), requests=self._wechat.asked[MASS])
        for row in rows:
            got = sum(one.how == "mass" for one in self._wechat.people[row.address].received)
            self.ran.keyed.update(got=got > 0, twice=got > 1, doubtful=row.state == "doubtful")
            expected = ("handed_over", 1) if row.consent else ("refused", 0)
            if (row.state, got) != expected:
                self.ran.problems.append(f"{row.address}: keyed {row.state} {row.reason}, got it {got} times")

    def _audit_one(self, address: int, got: int, row: Any) -> None:
        ran, number = self.ran, address - FIRST_CHAT
        ran.got += got > 0
        ran.doubled += got > 1
        if row is None:
            ran.problems.append(f"{address}: has no row")
            return
        ran.doubtful += row.state == "doubtful"
        if got > 2:
            ran.problems.append(f"{address}: got it {got} times")
        if number % 10 == 0 and (got or row.state != "refused"):
            ran.problems.append(f"{address}: never agreed, got it {got} times, {row.state}")
        elif number % 10 and address in self._left:
            ran.left += 1
            if (row.state == "sent") != (got > 0) and row.state != "doubtful":
                ran.problems.append(f"{address}: left, got it {got} times, {row.state} {row.reason}")
        elif number % 10:
            if row.state == "sent" and not got:
                ran.problems.append(f"{address}: sent, and never got it")
            elif row.state not in ("sent", "doubtful"):
                ran.problems.append(f"{address}: {row.state} {row.reason}")
