"""The machine under us: room and speed of the disk the database lies on, and a font that can write Chinese.

It measures and reads; the one thing it writes is a small file beside the database, which it removes.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bot.doctor import Finding, Look, fault, ok, warning
from storage.health import sqlite_file

SPACE_FAULT_BYTES = 200 * 1024 * 1024
SPACE_WARNING_BYTES = 2 * 1024 * 1024 * 1024
# A message is acknowledged only after its commit was synced: at 50 ms a machine answers twenty groups in a second.
SYNC_WARNING_SECONDS = 0.05
SYNC_FAULT_SECONDS = 0.5
_SYNCS = 8
_NETWORKED = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph", "glusterfs", "fuse.glusterfs")


def disk(look: Look) -> Iterator[Finding]:
    """Free space where we write, and on SQLite the kind of file system and how long a sync takes."""
    database = sqlite_file(look.settings.storage.url)
    folder = _existing(database.parent if database else Path.cwd())
    free = shutil.disk_usage(folder).free
    size = f"{free / 1024**3:.1f} GB"
    if free < SPACE_WARNING_BYTES:
        yield (fault if free < SPACE_FAULT_BYTES else warning)(
            f"{folder} 所在的磁盘只剩 {size}",
            f"only {size} left on the disk of {folder}",
            "清理或扩容；写满后消息不会被确认，平台会重发直到放弃",
            "make room: when it is full no message is acknowledged, and platforms give up repeating them",
        )
    else:
        yield ok(f"磁盘还有 {size}", f"{size} of disk left")
    if database is None:
        return
    where = look.where("storage", "url")
    kind = filesystem(folder)
    if kind in _NETWORKED:
        yield fault(
            f"{folder} 在网络文件系统上（{kind}），SQLite 的锁在那里不可靠，会损坏数据",
            f"{folder} lies on a network file system ({kind}), where SQLite's locks fail and data is damaged",
            "把数据库放到本地磁盘，或改用 PostgreSQL",
            "put the database on a local disk, or use PostgreSQL",
            where,
        )
    try:
        took = sync_seconds(folder)
    except OSError as wrong:
        yield fault(
            f"写不了 {folder}（{wrong.strerror}）",
            f"{folder} cannot be written ({wrong.strerror})",
            "让运行服务的用户拥有这个文件夹",
            "let the user who runs the service own this folder",
            where,
        )
        return
    said_zh, said_en = f"落盘一次 {took * 1000:.1f} 毫秒", f"a sync to disk takes {took * 1000:.1f} ms"
    if took > SYNC_WARNING_SECONDS:
        yield (fault if took > SYNC_FAULT_SECONDS else warning)(
            said_zh,
            said_en,
            "换更快的磁盘（本地 SSD）；每条消息确认前都要落盘一次",
            "use a faster disk (a local SSD): every message waits for one",
            where,
        )
    else:
        yield ok(said_zh, said_en)


def sync_seconds(folder: Path) -> float:
    """The median time of writing 4 KB and having it on disk. Raises OSError where the folder cannot be written."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_SYNCS):
            began = time.perf_counter()
            file.write(b"\0" * 4096)
            file.flush()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def filesystem(folder: Path, mounts: Path = Path("/proc/mounts")) -> str:
    """The kind of the file system that holds a folder; nothing where the machine does not tell."""
    try:
        lines = [line.split() for line in mounts.read_text().splitlines()]
    except OSError:
        return ""
    held = [line for line in lines if len(line) > 2 and folder.resolve().is_relative_to(_unquoted(line[1]))]
    return max(held, key=lambda line: len(line[1]))[2] if held else ""


def _unquoted(path: str) -> str:
    return path.encode().decode("unicode_escape")


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def fonts(look: Look) -> Iterator[Finding]:
    """Whether the font that posters are written in is there, and has a glyph for each character of our phrases."""
    # The package is named first: another check's thread imports it too, and two that begin with it and with a part of
    # it would wait for each other.
    from content.posters import setting

    mend = ("重新安装：make install", "install again: make install")
    try:
        path = setting.shipped_font()
        missing = sorted(char for char in _characters() if not setting.shows(b"", char))
    except (ImportError, StopIteration, setting.Unusable) as wrong:
        yield fault(f"没有中文字体（{wrong}）", f"there is no Chinese font ({wrong})", *mend)
        return
    if missing:
        yield fault(
            f"字体 {Path(path).name} 缺字：{''.join(missing[:20])}",
            f"the font {Path(path).name} lacks {''.join(missing[:20])}",
            *mend,
        )
    else:
        yield ok(f"字体 {Path(path).name} 齐全", f"the font {Path(path).name} has every character")


def _characters() -> set[str]:
    """Chinese characters of the phrases, and some that people's names bring."""
    import content

    folder = Path(content.__file__).parent / "phrases"
    said = "".join(path.read_text("utf-8") for path in sorted(folder.glob("*.toml"))) + "喆堃龘玥㛃"
    return {char for char in said if "㐀" <= char <= "鿿"}
