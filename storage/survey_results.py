"""Surveys counted, for everybody or for a segment, and what was said in own words.

Testers are in no figure. Reads only; which group is large enough to be shown is decided above.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from storage import segments
from storage.segment_sql import Audience, Query
from storage.tables import instant


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
