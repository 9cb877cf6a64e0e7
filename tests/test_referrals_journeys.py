"""Bringing friends, told further: slips of the pen, masked names, guests, joined and erased people, lawful states."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from campaigns.desk import ActRefused, Desk
from campaigns.standing import reject
from content.bundle import Bundle
from content.library import Library
from storage import people, referrals, retention
from storage.store import DatabaseFault, Store
from tests.talking import NOON, SHIPPED, Talk, prepared, run, talking
from tests.test_referrals import _joining_code, code_of, follow, guest, pairs, said_to, telegram, tick, wechat


def number_of(talk: Talk, person: dict[str, str]) -> int:
    with talk.store.read() as connection:
        found = people.find(connection, talk.vault, person["channel"], "main", person["who"])
    assert found
    return found


async def join(talk: Talk, one: dict[str, str], other: dict[str, str]) -> str:
    """Both become one person; whoever came first stays."""
    return await talk.say(await _joining_code(talk, one), **other)


# ---- what is typed


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("推荐码 7KM2QXH0", "7KM2QXH0"),
        ("推荐码：7KM2QXH", "7KM2QXH"),
        ("r_7KM2QX1A", "7KM2QX1A"),
        ("https://x.example/r/7km2qx1a", "7KM2QX1A"),
        ("t.me/family_bot?start=r_7KM2QXHA9", "7KM2QXHA9"),
        ("7KM2QXH0", "7KM2QXH0"),
        ("7km2qxh", "7KM2QXH"),
        ("22222223A", "22222223A"),
        ("7KM2QXHA", "7KM2QXHA"),
        ("code 7KM2 QXHA", "7KM2QXHA"),
    ],
)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_code_with_a_slip_is_kindly_refused(database_url: str, typed: str, shown: str, language: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            said = await talk.say(typed, language=language)
            assert shown in said
            assert ("请核对 8 位字母和数字" if language == "zh" else "Please check its 8 letters and digits") in said
            assert pairs(talk.store) == {}

    if language == "en" and not database_url.startswith("sqlite"):
        return  # the sentence is the language's, the judging the database's: one of each is enough
    run(journey())


@pytest.mark.parametrize("typed", ["what else", "WHATELSE", "22222222", "code red please", "推荐码怎么用", "签到"])
def test_other_words_are_not_taken_for_a_code(database_url: str, typed: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            assert "请核对" not in await talk.say(typed)

    run(journey())


def test_a_message_without_a_code_asks_nothing(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: Any) -> Any:
        raise AssertionError("a statement for a message without a code")

    async def journey() -> None:
        async with talking(database_url) as talk:
            for name in ("owners", "brought", "lock", "friends"):
                monkeypatch.setattr(referrals, name, asked)
            for words in ("签到", "我的手机号是13800001111", "怎么推荐好友？", "how do I join the network"):
                assert "抱歉，刚才没有办成" not in await talk.say(words)
            assert "小助手" in await talk.say(kind="follow", data={"scene": "p_shop"}, **wechat(2))

    run(journey())


# ---- what both are told


def test_friends_see_of_each_other_the_first_letter_at_most(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await follow(talk, wechat(1))
            await talk.say("海报名字", **wechat(1))
            await talk.say("欧阳小红", **wechat(1))
            code = await code_of(talk, wechat(1))
            assert "您是朋友“欧**”介绍来的" in await follow(talk, wechat(2), f"r_{code}")
            said = await talk.say(kind="follow", data={"scene": f"r_{code}"}, language="en", **telegram(3))
            assert "Your friend “欧**” sent you here" in said
            for words in ("poster name", "Lily"):
                await talk.say(words, **telegram(3))
            listed = await talk.say("邀请", **wechat(1))
            assert "1. 朋友“L**” · 2026-11-22 来 · 等待开通\n2. 朋友 · 2026-11-22 来 · 等待开通" in listed
            with talk.store.read() as connection:
                kept = connection.execute(text("SELECT data FROM event UNION ALL SELECT data FROM timer"))
                assert not [row.data for row in kept if "欧" in row.data or "Lily" in row.data]

    run(journey())


def test_a_typed_code_is_judged_and_told_once_however_often_it_is_delivered(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await follow(talk, wechat(1))
            code = await code_of(talk, wechat(1))
            await follow(talk, wechat(2))
            answers = [await talk.hear(code, key="typed", **wechat(2)) for _ in range(3)]
            assert answers[0].messages == answers[2].messages
            assert answers[2].repeated
            for _ in range(2):
                await tick(talk)
            assert said_to(talk, wechat(1)).count("有一位朋友") == 1
            assert said_to(talk, wechat(2)).count("朋友介绍来的") == 1
            with talk.store.read() as connection:
                found = connection.execute(text("SELECT COUNT(*) FROM event WHERE kind = 'referred'")).scalar()
            assert found == 1

    run(journey())


def test_who_follows_already_learns_how_the_code_still_counts(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await follow(talk, wechat(1))
            code = await code_of(talk, wechat(1))
            await follow(talk, wechat(2))
            await follow(talk, wechat(3))
            said = await follow(talk, wechat(2), f"r_{code}", kind="scan")
            assert "活动小助手" not in said
            assert f"把推荐码 {code} 发给我们" in said
            assert pairs(talk.store) == {}
            assert "朋友介绍来的" in await talk.say(code, **wechat(2))
            talk.days(7.1)
            assert "老朋友" in await follow(talk, wechat(3), f"r_{code}", kind="scan")
            assert len(pairs(talk.store)) == 1

    run(journey())


def test_a_telegram_link_and_a_broken_one(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await follow(talk, wechat(1))
            code = await code_of(talk, wechat(1))
            assert "没有找到推荐码 7KM2" in await follow(talk, telegram(2), "r_7KM2")
            assert "把推荐码" in await follow(talk, telegram(2), f"r_{code}")
            assert "朋友介绍来的" in await follow(talk, telegram(3), f"r_{code.lower()}")
            assert [referrer for referrer, _ in pairs(talk.store).values()] == [number_of(talk, wechat(1))]

    run(journey())


# ---- guests


def test_a_web_link_continued_on_telegram_is_one_referral(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await follow(talk, wechat(1))
            code = await code_of(talk, wechat(1))
            talk.now += timedelta(minutes=1)
            await follow(talk, guest(2), f"r_{code}")
            assert "朋友介绍来的" in await follow(talk, telegram(2), f"r_{code}")
            await join(talk, guest(2), telegram(2))
            for _ in range(3):
                await tick(talk)
            me, friend = number_of(talk, telegram(2)), number_of(talk, wechat(1))
            assert pairs(talk.store) == {me: (friend, "pending")}
            assert said_to(talk, wechat(1)).count("有一位朋友") == 1

    run(journey())


def test_a_guests_own_code_brings_nobody_until_the_guest_is_known(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await follow(talk, guest(1))
            code = await code_of(talk, guest(1))
            assert "还没有绑定" in await follow(talk, wechat(2), f"r_{code}")
            assert pairs(talk.store) == {}
            talk.now += timedelta(minutes=1)
            await follow(talk, telegram(1))
            await join(talk, guest(1), telegram(1))
            assert "朋友介绍来的" in await talk.say(code, **wechat(2))
            assert pairs(talk.store) == {number_of(talk, wechat(2)): (number_of(talk, telegram(1)), "pending")}

    run(journey())


def test_a_guest_who_opened_the_page_before_may_come_by_a_link_within_the_days(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await follow(talk, wechat(1))
            scene = f"r_{await code_of(talk, wechat(1))}"
            await follow(talk, guest(2))
            await follow(talk, guest(3))
            talk.days(6)
            assert "先替您记着" in await follow(talk, guest(2), scene, kind="scan")
            talk.days(2)
            assert "老朋友" in await follow(talk, guest(3), scene, kind="scan")

    run(journey())


# ---- joined and erased people


@pytest.mark.parametrize(("days", "state"), [(6, "pending"), (8, "rejected")])
def test_who_was_known_on_another_channel_is_no_newcomer_once_joined(database_url: str, days: int, state: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await follow(talk, wechat(1))
            await follow(talk, wechat(2))
            talk.days(days)
            assert "朋友介绍来的" in await follow(talk, telegram(2), f"r_{await code_of(talk, wechat(1))}")
            talk.days(1)
            await join(talk, wechat(2), telegram(2))
            assert [found for _, found in pairs(talk.store).values()] == [state]
            with talk.store.read() as connection:
                referrer = people.show(connection, number_of(talk, telegram(2)))["referrer"]
            assert referrer == (number_of(talk, wechat(1)) if state == "pending" else None)
            assert ("未计入 1" in await talk.say("邀请", **wechat(1))) == (state == "rejected")

    run(journey())


def test_codes_of_joined_people_lead_to_who_they_became_and_show_says_so(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await follow(talk, wechat(1))
            talk.now += timedelta(minutes=1)
            await follow(talk, telegram(1))
            code = await code_of(talk, telegram(1))
            before = number_of(talk, telegram(1))
            await join(talk, wechat(1), telegram(1))
            one = number_of(talk, wechat(1))
            assert before != one
            assert "您自己的推荐码" in await talk.say(code, **wechat(1))
            await follow(talk, wechat(2), f"r_{code}")
            two = number_of(talk, wechat(2))
            assert pairs(talk.store) == {two: (one, "pending")}
            await tick(talk)
            told = said_to(talk, wechat(1)) + said_to(talk, telegram(1))
            assert told.count("有一位朋友") == 1
            with talk.store.read() as connection:
                assert people.show(connection, before)["referrals"] == [{"subscriber": two, "state": "pending"}]
                assert people.show(connection, two)["referrer"] == one

    run(journey())


def test_nobody_stands_behind_the_code_of_somebody_erased(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await follow(talk, wechat(1))
            code = await code_of(talk, wechat(1))
            await talk.hear(kind="unfollow", **wechat(1))
            talk.days(talk.library().plan.privacy.parked_days + 1)
            with talk.store.begin() as connection:
                while retention.step(connection, talk.now, 30):
                    pass
            talk.now = NOON
            assert "没有找到推荐码" in await follow(talk, wechat(2), f"r_{code}")
            assert pairs(talk.store) == {}

    run(journey())


def test_outside_the_window_and_without_the_clause_nothing_is_referred(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await follow(talk, wechat(1))
            code = await code_of(talk, wechat(1))
            talk.days(400)
            assert "不在推荐期内" in await follow(talk, wechat(2), f"r_{code}")
            talk.now = NOON
            files = dict(Bundle.read(SHIPPED).files)
            files["plan.toml"] = files["plan.toml"].replace(b'typed_within = "7d"', b'typed_within = "unset"')
            bundle = Bundle.of(files)
            library = Library(bundle, talk.writer.library.revision, _words())
            assert not library.plan.on("referral")
            talk.writer.decider.library = library
            assert "介绍" not in await follow(talk, wechat(3), f"r_{code}")
            assert "还没有开放" in await talk.say("邀请", **wechat(1))
            assert pairs(talk.store) == {}

    run(journey())


def _words() -> Any:
    from campaigns import words

    return words()


# ---- states


def test_a_referral_takes_lawful_steps_only_each_with_its_event(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await follow(talk, wechat(1))
            scene = f"r_{await code_of(talk, wechat(1))}"
            for number, start in enumerate(referrals.STEPS, 2):
                await follow(talk, wechat(number), scene)
                referee = number_of(talk, wechat(number))
                for to in referrals.STEPS:
                    with talk.store.begin() as connection:
                        connection.execute(text(f"UPDATE referral SET state = '{start}' WHERE referee = {referee}"))
                    lawful = to in referrals.STEPS[start]
                    with talk.store.begin() as connection:
                        try:
                            moved = referrals.move(connection, referee, to, "system", 1, talk.now)
                        except referrals.Unlawful as wrong:
                            assert not lawful
                            assert (wrong.state, wrong.to) == (start, to)
                        else:
                            assert moved == lawful
                            assert lawful or to == start
                        assert referrals.state_of(connection, referee) == (to if lawful else start)
            with talk.store.read() as connection:
                rows = connection.execute(text("SELECT data FROM event WHERE kind = 'referral'")).all()
            assert len(rows) == sum(map(len, referrals.STEPS.values()))

    run(journey())


def test_staff_reject_a_referral_once_and_the_person_is_not_free_for_another(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await follow(talk, wechat(1))
            await follow(talk, wechat(2), f"r_{await code_of(talk, wechat(1))}")
            referee = number_of(talk, wechat(2))

            def act(who: int, *rights: str) -> bool:
                with talk.store.begin() as connection:
                    return reject(Desk(connection, "staff:3", frozenset(rights), talk.now, "a copy"), who)

            with pytest.raises(ActRefused):
                act(referee)
            with pytest.raises(ActRefused):
                act(number_of(talk, wechat(1)), "referrals.reject")
            assert act(referee, "referrals.reject")
            assert not act(referee, "referrals.reject")
            assert [state for _, state in pairs(talk.store).values()] == ["rejected"]
            await follow(talk, wechat(3))
            assert "已经有一位朋友推荐过您" in await talk.say(await code_of(talk, wechat(3)), **wechat(2))
            assert "未计入 1" in await talk.say("邀请", **wechat(1))

    run(journey())


# ---- at once


def test_a_joining_and_a_code_wait_for_each_other(empty_postgres_url: str) -> None:
    """One brought Telegram's Two and types WeChat's Two's code, while the Twos become one: whoever is later sees it."""

    async def journey() -> None:
        store = prepared(empty_postgres_url)
        nodes = [Talk(store, "a"), Talk(Store(empty_postgres_url), "b")]
        try:
            for round_ in range(6):
                one, two, same = wechat(10 * round_ + 1), wechat(10 * round_ + 2), telegram(10 * round_ + 2)
                await follow(nodes[0], one)
                await follow(nodes[0], two)
                await follow(nodes[1], same, f"r_{await code_of(nodes[0], one)}")
                code, joining = await code_of(nodes[0], two), await _joining_code(nodes[0], two)
                await asyncio.gather(nodes[0].say(joining, **same), nodes[1].say(code, **one))
                no_ring(store)
            with store.begin() as held:
                referrals.lock(held)
                with pytest.raises(DatabaseFault), store.begin() as other:
                    referrals.lock(other)
        finally:
            for node in nodes:
                await node.writer.close()
                node.store.close()

    run(journey())


