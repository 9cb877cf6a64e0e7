"""Many people on a played WeChat who talk at once while every callback comes three times, over all nodes.

Keeps what was acknowledged and what each person was shown, and compares that with what the store says was decided.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from bot.played.wechat import Person, PlayedWeChat
from bot.wechat.reading import incoming, read_xml
from bot.wechat.rendering import pieces
from tests.serving import Node

Trees = dict[str, list[dict[str, Any]]]  # by openid
WORDS = ("签到", "积分", "帮助", "签到", "checkin", "积分明细", "家庭网是什么", "今天天气怎么样", "怎么办理")
COPIES = 3
_PATIENCE = 10.0  # seconds for which the platform tries again
_GIVES_UP = 0.25  # this part of the messages comes three times, whatever happened to them, and never again
_PAUSE = 0.3
_DEADLINE = 5.0
_AT_MOST = 5  # customer-service messages after one of the person's


@dataclass(slots=True)
class Heard:
    """One message: how often it was acknowledged, and every reply that came."""

    openid: str
    patience: float
    acknowledged: int = 0
    replies: list[tuple[str, str]] = field(default_factory=list)
    running: int = COPIES


class Crowd(PlayedWeChat):
    """The platform and its people. `nodes` are the doors that callbacks are spread over."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.nodes: Sequence[Node] = ()
        self.heard: dict[str, Heard] = {}
        self.refused = Counter[int]()
        self.delivered = 0
        self.waits: list[tuple[float, float, int, str]] = []  # ended at, seconds, port, key; of acknowledged calls
        self.together = False  # all copies at once, each to another node
        self._late: set[asyncio.Task[None]] = set()
        self._quiet = asyncio.Event()

    # ---- three-fold delivery

    async def push(self, xml: str) -> bytes | None:
        """Deliver three times: at once, nearly at once, and later; return the first reply that came."""
        key = incoming(read_xml(xml.encode()), "main", self.clock()).key
        openid = xml.partition("<FromUserName><![CDATA[")[2].partition("]]>")[0]
        gives_up = not self.together and self.dice.random() < _GIVES_UP
        heard = self.heard.setdefault(key, Heard(openid, 0.0 if gives_up else _PATIENCE))
        shown: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        delays = (0.0, 0.0, 0.0) if self.together else (0.0, self.dice.uniform(0, 0.03), self.dice.uniform(0.05, 2.5))
        for place, delay in enumerate(delays):
            task = asyncio.create_task(self._copy(heard, key, xml, delay, place, shown))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        return await shown

    async def _copy(
        self, heard: Heard, key: str, xml: str, delay: float, place: int, shown: asyncio.Future[bytes | None]
    ) -> None:
        await asyncio.sleep(delay)
        reply = await self._until_acknowledged(key, xml, place, heard.patience)
        heard.running -= 1
        if reply is not None:
            heard.acknowledged += 1
        if reply:
            heard.replies.append(self.people[heard.openid]._read(reply))
        if not shown.done() and (reply or not heard.running):
            shown.set_result(reply or (b"" if heard.acknowledged else None))

    async def _until_acknowledged(self, key: str, xml: str, place: int, patience: float) -> bytes | None:
        first, attempt = self.dice.randrange(len(self.nodes)), 0
        until = time.monotonic() + patience
        while True:
            node = self.nodes[(place if self.together else first + place + attempt) % len(self.nodes)]
            attempt, began = attempt + 1, time.monotonic()
            self.delivered += 1
            try:
                async with asyncio.timeout(_DEADLINE):
                    status, answer = await node.door.exchange("POST", *self.sealed(xml))
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                status, answer = 0, b""
            if status == 200:
                ended = time.monotonic()
                self.waits.append((ended, ended - began, node.port, key))
                return self.opened(answer)
            self.refused[status] += 1
            if time.monotonic() > until:
                return None
            await asyncio.sleep(self.dice.uniform(0.2, 1.5) * _PAUSE)

    # ---- people

    async def talk(self, callers: int, people: int) -> None:
        """Let `people` persons talk, `callers` at a time, each one thing after the other, until `hush`."""
        waiting = deque(self.person() for _ in range(people))
        self._quiet.clear()

        async def caller() -> None:
            while not self._quiet.is_set():
                person = waiting.popleft()
                if person.since is None:
                    await person.follow()
                await person.say(self.dice.choice(WORDS))
                waiting.append(person)
                await asyncio.sleep(self.dice.uniform(0, 0.06))

        async with asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(caller())
        while self._late:
            await asyncio.wait(self._late)

    def hush(self) -> None:
        """Everybody ends with what they are saying."""
        self._quiet.set()

    # ---- what people saw against what was decided

    def compare(self, said: Trees, shut: Trees) -> tuple[list[str], list[str]]:
        """What persons miss, and what they got too often, given all message trees decided for each.

        `shut` are those of them that the platform's window did not let through in time: they may be missing.
        """
        lost, doubled = [], []
        for openid, person in self.people.items():
            decided, got = _shown(said.get(openid, ())), seen(person)
            lost += [f"{openid}: {what}" for what in (decided - _shown(shut.get(openid, ())) - got).elements()]
            doubled += [f"{openid}: {what}" for what in (got - decided).elements()]
        return lost, doubled

    def used_up(self, openid: str) -> bool:
        """Whether this person was once written to as often as the platform allows without hearing from them."""
        ways = [what.how for what in self.people[openid].received if what.how != "system"]
        return max((len(list(run)) for how, run in groupby(ways) if how == "custom"), default=0) >= _AT_MOST

    def unlike(self) -> list[str]:
        """Messages whose copies were not all given the same answer."""
        return [key for key, heard in self.heard.items() if len(set(heard.replies)) > 1]


def _shown(trees: Sequence[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """What a person sees of these message trees, each picture alike."""
    shown = [piece for tree in trees for piece in pieces(tree, pictures=True)]
    return Counter(("image", "") if piece.picture else ("text", piece.text) for piece in shown)


def seen(person: Person) -> Counter[tuple[str, str]]:
    """What a person was shown by the service, each picture alike."""
    return Counter(
        (what.kind, "" if what.kind == "image" else what.content) for what in person.received if what.how != "system"
    )


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which `part` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0
