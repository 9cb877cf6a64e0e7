"""One person, two channels: stories of joining as tables, and what stands afterwards of all that two people had."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text

from bot.schedule import Schedule
from campaigns import checkin, consent
from campaigns.joining import VALID, WRONG_MAX, new_code
from storage import holds, joining, ledger, people, profiles, retention
from storage.group import CODE_LETTERS
from storage.ledger_check import check
from storage.tables import micros
from tests.sealing import PatientSealer as Sealer
from tests.talking import Talk, run, talking

WEB, WECHAT, TELEGRAM = ("web", "g1"), ("wechat", "w1"), ("telegram", "77")
CODE = re.compile(r"(?:绑定码：|code: )([0-9A-Z]{6})")
Step = tuple[tuple[str, str] | timedelta, str, tuple[str, ...]]

# Who says what and what must stand in the answer (a word after `!` must not); ‹code› is the newest code given out.
JOURNEYS: dict[str, list[Step]] = {
    "a guest and then WeChat": [
        (WEB, "签到", ("共暂存 5 积分", "发送“绑定”", "3. 绑定其他渠道")),
        (WEB, "3", ("您的绑定码：", "10 分钟内有效", "不能再分开")),
        (WECHAT, "‹code›", ("绑定成功", "共有 5 积分", "!扣回")),
        (WECHAT, "积分", ("您现在有 5 积分",)),
        (WEB, "积分", ("您现在有 5 积分", "!暂存")),
        (WEB, "签到", ("今天已经签到过了",)),
        (WECHAT, "签到", ("今天已经签到过了",)),
        (WECHAT, "‹code›", ("已经绑定，是同一个人",)),
        (WEB, "‹code›", ("已经绑定，是同一个人",)),
    ],
    "WeChat and then a guest, in English": [
        (WECHAT, "English", ("English it is",)),
        (WECHAT, "checkin", ("You have 5 points",)),
        (WECHAT, "connect", ("Your code: ", "within 10 minutes")),
        (WEB, "connect ‹code›", ("Connected: both channels", "you have 5 points")),
        (WEB, "points", ("You have 5 points",)),
    ],
    "WeChat and Telegram, both checked in on one day": [
        (WECHAT, "签到", ("现有 5 积分",)),
        (TELEGRAM, "签到", ("现有 5 积分",)),
        (TELEGRAM, "连接", ("您的绑定码：",)),
        (WECHAT, "‹code›", ("共有 5 积分", "重复得到的 5 积分已经扣回")),
        (TELEGRAM, "积分明细", ("-5  两个渠道重复领取，已扣回", "+5  每日签到", "!活动积分")),
        (timedelta(days=1), "", ()),
        (TELEGRAM, "签到", ("连续 2 天", "现有 10 积分")),
        (WECHAT, "签到", ("今天已经签到过了",)),
    ],
    "a code is typed as people type": [
        (WECHAT, "绑定", ("您的绑定码：",)),
        (TELEGRAM, "‹wide›", ("绑定成功",)),
    ],
    "one's own code, an old one, one replaced, one used": [
        (WECHAT, "绑定", ("您的绑定码：",)),
        (WECHAT, "‹code›", ("自己的绑定码", "10 分钟")),
        (timedelta(minutes=10), "", ()),
        (TELEGRAM, "‹code›", ("已经过期", "发送“绑定”")),
        (WECHAT, "绑定", ("您的绑定码：",)),
        (WECHAT, "绑定", ("您的绑定码：",)),
        (TELEGRAM, "‹before›", ("没有这个绑定码",)),
        (TELEGRAM, "‹code›", ("绑定成功",)),
        (("telegram", "88"), "‹code›", ("已经用过了", "取一个新码")),
    ],
    "two guests": [
        (WEB, "绑定", ("您的绑定码：",)),
        (("web", "g2"), "‹code›", ("两边都是网页访客", "关注我们的公众号")),
        (WECHAT, "‹code›", ("绑定成功",)),
    ],
    "two on one account, and a second browser": [
        (WECHAT, "绑定", ("您的绑定码：",)),
        (("wechat", "w2"), "‹code›", ("同一个账号", "人工客服")),
        (WEB, "‹code›", ("绑定成功",)),
        (("web", "g2"), "签到", ("共暂存 5 积分",)),
        (("web", "g2"), "绑定", ("您的绑定码：",)),
        (WECHAT, "‹code›", ("绑定成功", "共有 5 积分")),
        (("web", "g2"), "积分", ("您现在有 5 积分",)),
    ],
    "a third joins, who checked in when the second did": [
        (WECHAT, "帮助", ("签到",)),
        (TELEGRAM, "签到", ("现有 5 积分",)),
        (WECHAT, "绑定", ("您的绑定码：",)),
        (TELEGRAM, "‹code›", ("共有 5 积分", "!扣回")),
        (WEB, "签到", ("共暂存 5 积分",)),
        (WEB, "绑定", ("您的绑定码：",)),
        (TELEGRAM, "‹code›", ("共有 5 积分", "重复得到的 5 积分已经扣回")),
        (WEB, "积分", ("您现在有 5 积分",)),
        (WECHAT, "积分", ("您现在有 5 积分",)),
    ],
    "who left on one side has left": [
        (WECHAT, "恢复接收", ("有活动会告诉您",)),
        (TELEGRAM, "退订", ("活动消息已经停止",)),
        (WECHAT, "绑定", ("您的绑定码：",)),
        (TELEGRAM, "‹code›", ("绑定成功",)),
        (WECHAT, "/start", ("您之前停止了活动消息",)),
    ],
    "a guest who was never asked has refused nothing": [
        (WECHAT, "恢复接收", ("有活动会告诉您",)),
        (WEB, "绑定", ("您的绑定码：",)),
        (WECHAT, "‹code›", ("绑定成功",)),
        (WECHAT, "我的资料", ("接收活动消息：是", "渠道：web, wechat")),
    ],
    "words are no codes": [
        (WECHAT, "thanks", ("!绑定码",)),
        (WECHAT, "234567", ("!绑定码",)),
    ],
}


@pytest.mark.parametrize("story", JOURNEYS)
def test_journey(story: str, database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            codes: list[str] = ["", ""]
            for who, said, parts in JOURNEYS[story]:
                if isinstance(who, timedelta):
                    talk.now += who
                    continue
                wide = " ".join(chr(ord(letter) + 0xFEE0) for letter in codes[-1].lower())
                said = said.replace("‹code›", codes[-1]).replace("‹before›", codes[-2]).replace("‹wide›", wide)
                answer = await talk.say(said, channel=who[0], who=who[1])
                codes += CODE.findall(answer)
                for part in parts:
                    assert (part[1:] not in answer) if part.startswith("!") else (part in answer), (said, answer)
            whole(talk)

    run(journey())


def whole(talk: Talk) -> None:
    """The books are right, sealed, and nothing is left with anybody's alias."""
    while Sealer(talk.store, talk.vault).step():
        pass
    with talk.store.read() as connection:
        assert check(connection, talk.vault).problems == []
        for table, column in (
            *(("identity", "subscriber"), ("text", "subscriber"), ("delivery", "subscriber"), ("timer", "subscriber")),
            *(("memory", "subscriber"), ("consent", "subscriber"), ("handover", "subscriber")),
            *(("profile", "subscriber"), ("person_key", "subscriber")),
        ):
            assert not rows(
                connection,
                f"SELECT 1 FROM {table} WHERE {column} IN (SELECT id FROM subscriber WHERE status = 'alias')",
            ), table
        left = "SELECT 1 FROM balance JOIN subscriber s ON s.id = owner WHERE s.status = 'alias'"
        assert not rows(connection, f"{left} AND (amount <> 0 OR held <> 0)")
        assert not rows(
            connection,
            "SELECT 1 FROM subscriber s JOIN subscriber o ON o.id = s.alias_of "
            "WHERE o.status = 'alias' OR s.status <> 'alias'",
        )


