"""Fewer indexes on deliveries: each step of each row of a push wrote them all again."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None
oldest = "0001"  # nodes of that version go on beside it: only indexes change


def upgrade() -> None:
    """Apply."""
    for name in ("text", "subscriber", "run", "counts", "pushed"):
        op.drop_index(f"ix_delivery_{name}", "delivery")
    answered, pushed = sa.text("run IS NULL"), sa.text("run IS NOT NULL")
    op.create_index("ix_delivery_text", "delivery", ["text"], sqlite_where=answered, postgresql_where=answered)
    op.create_index("ix_delivery_subscriber", "delivery", ["subscriber", "due_at"])
    columns = ["run", "state", "account", "due_at", "reason"]
    op.create_index("ix_delivery_run", "delivery", columns, sqlite_where=pushed, postgresql_where=pushed)
