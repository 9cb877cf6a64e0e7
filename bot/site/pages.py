"""The public pages: the campaign page with the chat on it, its styles and scripts, and the plan's pictures.

They show the applied plan to anybody; they know no subscriber.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import cache
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from bot.pictures import Pictures, is_drawn
from bot.site.edge import PAGE_HEADERS, Buckets, caller_network, language_asked
from bot.site.view import SiteView, site_view
from content.plan.model import Plan

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent
NAMES = {"zh": "中文", "en": "English"}
PICTURE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif", "image/svg+xml")
DRAWINGS_A_MINUTE = 120  # by network; one may stand for many phones

WORDS = {
    "zh": {
        "skip": "跳到正文",
        "sections": "本页内容",
        "offers": "活动优惠",
        "apply": "如何办理",
        "rules": "活动规则",
        "privacy": "隐私说明",
        "ask": "在线咨询",
        "how": "如何办理",
        "start": "在聊天里办理",
        "apply_word": "办理",
        "assistant": "{product}小助手",
        "loading": "正在打开…",
        "welcome": "您好！想了解什么，直接问，或点一下：",
        "plain": "聊天窗口正在打开。如果一直打不开，请在浏览器里允许 JavaScript。",
        "starters": {"每日签到": "签到", "我的积分": "积分", "能做什么": "帮助"},
        "message": "输入消息",
        "hint": "输入您的问题",
        "send": "发送",
    },
    "en": {
        "skip": "Skip to content",
        "sections": "On this page",
        "offers": "Offers",
        "apply": "How to apply",
        "rules": "Rules",
        "privacy": "Privacy",
        "ask": "Ask us",
        "how": "How to apply",
        "start": "Apply in the chat",
        "apply_word": "apply",
        "assistant": "{product} assistant",
        "loading": "Opening…",
        "welcome": "Hello! Ask anything, or tap one of these:",
        "plain": "The chat is opening. If it does not appear, please allow JavaScript in your browser.",
        "starters": {"Check in": "checkin", "My points": "points", "What can you do?": "help"},
        "message": "Your message",
        "hint": "Type your question",
        "send": "Send",
    },
}
# What the script says by itself.
CHAT_WORDS = {
    "zh": {
        "online": "在线",
        "reconnecting": "正在重连…",
        "resending": "等待重发",
        "later": "稍后自动重发",
        "you": "您说：",
        "us": "小助手说：",
    },
    "en": {
        "online": "Online",
        "reconnecting": "Reconnecting…",
        "resending": "Waiting to be sent again",
        "later": "Will be sent in a moment",
        "you": "You said: ",
        "us": "Assistant said: ",
    },
}


class SiteService(Protocol):
    """The house as the public pages need it."""

    language: str
    trusted_proxies: tuple[str, ...]
    pictures: Pictures

    async def picture(self, name: str) -> tuple[bytes, str] | None:
        """Bytes and media type of a picture of the applied plan, or None."""
        ...


def site_routes(service: SiteService, plan: Callable[[], Plan], chat: str = "") -> list[BaseRoute]:
    """The public addresses. `plan` gives the applied plan; `chat` is the path of the web chat, empty when it is off."""

    async def campaign(request: Request) -> Response:
        applied = plan()
        fallback = service.language if service.language in applied.languages else applied.languages[0]
        view = site_view(applied, language_asked(request, applied.languages, fallback))
        return HTMLResponse(page(view, chat, _scene(request)), headers=PAGE_HEADERS | {"Vary": "Accept-Language"})

    drawings = Buckets(DRAWINGS_A_MINUTE, 60)

    async def picture(request: Request) -> Response:
        name = request.path_params["name"]
        # Anybody may ask for what is drawn; the plan's own pictures cost nothing.
        if is_drawn(name):
            wait = drawings.take(caller_network(request, service.trusted_proxies))
            if wait or service.pictures.busy:
                return Response(status_code=429 if wait else 503, headers={"Retry-After": str(ceil(wait) or 5)})
        found = await service.picture(name)
        if found is None or found[1] not in PICTURE_TYPES:
            return Response(status_code=404, headers={"X-Content-Type-Options": "nosniff"})
        # A drawing may carry scripts: opened by itself it must not run any.
        guard = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}
        return _cached(request, *found, "public, max-age=300", guard)

    async def static(request: Request) -> Response:
        found = _static().get(request.path_params["name"])
        if found is None:
            return Response(status_code=404, headers={"X-Content-Type-Options": "nosniff"})
        current = request.query_params.get("v") == found[2]
        return _cached(request, *found[:2], "public, max-age=31536000, immutable" if current else "no-cache", {})

    return [
        Route("/", campaign, methods=["GET"]),
        Route("/pictures/{name:path}", picture, methods=["GET"]),
        Route("/static/{name}", static, methods=["GET"]),
    ]


def page(view: SiteView, chat: str, scene: str = "") -> str:
    """The campaign page as HTML; `scene` is the code by which somebody came."""

    def switch(language: str) -> str:
        return "/?" + urlencode({"lang": language} | ({"c": scene} if scene else {}))

    return (
        templates()
        .get_template("page.html")
        .render(
            view=view,
            chat=chat,
            scene=scene,
            words=WORDS[view.language],
            chat_words=CHAT_WORDS[view.language],
            names=NAMES,
            switch=switch,
        )
    )


def _scene(request: Request) -> str:
    code = request.query_params.get("c", "")
    return code if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", code) else ""


def _cached(request: Request, body: bytes, media_type: str, keep: str, more: dict[str, str]) -> Response:
    """`body`, or 304 when the browser has just that."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": keep, "X-Content-Type-Options": "nosniff"} | more
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)


@cache
def _static() -> dict[str, tuple[bytes, str, str]]:
    """Our own static files by name: bytes, media type and version."""
    types = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    files = {path: path.read_bytes() for path in (HERE / "static").iterdir() if path.suffix in types}
    return {
        path.name: (body, types[path.suffix], hashlib.sha256(body).hexdigest()[:12]) for path, body in files.items()
    }


def _static_url(name: str) -> str:
    return f"/static/{name}?v={_static()[name][2]}"


@cache
def templates() -> Environment:
    """The pages' templates."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # the first page may wait; readiness may not

    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["static"] = _static_url
    # A headline breaks between its phrases and not inside a Chinese word.
    environment.globals["phrases"] = lambda title: re.findall(r"[^，。：！？]+[，。：！？]*", title)
    return environment
