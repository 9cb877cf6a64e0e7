"""One request of the console as a page sees it: who asks, what they sent, and how to read, act and answer.

It checks nothing by itself: who may come here was decided at the door, and is asked again in every act's transaction.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, unquote
from zoneinfo import ZoneInfo

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from bot.console import ENTERING, ROOT, Rule, rules
from bot.console.words import SHELL, Pairs, Words
from campaigns import rights as rules_of
from campaigns import staff as staff_acts
from campaigns.desk import Desk
from storage.staff import Member, Session

if TYPE_CHECKING:
    from bot.console.door import Console

T = TypeVar("T")
SAID_COOKIE = "koukou_said"


class Missing(Exception):
    """There is no such thing: 404."""


class Wrong(Exception):
    """What was sent cannot be used: 400; `zh` and `en` say why and what next."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh, self.en = zh, en


class LoggedOut(Exception):
    """The session ended while the request was on its way."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a form sent. Texts are trimmed, without control characters other than line breaks."""

    sent: FormData = field(default_factory=FormData)

    def text(self, name: str, most: int = 200, *, needed: bool = True, label: tuple[str, str] | None = None) -> str:
        """A text field of at most `most` characters. Raises Wrong, naming it by `label`, when missing or longer."""
        value = self.sent.get(name, "")
        clean = _clean(value) if isinstance(value, str) else ""
        zh, en = label or (name, name)
        if needed and not clean:
            raise Wrong(SHELL["needed"][0].format(field=zh), SHELL["needed"][1].format(field=en))
        if len(clean) > most:
            raise Wrong(
                *(text.format(field=what, most=most) for text, what in zip(SHELL["too_long"], (zh, en), strict=True))
            )
        return clean

    def secret(self, name: str, most: int = 256) -> str:
        """A password exactly as typed; empty when missing or too long to be one."""
        value = self.sent.get(name, "")
        return value if isinstance(value, str) and len(value) <= most else ""

    def whole(self, name: str, *, label: tuple[str, str] | None = None) -> int:
        """A whole number of at most 18 digits. Raises Wrong."""
        value = self.text(name, 20, label=label)
        if not value.lstrip("-").isascii() or not value.lstrip("-").isdigit() or len(value) > 19:
            zh, en = label or (name, name)
            raise Wrong(SHELL["no_number"][0].format(field=zh), SHELL["no_number"][1].format(field=en))
        return int(value)

    def many(self, name: str, most: int = 50) -> list[str]:
        """Every value of a field that may be chosen more than once."""
        return [_clean(value)[:200] for value in self.sent.getlist(name)[:most] if isinstance(value, str)]

    def ticked(self, name: str) -> bool:
        """Whether a box is ticked."""
        return bool(self.sent.get(name))

    async def file(self, name: str) -> bytes:
        """The bytes of an uploaded file, empty when none was chosen; the form's `body` limits them."""
        value = self.sent.get(name)
        return await value.read() if isinstance(value, UploadFile) else b""


