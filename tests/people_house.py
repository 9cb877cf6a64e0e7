"""A filled console: people with everything a story can have, among it words that try to be markup, and canaries.

Canaries are what must not be seen by whoever has not given a purpose: addresses, names, texts, and the secrets of ours.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from storage import acts, holds, ledger, people, profiles, story
from storage.incoming import Incoming
from tests.console_house import ConsoleHouse

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> {{ 7*7 }} \"'&"
CAMPAIGN = "family-network-2026"


@dataclass
class Filled:
    """Who there is. `canaries` are personal, `hostile` is a person whose words are markup."""

    one: int
    friends: list[int]
    north: int  # looked after by the branch north
    alias: int  # joined to `one`
    canaries: list[str] = field(default_factory=list)


def fill(house: ConsoleHouse) -> Filled:
    """Put them in as messages do."""
    addresses = ["oCANARYaddress00000000000001", "880055667788", "oCANARYaddress00000000000002"]
    texts = ["CANARY-text-13800138000", f"CANARY-heard {HOSTILE}"]
    name = "卡娜丽"

    def hear(said: str, who: str = addresses[0], channel: str = "wechat", key: str = "") -> str:
        writer = house.app.writer
        assert writer
        hear.count += 1  # type: ignore[attr-defined]
        key = key or f"{channel}:main:fill{hear.count}"  # type: ignore[attr-defined]
        incoming = Incoming(channel, "main", who, key, "text", house.app.now(), said, {}, "zh")

        async def inside() -> Any:
            return await writer.hear(incoming)

        answer = asyncio.run_coroutine_threadsafe(inside(), writer.loop).result(30)
        return "\n".join(message["text"] for message in answer.messages)

    hear.count = 0  # type: ignore[attr-defined]
    for said in ("签到", *texts, "积分", "退订", "恢复接收"):
        hear(said)
    vault = house.app.vault

    def number(address: str, channel: str = "wechat") -> int:
        found = house.read(people.find, vault, channel, "main", address)
        assert found
        return found

    one = number(addresses[0])
    hear("签到", addresses[1], "telegram")
    alias = number(addresses[1], "telegram")
    code = house.read(lambda connection: story.person(connection, one).code)  # type: ignore[union-attr]
    from tests.test_joining import CODE

    given = CODE.search(hear("绑定"))
    assert given
    hear(given[1], addresses[1], "telegram")
    friends = []
    for n in range(3):
        hear(code, f"friend-{n}")
        friends.append(number(f"friend-{n}"))
    hear("签到", addresses[2])
    north = number(addresses[2])

    def write(connection: Any) -> None:
        from sqlalchemy import text

        profiles.write(connection, vault, one, {"name": name, "note": HOSTILE})
        now = house.app.now()
        posting = ledger.Posting(
            "seed", "points", "mint/points", ledger.person(one, "points"), 1280, CAMPAIGN, 1, "redeem"
        )
        acts.post(connection, posting, now)
        for n in range(25):
            more = ledger.Posting(
                f"m{n}", "points", "mint/points", ledger.person(one, "points"), 5, CAMPAIGN, 1, "checkin"
            )
            acts.post(connection, more, now - timedelta(days=n + 1))
        hold = ("points", ledger.person(one, "points"), "gifts", 300, CAMPAIGN, 1, "redeem")
        holds.reserve(connection, holds.Hold("h1", *hold, now + timedelta(days=3)), now)
        connection.execute(text("UPDATE subscriber SET branch = 'north' WHERE id = :n"), {"n": north})
        reason = {"id": one, "r": HOSTILE}
        newest = "(SELECT MAX(id) FROM delivery WHERE subscriber = :id)"
        query = f"UPDATE delivery SET state = 'failed', reason = :r WHERE id = {newest}"
        connection.execute(text(query), reason)

    house.run(write)
    canaries = [*addresses, *texts[:1], "CANARY-heard", name, "friend-0"]
    return Filled(one, friends, north, alias, canaries)
