"""Emergency stops, and since when a timer or a joining code runs, so that a stop lengthens it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
oldest = "0001"  # nodes of that version go on beside it: a table and columns that may be empty are added


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "stop",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("began_by", sa.Text(), nullable=False),
        sa.Column("began_why", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=False),
        sa.Column("ended_why", sa.Text(), nullable=False),
        sa.CheckConstraint("ended_at >= began_at", name="stop_order"),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index(
        "ix_stop_standing",
        "stop",
        ["ended_at"],
        unique=False,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    # Empty in what was written before, and by a node of the version before: older than any stop.
    op.add_column("timer", sa.Column("made_at", sa.BigInteger(), nullable=True))
    op.add_column("join_code", sa.Column("made_at", sa.BigInteger(), nullable=True))
