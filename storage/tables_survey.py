"""The tables of surveys: who began and finished which, and what they answered, one row per question and person.

An answer in somebody's own words stands nowhere but in the text that they sent; here is only which text it was.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from storage.tables import _NARROW, _at, _big, _text


class SurveyTaken(SQLModel, table=True):
    """One person's way through a survey. Those of testers are not kept."""

    __tablename__: ClassVar[str] = "survey_taken"
    __table_args__ = (Index("ix_survey_taken_subscriber", "subscriber"), _NARROW)
    campaign: str = _text(primary_key=True)
    survey: str = _text(primary_key=True)
    subscriber: int = _big(primary_key=True, sa_column_kwargs={"autoincrement": False})
    began_at: datetime = _at()
    finished_at: datetime | None = _at(default=None)


class SurveyAnswer(SQLModel, table=True):
    """One answer. `value` is the rating, the number of the choice as the file has it (from 1), or for own words 1, and
    0 where the question was skipped."""

    __tablename__: ClassVar[str] = "survey_answer"
    __table_args__ = (Index("ix_survey_answer_subscriber", "subscriber"), _NARROW)
    campaign: str = _text(primary_key=True)
    survey: str = _text(primary_key=True)
    question: str = _text(primary_key=True)
    subscriber: int = _big(primary_key=True, sa_column_kwargs={"autoincrement": False})
    value: int = Field()
    text: int | None = _big(default=None)  # the text that holds the words; its retention is theirs
    at: datetime = _at()
