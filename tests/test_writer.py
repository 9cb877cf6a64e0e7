"""How the writer forms its groups."""

from __future__ import annotations

import asyncio

from tests.talking import run, talking


def test_who_comes_a_moment_later_goes_along(database_url: str) -> None:
    """Each of these is written into the queue a few rounds of the loop after the one before, as requests are read."""

    async def scenario() -> tuple[int, int]:
        async with talking(database_url) as talk:

            async def knock(place: int) -> None:
                for _ in range(2 * place):
                    await asyncio.sleep(0)
                await talk.hear("签到", who=f"oRef{place:024d}")

            await asyncio.gather(*map(knock, range(12)))
            return talk.writer.groups, talk.writer.heard

    assert run(scenario()) == (1, 12)
