"""QR codes with a scene as the platform makes them: permissions are checked before, limits and life here.

Source: "Creating a QR code with a scene" of the service account's pages; 45029 stands in the platform's error list.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from bot.played.wechat.calls import Code, body_of, refusing
from bot.played.wechat.wire import Request

if TYPE_CHECKING:
    from bot.played.wechat.platform import PlayedWeChat

_MOST_SECONDS = 2_592_000
_LASTING = 100_000
_LETTERS = "ABCDEFGHIJabcdefghij0123456789_-"


@dataclass(frozen=True, slots=True)
class SceneCode:
    """One QR code with a scene; `until` is None for a permanent one."""

    scene: str
    ticket: str
    until: datetime | None


def _create(world: PlayedWeChat, request: Request) -> dict[str, Any]:
    """Temporary codes live at most thirty days, and half a minute when nothing is said; permanent ones are rationed."""
    body = body_of(request)
    name, scene = body.get("action_name"), (body.get("action_info") or {}).get("scene") or {}
    if name not in ("QR_SCENE", "QR_STR_SCENE", "QR_LIMIT_SCENE", "QR_LIMIT_STR_SCENE"):
        raise Code(40052)
    text, lasting = _scene(name, scene), name.startswith("QR_LIMIT")
    seconds = body.get("expire_seconds", 30)
    if not lasting and (type(seconds) is not int or not 1 <= seconds <= _MOST_SECONDS):
        raise Code(40053)
    if lasting and sum(code.until is None for code in world.codes.values()) >= _LASTING:
        raise Code(45029)
    now = world.clock()
    ticket = "gQ" + "".join(world.dice.choices(_LETTERS, k=94))
    url = "http://weixin.qq.com/q/02" + "".join(world.dice.choices(_LETTERS, k=22))
    world.codes[url] = SceneCode(text, ticket, None if lasting else now + timedelta(seconds=seconds))
    return {"ticket": ticket, "url": url} | ({} if lasting else {"expire_seconds": seconds})


def _scene(name: str, scene: dict[str, Any]) -> str:
    if name.endswith("STR_SCENE"):
        text = scene.get("scene_str")
        if not isinstance(text, str) or not 1 <= len(text) <= 64:
            raise Code(40053)
        return text
    number = scene.get("scene_id")
    if type(number) is not int or not 1 <= number <= (100_000 if "LIMIT" in name else 2**32 - 1):
        raise Code(40053)
    return str(number)


CALLS = {"qrcode/create": refusing(_create)}
