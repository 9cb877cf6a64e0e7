"""Both ends of plain HTTP/1.1 for a played platform: a server on its own thread that can also fail to answer, and a
client that keeps connections alive and costs little, for load. No TLS, no redirects.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

Headers = dict[str, str]
_BODY_BYTES = 12_000_000


@dataclass(frozen=True, slots=True)
class Request:
    """One call as it came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """What to answer after `delay` seconds; with `drop` the connection ends without an answer."""

    status: int
    body: bytes
    delay: float = 0.0
    drop: bool = False


class Server:
    """Serves `handle` on a free local port, on a thread of its own."""

    def __init__(self, handle: Callable[[Request], Response]) -> None:
        self._handle = handle
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    def start(self) -> str:
        """Begin to listen. Returns scheme, host and port."""
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result()
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        """End all connections and the thread."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while (request := await _read_request(reader)) is not None:
                response = self._handle(request)
                await asyncio.sleep(response.delay)
                if response.drop:
                    writer.transport.abort()
                    return
                head = f"HTTP/1.1 {response.status} .\r\nContent-Type: application/json\r\n"
                writer.write(f"{head}Content-Length: {len(response.body)}\r\n\r\n".encode() + response.body)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, ValueError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, headers = _headers(head)
    method, target, _ = first.split(" ", 2)
    length = int(headers.get("content-length", "0"))
    if length > _BODY_BYTES:
        raise ValueError("body too large")
    url = urlsplit(target)
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    return Request(method, url.path, query, headers, await reader.readexactly(length))


def _headers(head: bytes) -> tuple[str, Headers]:
    """The first line and the headers of a head read up to its empty line."""
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return first, {name.strip().lower(): value.strip() for name, _, value in pairs}


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Wire:
    """Posts to one address over kept connections, as many at once as are asked for."""

    def __init__(self, url: str) -> None:
        """`url` is the whole address, as `http://127.0.0.1:8000/wechat`."""
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname or "127.0.0.1", parts.port or 80, parts.path or "/"
        self._idle: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, list[Connection]] = weakref.WeakKeyDictionary()

    async def exchange(self, method: str, query: str, body: bytes = b"") -> tuple[int, bytes]:
        """One request. Returns status and body; raises OSError or asyncio.IncompleteReadError when it breaks."""
        idle = self._idle.setdefault(asyncio.get_running_loop(), [])
        while idle:
            connection = idle.pop()
            if not connection[0].at_eof():
                break
            connection[1].close()
        else:
            connection = await asyncio.open_connection(self._host, self._port)
        reader, writer = connection
        try:
            writer.write(
                f"{method} {self._path}?{query} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
                f"Content-Type: text/xml\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            status, answer, keep = await _read_response(reader)
        except BaseException:
            writer.transport.abort()
            raise
        if keep:
            idle.append(connection)
        else:
            writer.close()
        return status, answer

    def close(self) -> None:
        """Drop the connections kept for the running loop."""
        for _, writer in self._idle.pop(asyncio.get_running_loop(), []):
            writer.close()


async def _read_response(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    first, headers = _headers(await reader.readuntil(b"\r\n\r\n"))
    status = int(first.split(" ", 2)[1])
    keep = headers.get("connection", "").lower() != "close"
    if headers.get("transfer-encoding", "").lower() == "chunked":
        chunks = []
        while (size := int((await reader.readline()).split(b";")[0], 16)) > 0:
            chunks.append(await reader.readexactly(size))
            await reader.readline()
        await reader.readline()
        return status, b"".join(chunks), keep
    if "content-length" in headers:
        return status, await reader.readexactly(int(headers["content-length"])), keep
    return status, await reader.read(), False
