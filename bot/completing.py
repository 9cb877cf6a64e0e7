"""What the shell may complete, beyond the names of commands and options: channels, accounts, posters.

It reads the settings and the plan's files if they can be read, opens no database, and offers nothing where it cannot.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from bot.config import Settings


def subscribers(context: typer.Context, incomplete: str) -> list[str]:
    """`wechat:`, `telegram/shop:`: how the address of a person begins."""
    known = _settings(context)
    if known is None:
        return []
    enabled = [
        (channel, account)
        for channel in type(known.channels).model_fields
        for account, table in known.accounts(channel)
        if table.enabled
    ]
    return [f"{channel}:" if account == "main" else f"{channel}/{account}:" for channel, account in enabled]


def accounts(channel: str) -> Callable[[typer.Context, str], list[str]]:
    """Completes the names of a channel's accounts in the settings."""

    def names(context: typer.Context, incomplete: str) -> list[str]:
        known = _settings(context)
        return [name for name, _ in known.accounts(channel)] if known else []

    return names


def posters(context: typer.Context, incomplete: str) -> list[str]:
    """The posters of the plan that `--plan` or the settings name."""
    from content.bundle import Bundle
    from content.faults import PlanFaults
    from content.posters import posters as drawn

    known = _settings(context)
    folder = context.params.get("plan") or (known.service.plans[0] if known else None)
    try:
        return list(drawn(Bundle.read(folder).files)) if folder else []
    except PlanFaults:
        return []


def languages(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The languages that plans are written in."""
    return [("zh", "中文"), ("en", "English")]


def _settings(context: typer.Context) -> Settings | None:
    from bot import config

    try:
        return config.load(context.find_root().params.get("config"), os.environ)
    except config.ConfigFault:
        return None
