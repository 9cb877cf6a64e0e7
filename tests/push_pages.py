"""A console beside a played Telegram and a played WeChat, at ten in the morning of a day of the campaign, with people.

`push_pages(folder)` gives a `PushPages`: its `crowd` brings people who agreed, `write` sends the composer's form.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import text

from bot.played.telegram import PlayedTelegram
from bot.played.wechat import PlayedWeChat
from content.plan.audience import holdout
from storage import people, push_runs, pushes
from storage.incoming import Incoming
from storage.tables import micros
from tests.console_house import Client, ConsoleHouse, Somebody, serve_console
from tests.houses import unhurried
from tests.serving import BOT_SECRET

MORNING = datetime.fromisoformat("2026-11-24T10:00:00+08:00")
FORM = {
    **{"name": "周五签到", "kind": "text", "text-zh": "周五见，来签到吧", "text-en": "See you on Friday: check in"},
    **{"poster": "", "button1": "签到", "audience": "everyone", "wechat": "mass", "about": "campaign"},
    **{"often": "once", "at": "2026-11-25T10:00", "weekday": "fri", "hour": "19:30", "cron": "", "latest": "120"},
    **{"first": "100", "rest": "30", "errors": "20"},
}


class Clock:
    """Campaign time: runs on from MORNING, and can be moved."""

    def __init__(self) -> None:
        self.offset = MORNING.astimezone(UTC) - datetime.now(UTC)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset


@dataclass
class PushPages:
    """The house with what pushes need. `numbers` are the subscribers whom `crowd` brought, in order."""

    house: ConsoleHouse
    clock: Clock
    telegram: PlayedTelegram
    wechat: PlayedWeChat
    numbers: list[int] = field(default_factory=list)
    who: list[tuple[str, str]] = field(default_factory=list)  # channel and address of each
    _said: int = 0
    _keys: int = 0

    def hear(self, channel: str, who: str, said: str) -> None:
        """Somebody says something, and gets the answer at once."""
        writer = self.house.app.writer
        assert writer
        self._said += 1
        incoming = Incoming(channel, "main", who, f"{channel}:main:p{self._said}", "text", self.clock(), said, {}, "zh")

        async def inside() -> Any:
            answer = await writer.hear(incoming)
            writer.settled(answer.deliveries)

        asyncio.run_coroutine_threadsafe(inside(), writer.loop).result(30)

    def crowd(self, telegram: int = 0, wechat: int = 0, web: int = 0) -> None:
        """People who agreed to campaign messages three days ago, so that no window is open."""
        self.clock.offset -= timedelta(days=3)
        for channel, count in (("telegram", telegram), ("wechat", wechat), ("web", web)):
            wanted = len(self.numbers) + count
            while len(self.numbers) < wanted:
                self._bring(channel)
        self.clock.offset += timedelta(days=3)

    def _bring(self, channel: str) -> None:
        """One more person; who is in the holdout is there as well, and not counted."""
        if channel == "telegram":
            known = self.telegram.person()
            known.known, who = True, str(known.id)
        elif channel == "wechat":
            follower = self.wechat.person()
            follower.since, who = self.clock(), follower.openid
        else:
            who = f"visitor-{self._said}"
        self.hear(channel, who, "恢复接收")
        number = self.house.read(people.find, self.house.app.vault, channel, "main", who)
        plan = self.house.app.writer.library.plan  # type: ignore[union-attr]
        if number and people.bucket(plan.id, number) >= holdout(plan):
            self.numbers.append(number)
            self.who.append((channel, who))

    def tester(self, number: int) -> None:
        """Make somebody a tester."""
        query = "UPDATE subscriber SET tester_since = :at WHERE id = :n"
        values = {"at": micros(self.clock()), "n": number}
        self.house.run(lambda connection: connection.execute(text(query), values))

    def form(self, **changed: str) -> dict[str, str]:
        """The composer's fields with a key of their own."""
        self._keys += 1
        return {**FORM, "key": f"test-form-{self._keys:08d}-key", "seen": "", **changed}

    def write(self, client: Client, do: str = "submit", **changed: str) -> int:
        """Send the composer's form; the number of the push."""
        answer = client.submit("/console/pushes/new", {**self.form(**changed), "do": do})
        assert answer.status_code == 303, answer.text
        return int(answer.headers["location"].rpartition("/")[2])

    def push(self, number: int) -> pushes.Push:
        found = self.house.read(pushes.find, number)
        assert found
        return found

    def approve(self, client: Client, number: int, **changed: str) -> httpx.Response:
        """Send the approval as the page shows it, with the number typed."""
        shown = hidden(client.get(f"/console/pushes/{number}").text, "shown")
        sent = {"shown": shown, "typed": shown, "seen": hidden(client.get(f"/console/pushes/{number}").text, "seen")}
        return client.submit(f"/console/pushes/{number}/approve", {**sent, **changed})

    def step(self) -> None:
        """Let what is due go on now, without waiting for the clockwork."""
        app = self.house.app
        assert app.pushes and app.writer
        asyncio.run_coroutine_threadsafe(app.pushes.step(), app.writer.loop).result(30)

    def until(self, done: Callable[[], bool], seconds: float = 15) -> None:
        """Wait for something to be so, stepping on."""
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end, "it never came"
            self.step()
            time.sleep(0.05)

    def counts(self, number: int) -> dict[str, int]:
        """`state/reason` → rows of the latest run."""
        (run,) = self.house.read(push_runs.of_push, number, 1)
        told = self.house.read(push_runs.counts, run.id)
        return {f"{state}/{why}".rstrip("/"): n for state, reasons in told.items() for why, n in reasons.items()}


def hidden(page: str, name: str) -> str:
    """The value of a hidden field of a page; empty where there is none."""
    _, found, after = page.partition(f'name="{name}" value="')
    return after.partition('"')[0] if found else ""


def colleagues(pages: PushPages) -> tuple[tuple[Somebody, Client], tuple[Somebody, Client]]:
    """An author and an approver of the publicity group, logged in."""
    author, approver = (pages.house.member("publicity", language="en") for _ in range(2))
    return (author, pages.house.client(author)), (approver, pages.house.client(approver))


@contextmanager
def push_pages(folder: Path, more: str = "") -> Iterator[PushPages]:
    """The service with both platforms, on SQLite."""
    clock = Clock()
    with unhurried(seed=1) as telegram, PlayedWeChat(clock=clock, seed=1) as wechat:
        channels = (
            f'[channels.wechat]\nenabled = true\napp_id = "{wechat.app_id}"\napp_secret = "{wechat.app_secret}"\n'
            f'token = "{wechat.token}"\naes_key = "{wechat.aes_key}"\napi_url = "{wechat.url}"\n'
            f'[channels.telegram]\nenabled = true\ntoken = "{telegram.token}"\nsecret_token = "{BOT_SECRET}"\n'
            f'api_url = "{telegram.url}"\n'
        )
        with serve_console(folder, more=channels + more, now=clock) as house:
            yield PushPages(house, clock, telegram, wechat)
