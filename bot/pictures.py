"""Pictures drawn on demand: a person's own poster, and the bare QR code of a way in. By name, outside any transaction.

Promises that equal requests at once draw once, that one drawing runs at a time in a thread beside the event loop, and
that names which nobody was given (codes of nobody, unknown posters, languages and accounts) cost neither a drawing nor
a code of the platform. The name a person chose is read when it is drawn and is part of no picture's name.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from bot.channels import Channel, Link
from bot.site.view import show_day
from campaigns.naming import FIELD
from content.faults import PlanFaults
from content.library import Library
from storage import people
from storage.group import CODE_LETTERS
from storage.vault import Vault

CACHE_BYTES = 32 * 1024 * 1024
WAITING_MOST = 200  # further strangers are asked to come again
LINK_SECONDS = 3.0  # a platform that takes longer is passed by for now
_CODE = f"[{CODE_LETTERS}]{{8}}"
_PART = "[a-z0-9][a-z0-9_-]{0,39}"
_POSTER = re.compile(
    f"poster:(?P<poster>{_PART}):(?P<language>[a-z]{{2}}):(?P<channel>{_PART}):(?P<account>{_PART})"
    f":(?P<code>{_CODE})(?::[0-9a-f]{{8}})?"
)
_CAMPAIGN = re.compile(f"campaign:(?P<poster>{_PART}):(?P<language>[a-z]{{2}}):(?P<revision>[0-9]{{1,9}})")
_BARE = re.compile(f"code:(?P<channel>{_PART}):(?P<account>{_PART}):(?P<code>{_CODE})")

if TYPE_CHECKING:
    from content.posters import Poster

_log = structlog.get_logger(__name__)
Read = Callable[..., Awaitable[Any]]
Drawn = tuple[bytes, str]


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose code it is, as far as pages and posters may show: `name` is the one they chose, or empty."""

    code: str
    name: str


def is_drawn(name: str) -> bool:
    """Whether a picture of this name is drawn on demand, and is not one of the plan's files."""
    return name.startswith(("poster:", "code:", "campaign:"))


def code_of(typed: str) -> str:
    """A referral code as people type or paste it, in its one form; empty when it cannot be one."""
    code = re.sub(r"[\s\-_.·/]", "", typed).upper()
    return code if re.fullmatch(_CODE, code) else ""


def _no_other(revision: int) -> Library:
    raise KeyError(revision)


