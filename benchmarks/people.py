"""People who are known already: they follow, consented, and checked in some days ago for points that the ledger shows.

Filled set-wise through the storage room, as if they had come by themselves. Knows no server.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

from storage import bulk, ids, ledger, schema
from storage.sealer import Sealer
from storage.store import Store, transaction_number
from storage.tables import metadata, micros
from storage.vault import Vault

SECRET = "a secret of the benchmark, 32 bytes or more"
_AT_ONCE = 2_000  # the rows of one transaction are made well within the time that PostgreSQL lets one stand idle
_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_POINTS = 5


def openid(number: int) -> str:
    """The id by which the platform calls person `number`, of WeChat's usual length."""
    return f"oBench{number:022d}"


def address(channel: str, number: int) -> str:
    """The id by which the platform calls person `number`."""
    return openid(number) if channel == "wechat" else str(7_000_000_000 + number)


def fill(url: str, count: int, channel: str = "wechat", said: str = "") -> None:
    """Make an empty database at `url` with persons 0 … count-1 on the channel's account `main`, everything sealed.

    With `said`, the JSON of message trees, the first of them waits to be sent to each.
    """
    store = Store(url)
    vault = Vault(SECRET.encode())
    schema.upgrade(store)
    now = datetime.now(UTC)
    for first in range(0, count, _AT_ONCE):
        _some(store, vault, range(first, min(first + _AT_ONCE, count)), now, channel, said)
    sealer = Sealer(store, vault)
    while sealer.step(20_000):
        pass
    store.close()


def _some(store: Store, vault: Vault, numbers: range, now: datetime, channel: str, said: str) -> None:
    at = micros(now - timedelta(days=5))
    day = (date.fromtimestamp(now.timestamp()) - timedelta(days=5)).isoformat()
    shown = json.dumps({"says": ["积分", "菜单"]}, ensure_ascii=False, separators=(",", ":"))
    checked_in = json.dumps({"day": day, "streak": 1}, separators=(",", ":"))
    rows: dict[str, list[tuple[object, ...]]] = {name: [] for name in _COLUMNS}
    with store.begin() as connection:
        first, tx = ids.take(connection, 5 * len(numbers)), transaction_number(connection)
        for place, number in enumerate(numbers):
            person, identity, posting, text, delivery = range(first + 5 * place, first + 5 * place + 5)
            account = ledger.person(person, "points")
            known_as = address(channel, number)
            digest = vault.digest(channel, "main", known_as)
            move = ("points", ledger.mint("points"), account, _POINTS, "family-network", 1, "checkin")
            rows["subscriber"].append((person, at, "zh", "active", _code(number), True, False))
            rows["identity"].append(
                (identity, person, channel, "main", digest, known_as, True, at, "text", 0),
            )
            rows["memory"] += [(person, "checkin", checked_in), (person, "shown", shown)]
            rows["balance"].append((account, person, "points", _POINTS, 0, 0))
            rows["posting"].append((posting, tx, f"known/{number}", *move, at))
            if said:
                rows["text"].append((text, person, identity, at, "text", said))
                waits = ("reminder", 0, "queued", at, "", 0, "")
                rows["delivery"].append((delivery, person, identity, f"{channel}:main", text, 0, *waits))
        for name, columns in _COLUMNS.items():
            bulk.insert(connection, metadata.tables[name], columns, rows[name])


def _code(number: int) -> str:
    """Eight letters that differ for every person and lie as scattered as drawn ones."""
    scattered = number * 0x9E3779B1 % 2**40
    return "".join(_LETTERS[scattered >> shift & 31] for shift in range(0, 40, 5))


_COLUMNS: dict[str, tuple[str, ...]] = {
    name: tuple(columns.split())
    for name, columns in {
        "subscriber": "id created_at language status code consent guest",
        "identity": "id subscriber channel account digest address following heard_at heard_kind sent_since",
        "memory": "subscriber name data",
        "balance": "account owner unit amount held floor",
        "text": "id subscriber identity at kind said",
        "delivery": "id subscriber identity account text part kind lane state due_at lease tries reason",
        "posting": "id tx key unit source destination amount campaign revision reason at",
    }.items()
}
