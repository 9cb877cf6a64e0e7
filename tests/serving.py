"""The service as users run it: `koukou serve` as a process of its own, which a test kills, freezes and starts again.

Knows the command line and three addresses, nothing of what is served.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.played.telegram import PlayedTelegram
from bot.played.wechat import PlayedWeChat
from bot.played.wechat.wire import Wire

ROOT = Path(__file__).parent.parent
SECRET = "a-secret-of-crash-runs-of-32-bytes!"
BOT_SECRET = "a_secret-token_of_the_webhook"
# What the service logs when something went wrong that no kill explains.
BROKEN = ("group_failed", "turn_failed", "tick_broke", "request_failed", "send_broke", "Traceback")
_EXPECTED = ('"fault": "OperationalError"', "asyncio.exceptions.CancelledError")
_NEVER = 60.0


def free_port() -> int:
    """A port below those that outgoing connections take, so that it is still free after a kill.

    Not by any seed: two runs beside each other must not choose alike.
    """
    while True:
        port = secrets.choice(range(20_000, 30_000))
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


@dataclass
class Node:
    """One serving process on `port`, with the bot of a played `telegram` if there is one.

    `started` holds the seconds from each start to readiness, and `spent` the CPU seconds of each.
    """

    folder: Path
    url: str
    port: int
    world: PlayedWeChat
    telegram: PlayedTelegram | None = None
    updates: str = "webhook"
    started: list[float] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._since = 0.0
        self.config = self.folder / f"node-{self.port}.toml"
        self.log = self.folder / f"node-{self.port}.log"
        self.door = Wire(f"http://127.0.0.1:{self.port}/wechat")
        self._health = Wire(f"http://127.0.0.1:{self.port}/readyz")
        self.config.write_text(
            f'[service]\nlisten = "127.0.0.1:{self.port}"\nplan = "{ROOT}/content/family-network"\n'
            f'[storage]\nurl = "{self.url}"\nsecret = "{SECRET}"\n[channels.wechat]\nenabled = true\n'
            f'app_id = "{self.world.app_id}"\napp_secret = "{self.world.app_secret}"\ntoken = "{self.world.token}"\n'
            f'aes_key = "{self.world.aes_key}"\napi_url = "{self.world.url}"\n{self._bot()}'
        )

    def _bot(self) -> str:
        if self.telegram is None:
            return ""
        return (
            f'[channels.telegram]\nenabled = true\ntoken = "{self.telegram.token}"\n'
            f'secret_token = "{BOT_SECRET}"\nupdates = "{self.updates}"\napi_url = "{self.telegram.url}"\n'
            f"messages_per_second = {int(self.telegram.per_second)}\n"
        )

    def start(self) -> None:
        """Start the process."""
        self._since = time.monotonic()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                _command(self.config, "serve"), cwd=ROOT, env=_environment(), stdout=log, stderr=log
            )

    async def ready(self) -> None:
        """Wait until /readyz says 200, and note how long that took. Raises AssertionError when it never does."""
        while time.monotonic() - self._since < _NEVER:
            assert self._process and self._process.poll() is None, (
                f"node ended by itself: {self.log.read_text()[-2000:]}"
            )
            try:
                async with asyncio.timeout(2):
                    status, _ = await self._health.exchange("GET", "")
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                status = 0
            if status == 200:
                self.started.append(time.monotonic() - self._since)
                self.spent.append(_cpu_seconds(self._process.pid))
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"not ready in {_NEVER} s: {self.log.read_text()[-2000:]}")

    async def begin(self) -> None:
        """Start and be ready."""
        self.start()
        await self.ready()

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def freeze(self, seconds: float) -> None:
        """Stop the process in mid-air for so long, then let it go on as if nothing had been."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._process.send_signal(signal.SIGCONT)

    async def stop(self) -> None:
        """SIGTERM, and wait for a clean end within the ten seconds that service managers leave."""
        if self._process:
            self._process.terminate()
            code = await asyncio.to_thread(self._process.wait, 15)
            self._process = None
            assert code in (0, -signal.SIGTERM), f"ended with {code}: {self.log.read_text()[-2000:]}"

    def broken(self) -> list[str]:
        """Lines of the log that tell of faults of ours.

        A thawed node finds that the database ended its session, and a clean stop cancels what ticks: both should be.
        """
        lines = [line for line in self.log.read_text().splitlines() if any(word in line for word in BROKEN)]
        return [line for line in lines if not any(word in line for word in _EXPECTED)]

    def koukou(self, *words: str) -> Any:
        """What a reading command prints with --json."""
        done = subprocess.run(
            _command(self.config, *words, "--json"), cwd=ROOT, env=_environment(), capture_output=True, text=True
        )
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def upgrade(self) -> None:
        """Make or bring up the schema, as an operator does on PostgreSQL."""
        subprocess.run(
            _command(self.config, "db", "upgrade"), cwd=ROOT, env=_environment(), check=True, capture_output=True
        )


def _cpu_seconds(process: int) -> float:
    """What a process used so far, which other work on the machine does not change; 0 where that cannot be read."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _command(config: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "bot", "--config", str(config), *words]


def _environment() -> dict[str, str]:
    """Ours without what changes a start-up or a setting."""
    return {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONDONTWRITEBYTECODE" and not name.startswith("KOUKOU_")
    }
