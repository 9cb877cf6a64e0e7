"""The door of the console: finds the rule of a request, who asks, and lets in or not; then makes faults into pages.

Deny by default: what no rule names is not there, and a rule's right is asked before its function is called. Sessions
are looked up anew for every request, in the database that all nodes share, so that a revoked one ends at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit

import structlog
from starlette.datastructures import FormData, Headers
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import compile_path

from bot.channels import Busy
from bot.console import ENTERING, PUBLIC, ROOT, Rule, rules
from bot.console.locks import Locks
from bot.console.visit import Form, LoggedOut, Missing, Visit, Wrong
from bot.console.words import SHELL
from bot.site.edge import caller_network, from_our_page, language_asked
from campaigns import staff as staff_acts
from campaigns.desk import ActRefused, NotAllowed
from storage import staff
from storage.staff import Member, Session
from storage.store import DatabaseFault

if TYPE_CHECKING:
    from jinja2 import Environment

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # No other site learns an address, and yet a form's Origin is told to ourselves.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Robots-Tag": "noindex",
}
LANGUAGES = ("zh", "en")
LANGUAGE_COOKIE = "koukou_language"
LOGIN = f"{ROOT}/login"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_FIELDS_MAX = 1000
_FILES_MAX = 4
_BODY_SECONDS = 30
_SEEN_SECONDS = 60  # how finely a session's last use is kept
_log = structlog.get_logger(__name__)


class TooLarge(Exception):
    """A body beyond its rule's limit."""


