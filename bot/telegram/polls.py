"""Which of our polls is which: a vote names the poll and the voter, and neither chat nor question.

Promises that a vote of the person asked becomes the words it stands for, and nobody else's does anything.
"""

from __future__ import annotations

import asyncio

from bot.channels import Service
from bot.telegram.reading import Heard
from storage.incoming import Incoming

_KEPT_SECONDS = 30 * 86_400.0
_WAITS = (0.1, 0.3, 0.8, 0.0)  # a vote may come before what was sent is written down


def _key(account: str, poll: str) -> str:
    return f"telegram:{account}:poll:{poll}"


async def keep(service: Service, account: str, poll: str, chat: int, say: str) -> None:
    """Remember to whom this poll went, and for which words its votes stand (without the number of the option)."""
    await service.keep(_key(account, poll), {"chat": str(chat), "say": say}, _KEPT_SECONDS)


async def meant(one: Heard, account: str, service: Service) -> Incoming | None:
    """What is heard, a vote as the words it stands for; None for the vote of somebody to whom a poll was passed on.

    Of a poll that nobody remembers it stays a notice, which has no answer.
    """
    if not one.poll or one.incoming is None:
        return one.incoming
    for wait in _WAITS:
        if kept := await service.recall(_key(account, one.poll)):
            if kept["chat"] != one.incoming.sender:
                return None
            return one.incoming._replace(kind="text", text=f"{kept['say']}-{one.option + 1}", data={"poll": one.poll})
        await asyncio.sleep(wait)
    return one.incoming
