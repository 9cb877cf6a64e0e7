"""The standing jobs about an account's followers: bring in those it already has, and set right once a day what was
never heard. Every step can be done again without harm. It knows no wire format and no SQL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta, timezone
from typing import Any, Protocol

import structlog

from bot.channels import Busy
from bot.service import House
from bot.wechat.api import Api
from bot.wechat.capabilities import FALLBACKS, FOLLOWERS, Capabilities
from bot.wechat.faults import Fault
from bot.wechat.followers import BATCH, Follower, iter_followers, user_info
from bot.writer import Writer
from campaigns.desk import ActRefused
from storage import copies, followers, kept
from storage.incoming import Incoming
from storage.store import DatabaseFault, Store
from storage.tables import micros
from storage.vault import Vault

SLICE = 500  # people per transaction: a message that comes meanwhile waits for one slice at most
LOST_MAX = 2_000  # more unknown people than this were not lost one by one: the account was never imported
_PAGE = 5_000
_AT_ONCE = 20
_WEEK, _YEAR = 7 * 86_400.0, 366 * 86_400.0
_LEASE = 3_600.0  # a reconcile that failed is tried again after this
_CHINA = timezone(timedelta(hours=8))
_QUIET_HOUR = 4  # local: the platform's quotas are fresh, and hardly anybody follows or leaves
_UNKNOWN_PERSON = 40003

Tell = Callable[[dict[str, int]], None]
_log = structlog.get_logger(__name__)


class Account(Protocol):
    """A WeChat channel account as the jobs need it."""

    name: str
    account: str
    api: Api
    abilities: Capabilities


class Home(Protocol):
    """The process in which a job runs."""

    store: Store
    vault: Vault
    writer: Writer | None
    house: House | None
    channels: tuple[Any, ...]


class Followers:
    """The jobs of one WeChat account, within a process that has a writer."""

    def __init__(self, account: Account, home: Home) -> None:
        assert home.writer and home.house
        self.account = account.account
        self._api, self._abilities = account.api, account.abilities
        self._store, self._vault, self._writer, self._house = home.store, home.vault, home.writer, home.house

    async def bring_in(self, tell: Tell) -> dict[str, int]:
        """Make everybody known who follows, without a word to them; goes on where a broken import ended.

        `tell` hears `done`, `total` and `new` after every slice. Raises Fault, Busy, and ActRefused where the account
        may not list its followers.
        """
        await self._require()
        begun = await self._house.recall(self._import_key)
        try:
            return await self._bring_in(begun or {}, tell)
        except Fault as fault:
            if not begun or fault.code != _UNKNOWN_PERSON:
                raise
        # The person with whom it broke off is gone meanwhile: from the start, which adds nobody twice.
        return await self._bring_in({}, tell)

    async def _bring_in(self, begun: dict[str, Any], tell: Tell) -> dict[str, int]:
        state = {"done": int(begun.get("done", 0)), "total": 0, "new": int(begun.get("new", 0))}
        async for page in iter_followers(self._api, begun.get("after", "")):
            state["total"] = page.total
            for start in range(0, len(page.openids), SLICE):
                openids = page.openids[start : start + SLICE]
                await self._add(openids, state)
                tell(dict(state))
        await self._house.keep(self._import_key, {}, 0)
        return state

    async def _add(self, openids: Sequence[str], state: dict[str, int] | None = None) -> int:
        """One slice, and in the same commit how far the import came."""
        digests = {self._vault.digest("wechat", self.account, openid): openid for openid in openids}
        unknown = await self._read(followers.unknown, list(digests))
        told = {one.openid: one for one in await self._ask([digests[digest] for digest in sorted(unknown)])}
        people = [
            followers.Newcomer(openid, digest, told[openid].language)
            for digest, openid in digests.items()
            if openid in told and told[openid].follows
        ]
        now, library = self._house.now(), self._writer.library

        def work(connection: Any) -> int:
            plan = library.plan.id, library.revision
            added = followers.add(connection, "wechat", self.account, people, now, plan)
            if state is not None:
                state["done"] += len(openids)
                state["new"] += added
                kept.keep(connection, self._import_key, {**state, "after": openids[-1]}, _WEEK)
            return added

        return await self._run(work, state)

    async def _run(self, work: Callable[[Any], int], state: dict[str, int] | None) -> int:
        """On PostgreSQL one of them may write to another node at this very moment: then the slice comes again."""
        before = dict(state or {})
        for _ in range(3):
            try:
                return await self._writer.run(work)
            except DatabaseFault as fault:
                last = fault
                if state is not None:
                    state.update(before)
        raise last

    async def reconcile(self, tell: Tell) -> dict[str, int]:
        """Hear the follows and the leavings that never reached us. Returns `followers`, `gone`, `found`, `imported`.

        The platform is asked about each of them before anything is believed, so that nobody loses their profile to a
        list that was read while they followed. Raises as `bring_in` does.
        """
        await self._require()
        began = micros(self._house.now())
        listed: set[str] = set()
        total = 0
        async for page in iter_followers(self._api):
            listed.update(page.openids)
            total = page.total
            tell({"done": len(listed), "total": total})
        total = len(listed)
        gone = await self._tick_off(listed, began)
        left = [one.openid for one in await self._ask(gone) if not one.follows]
        await self._hear_all([self._incoming(openid, "unfollow", {}) for openid in left])
        found = imported = 0
        if len(listed) > LOST_MAX:
            rest = sorted(listed)
            for start in range(0, len(rest), SLICE):
                imported += await self._add(rest[start : start + SLICE])
        else:
            back = [one for one in await self._ask(sorted(listed)) if one.follows]
            await self._hear_all([self._follow(one) for one in back])
            found = len(back)
        done = {"followers": total, "gone": len(left), "found": found, "imported": imported}
        await self._house.keep(reconciled_key(self.account), {"day": self._day, **done}, _YEAR)
        return done

    async def _tick_off(self, listed: set[str], began: int) -> list[str]:
        """Take from `listed` whom we know as following; returns whom it lacks although we thought they follow."""
        gone, after = [], 0
        while rows := await self._read(followers.page, "wechat", self.account, after, _PAGE):
            after = rows[-1].id
            for row in rows:
                if not row.following:
                    continue
                if row.address in listed:
                    listed.remove(row.address)
                elif row.seen < began:
                    gone.append(row.address)
        return gone

    async def daily(self) -> None:
        """Reconcile once a day, on one node, in the small hours; a failure is logged and tried again in an hour."""
        if self._house.now().astimezone(_CHINA).hour < _QUIET_HOUR or not await self._abilities.has(FOLLOWERS):
            return
        key = f"wechat:{self.account}:reconcile:{self._day}"
        if not await self._writer.run(lambda connection: followers.claim(connection, key, _LEASE)):
            return
        try:
            done = await self.reconcile(lambda _: None)
        except Fault as fault:
            _log.warning("reconcile_failed", account=self.account, fault=str(fault))
            return
        await self._house.keep(key, {}, 3 * 86_400.0)
        _log.info("reconciled", account=self.account, **done)

    async def _require(self) -> None:
        if await self._read(copies.held_since):
            zh, en = (
                "恢复的副本在隔离中，先 koukou backup release",
                "a restored copy is held; koukou backup release first",
            )
            raise ActRefused(zh, en)
        if not await self._abilities.has(FOLLOWERS):
            zh, en = FALLBACKS[FOLLOWERS]
            raise ActRefused(f"这个公众号不能取关注者列表：{zh}", f"this account may not list its followers: {en}")

    async def _ask(self, openids: Sequence[str]) -> list[Follower]:
        """What the platform tells of them, a few batches at once; whom it does not know is left out.

        Raises Fault when it knows none of many: then these are people of another account.
        """
        found: list[Follower] = []
        for start in range(0, len(openids), 5 * BATCH):
            some = openids[start : start + 5 * BATCH]
            batches = [self._ask_batch(some[n : n + BATCH]) for n in range(0, len(some), BATCH)]
            told = [one for batch in await asyncio.gather(*batches) for one in batch]
            if not told and len(some) >= BATCH:
                raise Fault(_UNKNOWN_PERSON, f"not one of {len(some)} people belongs to this app_id")
            found += told
        return found

    async def _ask_batch(self, openids: Sequence[str]) -> list[Follower]:
        """One id that the platform does not know makes it refuse the whole batch: halve until it stands alone."""
        try:
            return await user_info(self._api, openids)
        except Fault as fault:
            if fault.code != _UNKNOWN_PERSON:
                raise
        if len(openids) == 1:
            return []
        middle = len(openids) // 2
        return await self._ask_batch(openids[:middle]) + await self._ask_batch(openids[middle:])

    async def _hear_all(self, incomings: Sequence[Incoming]) -> None:
        for start in range(0, len(incomings), _AT_ONCE):
            await asyncio.gather(*map(self._writer.hear, incomings[start : start + _AT_ONCE]))

    def _follow(self, one: Follower) -> Incoming:
        data = {"by": "reconcile"} | ({"scene": one.scene} if one.scene else {})
        return self._incoming(one.openid, "follow", data, one.language)

    def _incoming(self, openid: str, kind: str, data: dict[str, str], language: str = "") -> Incoming:
        key = f"wechat:{self.account}:reconcile:{self._day}:{openid}" + (":follow" if kind == "follow" else "")
        now = self._house.now()
        return Incoming("wechat", self.account, openid, key, kind, now, data=data, language=language)

    @property
    def _day(self) -> str:
        return self._house.now().astimezone(_CHINA).date().isoformat()

    @property
    def _import_key(self) -> str:
        return f"wechat:{self.account}:import"

    async def _read(self, query: Callable[..., Any], *arguments: Any) -> Any:
        def work() -> Any:
            with self._store.read() as connection:
                return query(connection, *arguments)

        return await asyncio.to_thread(work)


def reconciled_key(account: str) -> str:
    """Where it is kept what the latest reconcile found, and its day."""
    return f"wechat:{account}:reconciled"


def of(home: Home) -> list[Followers]:
    """The jobs of every WeChat account of this process."""
    return [Followers(channel, home) for channel in home.channels if channel.name == "wechat"]


JOBS = {"wechat.import": Followers.bring_in, "wechat.reconcile": Followers.reconcile}


async def do(home: Home, asked: dict[str, Any], tell: Tell) -> dict[str, int]:
    """Do the job `asked["act"]` for `asked["account"]`. Raises ActRefused with the reason, whatever it is."""
    job = next((found for found in of(home) if found.account == asked["account"]), None)
    if job is None:
        name = asked["account"]
        raise ActRefused(f"没有启用公众号 {name}", f"the WeChat account {name} is not enabled")
    try:
        return await JOBS[asked["act"]](job, tell)
    except Fault as fault:
        raise ActRefused(
            f"微信平台拒绝或没有回应：{fault}", f"the platform refused or did not answer: {fault}"
        ) from None
    except (Busy, DatabaseFault):
        zh, en = "服务忙或正在停止，再运行一次会接着做", "the service is busy or ending; run it again to go on"
        raise ActRefused(zh, en) from None
