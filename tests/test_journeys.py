"""Stories as tables: what a person says, and what must stand in the answer (a word after `!` must not)."""

from __future__ import annotations

import pytest

from tests.talking import run, talking

Table = list[tuple[str, tuple[str, ...]]]

JOURNEYS: dict[str, tuple[str, Table]] = {
    "check in and ask for points": (
        "zh",
        [
            ("签到", ("签到成功，+5 积分", "连续 1 天", "现有 5 积分", "1. 我的积分")),
            ("签到", ("今天已经签到过了", "1. 我的积分")),
            ("1", ("您现在有 5 积分", "1. 积分明细")),
            ("1", ("2026-11-22", "+5", "每日签到")),
        ],
    ),
    "check in and ask for points, in English": (
        "en",
        [
            ("checkin", ("+5 points", "1 day(s) in a row", "You have 5 points", "1. My points")),
            ("Check in!", ("already checked in today",)),
            ("1", ("You have 5 points", "1. Points history")),
            ("/history", ("2026-11-22", "+5", "daily check-in")),
        ],
    ),
    "change the language": (
        "zh",
        [
            ("语言", ("请选择语言", "1. 中文", "2. English")),
            ("2", ("English it is",)),
            ("points", ("You have 0 points",)),
            ("中文", ("之后都用中文",)),
            ("积分", ("您现在有 0 积分",)),
        ],
    ),
    "leave and come back": (
        "zh",
        [
            ("退订", ("您的任何电信业务都没有被取消", "活动消息已经停止", "1. 恢复接收")),
            ("/start", ("要恢复接收吗", "1. 恢复接收")),
            ("1", ("好的，之后有活动会告诉您",)),
        ],
    ),
    "leave and come back, in English": (
        "en",
        [
            (
                "STOP",
                ("No telecom service of yours was cancelled", "Campaign messages have stopped", "1. Receive messages"),
            ),
            ("START", ("we will tell you when something is on",)),
        ],
    ),
    "cancelling the product is a question": (
        "zh",
        [("怎么退订家庭网", ("!活动消息已经停止", "!没有听懂", "家庭网"))],
    ),
    "two misses bring in people": (
        "zh",
        [
            ("呜哩哇啦咕噜咕噜", ("没有听懂", "人工客服")),
            ("叽里咕噜呜哩哇啦", ("已为您转人工客服", "小时内")),
            ("签到", ("签到成功",)),
        ],
    ),
    "a person is asked for": ("en", [("human", ("A member of staff will answer within", "call"))]),
    "what is not open yet is said so": (
        "zh",
        [("抽奖", ("“抽奖”还没有开放", "1. 菜单")), ("兑换", ("“积分兑换”还没有开放",))],
    ),
    "the other fixed words": (
        "en",
        [
            ("help", ("Just ask", "STOP")),
            ("apply", ("1. Talk to a person",)),
            ("poster", ("ress and hold",)),
            ("quiz", ("5 questions, 10 points", "1. Start the quiz")),
            ("leaderboard", ("Nobody has finished yet",)),
            ("redeem", ("is not open yet",)),
            ("language", ("Choose your language",)),
        ],
    ),
    "what do you know, and forget me": (
        "zh",
        [
            ("签到", ("签到成功",)),
            ("我的资料", ("您的编号", "积分：5", "个人资料：没有")),
            ("忘记我", ("不含姓名的积分记录", "1. 确认忘记我")),
            ("还是算了", ("!已经删除",)),
            ("忘记我", ("1. 确认忘记我",)),
            ("1", ("已经删除您的资料、对话和问卷回答",)),
            ("积分", ("您现在有 5 积分",)),
        ],
    ),
    "forget me, in English": (
        "en",
        [("forget me", ("points records without a name",)), ("yes, forget me", ("are deleted",))],
    ),
}


@pytest.mark.parametrize("story", JOURNEYS)
@pytest.mark.parametrize("channel", ["wechat", "web"])
def test_journey(story: str, channel: str, database_url: str) -> None:
    language, table = JOURNEYS[story]
    if channel == "web" and any("5" in part for _, parts in table for part in parts):
        return _check(story, channel, language, _as_guest(table), database_url)
    return _check(story, channel, language, table, database_url)


def _as_guest(table: Table) -> Table:
    """A guest's points are held; the sentences say so."""
    swaps = {
        "现有 5 积分": "共暂存 5 积分",
        "您现在有 5 积分": "您暂存了 5 积分",
        "You have 5 points": "5 points are held",
    }
    return [(said, tuple(swaps.get(part, part) for part in parts)) for said, parts in table]


def _check(story: str, channel: str, language: str, table: Table, url: str) -> None:
    async def journey() -> None:
        async with talking(url) as talk:
            for said, parts in table:
                answer = await talk.say(said, channel=channel, language=language)
                for part in parts:
                    if part.startswith("!"):
                        assert part[1:] not in answer, (said, answer)
                    elif channel == "web" and part in ("您现在有 0 积分", "You have 0 points"):
                        assert "0" in answer
                    else:
                        assert part in answer, (said, answer)

    run(journey())


def test_streak_bonus_and_broken_streak(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            for day in range(1, 7):
                assert f"连续 {day} 天" in await talk.say("签到")
                talk.days(1)
            assert "+25 积分" in await talk.say("签到")
            talk.days(2)
            assert "连续 1 天" in await talk.say("签到")
            assert "60 积分" in await talk.say("积分")

    run(journey())


def test_outside_the_window_is_refused_with_dates(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            talk.days(400)
            answer = await talk.say("签到")
            assert "活动时间是 2026-11-01 到" in answer
            assert "0 积分" in await talk.say("积分")

    run(journey())


def test_following_again_agrees_again_unless_one_had_left_in_words(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:

            def agreed() -> bool:
                with talk.store.read() as connection:
                    return bool(connection.exec_driver_sql("SELECT consent FROM subscriber").scalar())

            assert "随时回复“退订”即可停止" in await talk.say(kind="follow")
            assert agreed()
            await talk.hear(kind="unfollow")
            assert not agreed()
            assert "随时回复“退订”即可停止" in await talk.say(kind="follow")
            assert agreed()
            await talk.say("退订")
            await talk.hear(kind="unfollow")
            assert "仍然不会收到" in await talk.say(kind="follow")
            assert not agreed()
            await talk.say("恢复接收")
            assert agreed()

    run(journey())


def test_the_same_message_three_times_is_one_effect_and_one_answer(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            first = await talk.hear("签到", key="wechat:main:m:1")
            again = await talk.hear("签到", key="wechat:main:m:1")
            assert not first.repeated
            assert again.repeated
            assert again.messages == first.messages
            assert "5 积分" in await talk.say("积分")

    run(journey())


def test_unfollowing_keeps_the_balance_and_erases_the_words(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await talk.say("我的手机号是13800001111，签到怎么做")
            await talk.say("签到")
            assert (await talk.hear(kind="unfollow")).messages == ()
            with talk.store.read() as connection:
                texts = connection.exec_driver_sql("SELECT count(*) FROM text WHERE heard IS NOT NULL").scalar()
                addresses = connection.exec_driver_sql(
                    "SELECT count(*) FROM identity WHERE address IS NOT NULL"
                ).scalar()
            assert (texts, addresses) == (0, 0)
            assert "家庭" in await talk.say("", kind="follow")
            assert "您现在有 5 积分" in await talk.say("积分")
            assert "今天已经签到过了" in await talk.say("签到")

    run(journey())
