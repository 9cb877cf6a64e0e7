"""A line between the service and PostgreSQL that can be severed: what was said may have arrived, its answer has not.

Knows sockets and bytes, nothing of what is said.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import threading
from pathlib import Path
from typing import Self
from urllib.parse import quote, unquote

_SOCKET = ".s.PGSQL.5432"
_HOST = re.compile(r"host=([^&]+)")


class Line:
    """`url` leads to the server behind the given one, which listens on a socket of this machine; a context manager."""

    def __init__(self, url: str) -> None:
        found = _HOST.search(url)
        assert found, url
        self._behind = f"{unquote(found[1])}/{_SOCKET}"
        self._folder = tempfile.TemporaryDirectory(prefix="line")  # a socket's path is at most 107 bytes
        self.url = _HOST.sub(f"host={quote(self._folder.name)}", url)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._deaf = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._folder.cleanup()

    def sever(self, after: float) -> int:
        """No answer passes from now on; so many seconds later every connection breaks. Returns how many did."""
        return asyncio.run_coroutine_threadsafe(self._sever(after), self._loop).result()

    async def _listen(self) -> None:
        self._server = await asyncio.start_unix_server(self._carry, str(Path(self._folder.name) / _SOCKET))

    async def _end(self) -> None:
        self._server.close()
        await self._sever(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _sever(self, after: float) -> int:
        struck, self._open = self._open, set()
        self._deaf.set()
        await asyncio.sleep(after)
        for writer in struck:
            writer.transport.abort()
        self._deaf = asyncio.Event()
        return len(struck) // 2

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_behind, behind = await asyncio.open_unix_connection(self._behind)
        except OSError:
            writer.transport.abort()
            return
        ends, deaf = {writer, behind}, self._deaf
        self._open |= ends
        try:
            await asyncio.gather(_pass(reader, behind), _pass(from_behind, writer, deaf))
        except OSError:
            pass
        finally:
            self._open -= ends
            for end in ends:
                end.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, deaf: asyncio.Event | None = None) -> None:
    while data := await reader.read(65_536):
        if deaf is None or not deaf.is_set():
            writer.write(data)
            await writer.drain()
    writer.close()
