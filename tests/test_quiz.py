"""Taking quizzes: points once, tries, lateness, old choices, changing plans, one person on two channels, the board."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from storage import retention
from storage.ledger_check import check
from tests import standing_house
from tests.quiz_house import CAMPAIGN, apply, events, plain, plan_with, take
from tests.talking import Talk, run, talking

JOURNEYS: dict[str, tuple[str, list[tuple[str, tuple[str, ...]]]]] = {
    "from the first word to the board": (
        "zh",
        [
            ("答题", ("共 3 题", "答对一题 10 积分", "答对 60% 及格", "还可以答 1 次", "1. 开始答题", "2. 排行榜")),
            ("1", ("第 1 题，共 3 题：\n问题1", "1. 甲1\n2. 乙1\n3. 丙1", "!讲解")),
            ("2", ("✓ 答对了", "+10 积分", "讲解1", "第 2 题，共 3 题", "1. 甲2")),
            ("3", ("✗ 答错了，正确答案是：乙2", "讲解2", "!积分", "第 3 题")),
            ("乙3", ("✓ 答对了", "+10 积分", "3 题答对 2 题，及格（及格线 60%）", "这次共得 20 积分", "1. 排行榜")),
            ("1", ("排行榜", "!一位用户")),
            ("答题", ("次数用完了", "最好成绩：3 题答对 2 题")),
        ],
    ),
    "from the first word to the board, in English": (
        "en",
        [
            ("Quiz", ("3 questions, 10 points", "60% right is a pass", "Tries you have left: 1", "1. Start the quiz")),
            ("1", ("Question 1 of 3:\nAsk 1", "1. first 1\n2. second 1")),
            ("2", ("✓ Right.", "+10 points", "Because 1", "Question 2 of 3")),
            ("1", ("✗ Wrong. The right answer is: second 2", "Because 2", "Question 3 of 3")),
            ("1", ("Done: 1 of 3 right, not passed", "10 points this time", "1. Leaderboard")),
            ("leaderboard", ("share of right answers", "!Somebody")),
            ("quiz", ("no tries left", "Your best: 1 of 3 right")),
        ],
    ),
    "leaving and coming back": (
        "zh",
        [
            ("答题", ("1. 开始答题",)),
            ("1", ("问题1",)),
            ("签到", ("签到成功",)),
            ("1", ("积分", "!问题")),
            ("乙1", ("!答对",)),
            ("答题", ("接着上次的答题", "第 1 题，共 3 题", "1. 甲1")),
            ("2", ("✓ 答对了", "第 2 题")),
        ],
    ),
    "old, early and foreign choices": (
        "zh",
        [
            ("答题 family 1-1-1", ("那次答题已经结束", "1. 开始答题")),
            ("答题 family 1", ("问题1",)),
            ("答题 family 1", ("接着上次的答题", "问题1")),
            ("答题 family 1-2-2", ("还没到第 2 题", "问题1", "!答对")),
            ("答题 family 1-1-9", ("没有这个选项", "问题1")),
            ("9", ("没有这个选项", "问题1")),
            ("0", ("没有这个选项", "问题1")),
            ("答题 family 7-1-2", ("之前一次答题的选项", "问题1")),
            ("答题 family 1-1-2", ("✓ 答对了", "问题2")),
            ("答题 family 1-1-2", ("第 1 题已经答过了", "问题2", "!✓")),
            ("答题 family 1-1-1", ("第 1 题已经答过了", "问题2", "!✗")),
            ("QUIZ family 1-2-2", ("✓ 答对了", "问题3")),
            ("答题 nosuch", ("!问题",)),
            ("答题 family 1-3-2", ("3 题答对 3 题",)),
            ("答题 family 1-3-2", ("那次答题已经结束", "次数用完了")),
            ("答题 family 1", ("次数用完了",)),
        ],
    ),
}


@pytest.mark.parametrize("story", JOURNEYS)
@pytest.mark.parametrize("channel", ["wechat", "web", "telegram"])
def test_journey(story: str, channel: str, database_url: str) -> None:
    language, table = JOURNEYS[story]

    async def journey() -> None:
        async with talking(database_url) as talk:
            apply(talk, plan_with(plain()))
            for said, parts in table:
                answer = await talk.say(said, channel=channel, language=language)
                for part in parts:
                    shown = _for_guests(part) if channel == "web" else part
                    if part.startswith("!"):
                        assert part[1:] not in answer, (said, answer)
                    else:
                        assert shown in answer, (said, answer)

    run(journey())


def _for_guests(part: str) -> str:
    """A guest's points are held, which the sentences say."""
    return {"+10 积分": "+10 积分（先暂存）", "+10 points": "+10 points (held for now)"}.get(part, part)