class Pictures:
    """One per process. `drawings` counts what was drawn, and `channels` are set once they are open."""

    def __init__(self, read: Read, vault: Vault, library: Callable[[], Library], address: str) -> None:
        """`read` runs a query beside the event loop; `address` is the public one of our pages."""
        self._read, self._vault, self._library, self._address = read, vault, library, address
        self.channels: Sequence[Channel] = ()
        self.library_of: Callable[[int], Library] = _no_other  # an earlier revision
        self.drawings = 0
        self._kept: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()
        self._size = 0
        self._running: dict[str, asyncio.Task[Drawn | None]] = {}
        self._pencil = asyncio.Semaphore(1)

    @property
    def busy(self) -> bool:
        """Whether so many drawings wait that a stranger should come again later."""
        return len(self._running) >= WAITING_MOST

    async def picture(self, name: str) -> Drawn | None:
        """Bytes and media type; None when the name stands for nothing that exists."""
        running = self._running.get(name)
        if running is None:
            running = self._running[name] = asyncio.create_task(self._picture(name))
            running.add_done_callback(lambda _: self._running.pop(name, None))
        return await asyncio.shield(running)  # who asked may go; the picture is there for the next

    async def holder(self, code: str) -> Holder | None:
        """Whose code it is; None when it is nobody's, or that of a guest, who has no referrals."""
        found = await self._read(people.by_code, self._vault, code)
        if found is None or found["guest"]:
            return None
        return Holder(code, str(found["profile"].get(FIELD, "")))

    async def ways(self, code: str) -> list[tuple[Channel, Link | None]]:
        """Every open channel with the link by which somebody new arrives there with this code, if it has one now."""
        links = await asyncio.gather(*(self._link(channel, code) for channel in self.channels))
        return list(zip(self.channels, links, strict=True))

    async def _picture(self, name: str) -> Drawn | None:
        if wanted := _POSTER.fullmatch(name):
            return await self._poster(**wanted.groupdict())
        if wanted := _CAMPAIGN.fullmatch(name):
            return await self._campaign(**wanted.groupdict())
        if wanted := _BARE.fullmatch(name):
            return await self._bare(**wanted.groupdict())
        return None

    async def _poster(self, poster: str, language: str, channel: str, account: str, code: str) -> Drawn | None:
        library = self._library()
        found = await self._layout(library, poster)
        opened = self._channel(channel, account)
        if found is None or language not in library.plan.languages or (opened is None and channel != "web"):
            return None
        holder = await self.holder(code)
        if holder is None:
            return None
        link = (await self._link(opened, code) if opened else None) or Link(f"{self._address}/r/{code}")
        fields = {"code": code, "until": self._last_day(link, language)}
        key = ("poster", library.revision, poster, language, link.url, holder.name, fields["until"])

        def draw() -> bytes:
            return found.draw(language, qr=link.url, name=holder.name, fields=fields)

        drawn = await self._once(key, draw)
        return (drawn, "image/jpeg") if drawn else None

    async def _campaign(self, poster: str, language: str, revision: str) -> Drawn | None:
        """A poster for everybody, as a push shows it: its code opens the campaign page."""
        library = self._library()
        if library.revision != int(revision):
            try:
                library = await asyncio.to_thread(self.library_of, int(revision))
            except KeyError:
                return None
        found = await self._layout(library, poster)
        if found is None or language not in library.plan.languages:
            return None
        address = self._address

        def draw() -> bytes:
            return found.draw(language, qr=address)

        drawn = await self._once(("campaign", int(revision), poster, language), draw)
        return (drawn, "image/jpeg") if drawn else None

    async def _bare(self, channel: str, account: str, code: str) -> Drawn | None:
        opened = self._channel(channel, account)
        if opened is None or await self.holder(code) is None:
            return None
        link = await self._link(opened, code)
        if link is None:
            return None
        url = link.url

        def draw() -> bytes:
            from content import qr  # drawing libraries: readiness does not wait for them

            return qr.png(url)

        drawn = await self._once(("code", url), draw)
        return (drawn, "image/png") if drawn else None

    async def _layout(self, library: Library, poster: str) -> Poster | None:
        try:
            return await asyncio.to_thread(library.poster, poster)
        except PlanFaults as broken:
            _log.error("poster_broken", poster=poster, fault=broken.faults[0].text("en"))
            return None

    async def _once(self, key: tuple[Any, ...], draw: Callable[[], bytes]) -> bytes | None:
        """Draw, or have it drawn already. None after a fault of ours: its words are shown in place of the picture."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        async with self._pencil:
            if key not in self._kept:
                self.drawings += 1
                try:
                    self._keep(key, await asyncio.to_thread(draw))
                except Exception:
                    _log.exception("drawing_failed", what=key[0])
                    return None
            return self._kept[key]

    def _keep(self, key: tuple[Any, ...], drawn: bytes) -> None:
        self._kept[key] = drawn
        self._size += len(drawn)
        while self._size > CACHE_BYTES and len(self._kept) > 1:
            self._size -= len(self._kept.popitem(last=False)[1])

    async def _link(self, channel: Channel, code: str) -> Link | None:
        try:
            async with asyncio.timeout(LINK_SECONDS):
                return await channel.link(f"r_{code}")
        except TimeoutError:
            return None

    def _channel(self, name: str, account: str) -> Channel | None:
        return next((one for one in self.channels if (one.name, one.account) == (name, account)), None)

    def _last_day(self, link: Link, language: str) -> str:
        """The last day on which the link works from morning to night, in the campaign's zone; empty when for ever."""
        if link.until is None:
            return ""
        day = link.until.astimezone(self._library().plan.zone) - timedelta(days=1)
        return show_day(day, language)
