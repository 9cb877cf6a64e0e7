"""The journal of erasures: who left or asked to be forgotten, by keyed hash alone, in a table and in a file beside it.

A backup made before an erasure still holds the person; the file lies outside of the backup, and what it says is done
again in a restored copy before anybody reads it. Knows how to note and copy, not how to erase.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, text

from storage.store import machine_now
from storage.tables import micros

KEPT_DAYS = 400  # a backup that is older must not be restored, nor kept
_DAY, _OVERLAP = 86_400_000_000, 300_000_000  # microseconds; no transaction lasts as long as the overlap
_LINE_MAX = 4096
_REMEMBERED = 20_000  # lines of a long journal that are looked through at once


class JournalBroken(Exception):
    """A line of the journal cannot be read; `line` counts from 1."""

    def __init__(self, path: Path, line: int) -> None:
        super().__init__(f"{path}:{line}")
        self.path, self.line = path, line


@dataclass(frozen=True, slots=True)
class Erasure:
    """One erasure of one identity. Instants in microseconds; `noted_at` is machine time."""

    digest: str
    kind: str
    at: int
    until: int
    noted_at: int


def note(
    connection: Connection, kind: str, column: Literal["id", "subscriber"], number: int, at: datetime, until: datetime
) -> None:
    """Write down, in the transaction that erases, the identity `id` or all of a `subscriber`."""
    connection.execute(
        text(
            "INSERT INTO erasure (digest, kind, at, until, noted_at) SELECT digest, :kind, :at, :until, :noted "
            f"FROM identity WHERE {column} = :number AND digest NOT LIKE 'gone:%' "
            "ON CONFLICT (digest, kind, at) DO NOTHING"
        ),
        {
            "kind": kind,
            "at": micros(at),
            "until": micros(until),
            "noted": machine_now(connection),
            "number": number,
        },
    )


def since(connection: Connection, noted_at: int) -> list[Erasure]:
    """What was noted at or after this instant of machine time, oldest first."""
    rows = connection.execute(
        text(
            "SELECT digest, kind, at, until, noted_at FROM erasure WHERE noted_at >= :noted ORDER BY noted_at, digest"
        ),
        {"noted": noted_at},
    )
    return [Erasure(*row) for row in rows]


def forget_old(connection: Connection, batch: int) -> int:
    """Drop what no backup that may still be restored can need; returns how many."""
    old = machine_now(connection) - KEPT_DAYS * _DAY
    return connection.execute(
        text(
            "DELETE FROM erasure WHERE noted_at < :old AND digest IN "
            "(SELECT digest FROM erasure WHERE noted_at < :old ORDER BY noted_at LIMIT :n)"
        ),
        {"old": old, "n": batch},
    ).rowcount


class Journal:
    """The file. Append-only, a JSON line each, mode 0600; nodes that share one take turns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written: dict[tuple[str, str, int], int] | None = None

    def reach(self) -> int:
        """From which instant of machine time `copy` wants to know what was noted."""
        if self._written is None:
            self._written = {}
            for one in read(self.path):
                self._written[one.digest, one.kind, one.at] = one.noted_at
                if len(self._written) > _REMEMBERED:
                    self._prune()
        return self._prune()

    def _prune(self) -> int:
        """Remember only what may be noted once more; returns from when that is."""
        written = self._written or {}
        reach = max(0, max(written.values(), default=0) - _OVERLAP)
        self._written = {key: noted for key, noted in written.items() if noted >= reach}
        return reach

    def copy(self, noted: list[Erasure]) -> int:
        """Append what is not there yet, durably; returns how many. Raises OSError, and comes again with the next."""
        written = self._written if self._written is not None else {}
        fresh = [one for one in noted if (one.digest, one.kind, one.at) not in written]
        if fresh or not self.path.exists():  # an empty one says that nobody was erased; none at all, that it is lost
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(handle, "ab+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                _mend(file.fileno())
                file.write(b"".join(_line(one) for one in fresh))
                file.flush()
                os.fsync(file.fileno())
            written.update({(one.digest, one.kind, one.at): one.noted_at for one in fresh})
        return len(fresh)


def read(path: Path) -> Iterator[Erasure]:
    """Every line of a journal; a last line that a fallen machine cut off is passed over. Raises JournalBroken."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                one = json.loads(line)
                if not isinstance(one["digest"], str) or one["kind"] not in ("forgotten", "left"):
                    raise ValueError
                yield Erasure(one["digest"], one["kind"], int(one["at"]), int(one["until"]), int(one["noted_at"]))
            except (ValueError, KeyError, TypeError):
                if line.endswith(b"\n"):
                    raise JournalBroken(path, number) from None


def _line(one: Erasure) -> bytes:
    return json.dumps(asdict(one), separators=(",", ":")).encode() + b"\n"


def _mend(handle: int) -> None:
    """Take off a last line that was cut, so that it does not swallow the next one; its erasure is noted again."""
    size = os.fstat(handle).st_size
    tail = os.pread(handle, _LINE_MAX, max(0, size - _LINE_MAX))
    if tail and not tail.endswith(b"\n"):
        os.ftruncate(handle, size - len(tail) + tail.rfind(b"\n") + 1)
