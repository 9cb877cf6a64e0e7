"""A person's postings are found by their messages, as their events are, and only what reverses is kept as reversing."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None
oldest = "0001"  # nodes of that version go on beside it: what they post names no message, and is found by its accounts

_LAST, _MORE = "reverses BIGINT, ", "reverses BIGINT, \n\ttext BIGINT, "
_ONCE = ", \n\tUNIQUE (reverses)"


def upgrade() -> None:
    """Apply."""
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        _copy_postings(connection)
        op.create_index("ix_posting_order", "posting", ["tx", "id"])
    else:
        op.add_column("posting", sa.Column("text", sa.BigInteger(), nullable=True))
        op.drop_constraint("posting_reverses_key", "posting", type_="unique")
        for end in ("source", "destination"):
            op.drop_index(f"ix_posting_{end}", "posting")
    for column, where in (
        ("text", "text IS NOT NULL"),
        ("source", "text IS NULL"),
        ("destination", "text IS NULL"),
        ("reverses", "reverses IS NOT NULL"),
    ):
        name, once, only = f"ix_posting_{column}", column == "reverses", sa.text(where)
        op.create_index(name, "posting", [column], unique=once, sqlite_where=only, postgresql_where=only)


def _copy_postings(connection: sa.Connection) -> None:
    """SQLite takes a rule out of a table only by copying the table, which also takes its indexes away."""
    made = "SELECT sql FROM sqlite_master WHERE name = 'posting'"
    table = connection.execute(sa.text(made)).scalar_one()
    assert table.count(_LAST) == table.count(_ONCE) == 1
    changed = table.replace(_LAST, _MORE).replace(_ONCE, "")
    connection.exec_driver_sql(changed.replace("CREATE TABLE posting", "CREATE TABLE posting_new", 1))
    connection.exec_driver_sql("INSERT INTO posting_new SELECT *, NULL FROM posting")
    connection.exec_driver_sql("DROP TABLE posting")
    connection.exec_driver_sql("ALTER TABLE posting_new RENAME TO posting")
