"""The played platform's HTTP: a server on its own thread, and calls read as the Bot API reads them.

Arguments may come in the address, as a form, as multipart or as JSON; all end as text, and files apart. No TLS.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

BODY_BYTES = 50 * 1024 * 1024
_LINE = 256 * 1024  # clients put whole texts into the address


@dataclass(slots=True)
class Call:
    """One call: method name as sent, arguments as text, uploaded files by field name."""

    token: str
    method: str
    args: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer after `delay` seconds; with `drop` the connection ends without an answer."""

    status: int
    body: bytes
    delay: float = 0.0
    drop: bool = False
    retry_after: int = 0
    kind: str = "application/json"


class Refused(Exception):
    """A call answered with an error. `fault` says that the caller should have known; `delay` that it waits first."""

    def __init__(self, code: int, what: str, fault: bool = False, delay: float = 0.0, **parameters: int) -> None:
        super().__init__(what)
        self.code, self.what, self.fault, self.delay, self.parameters = code, what, fault, delay, parameters

    def reply(self, drop: bool = False) -> Reply:
        """The error as the Bot API writes it."""
        answer: dict[str, Any] = {"ok": False, "error_code": self.code, "description": self.what}
        if self.parameters:
            answer["parameters"] = self.parameters
        retry_after = self.parameters.get("retry_after", 0)
        return Reply(self.code, json.dumps(answer).encode(), self.delay, drop, retry_after)


def bad(what: str) -> Refused:
    """A request that no client should have sent."""
    return Refused(400, f"Bad Request: {what}", fault=True)


def too_many(seconds: int, delay: float = 0.0) -> Refused:
    """A request that came too soon; it was not executed."""
    return Refused(429, f"Too Many Requests: retry after {seconds}", delay=delay, retry_after=seconds)


def as_text(value: Any) -> str:
    """An argument as the Bot API keeps it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def to_bool(text: str) -> bool:
    """What the Bot API takes for true."""
    return text.strip().lower() in ("true", "yes", "1")


class Server:
    """Serves `handle` (a call) and `download` (token, path of a file) on a free local port, on its own thread."""

    def __init__(
        self, handle: Callable[[Call], Awaitable[Reply]], download: Callable[[str, str], bytes | None]
    ) -> None:
        self._handle, self._download = handle, download
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None

    def start(self) -> str:
        """Begin to listen. Returns scheme, host and port."""
        self._thread.start()
        return asyncio.run_coroutine_threadsafe(self._begin(), self.loop).result()

    def stop(self, last: Callable[[], Awaitable[None]]) -> None:
        """End all tasks, do what is `last`, then end all connections and the thread."""
        asyncio.run_coroutine_threadsafe(self._end(last), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _begin(self) -> str:
        app = web.Application(client_max_size=BODY_BYTES)
        app.router.add_route("*", "/bot{token}/{method}", self._api)
        app.router.add_get("/file/bot{token}/{path:.+}", self._file)
        app.router.add_route("*", "/{anything:.*}", self._nothing)
        self._runner = web.AppRunner(
            app, access_log=None, keepalive_timeout=60, shutdown_timeout=0, max_line_size=_LINE
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _end(self, last: Callable[[], Awaitable[None]]) -> None:
        assert self._runner is not None
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await last()
        await self._runner.cleanup()

    async def _api(self, request: web.Request) -> web.StreamResponse:
        try:
            call = await read_call(request)
        except web.HTTPRequestEntityTooLarge:
            return _response(Refused(413, "Request Entity Too Large").reply())
        except ValueError as broken:
            return _response(Refused(400, f"Bad Request: {broken}").reply())
        reply = await self._handle(call)
        if reply.delay > 0:
            await asyncio.sleep(reply.delay)
        if reply.drop and request.transport is not None:
            request.transport.abort()
        return _response(reply)

    async def _file(self, request: web.Request) -> web.Response:
        content = self._download(request.match_info["token"], request.match_info["path"])
        if content is None:
            return _response(Refused(404, "Not Found").reply())
        return web.Response(body=content, content_type="application/octet-stream")

    async def _nothing(self, _: web.Request) -> web.Response:
        return _response(Refused(404, "Not Found").reply())


async def read_call(request: web.Request) -> Call:
    """The call in a request. Raises ValueError when its body cannot be read."""
    call = Call(request.match_info["token"], request.match_info["method"], dict(request.query))
    if request.content_type == "application/json":
        body = await request.read()
        if body:
            call.args |= read_json(body)
    elif request.content_type == "multipart/form-data":
        async for part in await request.multipart():
            content = bytes(await part.read(decode=True))  # type: ignore[union-attr]
            name = str(part.name)  # type: ignore[union-attr]
            if part.filename is not None:  # type: ignore[union-attr]
                call.files[name] = content
            else:
                call.args[name] = content.decode()
    else:
        call.args |= {name: str(value) for name, value in (await request.post()).items()}
    return call


def read_json(body: bytes) -> dict[str, str]:
    """The arguments in a JSON body. Raises ValueError for anything but an object."""
    try:
        fields = json.loads(body)
    except ValueError:
        raise ValueError("can't parse JSON object") from None
    if not isinstance(fields, dict):
        raise ValueError("JSON object expected")
    return {name: as_text(value) for name, value in fields.items() if value is not None}


def _response(reply: Reply) -> web.Response:
    headers = {"Retry-After": str(reply.retry_after)} if reply.retry_after else {}
    return web.Response(status=reply.status, body=reply.body, content_type=reply.kind, headers=headers)
