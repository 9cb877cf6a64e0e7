"""A plan with quizzes whose answers a test knows, and people who take them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from campaigns.desk import Desk, apply_plan
from content.bundle import Bundle
from content.quizzes import Quiz, read_stored
from tests.plan_editing import shipped_files
from tests.talking import Talk, told

FILE = "quizzes/family.toml"
CAMPAIGN = "family-network-2026"


def plain(extra: str = "", each: Mapping[int, str] | None = None, count: int = 3) -> str:
    """A quiz file of `count` questions q1… with three choices, of which the second is right. `extra` stands on top,
    `each` under the question of that number."""
    parts = [extra]
    for number in range(1, count + 1):
        parts.append(
            f'[[questions]]\nid = "q{number}"\nask.zh = "问题{number}"\nask.en = "Ask {number}"\n'
            f'choices.zh = ["甲{number}", "乙{number}", "丙{number}"]\n'
            f'choices.en = ["first {number}", "second {number}", "third {number}"]\nright = 2\n'
            f'why.zh = "讲解{number}"\nwhy.en = "Because {number}"\n{(each or {}).get(number, "")}'
        )
    return "\n".join(parts)


def plan_with(file: str, tries: int = 1, more: str = "", others: Mapping[str, str] | None = None) -> Bundle:
    """The shipped plan with this quiz in place of its own; `more` is TOML for further quizzes."""
    files = dict(shipped_files())
    text = files["plan.toml"].decode()
    text = text.replace('pass_at = "60%"\ntries = 1', f'pass_at = "60%"\ntries = {tries}\n{more}')
    files |= {"plan.toml": text.encode(), FILE: file.encode()}
    return Bundle.of(files | {name: one.encode() for name, one in (others or {}).items()})


def apply(talk: Talk, bundle: Bundle) -> None:
    """Let the plan be this from now on."""
    with talk.store.begin() as connection:
        expected = talk.library().revision
        desk = Desk(connection, "operator", frozenset({"plan.apply"}), talk.now)
        apply_plan(desk, bundle, expected)


def events(talk: Talk, kind: str) -> list[dict[str, Any]]:
    """The data of all events of a kind, in order."""
    import json

    with talk.store.read() as connection:
        rows = connection.exec_driver_sql(f"SELECT data FROM event WHERE kind = '{kind}' ORDER BY id")
        return [json.loads(row[0]) for row in rows]


def asked(shown: str, quiz: Quiz, language: str = "zh") -> tuple[int, int] | None:
    """The question that an answer ends with: its place in the file, and the number of its right choice as shown."""
    for place, question in enumerate(quiz.questions):
        if f"\n{question.ask[language]}\n" in shown:
            right = question.choices[language][question.right]
            found = re.search(rf"^(\d+)\. {re.escape(right)}$", shown, re.MULTILINE)
            assert found, shown
            return place, int(found[1])
    return None


async def take(talk: Talk, rights: int, **who: Any) -> str:
    """Take the quiz of the plan with the first `rights` questions right; returns the last answer."""
    quiz = next(iter(read_stored(talk.library().files).values()))
    language = who.get("language", "zh")
    shown = await talk.say("答题" if language == "zh" else "quiz", **who)
    shown = await talk.say("1", **who)
    for done in range(len(quiz.questions)):
        found = asked(shown, quiz, language)
        assert found, shown
        wrong = 1 if found[1] != 1 else 2
        shown = await talk.say(str(found[1] if done < rights else wrong), **who)
    return shown


__all__ = ["CAMPAIGN", "FILE", "apply", "asked", "events", "plain", "plan_with", "take", "told"]
