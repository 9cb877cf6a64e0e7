"""The HTTP front: callbacks go straight to their door, and a fault there is told once and never after the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bot.web import Front


class Door:
    """A raw endpoint that fails as told."""

    def __init__(self, *, answers: bool, fails: bool) -> None:
        self.answers, self.fails = answers, fails

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.answers:
            await PlainTextResponse("success")(scope, receive, send)
        if self.fails:
            raise RuntimeError("the token is s3cret")


def asked(path: str, **doors: Door) -> tuple[int, bytes]:
    """Status and body of a GET."""

    async def page(request: Any) -> PlainTextResponse:
        return PlainTextResponse("page")

    front = Front(Starlette())
    front.open([Route("/page", page), *(Route(f"/{name}", door) for name, door in doors.items())])
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", "root_path": ""}
    scope |= {"server": ("127.0.0.1", 80), "scheme": "http"}
    asyncio.run(front(scope, receive, send))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    return sent[0]["status"], sent[1]["body"]


def test_doors_pages_and_strangers_find_their_way() -> None:
    assert asked("/door", door=Door(answers=True, fails=False)) == (200, b"success")
    assert asked("/page") == (200, b"page")
    assert asked("/door/")[0] == 404


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """What was logged so far: printed, or handed to logging once an earlier test of this process has set it up."""
    return lambda: capsys.readouterr().out + caplog.text


def test_a_fault_before_the_answer_is_a_plain_500(said: Callable[[], str]) -> None:
    status, body = asked("/door", door=Door(answers=False, fails=True))
    assert status == 500 and "请稍后再试".encode() in body and b"s3cret" not in body
    assert "request_failed" in said()


def test_a_fault_after_the_answer_is_logged_and_changes_nothing(said: Callable[[], str]) -> None:
    assert asked("/door", door=Door(answers=True, fails=True)) == (200, b"success")
    printed = said()
    assert "fault_after_answer" in printed and "request_failed" not in printed
