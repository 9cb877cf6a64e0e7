"""What a node loads before it is ready: a node that was killed is up again within two seconds, nearly all of which are
imports. This holds the list of what it must do without, so that no line added in passing takes the second back."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from bot import config
from bot.app import open_app
from bot.commands_staff import first_administrator
from tests.serving import ROOT, SECRET, _environment, free_port

LATER = {
    "alembic": "a schema that is not current",
    "psycopg": "the other database",
    "apscheduler": "the ticker, once the node is up",
    "aiohttp": "calls to Telegram and to the provider of text messages",
    "telegram": "calls to Telegram",
    "httpx": "calls to WeChat",
    "wechatpy": "calls to WeChat",
    "websockets": "nothing",
    "rich.console": "help",
    "pygments": "nothing",
    "jinja2": "the first page",
    "prometheus_client": "/metrics",
    "argon2": "logging in",
    "pyotp": "logging in",
    "PIL": "the first picture",
    "qrcode": "the first picture",
    "numpy": "the first picture, the sentence encoder",
    "zxingcpp": "the check of posters",
    "tree_sitter": "the line of a fault",
    "content.posters": "the first picture",
    "bot.console": "the first page of the console",
    "bot.doctor": "koukou doctor",
    "bot.played": "tests",
    "storage.backup": "koukou backup",
    **{f"bot.commands_{name}": f"koukou {name}" for name in ("act", "backup", "plan", "push", "standing", "wechat")},
}
_UP = "Application startup complete"
_IMPORTED = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s*([\w.]+)$")


def settings_file(folder: Path, database: Path) -> Path:
    """An installation with everything that a start may open: both messengers, text messages, the console."""
    path = folder / "config.toml"
    path.write_text(
        f'[service]\nlisten = "127.0.0.1:{free_port()}"\nplan = "{ROOT}/content/family-network"\n'
        f'[storage]\nurl = "sqlite:///{database}"\nsecret = "{SECRET}"\n'
        '[channels.wechat]\nenabled = true\napp_id = "wx0123456789abcdef"\napp_secret = "secret-of-the-app"\n'
        f'token = "token"\naes_key = "{"a" * 43}"\napi_url = "http://127.0.0.1:9"\n'
        '[channels.telegram]\nenabled = true\ntoken = "1:token-of-the-bot"\nsecret_token = "secret-of-the-hook"\n'
        'api_url = "http://127.0.0.1:9"\n'
        '[sms]\nenabled = true\nurl = "http://127.0.0.1:9"\nkey = "key"\nsignature = "口口相传"\n'
    )
    return path


def loaded_until_up(settings: Path) -> set[str]:
    """Every module that `serve` looks for until it is up, as the interpreter itself tells it."""
    command = [sys.executable, "-X", "importtime", "-m", "bot", "--config", str(settings), "serve"]
    found: set[str] = set()
    said: list[str] = []
    with subprocess.Popen(command, cwd=ROOT, env=_environment(), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            for line in process.stderr:
                if _UP in line:
                    return found
                imported = _IMPORTED.match(line)
                if imported:
                    found.add(imported[1])
                else:
                    said.append(line)
        finally:
            process.kill()
    raise AssertionError("".join(said))


def test_a_start_loads_nothing_that_readiness_does_not_need(migrated_file: Path, tmp_path: Path) -> None:
    database = tmp_path / "koukou.db"
    shutil.copy(migrated_file, database)
    settings = settings_file(tmp_path, database)
    first = open_app(config.load(settings, {}))  # applies the plan; what is looked at is a later start
    first_administrator(first)
    first.store.close()
    loaded = loaded_until_up(settings)
    assert {"bot.app", "bot.wire", "storage.group", "content.plan.model", "uvicorn"} <= loaded
    early = {
        module: why
        for module in sorted(loaded)
        for name, why in LATER.items()
        if module == name or module.startswith(f"{name}.")
    }
    assert early == {}
