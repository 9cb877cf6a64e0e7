"""Testers: they live the campaign before its start on the real account, and nothing of it counts, then or later."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from storage import acts, holds, ledger, people, standing
from storage.ledger_check import check
from tests.standing_house import CAMPAIGN, ME, act, counted, number, proved, rows, shown
from tests.talking import Talk, run, talking
from tests.test_joining import CODE
from tests.test_referrals import code_of, follow, guest, pairs, said_to, telegram, tick, wechat

EARLY = datetime(2026, 10, 20, 4, 0, tzinfo=UTC)  # twelve days before the shipped plan's window
LATE = datetime(2027, 3, 2, 4, 0, tzinfo=UTC)
MARK = {"zh": "【测试】积分和推荐都不算数\n", "en": "[Test] Points and referrals do not count\n"}
Step = tuple[str | int, tuple[str, ...]]

JOURNEYS: dict[str, tuple[str, list[Step]]] = {
    "before the start, taken back, and then for real": (
        "zh",
        [
            ("签到", ("活动时间是 2026-11-01", "!【测试】")),
            ("@test", ()),
            ("签到", ("签到成功，+5", "连续 1 天", "现有 5 积分")),
            ("签到", ("今天已经签到过了",)),
            (1, ()),
            ("签到", ("连续 2 天", "现有 10 积分")),
            ("积分", ("您现在有 10 积分",)),
            ("积分明细", ("+5  每日签到",)),
            ("抽奖", ("还没有开放",)),
            ("呜哩哇啦", ("没有听懂",)),
            ("我的资料", ("积分：10",)),
            ("@untest", ()),
            ("积分", ("您现在有 0 积分", "!【测试】")),
            ("积分明细", ("还没有积分变动", "!+5")),
            ("签到", ("活动时间是 2026-11-01",)),
            (12, ()),
            ("签到", ("签到成功", "连续 1 天", "现有 5 积分", "!【测试】")),
        ],
    ),
    "in English": (
        "en",
        [
            ("checkin", ("2026-11-01", "![Test]")),
            ("@test", ()),
            ("checkin", ("+5 points", "You have 5 points")),
            ("history", ("daily check-in",)),
            ("@untest", ()),
            ("points", ("You have 0 points", "![Test]")),
        ],
    ),
    "during the campaign, with points and a streak of one's own": (
        "zh",
        [
            (12, ()),
            ("签到", ("连续 1 天", "现有 5 积分")),
            (1, ()),
            ("@test", ()),
            ("积分", ("您现在有 0 积分",)),
            ("签到", ("连续 1 天", "现有 5 积分")),
            ("@untest", ()),
            ("签到", ("连续 2 天", "现有 10 积分", "!【测试】")),
            ("@test", ()),
            ("签到", ("连续 1 天", "现有 5 积分")),
            ("@untest", ()),
            ("积分", ("您现在有 10 积分",)),
        ],
    ),
}


@pytest.mark.parametrize("story", JOURNEYS)
def test_journeys_of_testers(story: str, database_url: str) -> None:
    language, table = JOURNEYS[story]

    async def journey() -> None:
        async with talking(database_url) as talk:
            talk.now, tests = EARLY, False
            for step, parts in table:
                if isinstance(step, int):
                    talk.days(step)
                elif step.startswith("@"):
                    assert act(talk, step[1:], number(talk))
                    tests = step == "@test"
                else:
                    answer = await talk.say(step, language=language)
                    assert answer.startswith(MARK[language]) == tests, answer
                    for part in parts:
                        assert (part[1:] not in answer) if part.startswith("!") else (part in answer), (step, answer)
            proved(talk)

    run(journey())


def test_a_guest_tests_like_anybody(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            talk.now = EARLY
            await talk.say("菜单", **guest(1))
            me = number(talk, **guest(1))
            act(talk, "test", me)
            assert "共暂存 5 积分" in await talk.say("签到", **guest(1))
            assert "暂存了 5 积分" in await talk.say("积分", **guest(1))
            assert "积分：5" in await talk.say("我的资料", **guest(1))
            assert (shown(talk, me)["balances"], shown(talk, me)["test_balances"]) == ({"points": 0}, {"points": 5})
            act(talk, "untest", me)
            assert "暂存了 0 积分" in await talk.say("积分", **guest(1))
            proved(talk)

    run(journey())


def test_after_the_end_a_tester_gets_nothing_either(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await talk.say("菜单")
            talk.now = LATE
            act(talk, "test", number(talk))
            assert "到 2027-02-28" in await talk.say("签到")

    run(journey())


WORDS = ("签到", "签到", "积分", "积分明细", "海报", "邀请", "帮助", "抽奖", "呜哩哇啦")
WORDS += ("1", "2", "隐私", "绑定", "‹code›")


@pytest.mark.parametrize("seed", range(3))
def test_a_testers_whole_life_leaves_what_counts_as_it_was(seed: int, database_url: str) -> None:
    """Whatever they say in whatever order, over days, tested twice: budget, balances, figures, memory, referrals."""

    async def journey() -> None:
        async with talking(database_url) as talk:
            dice = random.Random(seed)
            await follow(talk, {"who": ME, "channel": "wechat"})
            await follow(talk, wechat(2))
            for _ in range(3):
                await talk.say("签到")
                await talk.say("签到", **wechat(2))
                talk.days(1)
            me, other = number(talk), number(talk, **wechat(2))
            code = await code_of(talk, wechat(2))
            before = counted(talk, me)
            for _ in range(2):
                assert act(talk, "test", me) and act(talk, "test", other)
                for _ in range(25):
                    said = dice.choice(WORDS)
                    answer = await talk.say(code if said == "‹code›" else said)
                    assert answer.startswith(MARK["zh"]), answer
                    if dice.random() < 0.3:
                        talk.days(1)
                    if dice.random() < 0.3:
                        await tick(talk)
                    if dice.random() < 0.2:
                        await follow(talk, {"who": ME, "channel": "wechat"}, f"r_{code}", kind="scan")
                during = counted(talk, me)
                for same in ("postings", "balances", "events"):
                    assert [r for r in during[same] if not _standing(r)] == [
                        r for r in before[same] if not _standing(r)
                    ], same
                assert sum(shown(talk, me)["test_balances"].values()) > 0
                proved(talk)
                assert act(talk, "untest", me) and act(talk, "untest", other)
                after = counted(talk, me)
                assert {k: [r for r in v if not _standing(r)] for k, v in after.items()} == before
                assert set(shown(talk, me)["test_balances"].values()) <= {0}
            proved(talk)
            answer = await talk.say("签到")
            assert "连续 1 天" in answer and "现有 20 积分" in answer  # three days of their own, a gap, and this one

    run(journey())


def _standing(row: tuple[object, ...]) -> bool:
    return str(row[0]).startswith("people.")


def test_everything_of_a_test_bears_its_name(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            talk.now = EARLY
            await talk.say("菜单")
            me = number(talk)
            last = rows(talk, "SELECT MAX(id) FROM event")[0][0]
            act(talk, "test", me)
            for words in ("签到", "海报", "抽奖", "人工", "呜哩哇啦"):
                await talk.say(words)
            events = rows(talk, "SELECT DISTINCT campaign FROM event WHERE id > :n AND actor = 'subscriber'", n=last)
            assert events == [(f"{CAMPAIGN}/test",)]
            moved = rows(talk, "SELECT source, destination, amount, campaign FROM posting WHERE reason = 'checkin'")
            assert moved == [("mint-test/points", f"test/{me}/points", 5, f"{CAMPAIGN}/test")]
            names = {name for (name,) in rows(talk, "SELECT name FROM memory WHERE subscriber = :s", s=me)}
            assert "test/checkin" in names and "checkin" not in names
            talk.days(1)
            act(talk, "untest", me)
            assert not rows(talk, "SELECT 1 FROM memory WHERE name LIKE 'test/%'")
            data = rows(talk, "SELECT data FROM event WHERE kind = 'people.untested'")
            assert data == [('{"holds":0,"points":5,"timers":0,"referrals":0}',)]
            with talk.store.read() as connection:
                told = people.export(connection, talk.vault, me)
            assert [row["amount"] for row in told["test_history"]] == [-5, 5] and told["history"] == []

    run(journey())


def test_named_again_at_the_same_instant_the_test_is_fresh(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await talk.say("菜单")
            for _ in range(3):
                act(talk, "test", number(talk))
                assert "现有 5 积分" in await talk.say("签到")
                assert "今天已经签到过了" in await talk.say("签到")
                act(talk, "untest", number(talk))
            assert "现有 5 积分" in await talk.say("签到")
            proved(talk)

    run(journey())


# ---- friends


def test_testers_refer_testers_and_the_real_referral_is_still_open_to_them(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            for one in (wechat(1), wechat(2), wechat(3)):
                await follow(talk, one)
            referrer, referee = number(talk, **wechat(1)), number(talk, **wechat(2))
            tested, real = await code_of(talk, wechat(1)), await code_of(talk, wechat(3))
            talk.days(60)  # long past the days within which a newcomer may type a code
            act(talk, "test", referrer)
            act(talk, "test", referee)
            assert f"{real} 没有记下" in await talk.say(real, **wechat(2))
            assert "朋友介绍来的" in await talk.say(tested, **wechat(2))
            assert rows(talk, "SELECT referrer, campaign, state FROM referral") == [
                (referrer, f"{CAMPAIGN}/test", "pending")
            ]
            await tick(talk)
            assert "【测试】积分和推荐都不算数\\n好消息：有一位朋友" in said_to(talk, wechat(1))
            assert "等待开通" in await talk.say("邀请", **wechat(1))
            assert f"推荐码 {tested} 现在不能用" in await follow(talk, wechat(9), f"r_{tested}")
            act(talk, "untest", referee)
            assert pairs(talk.store) == {}
            data = f'{{"referrer":{referrer},"from":"pending","to":"rejected","reason":"test"}}'
            gone = rows(talk, "SELECT campaign, data FROM event WHERE kind = 'referral'")
            assert gone == [(f"{CAMPAIGN}/test", data)]
            act(talk, "untest", referrer)
            assert "还没有推荐来朋友" in await talk.say("邀请", **wechat(1))
            await follow(talk, telegram(4))
            assert "朋友介绍来的" in await talk.say(tested, **telegram(4))  # for real again
            assert list(pairs(talk.store).values()) == [(referrer, "pending")]

    run(journey())


def test_taking_back_the_referrers_test_takes_its_referrals_too(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            for one in (wechat(1), wechat(2)):
                await follow(talk, one)
                act(talk, "test", number(talk, **one))
            await talk.say(await code_of(talk, wechat(1)), **wechat(2))
            assert len(pairs(talk.store)) == 1
            act(talk, "untest", number(talk, **wechat(1)))  # before the news of it fell due
            await tick(talk)
            assert pairs(talk.store) == {} and "好消息" not in said_to(talk, wechat(1))

    run(journey())


def test_what_fell_due_for_real_stays_real_in_a_test(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await follow(talk, wechat(1))
            await follow(talk, wechat(2), f"r_{await code_of(talk, wechat(1))}")
            act(talk, "test", number(talk, **wechat(1)))
            await tick(talk)
            assert "好消息：有一位朋友" in said_to(talk, wechat(1)) and "【测试】" not in said_to(talk, wechat(1))

    run(journey())


@pytest.mark.parametrize("who", ["the one who asks", "the one who types"])
def test_a_tester_is_joined_with_nobody_until_the_test_is_over(who: str, database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await talk.say("签到", **wechat(1))
            await talk.say("菜单", **telegram(2))
            code = CODE.findall(await talk.say("绑定", **wechat(1)))[0]
            tester = number(talk, **(wechat(1) if who == "the one who asks" else telegram(2)))
            act(talk, "test", tester)
            said = await talk.say(code, **telegram(2))
            assert "测试结束之前不能绑定" in said and "人工客服" in said
            assert number(talk, **wechat(1)) != number(talk, **telegram(2))
            act(talk, "untest", tester)
            assert "绑定成功" in await talk.say(code, **telegram(2))
            assert "5 积分" in await talk.say("积分", **telegram(2))
            proved(talk)

    run(journey())


def test_former_testers_join_and_only_what_counts_comes_together(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            for one in (wechat(1), telegram(2)):
                await talk.say("签到", **one)
                act(talk, "test", number(talk, **one))  # at one instant: their marks are alike
                await talk.say("签到", **one)
                act(talk, "untest", number(talk, **one))
            code = CODE.findall(await talk.say("绑定", **wechat(1)))[0]
            assert "共有 5 积分，重复" in (await talk.say(code, **telegram(2))).replace("。\n两边", "，")
            assert rows(talk, "SELECT COUNT(*) FROM posting WHERE reason = 'joined_twice'") == [(1,)]
            proved(talk)

    run(journey())


# ---- taking back


async def _tester(talk: Talk) -> int:
    await talk.say("菜单")
    me = number(talk)
    act(talk, "test", me)
    await talk.say("签到")
    return me


def test_holds_and_timers_of_a_test_end_with_it(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            me = await _tester(talk)
            tested = ledger.test(me, "points")
            with talk.store.begin() as connection:
                hold = holds.Hold("t", "points", tested, "mint-test/points", 3, f"{CAMPAIGN}/test", 1, "x")
                holds.reserve(connection, hold, talk.now)
                columns = "INSERT INTO timer (id, key, subscriber, kind, due_at, data, fired) VALUES "
                for n, key in ((901, "test/1/x"), (902, "x")):
                    values = f"({n}, '{key}', {me}, 'referral_pending', {2**60}, '{{}}', FALSE)"
                    connection.execute(text(columns + values))
            act(talk, "untest", me)
            assert rows(talk, "SELECT state FROM hold") == [("voided",)]
            assert rows(talk, "SELECT key FROM timer WHERE NOT fired") == [("x",)]
            assert rows(talk, "SELECT amount, held FROM balance WHERE account = :a", a=tested) == [(0, 0)]
            proved(talk)

    run(journey())


def test_taking_back_races_the_testers_own_words(empty_postgres_url: str) -> None:
    """Two nodes: one answers the tester, the other takes the test back, again and again; the books stay right."""
    import asyncio

    from storage.store import Store
    from tests.talking import prepared

    async def journey() -> None:
        store = prepared(empty_postgres_url)
        nodes = [Talk(store, "a"), Talk(Store(empty_postgres_url), "b")]
        try:
            await nodes[0].say("菜单")
            me = number(nodes[0])
            for day in range(12):
                for node in nodes:
                    node.now += timedelta(days=1)
                    node.now += timedelta(microseconds=day)
                act(nodes[0], "test", me)
                said = asyncio.gather(*(nodes[n % 2].say("签到", key=f"d{day}/{n}") for n in range(4)))
                taken = asyncio.to_thread(act, nodes[1], "untest", me)
                answers, back = await asyncio.gather(said, taken)
                assert back and sum("签到成功" in answer for answer in answers) <= 2, answers
                assert set(shown(nodes[0], me)["test_balances"].values()) <= {0}
                proved(nodes[0])
            assert not rows(nodes[0], "SELECT 1 FROM memory WHERE name LIKE 'test/%'")
        finally:
            for node in nodes:
                await node.writer.close()
                node.store.close()

    run(journey())


def test_the_check_finds_a_test_that_touches_what_counts(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            me = await _tester(talk)
            proved(talk)
            mixed = ledger.Posting(
                "x", "points", ledger.test(me, "points"), ledger.person(me, "points"), 2, CAMPAIGN, 1, "x"
            )
            with talk.store.begin() as connection:
                acts.post(connection, mixed, talk.now)
                problems = check(connection, talk.vault).problems
            assert len(problems) == 1 and "mixes a test with what counts" in problems[0]
            with pytest.raises(ledger.Short), talk.store.begin() as connection:
                below = ledger.Posting("y", "points", ledger.test(me, "points"), "mint-test/points", 9, "c", 1, "x")
                acts.post(connection, below, talk.now)

    run(journey())


def test_whoever_is_told_of_as_tester_is_one(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            me = await _tester(talk)
            told = shown(talk, me)
            assert (told["tester"], told["blocked"], told["balances"], told["test_balances"]) == (
                *(True, False, {"points": 0}),
                {"points": 5},
            )
            act(talk, "block", me)
            assert "您的账号已停用" in await talk.say("签到")
            assert act(talk, "untest", me) and not act(talk, "untest", me)
            assert not shown(talk, me)["tester"] and shown(talk, me)["blocked"]
            with talk.store.read() as connection:
                assert [row.kind for row in standing.records(connection, me, 9)] == ["untested", "blocked", "tested"]

    run(journey())
