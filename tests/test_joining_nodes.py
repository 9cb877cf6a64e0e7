"""Joining under load and twice at once: two nodes on one PostgreSQL, and many at once on one node."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.exc import OperationalError

from bot.channels import Busy
from storage import joining
from storage.store import Store
from tests.talking import Talk, prepared, run, talking, told
from tests.test_joining import TELEGRAM, WECHAT, code_of, known, number, rows, shown, whole

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


@asynccontextmanager
async def two(url: str) -> AsyncIterator[tuple[Talk, Talk]]:
    """Two nodes on one database."""
    stores = [prepared(url), Store(url)]
    nodes = [Talk(store, f"node {n}") for n, store in enumerate(stores)]
    try:
        yield nodes[0], nodes[1]
    finally:
        for node, store in zip(nodes, stores, strict=True):
            await node.writer.close()
            store.close()


async def heard(node: Talk, words: str, who: tuple[str, str], key: str = "") -> str:
    """As a platform does: a message that was not taken comes again, with its key."""
    key = key or uuid4().hex
    while True:
        try:
            return told(await node.hear(words, channel=who[0], who=who[1], key=key))
        except Busy:
            await asyncio.sleep(0.1)


def test_two_who_type_each_others_code_at_once_become_one(empty_postgres_url: str) -> None:
    async def scenario() -> None:
        async with two(empty_postgres_url) as (first, second):
            for n in range(15):
                one, other = ("wechat", f"w{n}"), ("telegram", f"t{n}")
                older, younger = await known(first, *((one, other) if n % 2 else (other, one)))
                for who in (one, other):
                    await first.say("签到", channel=who[0], who=who[1])
                codes = [await code_of(first, one), await code_of(first, other)]
                answers = await asyncio.gather(heard(first, codes[1], one), heard(second, codes[0], other))
                assert sorted(("绑定成功" in answer, "已经绑定" in answer) for answer in answers) == [
                    (False, True),
                    (True, False),
                ], answers
                assert number(first, one) == number(first, other) == older
                assert shown(first, younger)["balances"]["points"] == 5
            whole(first)

    run(scenario())


def test_one_code_typed_by_two_people_at_once_joins_one_of_them(empty_postgres_url: str) -> None:
    async def scenario() -> None:
        async with two(empty_postgres_url) as (first, second):
            for n in range(15):
                asks, one, other = ("wechat", f"w{n}"), ("telegram", f"a{n}"), ("telegram", f"b{n}")
                await known(first, *((asks, one, other) if n % 2 else (one, other, asks)))
                code = await code_of(first, asks)
                answers = await asyncio.gather(heard(first, code, one), heard(second, code, other))
                assert sorted(("绑定成功" in answer, "已经用过" in answer) for answer in answers) == [
                    (False, True),
                    (True, False),
                ], answers
                winner = one if "绑定成功" in answers[0] else other
                assert number(first, asks) == number(first, winner)
                assert number(first, one) != number(first, other)
            whole(first)

    run(scenario())


def test_three_in_a_ring_at_once_lose_nothing(empty_postgres_url: str) -> None:
    async def scenario() -> None:
        async with two(empty_postgres_url) as (first, second):
            for n in range(10):
                trio = [("wechat", f"w{n}"), ("telegram", f"t{n}"), ("web", f"g{n}")]
                await known(first, *random.Random(n).sample(trio, 3))
                for who in trio:
                    await first.say("签到", channel=who[0], who=who[1])
                codes = [await code_of(first, who) for who in trio]
                answers = await asyncio.gather(
                    *(
                        heard(node, codes[at - 1], trio[at])
                        for at, node in enumerate((first, second, first if n % 2 else second))
                    )
                )
                joined = sum("绑定成功" in answer for answer in answers)
                people = {number(first, who) for who in trio}
                assert 1 <= joined == 3 - len(people), answers
                for who in trio:
                    one = shown(first, number(first, who))
                    assert one["balances"]["points"] + one["balances"].get("points_held", 0) == 5
            whole(first)

    run(scenario())


def test_joining_while_both_talk_on_both_nodes(empty_postgres_url: str) -> None:
    """Every answer comes, every check-in counts once for the one person, and no word is lost."""
    dice = random.Random(3)

    async def scenario() -> None:
        async with two(empty_postgres_url) as nodes:
            pairs = [(("wechat", f"w{n}"), ("telegram", f"t{n}")) for n in range(12)]
            for pair in pairs:
                await known(nodes[0], *pair)
            codes = [await code_of(nodes[0], one) for one, _ in pairs]
            said = [
                (words, who)
                for pair in pairs
                for who in pair
                for words in ("签到", "积分", "帮助", "人工", "语言", "English", "签到")
            ]
            said += [(code, other) for code, (_, other) in zip(codes, pairs, strict=True)]
            dice.shuffle(said)
            answers = await asyncio.gather(*(heard(dice.choice(nodes), words, who) for words, who in said))
            assert all(answers)
            for one, other in pairs:
                assert number(nodes[0], one) == number(nodes[0], other)
                assert shown(nodes[0], number(nodes[0], one))["balances"]["points"] == 5
            with nodes[0].store.read() as connection:
                (texts,) = rows(connection, "SELECT COUNT(*) AS heard FROM text WHERE heard IS NOT NULL")
            assert texts.heard == len(said) + 3 * len(pairs)  # and what they said before: help twice, and connect
            assert nodes[0].writer.reruns + nodes[1].writer.reruns < len(said)
            whole(nodes[0])

    run(scenario())


def test_many_at_once_on_one_node(database_url: str) -> None:
    async def scenario() -> None:
        async with talking(database_url) as talk:
            pairs = [(("wechat", f"w{n}"), ("web", f"g{n}")) for n in range(20)]
            for pair in pairs:
                await known(talk, *pair)
            codes = [await code_of(talk, one) for one, _ in pairs]
            said = [(code, other) for code, (_, other) in zip(codes, pairs, strict=True) for _ in range(2)]
            said += [("签到", who) for pair in pairs for who in pair]
            random.Random(4).shuffle(said)
            answers = await asyncio.gather(*(heard(talk, words, who) for words, who in said))
            assert sum("绑定成功" in answer for answer in answers) == len(pairs)
            for one, _ in pairs:
                owned = shown(talk, number(talk, one))["balances"]
                assert owned["points"] == 5
            whole(talk)

    run(scenario())


def test_one_person_in_two_conversations_at_once_is_one_state(database_url: str) -> None:
    """Both messages are of one group: what the first did the second must see."""

    async def scenario() -> None:
        async with talking(database_url) as talk:
            await known(talk, WECHAT, ("telegram", "77"))
            assert "绑定成功" in await heard(talk, await code_of(talk, WECHAT), ("telegram", "77"))
            reruns = talk.writer.reruns
            answers = await asyncio.gather(heard(talk, "签到", WECHAT), heard(talk, "签到", ("telegram", "77")))
            assert ["签到成功" in answer for answer in answers].count(True) == 1
            await asyncio.gather(heard(talk, "English", WECHAT), heard(talk, "签到", ("telegram", "77")))
            assert talk.writer.reruns == reruns
            assert "already checked in" in await heard(talk, "签到", WECHAT)

    run(scenario())


@pytest.mark.parametrize("fault", [OperationalError("x", {}, Exception("deadlock")), RuntimeError("broken")])
def test_a_join_that_fails_at_its_end_and_comes_again_is_one(
    database_url: str, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, failed = joining.write, []

    def failing(*arguments: object) -> None:
        write(*arguments)  # type: ignore[arg-type]
        if any(isinstance(draft.joining, joining.Pair) for draft in arguments[2]) and len(failed) < 2:  # type: ignore[attr-defined]
            failed.append(fault)
            raise fault

    monkeypatch.setattr(joining, "write", failing)

    async def scenario() -> None:
        async with talking(database_url) as talk:
            older, _ = await known(talk, WECHAT, ("telegram", "77"))
            for who in (WECHAT, ("telegram", "77")):
                await heard(talk, "签到", who)
            code = await code_of(talk, WECHAT)
            for _ in range(3):  # and the platform delivers it again
                assert "重复得到的 5 积分" in await heard(talk, code, ("telegram", "77"), key="one")
            assert len(failed) == 2
            assert shown(talk, older)["balances"]["points"] == 5
            with talk.store.read() as connection:
                assert len(rows(connection, "SELECT 1 FROM event WHERE kind = 'joined'")) == 2
                assert len(rows(connection, "SELECT 1 FROM text WHERE kind = 'internal'")) == 1
            whole(talk)

    run(scenario())


def test_who_waited_for_the_lock_of_one_who_became_an_alias_is_the_older(
    empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = joining.write

    def slowly(*arguments: Any) -> None:
        write(*arguments)
        if any(isinstance(draft.joining, joining.Pair) for draft in arguments[2]):
            time.sleep(0.3)

    async def scenario() -> None:
        async with two(empty_postgres_url) as (first, second):
            older, _ = await known(first, WECHAT, TELEGRAM)
            await heard(first, "签到", WECHAT)
            code = await code_of(first, WECHAT)
            monkeypatch.setattr(joining, "write", slowly)
            joins = asyncio.create_task(heard(first, code, TELEGRAM))
            await asyncio.sleep(0.15)
            answer = await second.hear("积分", channel=TELEGRAM[0], who=TELEGRAM[1])
            assert answer.subscriber == older
            assert "您现在有 5 积分" in told(answer)
            assert "绑定成功" in await joins
            whole(first)

    run(scenario())
