"""The short form of `python -m tests.crash`: fifty kills over one node on SQLite and two nodes on PostgreSQL."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.crash import READY_SECONDS, campaign, table
from tests.crowd import percentile


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_kills_lose_and_double_nothing(tmp_path: Path, database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    if database_url.startswith("sqlite"):
        nodes, kills, freezes = 1, 24, 0
    else:
        nodes, kills, freezes = 2, 26, 3
    run = asyncio.run(campaign(database_url, tmp_path, nodes=nodes, kills=kills, seed=2026, freezes=freezes, callers=6))
    with capsys.disabled():
        print(f"\n{table([run])}")
    assert run.problems == []
    assert run.struck == kills
    assert run.acknowledged > 2 * kills
    # Five times what is promised, for a machine that does other things meanwhile.
    assert percentile(run.started, 0.95) <= 5 * READY_SECONDS
