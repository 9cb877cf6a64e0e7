"""How the writer forms its groups."""

from __future__ import annotations

import asyncio

from storage.incoming import Answer, Incoming
from tests.talking import NOON, run, talking


def _typed(who: str) -> Incoming:
    return Incoming("wechat", "main", who, f"wechat:main:m:{who}", "text", NOON, "签到")


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


def test_answers_told_by_a_call_are_marked_with_the_next_group(database_url: str) -> None:
    """Or, when nobody writes any more, soon in a transaction of their own."""

    async def scenario() -> tuple[list[int], list[int]]:
        async with talking(database_url) as talk:
            written: list[int] = []
            marks = talk.writer._mark_deliveries

            async def counted() -> None:
                written.append(len(talk.writer._settled))
                await marks()

            talk.writer._mark_deliveries = counted  # type: ignore[method-assign]
            heard = asyncio.Event()

            def told(answer: Answer | Exception) -> None:
                assert isinstance(answer, Answer)
                talk.writer.settled(answer.deliveries)
                heard.set()

            for place in range(3):
                heard.clear()
                talk.writer.hear_then(_typed(f"oRef{place:024d}"), told)
                await heard.wait()
            before = [marked for marked in written if marked]
            await asyncio.sleep(0.3)
            return before, [marked for marked in written if marked]

    assert run(scenario()) == ([], [1])


def test_who_tells_badly_harms_nobody_else(database_url: str) -> None:
    async def scenario() -> tuple[int, int]:
        async with talking(database_url) as talk:

            def broken(answer: Answer | Exception) -> None:
                raise RuntimeError("of one who listens")

            talk.writer.hear_then(_typed("oRef1"), broken)
            answer = await talk.hear("签到", who="oRef2")
            return len(answer.messages), talk.writer.heard

    assert run(scenario()) == (1, 2)


def test_marks_do_not_wait_for_a_lull_of_jobs(database_url: str) -> None:
    """A sender keeps the writer busy with jobs; a mark that waited for their end would come after its lease."""

    async def scenario() -> int:
        async with talking(database_url) as talk:
            answer = await talk.hear("签到", who="oRef1")
            talk.writer.settled(answer.deliveries)
            await talk.writer.run(lambda connection: None)
            return await talk.writer.run(
                lambda connection: connection.exec_driver_sql(
                    "SELECT COUNT(*) FROM delivery WHERE state = 'sent'"
                ).scalar_one()
            )

    assert run(scenario()) == 1