def settled(talk: Talk) -> None:
    with talk.store.read() as connection:
        assert not check(connection, talk.vault).problems


def played(url: str, bundle: Any, journey: Any) -> None:
    async def whole() -> None:
        async with talking(url) as talk:
            apply(talk, bundle)
            await journey(talk)
            settled(talk)

    run(whole())


def points(talk: Talk) -> dict[str, int]:
    """What was posted by quizzes, by key without the person."""
    with talk.store.read() as connection:
        rows = connection.execute(text("SELECT key, amount FROM posting WHERE key LIKE 'quiz/%' ORDER BY id"))
        return {key.rpartition("/")[0].removeprefix(f"quiz/{CAMPAIGN}/family/"): amount for key, amount in rows}


def test_what_was_right_before_is_not_paid_again(database_url: str) -> None:
    prizes = '[[prizes]]\nfrom = "60%"\npoints = 5\n[[prizes]]\nfrom = "100%"\npoints = 20\n'

    async def journey(talk: Talk) -> None:
        first = await take(talk, 2)
        assert "这次共得 25 积分" in first and "再得 5 积分" in first and "1. 再答一次" in first
        second = await take(talk, 3)
        assert "这道题之前答对过" not in second and "全部答对，再得 20 积分" in second
        assert "这次共得 30 积分，现有 55 积分" in second
        third = await take(talk, 3)
        assert "这次共得 0 积分，现有 55 积分" in third and "再答一次" not in third
        assert points(talk) == {"q/q1": 10, "q/q2": 10, "q/q3": 10, "prize/60": 5, "prize/100": 20}
        assert "答题答对" in await talk.say("积分明细")

    played(database_url, plan_with(plain(prizes), tries=3), journey)


def test_the_same_tap_at_once_counts_once(database_url: str) -> None:
    async def journey(talk: Talk) -> None:
        await talk.say("答题 family 1")
        answers = await asyncio.gather(*(talk.say("答题 family 1-1-2") for _ in range(5)))
        assert sum("✓" in answer for answer in answers) == 1
        assert sum("第 1 题已经答过了" in answer for answer in answers) == 4
        assert points(talk) == {"q/q1": 10} and len(events(talk, "quiz_answered")) == 1

    played(database_url, plan_with(plain()), journey)


def test_a_choice_that_is_a_number_is_typed_by_its_words_or_its_place(database_url: str) -> None:
    async def journey(talk: Talk) -> None:
        assert "2. 50" in await talk.say("答题 family 1")
        for beyond in ("7", "0", "22"):
            again = await talk.say(beyond)
            assert "没有这个选项" in again and "问题1" in again, beyond
        assert "✓ 答对了" in await talk.say("50")
        assert "✓ 答对了" in await talk.say("2")

    played(database_url, plan_with(plain().replace("乙1", "50").replace("second 1", "50")), journey)


def test_a_question_and_a_quiz_that_are_out_of_time(database_url: str) -> None:
    async def journey(talk: Talk) -> None:
        assert "（限时 20 秒）" in await talk.say("答题 family 1")
        talk.now += timedelta(seconds=30)
        late = await talk.say("2")
        assert "这一题的时间到了" in late and "正确答案是：乙1" in late and "问题2" in late
        talk.now += timedelta(seconds=300)
        assert "✓ 答对了" in await talk.say("2")  # the second has no time of its own
        talk.now += timedelta(seconds=300)
        over = await talk.say("2")
        assert "答题时间到了" in over and "3 题答对 1 题，没有及格" in over and "10:00" in over
        assert points(talk) == {"q/q2": 10}
        assert events(talk, "quiz_finished")[0]["unanswered"] == 1
        assert "次数用完了" in await talk.say("答题")

    played(database_url, plan_with(plain("minutes = 10", {1: "seconds = 20\n"})), journey)


