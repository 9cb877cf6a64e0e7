"""What surveys leave behind of people: who took which, and what they answered.

Promises one row per person and question, the first answer; and that own words stand only in the text that held them.
It counts nothing: see `storage.survey_results`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from storage import bulk, tables
from storage.tables import instant

_TAKEN = ("campaign", "survey", "subscriber", "began_at", "finished_at")
_ANSWER = ("campaign", "survey", "question", "subscriber", "value", "text", "at")

Taken = tuple[str, str, int]  # campaign, survey, subscriber
Answer = tuple[str, str, str, int]  # campaign, survey, question, subscriber


def write(
    connection: Connection,
    taken: Mapping[Taken, tuple[int, int | None]],
    answers: Mapping[Answer, tuple[int, int | None, int]],
) -> None:
    """Keep who took what: (began, finished); and answers: (value, text, at). All instants as stored."""
    known = tables.metadata.tables
    bulk.upsert(connection, known["survey_taken"], _TAKEN, [(*key, *taken[key]) for key in sorted(taken)])
    # The first answer stands, whatever came of it above.
    rows = [(*key, *answers[key]) for key in sorted(answers)]
    bulk.insert_missing(connection, known["survey_answer"], _ANSWER, rows)


def of_person(connection: Connection, subscriber: int) -> list[dict[str, Any]]:
    """Every survey that a person took, with their answers; own words as long as their text is kept."""
    rows = connection.execute(
        text(
            "SELECT t.campaign, t.survey, t.began_at, t.finished_at, a.question, a.value, a.text, w.heard "
            "FROM survey_taken t LEFT JOIN survey_answer a ON a.subscriber = t.subscriber "
            "AND a.campaign = t.campaign AND a.survey = t.survey LEFT JOIN text w ON w.id = a.text "
            "WHERE t.subscriber = :s ORDER BY t.began_at, t.campaign, t.survey, a.at, a.question"
        ),
        {"s": subscriber},
    )
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        begun, ended = instant(row.began_at), None if row.finished_at is None else instant(row.finished_at)
        about = {"campaign": row.campaign, "survey": row.survey, "began_at": begun, "finished_at": ended, "answers": []}
        one = found.setdefault((row.campaign, row.survey), about)
        if row.question is not None:
            words = {} if row.text is None else {"words": row.heard}
            one["answers"].append({"question": row.question, "value": row.value, **words})
    return list(found.values())


def forget(connection: Connection, subscriber: int) -> None:
    """Take away what the person answered."""
    for table in ("survey_answer", "survey_taken"):
        connection.execute(text(f"DELETE FROM {table} WHERE subscriber = :s"), {"s": subscriber})


def unite(connection: Connection, older: int, younger: int) -> None:
    """Let one of two people have taken each survey: whoever finished it alone, else the older."""
    rows = bulk.select(
        connection,
        "SELECT campaign, survey, subscriber, finished_at FROM survey_taken WHERE subscriber IN {set}",
        [older, younger],
    )
    both: dict[tuple[str, str], dict[int, bool]] = {}
    for row in rows:
        both.setdefault((row.campaign, row.survey), {})[row.subscriber] = row.finished_at is not None
    for (campaign, survey), done in both.items():
        if len(done) == 2:
            gone = older if done[younger] and not done[older] else younger
            for table in ("survey_answer", "survey_taken"):
                connection.execute(
                    text(f"DELETE FROM {table} WHERE campaign = :c AND survey = :v AND subscriber = :s"),
                    {"c": campaign, "v": survey, "s": gone},
                )
    for table in ("survey_answer", "survey_taken"):
        connection.execute(
            text(f"UPDATE {table} SET subscriber = :o WHERE subscriber = :y"), {"o": older, "y": younger}
        )
