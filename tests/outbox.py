"""Deliveries put straight into a real store, a recording channel, and one writing thread, for tests of the way out."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any, TypeVar

from starlette.routing import BaseRoute

from bot.channels import Outcome, Parcel
from bot.sender import Sender
from storage import bulk, deliveries, push_runs, schema, tables
from storage.store import Store, machine_now
from storage.tables import instant, micros

START = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
NOW = micros(START)
MAIN = "wechat:main"
RUN = 7  # the push to which rows of the second lane belong
SECOND = 1_000_000

_names = count()

T = TypeVar("T")


@contextmanager
def opened(url: str) -> Iterator[Store]:
    store = Store(url)
    schema.upgrade(store)
    yield store
    store.close()


def people(store: Store, count: int, channel: str = "wechat", **changed: Any) -> None:
    """Persons 1…count, each with the identity 1000 + number and the address `a<number>`."""
    consent = changed.get("consent", True)
    following, address = changed.get("following", True), changed.get("address", "a{}")
    numbers = range(1, count + 1)
    persons = [(n, NOW, "zh", "active", f"C{n}", consent, False) for n in numbers]
    identities = [
        (1000 + n, n, channel, "main", f"d{n}", address and address.format(n), following, "text", NOW, 0)
        for n in numbers
    ]
    with store.begin() as connection:
        _insert(connection, "subscriber", "id created_at language status code consent guest", persons)
        columns = "id subscriber channel account digest address following heard_kind heard_at sent_since"
        _insert(connection, "identity", columns, identities)


def put(store: Store, rows: Sequence[tuple[int, int]], account: str = MAIN, **changed: Any) -> list[int]:
    """One queued row per (delivery id, person); each says its own id. Returns the ids."""
    kind, lane = changed.get("kind", "reminder"), changed.get("lane", 0)
    state, due = changed.get("state", "queued"), changed.get("due_at", NOW)
    lease_until = changed.get("lease_until")
    texts = [(100_000 + n, p, 1000 + p, NOW, "text", _said(n, changed)) for n, p in rows]
    run = RUN if lane else None  # what goes out in the second lane belongs to a push
    out = [
        (n, p, 1000 + p, account, 100_000 + n, 0, kind, lane, state, due, lease_until, "", 0, "", run) for n, p in rows
    ]
    with store.begin() as connection:
        if lane and push_runs.find(connection, RUN) is None:
            push_runs.begin(connection, RUN, "c", instant(NOW), 1, {}, instant(NOW))
            connection.exec_driver_sql(f"UPDATE push_run SET id = {RUN}")
        _insert(connection, "text", "id subscriber identity at kind said", texts)
        columns = "id subscriber identity account text part kind lane state due_at lease_until lease tries reason run"
        _insert(connection, "delivery", columns, out)
    return [n for n, _ in rows]


def states(store: Store) -> dict[int, str]:
    with store.read() as connection:
        return {row.id: row.state for row in connection.exec_driver_sql("SELECT id, state FROM delivery")}


def counted(store: Store) -> Counter[str]:
    return Counter(states(store).values())


def row(store: Store, delivery: int) -> Any:
    with store.read() as connection:
        return connection.exec_driver_sql(f"SELECT * FROM delivery WHERE id = {delivery}").one()


def sent_since(store: Store, person: int) -> int:
    with store.read() as connection:
        query = f"SELECT sent_since FROM identity WHERE id = {1000 + person}"
        return int(connection.exec_driver_sql(query).scalar_one())


def age(store: Store, seconds: float = 3600) -> dict[str, int]:
    """What reaping finds when every lease has ended."""
    with store.begin() as connection:
        return deliveries.reap(connection, machine_now(connection) + int(seconds * SECOND))


class WritingThread:
    """What the process's writer offers: each job in a transaction of its own, one at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1)
        self.after: Callable[[int], Awaitable[None]] | None = None
        self.jobs = 0

    async def __call__(self, job: Callable[[Any], T], /) -> T:
        result = await asyncio.get_running_loop().run_in_executor(self._thread, self._work, job)
        self.jobs += 1
        if self.after:
            await self.after(self.jobs)
        return result

    def _work(self, job: Callable[[Any], T]) -> T:
        with self._store.begin() as connection:
            return job(connection)


class Recorder:
    """A channel at the network's edge: keeps each parcel with the instant it came, and answers as told."""

    name = "wechat"
    account = "main"
    per_second = 1000.0

    def __init__(self, log: list[tuple[float, Parcel]] | None = None, seconds: float = 0.0) -> None:
        self.log = [] if log is None else log
        self.seconds = seconds
        self.answer: Callable[[Parcel], Outcome] = lambda parcel: Outcome("sent")
        self.fetching = False

    async def open(self) -> None: ...

    async def send(self, parcel: Parcel) -> Outcome:
        self.log.append((asyncio.get_running_loop().time(), parcel))
        await asyncio.sleep(self.seconds)
        return self.answer(parcel)

    def said(self) -> list[int]:
        return [int(parcel.message["text"]) for _, parcel in self.log]

    def routes(self) -> list[BaseRoute]:
        return []

    async def link(self, scene: str) -> None: ...

    def pulls(self) -> bool:
        return self.fetching

    async def start(self) -> None: ...

    async def close(self) -> None: ...


def sender(store: Store, *channels: Recorder, per_second: float = 1000) -> tuple[Sender, WritingThread]:
    run = WritingThread(store)
    for channel in channels:
        channel.per_second = per_second
    return Sender(run, channels, lambda: START, f"node{next(_names)}"), run


async def drain(sender: Sender, seconds: float = 5) -> None:
    """Step until nothing was due for three looks in a row."""
    until, idle = time.monotonic() + seconds, 0
    while idle < 3 and time.monotonic() < until:
        if await sender.step(START):
            idle = 0
        else:
            idle += 1
            await asyncio.sleep(0.005)


def _said(number: int, changed: dict[str, Any]) -> str | None:
    return None if changed.get("erased") else json.dumps([{"text": str(number)}])


def _insert(connection: Any, table: str, columns: str, rows: Sequence[tuple[Any, ...]]) -> None:
    bulk.insert(connection, tables.metadata.tables[table], tuple(columns.split()), rows)
