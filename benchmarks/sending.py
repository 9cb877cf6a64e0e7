"""Our own sending measured whole: the service as it runs, with its database, from queued rows to rows marked as sent.

`python -m benchmarks.sending CONFIG COUNT` takes a database where that many deliveries wait and prints microseconds of
processor time and of the clock a message; the first tenth warms it up. Knows the composition root, nothing of the
platform.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from sqlalchemy import text

from bot import config
from bot.app import open_app
from storage.store import Store

_LEFT = "SELECT COUNT(*) FROM delivery WHERE state <> 'sent'"


async def main(path: Path, count: int) -> None:
    """Start, let everything leave, and stop."""
    app = open_app(config.load(path, {}))
    await app.start()
    assert app.sender

    async def ended(least: int) -> tuple[int, float, float]:
        while (sent := sum(app.sender.ended.values())) < least:
            await asyncio.sleep(0.005)
        return sent, time.process_time(), time.perf_counter()

    first, processor, clock = await ended(count // 10)
    last, processor_after, clock_after = await ended(count)
    spent, took, sent = processor_after - processor, clock_after - clock, last - first
    await app.close()
    store = Store(str(app.store.url), writer=False)
    with store.read() as connection:
        left = connection.execute(text(_LEFT)).scalar_one()
    print(json.dumps({"cpu": 1e6 * spent / sent, "rate": sent / took, "left": left}))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
