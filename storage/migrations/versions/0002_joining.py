"""Joining two identities: codes for it, and the way from a person to those joined to them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
oldest = "0001"  # nodes of that version go on beside it: a table and two indexes are added


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "join_code",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("subscriber", sa.BigInteger(), nullable=False),
        sa.Column("identity", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("ix_join_code_subscriber", "join_code", ["subscriber"], unique=False)
    op.create_index("ix_join_code_until", "join_code", ["until"], unique=False)
    op.create_index(
        "ix_subscriber_alias",
        "subscriber",
        ["alias_of"],
        unique=False,
        sqlite_where=sa.text("alias_of IS NOT NULL"),
        postgresql_where=sa.text("alias_of IS NOT NULL"),
    )
    op.create_index(
        "ix_hold_destination",
        "hold",
        ["destination"],
        unique=False,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
