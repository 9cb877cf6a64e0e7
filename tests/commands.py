"""The command line within the test's own process: what a command of its own would print, without another start."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from bot.__main__ import called, command_line
from tests.serving import ROOT, _command, _environment


def koukou(config: Path, *words: str) -> Result:
    """Run a command in English; `stdout`, `stderr` and `exit_code` are what it would have.

    Not for commands that set up logging, which would outlast them here.
    """
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LC_ALL", "en_US.UTF-8")
        done = CliRunner().invoke(command_line(called(list(words))), ["--config", str(config), *words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def koukou_apart(config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The same as a process of its own."""
    environment = {**_environment(), "LC_ALL": "en_US.UTF-8"}
    return subprocess.run(_command(config, *words), cwd=ROOT, env=environment, capture_output=True, text=True)
