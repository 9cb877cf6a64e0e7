"""A push from its draft to its last row: who gets it how, who does not and why, and what stops it."""

from __future__ import annotations

from tests.push_house import CONTENT, MORNING, crowd, push_house, talked
from tests.talking import run


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
