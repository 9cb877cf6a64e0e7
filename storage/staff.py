"""Members of staff and where they are logged in. Who may change what is decided in campaigns/staff.py.

Times of sessions are the database's machine time, so that all nodes end them alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from storage import ids
from storage.store import machine_now
from storage.tables import instant, micros

_MEMBER = "m.id, m.name, m.password, m.change_by, m.roles, m.branch, m.language, m.totp, m.totp_step, m.active"
_SESSION = "s.id AS number, s.proved, s.totp_new, s.opened_at, s.seen_at, s.until, s.source, s.agent"
_CHANGES = frozenset({"password", "change_by", "roles", "branch", "language", "totp", "totp_step", "active"})
_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Member:
    """One member of staff. `totp` is sealed; `change_by` is set while the password is one that somebody else gave."""

    id: int
    name: str
    password: str
    change_by: datetime | None
    roles: tuple[str, ...]
    branch: str | None
    language: str
    totp: bytes | None
    totp_step: int
    active: bool


@dataclass(frozen=True, slots=True)
class Session:
    """One log-in. `proved`: every factor that was set up when it began was given; `totp_new` is one in the making."""

    id: int
    proved: bool
    totp_new: bytes | None
    opened_at: datetime
    seen_at: datetime
    until: datetime
    source: str
    agent: str


def is_empty(connection: Connection) -> bool:
    """Whether nobody was ever a member."""
    return connection.execute(text("SELECT 1 FROM staff LIMIT 1")).first() is None


def add(
    connection: Connection,
    name: str,
    password: str,
    change_by: datetime | None,
    roles: tuple[str, ...],
    branch: str | None,
    language: str,
    now: datetime,
) -> int | None:
    """Make a member and return their id; None when somebody has the name."""
    number = ids.take_apart(connection, 1)
    added = connection.execute(
        text(
            "INSERT INTO staff (id, name, password, change_by, roles, branch, language, totp_step, active, created_at) "
            "VALUES (:id, :name, :password, :change_by, :roles, :branch, :language, 0, :active, :now) "
            "ON CONFLICT (name) DO NOTHING"
        ),
        {
            **{"id": number, "name": name, "password": password, "roles": ",".join(roles), "branch": branch},
            **{"language": language, "active": True, "now": micros(now)},
            "change_by": micros(change_by) if change_by else None,
        },
    )
    return number if added.rowcount == 1 else None


def by_name(connection: Connection, name: str) -> Member | None:
    """The member of that name, folded as it is stored."""
    row = connection.execute(text(f"SELECT {_MEMBER} FROM staff m WHERE m.name = :name"), {"name": name}).first()
    return _member(row) if row else None


def members(connection: Connection, *, lock: bool = False) -> list[Member]:
    """Everybody, active or not, by name; with `lock` nobody else changes any of them before this transaction ends."""
    locking = " FOR UPDATE" if lock and connection.dialect.name != "sqlite" else ""
    order = "m.id" if lock else "m.name"
    rows = connection.execute(text(f"SELECT {_MEMBER} FROM staff m ORDER BY {order}{locking}"))
    return [_member(row) for row in rows]


def member(connection: Connection, number: int) -> Member | None:
    """One member."""
    row = connection.execute(text(f"SELECT {_MEMBER} FROM staff m WHERE m.id = :id"), {"id": number}).first()
    return _member(row) if row else None


def change(connection: Connection, number: int, **changes: Any) -> None:
    """Set columns of a member; `change_by` is an instant, `roles` a tuple. Raises KeyError for any other name."""
    if changes.keys() - _CHANGES:
        raise KeyError(", ".join(sorted(changes.keys() - _CHANGES)))
    if changes.get("change_by") is not None:
        changes["change_by"] = micros(changes["change_by"])
    if "roles" in changes:
        changes["roles"] = ",".join(changes["roles"])
    sets = ", ".join(f"{name} = :{name}" for name in sorted(changes))
    connection.execute(text(f"UPDATE staff SET {sets} WHERE id = :id"), {**changes, "id": number})


def use_step(connection: Connection, number: int, step: int) -> bool:
    """Mark a TOTP step as used; False when it, or a later one, was used before."""
    query = text("UPDATE staff SET totp_step = :step WHERE id = :id AND totp_step < :step")
    return connection.execute(query, {"step": step, "id": number}).rowcount == 1


def set_recovery(connection: Connection, number: int, digests: list[str]) -> None:
    """These codes in place of all that were given out before."""
    connection.execute(text("DELETE FROM staff_recovery WHERE staff = :staff"), {"staff": number})
    for digest in digests:
        query = text("INSERT INTO staff_recovery (digest, staff) VALUES (:digest, :staff)")
        connection.execute(query, {"digest": digest, "staff": number})


def use_recovery(connection: Connection, number: int, digest: str) -> bool:
    """Use up a recovery code; False when there is none such."""
    query = text("DELETE FROM staff_recovery WHERE digest = :digest AND staff = :staff")
    return connection.execute(query, {"digest": digest, "staff": number}).rowcount == 1


def recovery_left(connection: Connection, number: int) -> int:
    """How many recovery codes are left."""
    query = text("SELECT COUNT(*) FROM staff_recovery WHERE staff = :staff")
    return int(connection.execute(query, {"staff": number}).scalar_one())


# ---- sessions


def open_session(
    connection: Connection, number: int, digest: str, *, proved: bool, seconds: int, source: str, agent: str
) -> int:
    """Log a member in for at most so many seconds; returns the session's id."""
    now = machine_now(connection)
    connection.execute(text("DELETE FROM staff_session WHERE until <= :now"), {"now": now})
    session = ids.take_apart(connection, 1)
    connection.execute(
        text(
            "INSERT INTO staff_session (id, digest, staff, proved, opened_at, seen_at, until, source, agent) "
            "VALUES (:id, :digest, :staff, :proved, :now, :now, :until, :source, :agent)"
        ),
        {
            **{"id": session, "digest": digest, "staff": number, "proved": proved, "now": now},
            **{"until": now + seconds * _SECOND, "source": source, "agent": agent},
        },
    )
    return session


