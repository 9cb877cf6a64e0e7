"""The web chat: the channel on our own page. It keeps guests by a cookie, refuses what a page of ours would not send,
and lets people fetch what waits for them. It refuses to know the page's looks, and what the answers mean.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import secrets
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from math import ceil
from typing import Any, Protocol
from urllib.parse import quote

from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from bot.channels import Busy, Link, Outcome, Parcel, Service
from bot.settings import WebSettings
from bot.site.edge import Buckets, caller_network, from_our_page, language_asked
from storage.incoming import Answer, Incoming

COOKIE = "koukou_guest"
COOKIE_SECONDS = 365 * 24 * 3600
BODY_BYTES = 8 * 1024
TEXT_CHARACTERS = 1000
WAIT_SECONDS = 25.0
HISTORY = 50

# code -> (status, Chinese, English); {wait} is "3 秒" or "3 seconds".
REFUSALS = {
    "not_json": (415, "请以 application/json 发送。", "Please send application/json."),
    "not_our_page": (403, "请在本站的聊天页面上发送消息。", "Please send messages from the chat on this site."),
    "too_large": (413, "消息太长了，请分成几条发送。", "That message is too long. Please send it in parts."),
    "too_slow": (408, "没有收到完整的消息，请再发一次。", "The message did not arrive whole. Please send it again."),
    "malformed": (400, "没看懂这条请求：格式不对。", "This request could not be read: its form is wrong."),
    "bad_text": (
        400,
        "消息里有无法显示的字符，请删去后再发。",
        "The message has characters that cannot be shown. Please remove them.",
    ),
    "empty": (400, "消息是空的，请先写点什么。", "The message is empty. Please write something first."),
    "too_fast": (
        429,
        "您发得有点快，请过 {wait}再发。",
        "You are sending faster than we can answer. Please try again in {wait}.",
    ),
    "too_many_guests": (
        429,
        "您所在的网络刚才新开了太多对话，请过 {wait}再试。",
        "Too many new chats were opened from your network just now. Please try again in {wait}.",
    ),
    "too_many_pages": (
        429,
        "聊天页面开得太多了，请关掉几个。",
        "The chat is open too many times. Please close some pages.",
    ),
    "busy": (
        503,
        "现在有点忙，消息稍后会自动重发。",
        "We are busy right now. The message will be sent again by itself.",
    ),
}


class WebService(Service, Protocol):
    """The house as the web chat needs it: the contract of every channel, and where our own pages stand."""

    public_url: str
    trusted_proxies: tuple[str, ...]
    language: str


class Refused(Exception):
    """A request that is answered with a named refusal; `wait` in seconds says when to try again."""

    def __init__(self, code: str, wait: float = 0.0) -> None:
        super().__init__(code)
        self.code, self.wait = code, wait


def open_channel(account: str, settings: WebSettings, service: WebService) -> WebChat:
    """The web chat of `account`."""
    return WebChat(account, settings, service)


class WebChat:
    """One chat on our own pages, under `/chat` (account `main`) or `/chat/<account>`."""

    name = "web"
    per_second = 0.0  # nothing is sent

    def __init__(self, account: str, settings: WebSettings, service: WebService) -> None:
        self.account = account
        self.path = "/chat" if account == "main" else f"/chat/{account}"
        self._service = service
        self._new_guests = Buckets(settings.guests_per_hour, 3600)
        self._messages = Buckets(settings.messages_per_10_seconds, 10)
        self._pages_per_guest = settings.pages_per_guest
        self._pages: Counter[str] = Counter()
        self._met: OrderedDict[str, None] = OrderedDict()
        self._closing = asyncio.Event()

    def routes(self) -> list[BaseRoute]:
        """The chat's four addresses, all JSON."""
        return [
            Route(f"{self.path}/open", self._guarded(self._open), methods=["POST"]),
            Route(f"{self.path}/send", self._guarded(self._send), methods=["POST"]),
            Route(f"{self.path}/waiting", self._guarded(self._waiting), methods=["GET"]),
            Route(f"{self.path}/history", self._guarded(self._history), methods=["GET"]),
        ]

    async def link(self, scene: str) -> Link | None:
        """`/r/CODE` for a referrer's scene, `/p/CODE` for a placement's: pages that lead to every channel."""
        kind, _, code = scene.partition("_")
        return Link(f"{self._service.public_url}/{kind}/{code}")

    async def open(self) -> None:
        """Nothing to make."""

    async def send(self, parcel: Parcel) -> Outcome:
        """Never asked for: people fetch what waits for them."""
        return Outcome("refused", "fetched_by_page")

    async def ways(self) -> frozenset[str]:
        """People fetch what waits for them."""
        return frozenset({"page"})

    def pulls(self) -> bool:
        """People fetch what waits for them."""
        return True

    async def start(self) -> None:
        """Nothing to say to anybody."""

    async def close(self) -> None:
        """Answer every page that waits, so that a shutdown need not wait for them."""
        self._closing.set()

    def _guarded(self, handle: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            try:
                if not from_our_page(request, self._service.public_url):
                    raise Refused("not_our_page")
                response = await handle(request)
            except Refused as refused:
                response = self._refusal(request, refused)
            except Busy:
                response = self._refusal(request, Refused("busy", 1))
            except ClientDisconnect:
                response = Response(status_code=400)
            if fresh := getattr(request.state, "fresh_guest", None):
                # Also on a refusal: the message comes again under the same guest, so that its key stays the same.
                self._set_cookie(response, fresh)
            response.headers.update({"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})
            response.headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
            return response

        return guarded

    async def _open(self, request: Request) -> Response:
        body = await _json_body(request, required=(), optional=("scene",))
        scene = body.get("scene", "")
        if scene and not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", scene):
            raise Refused("malformed")
        guest = await self._guest(request)
        self._check_rate(guest)
        data = {"scene": scene} if scene else {}
        answer = await self._hear(request, guest, "open", "follow", data=data)
        if scene and answer.repeated:
            # The guest came before: the code is a scan of its own. Asked again it has the same key, and no effect.
            answer = await self._hear(request, guest, f"scan:{scene}", "scan", data=data)
        return await self._reply(request, answer)

    async def _send(self, request: Request) -> Response:
        body = await _json_body(request, required=("key", "text"), optional=())
        if not re.fullmatch(r"[A-Za-z0-9-]{16,64}", body["key"]):
            raise Refused("malformed")
        text = body["text"].strip()
        if not text:
            raise Refused("empty")
        if len(text) > TEXT_CHARACTERS:
            raise Refused("too_large")
        guest = await self._guest(request)
        self._check_rate(guest)
        return await self._reply(request, await self._hear(request, guest, body["key"], "text", text))

    async def _waiting(self, request: Request) -> Response:
        after = request.query_params.get("after", "0")
        if not re.fullmatch(r"\d{1,18}", after, re.ASCII):
            raise Refused("malformed")
        guest = await self._met_guest(request)
        if guest is None:
            return JSONResponse({"answers": [], "guest": False})
        if self._pages[guest] >= self._pages_per_guest:
            raise Refused("too_many_pages", WAIT_SECONDS)
        self._pages[guest] += 1
        try:
            found = await self._until_gone(
                request, self._service.waiting(self.account, guest, int(after), WAIT_SECONDS)
            )
        finally:
            self._pages[guest] -= 1
            if not self._pages[guest]:
                del self._pages[guest]
        answers = [{"id": delivery} | _shown(message) for delivery, message in found or []]
        return JSONResponse({"answers": answers, "guest": True})

    async def _history(self, request: Request) -> Response:
        guest = await self._met_guest(request)
        if guest is None:
            return JSONResponse({"messages": [], "guest": False, "after": 0})
        # What waits of it is acknowledged with `after`, or it would be shown twice; a push is in it once it
        # was fetched.
        waiting = await self._service.waiting(self.account, guest, 0, 0.0, told=True)
        entries = await self._service.history(self.account, guest, HISTORY)
        messages = [{"id": e["id"], "mine": e["mine"], "at": e["at"]} | _shown(e) for e in entries]
        return JSONResponse({"messages": messages, "guest": True, "after": waiting[-1][0] if waiting else 0})

    async def _until_gone(self, request: Request, coming: Awaitable[Any]) -> Any:
        """What `coming` brings; None as soon as the page goes away or the service closes."""
        tasks = [asyncio.ensure_future(coming), *map(asyncio.ensure_future, (_gone(request), self._closing.wait()))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return tasks[0].result() if tasks[0].done() else None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _hear(
        self, request: Request, guest: str, key: str, kind: str, text: str = "", data: Mapping[str, Any] | None = None
    ) -> Answer:
        incoming = Incoming(
            channel="web",
            account=self.account,
            sender=guest,
            key=f"web:{self.account}:{guest}:{key}",
            kind=kind,
            at=self._service.now(),
            text=text,
            data=data or {},
            language=self._language(request),
        )
        answer = await self._service.hear(incoming)
        self._remember(guest)
        return answer

    async def _reply(self, request: Request, answer: Answer) -> Response:
        if await request.is_disconnected():
            self._service.release(answer.deliveries)
            raise ClientDisconnect
        answers = [
            {"id": delivery} | _shown(message)
            for delivery, message in zip(answer.deliveries, answer.messages, strict=True)
        ]
        words = "".join(message["text"] for message in answer.messages)
        language = _language_of(words) if words else self._language(request)

        async def settle() -> None:
            self._service.settled(answer.deliveries)

        return JSONResponse({"answers": answers, "language": language}, background=BackgroundTask(settle))

    async def _guest(self, request: Request) -> str:
        """The id of the guest who speaks, made now when there is none; Refused when too many are made."""
        token = _token(request)
        if token and await self._is_met(_sender(token)):
            return _sender(token)
        # A cookie that nobody was ever heard under may be made up: it counts as a new guest, or limits would be void.
        network = caller_network(request, self._service.trusted_proxies)
        if wait := self._new_guests.take(network):
            raise Refused("too_many_guests", wait)
        request.state.fresh_guest = token or secrets.token_hex(16)
        return _sender(request.state.fresh_guest)

    async def _met_guest(self, request: Request) -> str | None:
        token = _token(request)
        return _sender(token) if token and await self._is_met(_sender(token)) else None

    async def _is_met(self, guest: str) -> bool:
        if guest not in self._met and not await self._service.history(self.account, guest, 1):
            return False
        self._remember(guest)
        return True

    def _remember(self, guest: str) -> None:
        self._met[guest] = None
        self._met.move_to_end(guest)
        if len(self._met) > 50_000:
            self._met.popitem(last=False)

    def _check_rate(self, guest: str) -> None:
        if wait := self._messages.take(guest):
            raise Refused("too_fast", wait)

    def _set_cookie(self, response: Response, token: str) -> None:
        secure = self._service.public_url.startswith("https:")
        response.set_cookie(
            COOKIE, token, max_age=COOKIE_SECONDS, path="/", secure=secure, httponly=True, samesite="lax"
        )

    def _language(self, request: Request) -> str:
        return language_asked(request, ("zh", "en"), self._service.language)

    def _refusal(self, request: Request, refused: Refused) -> Response:
        status, chinese, english = REFUSALS[refused.code]
        language = self._language(request)
        sentence = (chinese if language == "zh" else english).format(wait=_duration(refused.wait, language))
        headers = {"Retry-After": str(ceil(refused.wait))} if refused.wait else {}
        body = {"error": refused.code, "message": sentence, "language": language}
        return JSONResponse(body, status, headers)


async def _json_body(request: Request, required: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, str]:
    """The request's flat JSON object of strings with just these keys; Refused for anything else."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused("not_json")
    raw = bytearray()
    try:
        async with asyncio.timeout(10):
            async for chunk in request.stream():
                raw += chunk
                if len(raw) > BODY_BYTES:
                    raise Refused("too_large")
    except TimeoutError as late:
        raise Refused("too_slow") from late
    try:
        body = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as fault:
        raise Refused("malformed") from fault
    if not isinstance(body, dict) or not set(required) <= body.keys() <= {*required, *optional}:
        raise Refused("malformed")
    if not all(isinstance(value, str) for value in body.values()):
        raise Refused("malformed")
    # NUL, which PostgreSQL cannot store, and halves of surrogate pairs, which no text has.
    if any(re.search("[\0\ud800-\udfff]", value) for value in body.values()):
        raise Refused("bad_text")
    return body


async def _gone(request: Request) -> None:
    """Return when the client has gone; a request without a body has nothing else to say."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _token(request: Request) -> str | None:
    token = request.cookies.get(COOKIE, "")
    return token if re.fullmatch(r"[0-9a-f]{32}", token) else None


def _sender(token: str) -> str:
    """The guest's id as the house knows it. The token itself is a secret of the browser and is stored nowhere."""
    return "g" + hashlib.sha256(f"web chat guest {token}".encode()).hexdigest()[:31]


def _shown(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message tree as the page draws it."""
    shown: dict[str, Any] = {"text": message["text"]}
    if picture := message.get("picture"):
        shown["picture"] = {"url": f"/pictures/{quote(picture['name'])}", "alt": picture["alt"]}
    if choices := message.get("choices"):
        shown["choices"] = [dict(c) for c in choices if re.match(r"https?://|/(?!/)", c.get("url") or "/")]
    return shown


def _language_of(text: str) -> str:
    return "zh" if re.search("[\u4e00-\u9fff]", text) else "en"


def _duration(seconds: float, language: str) -> str:
    if seconds <= 90:
        number = max(1, ceil(seconds))
        return f"{number} 秒" if language == "zh" else f"{number} second{'s' * (number > 1)}"
    number = ceil(seconds / 60)
    return f"{number} 分钟" if language == "zh" else f"{number} minutes"
