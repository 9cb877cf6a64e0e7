"""The tables of proposals: what staff ask to be given, corrected or undone, for whom, and what was decided.

Lines hold ids and numbers alone; the reasons are free text, which is shown to staff and goes nowhere else.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from sqlalchemy import CheckConstraint, Index
from sqlmodel import Field, SQLModel

from storage.tables import _at, _big, _text


class Proposal(SQLModel, table=True):
    """One proposal. Only an `open` one can be decided, once; what was approved stands in the ledger."""

    __tablename__: ClassVar[str] = "proposal"
    __table_args__ = (
        CheckConstraint("kind IN ('goodwill','correction','opening','reversal')", name="proposal_kind"),
        CheckConstraint("state IN ('open','approved','declined','withdrawn')", name="proposal_state"),
        CheckConstraint("(state = 'open') = (decided_at IS NULL)", name="proposal_decided"),
        Index("ix_proposal_state", "state", "number"),
        Index("ix_proposal_digest", "digest"),
    )
    # Counted on by one: short enough to be said aloud and typed.
    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    key: str = _text(unique=True)  # the same request twice is one proposal
    kind: str = _text()
    unit: str = _text()
    campaign: str = _text()
    revision: int = Field()  # in force when it was made
    state: str = _text()
    why: str = _text()
    proposed_by: str = _text()
    proposed_at: datetime = _at()
    branch: str | None = _text(default=None)  # of who proposed it
    decided_by: str = _text(default="")
    decided_at: datetime | None = _at(default=None)
    decided_why: str = _text(default="")
    lines: int = Field()
    total: int = _big()  # of all signed amounts
    digest: str = _text()  # of kind, unit, campaign and lines in no order: the same asked again is noticed


class ProposalLine(SQLModel, table=True):
    """What one person's account, or a stock, is to gain (or, below zero, to lose)."""

    __tablename__: ClassVar[str] = "proposal_line"
    proposal: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    line: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})  # as in the file it came in
    subscriber: int | None = _big(default=None)  # as when it was proposed: may have become an alias since
    account: str = _text()
    amount: int = _big()
    posting: int | None = _big(default=None)  # the movement that a reversal undoes
