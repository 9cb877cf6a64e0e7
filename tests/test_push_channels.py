"""Pushes to channels that the bot administers: one post per run and channel, whatever happens meanwhile."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from bot.channels import Outcome
from campaigns import pushing, stopping, words
from content import pushes as saying
from content.bundle import Bundle
from content.library import Library
from storage import channel_posts
from storage.pushes import Push
from storage.store import machine_now
from tests.push_house import CONTENT, MORNING, Bot, Line, PushHouse, crowd, push_house
from tests.talking import SHIPPED, run

TWO = {**CONTENT, "buttons": [{"zh": "答题", "en": "quiz"}, "签到"], "channels": ["@xiaodian", "-1001234567890"]}


def house_of(url: str) -> Any:
    return push_house(url, Bot(), Line("web", {"page"}))


async def posts(house: PushHouse, push: Push) -> dict[str, str]:
    """`channel` → `state/reason` of the latest run."""
    found = await house.run_of(push)
    told = await house.talk.writer.run(lambda connection: channel_posts.of_run(connection, found.id))
    return {post["channel"]: f"{post['state']}/{post['reason']}".rstrip("/") for post in told}


def bot_of(house: PushHouse) -> Bot:
    bot = house.lines["telegram"]
    assert isinstance(bot, Bot)
    return bot


def test_each_channel_gets_it_once_per_run_and_counts_as_nobody(database_url: str) -> None:
    async def journey() -> None:
        async with house_of(database_url) as house:
            await crowd(house.talk, telegram=2)
            push = await house.approved(content=TWO, schedule={"cron": "0 10 * * *"})
            for day in range(2):
                house.talk.now = MORNING + timedelta(days=day)
                await house.step(3)
                assert await posts(house, push) == dict.fromkeys(TWO["channels"], "sent")
                assert await house.counts(push) == {"sent": 2}  # people alone
            assert [channel for channel, _ in bot_of(house).posted] == TWO["channels"] * 2
            message = bot_of(house).posted[0][1]
            assert message["text"] == "周五见"  # how to leave is for people
            assert message["choices"] == [
                {"label": "答题", "scene": "w_quiz"}, {"label": "签到", "scene": "w_checkin"}
            ]  # fmt: skip
            assert await house.state(push) == ("scheduled", ["done", "done"])

    run(journey())


@pytest.mark.parametrize(
    ("fate", "ends"),
    [
        (Outcome("retry", "away"), "sent"),
        (Outcome("slow", "too_many_requests", 5.0), "sent"),
        (Outcome("doubtful", "no_answer"), "doubtful/no_answer"),
        (Outcome("refused", "not_admin"), "refused/not_admin"),
        (Outcome("failed", "bad_request"), "failed/bad_request"),
        (RuntimeError(), "doubtful/channel_broke"),
        (ValueError(), "refused/no_channel"),
    ],
)
def test_each_outcome_ends_it_and_only_what_was_not_taken_comes_again(database_url: str, fate: Any, ends: str) -> None:
    async def journey() -> None:
        async with house_of(database_url) as house:
            push = await house.approved(content={**TWO, "channels": ["@xiaodian"]})
            tried: list[str] = []

            def once(channel: str) -> Outcome:
                tried.append(channel)
                if len(tried) > 1:
                    return Outcome("sent")
                if isinstance(fate, Exception):
                    raise fate
                outcome: Outcome = fate
                return outcome

            bot_of(house).post_fate = once
            house.talk.now = MORNING
            await house.step()
            assert len(tried) == 1
            await house.patience()
            await house.step(2)
            assert await posts(house, push) == {"@xiaodian": ends}
            assert len(tried) == (2 if ends == "sent" else 1)
            assert await house.state(push) == ("done", ["done"])

    run(journey())


def test_a_channel_that_never_takes_it_ends_as_failed(database_url: str) -> None:
    async def journey() -> None:
        async with house_of(database_url) as house:
            push = await house.approved(content={**TWO, "channels": ["@xiaodian"]})
            bot_of(house).post_fate = lambda channel: Outcome("retry", "away")
            house.talk.now = MORNING
            for _ in range(channel_posts.MAX_TRIES + 1):
                await house.step()
                await house.patience()
            assert await posts(house, push) == {"@xiaodian": "failed/away"}
            assert await house.state(push) == ("done", ["done"])

    run(journey())


def test_a_node_that_dies_with_a_post_in_hand_leaves_it_in_doubt(database_url: str) -> None:
    """The request may have begun: a channel cannot be asked whether it has the post, so it is not made again."""

    async def journey() -> None:
        async with house_of(database_url) as house:
            push = await house.approved(content={**TWO, "channels": ["@xiaodian"]})
            house.talk.now = MORNING
            await house.pushes._begin(push.number, MORNING)
            await house.pushes._begin(push.number, MORNING)  # as another node does at the same moment

            def take(connection: Any) -> Any:
                machine = machine_now(connection)
                return channel_posts.take(connection, "telegram:main", 30.0, "dead", machine, MORNING)

            taken = await house.talk.writer.run(take)
            assert taken and taken.channel == "@xiaodian"
            await house.step()
            assert await posts(house, push) == {"@xiaodian": "sending"}
            assert (await house.state(push))[0] == "running"
            await house.patience()
            await house.step(2)
            assert await posts(house, push) == {"@xiaodian": "doubtful/lease_ended"}
            assert bot_of(house).posted == []
            assert await house.state(push) == ("done", ["done"])
            # It was only slow: what it says at last is the truth.
            await house.talk.writer.run(
                lambda c: channel_posts.finish(c, taken, "sent", "", 0.0, machine_now(c), MORNING)
            )
            assert await posts(house, push) == {"@xiaodian": "sent"}

    run(journey())


@pytest.mark.parametrize("held", ["pause", "stop", "quiet", "cancel"])
def test_nothing_is_posted_while_it_is_held(database_url: str, held: str) -> None:
    async def journey() -> None:
        async with house_of(database_url) as house:
            at = "20:59" if held == "quiet" else "10:00"
            push = await house.approved(content=TWO, schedule={"at": f"2026-11-23T{at}:00"})
            house.talk.now = datetime.fromisoformat(f"2026-11-23T{at}:00+08:00")
            await house.pushes._begin(push.number, house.talk.now)
            if held == "stop":
                await house.act(stopping.stop)
            elif held == "quiet":
                house.talk.now += timedelta(minutes=1)
            else:
                act = getattr(pushing, held)
                await house.act(lambda desk: act(desk, push.number))
            await house.step(2)
            assert bot_of(house).posted == []
            if held == "cancel":
                assert set((await posts(house, push)).values()) == {"refused/cancelled"}
                assert await house.state(push) == ("cancelled", ["cancelled"])
                return
            if held == "stop":
                await house.act(stopping.resume)
            elif held == "quiet":
                house.talk.now += timedelta(hours=12)
            else:
                await house.act(lambda desk: pushing.resume(desk, house.talk.writer.library, push.number))
            await house.step(2)
            assert set((await posts(house, push)).values()) == {"sent"} and len(bot_of(house).posted) == 2

    run(journey())


def test_without_a_bot_it_ends_and_the_others_get_theirs(database_url: str) -> None:
    async def journey() -> None:
        async with push_house(database_url, Line("wechat", {"service", "mass"})) as house:
            await crowd(house.talk, wechat=2)
            push = await house.approved(content=TWO)
            house.talk.now = MORNING
            await house.step(2)
            assert set((await posts(house, push)).values()) == {"refused/account_off"}
            assert await house.counts(push) == {"handed_over": 2}
            assert (await house.state(push))[0] == "done"

    run(journey())


def test_what_names_no_channel_is_refused() -> None:
    library = Library(Bundle.read(SHIPPED), 1, words())

    def faults(*names: str) -> list[str]:
        return [en for _, en in saying.faults({**CONTENT, "channels": list(names)}, library)]

    assert faults("@xiaodian", "-1001234567890") == []
    for wrong in ("xiaodian", "@", "@小店", "12345", "@a b", "https://t.me/xiaodian"):
        assert faults(wrong) == [f"{wrong} names no channel: write @name, or -100…"]
    assert faults("@xiaodian", "@XiaoDian") == ["the same channel stands twice"]
    assert faults(*(f"@shop{n}" for n in range(6))) == ["at most 5 channels"]


def test_a_button_below_a_post_opens_the_bot_and_says_its_words(database_url: str) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            talk = house.talk
            first = await talk.say(who="t1", channel="telegram", kind="follow", data={"scene": "w_quiz"})
            assert talk.writer.library.plan.welcome.text["zh"][:6] in first and "1. " in first
            assert talk.writer.library.quizzes["family"].name["zh"] in first
            again = await talk.say(who="t1", channel="telegram", kind="follow", data={"scene": "w_points"})
            assert talk.writer.library.plan.welcome.text["zh"][:6] not in again and "积分" in again
            for taken in ("w_leave", "w_forget", "w_connect", "w_nothing"):  # a link of somebody's must not do this
                said = await talk.say(who="t1", channel="telegram", kind="follow", data={"scene": taken})
                assert said and not {"已停止", "删除", "绑定码"} & set(said.split()), said
            assert await talk.writer.run(lambda c: c.exec_driver_sql("SELECT consent FROM subscriber").scalar())

    run(journey())
