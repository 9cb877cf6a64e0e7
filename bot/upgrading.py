"""`koukou db upgrade`: says where the database stands, makes or advises a backup, names each migration as it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bot.terminal import refuse, say

if TYPE_CHECKING:
    from bot.config import Settings
    from storage.store import Store


def upgrade(settings: Settings, backup: Path | None) -> None:
    """Bring the database to this version; with `backup`, after one was written there."""
    from storage.store import Store, StoreLocked

    try:
        store = Store(settings.storage.url)
    except StoreLocked as locked:
        zh = f"有服务在用这个数据库（{locked.path}），先停止它；SQLite 的服务启动时会自己升级"
        en = f"a service uses this database ({locked.path}): stop it; on SQLite it upgrades by itself when it starts"
        raise refuse(zh, en) from None
    try:
        _upgrade(store, settings, backup)
    finally:
        store.close()


def _upgrade(store: Store, settings: Settings, backup: Path | None) -> None:
    from storage import schema
    from storage.store import DatabaseFault

    with store.begin() as connection:
        found = schema.version(connection)
    if found == schema.head():
        say(f"数据库已是 {found}，没有要做的", f"the database is at {found} already; nothing to do")
        return
    if found is not None and schema.known(found):
        _protect(settings, backup, found)
    try:
        schema.upgrade(store, _tell)
    except schema.SchemaTooNew as wrong:
        zh, _, en = str(wrong).partition(" | ")
        raise refuse(zh, en) from None
    except TimeoutError:
        raise refuse(
            "另一个节点在准备这个数据库，迟迟没有做完", "another node prepares this database and does not end"
        ) from None
    except DatabaseFault as fault:
        why = str(fault.orig).splitlines()[0]
        zh, en = f"没有升级，数据库还是原样：{why}", f"not upgraded, the database is as it was: {why}"
        raise refuse(zh, en) from None
    with store.read() as connection:
        now = schema.version(connection)
    say(f"数据库已是 {now}", f"the database is at {now}")


def _protect(settings: Settings, backup: Path | None, found: str) -> None:
    from bot import commands_backup
    from storage import schema

    say(
        f"数据库在 {found}，将升级到 {schema.head()}",
        f"the database is at {found} and goes to {schema.head()}",
        error=True,
    )
    if backup:
        commands_backup.make(settings, backup)
        say(f"已先备份到 {backup}", f"backed up to {backup} first", error=True)
    else:
        zh = "没有先备份；下次可用 koukou db upgrade --backup 文件，出了问题好退回"
        en = "no backup was made first; koukou db upgrade --backup FILE makes one to go back to"
        say(zh, en, error=True)


def _tell(step: str) -> None:
    if step == "locked":
        say("表正被使用，稍后再试", "a table is in use; trying again", error=True)
    else:
        say(f"迁移 {step} …", f"migration {step} …", error=True)
