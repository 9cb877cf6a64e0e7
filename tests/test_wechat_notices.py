"""Notices out, and what the platform reports of notices and mass sends, over real signed callbacks in safe mode."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from bot.channels import MassOutcome, Outcome
from bot.played.wechat import PlayedWeChat
from storage import mass_jobs, push_runs
from storage.incoming import Incoming
from storage.pushes import Push
from tests.push_house import MORNING, PushHouse, crowd, push_house
from tests.talking import run
from tests.test_played_wechat import channel_app, served
from tests.test_wechat_mass import HELLO, PICTURE, Stage, with_poster
from tests.wechat_house import Clock, House

FIELDS = {"thing1": "话费券到账", "amount2": "5元"}
SUBSCRIBE, TEMPLATE = "message/subscribe/bizsend", "message/template/send"


@pytest.fixture
def stage() -> Iterator[Stage]:
    clock = Clock()
    with PlayedWeChat(clock=clock) as world:
        world.notices["T1"] = world.templates["S1"] = tuple(FIELDS)
        yield Stage(world, clock, people=1)


def notice(stage: Stage, template: str = "T1", fields: dict[str, str] = FIELDS, **changed: Any) -> Outcome:
    openid = stage.people[0].openid
    outcome: Outcome = stage.run(lambda channel: channel.subscription_notice(openid, template, fields), **changed)
    return outcome


def test_one_consent_is_one_notice(stage: Stage) -> None:
    stage.people[0].consents["T1"] = 1
    assert notice(stage) == Outcome("sent")
    assert notice(stage) == Outcome("refused", "consent_refused")
    assert stage.got() == [[("T1", "thing1=话费券到账\namount2=5元")]]


def test_a_text_too_long_for_its_field_is_cut(stage: Stage) -> None:
    stage.people[0].consents["T1"] = 1
    assert notice(stage, fields={"thing1": "字" * 30, "amount2": " "}).state == "sent"
    assert stage.got() == [[("T1", f"thing1={'字' * 19}…\namount2=—")]]


@pytest.mark.parametrize(
    ("trouble", "ended"),
    [
        ({"drop": True, "accept": True}, Outcome("doubtful", "no_answer")),
        ({"status": 502}, Outcome("doubtful", "no_answer")),
        ({"code": 45009}, Outcome("slow", "day_quota", 57601.0)),
        ({"code": 40003}, Outcome("refused", "unknown_person")),
        ({"code": 48001}, Outcome("refused", "no_capability")),
    ],
)
def test_each_trouble_has_its_outcome(stage: Stage, trouble: dict[str, Any], ended: Outcome) -> None:
    stage.people[0].consents["T1"] = 1
    stage.world.fail(SUBSCRIBE, **trouble)
    assert notice(stage) == ended


def test_a_wrong_template_or_field_is_our_fault(stage: Stage) -> None:
    assert notice(stage, "T9") == Outcome("failed", "bad_template")
    assert notice(stage, fields={"thing1": "x"}) == Outcome("failed", "bad_template")


def test_accounts_of_other_kinds_never_try(stage: Stage) -> None:
    for kind, verified in (("subscription", True), ("service", False)):
        assert notice(stage, kind=kind, verified=verified) == Outcome("refused", "no_capability")
    assert not stage.world.asked


def test_a_template_message_is_never_for_marketing(stage: Stage) -> None:
    openid = stage.people[0].openid

    def send(about: Any) -> Outcome:
        outcome: Outcome = stage.run(lambda channel: channel.template_message(openid, "S1", FIELDS, about))
        return outcome

    assert send("marketing") == send("campaign") == Outcome("refused", "marketing")
    assert not stage.world.asked
    assert send("service") == Outcome("sent")
    stage.people[0].since = None
    assert send("service") == Outcome("refused", "not_following")


def test_consents_and_ends_are_heard_as_data() -> None:
    clock = Clock()
    world, house = PlayedWeChat(clock=clock), House(clock)
    world.notices["T1"] = ("thing1",)
    world.templates["S1"] = ("first",)

    async def day() -> None:
        async with served(channel_app(house, "safe"), world):
            person = world.person()
            person.since = clock()
            assert await person.consent("T1", refusing=["T2"]) == ""
            clock.pass_(seconds=1)
            await person.consent("T1")
            await person.take_back("T1")
            world.later(
                person.envelope("event", "<Event>TEMPLATESENDJOBFINISH</Event><MsgID>7</MsgID><Status>x</Status>")
            )
            assert await world.tell() == 1

    asyncio.run(day())
    assert world.faults == []
    assert [dict(heard.data) for heard in house.heard] == [
        {
            "event": "subscribe_msg_popup_event",
            "consents": [{"template": "T1", "agreed": True}, {"template": "T2", "agreed": False}],
        },
        {"event": "subscribe_msg_popup_event", "consents": [{"template": "T1", "agreed": True}]},
        {"event": "subscribe_msg_change_event", "consents": [{"template": "T1", "agreed": False}]},
        {"event": "templatesendjobfinish", "msg_id": "7", "status": "x"},
    ]
    assert {heard.kind for heard in house.heard} == {"notice"}
    assert len({heard.key for heard in house.heard}) == 4


@pytest.mark.parametrize("article", [False, True])
def test_how_a_mass_send_ended_is_told_when_it_is_over(article: bool) -> None:
    clock = Clock()
    house = House(clock)
    with PlayedWeChat(clock=clock, mass_seconds=600) as world:
        stage = Stage(world, clock, people=4)
        stage.people[1].since, stage.people[2].refuses_messages, stage.people[3].unreachable = None, True, True
        with_poster(stage)
        platform = stage.send(HELLO | PICTURE if article else HELLO).platform
        assert world.masses[int(platform)].kind == ("mpnews" if article else "text")

        async def day() -> None:
            async with served(channel_app(house, "safe"), world):
                assert await world.tell() == 0
                clock.pass_(minutes=10)
                assert await world.tell() == 1
                assert await world.tell() == 0

        asyncio.run(day())
    (heard,) = house.heard
    assert heard.kind == "notice"
    assert dict(heard.data) == {
        **{"event": "masssendjobfinish", "msg_id": platform, "status": "send success"},
        **{"total": 3, "filtered": 2, "sent": 1, "errors": 1},
    }


def finished(house: PushHouse, platform: str) -> Incoming:
    """What the platform's helper, whom nobody here knows, says of the job."""
    data = {"event": "masssendjobfinish", "msg_id": platform, "status": "send success"}
    counts = {"total": 3, "filtered": 3, "sent": 2, "errors": 1}
    key = f"wechat:main:e:helper:{platform}"
    return Incoming("wechat", "main", "oMassHelper", key, "notice", house.talk.now, "", data | counts)


