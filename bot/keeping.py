"""What keeps an installation recoverable while it serves: a restored copy's silence, and the journal of erasures.

A copy hears and decides, its web chat answers, but no message and no other call leaves it until it is released.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import structlog

from storage import copies, erasures
from storage.store import DatabaseFault, Store

if TYPE_CHECKING:
    from bot.schedule import Schedule
    from bot.sender import Sender
    from bot.service import House

_LOOK_SECONDS = 2.0
_COPY_SECONDS = 2.0
_log = structlog.get_logger(__name__)


class Silence:
    """Whether this process must keep silent. It is decided before anything else ticks, and only ever ends."""

    def __init__(self, store: Store, house: House, sender: Sender, schedule: Schedule, channels: Sequence[Any]) -> None:
        self._store, self._house, self._sender, self._schedule = store, house, sender, schedule
        self._channels = tuple(channels)
        self._keep(copies.held(store) is not None)

    @property
    def held(self) -> bool:
        """Nothing may leave."""
        return self._house.held

    async def until_released(self, greet: Callable[[Any], Awaitable[None]]) -> None:
        """Let channels greet their platforms as soon as that is allowed: at once, or after the release."""
        if self.held:
            _log.warning("held", hint="a restored copy sends nothing until koukou backup release")
        while self.held:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                if await asyncio.to_thread(copies.held, self._store) is None:
                    self._keep(False)
                    _log.info("released")
            except DatabaseFault as fault:
                _log.warning("release_not_read", fault=type(fault).__name__)
        self._sender.wake()
        await asyncio.gather(*map(greet, self._channels))

    def _keep(self, held: bool) -> None:
        self._house.held = self._sender.held = self._schedule.held = held
        # A poster's code would be asked of the platform.
        self._house.pictures.channels = tuple(one for one in self._channels if one.pulls() or not held)


async def keep_journal(store: Store, journal: erasures.Journal) -> None:
    """Copy each erasure into the file within seconds of its commit; what could not be written comes again."""

    def copy() -> int:
        reach = journal.reach()
        with store.read() as connection:
            noted = erasures.since(connection, reach)
        return journal.copy(noted)

    told = False
    while True:
        try:
            await asyncio.to_thread(copy)
            told = False
        except (OSError, DatabaseFault, erasures.JournalBroken) as fault:
            if not told:
                _log.error(
                    "erasures_not_kept", path=str(journal.path), fault=type(fault).__name__, why=str(fault)[:200]
                )
            told = True
        await asyncio.sleep(_COPY_SECONDS)
