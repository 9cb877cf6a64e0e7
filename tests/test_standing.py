"""Blocked people and rejected referrals, as stories in both languages on both databases: what still answers, what does
not, and that nobody shakes a block off."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import event, text

from bot import dialogue
from campaigns import blocking, checkin, rights
from campaigns import standing as acts
from campaigns.desk import ActRefused, NotAllowed
from storage import holds, ledger, people, profiles, referrals, retention, standing
from storage.incoming import Incoming
from tests.standing_house import ME, act, counted, number, proved, rows, shown
from tests.talking import run, talking
from tests.test_joining import CODE
from tests.test_referrals import code_of, follow, pairs, said_to, telegram, tick, wechat

ZH, EN = "您的账号已停用", "Your account is blocked"
# Words, or `@` and an act, or days that pass; and what must stand in the answer (after `!`: must not; None: silence).
Step = tuple[str | int, tuple[str, ...] | None]

JOURNEYS: dict[str, tuple[str, list[Step]]] = {
    "once a day why, else silence": (
        "zh",
        [
            ("签到", ("签到成功",)),
            ("@block", ()),
            ("签到", (ZH, "拨 ", "1. 人工客服", "2. 隐私", "!签到成功")),
            ("签到", None),
            ("怎么办理", None),
            ("呜哩哇啦", None),
            (1, ()),
            ("积分", (ZH, "!5 积分")),
            ("海报", None),
            ("@unblock", ()),
            ("签到", ("签到成功", "连续 2 天", "现有 10 积分")),
        ],
    ),
    "once a day why, in English": (
        "en",
        [
            ("checkin", ("You have 5 points",)),
            ("@block", ()),
            ("checkin", (EN, "1. Talk to a person")),
            ("points", None),
            ("@unblock", ()),
            ("points", ("You have 5 points",)),
        ],
    ),
    "a person, leaving and privacy still answer": (
        "zh",
        [
            ("签到", ("签到成功",)),
            ("@block", ()),
            ("人工", ("客服", f"!{ZH}")),
            ("退订", ("您的任何电信业务都没有被取消", "1. 恢复接收")),
            ("1", ("之后有活动会告诉您",)),
            ("隐私", ("!停用",)),
            ("1", ("积分：5",)),
            ("我的资料", ("积分：5", "您的编号")),
            ("忘记我", ("1. 确认忘记我",)),
            ("还是算了", (ZH, "!已经删除")),
            ("忘记我", ("1. 确认忘记我",)),
            ("1", ("已经删除您的资料、对话和问卷回答",)),
            ("签到", None),
            (1, ()),
            ("签到", (ZH,)),
        ],
    ),
    "a person, leaving and privacy still answer, in English": (
        "en",
        [
            ("hello?", ()),
            ("@block", ()),
            ("human", ("A member of staff",)),
            ("STOP", ("No telecom service of yours was cancelled",)),
            ("my data", ("number",)),
            ("forget me", ("points records without a name",)),
            ("yes, forget me", ("are deleted",)),
            ("checkin", (EN,)),
        ],
    ),
}


@pytest.mark.parametrize("story", JOURNEYS)
def test_journeys_of_somebody_blocked(story: str, database_url: str) -> None:
    language, table = JOURNEYS[story]

    async def journey() -> None:
        async with talking(database_url) as talk:
            for step, parts in table:
                if isinstance(step, int):
                    talk.days(step)
                elif step.startswith("@"):
                    assert act(talk, step[1:], number(talk))
                else:
                    answer = await talk.say(step, language=language)
                    assert parts is not None or answer == "", (step, answer)
                    for part in parts or ():
                        assert (part[1:] not in answer) if part.startswith("!") else (part in answer), (step, answer)
            proved(talk)

    run(journey())


def test_a_form_left_by_the_block_is_not_filled_after_it(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await talk.say("海报名字")
            act(talk, "block", number(talk))
            await talk.say("在吗")
            act(talk, "unblock", number(talk))
            await talk.say("欧阳")
            with talk.store.read() as connection:
                assert profiles.read(connection, talk.vault, number(talk)) == {}

    run(journey())


def test_what_reaches_a_rule_is_refused_by_name(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should a way lead past the step that answers somebody blocked, nothing can be earned or spent behind it."""

    async def journey() -> None:
        async with talking(database_url) as talk:
            await talk.say("签到")
            me = number(talk)
            act(talk, "block", me)
            before = counted(talk, me)["balances"]
            talk.days(1)
            monkeypatch.setattr(dialogue, "ORDER", tuple(s for s in dialogue.ORDER if s is not dialogue._blocked))
            assert ZH in await talk.say("签到")
            monkeypatch.setattr(checkin, "answer", lambda turn, command: turn.spend(1, "once", "x", "spent/points"))
            assert ZH in await talk.say("签到")
            assert counted(talk, me)["balances"] == before
            refused = rows(talk, "SELECT data FROM event WHERE kind = 'refused'")
            assert refused == [('{"rule":"Blocked"}',)] * 2

    run(journey())


