"""Every sentence the service says, by key, in each language; a plan may replace any of them with its own files.

Fields are filled by name. A missing key or field is a fault found by the check, not at the moment of speaking.
"""

from __future__ import annotations

import string
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

LANGUAGES = ("zh", "en")
_FOLDER = Path(__file__).parent / "phrases"


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The dotted keys and sentences of a phrase file. Raises ValueError at anything that is not a sentence."""
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from flatten(value, f"{key}.")
        elif isinstance(value, str):
            yield key, value
        else:
            raise ValueError(key)


@cache
def shipped(language: str) -> Mapping[str, str]:
    """The sentences that come with the service."""
    return dict(flatten(tomllib.loads((_FOLDER / f"{language}.toml").read_text("utf-8"))))


def fields(sentence: str) -> frozenset[str]:
    """The names of the `{fields}` in a sentence. Raises ValueError when its braces do not pair."""
    return frozenset(name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None)


class Phrases:
    """The sentences of one revision: the shipped ones with the plan's own on top."""

    def __init__(
        self,
        own: Mapping[str, Mapping[str, str]] | None = None,
        always: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """`own` is language → key → sentence; `always` is language → the fields that every sentence may use."""
        own, always = own or {}, always or {}
        self._sentences = {language: {**shipped(language), **own.get(language, {})} for language in LANGUAGES}
        self._always = {language: dict(always.get(language, {})) for language in LANGUAGES}

    def say(self, language: str, key: str, /, **values: Any) -> str:
        """The sentence in `language`, its fields filled. Raises KeyError for an unknown key or a missing field."""
        sentence = self._sentences[language][key]
        if "{" not in sentence:
            return sentence
        return sentence.format_map({**self._always[language], **values})

    def has(self, key: str) -> bool:
        """Whether such a sentence exists."""
        return key in self._sentences["zh"]


def faults(path: str, tree: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What is wrong with a plan's phrase file for the language its name says: (key, Chinese, English) each."""
    language = Path(path).stem
    if language not in LANGUAGES:
        return [("", f"不认识的语言 {language}", f"unknown language {language}")]
    found = []
    try:
        own = dict(flatten(tree))
    except ValueError as broken:
        return [(str(broken), "应当是一句话", "must be a sentence")]
    base = shipped(language)
    for key, sentence in own.items():
        if key not in base:
            found.append((key, "没有这个句子", "there is no such sentence"))
            continue
        try:
            extra = fields(sentence) - fields(base[key]) - _ALWAYS
        except ValueError:
            found.append((key, "花括号不成对", "braces do not pair"))
            continue
        found += [(key, f"这里没有 {{{name}}}", f"{{{name}}} is not known here") for name in sorted(extra)]
    return found


_ALWAYS = frozenset(
    {
        "product",
        "campaign",
        "hotline",
        "hours",
        "organiser",
        "cancel_product",
        "address",
        "start",
        "end",
    }
)
