"""The platform's side: keys, tokens, quotas, faults on demand, the server, and the posting of callbacks.

Rules and numbers: docs/wechat.md.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Self
from urllib.parse import urlencode

from bot.played.wechat import calls, codes, mass, materials, notices, script
from bot.played.wechat.people import Person
from bot.played.wechat.wire import Request, Response, Server, Wire

_CHINA = timezone(timedelta(hours=8))
_DAY_QUOTAS = {
    "message/custom/send": 500_000,
    "ticket/getticket": 1_000_000,  # unverified
    "media/upload": 100_000,
    "menu/create": 1_000,
    "menu/get": 10_000,
    "menu/delete": 1_000,
    "user/get": 500,
    "user/info": 5_000_000,
    "user/info/batchget": 5_000_000,
    "qrcode/create": 100_000,
    "message/mass/send": 100,
    "message/mass/sendall": 100,
    "message/mass/preview": 100,
    "message/mass/delete": 10,
    "message/template/send": 100_000,
    "draft/add": 1_000,
    "material/add_material": 1_000,
    "tags/create": 1_000,
    "stable_token": 500_000,
    "token": 2_000,
}
_MINUTE_QUOTAS = {"stable_token": 10_000, "message/mass/send": 60, "message/mass/sendall": 60}
_CLEARS_A_MONTH = 10
_RETRIES = 3
_CALLS = calls.CALLS | codes.CALLS | mass.CALLS | materials.CALLS | notices.CALLS | script.CALLS


@dataclass(slots=True)
class Trouble:
    """What the next `times` calls of one path meet. With `accept` the call takes effect all the same."""

    path: str
    times: int
    code: int = 0
    status: int = 200
    delay: float = 0.0
    drop: bool = False
    accept: bool = False


@dataclass
class PlayedWeChat:
    """One official account on the platform. Use `start()` and `stop()`, or `with`.

    `kind` is `service` or `subscription`; `mode` is `safe`, `compatible` or `plain`; `clock` gives the platform's time,
    aware; `webhook` is where callbacks go; `deadline` is the seconds a callback may take, really five; a mass send is
    over after `mass_seconds`, and a clientmsgid asked about again within `key_rest_seconds` (a minute) gets 45066.
    """

    app_id: str = "wx5823bf96d3bd56c7"
    app_secret: str = "played-app-secret"
    token: str = "refbot_token_2026"
    aes_key: str = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
    mode: str = "safe"
    kind: str = "service"
    verified: bool = True
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    seed: int = 0
    webhook: str = "http://127.0.0.1:8000/wechat"
    deadline: float = 5.0
    name: str = "gh_2f4b8c1d0e9a"
    token_seconds: int = 7_200
    page_size: int = 10_000
    image_bytes: int = 2 * 1024 * 1024
    day_quotas: dict[str, int] = field(default_factory=lambda: dict(_DAY_QUOTAS))
    minute_quotas: dict[str, int] = field(default_factory=lambda: dict(_MINUTE_QUOTAS))
    mass_seconds: float = 0.0
    key_rest_seconds: float = 0.0
    strict_openids: bool = False
    content_first: bool = False

    def __post_init__(self) -> None:
        from wechatpy.crypto import WeChatCrypto

        self.people: dict[str, Person] = {}
        self.uploads: dict[str, calls.Upload] = {}
        self.codes: dict[str, codes.SceneCode] = {}  # by the address that is drawn
        self.masses: dict[int, mass.MassSend] = {}  # by msg_id
        self.monthly: Counter[tuple[str, str]] = Counter()  # mass sends received, by month and openid
        self.keys_asked: dict[str, datetime] = {}  # when a clientmsgid was last asked about
        self.drafts: dict[str, dict[str, Any]] = {}
        self.materials: dict[str, bytes] = {}
        self.inline: dict[str, bytes] = {}  # pictures inside of articles, by address
        self.tags: dict[int, str] = {}
        self.notices: dict[str, tuple[str, ...]] = {}  # subscription notices: the fields of each template
        self.templates: dict[str, tuple[str, ...]] = {}
        self._events: list[tuple[datetime, str]] = []
        self.menu: list[dict[str, Any]] = []
        self.tokens: list[calls.Token] = []
        self.ticket: calls.Token | None = None  # for scripts of pages
        self.forced: list[datetime] = []
        self.clears: list[datetime] = []
        self.asked: Counter[str] = Counter()  # calls by path, refused ones too
        self.faults: list[str] = []  # what the service did that the real platform would not take
        self.lock = threading.RLock()
        self.dice = random.Random(self.seed)
        self._used: Counter[tuple[str, str]] = Counter()
        self._troubles: list[Trouble] = []
        self._crypto = WeChatCrypto(self.token, self.aes_key, self.app_id)
        self._server = Server(self._handle)
        self._wires: dict[str, Wire] = {}
        self._serial = 7_570_000_000_000_000_000 + self.dice.randrange(10**9) * 1_000
        self.url = ""

    def start(self) -> str:
        """Serve the API. Returns scheme, host and port, for `api_url`."""
        self.url = self._server.start()
        return self.url

    def stop(self) -> None:
        """End the server."""
        self._server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def person(self, openid: str = "") -> Person:
        """Somebody on WeChat who does not follow yet; without `openid` a new one by the seed."""
        with self.lock:
            openid = openid or "o" + "".join(self.dice.choices("ABCDEFGHIJabcdefghij0123456789_-", k=27))
            return self.people.setdefault(openid, Person(self, openid))

    def fail(self, path: str, times: int = 1, **how: Any) -> None:
        """The next `times` calls of `path` (as `message/custom/send`) meet trouble: fields of Trouble."""
        with self.lock:
            self._troubles.append(Trouble(path, times, **how))

    def serial(self) -> int:
        """The next MsgId."""
        with self.lock:
            self._serial += 1
            return self._serial

    def _handle(self, request: Request) -> Response:
        path = request.path.removeprefix("/cgi-bin/")
        with self.lock:
            self.asked[path] += 1
            trouble = next((t for t in self._troubles if t.path == path and t.times > 0), None)
            if trouble is None:
                return _json(self._answer(path, request))
            trouble.times -= 1
            answer = self._answer(path, request) if trouble.accept else calls.error(trouble.code or -1)
        if trouble.status != 200:
            return Response(trouble.status, b"<html>Bad Gateway</html>", trouble.delay)
        body = _json(answer).body
        return Response(200, body, trouble.delay, trouble.drop)

    def _answer(self, path: str, request: Request) -> dict[str, Any]:
        if path == "clear_quota":
            return self._clear_quota(request)
        call = _CALLS.get(path)
        if call is None:
            return calls.error(40066)
        if path not in ("stable_token", "token") and (code := self._token_code(request.query)):
            return calls.error(code)
        if code := self._spend(path):
            return calls.error(code)
        if not calls.allowed(path, self.kind, self.verified):
            return calls.error(48001)
        return call(self, request)

    def _token_code(self, query: dict[str, str]) -> int:
        value = query.get("access_token", "")
        if not value:
            return 41001
        known = next((token for token in self.tokens if token.value == value), None)
        if known is None:
            return 40001
        return 42001 if self.clock() >= known.until else 0

    def _spend(self, path: str) -> int:
        """Count one call; the error code when a quota is used up. Days turn at midnight in China."""
        local = self.clock().astimezone(_CHINA)
        day, minute = (path, local.strftime("%F")), (path, local.strftime("%F %R"))
        if self._used[minute] >= self.minute_quotas.get(path, 10**9):
            return 45011
        if self._used[day] >= self.day_quotas.get(path, 10**9):
            return 45009
        self._used[day] += 1
        self._used[minute] += 1
        return 0

    def _clear_quota(self, request: Request) -> dict[str, Any]:
        if code := self._token_code(request.query):
            return calls.error(code)
        month = self.clock().astimezone(_CHINA).strftime("%Y-%m")
        if sum(at.astimezone(_CHINA).strftime("%Y-%m") == month for at in self.clears) >= _CLEARS_A_MONTH:
            return calls.error(48006)
        self.clears.append(self.clock())
        self._used.clear()
        return calls.error(0)

    async def deliver(self, xml: str) -> bytes:
        """Seal, sign and post one callback once. Returns the opened reply, empty for `success`.

        Raises OSError, IncompleteReadError or TimeoutError when there was no answer, ValueError when it was bad.
        """
        query, body = self.sealed(xml)
        async with asyncio.timeout(self.deadline):
            status, answer = await self._wire().exchange("POST", query, body)
        if status != 200:
            raise ConnectionError(f"HTTP {status}: {answer[:80]!r}")
        return self.opened(answer)

    async def push(self, xml: str) -> bytes | None:
        """Deliver as the platform does, up to three more times without an answer in time; None when none ever came."""
        for _ in range(1 + _RETRIES):
            try:
                return await self.deliver(xml)
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                continue
            except ValueError as error:
                self.faults.append(str(error))
                return None
        return None

    def later(self, xml: str, seconds: float = 0.0) -> None:
        """Have `tell` say so, no sooner than in so many seconds by the platform's clock."""
        self._events.append((self.clock() + timedelta(seconds=seconds), xml))

    async def tell(self) -> int:
        """Deliver the results of jobs and notices that are due, oldest first. Returns how many were answered."""
        now = self.clock()
        with self.lock:
            due = [event for event in self._events if event[0] <= now]
            self._events = [event for event in self._events if event[0] > now]
        return sum([await self.push(xml) is not None for _, xml in sorted(due)])

    async def handshake(self) -> bool:
        """The GET by which the platform verifies an address; True when the echo came back unchanged."""
        timestamp, nonce = str(int(self.clock().timestamp())), str(self.dice.getrandbits(32))
        echo = str(self.dice.getrandbits(62))
        signature = self._sign(timestamp, nonce)
        query = urlencode({"signature": signature, "timestamp": timestamp, "nonce": nonce, "echostr": echo})
        status, body = await self._wire().exchange("GET", query)
        return status == 200 and body == echo.encode()

    def sealed(self, xml: str) -> tuple[str, bytes]:
        """Query and body of a callback that says `xml` (`<xml>…</xml>`), in the account's mode."""
        timestamp, nonce = str(int(self.clock().timestamp())), str(self.dice.getrandbits(32))
        query = {"signature": self._sign(timestamp, nonce), "timestamp": timestamp, "nonce": nonce}
        if self.mode == "plain":
            return urlencode(query), xml.encode()
        envelope = self._crypto.encrypt_message(xml, nonce, timestamp)
        encrypted = envelope.split("<Encrypt><![CDATA[", 1)[1].split("]]>", 1)[0]
        signature = envelope.split("<MsgSignature><![CDATA[", 1)[1].split("]]>", 1)[0]
        part = f"<Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
        shown = (
            f"<xml><ToUserName><![CDATA[{self.name}]]></ToUserName>" if self.mode == "safe" else xml[: -len("</xml>")]
        )
        return urlencode(query | {"encrypt_type": "aes", "msg_signature": signature}), (shown + part).encode()

    def opened(self, answer: bytes) -> bytes:
        """The reply inside `answer`, empty for `success`. Raises ValueError when WeChat would not take it."""
        if answer in (b"", b"success"):
            return b""
        if self.mode == "plain" or (self.mode == "compatible" and b"<Encrypt>" not in answer):
            return answer
        fields = calls.read_reply(answer)
        try:
            opened = self._crypto.decrypt_message(answer, fields["MsgSignature"], fields["TimeStamp"], fields["Nonce"])
        except Exception as error:
            raise ValueError(f"the reply cannot be opened: {error!r}") from error
        return str(opened).encode()

    def _sign(self, *parts: str) -> str:
        return hashlib.sha1("".join(sorted((self.token, *parts))).encode()).hexdigest()

    def _wire(self) -> Wire:
        return self._wires.setdefault(self.webhook, Wire(self.webhook))


def _json(answer: dict[str, Any]) -> Response:
    return Response(200, json.dumps(answer, ensure_ascii=False).encode())
