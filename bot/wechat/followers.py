"""Fetches who follows an account; storing them is somebody else's work.

Source: "Getting the list of followers" (pages of 10,000) and "Getting user information" (batches of 100). Nickname,
portrait, gender and region are no longer given by the platform.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bot.wechat.api import Api

BATCH = 100


@dataclass(frozen=True, slots=True)
class Page:
    """One page of followers. `total` is how many there are in all; `after` is where the next page begins, or empty."""

    openids: tuple[str, ...]
    total: int
    after: str


@dataclass(frozen=True, slots=True)
class Follower:
    """What the platform tells of one person. `follows` is False for one who left; then the rest is empty."""

    openid: str
    follows: bool
    language: str = ""  # zh or en
    since: datetime | None = None
    scene: str = ""  # the string scene of the code they followed by: finds a follow event that never arrived


async def iter_followers(api: Api, after: str = "") -> AsyncIterator[Page]:
    """All followers, page by page, from after the person `after`, where an import broke off. Raises Fault."""
    while True:
        answer = await api.wechat.user.get_followers(after or None)
        openids = tuple(answer.get("data", {}).get("openid", ()))
        following = answer.get("next_openid", "")
        # The last page names its own last person; only an empty page, or one that stands still, is the end.
        ended = not openids or not following or following == after
        yield Page(openids, int(answer.get("total", 0)), "" if ended else following)
        if ended:
            return
        after = following


async def user_info(api: Api, openids: Sequence[str]) -> list[Follower]:
    """What the platform tells of `openids`, asked in batches of 100, in the order it answers. Raises Fault."""
    found: list[Follower] = []
    for start in range(0, len(openids), BATCH):
        answer = await api.wechat.user.get_batch(list(openids[start : start + BATCH]))
        found += [_follower(row) for row in answer]
    return found


def _follower(row: dict[str, object]) -> Follower:
    openid = str(row["openid"])
    if not row.get("subscribe"):
        return Follower(openid, False)
    since = row.get("subscribe_time")
    return Follower(
        openid,
        True,
        "en" if str(row.get("language", "")).startswith("en") else "zh",
        datetime.fromtimestamp(since, UTC) if isinstance(since, int) and since > 0 else None,
        str(row.get("qr_scene_str") or ""),
    )
