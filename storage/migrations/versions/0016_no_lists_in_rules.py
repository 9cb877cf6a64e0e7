"""Rules of rows without lists of values on SQLite, which for each row that is written makes a table of such a list."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None
oldest = "0001"  # nodes of that version go on beside it: what the rules allow is the same

_STATES = "'passive','queued','claimed','sending','sent','handed_over','refused','failed','doubtful'"
_LISTED = f"state IN ({_STATES})"
_SPELLED = f"({' OR '.join(f'state = {state}' for state in _STATES.split(','))})"
_LEASED = "(state = 'passive' OR state = 'claimed' OR state = 'sending')"
_TAKING_PART = "(kind = 'touched' OR kind = 'poster' OR kind = 'quiz_started')"


def upgrade() -> None:
    """Apply. PostgreSQL compares with a list as it stands, and keeps its own."""
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        return
    _copy_deliveries(connection)
    op.drop_index("ix_event_part", "event")
    op.create_index("ix_event_part", "event", ["subscriber"], sqlite_where=sa.text(_TAKING_PART))


def _copy_deliveries(connection: sa.Connection) -> None:
    """SQLite changes a rule of a table only by copying the table."""
    made = "SELECT sql FROM sqlite_master WHERE tbl_name = 'delivery' AND type = :type AND sql IS NOT NULL"
    (table,) = connection.execute(sa.text(made), {"type": "table"}).scalars()
    indexes = list(connection.execute(sa.text(made), {"type": "index"}).scalars())
    assert _LISTED in table
    spelled = table.replace(_LISTED, _SPELLED).replace("CREATE TABLE delivery", "CREATE TABLE delivery_new", 1)
    connection.exec_driver_sql(spelled)
    connection.exec_driver_sql("INSERT INTO delivery_new SELECT * FROM delivery")
    connection.exec_driver_sql("DROP TABLE delivery")
    connection.exec_driver_sql("ALTER TABLE delivery_new RENAME TO delivery")
    for index in indexes:
        if "ix_delivery_lease" not in index:
            connection.exec_driver_sql(index)
    op.create_index("ix_delivery_lease", "delivery", ["lease_until"], sqlite_where=sa.text(_LEASED))
