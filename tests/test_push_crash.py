"""The short form of `python -m tests.push_crash`: a push to thousands over two nodes, killed and cut off."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.push_crash import Crash, awake


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_push_survives_kills_cuts_and_lies(
    tmp_path: Path, empty_postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    crash = Crash(empty_postgres_url, tmp_path, 1_500, 2026, 300)
    faults = ["kill", "kill", "cut", "sever", "sever", "drop", "drop", "lie", "storm", "leave", "leave"]
    ran = asyncio.run(crash.run(faults, 180, awake(tmp_path), outage=True))
    with capsys.disabled():
        print(f"\n{ran}")
    assert ran.problems == []
    assert ran.got > 1_250
    assert (ran.secrets["twice"], ran.secrets["got"] > 100) == (0, True)
    assert (ran.keyed["twice"], ran.keyed["got"] > 120, ran.keyed["requests"] > ran.keyed["jobs"]) == (0, True, True)
    assert sum(ran.faults.values()) == len(faults) + 2
