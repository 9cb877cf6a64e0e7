"""Pushes on PostgreSQL: opening one to many, claiming and settling its rows, and holding a platform's limit.

Opening stands beside one bare INSERT…SELECT of the same rows, settling beside Procrastinate on the same server, and the
limit is kept by a Bot API that refuses the thirty-first message of any second. Knows no page and no plan.
"""

from __future__ import annotations

import json
import random
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text

from benchmarks import people, servers
from benchmarks.cases import Figures, Options, Say, Wrong, _keep
from benchmarks.load import updates
from campaigns import pushing, rights, words
from campaigns.desk import Desk
from content.bundle import Bundle
from content.library import Library
from storage import revisions
from storage.store import Store

LIMIT = 30
_HELD_SECONDS, _HELD_QUICK = 600, 30
_SETTLED, _SETTLED_QUICK = 100_000, 20_000
_JOBS, _JOBS_QUICK = 5_000, 2_000
_CONCURRENCY = 10
_FINE, _COARSE = 0.005, 0.05  # seconds between looks: for the first row, and for the end, so that looking costs nothing
_PAUSE = 0.02  # between one person's message and the next
_NEW = 200_000_000  # persons from here on are unknown
_CONTENT = {
    **{"kind": "text", "text": {"zh": "周五见", "en": "See you on Friday"}, "poster": "", "buttons": []},
    **{"about": "campaign", "wechat": "service"},
}
_BARE = """
INSERT INTO delivery (id, subscriber, identity, account, text, part, kind, lane, state, due_at, lease, tries, reason,
  run, way)
SELECT 900000000000 + row_number() OVER (ORDER BY s.id), s.id, i.id, i.channel || ':' || i.account, 1, 0, 'reminder', 1,
  'queued', 1, '', 0, '', 1, 'bot' FROM subscriber s JOIN identity i ON i.subscriber = s.id
"""


def measure(options: Options, say: Say) -> dict[str, list[Figures]]:
    """Opening, settling and holding, each `runs` times but for holding, which lasts."""
    found: dict[str, list[Figures]] = {}
    quick = options.seconds <= 1
    with servers.postgres(options.home, options.python) as (maintenance, _):
        with servers.database(maintenance, "pushed") as template:
            say(f"pushes: {options.many} people")
            people.fill(template, options.many, "telegram")
            _ready(template)
            for run in range(options.runs):
                say(f"pushes: opening {run + 1}/{options.runs}")
                with servers.database(maintenance, "bare", "pushed") as url:
                    bare = {"whole": _bare(url)}
                with servers.database(maintenance, "opened", "pushed") as url:
                    opened, idle = _opened(options, url)
                _keep(found, bare_insert=bare, push_opened=opened, inbound_idle=idle)
        settled, jobs = (_SETTLED_QUICK, _JOBS_QUICK) if quick else (_SETTLED, _JOBS)
        for run in range(options.runs):
            say(f"pushes: settling {run + 1}/{options.runs}")
            with servers.database(maintenance, "settled") as url:
                people.fill(url, settled, "telegram")
                ours = _printed(sys.executable, "-m", "benchmarks.settling", url, str(settled))
            with servers.database(maintenance, "jobs") as url:
                script = str(servers.PEERS / "procrastinate_jobs.py")
                theirs = _printed(str(options.python), script, url, str(jobs), str(_CONCURRENCY))
            for figures in (ours, theirs):
                if figures.pop("left"):
                    raise Wrong(f"not everything was settled: {figures}")
            _keep(found, push_settled=ours, procrastinate=theirs)
        for nodes in (1, 3):
            say(f"pushes: holding the limit, {nodes}")
            with servers.database(maintenance, f"held_{nodes}") as url:
                _keep(found, **{f"held_{nodes}": _held(options, url, nodes, _HELD_QUICK if quick else _HELD_SECONDS)})
    return found


# ---- opening


def _bare(url: str) -> float:
    store = Store(url, writer=False)
    with store.begin() as connection:
        began = time.perf_counter()
        connection.execute(text(_BARE))
    took = time.perf_counter() - began
    store.close()
    return took


def _opened(options: Options, url: str) -> tuple[Figures, Figures]:
    """Seconds from the moment it was due, the service's peak memory, and how long people waited then and before."""
    with servers.bot_api(options.home) as api, servers.node(options.home, url, api, LIMIT) as (port, process):
        asking = Asking(port, options.many)
        asking.wait(200)
        idle = asking.p99()
        store = Store(url, writer=False)
        began = _approve(store)
        first = 0.0
        state = None
        while state is None or not state.opened:
            time.sleep(_FINE if not first else _COARSE)
            with store.read() as connection:
                state = connection.execute(text("SELECT opened, people FROM push_run")).first()
                if not first and state and state.people:
                    first = time.time() - began
        whole = time.time() - began
        during = asking.p99()
        asking.close()
        with store.read() as connection:
            rows = connection.execute(text("SELECT COUNT(*) FROM delivery WHERE run IS NOT NULL")).scalar_one()
        store.close()
        if rows < options.many:
            raise Wrong(f"{rows} rows for {options.many} people")
        return {"first": first, "whole": whole, "p99": during, "memory": _peak(process)}, {"p99": idle}


