"""The composition root: settings → store, library, writer, channels, sender, schedule, web.

The only place that knows all parts; it decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from starlette.applications import Starlette

from bot import channels, followers, terminal, web
from bot.config import Settings
from bot.handoff import Handoff
from bot.keeping import Silence, keep_journal
from bot.notifying import Notifying
from bot.pushing import Pushes
from bot.schedule import SLOT_STALE_SECONDS, Schedule
from bot.sender import Sender
from bot.service import House
from bot.site import pages as site_pages
from bot.sms import Provider, open_provider
from bot.writer import Writer
from campaigns import push_plan, rights, running, words
from campaigns.desk import Desk, apply_plan
from content.bundle import Bundle
from content.faults import PlanFaults
from content.library import Library
from storage import copies, nodes, revisions, schema
from storage.erasures import Journal
from storage.sealer import Sealer
from storage.store import Store
from storage.vault import Vault, secret_for

# Libraries that are loaded beside the event loop still keep it from running half of the time: whoever waits for a node
# to be ready is answered first.
_SOON_SECONDS = 0.1
_log = structlog.get_logger(__name__)


class NothingToServe(Exception):
    """The plan has faults; `faults` are printed."""

    def __init__(self, faults: list[Any]) -> None:
        super().__init__(f"{len(faults)} faults")
        self.faults = faults


def utc_now() -> datetime:
    """The machine's time, as campaign time of a running service."""
    return datetime.now(UTC)


@dataclass
class App:
    """One serving process. Made by `open_app`."""

    settings: Settings
    store: Store
    vault: Vault
    now: Callable[[], datetime]
    asgi: web.Front | None = None
    ready: bool = False
    writer: Writer | None = None
    sender: Sender | None = None
    pushes: Pushes | None = None
    schedule: Schedule | None = None
    house: House | None = None
    channels: tuple[Any, ...] = ()
    silence: Silence | None = None
    sms: Provider | None = None

    async def start(self) -> None:
        """Take a slot, start the writer and whatever ticks, then let channels greet their platforms."""
        holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        with self.store.begin() as connection:
            slot = nodes.take_slot(connection, holder, SLOT_STALE_SECONDS)
        self.writer = Writer(
            self.store, self.vault, slot, self.read_library, self.now, random.Random(secrets.randbits(64))
        )
        service = self.settings.service
        self.house = House(self.store, self.vault, self.writer, self.now, service)
        self.house.pictures.library_of = self.library_of
        self.channels = tuple(open_channels(self.settings, self.house))
        self.pushes = Pushes(self.writer, self.channels, self.library_of, self.now)
        self.sms = open_provider(self.settings.sms)
        templates = {f"wechat:{name}": table.notices for name, table in self.settings.accounts("wechat")}
        notices = Notifying(
            *(self.writer.run, self.channels, templates, self.sms, self.vault),
            *(lambda: self.writer.library if self.writer else self.read_library(), self.now),
        )
        self.sender = Sender(
            *(self.writer.run, self.channels, self.now, holder, self.pushes.runs, notices.further, notices.pushed)
        )
        self.house.on_release = self.sender.wake
        daily = [job.daily for job in followers.of(self)]
        sealer = Sealer(self.store, self.vault)
        self.schedule = Schedule(self.writer, sealer, holder, self.now, daily, self.pushes.step, notices.step)
        self.silence = Silence(self.store, self.house, self.sender, self.schedule, self.channels)
        self._tasks = [asyncio.create_task(self.sender.loop()), asyncio.create_task(self.house.watch())]
        self._handoff = Handoff(self)
        await self._handoff.start()
        self._tasks.append(asyncio.create_task(keep_journal(self.store, Journal(terminal.journal(self.settings)))))
        self._tasks.append(asyncio.create_task(self._go_on(self.schedule, self.silence)))
        self.ready = True

    async def _go_on(self, schedule: Schedule, silence: Silence) -> None:
        """Tick and greet: what readiness does not need, and what loads more libraries than all before it."""
        await asyncio.sleep(_SOON_SECONDS)
        schedule.start()
        await asyncio.to_thread(site_pages.templates)  # or the first page would hold up everybody
        await silence.until_released(_greet)

    def warnings(self) -> list[str]:
        """What its operator should know at the start: a restored copy keeps silent."""
        since = copies.held(self.store)
        if since is None:
            return []
        when = f"{since:%Y-%m-%d %H:%M} UTC"
        if self.settings.service.language == "zh":
            return [f"这是 {when} 恢复的副本，隔离中：放行之前什么也不发（koukou backup release）"]
        return [f"this is a copy restored at {when} and held: nothing is sent until koukou backup release"]

    def say_goodbye(self) -> None:
        """Let those who wait for news go, so that draining need not wait for them. May be called from a signal."""
        if self.ready and self.writer:
            waiting = [channel for channel in self.channels if channel.pulls()]
            self.writer.loop.call_soon_threadsafe(lambda: [asyncio.ensure_future(one.close()) for one in waiting])

    async def close(self) -> None:
        """Drain: nothing new is taken, what was taken is finished, what is claimed is given back."""
        self.ready = False
        assert self.writer and self.sender and self.schedule
        await self.schedule.close()
        await self._handoff.close()
        await self.sender.close()
        for task in self._tasks:
            task.cancel()
        if self.sms:
            await self.sms.close()
        for channel in self.channels:  # before the writer: a lease is given back by it
            await channel.close()
        await self.writer.close()
        self.store.close()

    def library_of(self, number: int) -> Library:
        """A revision of the (first) campaign, as stored. Raises KeyError when there is no such revision."""
        with self.store.read() as connection:
            files = revisions.files(connection, self._campaign, number)
        return Library(Bundle.of(files), number, words(), self.settings.service.public_url, self.settings.asking)

    def read_library(self) -> Library:
        """The applied revision of the (first) campaign."""
        with self.store.read() as connection:
            number = revisions.current(connection, self._campaign)
        assert number is not None
        library = self.library_of(number)
        # Until its encoder is loaded, which takes seconds, the FAQ judges by characters alone.
        warming = threading.Timer(_SOON_SECONDS, _warm, (library, self.writer is not None))
        warming.daemon = True
        warming.start()
        return library

    @property
    def _campaign(self) -> str:
        with self.store.read() as connection:
            return revisions.campaigns(connection)[0]