@dataclass
class Visit:
    """One request. `member` and `session` are None for somebody who is not logged in."""

    request: Request
    console: Console
    rule: Rule | None
    params: Mapping[str, Any]
    language: str
    token: str  # what the CSRF token is made of: the session's, or an anonymous visitor's
    source: str  # the network that asks, as limits count it
    member: Member | None = None
    session: Session | None = None
    form: Form = field(default_factory=Form)
    cookies: list[Callable[[Response], None]] = field(default_factory=list)

    @property
    def app(self) -> Any:
        """The serving process (bot.app.App)."""
        return self.console.app

    @property
    def me(self) -> Member:
        """The member; there is one wherever a rule asks for more than PUBLIC."""
        assert self.member
        return self.member

    @cached_property
    def rights(self) -> frozenset[str]:
        """What the member may do."""
        return rules_of.of(self.member.roles) if self.member else frozenset()

    def may(self, right: str) -> bool:
        """Whether the member has this right. Raises KeyError for one that nobody listed."""
        rules_of.RIGHTS[right]
        return right in self.rights

    @property
    def now(self) -> datetime:
        """Campaign time."""
        instant: datetime = self.app.now()
        return instant

    @cached_property
    def zone(self) -> tzinfo:
        """Where the installation is."""
        return ZoneInfo(self.app.settings.service.timezone)

    @property
    def here(self) -> str:
        """The page to come back to: this one, or from a form's answer or from nowhere the nearest one above it."""
        path = self.request.url.path
        while path.startswith(f"{ROOT}/") and not self.console.has_page(path):
            path = path.rpartition("/")[0]
        return path

    @property
    def csrf(self) -> str:
        """What forms carry, so that no other site can send them."""
        return self.console.csrf(self.token)

    def query(self, name: str, most: int = 200) -> str:
        """A value of the address, cut to `most` characters."""
        return _clean(self.request.query_params.get(name, ""))[:most]

    def number(self, name: str) -> int:
        """A number in the path. Raises Missing for one that no row can have."""
        value = int(self.params[name])
        if value >= 2**63:
            raise Missing
        return value

    def desk(self, connection: Any, why: str = "") -> Desk:
        """The member's Desk on a connection."""
        return Desk(connection, staff_acts.actor(self.me.id), self.rights, self.now, why, self.me.branch)

    async def read(self, query: Callable[..., T], *arguments: Any) -> T:
        """`query(connection, *arguments)` in one snapshot, in a thread."""
        store = self.app.store

        def work() -> T:
            with store.read() as connection:
                return query(connection, *arguments)

        return await asyncio.to_thread(work)

    async def act(self, work: Callable[[Desk], T], why: str = "") -> T:
        """`work(desk)` in one writing transaction in which session, member and rights are read again.

        Raises what it raises, ActRefused above all, and LoggedOut when the session has ended meanwhile.
        """

        def transaction(connection: Any) -> T:
            found = self.console.recognise(connection, self.token)
            if found is None:
                raise LoggedOut
            session, member = found
            if self.rule and self.rule.right != ENTERING and self.console.pending(session, member):
                raise LoggedOut
            desk = Desk(
                connection, staff_acts.actor(member.id), rules_of.of(member.roles), self.now, why, member.branch
            )
            if self.rule and self.rule.right in rules_of.RIGHTS:
                desk.require(self.rule.right)
            return work(desk)

        result: T = await self.app.writer.run(transaction)
        return result

    def show(self, template: str, pairs: Pairs, status: int = 200, **context: Any) -> Response:
        """A page from a template, in the member's language."""
        text = self.console.templates.get_template(template).render(
            **{"visit": self, "w": Words(pairs, self.language), "s": Words(SHELL, self.language)},
            **{"menu": self._menu(), "said": self._said(), "refused": None, **context},
        )
        return HTMLResponse(text, status)

    def go(self, path: str, said: tuple[str, str] | None = None) -> Response:
        """Send the browser on to a page of ours, which shows `said` once."""
        response = Response(status_code=303, headers={"Location": quote(path, safe="/:?=&%#+,-._~")})
        if said:
            text = quote(json.dumps(said, ensure_ascii=False))
            response.set_cookie(SAID_COOKIE, text, **self.console.cookie(60))
        return response

    def tell(self, zh: str, en: str) -> str:
        """One of two sentences."""
        return zh if self.language == "zh" else en

    def local(self, instant: datetime) -> datetime:
        """An instant on the installation's clocks."""
        return instant.astimezone(self.zone)

    def when(self, instant: datetime | None) -> str:
        """An instant as people read it, to the minute."""
        return self.local(instant).strftime("%Y-%m-%d %H:%M") if instant else "–"

    def _menu(self) -> list[tuple[str, str, bool]]:
        if self.member is None or self.console.asked(self):
            return []
        here = self.request.url.path
        place = 0 if self.language == "zh" else 1
        open_ = [rule for rule in rules() if rule.menu and rule.admits(self.rights)]
        return [
            (rule.path, rule.menu[place], here == rule.path or here.startswith(f"{rule.path}/"))
            for rule in sorted(open_, key=lambda rule: (rule.order, rule.path))
            if rule.menu
        ]

    def _said(self) -> str:
        """What the last act wanted said here; shown once."""
        raw = self.request.cookies.get(SAID_COOKIE)
        if not raw:
            return ""
        self.cookies.append(lambda response: response.delete_cookie(SAID_COOKIE, path="/console"))
        try:
            zh, en = json.loads(unquote(raw))
            return str(zh if self.language == "zh" else en)[:400]
        except (ValueError, TypeError):
            return ""


def _clean(text: str) -> str:
    kept = "".join(letter for letter in text.replace("\r\n", "\n") if letter >= " " or letter in "\n\t")
    return kept.encode("utf-8", "replace").decode().replace("\x7f", "").strip()