def _approve(store: Store) -> float:
    """A push to everybody, due now; when that was, in seconds since 1970."""
    now = datetime.now(UTC)
    with store.begin() as connection:
        campaign = revisions.campaigns(connection)[0]
        number = revisions.current(connection, campaign)
        assert number
        library = Library(Bundle.of(revisions.files(connection, campaign, number)), number, words())
        author = Desk(connection, "staff:1", rights.OPERATOR, now, "measured")
        wall = {"at": now.astimezone(library.plan.zone).replace(tzinfo=None).isoformat()}
        push = pushing.create(author, library, f"bench/{now}", "bench", _CONTENT, "everyone", wall)
        pushing.submit(author, library, push.number)
        pushing.approve(Desk(connection, "staff:2", rights.OPERATOR, now), library, push.number, alone=False)
    return time.time()


class Asking:
    """People nobody met before who write to a node, one after the other, in a thread; each answer is waited for."""

    def __init__(self, port: int, seed: int, first: int = _NEW, pause: float = _PAUSE) -> None:
        self._port, self._seed, self._next, self._pause = port, seed, first, pause
        self._waits: list[float] = []
        self.asked: dict[int, float] = {}  # chat → when
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def wait(self, count: int) -> None:
        """Until so many were answered."""
        while len(self._waits) < count and self._thread.is_alive():
            time.sleep(0.01)

    def p99(self) -> float:
        """Of the waits since it was asked last, in milliseconds."""
        waits, self._waits = sorted(self._waits), []
        if not waits:
            raise Wrong("nobody was answered")
        return 1000 * waits[len(waits) * 99 // 100]

    def close(self) -> None:
        """Nobody asks any more."""
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as line:
            while not self._over.is_set():
                (request,) = updates([self._next], "帮助", self._seed + self._next + random.getrandbits(30))
                began = time.time()
                self.asked[int(people.address("telegram", self._next))] = began
                line.sendall(request)
                answer = b""
                while b"\r\n\r\n" not in answer:
                    answer += line.recv(65_536)
                if b" 200 " not in answer[:16]:
                    return
                self._waits.append(time.time() - began)
                self._next += 1
                self._over.wait(self._pause)


# ---- holding


def _held(options: Options, url: str, count: int, seconds: int) -> Figures:
    """A push to more people than the time allows, with questions of others between, from so many nodes."""
    people.fill(url, int(LIMIT * seconds * 1.3) + 1_000, "telegram")
    with ExitStack() as stack:
        api = stack.enter_context(servers.bot_api(options.home, LIMIT))
        nodes = [stack.enter_context(servers.node(options.home, url, api, LIMIT)) for _ in range(count)]
        store = Store(url, writer=False)
        _approve(store)
        store.close()
        time.sleep(3)
        began = time.time()
        asking = [Asking(port, 7 * place, _NEW * (place + 1), 0.5 * count) for place, (port, _) in enumerate(nodes)]
        time.sleep(seconds)
        ended = time.time()
        for one in asking:
            one.close()
        time.sleep(2)
        with urllib.request.urlopen(f"{api}/bot/told") as answer:
            told = json.load(answer)
    held = sum(began <= at < ended for at, _ in told["taken"])
    first: dict[int, float] = {}
    for at, chat in told["taken"]:
        first.setdefault(chat, at)
    asked = {chat: at for one in asking for chat, at in one.asked.items()}
    if missing := asked.keys() - first.keys():
        raise Wrong(f"{len(missing)} of {len(asked)} were not answered")
    waits = sorted(first[chat] - at for chat, at in asked.items())
    return {
        "share": 100 * held / (LIMIT * (ended - began)),
        "refused": float(len(told["refused"])),
        "p99": 1000 * waits[len(waits) * 99 // 100],
        "p50": 1000 * waits[len(waits) // 2],
    }


def _ready(url: str) -> None:
    store = Store(url, writer=False)
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    store.close()


def _peak(process: int) -> float:
    """The most memory that a process had, in megabytes."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def _printed(*command: str) -> Any:
    done = subprocess.run(command, cwd=servers.ROOT, capture_output=True, text=True)
    if done.returncode:
        raise Wrong(f"{command[1:3]} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])
