"""The command line as an operator uses it, beside a serving process and without one."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.__main__ import config_first

ROOT = Path(__file__).parent.parent
SHIPPED = ROOT / "content" / "family-network"


class Operator:
    """A folder with a plan and a config.toml, and `koukou` run in it."""

    def __init__(self, folder: Path, language: str = "en_US.UTF-8") -> None:
        self.folder, self.plan = folder, folder / "plan"
        shutil.copytree(SHIPPED, self.plan)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.config = folder / "config.toml"
        self.config.write_text(f'[service]\nlisten = "127.0.0.1:{self.port}"\nplan = "plan"\n')
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("KOUKOU_", "LC_"))}
        self.environ = {**ours, "LANG": language, "PYTHONPATH": str(ROOT)}
        self.server: subprocess.Popen[bytes] | None = None

    def koukou(self, *words: str, code: int = 0) -> str:
        """What the command printed, both ways out; its exit code must be `code`."""
        command = [sys.executable, "-m", "bot", "--config", str(self.config), *words]
        done = subprocess.run(command, cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=60)
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def json(self, *words: str, code: int = 0) -> Any:
        """The one document that a reading command prints."""
        return json.loads(self.koukou(*words, "--json", code=code))

    def serve(self) -> None:
        command = [sys.executable, "-m", "bot", "serve", "--config", str(self.config)]
        with (self.folder / "log").open("wb") as log:
            self.server = subprocess.Popen(command, cwd=self.folder, env=self.environ, stdout=log, stderr=log)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            assert self.server.poll() is None, (self.folder / "log").read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> int:
        assert self.server
        self.server.send_signal(signal.SIGTERM)
        return self.server.wait(15)

    def edit(self, old: str, new: str) -> int:
        """Change the plan's file; returns the line of the change."""
        path = self.plan / "plan.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        return text[: text.index(old)].count("\n") + 1


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    one = Operator(tmp_path)
    yield one
    if one.server and one.server.poll() is None:
        one.server.kill()
        one.server.wait()


@pytest.mark.timeout(300)
def test_a_plans_life(operator: Operator) -> None:
    """Checked, applied, shown, changed, compared, applied again, exported; all beside the serving process."""
    assert "0 faults" in operator.koukou("plan", "check")
    assert "no database" in operator.koukou("plan", "show", code=1)
    operator.serve()
    assert operator.json("plan", "show")["revision"] == 1
    assert "nothing changed; still revision 1" in operator.koukou("plan", "apply")
    line = operator.edit("points = 5", "points = 6")
    changes = operator.json("plan", "diff")["changes"]
    assert len(changes) == 1
    assert f"plan.toml:{line}" in operator.koukou("plan", "diff")
    assert "applied as revision 2" in operator.koukou("plan", "apply")
    assert operator.json("plan", "show")["plan"]["checkin"]["points"] == 6
    assert "revision 2" in operator.koukou("plan", "export", "out")
    assert (operator.folder / "out" / "plan.toml").read_bytes() == (operator.plan / "plan.toml").read_bytes()
    assert operator.json("ledger", "check")["ok"]
    assert operator.stop() == 0
    assert operator.json("ledger", "check")["ok"]


def test_the_new_revision_counts_at_once(operator: Operator) -> None:
    operator.serve()
    assert "+5 积分" in _say(operator.port, "签到")
    operator.edit("points = 5", "points = 6")
    operator.koukou("plan", "apply")
    assert "+6 积分" in _say(operator.port, "签到")


def test_files_made_from_an_older_revision_are_refused(operator: Operator) -> None:
    operator.koukou("plan", "apply")
    operator.koukou("plan", "export", "mine")
    operator.edit("points = 5", "points = 6")
    operator.koukou("plan", "apply")
    mine = operator.folder / "mine" / "plan.toml"
    mine.write_text(mine.read_text().replace("points = 5", "points = 7", 1))
    refused = operator.koukou("plan", "apply", "mine", code=1)
    assert "revision 2 meanwhile" in refused
    assert operator.json("plan", "show")["plan"]["checkin"]["points"] == 6


def test_a_faulty_plan_is_refused_by_file_and_line_and_changes_nothing(operator: Operator) -> None:
    operator.koukou("plan", "apply")
    line = operator.edit("points = 5", "pionts = 5")
    refused = operator.koukou("plan", "apply", code=1)
    assert f"plan.toml:{line}" in refused
    assert "points" in refused
    found = operator.json("plan", "check", code=1)
    assert not found["ok"]
    assert operator.json("plan", "show")["revision"] == 1


def test_a_start_with_a_wrong_key_names_it_and_stops(operator: Operator) -> None:
    operator.config.write_text(operator.config.read_text() + '[channels.wechat]\ntokn = "x"\n')
    said = operator.koukou("serve", code=1)
    assert re.search(r"config\.toml:5: channels\.wechat\.tokn: .*token", said), said


def test_a_start_without_its_plan_names_what_is_missing_and_a_later_one_needs_no_files(operator: Operator) -> None:
    shutil.move(operator.plan, operator.folder / "away")
    assert "no plan.toml in" in operator.koukou("serve", code=1)
    shutil.move(operator.folder / "away", operator.plan)
    operator.koukou("plan", "apply")
    shutil.rmtree(operator.plan)
    operator.serve()
    assert "+5 积分" in _say(operator.port, "签到")


def test_a_second_server_on_the_same_file_is_refused(operator: Operator) -> None:
    operator.serve()
    assert "another process serves this database" in operator.koukou("serve", code=1)


def test_a_stop_does_not_wait_for_an_open_page(operator: Operator) -> None:
    operator.serve()
    base = f"http://127.0.0.1:{operator.port}"
    body = json.dumps({"key": os.urandom(16).hex(), "text": "签到"}).encode()
    headers = {"Content-Type": "application/json", "Origin": base}
    with urllib.request.urlopen(urllib.request.Request(f"{base}/chat/send", body, headers), timeout=10) as answer:
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
    statuses = []

    def wait() -> None:
        request = urllib.request.Request(f"{base}/chat/waiting?after=0", headers={"Cookie": cookie})
        with urllib.request.urlopen(request, timeout=30) as answer:
            statuses.append(answer.status)

    page = threading.Thread(target=wait)
    page.start()
    time.sleep(1)
    began = time.monotonic()
    assert operator.stop() == 0
    assert time.monotonic() - began < 5
    page.join(5)
    assert statuses in ([200], [204])


def test_somebody_unknown_is_refused_and_somebody_known_is_shown(operator: Operator) -> None:
    operator.serve()
    assert "no such subscriber: wechat:nobody" in operator.koukou("subscriber", "show", "wechat:nobody", code=1)


def test_the_config_option_may_stand_anywhere() -> None:
    assert config_first(["serve", "--config", "a.toml"]) == ["--config", "a.toml", "serve"]
    assert config_first(["plan", "check", "--config=b.toml", "x"]) == ["--config=b.toml", "plan", "check", "x"]
    assert config_first(["serve", "--config"]) == ["--config", "serve"]


def _say(port: int, text: str) -> str:
    base = f"http://127.0.0.1:{port}"
    body = json.dumps({"key": os.urandom(16).hex(), "text": text}).encode()
    headers = {"Content-Type": "application/json", "Origin": base, "Accept-Language": "zh"}
    with urllib.request.urlopen(urllib.request.Request(f"{base}/chat/send", body, headers), timeout=10) as answer:
        return " ".join(message["text"] for message in json.load(answer)["answers"])