class Console:
    """The console of one process; made with its first request."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.settings = app.settings.console
        self.secure: bool = app.settings.service.public_url.startswith("https://")
        self.locks = Locks()
        self._routes = _compiled(rules())

    @cached_property
    def templates(self) -> Environment:
        """The pages' templates."""
        from bot.console.rendering import environment

        return environment()

    async def answer(self, request: Request) -> Response:
        """Answer any request under /console."""
        visit = Visit(request, self, None, {}, self._language(request, None), "", self._source(request))
        try:
            response = await self._answer(visit)
        except Exception as fault:
            response = self._failed(visit, fault)
        for cookie in visit.cookies:
            cookie(response)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if self.secure:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        return response

    async def _answer(self, visit: Visit) -> Response:
        request = visit.request
        await self._recognise(visit)
        found = self._find(request.url.path)
        if found is None:
            raise Missing
        methods, visit.params = found
        method = "GET" if request.method == "HEAD" else request.method
        visit.rule = methods.get(method)
        if visit.rule is None:
            return self.trouble(visit, 405, allow=", ".join(sorted(methods)))
        refused = self._let_in(visit, visit.rule)
        if refused is not None:
            return refused
        if method == "POST":
            if not from_our_page(request, self.app.settings.service.public_url):
                return self.trouble(visit, 403, SHELL["foreign"])
            visit.form = Form(await _form(request, visit.rule.body))
            if not hmac.compare_digest(visit.form.text("csrf", 64, needed=False).encode(), visit.csrf.encode()):
                return self.trouble(visit, 403, SHELL["stale_next"], SHELL["stale"])
        return await visit.rule.answer(visit)

    def _let_in(self, visit: Visit, rule: Rule) -> Response | None:
        """The answer to somebody who may not enter here, or None."""
        if rule.right == PUBLIC:
            return None
        if visit.member is None:
            back = visit.request.url.path
            if visit.request.headers.get("sec-fetch-site") == "cross-site" and visit.request.method == "GET":
                # Browsers keep our cookies back on a link from elsewhere: asked again from our own page they send them.
                return visit.show("again.html", SHELL)
            if visit.request.method != "GET" or back == ROOT:
                return visit.go(LOGIN)
            query = visit.request.url.query
            return visit.go(f"{LOGIN}?next={quote(back + (f'?{query}' if query else ''), safe='')}")
        asked = self.asked(visit)
        if asked:
            return None if rule.right == ENTERING else visit.go(asked)
        if not rule.admits(visit.rights):
            from campaigns.rights import RIGHTS

            zh, en = RIGHTS[rule.right]
            why = (
                f"需要“{zh}”的权限（{rule.right}），请找管理员开通。",
                f"It takes the right to {en} ({rule.right}); ask an administrator.",
            )
            return self.trouble(visit, 403, why)
        return None

    # ---- who asks

    @property
    def session_cookie(self) -> str:
        """The name of the cookie; with https one that browsers accept from this host alone."""
        return "__Host-koukou" if self.secure else "koukou_staff"

    @property
    def visit_cookie(self) -> str:
        """The name of an anonymous visitor's, for the CSRF token of the log-in form."""
        return "__Host-koukou-visit" if self.secure else "koukou_visit"

    def cookie(self, seconds: int | None = None) -> dict[str, Any]:
        """How our cookies are set: out of scripts' reach and never sent from another site."""
        path = "/" if self.secure else ROOT
        return {"max_age": seconds, "path": path, "httponly": True, "samesite": "strict", "secure": self.secure}

    def csrf(self, token: str) -> str:
        """The CSRF token of a session or a visitor."""
        digest: str = self.app.vault.digest("csrf", "", token)
        return digest

    def recognise(self, connection: Any, token: str) -> tuple[Session, Member] | None:
        """The live session behind a cookie's token, and its member."""
        return staff.session(connection, digest_of(token), self.settings.idle_minutes * 60) if token else None

    def pending(self, session: Session, member: Member) -> str:
        """The page of what is still asked of somebody who logged in; empty when nothing is."""
        if not session.proved:
            return f"{ROOT}/code"
        if member.change_by is not None:
            return f"{ROOT}/password"
        return f"{ROOT}/second" if staff_acts.needs_second(member) and member.totp is None else ""

    def asked(self, visit: Visit) -> str:
        """The same of a visit."""
        return self.pending(visit.session, visit.member) if visit.session and visit.member else ""

    async def _recognise(self, visit: Visit) -> None:
        token = visit.request.cookies.get(self.session_cookie, "")
        if _TOKEN.fullmatch(token):
            found = await visit.read(self.recognise, token)
            if found:
                visit.token = token
                visit.session, visit.member = found
                visit.language = self._language(visit.request, visit.member)
                if (await visit.read(_age, visit.session)) > _SEEN_SECONDS:
                    number = visit.session.id
                    await self.app.writer.run(lambda connection: staff.seen(connection, number))
                return
        stranger = visit.request.cookies.get(self.visit_cookie, "")
        if not _TOKEN.fullmatch(stranger):
            stranger = secrets.token_urlsafe(32)
            visit.cookies.append(lambda response: response.set_cookie(self.visit_cookie, stranger, **self.cookie()))
        visit.token = stranger

    def _language(self, request: Request, member: Member | None) -> str:
        asked = request.query_params.get("lang", "")
        if asked in LANGUAGES:
            return asked
        if member:
            return member.language
        kept = request.cookies.get(LANGUAGE_COOKIE, "")
        fallback: str = self.app.settings.service.language
        return kept if kept in LANGUAGES else language_asked(request, LANGUAGES, fallback)

    def _source(self, request: Request) -> str:
        return caller_network(request, self.app.settings.service.trusted_proxies)

    def has_page(self, path: str) -> bool:
        """Whether this address can be opened."""
        found = self._find(path)
        return found is not None and "GET" in found[0]

    def _find(self, path: str) -> tuple[dict[str, Rule], dict[str, Any]] | None:
        path = path.rstrip("/") or "/"
        for pattern, converters, methods in self._routes:
            match = pattern.match(path)
            if match:
                try:
                    return methods, {name: converters[name].convert(value) for name, value in match.groupdict().items()}
                except ValueError:
                    continue
        return None

    # ---- what goes wrong

    def _failed(self, visit: Visit, fault: Exception) -> Response:
        match fault:
            case Missing():
                return self.trouble(visit, 404)
            case Wrong():
                return self.trouble(visit, 400, (fault.zh, fault.en))
            case NotAllowed():
                return self.trouble(visit, 403, (fault.zh, fault.en))
            case ActRefused():
                return self.trouble(visit, 409, (fault.zh, fault.en))
            case LoggedOut():
                return visit.go(LOGIN)
            case TooLarge():
                most = (visit.rule.body if visit.rule else 0) // 1024
                zh, en = (text.format(most=most) for text in SHELL["e413_next"])
                return self.trouble(visit, 413, (zh, en))
            case ClientDisconnect() | MultiPartException() | TimeoutError():
                return self.trouble(visit, 400, SHELL["stale_next"])
            case Busy() | DatabaseFault():
                _log.warning("console_busy", path=visit.request.url.path, fault=type(fault).__name__)
                return self.trouble(visit, 503)
        _log.error("console_failed", path=visit.request.url.path, exc_info=fault)
        return self.trouble(visit, 500)

    def trouble(
        self,
        visit: Visit,
        status: int,
        why: tuple[str, str] | None = None,
        title: tuple[str, str] | None = None,
        allow: str = "",
    ) -> Response:
        """A plain page: what went wrong, and what next."""
        headline = visit.tell(*(title or SHELL[f"e{status}"]))
        reason = visit.tell(*(why or SHELL.get(f"e{status}_next", ("", ""))))
        response = visit.show("trouble.html", SHELL, status, headline=headline, reason=reason)
        if allow:
            response.headers["Allow"] = allow
        return response


