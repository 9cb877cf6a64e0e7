"""How requests come in and answers leave over HTTP: an answer's head and body in one packet, and a short way for doors.

uvicorn writes head and body apart, and each write is a system call and a packet of its own; and it checks every header
of every answer, which for a platform's callback costs as much as its decryption. It knows nothing of what is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle


class Together:
    """A transport that holds back what is written until the next write or the next round of the loop."""

    __slots__ = ("_held", "_loop", "_transport", "is_closing")

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held = b""
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write after what was held back; the head of an answer waits for its body."""
        if self._held:
            data, self._held = self._held + data, b""
            self._transport.write(data)
        elif data.startswith(b"HTTP/1.1 "):
            self._held = data
            self._loop.call_soon(self.flush)  # a body that takes its time must not hold up its head
        else:
            self._transport.write(data)

    def in_turn(self, data: bytes) -> None:
        """Write a whole answer in the next round of the loop, with those of all who were decided in this one.

        A group's answers then leave in one go. One by one, each would wake a caller that had gone to sleep since the
        last, which costs more than all else about the write.
        """
        self._held += data
        self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what was held back."""
        if self._held:
            data, self._held = self._held, b""
            self._transport.write(data)

    def close(self) -> None:
        """Close after everything was written."""
        self.flush()
        self._transport.close()


class Call(RequestResponseCycle):
    """One request at a door and its answer, whose headers are ours and need no checking."""

    head: Any = None

    async def send(self, message: Any) -> None:
        """Keep the head of an answer until its body comes, and write both. Anything unusual goes uvicorn's way."""
        if not self.response_started:
            if message["type"] == "http.response.start":
                self.head = message
                return
            if self.head is not None:
                if self._is_plain(message):
                    self._answer(message["body"])
                    return
                await super().send(self.head)
        await super().send(message)

    def _is_plain(self, message: Any) -> bool:
        return not (
            message.get("more_body") or self.disconnected or self.flow.write_paused or self.scope["method"] == "HEAD"
        )

    def _answer(self, body: bytes) -> None:
        lines = [STATUS_LINE[self.head["status"]]]
        for name, value in (*self.default_headers, *self.head["headers"]):
            lines += (name, b": ", value, b"\r\n")
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        lines += (b"\r\n", body)
        self.response_started = self.response_complete = True
        self.transport.in_turn(b"".join(lines))  # type: ignore[attr-defined]
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


class Protocol(HttpToolsProtocol):
    """uvicorn's own, over such a transport. Requests at the paths among the application's `doors` become Calls."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._doors: Container[str] = getattr(self.app, "doors", ())
        self._waits: Call | None = None  # for the rest of its request

    def connection_made(self, transport: Any) -> None:
        """A caller is there."""
        super().connection_made(Together(transport, self.loop))  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """Bytes came. A request that is not whole yet is begun all the same: its door minds how long it takes."""
        super().data_received(data)
        self._begin()

    def on_headers_complete(self) -> None:
        """Whose request it is."""
        raw_path, _, query = self.url.partition(b"?")
        path = raw_path.decode("latin-1")
        busy = self.cycle is not None and not self.cycle.response_complete
        if path not in self._doors or busy or self.expect_100_continue or self.parser.should_upgrade():
            super().on_headers_complete()
            return
        method, version = self.parser.get_method().decode(), self.parser.get_http_version()
        self.scope |= {"method": method, "http_version": version}
        self.scope |= {"path": path, "raw_path": raw_path, "query_string": query}
        self.cycle = self._waits = Call(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )

    def on_message_complete(self) -> None:
        """The request is whole."""
        super().on_message_complete()
        self._begin()

    def _begin(self) -> None:
        call, self._waits = self._waits, None
        if call is not None:
            self._start_asgi_task(call, self.app)