def test_a_newcomer_by_two_codes_at_once_has_one_referrer(empty_postgres_url: str) -> None:
    async def journey() -> None:
        store = prepared(empty_postgres_url)
        nodes = [Talk(store, "a"), Talk(Store(empty_postgres_url), "b")]
        try:
            scenes = []
            for number in (1, 2):
                await follow(nodes[0], wechat(number))
                scenes.append(f"r_{await code_of(nodes[0], wechat(number))}")
            for number in range(3, 11):
                said = await asyncio.gather(
                    *(follow(n, telegram(number), scene) for n, scene in zip(nodes, scenes, strict=True))
                )
                assert sorted("朋友介绍来的" in answer for answer in said) == [False, True]
                assert len(pairs(store)) == number - 2
            await tick(nodes[0])
            told = sum(said_to(nodes[0], wechat(n)).count("有一位朋友") for n in (1, 2))
            assert told == 8
        finally:
            for node in nodes:
                await node.writer.close()
                node.store.close()

    run(journey())


def no_ring(store: Store) -> None:
    """Nobody stands above themselves by referrals that count."""
    above = {referee: referrer for referee, (referrer, state) in pairs(store).items() if state != "rejected"}
    for start in above:
        seen, here = {start}, above[start]
        while here in above:
            assert here not in seen
            seen.add(here)
            here = above[here]
        assert here not in seen


