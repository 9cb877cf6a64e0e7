"""What surveys leave behind: who took them and what was answered, counted for everybody or for a segment.

Promises one row per person and question, and that an answer in own words goes with the text that holds it. Testers are
in no figure. It knows no question and no rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from storage import bulk, segments, tables
from storage.segment_sql import Audience, Query
from storage.tables import instant

_TAKEN = ("campaign", "survey", "subscriber", "began_at", "finished_at")
_ANSWER = ("campaign", "survey", "question", "subscriber", "value", "text", "at")

Taken = tuple[str, str, int]  # campaign, survey, subscriber
Answer = tuple[str, str, str, int]  # campaign, survey, question, subscriber


@dataclass(slots=True)
class Figures:
    """A survey counted: people who began and who finished, web guests among those who began, and of each question how
    often each value was given."""

    began: int = 0
    finished: int = 0
    guests: int = 0
    answers: dict[str, dict[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Words:
    """An answer in own words. `words` is None where the text's time is over."""

    at: Any
    words: str | None


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


def figures(connection: Connection, campaign: str, survey: str, audience: Audience | None = None) -> Figures:
    """One survey's figures, of everybody or of those who are in the audience now, reachable or not; its holdout is not
    asked for. Raises as `segments.count` does."""
    found = Figures()
    values = {"campaign_of": campaign, "survey_of": survey}
    if audience is None:
        people = "(SELECT id, guest FROM subscriber WHERE tester_since IS NULL)"
        _add(found, *(connection.execute(text(one.format(people=people)), values).all() for one in _COUNTS))
        return found
    query = Query(connection, audience)
    for after, upto in segments.ranges(connection):
        _add(found, *(query.over(one, after, upto, **values).all() for one in _COUNTS))
    return found


_COUNTS = (
    "SELECT COUNT(*) AS began, COUNT(t.finished_at) AS finished, COUNT(CASE WHEN p.guest THEN 1 END) AS guests "
    "FROM survey_taken t JOIN {people} AS p ON p.id = t.subscriber "
    "WHERE t.campaign = :campaign_of AND t.survey = :survey_of",
    "SELECT a.question, a.value, COUNT(*) AS times FROM survey_answer a JOIN {people} AS p ON p.id = a.subscriber "
    "WHERE a.campaign = :campaign_of AND a.survey = :survey_of GROUP BY a.question, a.value",
)


def _add(found: Figures, counts: Any, answers: Any) -> None:
    for row in counts:
        found.began += row.began
        found.finished += row.finished
        found.guests += row.guests
    for row in answers:
        given = found.answers.setdefault(row.question, {})
        given[row.value] = given.get(row.value, 0) + row.times


def listed(connection: Connection, campaign: str) -> dict[str, tuple[int, int]]:
    """The surveys of a campaign that anybody took: how many began and how many finished."""
    rows = connection.execute(
        text(
            "SELECT t.survey, COUNT(*) AS began, COUNT(t.finished_at) AS finished FROM survey_taken t "
            "JOIN subscriber s ON s.id = t.subscriber AND s.tester_since IS NULL "
            "WHERE t.campaign = :c GROUP BY t.survey ORDER BY t.survey"
        ),
        {"c": campaign},
    )
    return {row.survey: (int(row.began), int(row.finished)) for row in rows}


def words(
    connection: Connection, campaign: str, survey: str, question: str, limit: int, branch: str | None = None
) -> tuple[list[Words], int]:
    """The newest answers in own words to a question, and how many there are; with `branch` only those of its people."""
    among = (
        "FROM survey_answer a JOIN subscriber s ON s.id = a.subscriber AND s.tester_since IS NULL "
        "WHERE a.campaign = :c AND a.survey = :s AND a.question = :q AND a.value = 1"
    )
    values: dict[str, Any] = {"c": campaign, "s": survey, "q": question}
    if branch is not None:
        among, values = f"{among} AND s.branch = :branch", {**values, "branch": branch}
    count = connection.execute(text(f"SELECT COUNT(*) {among}"), values).scalar_one()
    rows = connection.execute(
        text(
            "SELECT w.at, t.heard FROM (SELECT a.at, a.subscriber, a.text "
            f"{among} ORDER BY a.at DESC, a.subscriber LIMIT :n) AS w LEFT JOIN text t ON t.id = w.text "
            "ORDER BY w.at DESC, w.subscriber"
        ),
        {**values, "n": limit},
    )
    return [Words(instant(row.at), row.heard) for row in rows], int(count)


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
