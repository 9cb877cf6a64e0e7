"""Spaces what goes to one chat, so that one person who taps without end does not bring a pause upon everybody.

The platform wants about one message a second in a chat, lets short bursts pass, and answers more with a 429, which does
not say whom it is about. Each node keeps its own count.
"""

from __future__ import annotations

import asyncio
import time

_BURST = 3
_KNOWN = 10_000


class Pace:
    """A few messages at once to a chat, then `per_second`."""

    def __init__(self, per_second: float) -> None:
        self._distance = 1.0 / per_second
        self._due: dict[int | str, float] = {}  # when all that went to a chat would be over at an even pace

    async def wait(self, chat: int | str) -> None:
        """Return when the next message may go to `chat`."""
        now = time.monotonic()
        due = max(now, self._due.get(chat, now))
        self._due[chat] = due + self._distance
        if len(self._due) > _KNOWN:
            self._due = {other: end for other, end in self._due.items() if end > now}
        early = due - now - (_BURST - 1) * self._distance
        if early > 0:
            await asyncio.sleep(early)
