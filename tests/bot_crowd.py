"""People on a played Telegram who talk beside the WeChat crowd while nodes are killed; every third update comes again.

Keeps what the platform delivered and what each person was shown, and compares that with what the store decided.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.played.telegram import Person
from tests.houses import unhurried
from tests.serving import Node

WORDS = ("签到", "/points", "帮助", "checkin", "积分明细", "今天天气怎么样")
_PEOPLE = 12
_AGAIN = 0.34  # this part of the updates is delivered a second time
_WAIT = 0.4
_HURRY = 10.0  # the platform comes again this much sooner than it really does


@dataclass
class BotCrowd:
    """The bot's people. `said` are the ids of the updates they caused."""

    seed: int
    nodes: Sequence[Node] = ()
    said: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world = unhurried(seed=self.seed, hurry=_HURRY)
        self.dice = random.Random(self.seed)
        self._quiet = asyncio.Event()

    async def talk(self) -> None:
        """Everybody says one thing after the other until `hush`; the platform delivers to any of the nodes."""
        self._quiet.clear()
        people = [self.world.person() for _ in range(_PEOPLE)]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._wander())
            for person in people:
                group.create_task(self._chat(person))

    async def _wander(self) -> None:
        while not self._quiet.is_set():
            node = self.dice.choice(self.nodes)
            self.world.webhook = f"http://127.0.0.1:{node.port}/telegram"
            await asyncio.sleep(self.dice.uniform(0.1, 0.8))

    async def _chat(self, person: Person) -> None:
        self.said.append(person.start())
        while not self._quiet.is_set():
            await asyncio.sleep(self.dice.uniform(0.3, 2.0))
            update = person.say(self.dice.choice(WORDS))
            self.said.append(update)
            if self.dice.random() < _AGAIN:
                await asyncio.sleep(self.dice.uniform(0.0, _WAIT))
                self.world.redeliver(update)

    def hush(self) -> None:
        """Everybody ends with what they are saying."""
        self._quiet.set()

    def compare(self, said: dict[str, list[dict[str, Any]]], shut: dict[str, list[dict[str, Any]]]) -> tuple[Any, Any]:
        """What persons miss, and what they got too often, given the message trees decided for each, by address."""
        lost: list[str] = []
        doubled: list[str] = []
        for number, person in self.world.people.items():
            decided = Counter(tree["text"] for tree in said.get(str(number), ()))
            excused = Counter(tree["text"] for tree in shut.get(str(number), ()))
            got = Counter(one.text for one in person.received if one.text)
            lost += [f"telegram {number}: {what[:40]}" for what in (decided - excused - got).elements()]
            doubled += [f"telegram {number}: {what[:40]}" for what in (got - decided).elements()]
        return lost, doubled
