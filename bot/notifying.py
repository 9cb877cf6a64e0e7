"""Takes a notice whose reply was refused along the other ways, in the order of `campaigns/notices.py`; and a push that
goes as a subscription notice.

Promises that each way is written down in a commit right before its request, that the next is tried only after a
certain refusal, and that nothing in doubt is sent a second time unless its receiver knows our key.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol, TypeVar

import structlog

from bot.channels import Outcome, Parcel
from bot.sender import BEGIN_SECONDS
from bot.settings import NoticeTemplates
from bot.sms import Provider
from campaigns import notices as rules
from content.articles import headline
from content.library import Library
from storage import deliveries, notices, profiles, rates
from storage.deliveries import Claimed
from storage.notices import Home, UnderWay
from storage.store import machine_now
from storage.tables import instant, micros
from storage.vault import Vault

SETTLED_AT_ONCE = 200
_RATE_TRIES, _RATE_PAUSE = 20, 0.1
_NOT_SENT = ("refused", "failed")

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class Run(Protocol):
    """Executes a job in a transaction of its own in the process's writer."""

    def __call__(self, job: Callable[[Any], T], /) -> Awaitable[T]: ...


class Notifying:
    """One per process. `templates` are those of `[channels.wechat.notices]`, by account and kind of notice."""

    def __init__(
        self,
        run: Run,
        channels: Iterable[Any],
        templates: Mapping[str, Mapping[str, NoticeTemplates]],
        sms: Provider | None,
        vault: Vault,
        library: Callable[[], Library],
        now: Callable[[], datetime],
    ) -> None:
        self._run, self._vault, self._library, self._now = run, vault, library, now
        self._channels = {f"{channel.name}:{channel.account}": channel for channel in channels if not channel.pulls()}
        self._templates, self._sms = templates, sms

    async def step(self) -> int:
        """Settle notices whose deliveries ended; returns how many."""
        now = self._now()
        return await self._run(lambda connection: notices.settle(connection, micros(now), SETTLED_AT_ONCE))

    async def further(self, delivery: int, account: str, refused: Outcome) -> Outcome:
        """What became of a delivery on `account` whose reply ended `refused` or `failed`; the same for what is no
        notice. A notice for which no other way is open stays refused, and is told with the next answer."""
        notice = await self._run(lambda connection: notices.under_way(connection, delivery))
        if notice is None:
            return refused
        if notice.resent and notice.way != "sms":
            return Outcome("doubtful", refused.reason)
        for way, home in self._ways(notice):
            ended = await self._try(notice, way, home)
            if ended is None or ended.state in _NOT_SENT:
                continue
            if ended.state == "slow" and (home is None or home.name != account):
                return Outcome("retry", ended.reason, ended.wait)  # this account need not pause for another's sake
            return ended
        if notice.resent:
            return Outcome("doubtful", refused.reason)
        # Refused, not failed: so that it waits for an answer, whatever the last fault was.
        return Outcome("refused", refused.reason)

    async def pushed(self, row: Claimed) -> Outcome | None:
        """Send a push as the subscription notice that its person agreed to; its first line, or its title, is the text.

        The yes is used up in a commit before the request, so that one is one notice; a tap opens the campaign page.
        None when something forbade it at that moment, or it took too long: to be claimed anew.
        """
        known, library = self._templates.get(row.account, {}).get(rules.PUSH), self._library()
        if known is None or not known.subscription:
            return Outcome("refused", "no_capability")
        template, identity, began = known.subscription, row.identity, time.monotonic()

        def begin(connection: Any) -> bool | None:
            lawful = deliveries.may_begin(connection, row.id, row.lease)
            return notices.spend(connection, identity, template) if lawful else None

        spent = await self._run(begin)
        if spent is None:
            return None
        if not spent:
            return Outcome("refused", "yes_used_up")
        if time.monotonic() - began > BEGIN_SECONDS:
            await self._run(lambda connection: notices.give_back(connection, identity, template, "late"))
            return None
        shown = {"text": headline(str(row.message.get("text", ""))), "day": _day(library, self._now())}
        filled = {name: value.format_map(shown) for name, value in known.subscription_fields.items()}
        page = library.fill("{address}", library.plan.languages[0])
        ended: Outcome = await self._channels[row.account].subscription_notice(row.address, template, filled, page)
        if ended.state in (*_NOT_SENT, "retry", "slow"):
            await self._run(lambda connection: notices.give_back(connection, identity, template, ended.reason))
        return ended

    def _ways(self, notice: UnderWay) -> Iterator[tuple[str, Home | None]]:
        """Each way that may be open beyond the reply that was refused, in order."""
        for way in rules.WAYS:
            if way == "sms" and self._sms and not notice.test:
                yield way, None
            if notice.resent or notice.test:
                continue
            for home in notice.homes:
                mine = home is notice.homes[0]
                if way == "reply" and not mine and home.name in self._channels:
                    yield way, home
                if way in ("template", "subscription") and self._template(notice, way, home):
                    yield way, home

    def _template(self, notice: UnderWay, way: str, home: Home) -> tuple[str, Mapping[str, str]] | None:
        """The template that says this kind of notice on a home's account, with its fields."""
        known = self._templates.get(home.name, {}).get(notice.kind)
        if known is None or home.name not in self._channels:
            return None
        name = known.template if way == "template" else known.subscription
        fields = known.template_fields if way == "template" else known.subscription_fields
        return (name, fields) if name else None

    async def _try(self, notice: UnderWay, way: str, home: Home | None) -> Outcome | None:
        """One way; None when it is not open after all."""
        number = ""
        if way == "sms":
            number = await self._run(lambda connection: _number(connection, self._vault, notice.subscriber))
            if not number:
                return None
        found = self._template(notice, way, home) if home and way != "reply" else None
        template, fields = found or ("", {})
        blocked = await self._begin(notice, way, home, template)
        if blocked == "no_consent":
            return None
        if blocked:
            return Outcome("slow", blocked, 1.0)
        ended = await self._send(notice, way, home, template, fields, number)
        identity = home.identity if home else 0
        if ended.state in (*_NOT_SENT, "retry", "slow"):
            reason = ended.reason
            if ended.state == "failed":
                _log.warning("notice_failed", way=way, kind=notice.kind, reason=reason)
            if not (way == "sms" and notice.resent):
                await self._run(lambda c: notices.take_back(c, notice.id, way, identity, template, reason))
            return ended
        return Outcome(ended.state, way if ended.state == "sent" else f"{way}_{ended.reason}")

    async def _begin(self, notice: UnderWay, way: str, home: Home | None, template: str) -> str:
        account = home.name if home else "sms:main"
        limited: Any = self._channels[home.name] if home else self._sms

        def begin(connection: Any) -> str:
            if not rates.take(connection, account, limited.per_second, 1, machine_now(connection)):
                return "rate"
            return notices.begin(connection, notice.id, way, home.identity if home else 0, template)

        for _ in range(_RATE_TRIES):
            blocked = await self._run(begin)
            if blocked != "rate":
                return blocked
            await asyncio.sleep(_RATE_PAUSE)
        return "rate"

    async def _send(
        self, notice: UnderWay, way: str, home: Home | None, template: str, fields: Mapping[str, str], number: str
    ) -> Outcome:
        library = self._library()
        text = rules.text_of(library, notice.language, notice.phrase, notice.data)
        if home is None:
            assert self._sms
            return await self._sms.send(f"koukou-{notice.id}", number, text)
        channel = self._channels[home.name]
        if way == "reply":
            heard = None if home.heard_at is None else instant(home.heard_at)
            parcel = Parcel(notice.id, home.address, notice.message, heard, home.heard_kind, home.sent_since)
            told: Outcome = await channel.send(parcel)
            return told
        shown = {**notice.data, "text": text, "day": _day(library, instant(notice.at))}
        filled = {name: value.format_map(shown) for name, value in fields.items()}
        if way == "template":
            told = await channel.template_message(home.address, template, filled, "service")
        else:
            told = await channel.subscription_notice(home.address, template, filled)
        return told


def _day(library: Library, moment: datetime) -> str:
    return moment.astimezone(library.plan.zone).date().isoformat()


def _number(connection: Any, vault: Vault, subscriber: int) -> str:
    """The person's number, decrypted for this one message; empty unless they gave it and agreed to be written to."""
    profile = profiles.read(connection, vault, subscriber)
    return str(profile.get(rules.NUMBER) or "") if profile.get(rules.NUMBER_AGREED) else ""
