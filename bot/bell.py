"""A bell for one task of the event loop that sleeps until there is something to do, or for so long.

The standard library's event makes a task, a future and a lock's round for each wait with a limit, which the writer has
once a group. It knows nothing of what there is to do.
"""

from __future__ import annotations

import asyncio


class Bell:
    """Belongs to the event loop that runs as it is made; one task waits at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake who waits; nobody hears it later."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def wait(self, seconds: float | None = None) -> None:
        """Sleep until it rings, at most so many seconds of machine time."""
        self._waiting = self._loop.create_future()
        ending = None if seconds is None else self._loop.call_later(seconds, self.ring)
        try:
            await self._waiting
        finally:
            self._waiting = None
            if ending is not None:
                ending.cancel()
