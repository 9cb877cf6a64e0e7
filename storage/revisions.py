"""Plans as applied: numbered revisions of whole folders, every file by the hash of its bytes.

Promises that a revision, once stored, never changes, and that two people cannot overwrite each other unseen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from storage import bulk, tables
from storage.tables import instant, micros


class RevisionConflict(Exception):
    """The files were made from another revision than the `current` one."""

    def __init__(self, current: int | None) -> None:
        super().__init__(f"current revision is {current}")
        self.current = current


@dataclass(frozen=True, slots=True)
class Applied:
    """The revision that stands now, and whether storing made it."""

    number: int
    changed: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """One revision: its number, when and by whom it was applied (`operator`, `staff:3`), the hash of all its files."""

    number: int
    at: datetime
    by: str
    digest: str


def store_revision(
    connection: Connection, campaign: str, files: Mapping[str, bytes], at: datetime, by: str, expected: int | None
) -> Applied:
    """Store `files` (path → bytes) as the next revision; the same files as the current one store nothing.

    Raises RevisionConflict when `expected` is not the current number.
    """
    present = current(connection, campaign)
    digests = {path: hashlib.sha256(raw).hexdigest() for path, raw in files.items()}
    whole = hashlib.sha256("\n".join(f"{path} {digests[path]}" for path in sorted(digests)).encode()).hexdigest()
    if present is not None and _digest(connection, campaign, present) == whole:
        return Applied(present, False)
    if present != expected:
        raise RevisionConflict(present)
    number = (present or 0) + 1
    revision = {"campaign": campaign, "number": number, "digest": whole, "at": micros(at), "by": by}
    # Of two that apply at once the second waits here for the first one's commit, and then finds the number taken.
    taken = connection.execute(
        text(
            "INSERT INTO revision (campaign, number, digest, applied_at, applied_by) "
            "VALUES (:campaign, :number, :digest, :at, :by) ON CONFLICT (campaign, number) DO NOTHING RETURNING number"
        ),
        revision,
    ).scalar()
    if taken is None:
        raise RevisionConflict(current(connection, campaign))
    blobs = {digests[path]: raw for path, raw in files.items()}
    known = {row[0] for row in bulk.select(connection, "SELECT digest FROM blob WHERE digest IN {set}", blobs)}
    for digest in sorted(blobs.keys() - known):
        connection.execute(
            text("INSERT INTO blob (digest, content) VALUES (:digest, :content) ON CONFLICT (digest) DO NOTHING"),
            {"digest": digest, "content": blobs[digest]},
        )
    rows = sorted((campaign, number, path, digest) for path, digest in digests.items())
    table = tables.metadata.tables["revision_file"]
    bulk.insert(connection, table, ("campaign", "number", "path", "digest"), rows)
    return Applied(number, True)


def current(connection: Connection, campaign: str) -> int | None:
    """The number in force; None when nothing was applied."""
    # Asked by every group: on the driver's own cursor it costs a fifth of a statement that SQLAlchemy compiles.
    number = bulk.select_all(connection, "SELECT MAX(number) FROM revision WHERE campaign = ?", campaign)[0][0]
    return None if number is None else int(number)


def listed(connection: Connection, campaign: str, limit: int, before: int = 0) -> list[Stored]:
    """Revisions of a campaign, newest first, of those below `before` where it is given."""
    rows = connection.execute(
        text(
            "SELECT number, applied_at, applied_by, digest FROM revision WHERE campaign = :c AND number < :before "
            "ORDER BY number DESC LIMIT :n"
        ),
        {"c": campaign, "before": before or 2**31 - 1, "n": limit},
    )
    return [Stored(row.number, instant(row.applied_at), row.applied_by, row.digest) for row in rows]


def campaigns(connection: Connection) -> list[str]:
    """Campaigns with a plan, in the order they were first applied."""
    rows = connection.execute(
        text("SELECT campaign FROM revision GROUP BY campaign ORDER BY MIN(applied_at), campaign")
    )
    return list(rows.scalars())


def files(connection: Connection, campaign: str, number: int) -> dict[str, bytes]:
    """The files of a revision. Raises KeyError when there is no such revision."""
    rows = connection.execute(
        text(
            "SELECT f.path, b.content FROM revision_file f JOIN blob b ON b.digest = f.digest "
            "WHERE f.campaign = :campaign AND f.number = :number"
        ),
        {"campaign": campaign, "number": number},
    ).all()
    if not rows:
        raise KeyError((campaign, number))
    return {path: bytes(content) for path, content in rows}


def _digest(connection: Connection, campaign: str, number: int) -> str:
    query = "SELECT digest FROM revision WHERE campaign = :campaign AND number = :number"
    return str(connection.execute(text(query), {"campaign": campaign, "number": number}).scalar_one())