def rows(connection: Connection, query: str, **values: Any) -> list[Any]:
    return list(connection.execute(text(query), values))


def number(talk: Talk, who: tuple[str, str]) -> int:
    with talk.store.read() as connection:
        found = people.find(connection, talk.vault, who[0], "main", who[1])
    assert found
    return found


def shown(talk: Talk, subscriber: int) -> dict[str, Any]:
    with talk.store.read() as connection:
        return people.show(connection, subscriber)


async def code_of(talk: Talk, who: tuple[str, str]) -> str:
    found = CODE.search(await talk.say("connect", channel=who[0], who=who[1]))
    assert found
    return found[1]


async def join(talk: Talk, asks: tuple[str, str], types: tuple[str, str]) -> str:
    return await talk.say(await code_of(talk, asks), channel=types[0], who=types[1])


async def known(talk: Talk, *people_there: tuple[str, str]) -> list[int]:
    """These people exist, each younger than the one before."""
    for who in people_there:
        talk.now += timedelta(seconds=1)
        await talk.say("帮助", channel=who[0], who=who[1])
    return [number(talk, who) for who in people_there]


@contextmanager
def writing(talk: Talk) -> Iterator[Connection]:
    with talk.store.begin() as connection:
        yield connection


@pytest.mark.parametrize("turned", [False, True])
def test_the_older_stays_whoever_types_and_both_conversations_are_told(database_url: str, turned: bool) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            older, younger = await known(talk, WECHAT, TELEGRAM)
            asks, types = (TELEGRAM, WECHAT) if turned else (WECHAT, TELEGRAM)
            before = shown(talk, younger)
            answer = await join(talk, asks, types)
            assert "绑定成功" in answer
            assert number(talk, WECHAT) == number(talk, TELEGRAM) == older
            one = shown(talk, older)
            assert {(i["channel"], i["id"]) for i in one["identities"]} == {WECHAT, TELEGRAM}
            assert shown(talk, younger) == one  # an alias is shown as the one person
            with talk.store.read() as connection:
                told = rows(
                    connection,
                    "SELECT t.said, d.state, i.channel FROM delivery d JOIN text t ON t.id = d.text "
                    "JOIN identity i ON i.id = d.identity WHERE t.kind = 'internal'",
                )
                events = rows(
                    connection, "SELECT subscriber, data FROM event WHERE kind = 'joined' ORDER BY subscriber"
                )
                code = rows(connection, "SELECT alias_of FROM subscriber WHERE code = :c", c=before["referral_code"])
            assert [(row.state, row.channel) for row in told] == [("queued", asks[0])]
            assert "如果不是您本人操作" in told[0].said
            assert [row.subscriber for row in events] == [older, younger]
            assert events[1].data == f'{{"into":{older}}}'
            assert [row.alias_of for row in code] == [older]
            whole(talk)

    run(journey())


