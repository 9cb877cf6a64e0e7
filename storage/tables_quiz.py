"""The tables of quizzes: everybody's best attempt for the board, and counts of what was answered for staff.

Both are made of what events say, in the transaction that writes those, so that no page has to walk over events.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import Index, SmallInteger
from sqlmodel import Field, SQLModel

from storage.tables import _NARROW, _at, _big, _text


class QuizBest(SQLModel, table=True):
    """The best finished attempt of one person at one quiz. The board goes by `missed`, then `took`."""

    __tablename__: ClassVar[str] = "quiz_best"
    __table_args__ = (
        Index("ix_quiz_best_board", "campaign", "quiz", "missed", "took", "at", "subscriber"),
        Index("ix_quiz_best_subscriber", "subscriber"),
        _NARROW,
    )
    campaign: str = _text(primary_key=True)
    quiz: str = _text(primary_key=True)
    subscriber: int = _big(primary_key=True, sa_column_kwargs={"autoincrement": False})
    missed: int = Field()  # parts in a thousand that were not right: quizzes change, and stay comparable
    took: int = _big()  # microseconds from its start to its end
    correct: int = Field()
    asked: int = Field()
    at: datetime = _at()


class QuizTally(SQLModel, table=True):
    """How often something happened in a quiz, counted apart by each writer's slot, so that none waits for another.

    `question` is empty for the quiz as a whole: `what` is then started, finished, passed, right or asked (the last two
    over all finished attempts). For a question it is right, late, or the number of the choice as the file has it.
    """

    __tablename__: ClassVar[str] = "quiz_tally"
    __table_args__ = (_NARROW,)
    campaign: str = _text(primary_key=True)
    quiz: str = _text(primary_key=True)
    question: str = _text(primary_key=True)
    what: str = _text(primary_key=True)
    slot: int = Field(primary_key=True, sa_type=SmallInteger, sa_column_kwargs={"autoincrement": False})
    times: int = _big()
