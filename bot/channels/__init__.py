"""The contract of a channel, and the look-up of channels by file name.

A channel turns raw requests into `Incoming`, hands them to the service, and renders messages as its platform can show
them. It decides nothing about people, points or campaigns.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

from starlette.routing import BaseRoute

from storage.incoming import Answer, Incoming


class Busy(Exception):
    """The message is being worked on elsewhere, or the queue is full: answer 503 so that it is sent again."""


class Service(Protocol):
    """What a channel may ask of the house. `public_url` is where our own pages stand, without a path at its end; while
    `held` nothing may be told to a platform, not even in the response to what it brings."""

    public_url: str
    held: bool

    def now(self) -> datetime:
        """Campaign time, aware UTC."""
        ...

    async def hear(self, incoming: Incoming) -> Answer:
        """Decide and commit, then return the answer. A key heard before returns the stored answer.

        Raises Busy when no answer was committed within 4 s. Nothing may be acknowledged unless this returned.
        """
        ...

    def hear_then(self, incoming: Incoming, told: Callable[[Answer | Exception], None]) -> None:
        """The same for whoever wants no task: `told` gets the answer, or what `hear` would raise, and must not raise.

        Raises Busy when too many wait already.
        """
        ...

    def settled(self, deliveries: Sequence[int]) -> None:
        """These passive deliveries were written to the socket: mark them sent with the next group."""
        ...

    def release(self, deliveries: Sequence[int]) -> None:
        """These deliveries cannot leave as the passive answer: the sender takes them as soon as it can."""
        ...

    async def picture(self, name: str) -> tuple[bytes, str] | None:
        """Bytes and media type of a picture of the applied plan or of one drawn for a person, or None."""
        ...

    def commands(self) -> dict[str, list[tuple[str, str]]]:
        """By language of the applied plan, what a list of commands shows: (word as in `checkin`, label), in order."""
        ...

    async def waiting(
        self, account: str, address: str, after: int, seconds: float, *, told: bool = False
    ) -> list[tuple[int, dict[str, Any]]]:
        """What waits outside of a turn for a person who fetches: delivery id and message tree, oldest first.

        With `told` only what the history tells as well.

        `after` acknowledges what this call handed out before, up to that id (0: nothing); what is not acknowledged is
        handed out again. Waits up to `seconds` of machine time for something to come, then returns an empty list.
        """
        ...

    async def history(self, account: str, address: str, limit: int) -> list[dict[str, Any]]:
        """The last `limit` things said in this conversation, oldest first; empty for somebody never heard.

        Each has `id` (unlike all others here), `mine` (said by the person), `text`, `at` (aware UTC, ISO 8601) and,
        where there are any, `picture` and `choices` as in a message tree. What still waits is among them.
        """
        ...

    async def recall(self, key: str) -> dict[str, Any] | None:
        """A small shared value kept for all nodes (an access token, an uploaded picture's id), unless it expired."""
        ...

    async def keep(self, key: str, value: dict[str, Any], seconds: float) -> None:
        """Keep a small shared value for all nodes for so many seconds of machine time."""
        ...

    async def count(self, key: str, most: int, seconds: float) -> bool:
        """Count one under `key` for all nodes, for `seconds` from the first; False when `most` were counted already."""
        ...

    async def hold(self, name: str, seconds: float) -> bool:
        """Take a lease, or renew it, so that one process among all nodes does what `name` says; False while it is
        another's. It ends after so many seconds of machine time; 0 gives it back. Raises when the database is away.
        """
        ...


class Parcel(NamedTuple):
    """One delivery as the sender hands it to a channel: to whom, what, and what is known of the person's windows.

    `address` is the person's id on the channel account. `heard_at`/`heard_kind` describe the person's last act on that
    account, and `sent_since` how many active messages left since, for platforms that count them.
    """

    delivery: int
    address: str
    message: dict[str, Any]
    heard_at: datetime | None
    heard_kind: str
    sent_since: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one send ended.

    `sent`; `refused` (by a rule, never tried again; `reason` such as `window_closed`, `blocked`); `failed` (a fault
    that trying again cannot mend); `retry` (certainly not delivered: try after `wait` seconds); `slow` (the same, and
    the whole account must pause for `wait` seconds); `doubtful` (may have been delivered).
    """

    state: Literal["sent", "refused", "failed", "retry", "slow", "doubtful"]
    reason: str = ""
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class MassOutcome:
    """How one request for many ended: as an Outcome does, `sent` with the platform's number for it.

    `retry`, `slow` and `doubtful` are repeated under the same key, which the platform counts once.
    """

    state: Literal["sent", "refused", "failed", "retry", "slow", "doubtful"]
    reason: str = ""
    wait: float = 0.0
    platform: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """An address by which somebody new arrives here with a scene; `until` is when it stops working, None for never."""

    url: str
    until: datetime | None = None


class Channel(Protocol):
    """One account on one platform.

    `per_second` is how many requests may begin in any second on all nodes together, where the platform or the settings
    say so; `send` is the only thing it limits.
    """

    name: str
    account: str
    per_second: float

    def routes(self) -> list[BaseRoute]:
        """The HTTP routes on which the platform reaches us."""
        ...

    async def open(self) -> None:
        """Make what the first `send` would have to wait for, as far as that needs no platform; costs nothing again.

        Called before each turn to send is looked at, for turns that pass meanwhile must not be taken all at once.
        """
        ...

    async def send(self, parcel: Parcel) -> Outcome:
        """Send one message actively; never raises for what a platform can do."""
        ...

    async def link(self, scene: str) -> Link | None:
        """The address to share, or to draw as a QR code, that brings people here with `data["scene"]` set to `scene`.

        `r_CODE` is a referrer's, `p_CODE` a placement's. None when this account cannot give one now.
        """
        ...

    async def ways(self) -> frozenset[str]:
        """How a push can go out here: `bot` (to whoever follows), `service` (within a person's window and count),
        `mass` (one request for many), `page` (people fetch it)."""
        ...

    def pulls(self) -> bool:
        """True when people fetch what waits for them (web chat), so that the sender leaves this account alone."""
        ...

    async def start(self) -> None:
        """Anything to be said to the platform when the service is up. Must not delay readiness."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


def names() -> list[str]:
    """Every channel: the file's name is the channel's name and its table in config.toml."""
    return [found.name for found in pkgutil.iter_modules(__path__)]


def module(name: str) -> Any:
    """A channel's module, imported when needed; it offers `open_channel(account, settings, service) -> Channel`."""
    return importlib.import_module(f"{__name__}.{name}")
