"""One thread beside the event loop, for what waits for a disk or a network, in the order in which it is asked for.

A pool of the standard library takes four futures and three locks for each call, which for a commit of a millisecond
counts. It knows nothing of what it runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")
_Call = tuple[Callable[..., Any], tuple[Any, ...], "asyncio.Future[Any]"]


class Beside:
    """Belongs to the event loop that runs as it is made."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        # A daemon, for the interpreter must be able to end while it is at work: what is not committed never was.
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def do(self, work: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        """Run `work(*arguments)` in the thread; the future has its result, or what it raised."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._calls.put((work, arguments, future))
        return future

    def close(self) -> None:
        """Take nothing more, and wait for what was asked for."""
        self._calls.put(None)
        self._thread.join()

    def _run(self) -> None:
        while call := self._calls.get():
            work, arguments, future = call
            told: Any
            settle: Callable[[asyncio.Future[Any], Any], None]
            try:
                told, settle = work(*arguments), _result
            except BaseException as fault:
                told, settle = fault, _fault
            try:
                self._loop.call_soon_threadsafe(settle, future, told)
            except RuntimeError:
                return  # the loop is closed: nobody waits any more
            del call, work, arguments, future, told


def _result(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fault(future: asyncio.Future[Any], fault: BaseException) -> None:
    if not future.done():
        future.set_exception(fault)
