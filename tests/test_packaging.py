"""What is installed: a wheel with every file the service reads, hashed requirements without addresses, and make."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
ROOMS = ("bot", "campaigns", "content", "storage")
NOT_SHIPPED = shutil.ignore_patterns("__pycache__", "*.pyc")


def pins(name: str) -> dict[str, tuple[Requirement, int]]:
    """Each requirement of a file with how many hashes it has."""
    blocks = re.split(r"\n(?=\S)", (ROOT / "requirements" / name).read_text("utf-8").strip())
    found = [(Requirement(re.split(r"\s*\\\n", block)[0]), block.count("--hash=sha256:")) for block in blocks]
    return {one.name: (one, hashes) for one, hashes in found}


@pytest.mark.parametrize("name", ["runtime.txt", "dev.txt"])
def test_everything_is_pinned_and_hashed_and_names_no_address(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text("utf-8")
    assert "://" not in text and "index" not in text and "#" not in text
    assert len(pins(name)) > 40
    for one, hashes in pins(name).values():
        assert re.fullmatch(r"==[^*,]+", str(one.specifier)) and hashes > 0, one


def test_tests_run_with_what_is_served() -> None:
    runtime, dev = pins("runtime.txt"), pins("dev.txt")
    assert {name: str(one) for name, (one, _) in runtime.items()}.items() <= {
        name: str(one) for name, (one, _) in dev.items()
    }.items()


def test_every_dependency_is_in_the_hashed_files() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    groups = project["dependency-groups"]
    for wanted, file in (
        (project["project"]["dependencies"] + groups["build"], "runtime.txt"),
        (groups["dev"], "dev.txt"),
    ):
        locked = pins(file)
        for text in (one for one in wanted if isinstance(one, str)):
            requirement = Requirement(text)
            assert requirement.specifier.contains(str(locked[requirement.name][0].specifier)[2:], prereleases=True), (
                text
            )


@pytest.mark.parametrize(
    ("system", "machine", "there"),
    [("linux", "x86_64", True), ("linux", "aarch64", False), ("darwin", "arm64", True), ("darwin", "x86_64", False)],
)
def test_the_fixed_sqlite_is_asked_for_where_there_is_a_wheel(system: str, machine: str, there: bool) -> None:
    marker = pins("runtime.txt")["pysqlite3"][0].marker
    assert isinstance(marker, Marker)
    here = {"sys_platform": system, "platform_machine": machine, "python_full_version": "3.13.1"}
    assert marker.evaluate({**here, "platform_python_implementation": "CPython"}) is there


def test_the_wheel_holds_all_that_the_service_reads(tmp_path: Path) -> None:
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=NOT_SHIPPED)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_x.py").write_text("")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-index", "--no-deps"]
    subprocess.run(
        [*pip, "--no-build-isolation", "-w", "out", "."], cwd=tmp_path, check=True, capture_output=True, timeout=100
    )
    (wheel,) = (tmp_path / "out").glob("koukou-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        scripts = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "koukou = bot.__main__:main" in archive.read(scripts).decode()
    wanted = {
        file.relative_to(tmp_path).as_posix()
        for room in ROOMS
        for file in (tmp_path / room).rglob("*")
        if file.is_file()
    }
    assert len(wanted) > 60
    assert names == wanted


def make(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *words], cwd=folder, env={**os.environ, **environ}, capture_output=True, text=True, timeout=100
    )


def test_make_says_in_both_languages_that_python_is_too_old(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    old = tmp_path / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = make(tmp_path, "install", f"PYTHON={old}")
    assert done.returncode != 0
    assert "需要 Python 3.11" in done.stderr and "Python 3.11 or newer is needed" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_a_missing_browser_fails_in_ci_and_is_said_aloud_elsewhere(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    bare = tmp_path / "bin"
    bare.mkdir()
    for tool in ("make", "sh", "id"):
        (bare / tool).symlink_to(str(shutil.which(tool)))
    in_ci, elsewhere = (make(tmp_path, "browser", PATH=str(bare), CI=ci) for ci in ("true", ""))
    assert in_ci.returncode != 0 and elsewhere.returncode == 0
    assert "没有找到 Chromium" in in_ci.stderr and "Chromium was not found" in elsewhere.stderr
