"""Proposals: goodwill, corrections, opening balances and reversals that wait for a second person."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
oldest = "0001"  # nodes of that version go on beside it: tables of their own are added


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "proposal",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("proposed_by", sa.Text(), nullable=False),
        sa.Column("proposed_at", sa.BigInteger(), nullable=False),
        sa.Column("branch", sa.Text(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("decided_why", sa.Text(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('goodwill','correction','opening','reversal')", name="proposal_kind"),
        sa.CheckConstraint("state IN ('open','approved','declined','withdrawn')", name="proposal_state"),
        sa.CheckConstraint("(state = 'open') = (decided_at IS NULL)", name="proposal_decided"),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("key"),
    )
    op.create_index("ix_proposal_state", "proposal", ["state", "number"], unique=False)
    op.create_index("ix_proposal_digest", "proposal", ["digest"], unique=False)
    op.create_table(
        "proposal_line",
        sa.Column("proposal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("line", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("subscriber", sa.BigInteger(), nullable=True),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("posting", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("proposal", "line"),
    )
