"""Quiz files: questions with their choices, the right one and why, read into what can be asked, and checked.

Promises that a file without fault can be asked on every channel: as buttons, as numbers, and as a native Telegram poll.
It knows no subscriber and no attempt.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from content import toml
from content.faults import Said
from content.plan import reading
from content.plan.outreach import Quiz as Terms
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
    spoken_faults,
    unknown,
)
from content.toml import TomlFault

# Telegram Bot API, sendPoll: question, explanation and its line feeds, open_period; ten options in every version of it.
ASK_UNITS, WHY_UNITS, WHY_BREAKS = 300, 200, 2
SHORTEST, LONGEST = 5, 600  # seconds for one question
MOST_MINUTES, MOST_POINTS = 7 * 24 * 60, 100_000
_PERCENT = re.compile(r"(\d{1,3})\s*[%％]")


@dataclass(frozen=True, slots=True)
class Question:
    """One question by language. `right` counts from 0; `seconds` is 0 where it has no time of its own."""

    id: str
    ask: Mapping[str, str]
    choices: Mapping[str, tuple[str, ...]]
    right: int
    why: Mapping[str, str]
    seconds: int = 0

    @property
    def count(self) -> int:
        """How many choices there are."""
        return len(next(iter(self.choices.values())))


@dataclass(frozen=True, slots=True)
class Prize:
    """So many points more, once per person, from this share (percent) of right answers on."""

    percent: int
    points: int


@dataclass(frozen=True, slots=True)
class Quiz:
    """One quiz of one revision, ready to be asked. `minutes` is 0 without a time limit for the whole."""

    id: str
    name: Text
    questions: tuple[Question, ...]
    points_each: int
    pass_at: Decimal
    tries: int
    minutes: int = 0
    shuffled: bool = False
    open: bool = False
    prizes: tuple[Prize, ...] = ()

    def passes(self, right: int) -> bool:
        """Whether so many right answers pass."""
        return right >= self.pass_at * len(self.questions)

    def reached(self, right: int) -> Iterator[Prize]:
        """The prizes that so many right answers bring, the least first."""
        return (prize for prize in self.prizes if right * 100 >= prize.percent * len(self.questions))


def read(listed: Sequence[Terms], files: Mapping[str, bytes], languages: Sequence[str]) -> dict[str, Quiz]:
    """The quizzes that can be asked, by id: all amounts set, and a file without fault."""
    found = {}
    for terms in listed:
        if terms.points_each is None or terms.pass_at is None or not terms.tries or terms.file not in files:
            continue
        try:
            data = toml.parse(files[terms.file].decode("utf-8-sig"), terms.file).data
        except (TomlFault, UnicodeDecodeError):
            continue
        if all(severity != "fault" for _, severity, _ in check(data, languages)):
            found[terms.id] = _quiz(terms, data, languages)
    return found


def read_stored(files: Mapping[str, bytes]) -> dict[str, Quiz]:
    """The same of any revision as it was stored, whatever else of its plan this version can read."""
    data = toml.parse(files["plan.toml"].decode("utf-8-sig"), "plan.toml").data
    parts, _ = reading.parts_of(data)
    social = parts.get("social")
    return read((social.quizzes if social else None) or (), files, reading.context_of(data)["languages"])


def _quiz(terms: Terms, data: Mapping[str, Any], languages: Sequence[str]) -> Quiz:
    assert terms.points_each is not None and terms.pass_at is not None and terms.tries
    prizes = (Prize(_percent(raw["from"]), raw["points"]) for raw in data.get("prizes", ()))
    return Quiz(
        id=terms.id,
        name=terms.name,
        questions=tuple(_question(raw, languages) for raw in data["questions"]),
        points_each=terms.points_each,
        pass_at=terms.pass_at,
        tries=terms.tries,
        minutes=data.get("minutes", 0),
        shuffled=data.get("order", "fixed") == "shuffled",
        open=data.get("open", False),
        prizes=tuple(sorted(prizes, key=lambda prize: prize.percent)),
    )


def _question(raw: Mapping[str, Any], languages: Sequence[str]) -> Question:
    why = raw.get("why", {})
    return Question(
        id=_name(raw),
        ask={language: raw["ask"][language].strip() for language in languages},
        choices={language: tuple(one.strip() for one in raw["choices"][language]) for language in languages},
        right=raw["right"] - 1,
        why={language: why.get(language, "").strip() for language in languages},
        seconds=raw.get("seconds", 0),
    )


def _name(raw: Mapping[str, Any]) -> str:
    """A question's own id; without one a digest of what is asked, so that a changed question is another one."""
    if "id" in raw:
        return str(raw["id"])
    asked = json.dumps([raw["ask"], raw["choices"], raw["right"]], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()[:12]


# ---- what is wrong with a file


def check(data: Mapping[str, Any], languages: Sequence[str]) -> list[Finding]:
    """What is wrong with one quiz file, by the path of its key, in the file's order."""
    found = [unknown((key,)) for key in data if key not in ("questions", "minutes", "order", "open", "prizes")]
    found += _whole_faults(data)
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
        wrong = list(_question_faults(here, raw, languages))
        if not any(severity == "fault" for _, severity, _ in wrong):
            name = _name(raw)
            if name in seen:
                at = (*here, "id") if "id" in raw else here
                wrong.append(fault(at, f"这道题前面已经有了：{name}", f"this question stands above already: {name}"))
            seen.add(name)
        found += wrong
    return found


def check_terms(parts: Mapping[str, Any], files: Collection[str]) -> Iterator[Finding]:
    """What the plan says of its quizzes: a pass mark that can be reached, at least one try, files that are TOML."""
    social = parts.get("social")
    for place, quiz in enumerate((social.quizzes if social else None) or ()):
        here: Path = ("social", "quizzes", place)
        if quiz.pass_at is not None and quiz.pass_at > 1:
            yield fault((*here, "pass_at"), "及格线超过 100%，没有人能及格", "more than 100%: nobody could pass")
        if quiz.tries == 0:
            yield fault((*here, "tries"), "至少要能答 1 次", "at least 1 try is needed")
        if quiz.file in files and not quiz.file.endswith(".toml"):
            yield fault((*here, "file"), "题目要写在 .toml 文件里", "questions stand in a .toml file")


def named_in(data: Mapping[str, Any]) -> set[str]:
    """The quiz files that a plan's raw data names."""
    social = data.get("social")
    listed = social.get("quizzes") if isinstance(social, Mapping) else None
    rows = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    return {row["file"] for row in rows if isinstance(row.get("file"), str)}


def _whole_faults(data: Mapping[str, Any]) -> Iterator[Finding]:
    if "minutes" in data:
        yield from number_faults(("minutes",), data["minutes"], 1, MOST_MINUTES)
    if data.get("order", "fixed") not in ("fixed", "shuffled"):
        yield fault(("order",), "只能是 fixed（按顺序）或 shuffled（打乱）", "must be fixed or shuffled")
    if not isinstance(data.get("open", False), bool):
        yield fault(("open",), "写 true 或 false，不加引号", "write true or false, without quotes")
    prizes = data.get("prizes", [])
    if not isinstance(prizes, list) or not all(isinstance(one, Mapping) for one in prizes):
        yield fault(("prizes",), "这里应当是一条条 [[prizes]]", "there must be [[prizes]] tables here")
        return
    seen: set[int] = set()
    for place, raw in enumerate(prizes):
        here: Path = ("prizes", place)
        yield from (unknown((*here, key)) for key in raw if key not in ("from", "points"))
        percent = _percent(raw.get("from"))
        if not 1 <= percent <= 100:
            zh, en = '答对的比例，从 "1%" 到 "100%"', 'the share of right answers, "1%" to "100%"'
            yield fault((*here, "from"), zh, en)
        elif percent in seen:
            yield fault((*here, "from"), f"{percent}% 出现两次", f"{percent}% stands twice")
        seen.add(percent)
        yield from number_faults((*here, "points"), raw.get("points"), 1, MOST_POINTS)


def _question_faults(here: Path, raw: Mapping[str, Any], languages: Sequence[str]) -> Iterator[Finding]:
    keys = ("id", "ask", "choices", "right", "why", "seconds")
    yield from (unknown((*here, key)) for key in raw if key not in keys)
    if "id" in raw and not (isinstance(raw["id"], str) and ID.fullmatch(raw["id"])):
        yield fault((*here, "id"), "id 用小写字母、数字和连字符", "lower-case letters, digits and hyphens only")
    if "seconds" in raw:
        yield from number_faults((*here, "seconds"), raw["seconds"], SHORTEST, LONGEST)
    wrong = [
        *spoken_faults((*here, "ask"), raw.get("ask"), languages, ASK_UNITS),
        *choices_faults((*here, "choices"), raw.get("choices"), languages),
    ]
    yield from wrong
    if not wrong:
        yield from _size_faults(here, raw, languages)
        most = len(raw["choices"][languages[0]])
        yield from number_faults((*here, "right"), raw.get("right"), 1, most)
    if "why" not in raw:
        zh, en = "没有讲解：答完后只说对错", "no explanation: people are only told right or wrong"
        yield (*here, "why"), "warning", Said(zh, en, "加上 why.zh = …", "add `why.en = …`")
    else:
        yield from spoken_faults((*here, "why"), raw["why"], languages, WHY_UNITS)
        yield from _break_faults((*here, "why"), raw["why"])


def _size_faults(here: Path, raw: Mapping[str, Any], languages: Sequence[str]) -> Iterator[Finding]:
    for language in languages:
        size = len("\n".join([raw["ask"][language], *raw["choices"][language]]).encode())
        if size > QUESTION_BYTES:
            zh = f"题目连同选项 {size} 字节，最多 {QUESTION_BYTES} 字节（微信一条消息装得下）"
            en = f"{size} bytes with its choices; at most {QUESTION_BYTES}, so that WeChat shows it in one message"
            yield fault((*here, "ask", language), zh, en)


def _break_faults(path: Path, spoken: Any) -> Iterator[Finding]:
    for language, value in spoken.items() if isinstance(spoken, Mapping) else ():
        if isinstance(value, str) and value.strip().count("\n") > WHY_BREAKS:
            zh, en = f"讲解最多换行 {WHY_BREAKS} 次", f"at most {WHY_BREAKS} line breaks in an explanation"
            yield fault((*path, language), zh, en)


def _percent(value: Any) -> int:
    found = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    return int(found[1]) if found else 0