def test_what_was_spent_already_is_taken_back_as_far_as_it_is_there(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            older, younger = await known(talk, WECHAT, TELEGRAM)
            for who in (WECHAT, TELEGRAM):
                await talk.say("签到", channel=who[0], who=who[1])
            with writing(talk) as connection:
                from storage import acts

                spent = ledger.Posting(
                    "gift", "points", ledger.person(younger, "points"), "spent/points", 3, "c", 1, "x"
                )
                acts.post(connection, spent, talk.now)
            answer = await join(talk, WECHAT, TELEGRAM)
            assert "共有 5 积分" in answer
            assert "重复得到的 2 积分" in answer
            with talk.store.read() as connection:
                (row,) = rows(connection, "SELECT data FROM event WHERE kind = 'joined' AND subscriber = :s", s=older)
            assert '"reversed":2,"short":3' in row.data
            whole(talk)

    run(journey())


def test_what_is_reserved_moves_and_ends_for_the_older(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            older, younger = await known(talk, WECHAT, TELEGRAM)
            await talk.say("签到", channel="telegram", who="77")
            own, theirs = ledger.person(younger, "points"), ledger.person(older, "points")
            made = [("kept", own, "spent/points", 4), ("between", own, theirs, 1)]
            with writing(talk) as connection:
                for key, source, destination, amount in made:
                    hold = holds.Hold(key, "points", source, destination, amount, "c", 1, "gift")
                    assert holds.reserve(connection, hold, talk.now)
            await join(talk, WECHAT, TELEGRAM)
            whole(talk)
            with writing(talk) as connection:
                state = "SELECT key, source, state FROM hold ORDER BY key"
                found = [tuple(row) for row in rows(connection, state)]
                assert found == [("between", own, "voided"), ("kept", theirs, "open")]
                assert holds.post(connection, "kept", talk.now)
            assert shown(talk, older)["balances"]["points"] == 1
            whole(talk)

    run(journey())


def test_a_hold_for_the_younger_reaches_the_older(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            older, younger = await known(talk, WECHAT, TELEGRAM)
            await known(talk, WEB, ("wechat", "w3"))
            await talk.say("签到", channel="wechat", who="w3")
            await talk.say("签到", channel="telegram", who="77")
            giver = ledger.person(number(talk, ("wechat", "w3")), "points")
            with writing(talk) as connection:
                to = ledger.person(younger, "points")
                assert holds.reserve(connection, holds.Hold("r", "points", giver, to, 5, "c", 1, "x"), talk.now)
            await join(talk, WECHAT, TELEGRAM)
            with writing(talk) as connection:
                holds.post(connection, "r", talk.now)
            assert shown(talk, older)["balances"]["points"] == 10
            whole(talk)

    run(journey())


def test_a_mark_of_either_counts_for_the_one(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even what no mechanic remembers: the marks stand in the ledger's keys."""

    async def journey() -> None:
        async with talking(database_url) as talk:
            older, _ = await known(talk, WECHAT, TELEGRAM)
            await talk.say("签到", channel="telegram", who="77")
            await join(talk, WECHAT, TELEGRAM)
            with writing(talk) as connection:
                connection.execute(text("DELETE FROM memory WHERE name = 'checkin'"))
            await talk.say("签到")  # a stranger may, and the one person may not
            await talk.say("签到", who="w1")
            assert shown(talk, older)["balances"]["points"] == 5
            whole(talk)

    run(journey())


def test_what_falls_due_for_either_falls_due_once_for_the_one(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fired: list[tuple[int, str]] = []
    monkeypatch.setattr(checkin, "TIMERS", ("nudge",), raising=False)
    monkeypatch.setattr(
        checkin, "on_timer", lambda turn, kind: fired.append((turn.person, turn.heard.data["what"])), raising=False
    )

    async def journey() -> None:
        async with talking(database_url) as talk:
            older, younger = await known(talk, WECHAT, TELEGRAM)
            with writing(talk) as connection:
                for n, (key, person) in enumerate(
                    [(f"a/{older}", older), (f"a/{younger}", younger), (f"b/{younger}", younger)]
                ):
                    connection.execute(
                        text(
                            "INSERT INTO timer (id, key, subscriber, kind, due_at, data, fired) VALUES "
                            "(:i, :k, :s, 'nudge', :d, :data, FALSE)"
                        ),
                        {
                            "i": 900_000 + n,
                            "k": key,
                            "s": person,
                            "d": micros(talk.now),
                            "data": f'{{"what":"{key[0]}"}}',
                        },
                    )
            from storage import timers

            taken = await talk.writer.run(lambda connection: timers.due(connection, talk.now, 10))
            assert len(taken) == 3
            await join(talk, WECHAT, TELEGRAM)
            # Another node had taken the younger's own timer before they were joined, and fires it now.
            late = next(timer for timer in taken if timer.key == f"b/{younger}")
            from storage.incoming import Incoming

            data = {**late.data, "timer": late.id, "kind": late.kind}
            await talk.writer.hear(Incoming("", "", str(younger), f"timer:{late.key}", "timer", talk.now, data=data))
            with writing(talk) as connection:
                connection.execute(text("UPDATE timer SET lease_until = NULL"))
            schedule = Schedule(talk.writer, Sealer(talk.store, talk.vault), "t", lambda: talk.now)
            await schedule.timers()
            assert sorted(fired) == [(older, "a"), (older, "b")]
            whole(talk)

    run(journey())


def test_a_guests_points_above_the_cap_go_on_waiting(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            _, guest = await known(talk, WECHAT, WEB)
            cap = talk.library().plan.points.guest_cap
            with writing(talk) as connection:
                from storage import acts

                account = ledger.held(guest, "points")
                acts.post(
                    connection, ledger.Posting("p", "points", "mint/points", account, cap + 7, "c", 1, "x"), talk.now
                )
            answer = await join(talk, WEB, WECHAT)
            assert f"共有 {cap} 积分" in answer
            assert "还有 7 积分" in answer
            assert shown(talk, guest)["balances"] == {"points": cap, "points_held": 7}
            whole(talk)

    run(journey())


def test_profile_texts_and_language_come_together_and_are_forgotten_together(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            older, younger = await known(talk, WECHAT, TELEGRAM)
            await talk.say("English", channel="telegram", who="77")
            with writing(talk) as connection:
                profiles.write(connection, talk.vault, older, {"name": "王"})
                profiles.write(connection, talk.vault, younger, {"name": "Wang", "phone": "138"})
            assert "Connected" in await join(talk, TELEGRAM, WECHAT)
            with talk.store.read() as connection:
                known_now = people.export(connection, talk.vault, older)
            assert known_now["profile"] == {"name": "王", "phone": "138"}
            assert known_now["language"] == "en"
            assert {"joined", "language"} <= {event["kind"] for event in known_now["events"]}
            assert len([one for one in known_now["texts"] if one["heard"] == "帮助"]) == 2
            await talk.say("forget me", channel="telegram", who="77")
            assert "deleted" in await talk.say("yes, forget me", channel="telegram", who="77")
            with talk.store.read() as connection:
                gone = people.export(connection, talk.vault, older)
                assert not rows(connection, "SELECT 1 FROM text WHERE heard IS NOT NULL")
            assert gone["profile"] == {}

    run(journey())


def test_a_held_conversation_goes_on_being_held_and_forms_go(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await known(talk, WECHAT, TELEGRAM)
            await talk.say("人工", channel="telegram", who="77")
            await talk.say("忘记我", channel="telegram", who="77")
            await join(talk, TELEGRAM, WECHAT)
            assert "!已经删除"[1:] not in await talk.say("确认忘记我", who="w1")
            with talk.store.read() as connection:
                (waits,) = rows(
                    connection,
                    "SELECT h.subscriber, m.data FROM handover h JOIN memory m "
                    "ON m.subscriber = h.subscriber WHERE m.name = 'handover'",
                )
            assert waits.subscriber == number(talk, WECHAT)
            assert '"state":"waiting"' in waits.data

    run(journey())


# ---- referrals

A, B, C, D = 0, 1, 2, 3  # by age; A and B are joined
REFERRALS = {
    # name: rows before (referee, referrer, state, at), rows after, A's referrer afterwards
    "none": ([], [], None),
    "the older's own stays": ([(A, C, "pending", 5)], [(A, C, "pending")], C),
    "the younger's own moves": ([(B, C, "pending", 5)], [(A, C, "pending")], C),
    "the earlier stands, the older's": (
        [(A, C, "pending", 5), (B, D, "pending", 6)],
        [(A, C, "pending"), (B, D, "rejected")],
        C,
    ),
    "the earlier stands, the younger's": (
        [(A, C, "pending", 6), (B, D, "qualified", 5)],
        [(A, D, "qualified"), (B, C, "rejected")],
        D,
    ),
    "one brought the other": ([(B, A, "pending", 5)], [(B, A, "rejected")], None),
    "both brought each other": (
        [(A, B, "pending", 5), (B, A, "pending", 6)],
        [(A, B, "rejected"), (B, A, "rejected")],
        None,
    ),
    "the one between goes, the other stands": (
        [(A, B, "pending", 5), (B, C, "pending", 6)],
        [(A, C, "pending"), (B, A, "rejected")],
        C,
    ),
    "whom the younger brought": ([(C, B, "pending", 5), (D, A, "held", 6)], [(C, A, "pending"), (D, A, "held")], None),
    "a ring that would close": (
        [(C, A, "pending", 5), (B, C, "pending", 6)],
        [(B, C, "rejected"), (C, A, "pending")],
        None,
    ),
    "a ring that would close above": (
        [(C, B, "pending", 5), (D, C, "pending", 6), (A, D, "pending", 7)],
        [(A, D, "rejected"), (C, A, "pending"), (D, C, "pending")],
        None,
    ),
    "rewarded stays so": ([(A, C, "pending", 5), (B, D, "rewarded", 6)], [(A, C, "pending"), (B, D, "rewarded")], C),
}


@pytest.mark.parametrize("case", REFERRALS)
def test_referrals(case: str, database_url: str) -> None:
    before, after, brought_by = REFERRALS[case]

    async def journey() -> None:
        async with talking(database_url) as talk:
            ids = await known(talk, WECHAT, TELEGRAM, ("wechat", "w3"), ("wechat", "w4"))
            with writing(talk) as connection:
                for referee, referrer, state, at in before:
                    values = {"e": ids[referee], "r": ids[referrer], "s": state, "a": at}
                    connection.execute(text("INSERT INTO referral VALUES (:e, :r, 'c', :s, :a, :a)"), values)
                    connection.execute(text("UPDATE subscriber SET referrer = :r WHERE id = :e"), values)
            await join(talk, TELEGRAM, WECHAT)
            with talk.store.read() as connection:
                found = rows(connection, "SELECT referee, referrer, state FROM referral ORDER BY referee")
            assert [tuple(row) for row in found] == [(ids[e], ids[r], state) for e, r, state in sorted(after)]
            assert shown(talk, ids[A])["referrer"] == (None if brought_by is None else ids[brought_by])
            for one in (C, D):
                assert shown(talk, ids[one])["referrer"] != ids[B]
            whole(talk)

    run(journey())


# ---- codes


def test_wrong_codes_are_limited_and_the_limit_ends(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await known(talk, WECHAT, TELEGRAM)
            for _ in range(WRONG_MAX):
                talk.now += timedelta(minutes=1)
                assert "没有这个绑定码" in await talk.say(new_code(), who="w1")
            code = await code_of(talk, TELEGRAM)
            assert "请过 56 分钟再试" in await talk.say(code, who="w1")
            assert "请过 56 分钟再试" in await talk.say(new_code(), who="w1")
            talk.now += timedelta(minutes=56)
            assert "绑定成功" in await join(talk, TELEGRAM, WECHAT)

    run(journey())


def test_the_limit_holds_whatever_is_said_between(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await known(talk, WECHAT)
            for _ in range(WRONG_MAX):
                await talk.say("忘记我", who="w1")
                await talk.say(new_code(), who="w1")
            await talk.say("忘记我", who="w1")
            assert "试错的次数太多" in await talk.say(new_code(), who="w1")

    run(journey())


def test_a_code_is_kept_as_a_keyed_hash_and_swept(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await known(talk, WECHAT)
            code = await code_of(talk, WECHAT)
            with writing(talk) as connection:
                (row,) = rows(connection, "SELECT * FROM join_code")
                assert row.digest == joining.code_digest(talk.vault, code)
                assert code not in str(tuple(row))
                retention.step(connection, talk.now + VALID + joining.KEPT_AFTER, 97)
                assert len(rows(connection, "SELECT * FROM join_code")) == 1
                retention.step(connection, talk.now + VALID + joining.KEPT_AFTER + timedelta(seconds=1), 97)
                assert rows(connection, "SELECT * FROM join_code") == []

    run(journey())


def test_a_code_of_somebody_who_left_leads_nowhere(database_url: str) -> None:
    async def journey() -> None:
        async with talking(database_url) as talk:
            await known(talk, WECHAT, TELEGRAM)
            code = await code_of(talk, WECHAT)
            await talk.hear(kind="unfollow", who="w1")
            assert "已经过期" in await talk.say(code, channel="telegram", who="77")

    run(journey())


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("ab2 cd3", "AB2CD3"),
        (" AB2-CD3。", "AB2CD3"),
        ("ａｂ２ｃｄ３", "AB2CD3"),
        ("绑定码：AB2CD3", "AB2CD3"),
        ("/connect ab2cd3", "AB2CD3"),
        ("AB2CD", ""),
        ("AB2CD34", ""),
        ("AB2CD3EF", ""),  # a referral code
        ("ABOCD3", ""),  # no O in any code
        ("redeem", ""),
        ("please", ""),
        ("234567", ""),
        ("1 2 3 4 5 6", ""),
        ("AB2CD3吗", ""),
        ("", ""),
    ],
)
def test_what_is_a_code(typed: str, code: str) -> None:
    assert joining.spelled(typed) == code


def test_every_code_given_out_is_one_and_all_letters_come() -> None:
    codes = [new_code() for _ in range(2000)]
    assert all(joining.spelled(code) == code for code in codes)
    assert set("".join(codes)) == set(CODE_LETTERS)
    assert all(joining.spelled(f"2{letter}A2A3") for letter in CODE_LETTERS)


@pytest.mark.parametrize(
    ("older", "younger", "both"),
    [
        ({}, {"day": "2026-11-22", "streak": 3}, ("2026-11-22", 3)),
        ({"day": "2026-11-22", "streak": 3}, {}, ("2026-11-22", 3)),
        ({"day": "2026-11-22", "streak": 3}, {"day": "2026-11-22", "streak": 5}, ("2026-11-22", 5)),
        ({"day": "2026-11-21", "streak": 6}, {"day": "2026-11-22", "streak": 1}, ("2026-11-22", 6)),
        ({"day": "2026-11-20", "streak": 6}, {"day": "2026-11-22", "streak": 1}, ("2026-11-22", 1)),
    ],
)
def test_streaks_unite(older: dict[str, Any], younger: dict[str, Any], both: tuple[str, int]) -> None:
    for one, other in ((older, younger), (younger, older)):
        united = checkin.unite(one, other)
        assert (united["day"], united["streak"]) == both


def test_who_left_anywhere_has_left() -> None:
    assert consent.unite({}, {"left": True}) == consent.unite({"left": True}, {}) == {"left": True}
    assert consent.unite({}, {}) == {}
