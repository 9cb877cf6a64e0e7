"""A push of kind survey: what it must have to be sent, and what its results say of the survey."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from campaigns import words
from content import pushes
from content.bundle import Bundle
from content.library import Library
from storage import push_results
from storage.push_runs import Run
from storage.tables import micros
from tests.plan_editing import shipped_files
from tests.survey_house import CAMPAIGN, apply, plain, plan_with, take
from tests.talking import NOON, Talk, run, talking

CONTENT: dict[str, Any] = {
    **{"kind": "survey", "text": {"zh": "想听听您的看法", "en": "Tell us what you think"}, "poster": ""},
    **{"about": "campaign", "wechat": "mass"},
}


def faults(bundle: Bundle, *buttons: str) -> list[str]:
    library = Library(bundle, 1, words())
    return [en for _, en in pushes.faults({**CONTENT, "buttons": list(buttons)}, library)]


def test_a_push_of_a_survey_has_a_button_that_leads_into_one() -> None:
    plan = plan_with(plain())
    for button in ("问卷", "Survey", "问卷 service", "survey service", "服务满意度问卷", "Service Survey"):
        assert faults(plan, button) == [], button
        assert faults(plan, "积分", button) == [], button
    for buttons in ((), ("积分",), ("问卷 nosuch",)):
        assert any("needs a button such as '服务满意度问卷'" in one for one in faults(plan, *buttons)), buttons
    files = dict(shipped_files())
    toml = files["plan.toml"].decode()
    start, end = toml.index("[[social.surveys]]"), toml.index("[social.lottery]")
    without = Bundle.of({**files, "plan.toml": (toml[:start] + toml[end:]).encode()})
    assert faults(without, "问卷") == ["the plan has no survey"]


def test_results_say_how_many_of_those_who_got_it_began_and_finished(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            apply(talk, plan_with(plain()))
            await take(talk, who="before")  # on their own, before the push came
            for who in ("o1", "o2", "o3", "o4"):
                await talk.say("你好", who=who)
            got = talk.now + timedelta(minutes=1)
            _got_it(talk, micros(got))
            talk.now = got + timedelta(hours=1)
            await take(talk, who="o1")
            await take(talk, ["1", "2"], who="o2")
            await take(talk, who="stranger")
            with talk.store.read() as connection:
                code = connection.execute(text("SELECT code FROM subscriber ORDER BY id LIMIT 1 OFFSET 1")).scalar_one()
            await talk.say(code, who="friend")
            talk.now = got + timedelta(hours=80)
            await take(talk, who="o3")  # too late to be laid to the push
            await take(talk, ["都好", "9"], who="o2")
            one = Run(77, 5, CAMPAIGN, NOON, "done", 2, {}, 0, True, 5, NOON, got, {})
            with talk.store.read() as connection:
                assert push_results.took_survey(connection, one, talk.now) == (2, 1)
                assert push_results.took_survey(connection, replace(one, campaign="other"), talk.now) == (0, 0)
                assert push_results.joined(connection, one, talk.now) == 1
                assert push_results.joined(connection, replace(one, campaign="other"), talk.now) == 0

    run(journey())


def _got_it(talk: Talk, at: int) -> None:
    """Let everybody have got a push: their first reply stands for it."""
    with talk.store.begin() as connection:
        connection.execute(
            text(
                "UPDATE delivery SET run = 77, state = 'sent', ended_at = :at "
                "WHERE id IN (SELECT MIN(id) FROM delivery GROUP BY subscriber)"
            ),
            {"at": at},
        )
