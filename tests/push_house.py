"""A house for pushes: a real store, writer and sender, and channels that write down what they are given."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from bot.channels import MassOutcome, Outcome, Parcel
from bot.notifying import Notifying
from bot.pushing import Pushes
from bot.sender import Sender
from bot.settings import NoticeTemplates
from campaigns import push_clock, pushing, rights
from campaigns.desk import Desk
from storage import deliveries, push_opening, push_runs, pushes
from storage.push_runs import Run
from storage.pushes import Push
from storage.store import machine_now
from tests.talking import Talk, talking

CONTENT = {
    **{"kind": "text", "text": {"zh": "周五见", "en": "See you on Friday"}, "poster": "", "buttons": ["签到"]},
    **{"about": "campaign", "wechat": "mass"},
}
AT = {"at": "2026-11-23T10:00:00"}  # an hour in which nobody minds, the day after the house's noon
MORNING = datetime.fromisoformat("2026-11-23T10:00:00+08:00")


class Line:
    """A channel account. `fate` answers for each send, and `mass_fate` for each mass send."""

    per_second = 1000.0

    def __init__(self, name: str, ways: set[str], account: str = "main") -> None:
        self.name, self.account, self._ways = name, account, frozenset(ways)
        self.sent: list[Parcel] = []
        self.mass: list[tuple[tuple[str, ...], dict[str, Any], str]] = []
        self.fate: Any = lambda parcel: Outcome("sent")
        self.mass_fate: Any = lambda addresses, key: MassOutcome("sent", platform=f"p{key}")

    async def ways(self) -> frozenset[str]:
        return self._ways

    async def open(self) -> None: ...

    def pulls(self) -> bool:
        return "page" in self._ways

    async def send(self, parcel: Parcel) -> Outcome:
        outcome: Outcome = self.fate(parcel)
        if outcome.state in ("sent", "doubtful"):
            self.sent.append(parcel)
        return outcome

    async def mass_send(self, addresses: tuple[str, ...], message: dict[str, Any], key: str) -> MassOutcome:
        outcome: MassOutcome = self.mass_fate(addresses, key)
        if outcome.state in ("sent", "doubtful"):
            self.mass.append((addresses, message, key))
        return outcome


class Bot(Line):
    """A Telegram bot that also posts to channels; `post_fate` answers for each post."""

    def __init__(self) -> None:
        super().__init__("telegram", {"bot", "post"})
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.post_fate: Any = lambda channel: Outcome("sent")

    async def post(self, channel: str, message: dict[str, Any], key: str, scene: str = "") -> Outcome:
        outcome: Outcome = self.post_fate(channel)
        if outcome.state in ("sent", "doubtful"):
            self.posted.append((channel, message))
        return outcome


class PushHouse:
    """One node with its sender. `now` is the talk's."""

    def __init__(self, talk: Talk, lines: list[Line], most: int = 3) -> None:
        self.talk, self.lines = talk, {line.name: line for line in lines}
        self.pushes = Pushes(talk.writer, lines, lambda number: talk.library(), lambda: talk.now, most)
        self.templates: dict[str, dict[str, NoticeTemplates]] = {}
        notifying = Notifying(
            *(talk.writer.run, lines, self.templates, None, talk.vault),
            *(lambda: talk.writer.library, lambda: talk.now),
        )
        noticed = notifying.pushed
        self.sender = Sender(self._run, lines, lambda: talk.now, "one", self.pushes.runs, noticed=noticed)
        self.before_claim: list[Any] = []  # what happens while a claim waits for the writer
        self.once_claimed: list[Any] = []  # what happens while requests are on their way

    async def _run(self, job: Any) -> Any:
        if self.before_claim:
            await self.before_claim.pop()()
        result = await self.talk.writer.run(job)
        if isinstance(result, list) and result and self.once_claimed:
            await self.once_claimed.pop()()
        return result

    async def run_of(self, push: Push) -> Run:
        """The latest run of a push."""
        return (await self.talk.writer.run(lambda connection: push_runs.of_push(connection, push.number, 1)))[0]

    async def slice(self, push: Push, limit: int) -> int | None:
        """Begin the push if it is due, and open one slice of its run, as any node may."""
        now = self.talk.now
        await self.pushes._begin(push.number, now)
        rule, run = await self.pushes.rule(push, now), await self.run_of(push)
        return await self.talk.writer.run(lambda c: push_opening.open_slice(c, run.id, rule, limit, now))

    async def patience(self) -> None:
        """Let machine time pass: back-offs, pauses of accounts and leases are over."""

        def age(connection: Any) -> None:
            for change in (
                "UPDATE delivery SET lease_until = lease_until - 1000000000 WHERE lease_until IS NOT NULL",
                "UPDATE mass_job SET lease_until = lease_until - 1000000000 WHERE lease_until IS NOT NULL",
                "UPDATE channel_post SET lease_until = lease_until - 1000000000 WHERE lease_until IS NOT NULL",
                "UPDATE rate SET pause_until = 0, second = 0",
            ):
                connection.exec_driver_sql(change)
            deliveries.reap(connection, machine_now(connection))

        await self.talk.writer.run(age)

    async def act(self, work: Any, actor: str = "staff:1", why: str = "because", roles: tuple[str, ...] = ()) -> Any:
        """`work(desk)` in a transaction, as somebody with these roles (none given: with every right)."""
        held = rights.of(roles) if roles else rights.OPERATOR
        return await self.talk.writer.run(lambda connection: work(Desk(connection, actor, held, self.talk.now, why)))

    async def approved(self, key: str = "a", **changed: Any) -> Push:
        """A push that went through two hands."""
        given = {"content": CONTENT, "audience": "everyone", "schedule": AT, "limits": {}, **changed}
        library = self.talk.writer.library
        push = await self.act(lambda desk: pushing.create(desk, library, key, "周五", **given))
        await self.act(lambda desk: pushing.submit(desk, library, push.number))
        return await self.act(lambda desk: pushing.approve(desk, library, push.number, alone=False), "staff:2")

    async def step(self, times: int = 1) -> None:
        """Let pushes step and everything that can be sent be sent."""
        for _ in range(times):
            await self.pushes.step()
            while await self.sender.step(self.talk.now):
                pass
            await self.pushes.step()

    async def counts(self, push: Push) -> dict[str, int]:
        """`state/reason` → rows of the latest run."""
        (run,) = await self.talk.writer.run(lambda connection: push_runs.of_push(connection, push.number, 1))
        told = await self.talk.writer.run(lambda connection: push_runs.counts(connection, run.id))
        assert sum(sum(reasons.values()) for reasons in told.values()) == run.people
        return {f"{state}/{why}".rstrip("/"): n for state, reasons in told.items() for why, n in reasons.items()}

    async def state(self, push: Push) -> tuple[str, list[str]]:
        """Where the push stands, and its runs, the latest first."""

        def read(connection: Any) -> tuple[str, list[str]]:
            found = pushes.find(connection, push.number)
            assert found
            return found.state, [run.state for run in push_runs.of_push(connection, push.number, 9)]

        return await self.talk.writer.run(read)


@asynccontextmanager
async def push_house(url: str, *lines: Line, most: int = 3) -> AsyncIterator[PushHouse]:
    """A house with these channels, by default one of each kind; nobody is held out of the campaign."""
    given = list(lines) or [Line("wechat", {"service", "mass"}), Line("telegram", {"bot"}), Line("web", {"page"})]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(push_clock, "holdout", lambda plan: 0)
        async with talking(url) as talk:
            yield PushHouse(talk, given, most)


async def talked(talk: Talk, said: str, who: str, channel: str = "wechat", kind: str = "text") -> None:
    """Somebody says something and gets the answer at once."""
    answer = await talk.hear(said, who=who, channel=channel, kind=kind)
    talk.writer.settled(answer.deliveries)
    await talk.writer.run(lambda connection: None)


async def crowd(talk: Talk, wechat: int = 0, telegram: int = 0, web: int = 0) -> None:
    """People who agreed to campaign messages three days ago, so that no window is open."""
    talk.now -= timedelta(days=3)
    for channel, count in (("wechat", wechat), ("telegram", telegram), ("web", web)):
        for number in range(count):
            await talked(talk, "恢复接收", f"{channel}-{number:04d}", channel)
    talk.now += timedelta(days=3)
