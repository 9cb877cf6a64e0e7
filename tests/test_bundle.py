"""Plan folders are read and written byte for byte, and differences between two are told by key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from content.bundle import MOST_BYTES, Bundle
from content.changes import changes, export
from content.faults import Fault, PlanFaults
from tests.plan_editing import edited, line_of, shipped_files


@pytest.fixture
def shipped() -> dict[str, bytes]:
    return dict(shipped_files())


def test_reading_a_folder(tmp_path: Path, shipped: dict[str, bytes]) -> None:
    written = export(Bundle.of(shipped), tmp_path / "plan")
    for passing in (".git/config", "plan.toml~", "~$plan.toml", "faq/.x.swp", "draft.tmp"):
        (tmp_path / "plan" / passing).parent.mkdir(exist_ok=True)
        (tmp_path / "plan" / passing).write_bytes(b"x")
    again = Bundle.read(tmp_path / "plan")
    assert again.files == shipped
    assert again.digest == Bundle.of(shipped).digest
    assert len(written) == len(shipped)
    assert again.made_from is None
    export(again, tmp_path / "plan", revision=7)
    assert Bundle.read(tmp_path / "plan").made_from == 7
    assert Bundle.read(tmp_path / "plan").files == shipped
    (tmp_path / "plan" / "plan.toml").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        export(again, tmp_path / "plan")
    assert (tmp_path / "plan" / "plan.toml").read_bytes() == b"mine"


def read_faults(folder: Path) -> list[Fault]:
    with pytest.raises(PlanFaults) as caught:
        Bundle.read(folder)
    return caught.value.faults


def test_folders_that_are_refused(tmp_path: Path) -> None:
    assert [one.file for one in read_faults(tmp_path)] == ["plan.toml"]
    (tmp_path / "plan.toml").write_text("id = 'x'")
    (tmp_path / "secret").mkdir()
    folder = tmp_path / "secret" / "plan"
    folder.mkdir()
    os.symlink(tmp_path / "plan.toml", folder / "plan.toml")
    os.symlink(tmp_path, folder / "all")
    (folder / "large.png").write_bytes(b"\0" * (MOST_BYTES + 1))
    assert sorted(one.file for one in read_faults(folder)) == ["all", "large.png", "plan.toml"]


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.toml", "a/../../x", "a\\b", "", ".", "a//b", "c:x", "a\nb"])
def test_stored_names_stay_inside(shipped: dict[str, bytes], name: str) -> None:
    with pytest.raises(PlanFaults):
        Bundle.of({**shipped, name: b"x"})


def test_changes_are_told_by_key(shipped: dict[str, bytes]) -> None:
    old = Bundle.of(shipped)
    assert changes(old, Bundle.of(shipped)) == []
    new, text = edited(shipped, "points = 5\n", "points = 8\n")
    assert [one.text("en") for one in changes(old, new)] == [
        f"plan.toml:{line_of(text, 'points = 8')}: changed checkin.points: 5 → 8"
    ]
    package = '[[joining.packages]]\nid = "solo"\nprice = "9 元"\n\n[[joining.packages]]\nid = "warm"'
    new, text = edited(shipped, '[[joining.packages]]\nid = "warm"', package)
    assert [(one.kind, one.key, one.line) for one in changes(old, new)] == [
        ("added", "joining.packages[solo].id", line_of(text, 'id = "solo"')),
        ("added", "joining.packages[solo].price", line_of(text, '"9 元"')),
    ]
    new, _ = edited(shipped, "most_a_day = 3\n", "")
    assert [one.text("zh") for one in changes(old, new)] == ["plan.toml: 删去 social.lottery.most_a_day: 3"]
    new, _ = edited(shipped, "# 家庭网推广方案", "# 方案")
    assert [one.text("zh") for one in changes(old, new)] == ["plan.toml: 改动"]
    files = {**shipped, "quizzes/family.toml": b"", "faq/new.toml": b""}
    files.pop("posters/shop/poster.toml")
    told = [(one.kind, one.file) for one in changes(old, Bundle.of(files))]
    assert told == [
        ("added", "faq/new.toml"),
        ("removed", "posters/shop/poster.toml"),
        ("changed", "quizzes/family.toml"),
    ]
