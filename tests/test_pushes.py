"""A push from its draft to its last row: who gets it how, who does not and why, and what stops it."""

from __future__ import annotations

from typing import Any

from campaigns import words
from content import pushes as saying
from content.bundle import Bundle
from content.library import Library
from tests.push_house import CONTENT, MORNING, crowd, push_house, talked
from tests.talking import SHIPPED, run


def test_everybody_gets_one_row_and_it_goes_by_the_best_way(database_url: str) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, wechat=4, telegram=5, web=3)
            await talked(house.talk, "签到", "wechat-0000")  # the window is open
            await talked(house.talk, "退订", "telegram-0000", "telegram")
            await talked(house.talk, "", "wechat-0003", kind="unfollow")
            push = await house.approved()
            await house.step()
            assert await house.state(push) == ("scheduled", [])
            house.talk.now = MORNING
            await house.step(2)
            assert await house.counts(push) == {
                "sent": 5,
                "handed_over": 2,
                "queued": 3,
                "refused/no_consent": 1,  # who left every account is in no audience
            }
            telegram, wechat = house.lines["telegram"], house.lines["wechat"]
            assert sorted(parcel.address for parcel in telegram.sent) == [f"telegram-{n:04d}" for n in range(1, 5)]
            assert [parcel.address for parcel in wechat.sent] == ["wechat-0000"]
            ((addresses, message, key),) = wechat.mass
            assert sorted(addresses) == ["wechat-0001", "wechat-0002"]
            assert message["text"] == "周五见\n回复“签到”试试\n回复“退订”不再接收活动消息"
            assert "choices" not in message and key
            choices = [choice["label"] for choice in telegram.sent[0].message["choices"]]
            assert choices == ["签到", "退订活动消息"]
            assert await house.state(push) == ("running", ["running"])

    run(journey())


def test_the_shipped_content_is_sound() -> None:
    assert set(CONTENT) == {"kind", "text", "poster", "buttons", "about", "wechat"}


def test_a_button_says_what_each_language_calls_it(database_url: str) -> None:
    buttons = ["积分", {"zh": "答题", "en": "quiz"}]

    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, telegram=2)
            await talked(house.talk, "English", "telegram-0001", "telegram")
            await house.approved(content={**CONTENT, "buttons": buttons})
            house.talk.now = MORNING
            await house.step(2)
            said = {
                parcel.address: [choice["say"] for choice in parcel.message["choices"]][:2]
                for parcel in house.lines["telegram"].sent
            }
            assert said == {"telegram-0000": ["积分", "答题"], "telegram-0001": ["积分", "quiz"]}

    run(journey())


def test_a_button_must_be_understood_in_every_language() -> None:
    library = Library(Bundle.read(SHIPPED), 1, words())

    def faults(*buttons: Any) -> list[str]:
        return [en for _, en in saying.faults({**CONTENT, "buttons": list(buttons)}, library)]

    assert faults("签到", {"zh": "签到", "en": "checkin"}) == []
    assert faults({"zh": "签到", "en": "blah"}) == ["the button 'blah' is nothing that the bot understands"]
    assert faults({"zh": "签到"}) == ["button 1 says nothing in en"]
    assert faults("blah") == ["the button 'blah' is nothing that the bot understands"]  # said once, not per language
    assert saying.one_for_all({"zh": "签到", "en": ""}) == saying.one_for_all({"zh": "签到", "en": "签到"}) == "签到"


def test_the_quiz_push_of_the_shipped_plan_leads_into_the_quiz(database_url: str) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            library = house.talk.writer.library
            planned = {push.id: saying.of_plan(push, library.plan.languages) for push in library.plan.social.pushes}
            assert all(not list(saying.faults(content, library)) for content in planned.values())
            assert planned["quiz"]["kind"] == "quiz"
            (button,) = planned["quiz"]["buttons"]
            for buttons in ([], ["积分"]):  # or all it could be answered with would be to leave
                found = [en for _, en in saying.faults({**planned["quiz"], "buttons": buttons}, library)]
                assert found == ["a quiz push needs a button such as '答题' in zh"], buttons
            for language, asks in (("zh", "1. "), ("en", "1. ")):
                said = await house.talk.say(saying.word(button, language), who=f"w-{language}", language=language)
                assert asks in said and library.quizzes["family"].name[language] in said

    run(journey())
