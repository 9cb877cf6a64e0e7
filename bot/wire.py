"""How answers leave over HTTP: an answer's head and its body in one packet.

uvicorn writes them apart, and each write is a system call and a packet of its own: a fifth of what a callback costs
outside of its decision. It knows nothing of what is said.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Together:
    """A transport that holds back what is written until the next write or the next round of the loop."""

    __slots__ = ("_held", "_loop", "_transport")

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held = b""

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

    def flush(self) -> None:
        """Write what was held back."""
        if self._held:
            data, self._held = self._held, b""
            self._transport.write(data)

    def close(self) -> None:
        """Close after everything was written."""
        self.flush()
        self._transport.close()


class Protocol(HttpToolsProtocol):
    """uvicorn's own, over such a transport."""

    def connection_made(self, transport: Any) -> None:
        """A caller is there."""
        super().connection_made(Together(transport, self.loop))  # type: ignore[arg-type]
