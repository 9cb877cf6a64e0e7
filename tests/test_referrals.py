"""Bringing friends, told as journeys on both databases: who is whose guest, once, never one's own, never in a ring.

The channels are here only their names: what each platform says of a scanned code is the contract suite's.
"""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from bot.schedule import Schedule
from storage import referrals
from storage.store import Store
from tests.sealing import PatientSealer as Sealer
from tests.talking import Talk, prepared, run, talking

_MINUTE = timedelta(minutes=1)


def wechat(number: int) -> dict[str, str]:
    return {"who": f"oFriend{number:020d}", "channel": "wechat"}


def telegram(number: int) -> dict[str, str]:
    return {"who": str(7_000_000_000 + number), "channel": "telegram"}


def guest(number: int) -> dict[str, str]:
    return {"who": f"g{number:031d}", "channel": "web"}


async def code_of(talk: Talk, person: dict[str, str]) -> str:
    """The code of somebody who has come before."""
    digest = talk.vault.digest(person["channel"], "main", person["who"])
    sql = "SELECT s.code FROM subscriber s JOIN identity i ON i.subscriber = s.id WHERE i.digest = :d"
    with talk.store.read() as connection:
        return str(connection.execute(text(sql), {"d": digest}).scalar_one())


async def follow(talk: Talk, person: dict[str, str], scene: str = "", kind: str = "follow") -> str:
    return await talk.say(kind=kind, data={"scene": scene} if scene else {}, **person)


def pairs(store: Store) -> dict[int, tuple[int, str]]:
    """Every referral: referee → (referrer, state); the people's own column, its aliases followed, must say the same."""
    with store.read() as connection:
        found = {r.referee: (r.referrer, r.state) for r in connection.execute(text("SELECT * FROM referral"))}
        people = connection.execute(
            text(
                "SELECT s.id, COALESCE(r.alias_of, r.id) AS referrer "
                "FROM subscriber s JOIN subscriber r ON r.id = s.referrer"
            )
        ).all()
    assert {row.id: row.referrer for row in people} == {
        referee: referrer for referee, (referrer, state) in found.items() if state != "rejected"
    }
    return found


async def tick(talk: Talk) -> None:
    """Fire what is due, as the service does each second."""
    await Schedule(talk.writer, Sealer(talk.store, talk.vault), "test", lambda: talk.now).timers()


def said_to(talk: Talk, person: dict[str, str]) -> str:
    """Everything that was ever said to somebody."""
    digest = talk.vault.digest(person["channel"], "main", person["who"])
    sql = "SELECT t.said FROM text t JOIN identity i ON i.id = t.identity WHERE i.digest = :d ORDER BY t.id"
    with talk.store.read() as connection:
        return "\n".join(row.said or "" for row in connection.execute(text(sql), {"d": digest}))


@pytest.mark.parametrize("newcomer", [wechat(2), telegram(2)], ids=["wechat", "telegram"])
def test_a_stranger_by_a_friends_code_is_that_friends_guest(database_url: str, newcomer: dict[str, str]) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            friend = wechat(1)
            await follow(talk, friend)
            scene = f"r_{await code_of(talk, friend)}"
            assert "朋友介绍来的" in await follow(talk, newcomer, scene)
            [(_, state)] = pairs(talk.store).values()
            assert state == "pending"
            await tick(talk)
            await tick(talk)
            assert said_to(talk, friend).count("有一位朋友通过您的推荐码来了") == 1
            listed = await talk.say("邀请", **friend)
            assert "共 1 位" in listed and "2026-11-22 来 · 等待开通" in listed

    run(journey())


