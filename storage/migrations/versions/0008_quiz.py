"""Quizzes: the best attempt of each person, and counts of what was answered."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
oldest = "0001"  # nodes of that version go on beside it: tables are added that they do not know


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "quiz_best",
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("quiz", sa.Text(), nullable=False),
        sa.Column("subscriber", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("missed", sa.Integer(), nullable=False),
        sa.Column("took", sa.BigInteger(), nullable=False),
        sa.Column("correct", sa.Integer(), nullable=False),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("campaign", "quiz", "subscriber"),
        sqlite_with_rowid=False,
    )
    board = ["campaign", "quiz", "missed", "took", "at", "subscriber"]
    op.create_index("ix_quiz_best_board", "quiz_best", board, unique=False)
    op.create_index("ix_quiz_best_subscriber", "quiz_best", ["subscriber"], unique=False)
    op.create_table(
        "quiz_tally",
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("quiz", sa.Text(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("slot", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("campaign", "quiz", "question", "what", "slot"),
        sqlite_with_rowid=False,
    )
