"""What an account may do, by its kind and verification, with what happens instead where it may not.

A table to begin with (the platform's permission table as commonly published; no current page states it), corrected at
run time for all nodes when the platform answers 48001. Decides nothing about people.
"""

from __future__ import annotations

import time
from typing import Protocol

CUSTOMER_SERVICE = "customer_service"
MEDIA = "media"
MENU = "menu"
FOLLOWERS = "followers"
SCENE_CODES = "scene_codes"
TEMPLATES = "templates"
NOTICES = "notices"  # subscription notices
ARTICLES = "articles"
MASS = "mass"  # by openid list
MASS_BY_TAG = "mass_by_tag"  # by tag or to all, and its preview

_VERIFIED_SUBSCRIPTION = frozenset({CUSTOMER_SERVICE, MEDIA, MENU, FOLLOWERS, ARTICLES, MASS_BY_TAG})
TABLE: dict[tuple[str, bool], frozenset[str]] = {
    ("service", True): _VERIFIED_SUBSCRIPTION | {SCENE_CODES, TEMPLATES, NOTICES, MASS},
    ("service", False): frozenset({MENU}),
    ("subscription", True): _VERIFIED_SUBSCRIPTION,
    ("subscription", False): frozenset(),
}

# What a person or the staff get instead, Chinese and English.
FALLBACKS: dict[str, tuple[str, str]] = {
    CUSTOMER_SERVICE: (
        "只能当场回复；其余的话随对方下一次来信一起说",
        "only the direct reply; the rest is told with the person's next answer",
    ),
    MEDIA: ("图片用一句文字代替", "pictures are replaced by their words"),
    MENU: ("在公众平台后台手工设置菜单", "set the menu by hand on the platform's own pages"),
    FOLLOWERS: ("关注者在第一次来信时认识", "followers become known when they first write"),
    SCENE_CODES: ("改用推荐链接和口令", "referral links and typed codes instead of scene codes"),
    TEMPLATES: ("随对方下一次来信一起说", "told with the person's next answer"),
    NOTICES: ("随对方下一次来信一起说", "told with the person's next answer"),
    ARTICLES: ("群发只有文字", "mass sends are words alone"),
    MASS_BY_TAG: ("在公众平台后台手工群发", "mass-sent by hand on the platform's own pages"),
    MASS: (
        "推送只发给窗口内的人；订阅号可在公众平台后台手工群发",
        "pushes reach only those whose window is open; a subscription account mass-sends by hand on the platform",
    ),
}

# The path of a call begins with one of these; a 48001 to it takes the capability away.
_PATHS = (
    ("message/custom/", CUSTOMER_SERVICE),
    ("media/uploadimg", ARTICLES),
    ("media/", MEDIA),
    ("menu/", MENU),
    ("user/", FOLLOWERS),
    ("qrcode/", SCENE_CODES),
    ("message/template/", TEMPLATES),
    ("message/subscribe/", NOTICES),
    ("message/mass/sendall", MASS_BY_TAG),
    ("message/mass/preview", MASS_BY_TAG),
    ("message/mass/send", MASS),
    ("draft/", ARTICLES),
    ("material/", ARTICLES),
)

_BELIEVED_SECONDS = 86_400  # an account may be verified meanwhile, so a refusal is believed for a day
_LOOK_SECONDS = 60  # how soon this node learns what another node was told


class Shared(Protocol):
    """The part of the service that keeps small values for all nodes."""

    async def recall(self, key: str) -> dict[str, object] | None: ...

    async def keep(self, key: str, value: dict[str, object], seconds: float) -> None: ...


class Capabilities:
    """The capabilities of one account. `kind` is `service` or `subscription`."""

    def __init__(self, account: str, kind: str, verified: bool, shared: Shared) -> None:
        self._table = TABLE[kind, verified]
        self._shared = shared
        self._key = f"wechat:{account}:lacks:"
        self._looked: dict[str, tuple[float, bool]] = {}

    def expects(self, capability: str) -> bool:
        """What the table and this node's last look say, without asking the store."""
        return capability in self._table and not self._looked.get(capability, (0.0, False))[1]

    async def has(self, capability: str) -> bool:
        """True unless the table or a refusal by the platform within the last day says otherwise."""
        if capability not in self._table:
            return False
        looked, lacks = self._looked.get(capability, (0.0, False))
        if not looked or time.monotonic() - looked > _LOOK_SECONDS:
            lacks = await self._shared.recall(self._key + capability) is not None
            self._looked[capability] = time.monotonic(), lacks
        return not lacks

    async def refused(self, path: str) -> str:
        """The platform answered 48001 to `path`: remember it for all nodes. Returns the capability, or nothing."""
        capability = next((name for start, name in _PATHS if path.startswith(start)), "")
        if capability:
            self._looked[capability] = time.monotonic(), True
            await self._shared.keep(self._key + capability, {"path": path}, _BELIEVED_SECONDS)
        return capability