def test_what_is_repeated_counts_once(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await follow(talk, wechat(1))
            data = {"scene": f"r_{await code_of(talk, wechat(1))}"}
            answers = [await talk.hear(kind="follow", data=data, key="k", **wechat(2)) for _ in range(3)]
            assert len({answer.subscriber for answer in answers}) == 1
            for _ in range(3):
                await tick(talk)
            assert len(pairs(talk.store)) == 1
            assert said_to(talk, wechat(1)).count("有一位朋友") == 1

    run(journey())


def test_who_is_no_newcomer_is_told_why(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            one, two, three = wechat(1), wechat(2), wechat(3)
            for person in (one, two, three):
                await follow(talk, person)
            first = await code_of(talk, one)
            assert "您自己的推荐码" in await follow(talk, one, f"r_{first}", kind="scan")
            assert "只对新朋友有效" in await follow(talk, two, f"r_{first}", kind="scan")
            await talk.hear(kind="unfollow", **three)
            assert "只对新朋友有效" in await follow(talk, three, f"r_{first}")
            assert pairs(talk.store) == {}
            assert "没有找到推荐码" in await follow(talk, wechat(4), "r_22222222")
            assert pairs(talk.store) == {}
            assert "朋友介绍来的" in await follow(talk, wechat(5), f"r_{first}")
            assert "已经有一位朋友推荐过您" in await talk.say(await code_of(talk, two), **wechat(5))
            assert len(pairs(talk.store)) == 1

    run(journey())


@pytest.mark.parametrize(
    "shape", ["{}", "  {} ", "r_{}", "推荐码：{}", "https://x.example/r/{}", "https://t.me/b?start=r_{}"]
)
@pytest.mark.parametrize(
    "change", [str.upper, str.lower, lambda code: " ".join(code), lambda code: code[:4] + "-" + code[4:]]
)
def test_a_code_is_read_however_it_is_typed(shape: str, change: Any) -> None:
    assert referrals.spelled(shape.format(change("7KM2QXHA"))) == "7KM2QXHA"


@pytest.mark.parametrize(
    "words", ["签到", "1", "怎么推荐好友？", "7KM2QX", "7KM2QXHAB", "7KM2QXH0", "hello world and all"]
)
def test_other_words_are_no_code(words: str) -> None:
    assert referrals.spelled(words) == ""


def test_a_newcomer_may_type_the_code_within_a_week(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await follow(talk, wechat(1))
            code = await code_of(talk, wechat(1))
            for person, days, found in ((wechat(2), 6.9, "朋友介绍来的"), (telegram(3), 7.1, "只对新朋友有效")):
                await follow(talk, person)
                talk.days(days)
                assert found in await talk.say(code.lower(), **person)
            assert len(pairs(talk.store)) == 1
            wrong = "2" + code[1:] if code[0] != "2" else "3" + code[1:]
            assert "请核对" in await talk.say(f"推荐码 {wrong}", **wechat(4))
            assert "没有找到" not in await talk.say("REFERRAL", **wechat(4))

    run(journey())


def test_a_ring_of_three_does_not_close(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await follow(talk, wechat(1))
            await follow(talk, wechat(2), f"r_{await code_of(talk, wechat(1))}")
            await follow(talk, telegram(3), f"r_{await code_of(talk, wechat(2))}")
            assert "不能再反过来" in await talk.say(await code_of(talk, telegram(3)), **wechat(1))
            assert len(pairs(talk.store)) == 2

    run(journey())


def test_two_who_type_each_others_code_at_once_make_no_ring(database_url: str) -> None:
    """In one group here; on two nodes below."""

    async def journey() -> None:
        async with talking(database_url) as talk:
            one, two = wechat(1), wechat(2)
            await follow(talk, one)
            await follow(talk, two)
            first, second = await code_of(talk, one), await code_of(talk, two)
            said = await asyncio.gather(talk.say(second, **one), talk.say(first, **two))
            assert sorted("不能再反过来" in answer for answer in said) == [False, True]
            assert len(pairs(talk.store)) == 1

    run(journey())


def test_two_nodes_make_no_ring_and_no_second_referrer(empty_postgres_url: str) -> None:
    async def journey() -> None:
        store = prepared(empty_postgres_url)
        nodes = [Talk(store, "a"), Talk(Store(empty_postgres_url), "b")]
        try:
            for round_ in range(6):
                one, two, new = (wechat(10 * round_ + n) for n in (1, 2, 3))
                await follow(nodes[0], one)
                await follow(nodes[1], two)
                first, second = await code_of(nodes[0], one), await code_of(nodes[0], two)
                before = len(pairs(store))
                await asyncio.gather(nodes[0].say(second, **one), nodes[1].say(first, **two))
                assert len(pairs(store)) == before + 1
                await follow(nodes[0], new)
                await asyncio.gather(nodes[0].say(first, **new), nodes[1].say(second, **new))
                assert len(pairs(store)) == before + 2
        finally:
            for node in nodes:
                await node.writer.close()
                node.store.close()

    run(journey())


def test_a_guests_touch_counts_when_the_guest_is_known(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await follow(talk, wechat(1))
            code = await code_of(talk, wechat(1))
            assert "先替您记着" in await follow(talk, guest(2), f"r_{code}")
            assert pairs(talk.store) == {}
            assert "绑定" in await talk.say("邀请", **guest(2))
            joining = await _joining_code(talk, guest(2))
            talk.now += _MINUTE
            await follow(talk, telegram(3))
            await talk.say(joining, **telegram(3))
            await tick(talk)
            assert [state for _, state in pairs(talk.store).values()] == ["pending"]
            await tick(talk)
            assert said_to(talk, wechat(1)).count("有一位朋友") == 1

    run(journey())


def test_a_known_person_gains_no_referrer_by_their_own_browser(database_url: str) -> None:
    """The link opened by somebody who is a follower already is no newcomer's, whatever they join."""

    async def journey() -> None:
        async with talking(database_url) as talk:
            await follow(talk, wechat(1))
            await follow(talk, wechat(2))
            talk.now += _MINUTE
            await follow(talk, guest(3), f"r_{await code_of(talk, wechat(1))}")
            await talk.say(await _joining_code(talk, guest(3)), **wechat(2))
            await tick(talk)
            assert pairs(talk.store) == {}

    run(journey())


def test_friends_are_listed_by_the_page(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await follow(talk, wechat(1))
            assert "还没有推荐来朋友" in await talk.say("邀请", **wechat(1))
            scene = f"r_{await code_of(talk, wechat(1))}"
            for number in range(2, 14):
                await follow(talk, wechat(number), scene)
            first = await talk.say("invites", **wechat(1))
            assert "共 12 位" in first and "\n10. 朋友" in first and "\n11. 朋友" not in first
            second = await talk.say("更多邀请", **wechat(1))
            assert "\n11. 朋友" in second and "\n12. 朋友" in second and "更多" not in second
            assert "oFriend" not in first + second

    run(journey())


def test_touches_are_events_without_personal_data(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await follow(talk, wechat(1))
            code = await code_of(talk, wechat(1))
            await follow(talk, wechat(2), f"r_{code}")
            spot = talk.library().plan.offline.spots[0].id
            await follow(talk, wechat(3), f"p_{spot}", kind="scan")
            await talk.say(code, **wechat(3))
            await follow(talk, guest(4), "p_zhang-san-13800001111")
            await follow(talk, guest(5), "zhang_san_13800001111")
            with talk.store.begin() as connection:
                connection.exec_driver_sql(
                    "INSERT INTO memory (subscriber, name, data) SELECT subscriber, 'handover', "
                    f"'{{\"state\":\"held\"}}' FROM identity WHERE address = '{wechat(2)['who']}'"
                )
            assert await follow(talk, wechat(2), f"r_{code}", kind="scan") == ""
            with talk.store.read() as connection:
                rows = (
                    connection.execute(text("SELECT data FROM event WHERE kind = 'touched' ORDER BY id"))
                    .scalars()
                    .all()
                )
                owner = connection.execute(text("SELECT id FROM subscriber WHERE code = :c"), {"c": code}).scalar()
            assert [json.loads(row) for row in rows] == [
                {"by": "follow", "channel": "wechat", "referrer": owner},
                {"by": "scan", "channel": "wechat", "placement": spot},
                {"by": "typed", "channel": "wechat", "referrer": owner},
                {"by": "follow", "channel": "web", "placement": "unknown"},
                {"by": "follow", "channel": "web", "code": "unknown"},
                {"by": "scan", "channel": "wechat", "referrer": owner},
            ]

    run(journey())


ACTS = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6), st.booleans()), max_size=14)


@settings(max_examples=15, deadline=None)
@given(ACTS)
def test_whatever_people_do_there_is_no_ring(tmp_path_factory: pytest.TempPathFactory, acts: list[Any]) -> None:
    """Six people type each other's codes or come by them, in any order, also at once."""

    async def journey() -> None:
        async with talking(f"sqlite:///{tmp_path_factory.mktemp('ring') / 'k.db'}") as talk:
            codes: dict[int, str] = {}
            for who, whose, together in acts:
                if who not in codes:
                    await follow(talk, wechat(who), f"r_{codes[whose]}" if whose in codes else "")
                    codes[who] = await code_of(talk, wechat(who))
                elif whose in codes:
                    back = [talk.say(codes[who], **wechat(whose))] if together else []
                    await asyncio.gather(talk.say(codes[whose], **wechat(who)), *back)
            above = {referee: referrer for referee, (referrer, _) in pairs(talk.store).items()}
            for start in above:
                seen, here = {start}, above[start]
                while here in above:
                    assert here not in seen
                    seen.add(here)
                    here = above[here]
                assert here not in seen

    run(journey())


async def _joining_code(talk: Talk, person: dict[str, str]) -> str:
    """Ask for a joining code, and read it out of the answer."""
    found = re.search(r"(?<![A-Z0-9])[2-9A-HJ-NP-Z]{6}(?![A-Z0-9])", await talk.say("绑定", **person))
    assert found
    return found[0]
