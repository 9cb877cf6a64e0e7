"""Surveys: who took which, and what was answered."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None
oldest = "0001"  # nodes of that version go on beside it: tables are added that they do not know


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "survey_taken",
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("survey", sa.Text(), nullable=False),
        sa.Column("subscriber", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("campaign", "survey", "subscriber"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_survey_taken_subscriber", "survey_taken", ["subscriber"], unique=False)
    op.create_table(
        "survey_answer",
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("survey", sa.Text(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("subscriber", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.Column("text", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("campaign", "survey", "question", "subscriber"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_survey_answer_subscriber", "survey_answer", ["subscriber"], unique=False)
