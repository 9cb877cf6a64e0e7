"""Survey files: questions to be rated, chosen from or answered in one's own words, read and checked.

Promises that a file without fault can be asked on every channel, as buttons or as numbers. It knows no subscriber and
no answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from content import toml
from content.faults import Said
from content.plan import reading
from content.plan.outreach import Survey as Terms
from content.plan.texts import Text
from content.questions import (
    ID,
    MOST_QUESTIONS,
    QUESTION_BYTES,
    Finding,
    Path,
    choices_faults,
    fault,
    number_faults,
    same,
    spoken_faults,
    unknown,
)
from content.toml import TomlFault

Kind = Literal["rating", "choice", "text"]
KINDS: tuple[Kind, ...] = ("rating", "choice", "text")
SCALES = (5, 10)
ASK_UNITS, END_UNITS, SAID_UNITS = 300, 20, 500  # UTF-16 units: a question, an end of a scale, intro and thanks
USUAL_LENGTH, MOST_LENGTH = 500, 1000  # characters of an answer in one's own words
MOST_POINTS = 100_000
STARTERS = ("问卷", "survey")  # a survey's id behind one of these leads to it
_KEYS: dict[str, tuple[str, ...]] = {
    "rating": ("scale", "low", "high"),
    "choice": ("choices",),
    "text": ("longest",),
}


@dataclass(frozen=True, slots=True)
class Question:
    """One question by language. A rating goes from 1 to `scale`, whose ends are called `low` and `high`; a choice is
    one of `choices`; of a text `longest` characters are taken."""

    id: str
    kind: Kind
    ask: Mapping[str, str]
    scale: int = 0
    low: Mapping[str, str] | None = None
    high: Mapping[str, str] | None = None
    choices: Mapping[str, tuple[str, ...]] | None = None
    longest: int = 0

    @property
    def count(self) -> int:
        """How many answers there are to take one of; 0 for a text."""
        return len(next(iter(self.choices.values()))) if self.choices else self.scale


@dataclass(frozen=True, slots=True)
class Survey:
    """One survey of one revision, ready to be asked. `points` are for answering all of it, 0 for none."""

    id: str
    name: Text
    points: int
    intro: Mapping[str, str]
    thanks: Mapping[str, str]
    questions: tuple[Question, ...]


def read(listed: Sequence[Terms], files: Mapping[str, bytes], languages: Sequence[str]) -> dict[str, Survey]:
    """The surveys that can be asked, by id: the points set, and a file without fault."""
    found = {}
    for terms in listed:
        if terms.points is None or terms.file not in files:
            continue
        try:
            data = toml.parse(files[terms.file].decode("utf-8-sig"), terms.file).data
        except (TomlFault, UnicodeDecodeError):
            continue
        if all(severity != "fault" for _, severity, _ in check(data, languages)):
            asked = tuple(_question(raw, languages) for raw in data["questions"])
            intro, thanks = _spoken(data["intro"], languages), _spoken(data["thanks"], languages)
            found[terms.id] = Survey(terms.id, terms.name, terms.points, intro, thanks, asked)
    return found


def read_stored(files: Mapping[str, bytes]) -> dict[str, Survey]:
    """The same of any revision as it was stored, whatever else of its plan this version can read."""
    data = toml.parse(files["plan.toml"].decode("utf-8-sig"), "plan.toml").data
    parts, _ = reading.parts_of(data)
    social = parts.get("social")
    return read((social.surveys if social else None) or (), files, reading.context_of(data)["languages"])


def words(surveys: Iterable[Survey]) -> dict[str, str]:
    """What leads to a survey when typed alone, as `same` has it → its id: its names, and its id behind a starter."""
    found: dict[str, str] = {}
    for survey in surveys:
        named = [name for _, name in survey.name.items()]
        for word in [*named, *(f"{starter} {survey.id}" for starter in STARTERS)]:
            found.setdefault(same(word), survey.id)
    return found


def _question(raw: Mapping[str, Any], languages: Sequence[str]) -> Question:
    name, ask = raw["id"], _spoken(raw["ask"], languages)
    if raw["kind"] == "rating":
        low, high = _spoken(raw["low"], languages), _spoken(raw["high"], languages)
        return Question(name, "rating", ask, raw.get("scale", SCALES[0]), low, high)
    if raw["kind"] == "choice":
        choices = {language: tuple(one.strip() for one in raw["choices"][language]) for language in languages}
        return Question(name, "choice", ask, choices=choices)
    return Question(name, "text", ask, longest=raw.get("longest", USUAL_LENGTH))


def _spoken(raw: Mapping[str, str], languages: Sequence[str]) -> dict[str, str]:
    return {language: raw[language].strip() for language in languages}


# ---- what is wrong with a file


def check(data: Mapping[str, Any], languages: Sequence[str]) -> list[Finding]:
    """What is wrong with one survey file, by the path of its key, in the file's order."""
    found = [unknown((key,)) for key in data if key not in ("intro", "thanks", "questions")]
    for key in ("intro", "thanks"):
        found += spoken_faults((key,), data.get(key), languages, SAID_UNITS)
    questions = data.get("questions")
    if not isinstance(questions, list) or not all(isinstance(one, Mapping) for one in questions) or not questions:
        zh, en = "这里应当是一道道 [[questions]]", "there must be [[questions]] tables here"
        return [*found, fault(("questions",), zh, en)]
    if len(questions) > MOST_QUESTIONS:
        zh, en = f"最多 {MOST_QUESTIONS} 道题", f"at most {MOST_QUESTIONS} questions"
        found.append(fault(("questions", MOST_QUESTIONS), zh, en))
    seen: set[str] = set()
    for place, raw in enumerate(questions):
        here: Path = ("questions", place)
        found += _question_faults(here, raw, languages)
        name = raw.get("id")
        if isinstance(name, str) and name in seen:
            zh, en = f"这道题前面已经有了：{name}", f"this question stands above already: {name}"
            found.append(fault((*here, "id"), zh, en))
        seen.add(str(name))
    return found


