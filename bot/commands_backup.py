"""`koukou backup …`: make, check and restore backups of either database, and let a restored copy speak again.

A thin skin over storage/backup.py, storage/restore.py and the act of the release; shows how far it is.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot import terminal
from bot.terminal import Json, language, refuse, say

if TYPE_CHECKING:
    from bot.config import Settings
    from storage.backup import Archive, BackupFault, Manifest
    from storage.copies import Waiting
    from storage.vault import Vault

backup_cli = typer.Typer(
    no_args_is_help=True, help="备份：制作、核对、恢复、放行 | backups: make, check, restore, release"
)
File = Annotated[Path, typer.Argument(metavar="FILE", help="备份文件 | the backup")]
_SHOWN_EVERY, _LOGGED_EVERY = 0.2, 10.0  # seconds


@backup_cli.command("create")
def create(
    context: typer.Context,
    to: Annotated[Path | None, typer.Option(help="写到哪个新文件 | a new file")] = None,
    as_json: Json = False,
) -> None:
    """备份数据库，服务可以照常运行 | back the database up while the service runs."""
    settings = terminal.settings_of(context)
    target = to or default_target(settings)
    began = time.monotonic()
    manifest = make(settings, target)
    if as_json:
        _print({"file": str(target), **_told(manifest), "bytes": target.stat().st_size})
        return
    size, seconds = target.stat().st_size / 1e6, time.monotonic() - began
    say(
        f"已备份到 {target}：{manifest.rows} 行，{size:.1f} MB，用时 {seconds:.0f} 秒，链头 {manifest.head}",
        f"backed up to {target}: {manifest.rows} rows, {size:.1f} MB, in {seconds:.0f} s, head {manifest.head}",
    )
    say(
        "密钥不在里面：storage.secret（或数据库旁的 .key 文件）、config.toml 和删除记录（.erasures）要另外保存",
        "no secret is in it: keep storage.secret (or the .key file beside the database), config.toml and the journal "
        "of erasures (.erasures) apart from it",
    )


@backup_cli.command("verify")
def verify(context: typer.Context, file: File, as_json: Json = False) -> None:
    """读完整个备份，试着恢复一次，核对账本 | read all of a backup, rehearse its restore, prove its books."""
    from storage import restore as restoring
    from storage.backup import BackupFault

    settings = terminal.settings_of(context)
    problems: list[dict[str, str]] = []
    manifest = None
    try:
        with _opened(settings, file) as archive, _Progress() as tell:
            manifest = archive.manifest
            problems += [_words(fault) for fault in archive.problems(tell)]
            if not problems:
                report = restoring.rehearse(archive, _vault(settings), tell)
                problems += [{"zh": f"账本：{one}", "en": f"books: {one}"} for one in report.problems]
    except BackupFault as fault:
        problems.append(_words(fault))
    if as_json:
        told = _told(manifest) if manifest else {}
        _print({"ok": not problems, "file": str(file), **told, "problems": [one["en"] for one in problems]})
        raise typer.Exit(1 if problems else 0)
    for one in problems:
        say(one["zh"], one["en"], error=True)
    if problems:
        raise refuse(f"{file} 不能用来恢复", f"{file} cannot be restored from")
    assert manifest
    say(
        f"{file} 完好：{manifest.created_at} 的 {manifest.rows} 行，账本相符，链头 {manifest.head}",
        f"{file} is sound: {manifest.rows} rows of {manifest.created_at}, the books agree, head {manifest.head}",
    )


@backup_cli.command("restore")
def restore(
    context: typer.Context,
    file: File,
    erasures: Annotated[
        Path | None, typer.Option(help="删除记录，默认用设置里的 | the journal of erasures, default as in the settings")
    ] = None,
    without: Annotated[
        bool, typer.Option("--without-erasures", help="删除记录丢了也恢复 | restore although the journal is lost")
    ] = False,
    as_json: Json = False,
) -> None:
    """恢复到一个空数据库，隔离到放行为止 | restore into an empty database, which is held until released."""
    from storage import restore as restoring
    from storage.backup import BackupFault
    from storage.erasures import JournalBroken, read
    from storage.store import StoreLocked

    settings = terminal.settings_of(context)
    journal = erasures or terminal.journal(settings)
    if not journal.exists() and not (without and erasures is None):
        raise refuse(
            f"没有删除记录 {journal}：备份之后要求删除的人会重新出现。用 --erasures 指出它在哪里；"
            "确实丢了，用 --without-erasures",
            f"there is no journal of erasures {journal}: who asked to be forgotten since the backup would be back. "
            "Name it with --erasures; if it is lost, use --without-erasures",
        )
    try:
        with _opened(settings, file) as archive, _Progress() as tell:
            done = restoring.restore(
                archive, _vault(settings), settings.storage.url, read(journal), datetime.now(UTC), _tidy, tell
            )
            manifest = archive.manifest
    except BackupFault as fault:
        raise refuse(fault.zh, fault.en) from None
    except JournalBroken as broken:
        raise refuse(f"删除记录 {broken} 读不懂，没有恢复", f"{broken} cannot be read; nothing was restored") from None
    except StoreLocked as locked:
        raise refuse(
            f"有服务在用这个数据库（{locked.path}）", f"a service uses this database ({locked.path})"
        ) from None
    report = done.report
    if as_json:
        numbers = {"erased": done.erased, "doubtful": done.doubtful, "journal": str(journal)}
        _print({"restored": str(file), **_told(manifest), **numbers, "ledger": report.tree()})
        return
    say(
        f"已恢复 {manifest.created_at} 的 {manifest.rows} 行；{report.postings} 条分录，账本相符，链头 {report.head}",
        f"restored {manifest.rows} rows of {manifest.created_at}; {report.postings} postings, the books agree, "
        f"head {report.head}",
    )
    told_zh = f"记录 {journal}" if journal.exists() else f"没有找到记录 {journal}"
    told_en = f"journal {journal}" if journal.exists() else f"there is no journal {journal}"
    say(
        f"备份之后的删除请求重做了 {done.erased} 位（{told_zh}）；{done.doubtful} 条当时正在发出的消息列为存疑",
        f"{done.erased} people erased again ({told_en}); {done.doubtful} messages that were being sent are in doubt",
    )
    say(
        "这是隔离中的副本：放行之前什么也不发。确认原来的服务已停，再运行 koukou backup release",
        "this copy is held: it sends nothing until released. Be sure that the original is stopped, then run "
        "koukou backup release",
    )


@backup_cli.command("release")
def release(
    context: typer.Context,
    yes: Annotated[int | None, typer.Option(help="同意发出的条数 | how many messages may leave")] = None,
    drop: Annotated[
        bool, typer.Option("--drop", help="备份时排队的不发，列为存疑 | what was queued in the backup is not sent")
    ] = False,
    as_json: Json = False,
) -> None:
    """放行恢复的副本：先看有多少要发，再用 --yes 条数 | let a restored copy speak: look first, then --yes NUMBER."""
    from campaigns.desk import ActRefused
    from storage import copies

    settings = terminal.settings_of(context)
    store = terminal.reading(settings)
    with store.read() as connection:
        waiting = copies.waiting(connection, datetime.now(UTC))
    store.close()
    if waiting is None:
        raise refuse("这个数据库不是隔离中的恢复副本", "this database is no restored copy that is held")
    if yes is None:
        if as_json:
            _print({"released": False, **waiting.tree()})
        else:
            _show(waiting)
        raise typer.Exit(1)
    try:
        done = terminal.act(settings, {"act": "backup.release", "expected": yes, "drop": drop})
    except ActRefused as refused:
        raise refuse(refused.zh, refused.en) from None
    if as_json:
        _print({"released": True, **done})
        return
    _show_paused(done.get("pushes", ()))
    say(
        f"已放行：{done['sent']} 条会陆续发出，{done['dropped']} 条列为存疑不发",
        f"released: {done['sent']} messages will leave, {done['dropped']} are in doubt and stay",
    )


def default_target(settings: Settings) -> Path:
    """A new name in the folder `backups`: beside the database file, on PostgreSQL where the command runs."""
    from storage.store import file_of

    database = file_of(settings.storage.url)
    folder = database.parent if database else Path()
    return folder / "backups" / f"koukou-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.zip"


def make(settings: Settings, target: Path) -> Manifest:
    """Write a backup with progress on the error stream; ends the command when that cannot be done."""
    from storage.backup import BackupFault
    from storage.backup import create as write
    from storage.store import Store

    store = Store(settings.storage.url, writer=False)
    if store.path and not store.path.exists():
        raise refuse(f"还没有数据库 {store.path}", f"there is no database {store.path} yet")
    try:
        with _Progress() as tell:
            return write(store, _vault(settings), target, metadata.version("koukou"), datetime.now(UTC), tell)
    except BackupFault as fault:
        raise refuse(fault.zh, fault.en) from None
    finally:
        store.close()


def _tidy(connection: Any) -> None:
    """What its retention would have emptied since the backup is emptied before anybody reads it."""
    from content.bundle import Bundle
    from storage import retention, revisions

    campaigns = revisions.campaigns(connection)
    if not campaigns:
        return
    number = revisions.current(connection, campaigns[0])
    assert number is not None
    days = Bundle.of(revisions.files(connection, campaigns[0], number)).plan.privacy.text_days
    while retention.step(connection, datetime.now(UTC), days):
        pass


def _vault(settings: Settings) -> Vault:
    """Keys under the secret that is there: a backup command never makes one, which nothing could be read under."""
    from storage.store import Store
    from storage.vault import SecretMissing, Vault, secret_for

    configured = settings.storage.secret.get_secret_value() if settings.storage.secret else None
    try:
        return Vault(secret_for(Store(settings.storage.url, writer=False), configured, make=False))
    except SecretMissing as missing:
        zh, _, en = str(missing).partition(" | ")
        raise refuse(zh, en) from None


def _opened(settings: Settings, file: Path) -> Archive:
    from storage.backup import Archive

    return Archive(file, _vault(settings))


def _words(fault: BackupFault) -> dict[str, str]:
    return {"zh": fault.zh, "en": fault.en}


def _told(manifest: Manifest) -> dict[str, Any]:
    named = ("created_at", "koukou", "schema", "database", "head", "plans", "rows")
    return {name: getattr(manifest, name) for name in named}


def _show(waiting: Waiting) -> None:
    say(
        f"恢复于 {waiting.restored_at:%Y-%m-%d %H:%M} UTC 的副本，放行后会发出 {waiting.messages} 条：",
        f"a copy restored at {waiting.restored_at:%Y-%m-%d %H:%M} UTC; once released it sends {waiting.messages} "
        "messages:",
    )
    for account, (messages, people) in waiting.accounts.items():
        say(f"  {account}：{messages} 条，{people} 人", f"  {account}: {messages} messages to {people} people")
    say(
        f"另有 {waiting.timers} 个定时事项到期，放行后会办；{waiting.doubtful} 条存疑，不会自动发",
        f"{waiting.timers} timers are due and will fire; {waiting.doubtful} messages are in doubt and stay",
    )
    say(
        f"同意就运行 koukou backup release --yes {waiting.messages}；"
        "备份时已排队的可能早已由原来的服务发出，加 --drop 就不再发",
        f"to agree, run koukou backup release --yes {waiting.messages}; what was queued in the backup may have been "
        "sent by the original long ago: with --drop it is not sent",
    )

    _show_paused(waiting.pushes, held=True)


def _show_paused(pushes: Sequence[int], *, held: bool = False) -> None:
    """The pushes that a release pauses, and how each goes on."""
    if not pushes:
        return
    listed, count = ", ".join(map(str, pushes)), len(pushes)
    zh, en = ("放行时会暂停", "the release pauses them") if held else ("现在已暂停", "they are paused now")
    say(
        f"备份时正在发或后来到点的推送有 {count} 个（第 {listed} 号），{zh}：原来的服务可能已经发过。"
        "用 koukou push show 编号 看清楚，再用 koukou push resume 编号 接着发，或用 koukou push cancel 编号 取消",
        f"{count} pushes were running when the backup was made or fell due since (number {listed}); "
        f"{en}, for the original may have sent them. Look with koukou push show NUMBER, then koukou push resume NUMBER "
        "goes on, koukou push cancel NUMBER ends it",
    )


def _print(document: Any) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))


class _Progress:
    """One line on the error stream, renewed while a person watches; where nobody does, a line every ten seconds."""

    def __init__(self) -> None:
        self._watched = sys.stderr.isatty()
        self._shown = time.monotonic() if not self._watched else 0.0

    def __enter__(self) -> Callable[[str, int, int], None]:
        return self._tell

    def __exit__(self, *_: object) -> None:
        if self._watched:
            typer.echo("\r\033[K", nl=False, err=True)

    def _tell(self, table: str, rows: int, size: int) -> None:
        now = time.monotonic()
        if now - self._shown < (_SHOWN_EVERY if self._watched else _LOGGED_EVERY):
            return
        self._shown = now
        counted = f"{rows:,} rows" if language() == "en" else f"{rows:,} 行"
        line = f"{table}: {counted}" + (f", {size / 1e6:.0f} MB" if size else "")
        typer.echo(f"\r\033[K{line}" if self._watched else line, nl=not self._watched, err=True)
