"""What people took part in and by which placement they came, found by person: what segments ask for."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
oldest = "0001"  # nodes of that version go on beside it: an index is added


def upgrade() -> None:
    """Apply."""
    op.create_index(
        "ix_event_part",
        "event",
        ["subscriber"],
        unique=False,
        sqlite_where=sa.text("kind IN ('touched', 'poster', 'quiz_started')"),
        postgresql_where=sa.text("kind IN ('touched', 'poster', 'quiz_started')"),
    )
