"""Backups of a database of many people, by the commands that an operator types: seconds, sizes and memory of each.

On SQLite, then across into PostgreSQL, then on that. Everything restored is proved against the head of the manifest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from benchmarks import people, servers
from benchmarks.cases import Figures, Options, Say, Wrong
from storage import bulk, ids, revisions, tables
from storage.store import Store
from storage.tables import micros

_MEGABYTE = 1e6
_TEXTS = 4  # messages and answers that are kept of each person, beside what benchmarks/people.py makes
_SAID = json.dumps(
    [{"text": "签到成功，积分 +5，连续签到 3 天。明天再来，还有更多积分等您。", "choices": []}], ensure_ascii=False
)
_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command printed, how long it took, and the most memory it had, in megabytes."""

    said: dict[str, object]
    seconds: float
    memory: float


def measure(options: Options, say: Say) -> dict[str, list[Figures]]:
    """Create, verify and restore: from SQLite into SQLite, from SQLite into PostgreSQL, from PostgreSQL into it."""
    source = options.home / "backup-source.db"
    say(f"backup: {options.many} people")
    people.fill(f"sqlite:///{source}", options.many)
    _chatter(f"sqlite:///{source}", options.many)
    found: dict[str, list[Figures]] = {}
    with (
        servers.postgres(options.home, options.python) as (maintenance, _),
        servers.database(maintenance, "moved") as moved,
        servers.database(maintenance, "again") as again,
    ):
        first = f"sqlite:///{source}"
        ways = (
            ("backup_sqlite", first, f"sqlite:///{options.home / 'backup-restored.db'}"),
            ("backup_moved", first, moved),
            ("backup_postgres", moved, again),
        )
        for name, source_url, target_url in ways:
            file = options.home / f"{name}.zip"
            found[name] = [
                _one_way(options.home, source_url, target_url, file, lambda what, n=name: say(f"{n}: {what}"))
            ]
            file.unlink()
    return found


def _one_way(home: Path, source: str, target: str, file: Path, say: Say) -> Figures:
    say("create")
    made = _koukou(home, source, "create", "--to", str(file))
    say("verify")
    verified = _koukou(home, source, "verify", str(file))
    say("restore")
    restored = _koukou(home, target, "restore", str(file), "--without-erasures")
    ledger = restored.said["ledger"]
    if not isinstance(ledger, dict) or not ledger["ok"] or ledger["head"] != made.said["head"]:
        raise Wrong(f"what was restored is not what was backed up: {restored.said}")
    return {
        "megabytes": _size(source) / _MEGABYTE,
        "file": file.stat().st_size / _MEGABYTE,
        "create": made.seconds,
        "verify": verified.seconds,
        "restore": restored.seconds,
        "memory": max(made.memory, verified.memory, restored.memory),
    }


def _koukou(home: Path, url: str, *words: str) -> Ran:
    config = servers.configuration(home, url, 1)
    config.write_text(config.read_text().replace(json.dumps(servers.SECRET), json.dumps(people.SECRET)))
    command = [sys.executable, "-m", "bot", "--config", str(config), "backup", *words, "--json"]
    began = time.perf_counter()
    with subprocess.Popen(command, cwd=servers.ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Wrong(f"koukou backup {' '.join(words)} ended with {process.returncode}: {said.decode()[-2000:]}")
    return Ran(json.loads(said), time.perf_counter() - began, used.ru_maxrss / 1024)


def _size(url: str) -> int:
    store = Store(url, writer=False)
    with store.read() as connection:
        if store.is_sqlite:
            pages, page = (
                connection.execute(text(f"PRAGMA {what}")).scalar_one() for what in ("page_count", "page_size")
            )
            size = int(pages) * int(page)
        else:
            size = int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
    store.close()
    return size


def _chatter(url: str, count: int) -> None:
    """Texts, answers, keys and events of each person, as months of talking leave them; and an applied plan."""
    from datetime import UTC, datetime

    store = Store(url)
    now = micros(datetime.now(UTC))
    with store.begin() as connection:
        revisions.store_revision(connection, "family-network", _plan(), datetime.now(UTC), "operator", None)
        whom = connection.execute(text("SELECT id, subscriber FROM identity ORDER BY id")).all()
    for start in range(0, len(whom), _AT_ONCE):
        some = whom[start : start + _AT_ONCE]
        with store.begin() as connection:
            first = ids.take(connection, 2 * _TEXTS * len(some))
            texts, keys, sent = [], [], []
            for place, (identity, person) in enumerate(one for one in some for _ in range(_TEXTS)):
                number = first + 2 * place
                texts.append((number, person, identity, now - 1000 * number, "text", "签到", _SAID))
                keys.append((f"wechat:main:m:{7_570_000_000_000_000_000 + number}", number, now))
                row = ("wechat:main", number, 0, "reminder", 0, "sent", now, "", 0, "passive")
                sent.append((number + 1, person, identity, *row))
            columns = "id subscriber identity account text part kind lane state due_at lease tries reason"
            for table, names, rows in (
                ("text", "id subscriber identity at kind heard said", texts),
                ("inbox_key", "key text at", keys),
                ("delivery", columns, sent),
            ):
                bulk.insert(connection, tables.metadata.tables[table], tuple(names.split()), rows)
    store.close()


def _plan() -> dict[str, bytes]:
    from content.bundle import Bundle

    return dict(Bundle.read(servers.ROOT / "content" / "family-network").files)
