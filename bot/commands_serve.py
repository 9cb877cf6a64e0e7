"""`koukou serve`: one serving process, until it is told to stop.

A thin skin over the composition root: it opens the house, prints what an operator should know, and runs the server.
"""

from __future__ import annotations

import gc
import signal
import sys
from typing import TYPE_CHECKING, Any

import typer

from bot import terminal
from bot.terminal import language, refuse, say

if TYPE_CHECKING:
    import uvicorn

    from bot.app import App


def serve(context: typer.Context) -> None:
    """启动服务 | serve."""
    # A start makes some hundred thousand objects that stay: looking for garbage among them takes a tenth of its time.
    gc.disable()
    import uvicorn

    from bot import logs  # first of ours: it loads structlog without what costs most of it
    from bot.app import NothingToServe, open_app
    from bot.commands_staff import welcome
    from bot.wire import Protocol
    from storage import schema
    from storage.store import StoreLocked
    from storage.vault import SecretMissing

    settings = terminal.settings_of(context)
    logs.configure(None)
    try:
        app = open_app(settings)
    except NothingToServe as nothing:
        for fault in nothing.faults:
            typer.echo(fault.text(language()), err=True)
        raise typer.Exit(1) from None
    except StoreLocked as locked:
        zh, en = f"已有服务在用这个数据库（{locked.path}）", f"another process serves this database ({locked.path})"
        raise refuse(zh, en) from None
    except (schema.SchemaTooNew, schema.SchemaBehind, SecretMissing) as wrong:
        zh, _, en = str(wrong).partition(" | ")
        raise refuse(zh, en) from None
    for warning in (*settings.warnings(), *app.store.warnings(), *app.warnings()):
        typer.echo(f"! {warning}", err=True)
    assert app.asgi
    host, _, port = settings.service.listen.rpartition(":")
    say(
        f"口口相传已启动：活动页和聊天 http://{settings.service.listen}/ （Ctrl+C 停止）",
        f"Koukou is serving: campaign page and chat at http://{settings.service.listen}/ (Ctrl+C stops)",
    )
    if settings.console.enabled:
        welcome(app)
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn drains at these, then raises them once more at whoever was there before: drained is done, exit 0.
        signal.signal(number, lambda *_: None)
    sys.setswitchinterval(0.001)  # the writer's thread must not wait long for the interpreter behind the event loop
    config = uvicorn.Config(
        app.asgi,
        host=host.strip("[]"),
        port=int(port),
        http=Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=10,
        proxy_headers=False,
    )
    _server(app, config).run()


def _server(app: App, config: uvicorn.Config) -> uvicorn.Server:
    """A server that looks for garbage once it is up; told to stop, it answers pages which wait for news, instead of
    waiting for them."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            gc.freeze()
            gc.enable()

        def handle_exit(self, sig: int, frame: Any) -> None:
            app.say_goodbye()
            super().handle_exit(sig, frame)

    return Server(config)
