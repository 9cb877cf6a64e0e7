"""What is measured: the systems, run in turn so that all meet the same machine, and the goals their ratios must meet.

Each run begins with a server and a database of its own. Knows how a run goes, nothing of how its figures are shown.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from benchmarks import machine, people, servers
from storage.store import Store

KNOWN = 40_000
FEW, MANY, MANY_SMALL = 10_000, 1_000_000, 100_000
CALLERS = 16
_WARM_UP = 500  # persons 0 … 499 warm the server up and are not measured
_PER_SECOND = 8_000  # callbacks made ready for each second: more than anything here answers
_NEW = 100_000_000  # persons from here on are unknown
_STEP = 7_919  # shares no factor with any number of people: each is met once, far from the one before

Figures = dict[str, float]
Say = Callable[[str], None]


class Wrong(Exception):
    """What was answered and what is stored do not agree, or an answer was a fault: the figures would mean nothing."""


@dataclass(frozen=True, slots=True)
class Options:
    """`seconds` of load per measurement, `runs` of everything, and how many people `many` is."""

    home: Path
    python: Path
    seconds: float
    runs: int
    many: int


@dataclass(frozen=True, slots=True)
class Load:
    """Who writes what to which servers, whose processor time counts where: name of a figure → process ids."""

    ports: Sequence[int]
    processes: dict[str, Sequence[int]]
    seconds: float
    platform: str = "wechat"
    words: str = "签到"
    first: int = _WARM_UP  # which turn begins, of the order in which the people come
    count: int = 0
    known: int = KNOWN  # so many people come in turn; 0 for people nobody knows


def send(load: Load) -> Figures:
    """Drive one load from a process of its own: rate, p50 and p99 in milliseconds, processor microseconds a message.

    Raises Wrong when any answer was not a sealed reply.
    """
    count = load.count or int(load.seconds * _PER_SECOND)
    job = {
        "platform": load.platform,
        "ports": list(load.ports),
        "text": load.words,
        "callers": CALLERS,
        "seconds": load.seconds,
    }
    job["people"] = [
        place * _STEP % load.known if load.known else _NEW + place for place in range(load.first, load.first + count)
    ]
    command = [sys.executable, "-m", "benchmarks.load"]
    with subprocess.Popen(
        command, cwd=servers.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdin and client.stdout
        client.stdin.write(json.dumps(job) + "\n")
        client.stdin.flush()
        client.stdout.readline()
        before = {name: machine.processor_seconds(*ids) for name, ids in load.processes.items()}
        client.stdin.write("\n")
        client.stdin.flush()
        result: Figures = json.loads(client.stdout.readline() or "{}")
        after = {name: machine.processor_seconds(*ids) for name, ids in load.processes.items()}
    if not result or result.pop("faults"):
        raise Wrong(f"the load of {load.words} on {load.ports} met faults: {result}")
    return result | {name: 1e6 * (after[name] - before[name]) / result["answered"] for name in before}


def wechat(options: Options, say: Say) -> dict[str, list[Figures]]:
    """Our service on SQLite against WeRoBot's echo with and without its session, and our other two cases apart."""
    template = options.home / "known.db"
    people.fill(f"sqlite:///{template}", KNOWN)
    found: dict[str, list[Figures]] = {}
    for run in range(options.runs):
        say(f"wechat {run + 1}/{options.runs}")
        path = _copied(template, options.home / f"wechat-{run}.db")
        with servers.node(options.home, f"sqlite:///{path}") as (port, process):
            ids = {"cpu": [process]}
            warm = send(Load([port], ids, 10, first=0, count=_WARM_UP))
            most = min(int(options.seconds * _PER_SECOND), KNOWN - _WARM_UP)
            known = send(Load([port], ids, options.seconds, count=most))
            some = min(most, int(known["answered"]))
            again = send(Load([port], ids, options.seconds / 2, count=some))
            new = send(Load([port], ids, options.seconds / 2, known=0))
        _check(f"sqlite:///{path}", [warm, known, new], [again])
        path.unlink()
        _keep(found, known=known, again=again, new=new)
        for name, session in (("werobot", True), ("werobot_bare", False)):
            with servers.werobot(options.home, options.python, session=session) as (port, process):
                send(Load([port], {}, 10, first=0, count=_WARM_UP // 5))
                _keep(found, **{name: send(Load([port], {"cpu": [process]}, options.seconds))})
    return found


def postgres(options: Options, say: Say) -> dict[str, list[Figures]]:
    """The same known persons on PostgreSQL, with one node and with two that share the messages."""
    found: dict[str, list[Figures]] = {}
    with (
        servers.postgres(options.home, options.python) as (maintenance, database),
        servers.database(maintenance, "known") as known,
    ):
        people.fill(known, KNOWN)
        for run in range(options.runs):
            for nodes in (1, 2):
                say(f"postgres {run + 1}/{options.runs}, {nodes}")
                with servers.database(maintenance, f"run_{run}_{nodes}", "known") as url:
                    _keep(found, **{f"postgres_{nodes}": _on_postgres(options, url, database, nodes)})
    return found


def _on_postgres(options: Options, url: str, database: int, nodes: int) -> Figures:
    with ExitStack() as stack:
        opened = [stack.enter_context(servers.node(options.home, url)) for _ in range(nodes)]
        ports = [port for port, _ in opened]
        ids = {"cpu": [process for _, process in opened], "cpu_database": [database]}
        warm = send(Load(ports, ids, 10, first=0, count=_WARM_UP))
        result = send(Load(ports, ids, options.seconds, count=KNOWN - _WARM_UP))
    _check(url, [warm, result], [])
    return result


def subscribers(options: Options, say: Say) -> dict[str, list[Figures]]:
    """Equal loads on a database with few and on one with many subscribers, spread over all of them."""
    templates = {"few": (options.home / "few.db", FEW), "many": (options.home / "many.db", options.many)}
    for path, count in templates.values():
        say(f"subscribers: {count}")
        people.fill(f"sqlite:///{path}", count)
    found: dict[str, list[Figures]] = {}
    for run in range(options.runs):
        for name, (template, people_) in templates.items():
            say(f"subscribers {run + 1}/{options.runs}, {people_}")
            path = _copied(template, options.home / f"subscribers-{name}-{run}.db")
            with servers.node(options.home, f"sqlite:///{path}") as (port, process):
                send(Load([port], {}, 10, first=0, count=_WARM_UP, known=people_))
                load = Load([port], {"cpu": [process]}, options.seconds, count=FEW - _WARM_UP, known=people_)
                _keep(found, **{name: send(load)})
            path.unlink()
    return found


def _copied(template: Path, path: Path) -> Path:
    shutil.copyfile(template, path)
    subprocess.run(["sync"], check=True)  # or the copy would be on its way to the disk during the measurement
    return path


def _keep(found: dict[str, list[Figures]], **results: Figures) -> None:
    for name, figures in results.items():
        found.setdefault(name, []).append(figures)


def _check(url: str, awarding: Sequence[Figures], others: Sequence[Figures]) -> None:
    """Every answer has its inbox key, and every first check-in its posting. Raises Wrong."""
    store = Store(url, writer=False)
    with store.read() as connection:
        keys = connection.execute(text("SELECT COUNT(*) FROM inbox_key")).scalar_one()
        posted = connection.execute(text("SELECT COUNT(*) FROM posting WHERE key LIKE 'checkin/%'")).scalar_one()
    store.close()
    awarded = sum(figures["answered"] for figures in awarding)
    answered = awarded + sum(figures["answered"] for figures in others)
    if (keys, posted) != (answered, awarded):
        raise Wrong(f"{answered} answers, {keys} inbox keys; {awarded} first check-ins, {posted} postings")


CASES: dict[str, Callable[[Options, Say], dict[str, list[Figures]]]] = {
    "wechat": wechat,
    "postgres": postgres,
    "subscribers": subscribers,
}


@dataclass(frozen=True, slots=True)
class Goal:
    """`figure` of `ours` over that of `other` (or alone), at least or at most `bound`."""

    figure: str
    ours: str
    other: str
    bound: float
    at_least: bool

    def met(self, value: float) -> bool:
        """Whether the measured value keeps to the bound."""
        return value >= self.bound if self.at_least else value <= self.bound


GOALS = (
    Goal("rate", "known", "werobot", 6.0, True),
    Goal("cpu", "known", "werobot", 0.25, False),
    Goal("rate", "known", "werobot_bare", 1.3, True),
    Goal("p99", "known", "", 25.0, False),
    Goal("cpu", "many", "few", 1.3, False),
    Goal("cpu", "telegram_sent", "ptb_sent", 1 / 3, False),
    Goal("p50", "poster", "poster_plain", 1 / 3, False),
    Goal("first", "push_opened", "", 1.0, False),
    Goal("whole", "push_opened", "bare_insert", 2.0, False),
    Goal("p99", "push_opened", "inbound_idle", 3.0, False),
    Goal("rate", "push_settled", "procrastinate", 50.0, True),
    *(Goal("share", held, "", 93.0, True) for held in ("held_1", "held_3")),
    *(Goal("refused", held, "", 0.0, False) for held in ("held_1", "held_3")),
    *(Goal("p99", held, "", 1_000.0, False) for held in ("held_1", "held_3")),
)


def medians(found: dict[str, list[Figures]]) -> dict[str, Figures]:
    """The median of every figure of every system over its runs."""
    return {
        name: {figure: statistics.median(run[figure] for run in runs) for figure in runs[0]}
        for name, runs in found.items()
    }


def judged(middle: dict[str, Figures]) -> list[tuple[Goal, float]]:
    """Each goal whose systems were measured, with the ratio of medians (or the median) found."""
    found = []
    for goal in GOALS:
        if goal.ours in middle and (not goal.other or goal.other in middle):
            value = middle[goal.ours][goal.figure]
            found.append((goal, value / middle[goal.other][goal.figure] if goal.other else value))
    return found
