"""What the tests of standing share: acts on a house that talks, and what there is of somebody to compare."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from campaigns import rights
from campaigns import standing as acts
from campaigns.desk import Desk
from storage import ledger_check, people
from tests.sealing import PatientSealer as Sealer
from tests.talking import Talk

ME = "oRef0000000000000000000000A1"
CAMPAIGN = "family-network-2026"


def number(talk: Talk, who: str = ME, channel: str = "wechat") -> int:
    """The subscriber behind an address."""
    with talk.store.read() as connection:
        found = people.find(connection, talk.vault, channel, "main", who)
    assert found
    return found


def desk(connection: Any, talk: Talk, why: str = "a reason", **more: Any) -> Desk:
    """An operator's, or whosever the test says."""
    return Desk(connection, **{"actor": "operator", "rights": rights.OPERATOR, "now": talk.now, "why": why, **more})


def act(talk: Talk, name: str, who: int, why: str = "a reason", **more: Any) -> bool:
    """Do an act of campaigns/standing.py by its name, in a transaction of its own."""
    with talk.store.begin() as connection:
        done: bool = getattr(acts, name)(desk(connection, talk, why, **more), who)
    return done


def rows(talk: Talk, query: str, **values: Any) -> list[tuple[Any, ...]]:
    """What a query gives."""
    with talk.store.read() as connection:
        return [tuple(row) for row in connection.execute(text(query), values)]


def shown(talk: Talk, who: int) -> dict[str, Any]:
    """What `koukou subscriber show --json` prints."""
    with talk.store.read() as connection:
        return people.show(connection, who)


def counted(talk: Talk, who: int) -> dict[str, Any]:
    """All that counts: what a test must leave as it was. The conversation goes on: lists shown, a person asked for."""
    real = "substr(account, 1, 5) <> 'test/'"
    queries = {
        "postings": "SELECT key, source, destination, amount FROM posting WHERE campaign NOT LIKE '%/test' ORDER BY id",
        "balances": f"SELECT account, amount, held FROM balance WHERE {real} ORDER BY account",
        "person": "SELECT language, status, code, referrer, guest, branch, blocked_at, tester_since FROM subscriber "
        f"WHERE id = {who}",
        "memory": f"SELECT name, data FROM memory WHERE subscriber = {who} "
        "AND name NOT IN ('shown', 'form', 'misses', 'handover') ORDER BY name",
        "referrals": "SELECT * FROM referral ORDER BY referee",
        "events": f"SELECT kind, COUNT(*) FROM event WHERE campaign = '{CAMPAIGN}' GROUP BY kind ORDER BY kind",
        "due": "SELECT key FROM timer WHERE NOT fired ORDER BY key",
    }
    return {name: rows(talk, query) for name, query in queries.items()}


def proved(talk: Talk) -> None:
    """The books are right and sealed."""
    while Sealer(talk.store, talk.vault).step():
        pass
    with talk.store.read() as connection:
        assert ledger_check.check(connection, talk.vault).problems == []
