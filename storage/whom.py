"""Whom words name, for many words at once: a number, a referral code, `channel:address`; and who people are now.

Set-wise: a file of thousands costs a few statements. It knows no rule of what may be done with them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from typing import NamedTuple

from sqlalchemy import Connection

from storage import bulk, referrals
from storage.vault import Vault

WORDS_MAX = 200
_ADDRESSED = re.compile(r"([a-z]+)(?:/([\w-]+))?:(\S{1,200})")
_NUMBER = re.compile(r"[0-9]{1,18}")
_COLUMNS = "s.id, s.status, s.alias_of, s.guest, s.branch"


class Person(NamedTuple):
    """One subscriber as they stand now."""

    id: int
    status: str
    guest: bool
    branch: str | None


def named(connection: Connection, vault: Vault, words: Iterable[str]) -> dict[str, set[int]]:
    """The subscribers whom each of the words can mean, as they are numbered in their rows; of most words one."""
    numbers: dict[int, list[str]] = {}
    codes: dict[str, list[str]] = {}
    digests: dict[str, list[str]] = {}
    found: dict[str, set[int]] = {word: set() for word in words}
    for word in found:
        clean = unicodedata.normalize("NFKC", word[:WORDS_MAX]).strip()
        if _NUMBER.fullmatch(clean):
            numbers.setdefault(int(clean), []).append(word)
        if code := referrals.spelled(clean):
            codes.setdefault(code, []).append(word)
        elif place := _ADDRESSED.fullmatch(clean):
            digests.setdefault(vault.digest(place[1], place[2] or "main", place[3]), []).append(word)
    for row in bulk.select(connection, "SELECT id FROM subscriber WHERE id IN {set}", sorted(numbers)):
        for word in numbers[row.id]:
            found[word].add(row.id)
    for row in bulk.select(connection, "SELECT id, code FROM subscriber WHERE code IN {set}", sorted(codes)):
        for word in codes[row.code]:
            found[word].add(row.id)
    sql = "SELECT subscriber, digest FROM identity WHERE digest IN {set}"
    for row in bulk.select(connection, sql, sorted(digests)):
        for word in digests[row.digest]:
            found[word].add(row.subscriber)
    return found


def standing(connection: Connection, numbers: Collection[int], *, lock: bool = False) -> dict[int, Person]:
    """Who these people are now, by the number asked for: somebody joined to another is that person.

    With `lock` they are locked in key order, as a message group locks them: nothing of theirs changes meanwhile.
    """
    locking = " ORDER BY s.id FOR UPDATE" if lock and connection.dialect.name != "sqlite" else ""
    sql = f"SELECT {_COLUMNS} FROM subscriber s WHERE s.id IN {{set}}{locking}"
    found: dict[int, Person] = {}
    leads = {number: number for number in numbers}
    while leads:
        rows = {row.id: row for row in bulk.select(connection, sql, sorted(set(leads.values())))}
        further: dict[int, int] = {}
        for asked, number in leads.items():
            row = rows.get(number)
            if row is not None and row.alias_of is not None:
                further[asked] = row.alias_of
            elif row is not None:
                found[asked] = Person(row.id, row.status, bool(row.guest), row.branch)
        leads = further
    return found


def aliases(connection: Connection, numbers: Collection[int]) -> dict[int, list[int]]:
    """The numbers under which each of these people was known before they were joined to who they are now."""
    found: dict[int, list[int]] = {}
    sql = "SELECT id, alias_of FROM subscriber WHERE alias_of IN {set} ORDER BY id"
    for row in bulk.select(connection, sql, sorted(numbers)):
        found.setdefault(row.alias_of, []).append(row.id)
    return found
