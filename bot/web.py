"""The one HTTP server: public pages, health, metrics, and the routes that channels bring along."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from storage import deliveries, schema
from storage.store import DatabaseFault

if TYPE_CHECKING:
    from bot.app import App

_log = structlog.get_logger(__name__)


def pieces(app: App) -> dict[str, Any]:
    """Routes and error handlers for the Starlette application."""

    async def healthz(request: Request) -> Response:
        """The process is alive; nothing else is asked."""
        return PlainTextResponse("ok")

    async def readyz(request: Request) -> Response:
        """The database answers and its schema is ours; 503 with reasons otherwise."""
        reasons = await asyncio.to_thread(_reasons, app)
        return JSONResponse({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    async def measured(request: Request) -> Response:
        from bot import metrics  # first use: readiness does not wait for it

        assert app.writer
        house = metrics.House(app.writer, lambda: _open(app))
        return Response(await asyncio.to_thread(metrics.render, house), media_type="text/plain; version=0.0.4")

    routes: list[BaseRoute] = [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", measured),
    ]
    return {"routes": routes, "exception_handlers": {Exception: _fault, 500: _fault}}


def opened(app: App) -> list[BaseRoute]:
    """The routes that exist once the house does: the public pages and what channels bring along."""
    from bot.site.invited import invited_routes
    from bot.site.pages import site_routes

    assert app.house and app.writer
    writer = app.writer
    chat = "/chat" if any(channel.name == "web" for channel in app.channels) else ""
    routes = site_routes(app.house, lambda: writer.library.plan, chat)
    routes += invited_routes(app.house, lambda: writer.library.plan)
    return routes + [route for channel in app.channels for route in channel.routes()]


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


def _open(app: App) -> dict[tuple[str, str], int]:
    with app.store.read() as connection:
        return deliveries.open_counts(connection)


async def _fault(request: Request, exc: Exception) -> Response:
    """A fault of ours: logged whole, told without any of it."""
    _log.error("request_failed", path=request.url.path, exc_info=exc)
    return PlainTextResponse("抱歉，出了点问题，请稍后再试。 Sorry, something went wrong; please try again later.", 500)
