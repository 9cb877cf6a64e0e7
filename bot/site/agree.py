"""`/n/<account>`: the page on which WeChat asks whether service notices may come.

A yes is heard from WeChat's own event and never from this page, which only shows the button and knows nobody. Robots
and browsers outside of WeChat get words alone, and cost the platform no request.

Source: "JS-SDK instructions", open tag `wx-open-subscribe` (three templates at most).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from bot.site.edge import PAGE_HEADERS, language_asked
from bot.site.pages import NAMES, templates
from bot.site.view import SiteView, site_view
from content.plan.model import Plan

SCRIPT_HOST = "https://res.wx.qq.com"
SCRIPT = f"{SCRIPT_HOST}/open/js/jweixin-1.6.0.js"
# What WeChat's pages on open tags ask of sites with a policy, as we remember them [unverified].
FRAMES = "frame-src https://*.qq.com:* weixin:"
MOST = 3
# The tag's inside is drawn apart from the page, so its style cannot come from our files; the policy names its hash.
STYLE = (
    ".agree{width:100%;min-height:48px;padding:0 26px;border:0;border-radius:24px;background:#0b6b64;color:#fff;"
    "font-size:17px;font-weight:700}"
)
KINDS = {
    "friend_came": ("有朋友凭您的推荐码来了", "a friend came by your code"),
    "push": ("有新的活动消息", "there is news of the campaign"),
}
WORDS = {
    "zh": {
        "skip": "跳到正文",
        "title": "要不要用微信通知您",
        "lead": "您不在的时候，下面这些事可以用微信的服务通知告诉您：",
        "button": "去选择",
        "wait": "点按钮以后，由微信询问您。",
        "rules_title": "说清楚",
        "rules": (
            "免费，也没有奖励；同意不同意，活动都照样参加。",
            "同意一次，通知一次；还想要，就再来点一次。",
            "随时可以收回：在微信的“服务通知”里点右上角，选“拒收”；取消关注也就收回了。",
            "不同意，您自己的事也不会漏：下次您来说话时一起告诉您；活动消息不另行补发。",
        ),
        "yes": "好的，记下了：有消息时微信会通知您一次。可以关掉这个页面了。",
        "no": "好的，不通知。改主意了，再点按钮就行。",
        "failed": "这里打不开微信的询问。请用手机微信（8.0 或更新）重新打开这个页面；"
        "还不行就不用管它，下次您来说话时一起告诉您。",
        "plain": "这个按钮需要 JavaScript。请用手机微信打开这个页面。",
        "outside": "请在微信里打开",
        "outside_text": "只有在手机微信里才能选择。请把这个网址发到微信里（比如发给“文件传输助手”），再在微信里点开：",
        "later": "现在连不上微信",
        "later_text": "请过几分钟再打开这个页面。什么都没有改变；不选也不会漏，下次您来说话时一起告诉您。",
        "off": "这里没有要选择的",
        "off_text": "网址可能不完整，或者这个账号不发微信通知。有消息时，下次您来说话时一起告诉您。",
        "more": "看活动页",
    },
    "en": {
        "skip": "Skip to content",
        "title": "May WeChat notify you?",
        "lead": "While you are away, a service notice of WeChat can tell you that:",
        "button": "Choose",
        "wait": "After you tap the button, WeChat itself asks you.",
        "rules_title": "To be clear",
        "rules": (
            "It is free and brings no reward; yes or no, you take part all the same.",
            "One yes is one notice. If you want another, come back and tap again.",
            "You can take it back at any time: in WeChat's Service Notifications, at the top right, choose to refuse; "
            "unfollowing takes it back too.",
            "After a no nothing of your own is missed: you are told when you next write to us. News is not sent later.",
        ),
        "yes": "Noted: WeChat will notify you once when there is news. You can close this page.",
        "no": "All right, no notice. If you change your mind, tap the button again.",
        "failed": "WeChat's question cannot be opened here. Please open this page again in WeChat 8.0 or newer on a "
        "phone; if that does not help, leave it: you are told when you next write to us.",
        "plain": "The button needs JavaScript. Please open this page in WeChat on a phone.",
        "outside": "Please open this in WeChat",
        "outside_text": "You can choose inside WeChat on a phone only. Send this address to WeChat (say, to "
        "“File Transfer”) and tap it there:",
        "later": "WeChat cannot be reached now",
        "later_text": "Please open this page again in a few minutes. Nothing has changed, and without a choice nothing "
        "is missed: you are told when you next write to us.",
        "off": "There is nothing to choose here",
        "off_text": "The address may be incomplete, or this account sends no WeChat notices. You are told news when "
        "you next write to us.",
        "more": "See the campaign",
    },
}


def _policy() -> str:
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return (
        PAGE_HEADERS["Content-Security-Policy"]
        .replace("script-src 'self'", f"script-src 'self' {SCRIPT_HOST}")
        .replace("style-src 'self'", f"style-src 'self' 'sha256-{digest}'")
        + f"; {FRAMES}"
    )


HEADERS = PAGE_HEADERS | {
    "Vary": "Accept-Language, User-Agent",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
}
ASKING = HEADERS | {"Content-Security-Policy": _policy()}
_log = structlog.get_logger(__name__)


class AgreeService(Protocol):
    """The house as this page needs it."""

    language: str
    public_url: str
    held: bool


def agree_routes(service: AgreeService, plan: Callable[[], Plan], channels: Sequence[Any]) -> list[BaseRoute]:
    """The page of each account that may ask; of `channels` it takes those with `asking` and `sign`."""
    known = {channel.account: channel for channel in channels if getattr(channel, "asking", None)}

    async def agree(request: Request) -> Response:
        applied = plan()
        fallback = service.language if service.language in applied.languages else applied.languages[0]
        view = site_view(applied, language_asked(request, applied.languages, fallback))
        account = request.path_params["account"]
        channel = known.get(account)
        if channel is None:
            return _answer(view, account, "off", service.public_url)
        if not _in_wechat(request.headers.get("user-agent", "")):
            return _answer(view, account, "outside", service.public_url, channel.asking)
        query = request.scope["query_string"].decode("latin-1")
        here = f"{service.public_url}{request.scope['raw_path'].decode('latin-1')}" + (f"?{query}" if query else "")
        try:
            if service.held:
                raise ConnectionError("a held copy asks no platform")
            signed = await channel.sign(here)
        except Exception as fault:
            _log.warning("no_script_ticket", account=account, fault=str(fault))
            return _answer(view, account, "later", service.public_url, channel.asking)
        return _answer(view, account, "ask", service.public_url, channel.asking, signed)

    return [Route("/n/{account}", agree, methods=["GET"])]


def _in_wechat(browser: str) -> bool:
    """WeChat itself; WeCom, which has its name too, has no such tag."""
    return "MicroMessenger" in browser and "wxwork" not in browser


def _answer(
    view: SiteView, account: str, state: str, url: str, asking: Mapping[str, str] | None = None, signed: Any = None
) -> Response:
    asked = dict(list((asking or {}).items())[:MOST])
    place = f"/n/{quote(account, safe='')}"

    def switch(language: str) -> str:
        return f"{place}?" + urlencode({"lang": language})

    page = (
        templates()
        .get_template("agree.html")
        .render(
            view=view,
            words=WORDS[view.language],
            names=NAMES,
            switch=switch,
            state=state,
            here=f"{url}{switch(view.language)}",
            kinds=[KINDS[kind][view.language != "zh"] for kind in asked],
            asked=",".join(dict.fromkeys(asked.values())),
            signed=signed,
            script=SCRIPT,
            style=STYLE,
        )
    )
    status = {"off": 404, "later": 503}.get(state, 200)
    headers = (ASKING if state == "ask" else HEADERS) | ({"Retry-After": "60"} if state == "later" else {})
    return HTMLResponse(page, status, headers=headers)
