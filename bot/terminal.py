"""How commands speak, in the terminal's language with refusals to the error stream and exit code 1; what they read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from bot.config import Settings
    from content.bundle import Bundle
    from storage.store import Store

Perform = Callable[[Any, dict[str, Any], datetime], dict[str, Any]]  # connection, what is asked, now
_TRIES = 5

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


def show_json(document: Any) -> None:
    """The one document of a reading command."""
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2, default=str))


def settings_of(context: typer.Context) -> Settings:
    """The settings that `--config` names, wherever it stood on the line."""
    return settings(context.find_root().params.get("config"))


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


def reading(settings: Settings) -> Store:
    """The database, for reading only, beside a serving process."""
    from storage import schema
    from storage.store import Store

    store = Store(settings.storage.url, writer=False)
    if store.path and not store.path.exists():
        zh, en = f"还没有数据库 {store.path}，先运行 koukou serve", f"no database {store.path} yet; run koukou serve"
        raise refuse(zh, en)
    try:
        schema.require_current(store)
    except (schema.SchemaBehind, schema.SchemaTooNew) as wrong:
        zh, _, en = str(wrong).partition(" | ")
        raise refuse(zh, en) from None
    return store


def journal(settings: Settings) -> Path:
    """The file of erasures: as set (on PostgreSQL it always is), else beside the SQLite database."""
    from storage.store import file_of

    if settings.storage.erasures:
        return Path(settings.storage.erasures)
    database = file_of(settings.storage.url)
    return database.with_name(database.name + ".erasures") if database else Path("data/koukou.erasures")


def act(settings: Settings, asked: dict[str, Any], here: Perform | None = None) -> dict[str, Any]:
    """Do a writing act: in the serving process where one holds the SQLite file, else here, by `here` where it is given.

    Raises ActRefused.
    """
    from bot.handoff import ask, perform
    from storage import schema
    from storage.store import DatabaseFault, Store, StoreLocked, passing

    try:
        store = Store(settings.storage.url)
    except StoreLocked as locked:
        answer = ask(locked.database, asked)
        if answer is None:
            zh, en = "数据库被另一个命令占用，请稍后再试", "another command holds the database; try again"
            raise refuse(zh, en) from None
        return answer
    try:
        if store.is_sqlite:
            schema.upgrade(store)
        for left in reversed(range(_TRIES)):
            try:
                with store.begin() as connection:
                    return (here or perform)(connection, asked, datetime.now(UTC))
            except DatabaseFault as fault:  # another node may hold a lock for a moment
                if not left or not passing(fault):
                    raise
    finally:
        store.close()
    raise AssertionError("unreachable")


def applied(store: Store, campaign: str | None) -> tuple[Bundle, str, int]:
    """The applied plan of a campaign, or of the first there is: its files, its name, its revision."""
    from content.bundle import Bundle
    from storage import revisions

    with store.read() as connection:
        known = revisions.campaigns(connection)
        if not known or (campaign and campaign not in known):
            raise refuse("这个活动还没有应用过方案", "no plan of this campaign was applied yet")
        chosen = campaign or known[0]
        number = revisions.current(connection, chosen)
        assert number is not None
        return Bundle.of(revisions.files(connection, chosen, number)), chosen, number
