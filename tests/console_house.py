"""The console served in process on a port of its own: real service, real database, members of any role logged in.

`serve_console(folder)` gives a `ConsoleHouse`; its `member` makes somebody by the same act as the staff page, `client`
gives a browser-like httpx client who is logged in as them, and `enter` logs a Chromium context in.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import uvicorn

from bot import config
from bot.app import App, open_app, utc_now
from bot.console import locks
from bot.console.door import digest_of
from campaigns import rights
from campaigns import staff as acts
from campaigns.desk import Desk
from storage import schema, staff
from storage.store import Store
from tests.serving import ROOT, SECRET, free_port

T = TypeVar("T")
# Hashing is slow on purpose; what tests hash is worth nothing.
locks.COST.update(time_cost=1, memory_cost=8)
PASSWORD = "a long walk by the river"


@dataclass(frozen=True)
class Somebody:
    """A member as tests know them. `secret` is the base32 key of the second factor, if one is set up."""

    id: int
    name: str
    roles: tuple[str, ...]
    branch: str | None = None
    password: str = PASSWORD
    secret: str = ""


class Client(httpx.Client):
    """A browser without its window: cookies, no redirects followed, forms sent with their CSRF token."""

    def submit(self, path: str, data: dict[str, Any] | None = None, **more: Any) -> httpx.Response:
        """Send a form to `path` as one of our pages would."""
        headers = {"Sec-Fetch-Site": "same-origin", **more.pop("headers", {})}
        return self.post(path, data={"csrf": self.csrf(), **(data or {})}, headers=headers, **more)

    def csrf(self) -> str:
        """The token that our pages put into their forms for this client."""
        for path in ("/console", "/console/login", "/console/code", "/console/password", "/console/second"):
            answer = self.get(path)
            found = re.search(r'name="csrf" value="(\w+)"', answer.text)
            if answer.status_code == 200 and found:
                return found[1]
        raise AssertionError("no form anywhere")

    def log_in(self, name: str, password: str = PASSWORD, **more: Any) -> httpx.Response:
        """Send the log-in form."""
        return self.submit("/console/login", {"name": name, "password": password}, **more)


@dataclass
class ConsoleHouse:
    """One serving process's worth of service, in this process. `url` is where it listens."""

    app: App
    url: str
    clients: list[Client] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return self.app.store

    def act(self, work: Callable[[Desk], T], why: str = "") -> T:
        """Do an act as the operator, through the serving writer."""
        return self.run(lambda connection: work(self.desk(connection, why)))

    def desk(self, connection: Any, why: str = "") -> Desk:
        return Desk(connection, "operator", rights.OPERATOR, self.app.now(), why)

    def run(self, work: Callable[[Any], T]) -> T:
        """Run `work(connection)` in a writing transaction of the service."""
        writer = self.app.writer
        assert writer

        async def inside() -> T:
            return await writer.run(work)

        return asyncio.run_coroutine_threadsafe(inside(), writer.loop).result(30)

    def read(self, query: Callable[..., T], *arguments: Any) -> T:
        with self.store.read() as connection:
            return query(connection, *arguments)

    def sql(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        """Rows of a reading query."""
        from sqlalchemy import text

        with self.store.read() as connection:
            return [tuple(row) for row in connection.execute(text(query), values)]

    def member(self, *roles: str, branch: str | None = None, name: str = "", language: str = "zh") -> Somebody:
        """A new member whose password needs no change; administrators have their second factor set up."""
        name = name or f"{roles[0] if roles else 'nobody'}-{secrets.token_hex(3)}"
        hashed = locks.hash_password(PASSWORD)
        number = self.act(lambda desk: acts.add(desk, name, roles, branch, language, hashed, None))
        secret = locks.new_secret() if "administrator" in roles else ""
        if secret:
            sealed = self.app.vault.hide(secret.encode())
            self.run(lambda connection: staff.change(connection, number, totp=sealed))
        return Somebody(number, acts.folded(name), roles, branch, PASSWORD, secret)

    def stranger(self, **more: Any) -> Client:
        """Somebody who is not logged in."""
        client = Client(base_url=self.url, timeout=30, **more)
        self.clients.append(client)
        return client

    def client(self, somebody: Somebody, **more: Any) -> Client:
        """Somebody who is logged in and of whom nothing more is asked, without the log-in page."""
        client = self.stranger(**more)
        client.cookies.set("koukou_staff", self.session(somebody), domain="127.0.0.1", path="/console")
        return client

    def session(self, somebody: Somebody) -> str:
        """The token of a fresh session."""
        token, digest = (made := secrets.token_urlsafe(32)), digest_of(made)
        self.run(
            lambda connection: staff.open_session(
                connection, somebody.id, digest, proved=True, seconds=3600, source="127.0.0.1", agent="Test · Linux"
            )
        )
        return token

    def enter(self, context: Any, somebody: Somebody) -> None:
        """Log a Playwright browser context in."""
        cookie = {"name": "koukou_staff", "value": self.session(somebody), "domain": "127.0.0.1", "path": "/console"}
        context.add_cookies([cookie | {"httpOnly": True, "sameSite": "Strict"}])


@contextmanager
def serve_console(
    folder: Path,
    database: str = "",
    more: str = "",
    now: Callable[[], datetime] = utc_now,
    plan: str = "family-network",
) -> Iterator[ConsoleHouse]:
    """The service with a shipped plan on `database` (default: SQLite in `folder`); `more` goes into config.toml, and
    `now` is campaign time."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    file = folder / f"console-{port}.toml"
    file.write_text(
        f'[service]\nlisten = "127.0.0.1:{port}"\npublic_url = "{url}"\nplan = "{ROOT}/content/{plan}"\n'
        f'[storage]\nurl = "{database or f"sqlite:///{folder}/koukou.db"}"\nsecret = "{SECRET}"\n{more}'
    )
    settings = config.load(file, {})
    if not settings.storage.url.startswith("sqlite"):
        store = Store(settings.storage.url)
        schema.upgrade(store)
        store.close()
    app = open_app(settings, now)
    assert app.asgi
    server = uvicorn.Server(
        uvicorn.Config(app.asgi, host="127.0.0.1", port=port, log_config=None, access_log=False, proxy_headers=False)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive() and time.monotonic() < until, "the service did not start"
        time.sleep(0.02)
    house = ConsoleHouse(app, url)
    try:
        yield house
    finally:
        for client in house.clients:
            client.close()
        server.should_exit = True
        thread.join(30)
