"""A push to thousands while its nodes are killed, frozen and cut off: `python -m tests.push_crash --people 20000`.

Proves that everybody entitled got it or stands on the doubtful list, that what is transactional or keyed comes at most
once, that nothing is stuck, that the push ends by itself and the books are whole; prints what was done.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from benchmarks import servers
from bot.played.wechat import PlayedWeChat
from campaigns import pushing, rights, words
from campaigns.desk import Desk
from content.bundle import Bundle
from content.library import Library
from storage import bulk, ids, revisions, tables
from storage.store import Store
from storage.tables import micros
from storage.vault import Vault
from tests.crash import _postgres
from tests.houses import unhurried
from tests.push_audit import FIRST_CHAT, MASS, SECRET_WORD, WORD, Audit, Ran
from tests.serving import SECRET, Node, free_port
from tests.severing import Line

FAULTS = ("kill", "freeze", "cut", "sever", "drop", "lie", "storm", "leave")
_LEASE_SECONDS = 61.0
_CONTENT = {
    **{"kind": "text", "text": {"zh": WORD, "en": "See you on Friday"}, "poster": "", "buttons": []},
    **{"about": "campaign", "wechat": "mass"},
}
_AT_ONCE = 2_000
_STANDS = (
    "SELECT state, (SELECT COUNT(*) FROM delivery WHERE run IS NULL AND state IN ('queued', 'claimed', 'sending')) "
    "FROM push WHERE number = :n"
)
_SECRETS_SECONDS = 12.0  # over which they become due
_PLATFORM_FAULTS = 3  # calls in trouble at a time
_MASS_FAULTS = 3  # in all: a job that meets one waits twice as long each time
_KEY_REST_SECONDS = 2.0  # after which the platform says again what became of a key; really a minute


def fill(store: Store, channel: str, addresses: list[str]) -> None:
    """People of a channel who came five days ago and agreed; every tenth never agreed."""
    vault, at = Vault(SECRET.encode()), micros(datetime.now(UTC) - timedelta(days=5))
    for start in range(0, len(addresses), _AT_ONCE):
        some = addresses[start : start + _AT_ONCE]
        with store.begin() as connection:
            first = ids.take_apart(connection, 2 * len(some))
            persons, identities = [], []
            for place, address in enumerate(some):
                number, code = first + 2 * place, f"{channel[0]}{start + place:07d}"
                persons.append((number, at, "zh", "active", code, (start + place) % 10 > 0, False))
                digest = vault.digest(channel, "main", address)
                identities.append((number + 1, number, channel, "main", digest, address, True, at, "text", 0))
            columns = "id created_at language status code consent guest"
            bulk.insert(connection, tables.metadata.tables["subscriber"], tuple(columns.split()), persons)
            columns = "id subscriber channel account digest address following heard_at heard_kind sent_since"
            bulk.insert(connection, tables.metadata.tables["identity"], tuple(columns.split()), identities)


def approve(store: Store) -> int:
    """A push that is due in this second, written by one hand and approved by another; its number."""
    now = datetime.now(UTC)
    with store.begin() as connection:
        campaign = revisions.campaigns(connection)[0]
        number = revisions.current(connection, campaign)
        assert number
        library = Library(Bundle.of(revisions.files(connection, campaign, number)), number, words())
        author = Desk(connection, "staff:1", rights.OPERATOR, now, "because")
        wall = now.astimezone(library.plan.zone).replace(tzinfo=None)
        push = pushing.create(
            author, library, "crash", "crash", _CONTENT, "everyone", {"at": wall.isoformat()}, {"errors": 100}
        )
        pushing.submit(author, library, push.number)
        pushing.approve(Desk(connection, "staff:2", rights.OPERATOR, now), library, push.number, alone=False)
    return push.number


def promise(store: Store, seconds: float) -> int:
    """One message with a one-time secret to every tenth, none of whom takes pushes, one after the other; how many."""
    now = micros(datetime.now(UTC))
    with store.begin() as connection:
        query = "SELECT id, subscriber, address FROM identity WHERE channel = 'telegram' ORDER BY id"
        known = connection.execute(text(query)).all()[::10]
        first = ids.take_apart(connection, 2 * len(known))
        texts, rows = [], []
        for place, (identity, subscriber, address) in enumerate(known):
            number, due = first + 2 * place, now + int(place * seconds * 1_000_000 / len(known))
            texts.append(
                (number, subscriber, identity, now, "text", json.dumps([{"text": f"{SECRET_WORD} {address}"}]))
            )
            rows.append(
                (number + 1, subscriber, identity, "telegram:main", number, 0, "transactional", 0, "queued", due)
            )
        columns = "id subscriber identity at kind said"
        bulk.insert(connection, tables.metadata.tables["text"], tuple(columns.split()), texts)
        columns = "id subscriber identity account text part kind lane state due_at lease tries reason"
        rows = [(*row, "", 0, "") for row in rows]
        bulk.insert(connection, tables.metadata.tables["delivery"], tuple(columns.split()), rows)
    return len(known)


class Crash:
    """Two nodes, their platform, one push, and what befalls them."""

    def __init__(
        self, url: str, folder: Path, people: int, seed: int, per_second: int, tell: Callable[[str], None] | None = None
    ) -> None:
        self.tell = tell or (lambda said: None)
        self.ran, self.dice = Ran(people), random.Random(seed)
        self.world = unhurried(seed=seed)
        self.world.per_second = float(per_second)
        self.wechat = PlayedWeChat(seed=seed, key_rest_seconds=_KEY_REST_SECONDS)
        self.url, self.folder, self.count = url, folder, people
        self.left: set[int] = set()
        self.mass_faults = 0

    async def run(self, faults: list[str], seconds: float, noon: Callable[[Path], str], *, outage: bool = False) -> Ran:
        """Let the push go out while `faults` strike at random moments, then audit. With `outage` both nodes are down at
        last for longer than a lease, by the database's clock; without, leases end by themselves."""
        began = self.began = time.monotonic()
        with self.world, self.wechat, Line(self.url) as self.line:
            self.nodes = [Node(self.folder, self.line.url, free_port(), self.wechat, self.world) for _ in range(2)]
            for node in self.nodes:
                node.config.write_text(noon(node.config))
            try:
                self.nodes[0].upgrade()
                for node in self.nodes:
                    await node.begin()
                store = Store(self.url, writer=False)
                await asyncio.to_thread(fill, store, "telegram", self._subscribers())
                await asyncio.to_thread(fill, store, "wechat", self._followers())
                # There are few mass sends, soon over: the first answer of all comes late, and is lost.
                self.wechat.fail(MASS, drop=True, accept=True, delay=2.0)
                self.number = await asyncio.to_thread(approve, store)
                self.promised = await asyncio.to_thread(promise, store, _SECRETS_SECONDS)
                self.store = store
                await self._strike(faults)
                if outage:
                    await self._outage()
                await self._end(seconds)
                for node in self.nodes:
                    await node.stop()
                Audit(self.ran, self._do, self.world, self.wechat, self.left, self.promised).all(self.nodes)
                store.close()
            finally:
                for node in self.nodes:
                    node.kill()
        self.ran.seconds = time.monotonic() - began
        return self.ran

    def _subscribers(self) -> list[str]:
        some = [self.world.person(FIRST_CHAT + number) for number in range(self.count)]
        for person in some:
            person.known = True
        return [str(person.id) for person in some]

    def _followers(self) -> list[str]:
        """A tenth as many on WeChat, whose windows closed days ago: a mass send is the only way to them."""
        some = [self.wechat.person() for _ in range(self.count // 10)]
        for person in some:
            person.since = self.wechat.clock()
        return [person.openid for person in some]

    # ---- what befalls them

    async def _strike(self, faults: list[str]) -> None:
        self.dice.shuffle(faults)
        frozen: list[asyncio.Task[None]] = []
        for fault in faults:
            await asyncio.sleep(self.dice.uniform(0.05, 1.0))
            self.ran.faults[fault] += 1
            self._progress(f"{sum(self.ran.faults.values())}/{len(faults)} {fault}")
            node = self.dice.choice(self.nodes)
            if fault == "freeze" and any(not task.done() for task in frozen):
                await asyncio.wait(frozen)
            if fault == "freeze":
                self.frozen = node
                frozen.append(asyncio.create_task(node.freeze(_LEASE_SECONDS + 5)))
            elif fault == "kill":
                awake = next(one for one in self.nodes if one is not getattr(self, "frozen", None) or one is node)
                if any(not task.done() for task in frozen):
                    awake = next(one for one in self.nodes if one is not self.frozen)
                awake.kill()
                await asyncio.sleep(self.dice.uniform(0.0, 0.5))
                awake.start()
                await awake.ready()
            elif fault == "cut":
                await asyncio.to_thread(self._cut)
            elif fault == "sever":
                await asyncio.to_thread(self.line.sever, self.dice.uniform(0.0, 0.05))
            elif fault == "leave":
                await asyncio.to_thread(self._leave)
            else:
                self._trouble(fault)
        if frozen:
            await asyncio.wait(frozen)

    async def _outage(self) -> None:
        for node in self.nodes:
            node.kill()
        self.ran.faults["kill"] += len(self.nodes)
        for table in ("delivery", "mass_job"):
            aged = "SET lease_until = lease_until - 120000000 WHERE lease_until IS NOT NULL RETURNING id"
            self._do(f"UPDATE {table} {aged}")
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            await node.ready()

    def _progress(self, what: str) -> None:
        got = sum(bool(person.received) for person in self.world.people.values())
        self.tell(f"{time.monotonic() - self.began:6.1f} s  {got:6d} of {self.count} got it  {what}")

    def _cut(self) -> None:
        """Every session of the nodes with the database ends at once."""
        self._do(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()"
        )

    def _do(self, sql: str, **values: Any) -> list[Any]:
        for _ in range(5):
            try:
                with self.store.begin() as connection:
                    return list(connection.execute(text(sql), values))
            except DBAPIError:  # our own session was among those that ended
                time.sleep(0.05)
        raise AssertionError(sql)

    def _leave(self) -> None:
        """Ten people opt out; from here on no request to them may begin."""
        some = [self.dice.randrange(self.count) for _ in range(10)]
        addresses = [str(FIRST_CHAT + number) for number in some]
        for address in addresses:
            self._do(
                "UPDATE subscriber SET consent = FALSE WHERE id = (SELECT subscriber FROM identity "
                "WHERE address = :a) RETURNING id",
                a=address,
            )
        self.left |= {int(address) for address in addresses}

    def _trouble(self, fault: str) -> None:
        mass: dict[str, Any]
        if fault == "drop":  # taken, and the answer lost; or lost on the way there
            accept = self.dice.random() < 0.5
            self.ran.lied += _PLATFORM_FAULTS * accept
            self.world.fail("sendMessage", _PLATFORM_FAULTS, drop=True, accept=accept)
            mass = {"drop": True, "accept": accept, "delay": self.dice.uniform(0, 3)}
        elif fault == "lie":  # 5xx after accepting
            self.ran.lied += _PLATFORM_FAULTS
            self.world.fail("sendMessage", _PLATFORM_FAULTS, code=self.dice.choice((500, 502, 504)), accept=True)
            mass = {"status": 502, "accept": True}
        else:
            self.world.fail("sendMessage", 20, retry_after=1)
            mass = {"code": 45011}
        self.mass_faults += 1
        if self.mass_faults <= _MASS_FAULTS:
            self.wechat.fail(MASS, **mass)

    # ---- and then

    async def _end(self, seconds: float) -> None:
        """Leases end by themselves; nobody helps."""
        until, state, told, waiting = time.monotonic() + seconds, "", 0.0, 1
        while (state != "done" or waiting) and time.monotonic() < until:
            await asyncio.sleep(0.2)
            if time.monotonic() > told + 10:
                told = time.monotonic()
                self._progress("no fault any more")
            state, waiting = (await asyncio.to_thread(self._do, _STANDS, n=self.number))[0]
        if state != "done":
            left = self._do("SELECT state, reason, COUNT(*) FROM delivery WHERE run IS NOT NULL GROUP BY 1, 2")
            self.ran.problems.append(f"the push is {state} after {seconds} s: {left}")


def awake(folder: Path) -> Callable[[Path], str]:
    """Configurations whose plan is open today and has no quiet hours at this time of the day."""
    plan = servers.plan(folder)

    def noon(config: Path) -> str:
        lines = config.read_text().splitlines()
        return "\n".join(f'plan = "{plan}"' if line.startswith("plan =") else line for line in lines) + "\n"

    return noon


def main() -> int:
    """The whole one. Returns the exit code."""
    parser = argparse.ArgumentParser(description="a push to many while two nodes on PostgreSQL are struck")
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--strikes", type=int, default=48)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    faults = [FAULTS[place % len(FAULTS)] for place in range(asked.strikes)]
    while faults.count("freeze") > 2:  # each lasts longer than a lease
        faults.remove("freeze")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        crash = Crash(_postgres(folder), folder, asked.people, asked.seed, 1_000, lambda said: print(said, flush=True))
        ran = asyncio.run(crash.run(faults, 900, awake(folder)))
    print(ran)
    for problem in ran.problems[:50]:
        print(f"! {problem}")
    return 1 if ran.problems else 0


if __name__ == "__main__":
    sys.exit(main())
