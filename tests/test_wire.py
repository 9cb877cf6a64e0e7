"""The wire: doors and pages answer whole, in order, over connections that live or end as HTTP says."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bot import knocking
from bot.knocking import Knock, Refused
from bot.web import Front
from bot.wire import Protocol


class Door(knocking.Door):
    """Echoes what it was sent behind its method and query; `slow` answers last, `broken` fails, `torn` fails late."""

    most, seconds = 1_000_000, 0.3

    def greet(self, knock: Knock) -> None:
        """Some are not let in."""
        if knock.query == b"stranger":
            raise Refused(403, "who are you")

    def knock(self, knock: Knock) -> None:
        """Answer."""
        if knock.query in (b"slow", b"slow-broken"):
            knock.later(self._slowly(knock))
            return
        if knock.query == b"broken":
            raise RuntimeError("s3cret")
        self._echo(knock)
        if knock.query == b"torn":
            raise RuntimeError("s3cret")

    async def _slowly(self, knock: Knock) -> None:
        await asyncio.sleep(0.2)
        if knock.query == b"slow-broken":
            raise RuntimeError("s3cret")
        self._echo(knock)

    def _echo(self, knock: Knock) -> None:
        knock.answer(200, b" ".join((knock.method.encode(), knock.query, knock.body)))


async def page(request: Request) -> PlainTextResponse:
    """A page beside the door."""
    return PlainTextResponse("page " + request.url.query)


@asynccontextmanager
async def serving(idle: float = 75) -> AsyncIterator[int]:
    """The real server on a free port; a connection may be idle for so many seconds."""
    front = Front(Starlette())
    front.open([Route("/door", Door()), Route("/page", page)])
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            *(front,),
            **{"http": Protocol, "log_config": None, "lifespan": "off", "access_log": False, "proxy_headers": False},
            timeout_keep_alive=idle,
        )
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve([listening]))
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await running


def said(*pieces: bytes, pause: float = 0.05, idle: float = 75) -> bytes:
    """All that comes back for `pieces`, sent one by one, until the server closes or is silent for a while."""

    async def talk() -> bytes:
        async with serving(idle) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)
            answer = b""
            while True:
                try:
                    part = await asyncio.wait_for(reader.read(65_536), 0.4)
                except TimeoutError:
                    break
                if not part:
                    answer += b"<closed>"
                    break
                answer += part
            writer.close()
            return answer

    return asyncio.run(talk())


def post(body: bytes, query: bytes = b"q=1", *more: bytes, version: bytes = b"1.1", method: bytes = b"POST") -> bytes:
    """A request at the door."""
    lines = [b"%s /door?%s HTTP/%s" % (method, query, version), b"Host: x", b"Content-Length: %d" % len(body), *more]
    return b"\r\n".join((*lines, b"", body))


def test_an_answer_is_whole_and_the_connection_stays() -> None:
    answer = said(post(b"one"), post(b"two"))
    heads = answer.split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert [head.partition(b"\r\n\r\n")[2] for head in heads] == [b"POST q=1 one", b"POST q=1 two"]
    for head in heads:
        lines = head.partition(b"\r\n\r\n")[0].split(b"\r\n")
        assert b"content-length: 12" in lines and any(line.startswith(b"date: ") for line in lines)
        assert not any(line.startswith((b"connection", b"transfer-encoding")) for line in lines)


def test_head_and_body_leave_in_one_packet() -> None:
    async def first() -> bytes:
        async with serving() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(post(b"one"))
            answer = await reader.read(65_536)
            writer.close()
            return answer

    assert asyncio.run(first()).endswith(b"\r\n\r\nPOST q=1 one")


@pytest.mark.parametrize("pieces", [1, 3, 40])
def test_a_request_in_pieces_is_one_request(pieces: int) -> None:
    whole = post(b"x" * 200)
    size = -(-len(whole) // pieces)
    parts = [whole[at : at + size] for at in range(0, len(whole), size)]
    answer = said(*parts, pause=0.002)  # well within what the door waits for all of it
    assert answer.count(b"HTTP/1.1 200") == 1 and answer.endswith(b"POST q=1 " + b"x" * 200)


def test_a_large_body_comes_through() -> None:
    assert said(post(b"x" * 500_000))[-500_000:] == b"x" * 500_000


def test_requests_sent_at_once_are_answered_in_their_order() -> None:
    other = b"GET /page?p HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = said(post(b"one", b"slow") + other + post(b"two") + post(b"three"))
    places = [answer.find(words) for words in (b"POST slow one", b"page p", b"POST q=1 two", b"POST q=1 three")]
    assert places == sorted(places) and places[0] > 0


@pytest.mark.parametrize("request_", [post(b"one", version=b"1.0"), post(b"one", b"q=1", b"Connection: close")])
def test_a_connection_that_is_to_end_ends_after_the_answer(request_: bytes) -> None:
    answer = said(request_)
    assert answer.endswith(b"POST q=1 one<closed>") and b"connection: close\r\n" in answer


def test_whoever_waits_for_continue_is_told_to() -> None:
    head, _, body = post(b"one", b"q=1", b"Expect: 100-continue").partition(b"\r\n\r\n")
    answer = said(head + b"\r\n\r\n", body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK") and answer.endswith(b"POST q=1 one")


def test_head_gets_no_body() -> None:
    answer = said(post(b"", method=b"HEAD"))
    assert answer.startswith(b"HTTP/1.1 200 OK") and answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("query", [b"broken", b"slow-broken"])
@pytest.mark.parametrize("path", [b"/door", b"/%64oor"])  # by the wire, and by ASGI
def test_a_fault_is_a_500_and_says_nothing(query: bytes, path: bytes) -> None:
    answer = said(post(b"one", query).replace(b"/door", path))
    assert answer.startswith(b"HTTP/1.1 500") and b"s3cret" not in answer and answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("path", [b"/door", b"/%64oor"])
def test_a_fault_after_the_answer_changes_nothing_of_it(path: bytes) -> None:
    answer = said(post(b"one", b"torn").replace(b"/door", path))
    assert answer.startswith(b"HTTP/1.1 200") and b"s3cret" not in answer and answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("path", [b"/door", b"/%64oor"])
def test_a_stranger_is_refused_before_the_body_is_there(path: bytes) -> None:
    head = post(b"x" * 50, b"stranger").replace(b"/door", path).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    assert said(head).startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize("path", [b"/door", b"/%64oor"])
def test_a_body_has_its_limits(path: bytes) -> None:
    announced = b"POST " + path + b"?q=1 HTTP/1.1\r\nHost: x\r\n"
    assert said(announced + b"Content-Length: 1000001\r\n\r\n").startswith(b"HTTP/1.1 413")
    assert said(announced + b"Content-Length: -1\r\n\r\n").startswith((b"HTTP/1.1 413", b"HTTP/1.1 400"))
    chunk = b"30d40\r\n" + b"x" * 200_000 + b"\r\n"
    assert said(announced + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 6).startswith(b"HTTP/1.1 413")
    slow = said(announced + b"Content-Length: 9\r\n\r\n", b"x", pause=0.35)
    assert slow.startswith(b"HTTP/1.1 408") and slow.count(b"HTTP/1.1") == 1


def test_a_refused_body_is_read_to_its_end_and_the_next_request_is_answered() -> None:
    answer = said(post(b"x" * 1_000_001) + post(b"two"))
    assert answer.startswith(b"HTTP/1.1 413") and answer.endswith(b"POST q=1 two")


def test_an_idle_connection_is_closed_in_time_and_a_busy_one_is_not() -> None:
    assert said(post(b"one"), post(b"two", b"slow"), pause=0.1, idle=0.15).count(b"HTTP/1.1 200") == 2
    answer = said(post(b"one"), pause=0.01, idle=0.15)
    assert answer.endswith(b"POST q=1 one<closed>")


def test_whoever_hangs_up_hears_nothing_and_harms_nobody() -> None:
    async def leave() -> bytes:
        async with serving() as port:
            for body in (post(b"one", b"slow"), post(b"x" * 50)[:-20]):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(body)
                await writer.drain()
                writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.sleep(0.5)
            writer.write(post(b"two"))
            answer = await reader.read(65_536)
            writer.close()
            return answer

    assert asyncio.run(leave()).endswith(b"POST q=1 two")


def test_an_escaped_path_finds_the_same_door() -> None:
    assert said(post(b"one").replace(b"/door", b"/%64oor")).endswith(b"POST q=1 one")


def test_what_is_no_http_is_refused() -> None:
    assert said(b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert b"POST q=1 one" in said(post(b"one"), b"nonsense\r\n\r\n")
