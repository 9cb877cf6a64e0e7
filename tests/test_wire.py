"""How answers leave: head and body together, a slow body after its head, several in a row on one connection."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn

from bot.wire import Protocol, Together
from tests.serving import free_port


class Transport:
    """Keeps what is written, one entry a write."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.written.append(data)

    def close(self) -> None:
        self.closed = True


def written(*acts: Any) -> list[bytes]:
    """What leaves when these are written in one round of the loop; None lets a round pass, "close" closes."""

    async def day() -> list[bytes]:
        transport = Transport()
        wire = Together(transport, asyncio.get_running_loop())
        for act in acts:
            if act is None:
                await asyncio.sleep(0)
            elif act == "close":
                wire.close()
            else:
                wire.write(act)
        await asyncio.sleep(0)
        return transport.written

    return asyncio.run(day())


def test_an_answer_leaves_whole() -> None:
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    assert written(head, b"body") == [head + b"body"]
    assert written(head, b"one", head, b"two", b"more") == [head + b"one", head + b"two", b"more"]


def test_nothing_is_held_back_for_long_or_lost() -> None:
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    assert written(head, None, b"late") == [head, b"late"]
    assert written(head, "close") == [head]
    assert written(head, head, b"x") == [head + head, b"x"]


async def slow(scope: Any, receive: Any, send: Any) -> None:
    """Answers in two parts, the second after a while."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await asyncio.sleep(0.5 if scope["path"] == "/slow" else 0)
    await send({"type": "http.response.body", "body": b"second"})


@pytest.fixture
def served() -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(slow, port=free_port(), http=Protocol, lifespan="off", log_level="critical"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.config.port}"
    server.should_exit = True
    thread.join()


def test_over_a_real_connection(served: str) -> None:
    with httpx.Client() as http:
        assert [http.get(served).text for _ in range(3)] == ["firstsecond"] * 3
        began = time.monotonic()
        with http.stream("GET", f"{served}/slow") as answer:
            parts = answer.iter_raw()
            assert next(parts) == b"first" and time.monotonic() - began < 0.4
            assert b"".join(parts) == b"second"
        assert http.get(served, headers={"connection": "close"}).text == "firstsecond"
