"""Who is blocked, who tests, and the record of what staff decided about somebody and why."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
oldest = "0001"  # nodes of that version go on beside it: a table and columns that may be empty are added


def upgrade() -> None:
    """Apply."""
    op.add_column("subscriber", sa.Column("blocked_at", sa.BigInteger(), nullable=True))
    op.add_column("subscriber", sa.Column("tester_since", sa.BigInteger(), nullable=True))
    op.create_table(
        "standing",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("subscriber", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('blocked','unblocked','tested','untested','rejected')",
            name="standing_kind",
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_standing_subscriber", "standing", ["subscriber"], unique=False)
