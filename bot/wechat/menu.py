"""Publishes the plan's menu on an account, after showing the one it replaces.

Source: "Custom menu": at most three buttons with five under each; clients fetch a new menu within five minutes.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from bot.wechat.api import Api
from bot.wechat.faults import NO_MENU, Fault

_BUTTONS, _UNDER = 3, 5
_NAME_BYTES, _UNDER_NAME_BYTES = 16, 60
_KEY_BYTES, _URL_BYTES = 128, 1024

Button = Mapping[str, Any]
Confirm = Callable[[list[dict[str, Any]], list[dict[str, Any]]], bool | Awaitable[bool]]


class MenuRefused(ValueError):
    """A menu the platform would not take; the text says what is wrong, in Chinese and English."""


async def publish_menu(api: Api, plan_menu: Sequence[Button], confirm: Confirm) -> bool:
    """Replace the account's menu by the plan's, if `confirm(old, new)` agrees; True when it was replaced.

    A button is `{"label", "say"}`, `{"label", "url"}` or `{"label", "items": [button…]}`; `old` and `new` have the
    platform's form. Raises MenuRefused before anything is asked of the platform, and Fault.
    """
    new = buttons(plan_menu)
    old = await current_menu(api)
    agreed = confirm(old, new)
    if not (await agreed if inspect.isawaitable(agreed) else agreed):
        return False
    await api.wechat.menu.create({"button": new})
    return True


async def current_menu(api: Api) -> list[dict[str, Any]]:
    """The menu now set through the API, in the platform's form; empty when there is none. Raises Fault."""
    try:
        answer = await api.wechat.menu.get()
    except Fault as fault:
        if fault.code == NO_MENU:
            return []
        raise
    return list(answer.get("menu", {}).get("button", []))


def buttons(plan_menu: Sequence[Button]) -> list[dict[str, Any]]:
    """`plan_menu` in the platform's form. Raises MenuRefused."""
    _limit(1 <= len(plan_menu) <= _BUTTONS, f"菜单应有 1 至 {_BUTTONS} 项", f"a menu has 1 to {_BUTTONS} buttons")
    return [_button(button, _NAME_BYTES) for button in plan_menu]


def _button(button: Button, name_bytes: int) -> dict[str, Any]:
    label = button["label"]
    size = len(label.encode())
    _limit(
        0 < size <= name_bytes,
        f"“{label}”的名称为 {size} 字节，最多 {name_bytes}",
        f"the name is {size} bytes, at most {name_bytes}",
    )
    if items := button.get("items"):
        _limit(len(items) <= _UNDER, f"“{label}”之下最多 {_UNDER} 项", f"at most {_UNDER} under one button")
        _limit(name_bytes == _NAME_BYTES, f"“{label}”嵌套超过两级", "a menu has two levels")
        return {"name": label, "sub_button": [_button(item, _UNDER_NAME_BYTES) for item in items]}
    if url := button.get("url"):
        _limit(
            len(url.encode()) <= _URL_BYTES and url.startswith(("https://", "http://")),
            f"“{label}”的网址不合法或超过 {_URL_BYTES} 字节",
            f"the address is bad or longer than {_URL_BYTES} bytes",
        )
        return {"type": "view", "name": label, "url": url}
    say = button.get("say") or label
    _limit(
        len(say.encode()) <= _KEY_BYTES,
        f"“{label}”所说的话超过 {_KEY_BYTES} 字节",
        f"its words are longer than {_KEY_BYTES} bytes",
    )
    return {"type": "click", "name": label, "key": say}


def _limit(kept: bool, chinese: str, english: str) -> None:
    if not kept:
        raise MenuRefused(f"{chinese} / {english}")
