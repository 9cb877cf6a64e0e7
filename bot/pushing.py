"""What moves pushes: begins what is due, opens runs in slices, posts to channels, sends mass jobs, ends what is over.

Each `step` does a bounded part and finds the rest in the rows, so that any node may go on where another stopped. Which
step may follow which, and who gets what how, is decided in campaigns/ and storage/push_opening.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog

from bot.channels import MassOutcome, Outcome
from bot.sender import SEND_SECONDS
from bot.writer import Writer
from campaigns import push_clock, pushing
from campaigns.desk import Desk
from content import pushes as saying
from content.library import Library
from storage import channel_posts, mass_jobs, pauses, push_opening, push_runs, pushes, served
from storage.draft import dumps
from storage.push_opening import Rule
from storage.push_runs import Run
from storage.store import machine_now

# How many people get their rows in one transaction: few at first, so that the first row can be sent at once, then as
# many as take so many seconds. Meanwhile whoever joins two accounts or pauses waits, and on SQLite everybody.
FIRST, MOST = 2_000, 20_000
_SLICE_SECONDS, _SLICE_SECONDS_SQLITE = 0.2, 0.05
_DUE_AT_ONCE = 20
_COUNT_SECONDS = 10.0  # so long a count of an audience is told again,
_COUNT_TIMES = 20  # and at least so many times as long as it took
_COUNTS_KEPT = 50
_NO_POSTER = "telegram:main"  # nobody serves it: what waits for it ends as account_off
_SAID_TIMES = 10  # so often a node says what it serves, in the time for which that holds
_log = structlog.get_logger(__name__)

Read = Callable[..., Awaitable[Any]]
People = list[tuple[str, str, str, int]]


class Pushes:
    """One per process. `library_of` reads a revision of the plan that is no longer the current one."""

    def __init__(
        self,
        writer: Writer,
        channels: Sequence[Any],
        library_of: Callable[[int], Library],
        now: Callable[[], datetime],
        most: int = MOST,
    ) -> None:
        self._writer, self._channels, self._library_of, self._now = writer, channels, library_of, now
        self._most = most
        self._holder = secrets.token_hex(8)
        self._libraries: dict[int, Library] = {}
        self._counted: dict[tuple[str, str, int], tuple[float, People]] = {}
        self._counting = asyncio.Lock()
        self._served_until = 0.0  # machine time, monotonic

    def runs(self, connection: Any, now: datetime) -> list[int]:
        """The runs that may be sent at this moment: none in the quiet hours."""
        return [] if push_clock.quiet(self._writer.library, now) else push_runs.going(connection)

    async def step(self) -> None:
        """Begin, open, send and end whatever waits for it."""
        now = self._now()
        run = self._writer.run
        await self._say_served()
        for number in await run(lambda connection: pushes.due(connection, now, _DUE_AT_ONCE)):
            await self._begin(number, now)
        broken: Exception | None = None
        for live in await run(push_runs.live):
            try:
                await self._move(live, now)
            except Exception as fault:  # of one push, which must not hold up the others
                broken = fault
        if broken:
            raise broken

    async def _say_served(self) -> None:
        """Tell all nodes from time to time which accounts this one serves."""
        if time.monotonic() < self._served_until:
            return
        by_account = {f"{one.name}:{one.account}": await one.ways() for one in self._channels}
        await self._writer.run(lambda connection: served.mark(connection, by_account))
        self._served_until = time.monotonic() + served.SECONDS / _SAID_TIMES

    async def _move(self, live: Run, now: datetime) -> None:
        if live.state != "paused":
            if not push_clock.quiet(self._writer.library, now):
                await self._posts()  # first: people take longer
            if not live.opened:
                await self._open(live)
            if not push_clock.quiet(self._writer.library, now):
                await self._mass(live.id, now)
        await self._look_after(live.id, now)

    async def rule(self, push: pushes.Push, now: datetime) -> Rule:
        """For whom a push is, and how it may go on the accounts that are open now."""
        return push_clock.rule(push, self._library(push.revision), await self.ways(), now)

    async def people(self, push: pushes.Push, read: Read, *, fresh: bool = False) -> People:
        """What would become of everybody if it went out now, as `push_opening.preview` tells it.

        A page may ask with every change of its form: one count at a time, and one of the same audience is told again
        for a while, longer where counting takes long, unless it must be `fresh`. `read` runs a query beside the event
        loop.
        """
        rule = await self.rule(push, self._now())
        key = (push.audience, str(push.content.get("wechat")), push.revision)
        async with self._counting:
            until, told = self._counted.get(key, (0.0, []))
            began = time.monotonic()
            if fresh or began > until:
                told = await read(push_opening.preview, rule, self._now())
                if len(self._counted) >= _COUNTS_KEPT:
                    self._counted.clear()
                ended = time.monotonic()
                self._counted[key] = (ended + max(_COUNT_SECONDS, _COUNT_TIMES * (ended - began)), told)
            return told

    async def ways(self) -> dict[str, list[str]]:
        """The accounts that are open now, by the ways they have."""
        by_way: dict[str, list[str]] = {}
        for channel in self._channels:
            for way in await channel.ways():
                by_way.setdefault(way, []).append(f"{channel.name}:{channel.account}")
        return by_way

    # ---- beginning and opening

    async def _begin(self, number: int, now: datetime) -> None:
        push = await self._writer.run(lambda connection: pushes.find(connection, number))
        if push is None:
            return
        library = self._library(push.revision)
        trees = saying.messages(push.content, library, push.revision)
        said = {language: dumps(both) for language, both in trees.items()}
        channels = saying.channels(push.content)
        posted = dumps(saying.post(push.content, library, push.revision)) if channels else ""
        poster = await self._poster() if channels else ""
        await self._writer.run(
            lambda connection: push_clock.begin(_desk(connection, now), number, library, said, posted, poster)
        )

    async def _poster(self) -> str:
        """The account whose bot posts to channels: the main one where it is open, else the first."""
        able = sorted((await self.ways()).get("post", ()), key=lambda one: (not one.endswith(":main"), one))
        return able[0] if able else _NO_POSTER

    async def _open(self, run: Run) -> None:
        push = await self._writer.run(lambda connection: pushes.find(connection, run.push))
        assert push
        rule, size = await self.rule(push, self._now()), min(FIRST, self._most)
        while True:
            now = self._now()

            def one(connection: Any, now: datetime = now, size: int = size) -> tuple[int | None, float]:
                began = time.monotonic()
                made = push_opening.open_slice(connection, run.id, rule, size, now)
                few = _SLICE_SECONDS_SQLITE if connection.dialect.name == "sqlite" else _SLICE_SECONDS
                return made, few / (time.monotonic() - began)

            made, faster = await self._writer.apart(one)
            if made is None:
                return
            size = min(self._most, max(FIRST // 4, int(size * min(faster, 2.0))))

    def _library(self, revision: int) -> Library:
        current = self._writer.library
        if current.revision == revision:
            return current
        if revision not in self._libraries:
            self._libraries = {revision: self._library_of(revision)}
        return self._libraries[revision]

    async def _look_after(self, run: int, now: datetime) -> None:
        library = self._writer.library
        await self._writer.run(lambda connection: push_clock.look_after(_desk(connection, now), library, run))

    # ---- posts to channels

    async def _posts(self) -> None:
        for channel in self._channels:
            if "post" in await channel.ways():
                while await self._post(channel):
                    pass

    async def _post(self, channel: Any) -> bool:
        """Post what waits next on an account; False when there is nothing, or the account must wait."""
        account, now, rate = f"{channel.name}:{channel.account}", self._now(), float(channel.per_second)
        lease = f"{self._holder}/{secrets.token_hex(4)}"
        post = await self._writer.run(
            lambda connection: channel_posts.take(connection, account, rate, lease, machine_now(connection), now)
        )
        if post is None:
            return False
        outcome = await _posted(channel, post)
        await self._writer.run(
            lambda connection: channel_posts.finish(
                *(connection, post, outcome.state, outcome.reason, outcome.wait, machine_now(connection), self._now())
            )
        )
        return outcome.state != "slow"

    # ---- mass sends

    async def _mass(self, run: int, now: datetime) -> None:
        while await self._writer.run(lambda connection: mass_jobs.gather(connection, run, now)):
            pass
        for channel in self._channels:
            if "mass" in await channel.ways():
                while await self._mass_job(channel):
                    pass

    async def _mass_job(self, channel: Any) -> bool:
        """Send the next job of an account; False when there is none, or the account must wait."""
        account, now = f"{channel.name}:{channel.account}", self._now()
        job = await self._writer.run(
            lambda connection: mass_jobs.take(connection, account, self._holder, machine_now(connection), now)
        )
        if job is None:
            return False
        try:
            async with asyncio.timeout(SEND_SECONDS):
                outcome = await channel.mass_send(job.addresses, job.message, job.key)
        except TimeoutError:
            outcome = MassOutcome("doubtful", "no_answer")
        except Exception as broken:  # the type alone: a vendor's message may hold an address with the token in it
            _log.warning("send_broke", account=account, job=job.id, fault=type(broken).__name__)
            outcome = MassOutcome("doubtful", "channel_broke")
        await self._writer.run(lambda connection: _settle(connection, job, outcome, self._now()))
        return outcome.state in ("sent", "refused", "failed")


def _desk(connection: Any, now: datetime) -> Desk:
    return Desk(connection, pushing.SYSTEM, frozenset(), now)


async def _posted(channel: Any, post: channel_posts.Post) -> Outcome:
    if not post.message:
        return Outcome("refused", "erased")
    try:
        async with asyncio.timeout(SEND_SECONDS):
            outcome: Outcome = await channel.post(post.channel, post.message, str(post.id))
            return outcome
    except TimeoutError:
        return Outcome("doubtful", "no_answer")
    except ValueError:
        return Outcome("refused", "no_channel")
    except Exception as broken:  # the type alone, as below
        _log.warning("send_broke", account=post.account, post=post.id, fault=type(broken).__name__)
        return Outcome("doubtful", "channel_broke")


def _settle(connection: Any, job: mass_jobs.Job, outcome: MassOutcome, now: datetime) -> None:
    if outcome.state == "sent":
        mass_jobs.accepted(connection, job, outcome.platform, now)
    elif outcome.state in ("refused", "failed"):
        mass_jobs.close(connection, job.id, outcome.state, outcome.reason, now)
    else:  # certainly or perhaps not taken: again under the same key, which the platform counts once
        if outcome.state == "slow":
            pauses.note(connection, job.account, outcome.reason, outcome.wait, mass=True)
        wait = timedelta(seconds=max(outcome.wait, float(min(2**job.tries, 300))))
        in_doubt = job.in_doubt or outcome.state == "doubtful"
        machine = machine_now(connection)
        mass_jobs.again(connection, job, outcome.reason, machine, wait, in_doubt=in_doubt)
        if outcome.state == "slow":
            mass_jobs.rest(connection, job.account, machine, wait)