def test_leaving_loses_the_question_shown_when_its_time_is_up(database_url: str) -> None:
    async def journey(talk: Talk) -> None:
        await talk.say("答题 family 1")
        await talk.say("积分")
        talk.now += timedelta(minutes=5)
        back = await talk.say("答题")
        assert "这一题的时间到了" in back and "问题2" in back
        assert [(e["number"], e["choice"], e["right"]) for e in events(talk, "quiz_answered")] == [(1, 0, 0)]

    played(database_url, plan_with(plain("", {1: "seconds = 20\n"})), journey)


def test_who_never_comes_back_is_told_when_the_time_is_up(database_url: str) -> None:
    async def journey(talk: Talk) -> None:
        await talk.say("答题 family 1")
        await talk.say("2")
        with talk.store.read() as connection:
            number, person, due, data = connection.exec_driver_sql(
                "SELECT id, subscriber, due_at, data FROM timer WHERE kind = 'quiz_over'"
            ).one()
        import json

        more = {"timer": number, "kind": "quiz_over", **json.loads(data)}
        early = await talk.hear(who=str(person), kind="timer", channel="", key="t:0", data=more)
        assert early.messages == ()
        talk.now += timedelta(minutes=11)
        from storage.tables import micros

        assert due <= micros(talk.now)
        told = await talk.say(who=str(person), kind="timer", channel="", key="t:1", data=more)
        assert "答题时间到了" in told and "3 题答对 1 题" in told
        assert (await talk.hear(who=str(person), kind="timer", channel="", key="t:2", data=more)).messages == ()

    played(database_url, plan_with(plain("minutes = 10")), journey)


def test_an_attempt_goes_on_as_it_began_whatever_becomes_of_the_plan(database_url: str) -> None:
    async def journey(talk: Talk) -> None:
        await talk.say("答题 family 1")
        assert "✓" in await talk.say("2")
        changed = plain(count=2).replace("right = 2", "right = 1").replace("问题", "新题")
        dearer = plan_with(changed).files["plan.toml"].replace(b"points_each = 10", b"points_each = 99")
        apply(talk, type(plan_with(changed)).of({**plan_with(changed).files, "plan.toml": dearer}))
        second = await talk.say("2")
        assert "✓" in second and "+10 积分" in second and "问题3" in second
        gone = dict(plan_with(changed).files)
        plan = gone["plan.toml"].decode()
        start, end = plan.index("[[social.quizzes]]"), plan.index("[social.lottery]")
        gone["plan.toml"] = (plan[:start] + plan[end:]).encode()
        apply(talk, type(plan_with(changed)).of(gone))
        assert "问题3" in await talk.say("答题")
        last = await talk.say("2")
        assert "3 题答对 3 题，及格" in last
        assert points(talk) == {"q/q1": 10, "q/q2": 10, "q/q3": 10}
        assert "还没有开放" in await talk.say("答题")
        assert {e["right"] for e in events(talk, "quiz_answered")} == {1}

    played(database_url, plan_with(plain()), journey)


def test_several_quizzes_are_listed_and_run_beside_each_other(database_url: str) -> None:
    more = (
        '[[social.quizzes]]\nid = "second"\nname.zh = "第二场"\nname.en = "The second"\nfile = "quizzes/two.toml"\n'
        'points_each = 0\npass_at = "100%"\ntries = 2\n'
    )

    async def journey(talk: Talk) -> None:
        listed = await talk.say("答题")
        assert "1. 家庭网知识问答\n2. 第二场\n3. 菜单" in listed
        assert "共 1 题" in await talk.say("2")
        assert "问题1" in await talk.say("1")
        assert "第 1 题，共 3 题" in await talk.say("答题 family 1")
        assert "共 1 题" in await talk.say("答题 second")
        assert "1 题答对 1 题，及格" in (done := await talk.say("答题 second 1-1-2")) and "+" not in done
        assert "1. 家庭网知识问答\n2. 第二场" in await talk.say("排行榜")
        assert "1/1" in await talk.say("2")
        assert points(talk) == {}

    played(database_url, plan_with(plain(), more=more, others={"quizzes/two.toml": plain(count=1)}), journey)


