"""What quiz and survey files share: sentences by language, choices that are buttons, whole numbers, and their faults.

It knows neither what is asked for nor what becomes of an answer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from content.faults import Said, Severity

FEWEST_CHOICES, MOST_CHOICES = 2, 10
CHOICE_BYTES = 64  # what a button shows; fewer than the 100 characters of a poll's option
# A question with its choices; with what is said before it, it fits WeChat's text of 2048 bytes.
QUESTION_BYTES = 1200
MOST_QUESTIONS = 50
ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")

Path = tuple[str | int, ...]
Finding = tuple[Path, Severity, Said]


def spoken_faults(path: Path, spoken: Any, languages: Sequence[str], most: int) -> Iterator[Finding]:
    """A sentence in every language and no other, of at most `most` UTF-16 units."""
    if not isinstance(spoken, Mapping):
        yield _by_language(path)
        return
    yield from (unknown((*path, extra)) for extra in spoken if extra not in languages)
    for language in languages:
        value = spoken.get(language)
        if not isinstance(value, str) or not value.strip():
            yield fault((*path, language), "这里要有一句话", "a sentence is missing here")
        elif units(value.strip()) > most:
            zh, en = f"太长：{units(value.strip())} 字，最多 {most} 字", f"too long; at most {most} characters"
            yield fault((*path, language), zh, en)


def choices_faults(path: Path, spoken: Any, languages: Sequence[str]) -> Iterator[Finding]:
    """As many choices in every language, each a line that fits a button, none twice."""
    if not isinstance(spoken, Mapping):
        yield _by_language(path)
        return
    yield from (unknown((*path, extra)) for extra in spoken if extra not in languages)
    counts = set()
    for language in languages:
        at, value = (*path, language), spoken.get(language)
        if not isinstance(value, list) or not FEWEST_CHOICES <= len(value) <= MOST_CHOICES:
            few, most = FEWEST_CHOICES, MOST_CHOICES
            yield fault(at, f"选项要有 {few} 到 {most} 个", f"{few} to {most} choices are needed")
            continue
        counts.add(len(value))
        seen: set[str] = set()
        for place, one in enumerate(value):
            yield from _choice_faults((*at, place), one, seen)
    if len(counts) > 1:
        yield fault(path, "各语言的选项个数不一样", "not the same number of choices in every language")


def _choice_faults(path: Path, one: Any, seen: set[str]) -> Iterator[Finding]:
    if not isinstance(one, str) or not one.strip() or "\n" in one.strip():
        yield fault(path, "选项要是一行文字", "a choice is one line of text")
        return
    if len(one.strip().encode()) > CHOICE_BYTES:
        zh = f"选项太长，最多 {CHOICE_BYTES} 字节（约 {CHOICE_BYTES // 3} 个汉字）"
        yield fault(path, zh, f"too long for a button; at most {CHOICE_BYTES} bytes")
    if (key := same(one)) in seen:
        yield fault(path, f"选项重复：{one}", f"the same choice twice: {one}")
    seen.add(key)


def number_faults(path: Path, value: Any, least: int, most: int) -> Iterator[Finding]:
    """A whole number within bounds."""
    if type(value) is not int or not least <= value <= most:
        zh, en = f"要写成 {least} 到 {most} 的整数", f"must be a whole number from {least} to {most}"
        yield fault(path, zh, en)


def units(text: str) -> int:
    """The length of a text in UTF-16 units, which is never less than any platform counts."""
    return len(text) + sum(character > "\uffff" for character in text)


def same(text: str) -> str:
    """What two texts share that look alike: one width, one case, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _by_language(path: Path) -> Finding:
    return fault(path, f"要分语言写 {path[-1]}", f"{path[-1]} must be given by language")


def unknown(path: Path) -> Finding:
    """A key that means nothing here."""
    return fault(path, "没有这个键", "unknown key", "删掉，或核对拼写", "remove it, or check its spelling")


def fault(path: Path, zh: str, en: str, hint_zh: str = "", hint_en: str = "") -> Finding:
    """A fault at a path, in both languages."""
    return path, "fault", Said(zh, en, hint_zh, hint_en)
