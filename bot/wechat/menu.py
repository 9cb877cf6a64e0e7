"""Publishes the plan's menu on an account, after showing the one it replaces.

Source: "Custom menu" of the platform; clients fetch a new menu within five minutes. How many buttons there may be is
held by the plan's model; here only what the platform counts in bytes.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from bot.wechat.api import Api
from bot.wechat.faults import NO_MENU, Fault
from content.plan.outreach import Button, Menu, SubButton
from content.plan.texts import Text

_NAME_BYTES, _UNDER_NAME_BYTES = 16, 60
_URL_BYTES = 1024

Fill = Callable[[str, str], str]
Confirm = Callable[[list[dict[str, Any]], list[dict[str, Any]]], bool | Awaitable[bool]]


class MenuRefused(ValueError):
    """A menu the platform would not take; the text says what is wrong, in Chinese and English."""


async def publish_menu(api: Api, menu: Menu, language: str, fill: Fill, confirm: Confirm) -> bool:
    """Replace the account's menu by the plan's, if `confirm(old, new)` agrees; True when it was replaced.

    `fill(text, language)` fills in what the plan's labels leave open. `old` and `new` are buttons in the platform's
    form; `old` is empty when none was set through the API. Raises MenuRefused before the platform is asked, and Fault.
    """
    new = [_button(button, lambda text: fill(text[language], language), _NAME_BYTES) for button in menu.buttons]
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


def _button(button: Button | SubButton, said: Callable[[Text], str], name_bytes: int) -> dict[str, Any]:
    name = said(button.label)
    _limit(name, name, name_bytes)
    if isinstance(button, Button) and button.sub:
        return {"name": name, "sub_button": [_button(under, said, _UNDER_NAME_BYTES) for under in button.sub]}
    if button.url:
        _limit(name, button.url, _URL_BYTES)
        return {"type": "view", "name": name, "url": button.url}
    # The key comes back when the button is tapped, and is the words it stands for.
    return {"type": "click", "name": name, "key": button.says}


def _limit(name: str, text: str, most: int) -> None:
    size = len(text.encode())
    if size > most:
        raise MenuRefused(f"菜单“{name}”：{size} 字节，最多 {most} / menu “{name}”: {size} bytes, at most {most}")