def test_following_again_and_being_forgotten_do_not_lift_a_block(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await follow(talk, {"who": ME, "channel": "wechat"})
            me = number(talk)
            act(talk, "block", me, "sold points")
            assert await talk.say(kind="unfollow") == ""
            assert ZH in await follow(talk, {"who": ME, "channel": "wechat"})
            assert await follow(talk, {"who": ME, "channel": "wechat"}, kind="scan") == ""
            for words in ("忘记我", "确认忘记我"):
                await talk.say(words)
            with talk.store.begin() as connection:
                retention.step(connection, talk.now, 180)
            talk.days(1)
            assert number(talk) == me and ZH in await talk.say("签到")
            with talk.store.read() as connection:
                assert [(row.kind, row.why) for row in standing.records(connection, me, 9)] == [
                    ("blocked", "sold points")
                ]

    run(journey())


def test_reasons_are_forgotten_with_the_person_but_for_the_block_that_stands(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await talk.say("签到")
            me = number(talk)
            for name in ("block", "unblock", "test", "untest", "block"):
                act(talk, name, me, f"SECRET-{name}")
            for words in ("忘记我", "确认忘记我"):
                await talk.say(words)
            kept = rows(talk, "SELECT kind, why FROM standing ORDER BY id")
            assert kept == [
                *((k, "") for k in ("blocked", "unblocked", "tested", "untested")),
                ("blocked", kept[-1][1]),
            ]
            assert kept[-1][1] == "SECRET-block"
            assert not rows(talk, "SELECT 1 FROM event WHERE data LIKE '%SECRET%'")
            talk.days(4000)
            with talk.store.begin() as connection:
                connection.execute(text("UPDATE delivery SET state = 'sent'"))
                for _ in range(3):
                    retention.step(connection, talk.now, 180)
            assert {why for (why,) in rows(talk, "SELECT why FROM standing")} == {""}

    run(journey())


def test_a_blocked_persons_code_brings_nobody_and_the_newcomer_is_served(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await follow(talk, wechat(1))
            code = await code_of(talk, wechat(1))
            act(talk, "block", number(talk, **wechat(1)))
            welcome = await follow(talk, wechat(2), f"r_{code}")
            assert f"推荐码 {code} 现在不能用" in welcome and "签到" in welcome
            assert f"The referral code {code} cannot be used now" in await talk.say(code, language="en", **telegram(3))
            assert "签到成功" in await talk.say("签到", **wechat(2))
            assert pairs(talk.store) == {}
            with talk.store.read() as connection:
                assert people.by_code(connection, talk.vault, code) is None  # no poster, no page of theirs
            act(talk, "unblock", number(talk, **wechat(1)))
            assert "朋友介绍来的" in await follow(talk, wechat(4), f"r_{code}")
            assert len(pairs(talk.store)) == 1  # who came meanwhile is not made up

    run(journey())


def test_somebody_blocked_is_brought_by_nobody_and_nothing_falls_due_for_them(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            for one in (wechat(1), wechat(2), telegram(3)):
                await follow(talk, one)
            code = await code_of(talk, wechat(1))
            act(talk, "block", number(talk, **wechat(2)))
            await talk.say(code, **wechat(2))
            await talk.say(kind="scan", data={"scene": f"r_{code}"}, **wechat(2))
            assert pairs(talk.store) == {}
            await talk.say(code, **telegram(3))
            act(talk, "block", number(talk, **wechat(1)))
            await tick(talk)
            assert "有一位朋友" not in said_to(talk, wechat(1))
            assert [kind for (kind,) in rows(talk, "SELECT kind FROM event WHERE kind = 'withheld'")] == ["withheld"]
            act(talk, "unblock", number(talk, **wechat(1)))
            await tick(talk)
            assert "有一位朋友" not in said_to(talk, wechat(1))

    run(journey())


@pytest.mark.parametrize("blocked", ["older", "younger"])
def test_of_two_who_become_one_the_stricter_stands(blocked: str, database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            older, younger = wechat(1), telegram(2)
            await follow(talk, older)
            talk.days(1)
            await talk.say("签到", **younger)
            one, other = (older, younger) if blocked == "older" else (younger, older)
            code = CODE.findall(await talk.say("绑定", **one))[0]
            act(talk, "block", number(talk, **one), "why")
            said = await talk.say(code, **other)
            assert "绑定成功" in said and ZH in said
            stays = number(talk, **older)
            assert stays == number(talk, **younger) and shown(talk, stays)["blocked"]
            assert ZH in await talk.say("签到", **other)
            with talk.store.read() as connection:
                assert [row.why for row in standing.records(connection, stays, 9)] == ["why"]
            assert act(talk, "unblock", stays) and not shown(talk, stays)["blocked"]
            assert "5 积分" in await talk.say("积分", **younger)
            proved(talk)

    run(journey())


# ---- who may, and how often


def test_pressing_twice_and_at_once_is_one_effect(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await talk.say("签到")
            me, gate = number(talk), Barrier(6)

            def press(name: str) -> bool:
                gate.wait()
                return act(talk, name, me)

            for name in ("block", "unblock", "test"):
                with ThreadPoolExecutor(6) as crowd:
                    assert Counter(crowd.map(press, [name] * 6)) == {True: 1, False: 5}, name
            await talk.say("签到")
            with ThreadPoolExecutor(6) as crowd:
                assert Counter(crowd.map(press, ["untest"] * 6)) == {True: 1, False: 5}
            kinds = rows(talk, "SELECT kind, COUNT(*) FROM event WHERE actor = 'operator' GROUP BY kind ORDER BY kind")
            expected = [(f"people.{kind}", 1) for kind in ("blocked", "tested", "unblocked", "untested")]
            assert [row for row in kinds if row[0].startswith("people.")] == expected
            assert [n for (n,) in rows(talk, "SELECT COUNT(*) FROM standing")] == [4]
            proved(talk)

    run(journey())


ACTS = {"block": "people.block", "unblock": "people.block", "test": "people.test", "untest": "people.test"} | {
    "reject": "referrals.reject"
}


def test_each_act_asks_for_its_right_a_reason_somebody_and_the_branch(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await talk.say("签到")
            me = number(talk)
            with talk.store.begin() as connection:
                connection.execute(text("UPDATE subscriber SET branch = 'north' WHERE id = :n"), {"n": me})
            before = counted(talk, me)
            for name, right in ACTS.items():
                for role, having in rights.ROLES.items():
                    if right not in having:
                        with pytest.raises(NotAllowed):
                            act(talk, name, me, actor="staff:3", rights=rights.of([role]))
                own: dict[str, Any] = {"actor": "staff:3", "rights": frozenset({right})}
                for branch in ("south", ""):
                    with pytest.raises(NotAllowed, match="another branch"):
                        act(talk, name, me, branch=branch, **own)
                for why, more in (("", {}), ("   ", {}), ("x" * 401, {}), ("", {"actor": "operator"})):
                    with pytest.raises(ActRefused, match=r"reason|say why"):
                        act(talk, name, me, why, **{**own, **more})
                with pytest.raises(ActRefused, match="no subscriber 77"):
                    act(talk, name, 77, **own)
            assert counted(talk, me) == before
            for name in ("block", "unblock", "test", "untest"):
                own = {"actor": "staff:3", "rights": frozenset({ACTS[name]}), "branch": "north"}
                assert act(talk, name, me, **own), name
            act(talk, "block", me)
            with pytest.raises(ActRefused, match="unblock them"):
                act(talk, "test", me)

    run(journey())


def test_a_rejected_referral_frees_what_is_held_for_it(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            for one in (wechat(1), wechat(5)):
                await follow(talk, one)
            await talk.say("签到", **wechat(1))
            await follow(talk, wechat(2), f"r_{await code_of(talk, wechat(1))}")
            referee, referrer = number(talk, **wechat(2)), number(talk, **wechat(1))
            source = ledger.person(referrer, "points")

            def reserve(key: str) -> None:
                hold = holds.Hold(key, "points", source, "spent/points", 2, "c", 1, "referral")
                with talk.store.begin() as connection:
                    holds.reserve(connection, hold, talk.now)

            reserve(f"referral/{referee}/reward")
            reserve(f"referral/{referee}9/reward")  # somebody else's, whose number begins alike
            assert act(talk, "reject", referee, "the same household")
            assert not act(talk, "reject", referee)
            assert rows(talk, "SELECT key, state FROM hold ORDER BY id") == [
                (f"referral/{referee}/reward", "voided"),
                (f"referral/{referee}9/reward", "open"),
            ]
            assert [state for _, state in pairs(talk.store).values()] == ["rejected"]
            data = f'{{"referrer":{referrer},"from":"pending","to":"rejected"}}'
            assert rows(talk, "SELECT actor, data FROM event WHERE kind = 'referral'") == [("operator", data)]
            with talk.store.read() as connection:
                assert [(r.kind, r.why) for r in standing.records(connection, referee, 9)] == [
                    ("rejected", "the same household")
                ]
            with pytest.raises(ActRefused, match="nobody referred"):
                act(talk, "reject", number(talk, **wechat(5)))
            proved(talk)

    run(journey())


@pytest.mark.parametrize("state", [*referrals.STEPS])
def test_a_referral_is_rejected_from_every_state_before_its_reward(state: str, database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await follow(talk, wechat(1))
            await follow(talk, wechat(2), f"r_{await code_of(talk, wechat(1))}")
            referee = number(talk, **wechat(2))
            with talk.store.begin() as connection:
                connection.execute(text("UPDATE referral SET state = :s"), {"s": state})
            if state in acts.REJECTABLE:
                assert act(talk, "reject", referee)
                assert rows(talk, "SELECT state FROM referral") == [("rejected",)]
            elif state == "rejected":
                assert not act(talk, "reject", referee)
            else:
                with pytest.raises(ActRefused, match="its reward was given"):
                    act(talk, "reject", referee)
                assert rows(talk, "SELECT state FROM referral") == [(state,)]

    run(journey())


def test_standing_costs_a_message_no_statement(database_url: str) -> None:
    """The two columns come with the row that is read anyway: a tester's message asks as often as anybody's."""

    async def journey() -> None:
        async with talking(database_url) as talk:
            people_ = {"anybody": wechat(1), "test": wechat(2), "block": wechat(3)}
            for one in people_.values():
                await talk.say("签到", **one)
                await talk.say("签到", **one)
            for name in ("test", "block"):
                act(talk, name, number(talk, **people_[name]))
            await talk.say("签到", **people_["test"])
            await talk.say("签到", **people_["block"])
            talk.days(1)
            asked: Counter[str] = Counter()
            doing = [""]

            def count(*_: Any) -> None:
                asked[doing[0]] += 1

            event.listen(talk.store.engine, "before_cursor_execute", count)
            for name, one in people_.items():
                doing[0] = name
                answer = await talk.say("签到", **one)
                assert (ZH in answer) == (name == "block") and ("【测试】" in answer) == (name == "test")
            event.remove(talk.store.engine, "before_cursor_execute", count)
            assert asked["anybody"] == asked["test"] and asked["block"] <= asked["anybody"], asked

    run(journey())


def test_hearing_of_a_timer_whose_test_is_over_does_nothing(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await talk.say("签到")
            me = number(talk)
            data = {"kind": "referral_pending", "timer": 1, "referee": 2, "test": 12345}
            late = Incoming("", "", str(me), "timer:test/12345/x", "timer", talk.now, data=data)
            assert (await talk.writer.hear(late)).messages == ()
            assert rows(talk, "SELECT kind FROM event WHERE kind = 'withheld'") == [("withheld",)]

    run(journey())


def test_what_blocked_people_may_still_do_is_there_to_do() -> None:
    from campaigns import words

    assert set(words().values()) >= blocking.STILL
