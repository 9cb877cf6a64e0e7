"""Telegram: a message sent beside python-telegram-bot as it comes, one heard beside aiogram's dispatcher.

Ours is the whole service with its database each time; the peers store nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks import people, servers
from benchmarks.cases import Figures, Load, Options, Say, Wrong, _copied, _keep, send
from benchmarks.load import BOT_TOKEN

SENT = 3_000
HEARD = 5_000
_SAID = [
    {
        "text": "签到成功，得 5 积分。",
        "choices": [{"label": "我的积分", "say": "积分"}, {"label": "菜单", "say": "菜单"}],
    }
]


def sending(options: Options, say: Say) -> dict[str, list[Figures]]:
    """The same text with two buttons, to SENT people."""
    template = options.home / "waiting.db"
    people.fill(f"sqlite:///{template}", SENT, "telegram", json.dumps(_SAID))
    found: dict[str, list[Figures]] = {}
    with servers.bot_api(options.home) as api:
        for run in range(options.runs):
            say(f"telegram sending {run + 1}/{options.runs}")
            path = _copied(template, options.home / f"sending-{run}.db")
            config = servers.configuration(options.home, f"sqlite:///{path}", 8, api)
            ours = _printed("-m", "benchmarks.sending", str(config), str(SENT))
            if ours.pop("left"):
                raise Wrong("not every delivery was sent")
            stock = _printed(str(servers.PEERS / "ptb_send.py"), api, BOT_TOKEN, str(SENT))
            _keep(found, telegram_sent=ours, ptb_sent=stock)
            path.unlink()
    return found


def hearing(options: Options, say: Say) -> dict[str, list[Figures]]:
    """HEARD updates over the webhook, each answered."""
    template = options.home / "known-telegram.db"
    people.fill(f"sqlite:///{template}", HEARD + 500, "telegram")
    found: dict[str, list[Figures]] = {}
    with servers.bot_api(options.home) as api:
        for run in range(options.runs):
            say(f"telegram hearing {run + 1}/{options.runs}")
            path = _copied(template, options.home / f"hearing-{run}.db")
            with servers.node(options.home, f"sqlite:///{path}", api) as (port, process):
                _keep(found, telegram_heard=_heard(port, process))
            path.unlink()
            with servers.aiogram(options.home, options.python) as (port, process):
                _keep(found, aiogram=_heard(port, process))
    return found


def _heard(port: int, process: int) -> Figures:
    of = {"platform": "telegram", "known": HEARD + 500}
    send(Load([port], {}, 10, first=0, count=500, **of))
    return send(Load([port], {"cpu": [process]}, 60, count=HEARD, **of))


def _printed(*words: str) -> Figures:
    done = subprocess.run([sys.executable, *words], cwd=servers.ROOT, capture_output=True, text=True)
    if done.returncode:
        raise Wrong(f"{words[0]} failed:\n{done.stderr[-2000:]}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures
