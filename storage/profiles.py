"""What people told us of themselves (names, numbers), each under a key of their own, which can be destroyed.

Refuses to know what the fields mean, and who may ask for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from storage import bulk, tables
from storage.vault import Vault


def read(connection: Connection, vault: Vault, subscriber: int) -> dict[str, Any]:
    """What the person told us of themselves; empty when nothing, or when it was forgotten."""
    row = connection.execute(
        text(
            "SELECT k.wrapped, p.sealed FROM person_key k JOIN profile p ON p.subscriber = k.subscriber "
            "WHERE k.subscriber = :s"
        ),
        {"s": subscriber},
    ).one_or_none()
    return vault.open(vault.unwrap(bytes(row.wrapped)), bytes(row.sealed)) if row else {}


def write(connection: Connection, vault: Vault, subscriber: int, data: dict[str, Any]) -> None:
    """Keep what the person told us, under a key of their own."""
    wrapped = connection.execute(
        text("SELECT wrapped FROM person_key WHERE subscriber = :s"), {"s": subscriber}
    ).scalar()
    if wrapped is None:
        key, wrapped = vault.new_person_key()
        connection.execute(
            text("INSERT INTO person_key (subscriber, wrapped) VALUES (:s, :w)"), {"s": subscriber, "w": wrapped}
        )
    else:
        key = vault.unwrap(bytes(wrapped))
    connection.execute(
        text(
            "INSERT INTO profile (subscriber, sealed) VALUES (:s, :p) "
            "ON CONFLICT (subscriber) DO UPDATE SET sealed = excluded.sealed"
        ),
        {"s": subscriber, "p": vault.seal(key, data)},
    )


def change(connection: Connection, vault: Vault, changes: Mapping[int, Mapping[str, Any]]) -> None:
    """Change single fields of these locked people's profiles; None takes a field away. Set-wise."""
    if not changes:
        return
    rows = bulk.select(
        connection,
        "SELECT k.subscriber, k.wrapped, p.sealed FROM person_key k LEFT JOIN profile p ON p.subscriber = k.subscriber "
        "WHERE k.subscriber IN {set}",
        sorted(changes),
    )
    known = {row.subscriber: (bytes(row.wrapped), row.sealed) for row in rows}
    keys, profiles = [], []
    for subscriber, fields in sorted(changes.items()):
        wrapped, sealed = known.get(subscriber, (b"", None))
        if wrapped:
            key = vault.unwrap(wrapped)
        else:
            key, wrapped = vault.new_person_key()
            keys.append((subscriber, wrapped))
        before = vault.open(key, bytes(sealed)) if sealed else {}
        after = {name: value for name, value in {**before, **fields}.items() if value is not None}
        profiles.append((subscriber, vault.seal(key, after)))
    bulk.insert(connection, tables.metadata.tables["person_key"], ("subscriber", "wrapped"), keys)
    bulk.upsert(connection, tables.metadata.tables["profile"], ("subscriber", "sealed"), profiles)


def destroy(connection: Connection, subscriber: int) -> None:
    """Take the profile and its key away: what a backup still holds of it nobody can read."""
    connection.execute(text("DELETE FROM person_key WHERE subscriber = :s"), {"s": subscriber})
    connection.execute(text("DELETE FROM profile WHERE subscriber = :s"), {"s": subscriber})
