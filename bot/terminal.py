"""How commands speak: in the terminal's language, refusals to the error stream with exit code 1."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bot.config import Settings

Json = Annotated[bool, typer.Option("--json", help="只输出一个 JSON 文档 | print one JSON document")]


def language() -> str:
    """`en` or `zh`, as the terminal's environment says; Chinese when it says nothing."""
    spoken = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return "en" if spoken.lower().startswith("en") else "zh"


def say(zh: str, en: str, *, error: bool = False) -> None:
    """One sentence in the terminal's language."""
    typer.echo(en if language() == "en" else zh, err=error)


def refuse(zh: str, en: str) -> typer.Exit:
    """Say why not; raise what this returns."""
    say(zh, en, error=True)
    return typer.Exit(1)


def settings(path: Path | None) -> Settings:
    """The settings that a command works with; ends the command when they are at fault. Secrets stay out of logs."""
    from bot import config, logs

    try:
        found = config.load(path, os.environ)
    except config.ConfigFault as fault:
        typer.echo(str(fault), err=True)
        raise typer.Exit(1) from None
    logs.protect(found.secrets())
    return found
