"""A person's events are found by their messages: an index in the order of writing instead of one by person."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0010"
branch_labels = None
depends_on = None
oldest = "0001"  # nodes of that version go on beside it: only indexes change


def upgrade() -> None:
    """Apply."""
    apart = sa.text("text IS NULL")
    op.create_index("ix_event_text", "event", ["text"])
    op.create_index("ix_event_about", "event", ["subscriber"], sqlite_where=apart, postgresql_where=apart)
    op.drop_index("ix_event_subscriber", table_name="event")
