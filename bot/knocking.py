"""What the doors on which platforms knock share: a refusal, a body within its limits, an answer in one breath.

Raw ASGI: a framework's request and response cost as much as reading the callback. It knows no platform.
"""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Scope, Send

TEXT = b"text/plain; charset=utf-8"


class Refused(Exception):
    """A request that is not answered: `status` is the HTTP status, `text` the short reason in both languages."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


async def body(scope: Scope, receive: Receive, most: int, seconds: float) -> bytes:
    """The whole body: at most `most` bytes, there within `seconds`.

    Raises Refused: 413 when it is too large, 408 when it comes too slowly, 400 when it is cut off.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value[:18]) > most):
            raise Refused(413, "正文太大 body too large")
    message = await receive()
    whole: bytes = message.get("body", b"")
    if message.get("more_body"):
        return await _rest(whole, receive, most, seconds)
    if message["type"] == "http.disconnect":
        raise Refused(400, "正文不完整 body cut off")
    if len(whole) > most:
        raise Refused(413, "正文太大 body too large")
    return whole


async def _rest(first: bytes, receive: Receive, most: int, seconds: float) -> bytes:
    parts, size = [first], len(first)
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refused(400, "正文不完整 body cut off")
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > most:
                    raise Refused(413, "正文太大 body too large")
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        raise Refused(408, "正文来得太慢 body too slow") from None


async def write(send: Send, status: int, body: bytes, content_type: bytes = TEXT) -> None:
    """Answer."""
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def refuse(send: Send, refused: Refused) -> None:
    """Answer that it is not answered."""
    await write(send, refused.status, refused.text.encode())


async def put_off(send: Send) -> None:
    """Nothing was committed in time: the platform is to come again."""
    await write(send, 503, "请稍后再来 come again".encode())