def check_terms(parts: Mapping[str, Any], files: Collection[str]) -> Iterator[Finding]:
    """What the plan says of its surveys: points within reason, files that are TOML."""
    social = parts.get("social")
    for place, survey in enumerate((social.surveys if social else None) or ()):
        here: Path = ("social", "surveys", place)
        if survey.points is not None and survey.points > MOST_POINTS:
            yield fault((*here, "points"), f"最多 {MOST_POINTS} 积分", f"at most {MOST_POINTS} points")
        if survey.file in files and not survey.file.endswith(".toml"):
            yield fault((*here, "file"), "题目要写在 .toml 文件里", "questions stand in a .toml file")


def named_in(data: Mapping[str, Any]) -> set[str]:
    """The survey files that a plan's raw data names."""
    social = data.get("social")
    listed = social.get("surveys") if isinstance(social, Mapping) else None
    rows = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    return {row["file"] for row in rows if isinstance(row.get("file"), str)}


def _question_faults(here: Path, raw: Mapping[str, Any], languages: Sequence[str]) -> Iterator[Finding]:
    kind = raw.get("kind")
    if kind not in KINDS:
        zh, en = f"题型要是 {'、'.join(KINDS)} 之一", f"a question is one of {', '.join(KINDS)}"
        hints = ("rating 打分，choice 单选，text 自己写", "rating is 1 to 5 or 1 to 10, choice one of, text free text")
        yield (*here, "kind"), "fault", Said(zh, en, *hints)
    else:
        for key in raw:
            if key in ("id", "kind", "ask", *_KEYS[kind]):
                continue
            elsewhere = next((name for name, keys in _KEYS.items() if key in keys), "")
            zh, en = f"{kind} 题没有 {key}，这是 {elsewhere} 题的", f"a {kind} question has no {key}; {elsewhere} has"
            yield fault((*here, key), zh, en) if elsewhere else unknown((*here, key))
    if not (isinstance(raw.get("id"), str) and ID.fullmatch(raw["id"])):
        zh, en = (
            "每道题要有 id：小写字母、数字和连字符",
            "every question has an id of a–z, digits, hyphens",
        )
        yield fault((*here, "id"), zh, en)
    wrong = [*spoken_faults((*here, "ask"), raw.get("ask"), languages, ASK_UNITS)]
    if kind == "rating":
        yield from _scale_faults(here, raw, languages)
    elif kind == "choice":
        wrong += choices_faults((*here, "choices"), raw.get("choices"), languages)
    elif kind == "text" and "longest" in raw:
        yield from number_faults((*here, "longest"), raw["longest"], 1, MOST_LENGTH)
    yield from wrong
    if kind == "choice" and not wrong:
        yield from _size_faults(here, raw, languages)


def _scale_faults(here: Path, raw: Mapping[str, Any], languages: Sequence[str]) -> Iterator[Finding]:
    if type(raw.get("scale", SCALES[0])) is not int or raw.get("scale", SCALES[0]) not in SCALES:
        yield fault((*here, "scale"), "打分只能是 5（1–5 分）或 10（1–10 分）", "a scale is 5 (1 to 5) or 10 (1 to 10)")
    for end in ("low", "high"):
        yield from spoken_faults((*here, end), raw.get(end), languages, END_UNITS)


def _size_faults(here: Path, raw: Mapping[str, Any], languages: Sequence[str]) -> Iterator[Finding]:
    for language in languages:
        size = len("\n".join([raw["ask"][language], *raw["choices"][language]]).encode())
        if size > QUESTION_BYTES:
            zh = f"题目连同选项 {size} 字节，最多 {QUESTION_BYTES} 字节（微信一条消息装得下）"
            en = f"{size} bytes with its choices; at most {QUESTION_BYTES}, so that WeChat shows it in one message"
            yield fault((*here, "ask", language), zh, en)
