"""Our own sending measured whole: the service as it runs, with its database, from queued rows to rows marked as sent.

`python -m benchmarks.sending CONFIG COUNT` takes a database where that many deliveries wait and prints microseconds of
processor time and of the clock a message. Knows the composition root, nothing of the platform.
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
    processor, clock = time.process_time(), time.perf_counter()
    await app.start()
    assert app.sender
    before = time.process_time() - processor
    while sum(app.sender.ended.values()) < count:
        await asyncio.sleep(0.02)
    spent, took = time.process_time() - processor - before, time.perf_counter() - clock
    await app.close()
    store = Store(str(app.store.url), writer=False)
    with store.read() as connection:
        left = connection.execute(text(_LEFT)).scalar_one()
    print(json.dumps({"cpu": 1e6 * spent / count, "rate": count / took, "left": left}))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
