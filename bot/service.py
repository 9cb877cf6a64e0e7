"""What channels may ask of the house: hear a message, settle answers, pictures, small values shared by all nodes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from bot.config import ServiceSettings
from bot.pictures import Pictures, is_drawn
from bot.writer import Writer
from campaigns import menu
from storage import deliveries, kept, people
from storage.incoming import Answer, Incoming
from storage.store import DatabaseFault, Store
from storage.tables import instant, micros
from storage.vault import Vault

_POLL_SECONDS = 1.0


class House:
    """The `Service` of bot/channels, for one process."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        writer: Writer,
        now: Callable[[], datetime],
        settings: ServiceSettings,
    ) -> None:
        self._store, self._vault, self._writer = store, vault, writer
        self.now = now
        self.public_url: str = settings.public_url
        self.language: str = settings.language
        self.trusted_proxies: tuple[str, ...] = tuple(settings.trusted_proxies)
        self.settled = writer.settled
        self.pictures = Pictures(self._read, vault, lambda: writer.library, self.public_url)
        self.on_release: Callable[[], None] = lambda: None
        self.held = False  # a restored copy: answers wait for its release, except those that a page fetches
        self._waiters: dict[int, set[asyncio.Event]] = {}
        self._holder = secrets.token_hex(16)

    def release(self, ids: Sequence[int]) -> None:
        """Hand passive deliveries to the sender."""
        self._writer.release(ids)
        self.on_release()

    async def hear(self, incoming: Incoming) -> Answer:
        """Decide and commit one message."""
        return self._passed(incoming, await self._writer.hear(incoming))

    def hear_then(self, incoming: Incoming, told: Callable[[Answer | Exception], None]) -> None:
        """The same, told by a call."""
        self._writer.hear_then(
            incoming, lambda result: told(self._passed(incoming, result) if isinstance(result, Answer) else result)
        )

    def _passed(self, incoming: Incoming, answer: Answer) -> Answer:
        """What the channel may say of it now."""
        if self.held and incoming.channel != "web":
            self.release(answer.deliveries)
            return Answer(answer.subscriber, repeated=answer.repeated)
        if answer.deliveries and not incoming.passive:
            self.on_release()
        return answer

    def commands(self) -> dict[str, list[tuple[str, str]]]:
        """What a list of commands shows, by language."""
        library = self._writer.library
        typed = {command: library.choice("en", command).say.lower() for command in menu.LISTED}
        return {
            language: [(typed[command], library.choice(language, command).label) for command in menu.LISTED]
            for language in library.plan.languages
        }

    async def picture(self, name: str) -> tuple[bytes, str] | None:
        """Bytes and media type of a picture of the applied plan, or of one drawn for a person."""
        if is_drawn(name):
            return await self.pictures.picture(name)
        return self._writer.library.picture(name)

    async def recall(self, key: str) -> dict[str, Any] | None:
        """A shared value, unless it expired."""
        return await self._read(kept.recall, key)

    async def keep(self, key: str, value: dict[str, Any], seconds: float) -> None:
        """Keep a shared value for so many seconds."""
        await self._writer.run(lambda connection: kept.keep(connection, key, value, seconds))

    async def count(self, key: str, most: int, seconds: float) -> bool:
        """Count one for all nodes, up to `most`."""
        return await self._writer.run(lambda connection: kept.count(connection, key, most, seconds))

    async def hold(self, name: str, seconds: float) -> bool:
        """Take, renew or (0 seconds) give back a lease of this process."""
        return await self._writer.run(lambda connection: kept.hold(connection, name, self._holder, seconds))

    async def history(self, account: str, address: str, limit: int) -> list[dict[str, Any]]:
        """The latest lines of a web conversation, oldest first."""
        digest = self._vault.digest("web", account, address)

        def read(connection: Any) -> list[dict[str, Any]]:
            identity = people.identity(connection, digest)
            return people.conversation(connection, identity, limit) if identity else []

        return _lines(await self._read(read))

    async def waiting(
        self, account: str, address: str, after: int, seconds: float, *, told: bool = False
    ) -> list[tuple[int, dict[str, Any]]]:
        """What waits for a web guest beyond delivery `after`, which counts as fetched; waits up to `seconds`. With
        `told` only what the history tells as well."""
        digest = self._vault.digest("web", account, address)
        identity = await self._read(people.identity, digest)
        if identity is None:
            await asyncio.sleep(min(seconds, 5))
            return []
        if after:
            at = micros(self.now())
            await self._writer.run(lambda connection: deliveries.fetched(connection, identity, after, at))
        found = await self._queued(identity, told=told)
        if found or seconds <= 0:
            return found
        event = asyncio.Event()
        self._waiters.setdefault(identity, set()).add(event)
        try:
            await asyncio.wait_for(event.wait(), seconds)
        except TimeoutError:
            return []
        finally:
            self._waiters[identity].discard(event)
            if not self._waiters[identity]:
                del self._waiters[identity]
        return await self._queued(identity)

    async def _queued(self, identity: int, *, told: bool = False) -> list[tuple[int, dict[str, Any]]]:
        """Handing out writes, so ask by a read first whether there is anything."""
        if not await self._read(deliveries.identities_waiting, [identity], micros(self.now())):
            return []
        now = micros(self.now())
        return await self._writer.run(lambda connection: deliveries.waiting(connection, identity, now, 50, told=told))

    async def watch(self) -> None:
        """Wake pages whose deliveries arrived: one query a second for all open pages together."""
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            if self._waiters:
                for identity in await self._read(
                    deliveries.identities_waiting, list(self._waiters), micros(self.now())
                ):
                    for event in self._waiters.get(identity, ()):
                        event.set()

    async def _read(self, query: Callable[..., Any], *arguments: Any) -> Any:
        def work() -> Any:
            with self._store.read() as connection:
                return query(connection, *arguments)

        try:
            return await asyncio.to_thread(work)
        except DatabaseFault as fault:
            if not fault.connection_invalidated:
                raise
            return await asyncio.to_thread(work)  # the session was ended while we were frozen; a new one serves


def _lines(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was heard and said, as single lines in order."""
    lines: list[dict[str, Any]] = []
    for row in rows:
        at = row["at"] if isinstance(row["at"], datetime) else instant(row["at"])
        if row["heard"] and row["kind"] in ("text", "voice"):
            lines.append({"id": row["id"], "mine": True, "text": row["heard"], "at": at.isoformat()})
        for part, message in enumerate(row["said"] or ()):
            # A push has the id under which the page fetched it.
            number = row["id"] if row["kind"] == "push" else row["id"] + (part + 1) / 10
            lines.append({"id": number, "mine": False, **message, "at": at.isoformat()})
    return lines