async def jobs(house: PushHouse, push: Push) -> list[dict[str, Any]]:
    (latest,) = await house.talk.writer.run(lambda connection: push_runs.of_push(connection, push.number, 1))
    return await house.talk.writer.run(lambda connection: mass_jobs.of_run(connection, latest.id))


@pytest.mark.parametrize("early", [False, True])
def test_the_four_counts_close_the_jobs_books(database_url: str, early: bool) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, wechat=3)
            line = house.lines["wechat"]
            lost = line.mass_fate
            if early:  # the answer to the first request is lost
                line.mass_fate = lambda addresses, key: MassOutcome("doubtful", "no_answer")
            push = await house.approved()
            house.talk.now = MORNING
            await house.step(2)
            ((_, _, key),) = line.mass[:1]
            if early:
                assert [job["state"] for job in await jobs(house, push)] == ["sending"]
            for _ in range(2):  # as often as it is told
                await house.talk.writer.hear(finished(house, f"p{key}"))
            await house.talk.writer.hear(finished(house, "sent-by-hand"))
            line.mass_fate = lost
            if early:
                await house.talk.writer.run(_due_again)
                await house.step(2)
            (job,) = await jobs(house, push)
            assert (job["state"], job["reason"]) == ("closed", "send success")
            assert (job["total"], job["filtered"], job["sent"], job["errors"]) == (3, 3, 2, 1)
            assert await house.counts(push) == {"handed_over": 3}

    run(journey())


def _due_again(connection: Any) -> None:
    connection.exec_driver_sql("UPDATE mass_job SET lease_until = NULL")
