"""Takes what was committed on SQLite from its log into the database file, without a commit waiting for it.

Promises that the log goes on being used from its start, so that it stays near `FRAMES` pages however long the load
lasts. It knows no table.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

FRAMES = 16_000  # pages of 4 kB, 64 MB: the more there are, the more of them are the same page, which is written once
_LOOK = 16  # commits between two looks at the log


class Checkpoints:
    """The log of one database file. `connect` opens another connection to it, for a thread of its own.

    A checkpoint in the writing connection's own commit would hold up everybody who waits for it; a checkpoint beside it
    never sees the end of a log that goes on growing. So the bulk is done beside it, and the few pages that came
    meanwhile by the writer, after which SQLite starts the log anew.
    """

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._beside: Any = None
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._commits = 0
        self._running = self._rest = False

    def take_over(self, connection: Any) -> None:
        """From now on the writing connection, the driver's, does not checkpoint by itself."""
        connection.execute("PRAGMA wal_autocheckpoint=0")

    def committed(self, connection: Any) -> None:
        """Look after the log. `connection` is the writing one, outside of any transaction.

        Raises nothing: what was committed is safe in the log, and a disk that fails now fails the next commit.
        """
        self._commits += 1
        if self._rest:
            self._rest = False
            _checkpoint(connection, "PASSIVE")
        elif not self._running and not self._commits % _LOOK and _checkpoint(connection, "NOOP") >= FRAMES:
            self._running = True
            self._thread.submit(self._bulk)

    def _bulk(self) -> None:
        try:
            if self._beside is None:
                self._beside = self._connect()
            _checkpoint(self._beside, "PASSIVE")
        finally:
            self._rest, self._running = True, False

    def close(self) -> None:
        """Wait for what is under way."""
        self._thread.shutdown()
        if self._beside is not None:
            self._beside.close()


def _checkpoint(connection: Any, how: str) -> int:
    """Run one; returns how many pages of the log are not in the file yet, 0 when it failed."""
    with suppress(connection.Error):
        _, frames, done = connection.execute(f"PRAGMA wal_checkpoint({how})").fetchone()
        return int(frames) - int(done)
    return 0
