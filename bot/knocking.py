"""What the doors on which platforms knock share: a request read whole, an answer to it now or later, and refusals.

A door is a plain function of a `Knock`. Our own wire calls it at once, without a task and without ASGI, which cost as
much as reading the callback; whoever speaks ASGI gets the same door. It knows no platform.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from starlette.types import Receive, Scope, Send

from bot.channels import Busy

TEXT = b"text/plain; charset=utf-8"
_Headers = Sequence[tuple[bytes, bytes]]


class Refused(Exception):
    """A request that is not answered: `status` is the HTTP status, `text` the short reason in both languages."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


class Knock:
    """One request at a door, to be answered once. Who carries it says how: `write` and `broken`."""

    body = b""

    def __init__(self, method: str, query: bytes, headers: _Headers) -> None:
        self.method, self.query, self.headers = method, query, headers
        self._later: asyncio.Task[None] | None = None

    @property
    def gone(self) -> bool:
        """Whether the caller is known to have hung up."""
        return False

    def write(self, status: int, body: bytes, content_type: bytes) -> None:
        """Let the answer go."""
        raise NotImplementedError

    def broken(self, fault: Exception) -> None:
        """A fault of ours came up."""
        raise NotImplementedError

    def answer(self, status: int, body: bytes, content_type: bytes = TEXT) -> bool:
        """Answer; False when the caller is gone."""
        if self.gone:
            return False
        self.write(status, body, content_type)
        return True

    def attempt(self, step: Callable[..., None], *arguments: Any) -> None:
        """Run a step of answering. A refusal is told, and so is that nothing was committed in time: the platform is to
        come again. Raises nothing."""
        try:
            step(*arguments)
        except Exception as fault:
            self._failed(fault)

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Go on answering with what has to wait for something."""
        self._later = asyncio.get_running_loop().create_task(self._wait_for(work))

    async def _wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as fault:
            self._failed(fault)

    def _failed(self, fault: Exception) -> None:
        if isinstance(fault, Refused):
            self.answer(fault.status, fault.text.encode())
        elif isinstance(fault, Busy):
            self.answer(503, "请稍后再来 come again".encode())
        else:
            self.broken(fault)


class Door:
    """Where a platform knocks: at most `most` bytes, there within `seconds` of machine time."""

    most = 65_536
    seconds = 5.0

    def greet(self, knock: Knock) -> None:
        """Look at the head, before any of the body is read. Raises Refused."""

    def knock(self, knock: Knock) -> None:
        """Answer, or see to it that it is answered. Raises Refused and Busy."""
        raise NotImplementedError

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The same for whoever speaks ASGI. Raises what is a fault of ours."""
        asked = _Asked(scope["method"], scope["query_string"], scope["headers"])
        try:
            self.greet(asked)
            asked.body = await _body(scope["headers"], receive, self.most, self.seconds)
        except Refused as refused:
            asked.answer(refused.status, refused.text.encode())
        else:
            asked.attempt(self.knock, asked)
        watching = asyncio.create_task(asked.watch(receive))
        answer = await asked.answered
        watching.cancel()
        if answer is None:
            return
        status, body, content_type = answer
        headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class _Asked(Knock):
    """A knock by ASGI: its answer is a future's result; None once the caller hung up."""

    def __init__(self, method: str, query: bytes, headers: _Headers) -> None:
        super().__init__(method, query, headers)
        self.answered: asyncio.Future[tuple[int, bytes, bytes] | None] = asyncio.get_running_loop().create_future()

    @property
    def gone(self) -> bool:
        return self.answered.done()

    def write(self, status: int, body: bytes, content_type: bytes) -> None:
        self.answered.set_result((status, body, content_type))

    def broken(self, fault: Exception) -> None:
        if not self.answered.done():
            self.answered.set_exception(fault)

    async def watch(self, receive: Receive) -> None:
        """See whether the caller hangs up before the answer is there."""
        message = await receive()
        if message["type"] == "http.disconnect" and not self.answered.done():
            self.answered.set_result(None)


def check_length(headers: _Headers, most: int) -> None:
    """Raises Refused (413) when a body is announced that is larger than `most` bytes, or that makes no sense."""
    for name, value in headers:
        if name == b"content-length" and (not value.isdigit() or int(value[:18]) > most):
            raise too_large()


def too_large() -> Refused:
    """A body beyond its limit."""
    return Refused(413, "正文太大 body too large")


def too_slow() -> Refused:
    """A body that did not come in time."""
    return Refused(408, "正文来得太慢 body too slow")


async def _body(headers: _Headers, receive: Receive, most: int, seconds: float) -> bytes:
    """The whole body. Raises Refused: 413, 408, and 400 when it is cut off."""
    check_length(headers, most)
    parts, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refused(400, "正文不完整 body cut off")
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > most:
                    raise too_large()
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        raise too_slow() from None
