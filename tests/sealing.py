"""A sealer for tests that share a PostgreSQL server with others, whose transactions count in the same numbers."""

from __future__ import annotations

import time

from sqlalchemy import Connection, text

from storage.sealer import Sealer
from storage.store import Store

_OTHERS = (
    "SELECT COUNT(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL "
    "AND (datname <> current_database() OR backend_type = 'autovacuum worker') "
    "AND backend_xid::text::bigint <= (SELECT GREATEST((SELECT MAX(tx) FROM event), (SELECT MAX(tx) FROM posting)))"
)
_PATIENCE_SECONDS = 20


class PatientSealer(Sealer):
    """Waits until no transaction of another database, or of the server's own, is older than what is to be sealed; in
    everything else a Sealer."""

    def step(self, limit: int = 2000, connection: Connection | None = None) -> int:
        if not self._store.is_sqlite:
            _wait(self._store)
        return super().step(limit, connection)


def _wait(store: Store) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        with store.read() as connection:
            if not connection.execute(text(_OTHERS)).scalar_one():
                return
        time.sleep(0.05)
