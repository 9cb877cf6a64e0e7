"""A house without HTTP: a real store, writer and dialogue, to which tests talk as a person would."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bot.writer import Writer
from campaigns import words
from campaigns.desk import Desk, apply_plan
from content.bundle import Bundle
from content.library import Library
from storage import nodes, revisions, schema
from storage.incoming import Answer, Incoming
from storage.store import Store
from storage.vault import Vault

SHIPPED = Path(__file__).parent.parent / "content" / "family-network"
SECRET = b"a-secret-for-tests-only-32-bytes!"
NOON = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)  # noon in Shanghai, inside the shipped plan's window


class Talk:
    """One node. `now` is set by the test; keys are made up unless given."""

    def __init__(self, store: Store, holder: str = "test", vault: Vault | None = None) -> None:
        self.store, self.vault, self.now = store, vault or Vault(SECRET), NOON
        self._keys = itertools.count(1)
        with store.begin() as connection:
            self.slot = nodes.take_slot(connection, holder, 30)
        self.writer = Writer(store, self.vault, self.slot, self.library, lambda: self.now, random.Random(7))

    def library(self) -> Library:
        with self.store.read() as connection:
            campaign = revisions.campaigns(connection)[0]
            number = revisions.current(connection, campaign)
            assert number
            return Library(Bundle.of(revisions.files(connection, campaign, number)), number, words())

    async def hear(
        self,
        text: str = "",
        *,
        who: str = "oRef0000000000000000000000A1",
        kind: str = "text",
        channel: str = "wechat",
        key: str = "",
        language: str = "zh",
        data: Mapping[str, Any] | None = None,
    ) -> Answer:
        key = key or f"{channel}:main:{id(self)}:{next(self._keys)}"
        return await self.writer.hear(Incoming(channel, "main", who, key, kind, self.now, text, data or {}, language))

    async def say(self, text: str = "", **more: Any) -> str:
        """What it answers, as one text with the choices numbered."""
        return told(await self.hear(text, **more))

    def days(self, count: float) -> None:
        """Let campaign time pass."""
        self.now += timedelta(days=count)


def told(answer: Answer) -> str:
    """An answer as a person without buttons reads it."""
    lines = []
    for message in answer.messages:
        lines.append(message["text"])
        lines += [f"{n}. {choice['label']}" for n, choice in enumerate(message.get("choices", ()), 1)]
    return "\n".join(lines)


def prepared(url: str) -> Store:
    """A store with the schema and the shipped plan applied."""
    store = Store(url)
    schema.upgrade(store)
    with store.begin() as connection:
        if not revisions.campaigns(connection):
            apply_plan(Desk(connection, "operator", frozenset({"plan.apply"}), NOON), Bundle.read(SHIPPED), None)
    return store


@asynccontextmanager
async def talking(url: str, vault: Vault | None = None):
    """A house that is closed at the end."""
    store = prepared(url)
    talk = Talk(store, vault=vault)
    try:
        yield talk
    finally:
        await talk.writer.close()
        store.close()


def run(journey: Any) -> Any:
    """Run a coroutine to its end."""
    return asyncio.run(journey)
