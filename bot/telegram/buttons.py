"""Buttons under a message: what each carries in its 64 bytes, how they stand in rows, and what a tap stands for.

Words that do not fit are found again among the labels of the very message that was tapped, which the platform sends
back with the tap: so an old button works after any restart, on any node, under any later plan, with nothing stored.
"""

from __future__ import annotations

import hashlib
import unicodedata
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

DATA_BYTES = 64
_MARK = "#~"
# Widths in Latin letters up to which three and two buttons share a row of a phone's screen unshortened.
_THIRD, _HALF = 8, 16


@dataclass(frozen=True, slots=True)
class Button:
    """One button: it sends `data` back, or opens `url`."""

    label: str
    data: str = ""
    url: str = ""


def rows(choices: Sequence[dict[str, Any]], public_url: str) -> tuple[tuple[Button, ...], ...]:
    """The choices of a message tree in rows, in their order; those that `as_text` names are left out."""
    buttons = [_button(choice, public_url) for choice in choices if not _unlinkable(choice, public_url)]
    found: list[tuple[Button, ...]] = []
    for share, run in _runs(buttons):
        count = -(-len(run) // share)
        least, longer = divmod(len(run), count)  # five that fit in threes become three and two, four two and two
        for row in range(count):
            found.append(tuple(run[: least + (row < longer)]))
            run = run[least + (row < longer) :]
    return tuple(found)


def as_text(choices: Sequence[dict[str, Any]], public_url: str) -> list[str]:
    """Lines for the links that the platform would refuse as a button, such as to a host without a dot."""
    return [f"{c['label']}: {_joined(c['url'], public_url)}" for c in choices if _unlinkable(c, public_url)]


def words_of(data: str, markup: Any) -> str:
    """The words that a tapped button with `data` stands for, given the keyboard of its message; empty when unknown."""
    if not data.startswith(_MARK):
        return data
    for label in _labels(markup):
        if _print(label) == data:
            return label
    return ""


def _button(choice: dict[str, Any], public_url: str) -> Button:
    label = choice["label"].strip() or "…"
    if url := choice.get("url"):
        return Button(label, url=_joined(url, public_url))
    say = choice["say"]
    if len(say.encode()) <= DATA_BYTES and say.strip() and not say.startswith(_MARK):
        return Button(label, say)
    return Button(label, _print(label))  # such long words are a question, which is its own label


def _print(label: str) -> str:
    return _MARK + urlsafe_b64encode(hashlib.sha256(label.encode()).digest()[:24]).decode()


def _labels(markup: Any) -> Iterator[str]:
    lines = markup.get("inline_keyboard") if isinstance(markup, dict) else None
    for line in lines if isinstance(lines, list) else ():
        for button in line if isinstance(line, list) else ():
            if isinstance(button, dict) and isinstance(button.get("text"), str):
                yield button["text"]


def _joined(url: str, public_url: str) -> str:
    return f"{public_url}{url}" if url.startswith("/") else url


def _unlinkable(choice: dict[str, Any], public_url: str) -> bool:
    if not (url := choice.get("url")):
        return False
    try:
        host = urlsplit(_joined(url, public_url)).hostname or ""
    except ValueError:
        return True
    return "." not in host.strip(".") or any(character.isspace() for character in url)


def _runs(buttons: Sequence[Button]) -> Iterator[tuple[int, list[Button]]]:
    """Neighbours that can share rows, with how many to a row."""
    run: list[Button] = []
    for button in buttons:
        if _width(button.label) <= _HALF:
            run.append(button)
            continue
        if run:
            yield _share(run), run
        yield 1, [button]
        run = []
    if run:
        yield _share(run), run


def _share(run: Sequence[Button]) -> int:
    return 3 if all(_width(button.label) <= _THIRD for button in run) else 2


def _width(label: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in label)
