"""The release of a restored copy: an act, so that it is known who let it speak, and that they knew how much it says."""

from __future__ import annotations

from typing import Any

from campaigns.desk import ActRefused, Desk
from storage import copies


def release(desk: Desk, expected: int, drop: bool) -> dict[str, Any]:
    """Let a restored copy send again; `expected` is how many messages the person who decides knows to be waiting.

    Returns `sent`, how many are left to be sent, `dropped`, how many were put in doubt instead, and
    `pushes`, the numbers of those that are paused now. Raises ActRefused.
    """
    desk.require("service.stop")
    try:
        dropped, paused = copies.release(desk.connection, expected, desk.now, drop)
    except LookupError:
        zh, en = (
            "这个数据库不是隔离中的恢复副本，没有要放行的",
            "this database is no restored copy that is held: nothing to do",
        )
        raise ActRefused(zh, en) from None
    except copies.NotTheNumber as other:
        raise ActRefused(
            f"现在等着发出的是 {other.waiting} 条，不是 {expected} 条；看清楚后用 --yes {other.waiting} 再运行",
            f"{other.waiting} messages wait now, not {expected}; look at them, then run it with --yes {other.waiting}",
        ) from None
    left = {"sent": expected - dropped, "dropped": dropped}
    desk.note("backup.released", "", 0, left)
    return {**left, "pushes": paused}
