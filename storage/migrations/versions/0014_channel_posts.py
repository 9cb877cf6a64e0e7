"""Posts of pushes to channels that a bot administers."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None
oldest = "0001"  # nodes of that version go on beside it: a table is added


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "channel_post",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("run", sa.BigInteger(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("text", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("lease", sa.Text(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('queued','sending','sent','refused','failed','doubtful')", name="channel_post_state"
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_channel_post_run", "channel_post", ["run", "channel"], unique=True)
    waits = sa.text("state IN ('queued', 'sending')")
    op.create_index("ix_channel_post_open", "channel_post", ["account"], sqlite_where=waits, postgresql_where=waits)
