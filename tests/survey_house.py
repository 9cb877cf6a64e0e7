"""A plan with a survey whose questions a test knows, and people who answer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text

from content.bundle import Bundle
from tests.plan_editing import shipped_files
from tests.quiz_house import CAMPAIGN, apply, events
from tests.talking import Talk

FILE = "surveys/service.toml"
HEAD = 'intro.zh = "说明"\nintro.en = "Intro"\nthanks.zh = "多谢"\nthanks.en = "Thanks"\n'
ASKED = {
    "rating": (
        '[[questions]]\nid = "stars"\nkind = "rating"\nscale = 5\nask.zh = "满意吗"\nask.en = "Content?"\n'
        'low.zh = "差"\nlow.en = "bad"\nhigh.zh = "好"\nhigh.en = "good"\n'
    ),
    "choice": (
        '[[questions]]\nid = "where"\nkind = "choice"\nask.zh = "哪里来"\nask.en = "From where?"\n'
        'choices.zh = ["朋友", "店里", "网上"]\nchoices.en = ["friends", "a shop", "online"]\n'
    ),
    "text": (
        '[[questions]]\nid = "words"\nkind = "text"\nlongest = 20\nask.zh = "想说什么"\nask.en = "Anything to say?"\n'
    ),
    "ten": (
        '[[questions]]\nid = "ten"\nkind = "rating"\nscale = 10\nask.zh = "会推荐吗"\nask.en = "Recommend?"\n'
        'low.zh = "不会"\nlow.en = "never"\nhigh.zh = "会"\nhigh.en = "surely"\n'
    ),
}


def plain(*kinds: str) -> str:
    """A survey file with these questions; all of them without any named."""
    return HEAD + "\n".join(ASKED[kind] for kind in kinds or ASKED)


def plan_with(file: str, points: int = 20, more: str = "", others: Mapping[str, str] | None = None) -> Bundle:
    """The shipped plan with this survey in place of its own; `more` is TOML for further surveys."""
    files = dict(shipped_files())
    plan = files["plan.toml"].decode()
    old = 'file = "surveys/service.toml"\npoints = 20\n'
    assert old in plan
    plan = plan.replace(old, f'file = "surveys/service.toml"\npoints = {points}\n{more}')
    files |= {"plan.toml": plan.encode(), FILE: file.encode()}
    return Bundle.of(files | {name: one.encode() for name, one in (others or {}).items()})


async def take(talk: Talk, answers: Sequence[str] = ("4", "2", "都好", "9"), **who: Any) -> str:
    """Take the survey with these answers; returns the last answer of ours."""
    shown = await talk.say("问卷", **who)
    shown = await talk.say("1", **who)
    for answer in answers:
        shown = await talk.say(answer, **who)
    return shown


def rows(talk: Talk, query: str) -> list[tuple[Any, ...]]:
    """What a query gives."""
    with talk.store.read() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def answers(talk: Talk, person: int | None = None) -> dict[str, int]:
    """What is kept of everybody's answers, or of one person's: question → value."""
    where = "" if person is None else f" WHERE subscriber = {person}"
    return dict(rows(talk, f"SELECT question, value FROM survey_answer{where} ORDER BY question"))  # type: ignore[arg-type]


__all__ = ["CAMPAIGN", "FILE", "answers", "apply", "events", "plain", "plan_with", "rows", "take"]
