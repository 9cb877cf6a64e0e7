"""Which channel accounts some node serves at this time, and which of a run's wait for one that nobody serves any more.

Nodes say what they serve again and again; what is not said for SECONDS of machine time is over. Knows no channel.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from sqlalchemy import Connection, text

from storage import kept

SECONDS: Final = 600.0  # longer than a restart or a change of version takes


def mark(connection: Connection, accounts: Mapping[str, Collection[str]]) -> None:
    """This process serves these accounts (`channel:account` → the ways they have) for SECONDS from now."""
    for account, ways in sorted(accounts.items()):
        kept.keep(connection, _key(account), {"ways": sorted(ways)}, SECONDS)


def left_alone(connection: Connection, run: int) -> list[str]:
    """Accounts for which rows of a run are queued though nobody serves them."""
    # One step of the index per account, however many rows wait.
    query = text("SELECT MIN(account) FROM delivery WHERE run = :run AND state = 'queued' AND account > :account")
    found: list[str] = []
    account: str | None = ""
    while account is not None:
        account = connection.execute(query, {"run": run, "account": account}).scalar()
        if account and kept.recall(connection, _key(account)) is None:
            found.append(account)
    return found


def jobs_left_alone(connection: Connection, run: int) -> list[str]:
    """Accounts with open mass sends of a run that nobody serves, or that may send none any more."""
    accounts = connection.execute(
        text("SELECT DISTINCT account FROM mass_job WHERE run = :run AND state IN ('queued', 'sending')"), {"run": run}
    ).scalars()
    told = {account: kept.recall(connection, _key(account)) for account in accounts.all()}
    return sorted(account for account, served in told.items() if served is None or "mass" not in served["ways"])


def posts_left_alone(connection: Connection, run: int) -> list[str]:
    """Accounts with open posts of a run to channels that nobody serves."""
    accounts = connection.execute(
        text("SELECT DISTINCT account FROM channel_post WHERE run = :run AND state IN ('queued', 'sending')"),
        {"run": run},
    ).scalars()
    return sorted(account for account in accounts.all() if kept.recall(connection, _key(account)) is None)


def _key(account: str) -> str:
    return f"served:{account}"
