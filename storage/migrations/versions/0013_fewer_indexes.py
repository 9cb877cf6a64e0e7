"""Fewer indexes on deliveries: each step of each row of a push wrote them all again."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0010"
branch_labels = None
depends_on = None
oldest = "0001"  # nodes of that version go on beside it: only indexes change


def upgrade() -> None:
    """Apply."""
    for name in ("text", "subscriber", "run", "counts", "pushed"):
        op.drop_index(f"ix_delivery_{name}", "delivery")
    for name, columns, where in (
        ("text", ["text"], "run IS NULL"),
        ("subscriber", ["subscriber", "due_at"], None),
        ("run", ["run", "state", "account", "due_at", "reason"], "run IS NOT NULL"),
    ):
        on = {} if where is None else {"sqlite_where": sa.text(where), "postgresql_where": sa.text(where)}
        op.create_index(f"ix_delivery_{name}", "delivery", columns, **on)
