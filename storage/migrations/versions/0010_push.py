"""Pushes, their runs and steps, WeChat's mass sends, and what a delivery says of the run it belongs to."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
oldest = "0001"  # nodes of that version go on beside it: tables and columns that may be empty are added


def upgrade() -> None:
    """Apply."""
    _push()
    _runs()
    _deliveries()
    op.add_column("rate", sa.Column("recent", sa.Text(), nullable=True))


def _push() -> None:
    op.create_table(
        "push",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("audience", sa.Text(), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("limits", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "state IN ('draft','submitted','approved','scheduled','running','paused','done','cancelled','missed')",
            name="push_state",
        ),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("key"),
    )
    waits = sa.text("next_at IS NOT NULL")
    op.create_index("ix_push_next", "push", ["next_at"], sqlite_where=waits, postgresql_where=waits)
    op.create_index("ix_push_campaign", "push", ["campaign", "number"])
    op.create_table(
        "push_step",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("push", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_push_step_push", "push_step", ["push", "id"])


def _runs() -> None:
    op.create_table(
        "push_run",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("push", sa.BigInteger(), nullable=False),
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("occurrence", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("texts", sa.Text(), nullable=False),
        sa.Column("reached", sa.BigInteger(), nullable=False),
        sa.Column("opened", sa.Boolean(), nullable=False),
        sa.Column("people", sa.BigInteger(), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state IN ('opening','running','paused','done','cancelled','missed')", name="push_run_state"
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    live = sa.text("state IN ('opening', 'running', 'paused')")
    op.create_index("ix_push_run_occurrence", "push_run", ["push", "occurrence"], unique=True)
    op.create_index("ix_push_run_live", "push_run", ["state"], sqlite_where=live, postgresql_where=live)
    op.create_table(
        "mass_job",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("run", sa.BigInteger(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("text", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.Column("lease", sa.Text(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("total", "filtered", "sent", "errors")),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state IN ('queued','sending','accepted','closed','refused')", name="mass_job_state"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
    )
    opened = sa.text("state IN ('queued', 'sending')")
    op.create_index("ix_mass_job_open", "mass_job", ["account"], sqlite_where=opened, postgresql_where=opened)
    op.create_index("ix_mass_job_run", "mass_job", ["run"])
    op.create_index("ix_mass_job_platform", "mass_job", ["account", "platform"])


def _deliveries() -> None:
    op.add_column("delivery", sa.Column("run", sa.BigInteger(), nullable=True))
    op.add_column("delivery", sa.Column("way", sa.Text(), nullable=True))
    op.add_column("delivery", sa.Column("job", sa.BigInteger(), nullable=True))
    for name, columns, where in (
        ("ix_delivery_run", ["run", "account", "due_at"], "run IS NOT NULL AND state = 'queued'"),
        ("ix_delivery_counts", ["run", "state", "reason"], "run IS NOT NULL"),
        ("ix_delivery_pushed", ["subscriber", "due_at"], "run IS NOT NULL"),
        ("ix_delivery_job", ["job"], "job IS NOT NULL"),
    ):
        op.create_index(name, "delivery", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
