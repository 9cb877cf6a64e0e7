"""What quizzes leave behind: the board of best attempts, and counts of answers for staff.

Promises that reading costs the same whatever the number of people. It knows no question and no rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from storage import bulk, tables
from storage.vault import Vault

FURTHEST = 1_000  # a place beyond it is only said to be beyond
_BEST = ("campaign", "quiz", "subscriber", "missed", "took", "correct", "asked", "at")
_TALLY = ("campaign", "quiz", "question", "what", "slot", "times+")

Tally = tuple[str, str, str, str, int]  # campaign, quiz, question, what, slot


@dataclass(frozen=True, slots=True)
class Best:
    """Somebody's best attempt: `correct` of `asked`, `took` in microseconds, and what they told of themselves."""

    subscriber: int
    correct: int
    asked: int
    took: int
    profile: Mapping[str, Any] = field(default_factory=dict)


def write(
    connection: Connection, best: Mapping[tuple[str, str, int], tuple[int, ...]], tallies: Mapping[Tally, int]
) -> None:
    """Keep best attempts by (campaign, quiz, subscriber): (missed, took, correct, asked, at); and add the counts."""
    known = tables.metadata.tables
    bulk.upsert(connection, known["quiz_best"], _BEST, [(*key, *best[key]) for key in sorted(best)])
    bulk.upsert(connection, known["quiz_tally"], _TALLY, [(*key, tallies[key]) for key in sorted(tallies)])


def board(connection: Connection, vault: Vault, campaign: str, quiz: str, limit: int) -> list[Best]:
    """The first of the board, as committed."""
    sql = (
        "WITH first AS (SELECT subscriber, missed, took, correct, asked, at FROM quiz_best "
        "WHERE campaign = ? AND quiz = ? ORDER BY missed, took, at, subscriber LIMIT ?) "
        "SELECT first.*, k.wrapped, p.sealed FROM first LEFT JOIN person_key k ON k.subscriber = first.subscriber "
        "LEFT JOIN profile p ON p.subscriber = first.subscriber "
        "ORDER BY first.missed, first.took, first.at, first.subscriber"
    )
    rows = bulk.select_all(connection, sql, campaign, quiz, limit)
    return [Best(row.subscriber, row.correct, row.asked, row.took, _opened(vault, row)) for row in rows]


def place(connection: Connection, campaign: str, quiz: str, missed: int, took: int) -> int:
    """The place that such an attempt has among what is committed, from 1; FURTHEST + 1 for any beyond."""
    sql = (
        "SELECT COUNT(*) FROM (SELECT 1 FROM quiz_best WHERE campaign = ? AND quiz = ? AND (missed, took) < (?, ?) "
        "ORDER BY missed, took LIMIT ?) AS better"
    )
    return int(bulk.select_all(connection, sql, campaign, quiz, missed, took, FURTHEST)[0][0]) + 1


def forget(connection: Connection, subscriber: int) -> None:
    """Take the person off every board."""
    connection.execute(text("DELETE FROM quiz_best WHERE subscriber = :s"), {"s": subscriber})


def tallies(connection: Connection, campaign: str) -> dict[tuple[str, str, str], int]:
    """All counts of a campaign over all writers: (quiz, question, what) → how often."""
    rows = connection.execute(
        text(
            "SELECT quiz, question, what, SUM(times) AS times FROM quiz_tally WHERE campaign = :c "
            "GROUP BY quiz, question, what ORDER BY quiz, question, what"
        ),
        {"c": campaign},
    )
    return {(row.quiz, row.question, row.what): int(row.times) for row in rows}


def _opened(vault: Vault, row: Any) -> dict[str, Any]:
    return vault.open(vault.unwrap(bytes(row.wrapped)), bytes(row.sealed)) if row.wrapped and row.sealed else {}