def session(connection: Connection, digest: str, idle: int) -> tuple[Session, Member] | None:
    """The live session behind a token's hash and its active member; none when it was idle for `idle` seconds."""
    now = machine_now(connection)
    row = connection.execute(
        text(
            f"SELECT {_MEMBER}, {_SESSION} FROM staff_session s JOIN staff m ON m.id = s.staff "
            "WHERE s.digest = :digest AND s.until > :now AND s.seen_at > :idle AND m.active"
        ),
        {"digest": digest, "now": now, "idle": now - idle * _SECOND},
    ).first()
    return (_session(row), _member(row)) if row else None


def seen(connection: Connection, number: int) -> None:
    """The session was used just now."""
    query = text("UPDATE staff_session SET seen_at = :now WHERE id = :id")
    connection.execute(query, {"now": machine_now(connection), "id": number})


def set_new_totp(connection: Connection, number: int, sealed: bytes | None) -> None:
    """Keep a second factor in the making with the session that makes it."""
    query = text("UPDATE staff_session SET totp_new = :totp WHERE id = :id")
    connection.execute(query, {"totp": sealed, "id": number})


def sessions(connection: Connection, number: int, idle: int) -> list[Session]:
    """A member's live sessions, used last first."""
    now = machine_now(connection)
    rows = connection.execute(
        text(
            f"SELECT {_SESSION} FROM staff_session s WHERE s.staff = :staff AND s.until > :now AND s.seen_at > :idle "
            "ORDER BY s.seen_at DESC, s.id"
        ),
        {"staff": number, "now": now, "idle": now - idle * _SECOND},
    )
    return [_session(row) for row in rows]


def end_session(connection: Connection, number: int, one: int) -> bool:
    """End one session of this member; False when it is none of theirs, or over."""
    query = text("DELETE FROM staff_session WHERE id = :id AND staff = :staff")
    return connection.execute(query, {"id": one, "staff": number}).rowcount == 1


def end_sessions(connection: Connection, number: int, but: int = 0) -> int:
    """End all of a member's sessions, except `but`; returns how many ended."""
    query = text("DELETE FROM staff_session WHERE staff = :staff AND id <> :but")
    return connection.execute(query, {"staff": number, "but": but}).rowcount


def _member(row: Any) -> Member:
    return Member(
        id=row.id,
        name=row.name,
        password=row.password,
        change_by=instant(row.change_by) if row.change_by is not None else None,
        roles=tuple(filter(None, row.roles.split(","))),
        branch=row.branch,
        language=row.language,
        totp=bytes(row.totp) if row.totp is not None else None,
        totp_step=row.totp_step,
        active=bool(row.active),
    )


def _session(row: Any) -> Session:
    return Session(
        id=row.number,
        proved=bool(row.proved),
        totp_new=bytes(row.totp_new) if row.totp_new is not None else None,
        opened_at=instant(row.opened_at),
        seen_at=instant(row.seen_at),
        until=instant(row.until),
        source=row.source,
        agent=row.agent,
    )
