"""Edits the shipped plan for a test and says on which line things stand."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from content.bundle import Bundle
from content.plan.model import CLAUSES

FOLDER = Path(__file__).parent.parent / "content" / "family-network"
RUNS = frozenset(CLAUSES)


@cache
def shipped_files() -> dict[str, bytes]:
    """The shipped plan's files by path."""
    return dict(Bundle.read(FOLDER).files)


def with_text(files: dict[str, bytes], text: str) -> Bundle:
    return Bundle.of({**files, "plan.toml": text.encode()})


def edited(files: dict[str, bytes], old: str, new: str) -> tuple[Bundle, str]:
    """The shipped plan with its first `old` replaced; `old` must be there."""
    text = files["plan.toml"].decode()
    assert old in text
    text = text.replace(old, new, 1)
    return with_text(files, text), text


def line_of(text: str, words: str) -> int:
    """The first line that holds the words; each `^` before them means one line further up."""
    wanted = words.lstrip("^")
    found = next(number for number, line in enumerate(text.splitlines(), 1) if wanted in line)
    return found - (len(words) - len(wanted))
