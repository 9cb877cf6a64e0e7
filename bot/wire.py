"""How requests come in and answers leave over HTTP: an answer's head and body in one packet, and a short way for doors.

uvicorn writes head and body apart, and each write is a system call and a packet of its own; for each request it makes a
task, and it checks every header of every answer, which for a platform's callback costs more than its decryption. It
knows nothing of what is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from bot import knocking
from bot.knocking import Door, Knock


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
            self.in_turn(data)  # a body that takes its time must not hold up its head
        else:
            self._transport.write(data)

    def in_turn(self, data: bytes) -> None:
        """Write in the next round of the loop, with the answers of all who were decided in this one.

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


class _Nobody:
    """Who waits for news of a request at a door."""

    def set(self) -> None:
        """There is some."""


class Call(Knock):
    """One request at a door, over our wire. To uvicorn it is the cycle that its connection is in."""

    message_event = _Nobody()
    response_complete = disconnected = False

    def __init__(self, protocol: Protocol, door: Door, method: str, query: bytes, keep_alive: bool) -> None:
        super().__init__(method, query, protocol.headers)
        self.door, self.keep_alive = door, keep_alive
        self._protocol = protocol
        self._slow: asyncio.TimerHandle | None = None

    @property
    def gone(self) -> bool:
        """Whether the caller hung up, or has its answer."""
        return self.disconnected or self.response_complete

    def begin(self) -> None:
        """The head is there. Raises Refused."""
        self.door.greet(self)
        knocking.check_length(self.headers, self.door.most)

    def take(self, part: bytes) -> None:
        """A part of the body. Raises Refused."""
        self.body += part
        if len(self.body) > self.door.most:
            raise knocking.too_large()

    def wait(self) -> None:
        """The rest of the body is still to come."""
        if self._slow is None and not self.gone:
            self._slow = self._protocol.loop.call_later(self.door.seconds, self._failed, knocking.too_slow())

    def whole(self) -> None:
        """All of it is there. Raises what the door raises."""
        if self._slow is not None:
            self._slow.cancel()
        self.door.knock(self)

    def write(self, status: int, body: bytes, content_type: bytes) -> None:
        """Head and body at once; our headers need no checking."""
        lines = [STATUS_LINE[status]]
        for name, value in self._protocol.server_state.default_headers:
            lines += (name, b": ", value, b"\r\n")
        lines += (b"content-type: ", content_type, b"\r\ncontent-length: ", str(len(body)).encode(), b"\r\n")
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        lines += (b"\r\n", body)
        self.response_complete = True
        self._protocol.answered(b"".join(lines), self.keep_alive)

    def broken(self, fault: Exception) -> None:
        """Told by the application, whose log it is."""
        self._protocol.app.broken(self, fault)


class Protocol(HttpToolsProtocol):
    """uvicorn's own, over such a transport. Requests at the application's `doors` become Calls and go no further."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._doors: Mapping[str, Any] = getattr(self.app, "doors", {})
        self._reading: Call | None = None  # whose body is still to come
        self._idle_since = 0.0

    def connection_made(self, transport: Any) -> None:
        """A caller is there."""
        super().connection_made(Together(transport, self.loop))  # type: ignore[arg-type]

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone."""
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()

    # ---- a request comes in

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        super().data_received(data)
        if self._reading is not None:
            self._reading.wait()

    def on_message_begin(self) -> None:
        """A head begins; only a page needs all that uvicorn makes of it."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        """Whose request it is."""
        raw_path, _, query = self.url.partition(b"?")
        door = self._doors.get(raw_path.decode("latin-1"))
        busy = self.cycle is not None and not self.cycle.response_complete
        method = self.parser.get_method().decode()
        odd = busy or self.expect_100_continue or method == "HEAD" or self.parser.should_upgrade()
        if odd or not isinstance(door, Door):
            self._page()
            return
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        self._reading = call = Call(self, door, method, query, keep_alive)
        self.cycle = call  # type: ignore[assignment]
        call.attempt(call.begin)

    def _page(self) -> None:
        url, headers, continues = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, continues
        self.headers += headers
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of a body."""
        call = self._reading
        if call is None:
            super().on_body(body)
        elif not call.gone:
            call.attempt(call.take, body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        call, self._reading = self._reading, None
        if call is None:
            super().on_message_complete()
        elif not call.gone:
            call.attempt(call.whole)

    # ---- an answer leaves

    def answered(self, answer: bytes, keep_alive: bool) -> None:
        """The answer of a Call."""
        self.transport.in_turn(answer)  # type: ignore[attr-defined]
        if not keep_alive:
            self.transport.close()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        """The next request may begin."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle_since = self.loop.time()
            if self.timeout_keep_alive_task is None:
                self._look_later(self.timeout_keep_alive)

    def _unset_keepalive_if_required(self) -> None:
        """Not idle any more. One timer goes on for as long as the connection stands: made and cancelled for each
        request, it costs as much as parsing one."""
        self._idle_since = 0.0

    def _look_later(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close what has been idle for too long."""
        self.timeout_keep_alive_task = None
        if self._idle_since:
            left = self._idle_since + self.timeout_keep_alive - self.loop.time()
            if left > 0:
                self._look_later(left)
            else:
                super().timeout_keep_alive_handler()
