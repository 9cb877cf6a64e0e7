"""`/r/CODE`: what somebody sees who opens a friend's link: every way in, each of which carries the friend's code along.

Opening the page, by a person or by a robot that looks for a preview, changes nothing: the scene counts when the person
arrives by one of the ways. Of the friend it shows the name they chose for their poster, or none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from bot.channels import Channel, Link
from bot.pictures import Holder, Pictures, code_of
from bot.site.edge import PAGE_HEADERS, language_asked
from bot.site.pages import NAMES, templates
from bot.site.view import SiteView, show_day, site_view
from campaigns.poster import drawing
from content.plan.model import Plan

WORDS = {
    "zh": {
        "skip": "跳到正文",
        "title": "{name}邀请您了解{product}",
        "friend": "朋友",
        "lead": "选一个您常用的方式进来，就知道您是谁的朋友。",
        "ways": "怎么进来",
        "scan": "微信扫码",
        "scan_alt": "微信二维码，扫一扫关注并带上推荐码 {code}",
        "scan_text": "在微信里长按二维码识别；不在微信里，就用手机微信扫一扫，或先保存图片再从相册扫。",
        "until": "二维码在 {day}之前有效，过期后刷新本页就是新的。",
        "follow": "微信关注",
        "follow_text": "在微信里搜索并关注「{organiser}」，再发送推荐码 {code}。",
        "telegram": "Telegram",
        "telegram_text": "点开后按“开始”，推荐码会自动带上。",
        "telegram_open": "在 Telegram 打开",
        "web": "就在这里聊",
        "web_text": "不用下载，打开就能问、能签到。",
        "web_open": "打开网页聊天",
        "other": "打开",
        "other_text": "打开后推荐码会自动带上。",
        "code": "推荐码",
        "code_text": "在任何一个对话里把它发给我们也可以，大小写都行。",
        "offers": "新用户有什么",
        "more": "看活动页",
        "lost": "没有找到这个推荐码",
        "lost_text": "可能是链接不完整，或抄错了一个字。请朋友再发一次，或直接去活动页看看，不用推荐码也能参加。",
        "lost_code": "推荐码由 8 个字母和数字组成，没有 0、O、1、I。",
    },
    "en": {
        "skip": "Skip to content",
        "title": "{name} invites you to {product}",
        "friend": "A friend",
        "lead": "Come in the way you like best; we will know whose friend you are.",
        "ways": "Ways in",
        "scan": "WeChat",
        "scan_alt": "WeChat QR code; scanning it follows us with the referral code {code}",
        "scan_text": "In WeChat, press and hold the code. Elsewhere, scan it with WeChat on a phone, "
        "or save it and scan it from the album.",
        "until": "The code works before {day}; after that, reload this page for a new one.",
        "follow": "WeChat",
        "follow_text": "Search for “{organiser}” in WeChat, follow it, and send the referral code {code}.",
        "telegram": "Telegram",
        "telegram_text": "Open it and press Start; the referral code goes along by itself.",
        "telegram_open": "Open in Telegram",
        "web": "Chat right here",
        "web_text": "Nothing to install: ask and check in on this site.",
        "web_open": "Open the web chat",
        "other": "Open",
        "other_text": "The referral code goes along by itself.",
        "code": "Referral code",
        "code_text": "You can also send it to us in any of these chats, in capitals or small letters.",
        "offers": "What new users get",
        "more": "See the campaign",
        "lost": "We do not know this referral code",
        "lost_text": "The link may be incomplete, or a letter was copied wrongly. Ask your friend to send it again, "
        "or look at the campaign itself: you can take part without a code.",
        "lost_code": "A code has 8 letters and digits; 0, O, 1 and I are never among them.",
    },
}
HEADERS = PAGE_HEADERS | {"Vary": "Accept-Language", "Cache-Control": "no-cache", "X-Robots-Tag": "noindex"}


class InvitedService(Protocol):
    """The house as this page needs it."""

    language: str
    public_url: str
    pictures: Pictures


@dataclass(frozen=True, slots=True)
class Way:
    """One way in: words, and a QR code to scan or a button with `url`."""

    title: str
    text: str
    kind: str
    note: str = ""
    picture: str = ""
    alt: str = ""
    url: str = ""
    button: str = ""


def invited_routes(service: InvitedService, plan: Callable[[], Plan]) -> list[BaseRoute]:
    """The page behind a referrer's link."""

    async def invited(request: Request) -> Response:
        applied = plan()
        fallback = service.language if service.language in applied.languages else applied.languages[0]
        view = site_view(applied, language_asked(request, applied.languages, fallback))
        code = code_of(request.path_params["code"])
        holder = await service.pictures.holder(code) if code else None
        if holder is None:
            return HTMLResponse(_lost(view, request.path_params["code"]), 404, headers=HEADERS)
        found = await service.pictures.ways(code)
        # Our page has the chat of one web account.
        ways = [way(view, code, *one, applied) for one in found if one[0].name != "web" or one[0].account == "main"]
        return HTMLResponse(_page(view, applied, holder, ways, service.public_url), headers=HEADERS)

    return [Route("/r/{code:path}", invited, methods=["GET"])]


