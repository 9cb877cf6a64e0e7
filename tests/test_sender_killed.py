"""A sender process killed in the middle of a request: what the next one finds, and repeats or leaves to a human."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import Counter

import pytest

from tests.outbox import Recorder, age, counted, drain, opened, people, put, sender, states

KILLED = """
import asyncio, os, signal, sys
from bot.channels import Outcome
from bot.sender import Sender
from storage.store import Store
from tests.outbox import START, Recorder, WritingThread

class Deadly(Recorder):
    async def send(self, parcel):
        print(parcel.delivery, flush=True)
        if parcel.delivery == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return Outcome("sent")

sender = Sender(WritingThread(Store(sys.argv[1])), [Deadly()], lambda: START, f"killed{os.getpid()}")
asyncio.run(sender.loop())
"""


def killed_at(url: str, delivery: int) -> list[int]:
    """A sender process that dies in the middle of one request; returns the requests it began."""
    ran = subprocess.run([sys.executable, "-c", KILLED, url, str(delivery)], capture_output=True, text=True, timeout=30)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    return [int(line) for line in ran.stdout.split()]


@pytest.mark.parametrize("kind", ["reminder", "transactional"])
def test_kill_between_request_and_end(database_url: str, kind: str) -> None:
    """Killed in the request: a reminder is sent at most once more, what is transactional is left to a human."""
    with opened(database_url) as store:
        people(store, 10)
        put(store, [(100 + n, n) for n in range(1, 11)], kind=kind)
    requests = Counter(killed_at(database_url, 105))
    with opened(database_url) as store:
        in_doubt = [number for number, state in states(store).items() if state == "sending"]
        assert 105 in in_doubt
        age(store)
        channel = Recorder()
        asyncio.run(drain(sender(store, channel)[0]))
        requests.update(channel.said())
        if kind == "reminder":
            assert counted(store) == {"sent": 10}
            assert max(requests.values()) == 2
        else:
            assert {number for number, state in states(store).items() if state == "doubtful"} == set(in_doubt)
            assert max(requests.values()) == 1
        assert set(requests) <= set(states(store))
        assert counted(store).total() == 10


def test_a_reminder_killed_twice_is_given_up(database_url: str) -> None:
    with opened(database_url) as store:
        people(store, 1)
        put(store, [(10, 1)])
    for _ in range(2):
        killed_at(database_url, 10)
        with opened(database_url) as store:
            age(store)
    with opened(database_url) as store:
        channel = Recorder()
        asyncio.run(drain(sender(store, channel)[0]))
        assert channel.log == []
        assert states(store) == {10: "doubtful"}
