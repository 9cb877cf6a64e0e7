"""A person's events are found by their messages: an index in the order of writing instead of one by person."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None
oldest = "0001"  # nodes of that version go on beside it: only indexes change


def upgrade() -> None:
    """Apply."""
    for name, column, where in (("text", "text", "text IS NOT NULL"), ("about", "subscriber", "text IS NULL")):
        condition = sa.text(where)
        op.create_index(f"ix_event_{name}", "event", [column], sqlite_where=condition, postgresql_where=condition)
    op.drop_index("ix_event_subscriber", table_name="event")
