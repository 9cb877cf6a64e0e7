"""Our own claiming and settling: the sender as it runs, on rows of a push, with a channel that answers at once.

`python -m benchmarks.settling URL COUNT` takes a database of that many people and prints rows a second and how many
were not sent; the first tenth warms it up. Knows the sender and its rows, nothing of a platform.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from bot.channels import Outcome, Parcel
from bot.sender import Sender
from storage import push_opening, push_runs
from storage.push_opening import Rule
from storage.segments import Audience
from storage.store import Store

_ACCOUNT = "telegram:main"
_LEFT = "SELECT COUNT(*) FROM delivery WHERE run IS NOT NULL AND state <> 'sent'"


class Line:
    """A channel that answers at once."""

    name, account, per_second = "telegram", "main", 1_000_000.0

    async def open(self) -> None:
        """Nothing to make."""

    def pulls(self) -> bool:
        """It is sent to."""
        return False

    async def send(self, parcel: Parcel) -> Outcome:
        """Sent."""
        return Outcome("sent")


async def main(url: str, count: int) -> None:
    """Open a run for everybody, and let all of it leave."""
    store, now = Store(url), datetime.now(UTC)
    with store.begin() as connection:
        run = push_runs.begin(connection, 1, "bench", now, 1, {"zh": '[{"text": "x"}, {"text": "x"}]'}, now)
    assert run
    everybody = Rule(Audience("bench", ["everyone"], now, UTC), bots=[_ACCOUNT])
    opened: int | None = 0
    while opened is not None:
        with store.begin() as connection:
            opened = push_opening.open_slice(connection, run.id, everybody, 2_000, now)
    if not store.is_sqlite:
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE delivery"))
    thread = ThreadPoolExecutor(1)

    async def transact(job: Any) -> Any:
        def work() -> Any:
            with store.begin() as connection:
                return job(connection)

        return await asyncio.get_running_loop().run_in_executor(thread, work)

    line: Any = Line()
    sender = Sender(transact, [line], lambda: datetime.now(UTC), "bench", lambda connection, at: [run.id])
    going = asyncio.create_task(sender.loop())

    async def ended(least: int) -> tuple[int, float, float]:
        while (sent := sum(sender.ended.values())) < least:
            await asyncio.sleep(0.005)
        return sent, time.process_time(), time.perf_counter()

    first, processor, clock = await ended(count // 10)
    last, processor_after, clock_after = await ended(count)
    await sender.close()
    await going
    with store.read() as connection:
        left = connection.execute(text(_LEFT)).scalar_one()
    figures = {"rate": (last - first) / (clock_after - clock), "cpu": 1e6 * (processor_after - processor)}
    print(json.dumps({"rate": figures["rate"], "cpu": figures["cpu"] / (last - first), "left": left}))


if __name__ == "__main__":
    sys.setswitchinterval(0.001)  # as a serving process has it
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
