"""Service notices, the consents that platforms ask for, and who has something to be told with the next answer."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
oldest = "0001"  # nodes of that version go on beside it: tables and a column that may be empty are added


def upgrade() -> None:
    """Apply."""
    op.add_column("subscriber", sa.Column("owed", sa.Boolean(), nullable=True))
    op.create_table(
        "notice",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("subscriber", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("kind", "phrase", "data")),
        sa.Column("at", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("state", "way", "reason")),
        sa.Column("test", sa.BigInteger(), nullable=True),
        sa.Column("text", sa.BigInteger(), nullable=True),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("answer", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('queued','left','waiting','sent','bundled','doubtful','withdrawn')", name="notice_state"
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_notice_subscriber", "notice", ["subscriber"])
    op.create_index("ix_notice_counts", "notice", ["kind", "state", "way"])
    for name, columns, where in (
        ("ix_notice_queued", ["id"], "state = 'queued'"),
        ("ix_notice_waiting", ["subscriber", "id"], "state = 'waiting'"),
    ):
        op.create_index(name, "notice", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
    op.create_table(
        "notice_consent",
        sa.Column("identity", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("remaining", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("identity", "template"),
        sqlite_with_rowid=False,
    )