def way(view: SiteView, code: str, channel: Channel, link: Link | None, plan: Plan) -> Way:
    """How somebody comes in by one channel. `link` is None where the channel has none now: the code is typed then."""
    words = WORDS[view.language]
    if channel.name == "wechat":
        if link is None:
            return Way(words["follow"], words["follow_text"].format(organiser=view.organiser, code=code), "wechat")
        until = show_day(link.until.astimezone(plan.zone), view.language) if link.until else ""
        return Way(
            words["scan"],
            words["scan_text"],
            "wechat",
            note=words["until"].format(day=until) if until else "",
            picture=_picture(f"code:{channel.name}:{channel.account}:{code}"),
            alt=words["scan_alt"].format(code=code),
        )
    if channel.name == "web":
        url = "/?" + urlencode({"c": f"r_{code}", "lang": view.language}) + "#chat"
        return Way(words["web"], words["web_text"], "web", url=url, button=words["web_open"])
    known = channel.name if channel.name in words else "other"
    title = words[channel.name] if known != "other" else channel.name.title()
    button = words.get(f"{known}_open", words["other"])
    return Way(title, words[f"{known}_text"], known, url=link.url if link else "", button=button)


def _page(view: SiteView, plan: Plan, holder: Holder, ways: Sequence[Way], address: str) -> str:
    words = WORDS[view.language]
    own = plan.own_poster
    drawn = _picture(drawing(own.use, view.language, "web", "main", holder.code)) if own else ""
    joining = plan.joining.text[view.language] if plan.joining and plan.on("joining") else ""
    return (
        templates()
        .get_template("invited.html")
        .render(
            view=view,
            words=words,
            names=NAMES,
            title=words["title"].format(
                name=_spaced(holder.name or words["friend"], view.language), product=view.product
            ),
            ways=sorted((one for one in ways if one.picture or one.url or one.kind == "wechat"), key=_rank),
            code=holder.code,
            joining=joining,
            here=f"{address}/r/{holder.code}",
            poster=f"{address}{drawn}" if drawn else "",
            switch=lambda language: f"/r/{holder.code}?" + urlencode({"lang": language}),
        )
    )


def _lost(view: SiteView, typed: str) -> str:
    def switch(language: str) -> str:
        return f"/r/{quote(typed, safe='')}?" + urlencode({"lang": language})

    words = WORDS[view.language]
    return templates().get_template("lost.html").render(view=view, words=words, names=NAMES, switch=switch)


def _rank(one: Way) -> int:
    return ("wechat", "telegram", "other", "web").index(one.kind)


def _spaced(name: str, language: str) -> str:
    return f"{name} " if language == "zh" and name[-1] < "\u2e80" else name


def _picture(name: str) -> str:
    return f"/pictures/{quote(name, safe='')}"
