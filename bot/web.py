"""The one HTTP server: public pages, health, metrics, and the routes that channels bring along.

Platforms' callbacks come in numbers that pages never do: their doors are called at once (see `bot/wire.py`), past the
router and the middlewares, which cost as much as reading the callback.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from importlib import import_module
from inspect import isfunction, ismethod
from typing import TYPE_CHECKING, Any

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.knocking import Knock
from storage import deliveries, notices, schema, stops
from storage.store import DatabaseFault

if TYPE_CHECKING:
    from bot.app import App

_log = structlog.get_logger(__name__)
_SORRY = "抱歉，出了点问题，请稍后再试。 Sorry, something went wrong; please try again later."


class Front:
    """The ASGI application: `doors` (path → ASGI endpoint) are called directly, everything else by `pages`."""

    def __init__(self, pages: Starlette) -> None:
        self.pages = pages
        self.doors: dict[str, ASGIApp] = {}

    def open(self, routes: Iterable[BaseRoute]) -> None:
        """Take routes in; those of fixed paths whose endpoint is no plain function are doors."""
        for route in routes:
            if isinstance(route, Route) and not isfunction(route.endpoint) and not ismethod(route.endpoint):
                self.doors[route.path] = route.app
            else:
                self.pages.router.routes.append(route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        door = self.doors.get(scope["path"]) if scope["type"] == "http" else None
        if door is None:
            await self.pages(scope, receive, send)
            return
        answered = False

        async def sending(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await door(scope, receive, sending)
        except Exception as fault:
            request = Request(scope)
            # What befalls after the answer is ours alone: the platform has it, and must not be told otherwise.
            if answered:
                _log.error("fault_after_answer", path=request.url.path, exc_info=fault)
            else:
                await (await _fault(request, fault))(scope, receive, send)

    def broken(self, knock: Knock, fault: Exception) -> None:
        """A fault of ours at a door that was called directly: the same."""
        path = next((path for path, door in self.doors.items() if door is getattr(knock, "door", None)), "")
        _log.error("fault_after_answer" if knock.gone else "request_failed", path=path, exc_info=fault)
        knock.answer(500, _SORRY.encode())


def pieces(app: App) -> dict[str, Any]:
    """Routes and error handlers for the Starlette application."""

    async def healthz(request: Request) -> Response:
        """The process is alive; nothing else is asked."""
        return PlainTextResponse("ok")

    async def readyz(request: Request) -> Response:
        """The database answers and its schema is ours; 503 with reasons otherwise. An emergency stop is no failure."""
        reasons = await asyncio.to_thread(_reasons, app)
        said: dict[str, Any] = {"ready": not reasons, "reasons": reasons}
        if not reasons:
            said["stopped"] = await asyncio.to_thread(_stopped, app)
        if app.silence and app.silence.held:
            said["held"] = "a restored copy sends nothing until koukou backup release"
        return JSONResponse(said, 503 if reasons else 200)

    async def measured(request: Request) -> Response:
        metrics = await asyncio.to_thread(import_module, "bot.metrics")  # first use: readiness does not wait for it
        assert app.writer
        house = metrics.House(app.writer, lambda: _open(app), lambda: _upkeep(app), lambda: _notices(app))
        return Response(await asyncio.to_thread(metrics.render, house), media_type="text/plain; version=0.0.4")

    routes: list[BaseRoute] = [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", measured),
    ]
    return {"routes": routes, "exception_handlers": {Exception: _fault, 500: _fault}}


def opened(app: App) -> list[BaseRoute]:
    """The routes that exist once the house does: the public pages and what channels bring along."""
    from bot.site.agree import agree_routes
    from bot.site.invited import invited_routes
    from bot.site.pages import site_routes

    assert app.house and app.writer
    writer = app.writer
    chat = "/chat" if any(channel.name == "web" for channel in app.channels) else ""
    routes = site_routes(app.house, lambda: writer.library.plan, chat)
    routes += invited_routes(app.house, lambda: writer.library.plan)
    routes += agree_routes(app.house, lambda: writer.library.plan, app.channels)
    if app.settings.console.enabled:
        routes += _console(app)
    return routes + [route for channel in app.channels for route in channel.routes()]


def _console(app: App) -> list[BaseRoute]:
    """Everything under /console. The pages and what they need are loaded with the first request for one."""
    opened: list[Any] = []

    def make() -> Any:
        from bot.console.door import Console

        return Console(app)

    async def console(request: Request) -> Response:
        if not opened:
            made = await asyncio.to_thread(make)  # or conversations would wait until all pages are loaded
            opened[:] = opened or [made]
        response: Response = await opened[0].answer(request)
        return response

    every = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    return [Route(path, console, methods=every) for path in ("/console", "/console/{path:path}")]


def _reasons(app: App) -> list[str]:
    if not app.ready:
        return ["starting or draining"]
    try:
        schema.require_current(app.store)
    except DatabaseFault:
        return ["the database does not answer"]
    except (schema.SchemaTooNew, schema.SchemaBehind) as wrong:
        return [str(wrong)]
    return []


def _upkeep(app: App) -> dict[str, float]:
    schedule = app.schedule
    assert schedule
    return {
        "held": float(schedule.held),
        "stopped": float(_stopped(app)),
        "retained": schedule.retained,
        "retained_at": schedule.retained_at,
    }


def _stopped(app: App) -> bool:
    with app.store.read() as connection:
        return stops.standing(connection) is not None


def _open(app: App) -> dict[tuple[str, str], int]:
    with app.store.read() as connection:
        return deliveries.open_counts(connection)


def _notices(app: App) -> list[tuple[str, str, str, int]]:
    with app.store.read() as connection:
        return notices.counts(connection)


async def _fault(request: Request, exc: Exception) -> Response:
    """A fault of ours: logged whole, told without any of it."""
    _log.error("request_failed", path=request.url.path, exc_info=exc)
    return PlainTextResponse(_SORRY, 500)
