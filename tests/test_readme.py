"""Goes through README's commands as written, in a fresh copy with a fresh environment, as a newcomer would."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^( *)```sh\n(.*?)^ *```", re.S | re.M)


def blocks(name: str) -> list[str]:
    """The shell blocks of a README, without their indentation."""
    return [
        "\n".join(line.strip() for line in body.splitlines()) for _, body in BLOCK.findall((ROOT / name).read_text())
    ]


def test_both_languages_say_the_same() -> None:
    chinese, english = (ROOT / "README.zh.md").read_text(), (ROOT / "README.md").read_text()
    assert blocks("README.zh.md") == blocks("README.md")
    for shape in (r"^#+ ", r"^\| ", r"^\d\. ", r"^!\["):
        assert len(re.findall(shape, chinese, re.M)) == len(re.findall(shape, english, re.M)), shape


def test_every_linked_page_exists() -> None:
    for name in ("README.md", "README.zh.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text()):
            assert target.startswith("http") or (ROOT / target).exists(), (name, target)


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str, dict[str, str]]]:
    """A copy of what git tracks, `make run` as README says it, and the address it serves."""
    folder = tmp_path_factory.mktemp("newcomer") / "koukou"
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    for name in filter(None, tracked):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("KOUKOU_", "VIRTUAL_ENV", "PYTEST", "MAKE"))}
    # Several of these tests may run on one machine: only the port differs from what README says.
    environ |= {"KOUKOU_SERVICE__LISTEN": f"127.0.0.1:{port}", "LANG": "zh_CN.UTF-8"}
    command = blocks("README.md")[0]
    assert command == "make run"
    log = (folder.parent / "log").open("w")
    process = subprocess.Popen(command.split(), cwd=folder, env=environ, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait(f"http://127.0.0.1:{port}/readyz", process, folder.parent / "log")
        yield folder, f"http://127.0.0.1:{port}", environ
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 400
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                assert answer.status == 200
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(log.read_text()[-3000:])


def _say(base: str, text: str, cookie: str = "") -> tuple[dict[str, Any], str]:
    body = json.dumps({"key": os.urandom(16).hex(), "text": text}).encode()
    headers = {"Content-Type": "application/json", "Origin": base, "Accept-Language": "zh", "Cookie": cookie}
    with urllib.request.urlopen(urllib.request.Request(f"{base}/chat/send", body, headers), timeout=10) as answer:
        return json.load(answer), (answer.headers.get("Set-Cookie") or cookie).partition(";")[0]


@pytest.mark.timeout(500)
def test_a_newcomer_runs_it_and_checks_in(newcomer: tuple[Path, str, dict[str, str]]) -> None:
    _, base, _ = newcomer
    with urllib.request.urlopen(base, timeout=10) as page:
        assert "家庭网" in page.read().decode()
    first, cookie = _say(base, "签到")
    assert any("签到成功，+5 积分" in answer["text"] for answer in first["answers"])
    second, _ = _say(base, "积分", cookie)
    assert any("5 积分" in answer["text"] for answer in second["answers"])


@pytest.mark.timeout(500)
def test_the_commands_of_every_day(newcomer: tuple[Path, str, dict[str, str]]) -> None:
    folder, _, environ = newcomer
    everyday = next(block for block in blocks("README.md") if "plan check" in block)
    for command in everyday.splitlines():
        done = subprocess.run(command.split(), cwd=folder, env=environ, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        assert done.stdout.strip(), command


def test_make_test_is_there() -> None:
    assert "make test" in blocks("README.md")
    planned = subprocess.run(["make", "-n", "test"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "pytest" in planned