def _warm(library: Library, another: bool) -> None:
    if not library.faq.warm():
        _log.info("faq_by_characters", hint="install the extra [semantic] for questions put in other words")
    # What stands for as long as the plan does is not looked through for garbage again and again: each look, at some
    # hundred thousand objects, held up everybody for a tenth of a second.
    if another:  # what stood for the former one's
        gc.unfreeze()
        gc.collect()
    gc.freeze()


def open_app(settings: Settings, now: Callable[[], datetime] = utc_now) -> App:
    """Open the store, bring its schema up to date on SQLite, and apply the plan's files to an empty database.

    Raises NothingToServe, StoreLocked, SchemaTooNew, SchemaBehind, SecretMissing.
    """
    store = Store(settings.storage.url)
    if store.is_sqlite:
        schema.upgrade(store)
    schema.require_current(store)
    secret = settings.storage.secret.get_secret_value() if settings.storage.secret else None
    app = App(settings, store, Vault(secret_for(store, secret)), now)
    _apply_first(app)
    app.asgi = web.Front(Starlette(lifespan=lambda _: _lifespan(app), **web.pieces(app)))
    return app


def _apply_first(app: App) -> None:
    """`serve` applies the plans' files only to an empty database; later their folders need not even exist."""
    with app.store.begin() as connection:
        schema.wait_for_turn(connection)
        if revisions.campaigns(connection):
            return
        for folder in app.settings.service.plans:
            try:
                bundle = Bundle.read(folder)
            except PlanFaults as unreadable:
                raise NothingToServe(unreadable.faults) from None
            faults = [fault for fault in bundle.check(running(), words()) if fault.severity == "fault"]
            if faults:
                raise NothingToServe(faults)
            desk = Desk(connection, "operator", rights.OPERATOR, app.now(), "first start")
            number = apply_plan(desk, bundle, None).number
            alone = not app.settings.console.second_person
            push_plan.sync(desk, bundle.plan, number, Library(bundle, number, words()) if alone else None)


def open_channels(settings: Settings, house: House) -> list[Any]:
    """One channel per enabled account of every channel found."""
    opened = []
    for name in channels.names():
        for account, table in settings.accounts(name):
            if table.enabled:
                opened.append(channels.module(name).open_channel(account, table, house))
    return opened


@contextlib.asynccontextmanager
async def _lifespan(app: App) -> AsyncIterator[None]:
    await app.start()
    assert app.asgi
    app.asgi.open(web.opened(app))
    try:
        yield
    finally:
        await app.close()


async def _greet(channel: Any) -> None:
    try:
        await channel.start()
    except Exception:
        _log.exception("channel_start_failed", channel=channel.name, account=channel.account)
