"""Procrastinate as its manual sets it up, with jobs that do nothing.

`procrastinate_jobs.py CONNINFO COUNT CONCURRENCY`:
It defers COUNT jobs, then runs one worker until none is left, and prints jobs a second as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from procrastinate import App, PsycopgConnector

app = App(connector=PsycopgConnector(conninfo=sys.argv[1]))


@app.task(name="nothing")
async def nothing(number: int) -> None:
    """What is measured is what stands around it."""


async def main(count: int, concurrency: int) -> None:
    """Defer, run, print."""
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for start in range(0, count, 1_000):
            await nothing.batch_defer_async(*({"number": n} for n in range(start, min(start + 1_000, count))))
        began = time.perf_counter()
        await app.run_worker_async(wait=False, concurrency=concurrency, install_signal_handlers=False)
        took = time.perf_counter() - began
        left = await app.job_manager.list_jobs_async(status="todo")
    print(json.dumps({"rate": count / took, "left": len(list(left))}))


asyncio.run(main(int(sys.argv[2]), int(sys.argv[3])))
