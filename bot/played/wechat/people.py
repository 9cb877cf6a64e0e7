"""The people on a played WeChat: what they do becomes callbacks, and what they are shown is kept with how it came.

The windows in which an account may write to a person by itself are kept here, as the platform keeps them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from bot.played.wechat.calls import live_media, read_reply

if TYPE_CHECKING:
    from bot.played.wechat.platform import PlayedWeChat

UNAVAILABLE = "该公众号暂时无法提供服务，请稍后再试"
_MESSAGE_WINDOW = timedelta(hours=48), 5
_SHORT_WINDOW = timedelta(minutes=1), 3


@dataclass(frozen=True, slots=True)
class Received:
    """Something a person was shown.

    `how` is `passive`, `custom`, `mass`, `preview`, `notice` or `template` (whose `kind` is the template), or `system`
    for the platform's own words.
    """

    how: str
    kind: str
    content: str
    at: datetime


@dataclass(slots=True)
class _Window:
    until: datetime
    left: int


@dataclass(eq=False)
class Person:
    """One person. Every act returns the words or picture of the passive reply, or nothing."""

    world: PlayedWeChat = field(repr=False)
    openid: str
    language: str = "zh_CN"
    since: datetime | None = None  # follows since
    scene: str = ""  # of the code they followed by
    received: list[Received] = field(default_factory=list)
    windows: dict[str, _Window] = field(default_factory=dict, repr=False)
    consents: Counter[str] = field(default_factory=Counter, repr=False)  # subscription notices still allowed
    tags: set[int] = field(default_factory=set, repr=False)
    refuses_messages: bool = False  # the switch on the account's page: mass sends are filtered
    unreachable: bool = False  # an error of the network's, which a mass send counts

    async def follow(self, scene: str = "", ticket: str = "") -> str:
        """Begin to follow, by the code with `scene` if given."""
        with self.world.lock:
            self.since, self.scene = self.world.clock(), scene
        self._open("follow", _SHORT_WINDOW)
        key = f"qrscene_{scene}" if scene else ""
        return await self._event(
            "subscribe", _tag("EventKey", key) + (_tag("Ticket", ticket or f"T{scene}") if scene else "")
        )

    async def unfollow(self) -> None:
        """Leave; nothing can be said any more."""
        with self.world.lock:
            self.since = None
            self.windows.clear()
        await self._event("unsubscribe", _tag("EventKey", ""))

    async def scan(self, scene: str, ticket: str = "") -> str:
        """Scan a code: a scan by a follower, else a follow."""
        if self.since is None:
            return await self.follow(scene, ticket)
        self._open("scan", _SHORT_WINDOW)
        return await self._event("SCAN", _tag("EventKey", scene) + _tag("Ticket", ticket or f"T{scene}"))

    async def scan_code(self, url: str) -> str:
        """Hold the camera over a drawn code; one that has expired, or is not this platform's, does nothing."""
        code = self.world.codes.get(url)
        if code is None or (code.until is not None and self.world.clock() >= code.until):
            return ""
        return await self.scan(code.scene, code.ticket)

    async def tap(self, key: str) -> str:
        """Tap the menu button with `key`."""
        self._open("tap", _SHORT_WINDOW)
        return await self._event("CLICK", _tag("EventKey", key))

    async def view(self, url: str) -> str:
        """Tap the menu button that opens `url`."""
        return await self._event("VIEW", _tag("EventKey", url) + "<MenuId>402001</MenuId>")

    async def withdraw(self) -> str:
        """Withdraw the authorisation given to the account's pages."""
        openid, app_id = _tag("OpenID", self.openid), _tag("AppID", self.world.app_id)
        return await self._event("user_authorization_revoke", openid + app_id + _tag("RevokeInfo", "201"))

    async def consent(self, *templates: str, refusing: Sequence[str] = ()) -> str:
        """Answer the window that asks for subscription notices: one of each of `templates` may come, none of the rest.

        A window shows at most three templates.
        """
        self.consents.update(templates)
        chosen = [*((name, "accept") for name in templates), *((name, "reject") for name in refusing)]
        items = "".join(_choice(name, how) + "<PopupScene>2</PopupScene></List>" for name, how in chosen)
        return await self._event(
            "subscribe_msg_popup_event", f"<SubscribeMsgPopupEvent>{items}</SubscribeMsgPopupEvent>"
        )

    async def take_back(self, *templates: str) -> str:
        """Refuse notices on the page of service notices; only refusals are told from there."""
        for name in templates:
            self.consents.pop(name, None)
        items = "".join(_choice(name, "reject") + "</List>" for name in templates)
        inside = f"<SubscribeMsgChangeEvent>{items}</SubscribeMsgChangeEvent>"
        return await self._event("subscribe_msg_change_event", inside)

    async def say(self, text: str) -> str:
        """Type `text`."""
        return await self._message("text", _tag("Content", text))

    async def voice(self, transcript: str | None = None) -> str:
        """Send a voice message; recognition of speech may be off."""
        heard = "" if transcript is None else _tag("Recognition", transcript)
        return await self._message("voice", _tag("MediaId", "VOICE") + _tag("Format", "amr") + heard)

    async def image(self, url: str = "http://mmbiz.qpic.cn/played/0") -> str:
        """Send a picture."""
        return await self._message("image", _tag("PicUrl", url) + _tag("MediaId", "PICTURE"))

    async def location(self, latitude: float, longitude: float, label: str = "") -> str:
        """Send a place."""
        place = f"<Location_X>{latitude}</Location_X><Location_Y>{longitude}</Location_Y><Scale>15</Scale>"
        return await self._message("location", place + _tag("Label", label))

    async def link(self, title: str, url: str, description: str = "") -> str:
        """Send a link."""
        return await self._message("link", _tag("Title", title) + _tag("Description", description) + _tag("Url", url))

    def receive(self, how: str, kind: str, content: str) -> None:
        """Be shown something."""
        with self.world.lock:
            self.received.append(Received(how, kind, content, self.world.clock()))

    def spend(self) -> int:
        """Use one message of an open window; else the error code."""
        now = self.world.clock()
        open_windows = sorted((w for w in self.windows.values() if now <= w.until), key=lambda window: window.until)
        for window in open_windows:
            if window.left > 0:
                window.left -= 1
                return 0
        return 45047 if open_windows else 45015

    def envelope(self, kind: str, inside: str) -> str:
        """The XML of a callback from this person now; `inside` is what follows MsgType."""
        seconds = int(self.world.clock().timestamp())
        people = _tag("ToUserName", self.world.name) + _tag("FromUserName", self.openid)
        return f"<xml>{people}<CreateTime>{seconds}</CreateTime>{_tag('MsgType', kind)}{inside}</xml>"

    def text_xml(self, text: str) -> str:
        """The XML of typing `text` now, for a load generator that posts by itself."""
        return self.envelope("text", f"{_tag('Content', text)}<MsgId>{self.world.serial()}</MsgId>")

    async def _message(self, kind: str, inside: str) -> str:
        self._open("message", _MESSAGE_WINDOW)
        return await self._push(self.envelope(kind, f"{inside}<MsgId>{self.world.serial()}</MsgId>"))

    async def _event(self, event: str, inside: str) -> str:
        return await self._push(
            self.envelope("event", _tag("Event", event) + inside), answerable=self.since is not None
        )

    async def _push(self, xml: str, answerable: bool = True) -> str:
        reply = await self.world.push(xml)
        if reply is None:
            if answerable:
                self.receive("system", "text", UNAVAILABLE)
            return ""
        if not reply:
            return ""
        try:
            kind, content = self._read(reply)
        except ValueError as error:
            self.world.faults.append(str(error))
            self.receive("system", "text", UNAVAILABLE)
            return ""
        if answerable:
            self.receive("passive", kind, content)
        return content

    def _read(self, reply: bytes) -> tuple[str, str]:
        """What a passive reply shows. Raises ValueError when the real platform would not show it."""
        fields = read_reply(reply)
        if fields.get("ToUserName") != self.openid or fields.get("FromUserName") != self.world.name:
            raise ValueError("the reply goes to somebody else")
        if not fields.get("CreateTime", "").isdigit():
            raise ValueError("the reply has no CreateTime")
        kind = fields.get("MsgType", "")
        if kind == "text":
            content = fields.get("Content", "")
            if not 1 <= len(content.encode()) <= 2048:
                raise ValueError(f"a text of {len(content.encode())} bytes")
            return kind, content
        if kind == "image":
            content = fields.get("Image/MediaId", "")
            if not live_media(self.world, content):
                raise ValueError(f"no upload {content}")
            return kind, content
        if kind == "news":
            if fields.get("ArticleCount") != "1":
                raise ValueError("a reply carries one article")
            return kind, fields.get("Articles/item", "")
        raise ValueError(f"a reply of type {kind!r}")

    def _open(self, act: str, window: tuple[timedelta, int]) -> None:
        with self.world.lock:
            self.windows[act] = _Window(self.world.clock() + window[0], window[1])


def _choice(template: str, how: str) -> str:
    return f"<List>{_tag('TemplateId', template)}{_tag('SubscribeStatusString', how)}"


def _tag(name: str, text: str) -> str:
    if "]]>" in text or "\r" in text:
        return f"<{name}>{escape(text)}</{name}>"
    return f"<{name}><![CDATA[{text}]]></{name}>"