def test_a_guest_may_try_and_at_the_cap_goes_on_without_points(database_url: str) -> None:
    async def journey(talk: Talk) -> None:
        shown = await take(talk, 12, who="g1", channel="web")
        assert "网页访客最多暂存" in shown and "12 题答对 12 题" in shown and "绑定" in shown
        assert "网页访客不上排行榜" in shown
        with talk.store.read() as connection:
            held = connection.execute(text("SELECT amount FROM balance WHERE account LIKE 'held/%'")).scalar()
            assert 0 < held <= talk.library().plan.points.guest_cap
            assert connection.exec_driver_sql("SELECT count(*) FROM quiz_best").scalar() == 0

    file = plain(count=12)
    plan = plan_with(file).files["plan.toml"].decode()
    cap = int(next(line.split("=")[1].split("#")[0] for line in plan.splitlines() if line.startswith("guest_cap")))
    each = max(10, cap // 10)
    bundle = plan_with(file)
    files = {**bundle.files, "plan.toml": plan.replace("points_each = 10", f"points_each = {each}").encode()}
    played(database_url, type(bundle).of(files), journey)


def test_outside_the_window_nothing_begins(database_url: str) -> None:
    async def journey(talk: Talk) -> None:
        talk.days(400)
        assert "活动时间是" in await talk.say("答题 family 1")
        assert "还可以答 1 次" in await talk.say("答题")

    played(database_url, plan_with(plain()), journey)


async def connected(talk: Talk, one: dict[str, str], other: dict[str, str]) -> str:
    """Make two one person: a code asked for by one, typed by the other."""
    import re

    found = re.search(r"[2-9A-HJ-NP-Z]{6}", await talk.say("绑定", **one))
    assert found
    return await talk.say(found[0], **other)


def test_one_person_on_two_channels_takes_it_once(database_url: str) -> None:
    wechat, telegram = {"who": "oA", "channel": "wechat"}, {"who": "7001", "channel": "telegram"}

    async def journey(talk: Talk) -> None:
        await take(talk, 2, **wechat)
        talk.now += timedelta(minutes=1)
        await talk.say("答题 family 1", **telegram)
        assert "✓" in await talk.say("2", **telegram)
        joined = await connected(talk, wechat, telegram)
        assert "绑定成功" in joined and "10 积分已经扣回" in joined
        # The attempt that was open goes on, under a number of its own, and what was paid is not paid again.
        old = await talk.say("答题 family 1-2-2", **telegram)
        assert "之前一次答题的选项" in old and "问题2" in old
        assert "之前答对过" in await talk.say("2", **wechat)
        last = await talk.say("2", **telegram)
        assert "3 题答对 3 题" in last and "这次共得 10 积分，现有 30 积分" in last
        assert "次数用完了" in await talk.say("答题", **wechat)
        with talk.store.read() as connection:
            rows = connection.exec_driver_sql("SELECT correct FROM quiz_best").scalars().all()
            assert rows == [3]

    played(database_url, plan_with(plain()), journey)


def test_a_guests_best_counts_on_the_board_once_they_are_known(database_url: str) -> None:
    guest, known = {"who": "g1", "channel": "web"}, {"who": "oA", "channel": "wechat"}

    async def journey(talk: Talk) -> None:
        await talk.say("你好", **known)
        await take(talk, 3, **guest)
        await connected(talk, known, guest)
        board = await talk.say("排行榜", **known)
        assert "1. 您 · 3/3" in board and "排第 1 名" in board

    played(database_url, plan_with(plain()), journey)


def test_the_board_is_masked_ordered_and_knows_ones_place(database_url: str) -> None:
    async def journey(talk: Talk) -> None:
        assert "还没有人答完" in await talk.say("排行榜")
        for number, rights in enumerate((1, 3, 2)):
            who = f"o{number}"
            await talk.say("海报名字", who=who)
            await talk.say(f"小{'明红刚'[number]}", who=who)
            await take(talk, rights, who=who)
        board = await talk.say("排行榜", who="o2")
        lines = board.splitlines()
        assert lines[1].startswith("1. 小** · 3/3") and lines[2].startswith("2. 您 · 2/3")
        assert lines[3].startswith("3. 小** · 1/3") and "您现在排第 2 名" in board
        assert "小红" not in board and "o1" not in board
        assert "您还没有成绩" in await talk.say("排行榜", who="o9")
        await talk.say("忘记我", who="o1")
        await talk.say("确认忘记我", who="o1")
        assert "3/3" not in await talk.say("排行榜", who="o2")
        assert "次数用完了" in await talk.say("答题", who="o1")

    played(database_url, plan_with(plain()), journey)


def test_equal_scores_go_by_time_and_the_board_is_bounded(database_url: str) -> None:
    async def journey(talk: Talk) -> None:
        for number in range(12):
            who = f"o{number}"
            await talk.say("答题 family 1", who=who)
            talk.now += timedelta(seconds=60 - number)
            for place in range(1, 4):
                await talk.say(f"答题 family 1-{place}-2", who=who)
        board = await talk.say("排行榜", who="o0")
        assert "1. 一位用户 · 3/3 · 0:49" in board and "10. " in board and "11. " not in board
        assert "您现在排第 12 名（3/3，1:00）" in board

    played(database_url, plan_with(plain()), journey)


def test_staff_get_counts_and_events_hold_no_words(database_url: str) -> None:
    async def journey(talk: Talk) -> None:
        await take(talk, 3, who="o1")
        await take(talk, 1, who="o2")
        from storage import quizzes

        with talk.store.read() as connection:
            counts = quizzes.tallies(connection, CAMPAIGN)
        whole = {what: times for (_, question, what), times in counts.items() if not question}
        assert whole == {"started": 2, "finished": 2, "passed": 1, "right": 4, "asked": 6}
        second = {what: times for (_, question, what), times in counts.items() if question == "q2"}
        assert second == {"2": 1, "right": 1, "1": 1}
        for told in events(talk, "quiz_answered"):
            assert set(told) == {"quiz", "attempt", "question", "number", "choice", "right"}
        assert [e["passed"] for e in events(talk, "quiz_finished")] == [1, 0]

    played(database_url, plan_with(plain()), journey)


def test_a_testers_quiz_counts_for_nothing_and_is_taken_afresh(database_url: str) -> None:
    async def journey(talk: Talk) -> None:
        from storage import quizzes

        await take(talk, 1, who="o1")
        await talk.say("积分", who="o2")
        standing_house.act(talk, "test", standing_house.number(talk, "o2"))
        assert "3/3" in await take(talk, 3, who="o2")
        assert "1. 您 · 1/3" in await talk.say("排行榜", who="o1")
        with talk.store.read() as connection:
            counts = quizzes.tallies(connection, CAMPAIGN)
        assert {what: times for (_, question, what), times in counts.items() if not question}["started"] == 1
        standing_house.act(talk, "untest", standing_house.number(talk, "o2"))
        assert "2/3" in await take(talk, 2, who="o2")
        board = await talk.say("排行榜", who="o1")
        assert "1. 一位用户 · 2/3" in board and "2. " in board and "3. " not in board

    played(database_url, plan_with(plain()), journey)


def test_a_poster_name_being_asked_for_does_not_swallow_a_choice(database_url: str) -> None:
    async def journey(talk: Talk) -> None:
        await talk.say("答题 family 1")
        await talk.say("海报名字")
        assert "✓" in await talk.say("答题 family 1-1-2")

    played(database_url, plan_with(plain()), journey)


def test_who_is_gone_for_good_is_off_the_board(database_url: str) -> None:
    async def journey(talk: Talk) -> None:
        await take(talk, 3, who="o1")
        await talk.hear(kind="unfollow", who="o1")
        assert "3/3" in await talk.say("排行榜", who="o2")  # who comes back finds their place
        talk.days(talk.library().plan.privacy.parked_days + 1)
        with talk.store.begin() as connection:
            assert retention.step(connection, talk.now, 90)
        with talk.store.read() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM quiz_best").scalar() == 0

    played(database_url, plan_with(plain()), journey)