ACTS = st.lists(st.tuples(st.sampled_from(["code", "both", "join"]), st.integers(1, 6), st.integers(1, 6)), max_size=14)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(ACTS)
def test_whoever_joins_whomever_there_is_no_ring(tmp_path_factory: pytest.TempPathFactory, acts: list[Any]) -> None:
    """Six people on two channels type each other's codes or come by them, some at once, and some become one."""

    def person(number: int) -> dict[str, str]:
        return wechat(number) if number % 2 else telegram(number)

    async def journey() -> None:
        async with talking(f"sqlite:///{tmp_path_factory.mktemp('ring') / 'k.db'}") as talk:
            codes: dict[int, str] = {}
            for act, who, whose in acts:
                talk.now += timedelta(minutes=20)
                for number in {who, whose} - codes.keys():
                    other = codes.get(who + whose - number, "")
                    await follow(talk, person(number), f"r_{other}" if other and act == "code" else "")
                    codes[number] = await code_of(talk, person(number))
                if act == "join":
                    await join(talk, person(who), person(whose))
                else:
                    back = [talk.say(codes[who], **person(whose))] if act == "both" else []
                    await asyncio.gather(talk.say(codes[whose], **person(who)), *back)
                await tick(talk)
                no_ring(talk.store)

    run(journey())
