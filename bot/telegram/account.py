"""What is told to the platform, or asked of it, about the bot itself: its name, its webhook, its list of commands."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from telegram import Bot, BotCommand

from bot.telegram.reading import WANTED

# As many as the platform allows: what comes together is committed together.
_CONNECTIONS = 100
_COMMAND = re.compile(r"[a-z0-9_]{1,32}")
_LANGUAGES = ("zh", "en")
_DESCRIPTION = 256

Commands = Mapping[str, Sequence[tuple[str, str]]]


async def username(bot: Bot) -> str:
    """The bot's name as it stands in links. Raises TelegramError."""
    return (await bot.get_me()).username or ""


async def set_webhook(bot: Bot, url: str, secret: str) -> None:
    """Have updates posted to `url`, each with `secret` in its header. Raises TelegramError."""
    await bot.set_webhook(url, secret_token=secret, allowed_updates=WANTED, max_connections=_CONNECTIONS)


async def delete_webhook(bot: Bot) -> None:
    """Have updates kept for polling; those that wait are not lost. Raises TelegramError."""
    await bot.delete_webhook(drop_pending_updates=False)


async def list_commands(bot: Bot, commands: Commands) -> None:
    """Show these commands, by language; English ones to everybody else if there are any. Raises TelegramError."""
    others = "en" if "en" in commands else next(iter(commands), "")
    wanted: dict[str, Sequence[tuple[str, str]]] = {language: commands.get(language, ()) for language in _LANGUAGES}
    wanted[""] = commands.get(others, ())
    for language, listed in wanted.items():
        ours = [
            BotCommand(word, label.strip()[:_DESCRIPTION])
            for word, label in listed
            if _COMMAND.fullmatch(word) and label.strip()
        ][:100]
        if list(await bot.get_my_commands(language_code=language or None)) != ours:
            if ours:
                await bot.set_my_commands(ours, language_code=language or None)
            else:
                await bot.delete_my_commands(language_code=language or None)