def digest_of(token: str) -> str:
    """What is stored of a session's token: it is random, so a plain hash tells nothing."""
    return hashlib.sha256(token.encode()).hexdigest()


def safe_next(path: str) -> str:
    """Where to go after logging in: an address of the console, whatever was asked for."""
    parts = urlsplit(path) if re.fullmatch(r"[\w/?=&.,:%+-]{1,400}", path) else urlsplit("")
    inside = parts.path == ROOT or parts.path.startswith(f"{ROOT}/")
    plain = not parts.scheme and not parts.netloc and "//" not in path and not parts.path.startswith(LOGIN)
    return path if inside and plain else ROOT


def _age(connection: Any, session: Session) -> float:
    from storage.store import machine_now
    from storage.tables import micros

    return (machine_now(connection) - micros(session.seen_at)) / 1_000_000


async def _form(request: Request, most: int) -> FormData:
    """The fields of a form of at most `most` bytes. Raises TooLarge, MultiPartException, Wrong for no form."""
    if int(_whole(request.headers.get("content-length", "0"))) > most:
        raise TooLarge
    body = bytearray()
    async with asyncio.timeout(_BODY_SECONDS):
        async for piece in request.stream():
            body += piece
            if len(body) > most:
                raise TooLarge
    if not body:
        return FormData()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _multipart(request.headers, bytes(body), most)
    if kind != "application/x-www-form-urlencoded":
        raise Wrong(*SHELL["stale_next"])
    try:
        text = body.decode("ascii", "replace")
        fields = parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=_FIELDS_MAX)
        return FormData([(name, value) for name, value in fields])
    except ValueError:
        raise Wrong(*SHELL["stale_next"]) from None


async def _multipart(headers: Headers, body: bytes, most: int) -> FormData:
    async def whole() -> Any:
        yield body

    parser = MultiPartParser(headers, whole(), max_files=_FILES_MAX, max_fields=_FIELDS_MAX, max_part_size=most)
    try:
        return await parser.parse()
    except (KeyError, UnicodeError, ValueError):
        raise Wrong(*SHELL["stale_next"]) from None


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _compiled(found: list[Rule]) -> list[tuple[re.Pattern[str], dict[str, Any], dict[str, Rule]]]:
    """The rules by path; fixed paths before those with parameters."""
    by_path: dict[str, dict[str, Rule]] = {}
    for rule in found:
        by_path.setdefault(rule.path, {})[rule.method] = rule
    compiled = []
    for path in sorted(by_path, key=lambda path: ("{" in path, path)):
        pattern, _, converters = compile_path(path)
        compiled.append((pattern, converters, by_path[path]))
    return compiled
