"""A push as the subscription notice that somebody agreed to: who gets one, that a yes is one, what troubles do to it;
and over the played platform, from the composer to the phone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot import notifying
from bot.channels import Outcome
from bot.config import ConfigFault, load
from bot.settings import NoticeTemplates
from campaigns import stopping
from storage import deliveries, notices, push_opening
from storage.pushes import Push
from storage.store import machine_now
from storage.tables import micros
from tests.push_house import CONTENT, MORNING, Line, PushHouse, crowd, push_house, talked
from tests.push_pages import colleagues, push_pages
from tests.talking import run

TEMPLATE = NoticeTemplates(subscription="P1", subscription_fields={"thing1": "{text}", "date2": "{day}"})
SERVICE = {**CONTENT, "wechat": "service"}


class WeChat(Line):
    """A WeChat account with every way; `notice_fate` answers for each notice."""

    def __init__(self) -> None:
        super().__init__("wechat", {"service", "mass", "notice"})
        self.notices: list[tuple[str, str, dict[str, str]]] = []
        self.notice_fate: Any = lambda address: Outcome("sent")

    async def subscription_notice(self, address: str, template: str, fields: dict[str, str], page: str) -> Outcome:
        outcome: Outcome = self.notice_fate(address)
        if outcome.state in ("sent", "doubtful"):
            self.notices.append((address, template, fields))
        return outcome


@asynccontextmanager
async def noticing(url: str, people: int = 2) -> AsyncIterator[tuple[PushHouse, WeChat]]:
    """A house with a template for pushes, and people of whom the first agreed to one notice."""
    line = WeChat()
    async with push_house(url, line) as house:
        house.templates["wechat:main"] = {"push": TEMPLATE}
        house.talk.writer.library.asking = {"wechat:main": {"push": "P1"}}
        await crowd(house.talk, wechat=people)
        await agrees(house, "wechat-0000")
        yield house, line


async def agrees(house: PushHouse, who: str, agreed: bool = True) -> None:
    data = {"event": "subscribe_msg_popup_event", "consents": [{"template": "P1", "agreed": agreed}]}
    await house.talk.hear(who=who, kind="notice", data=data)


async def left(house: PushHouse) -> list[int]:
    """How many notices may still come, of each who ever agreed."""
    sql = "SELECT remaining FROM notice_consent ORDER BY identity"
    rows = await house.talk.writer.run(lambda connection: connection.exec_driver_sql(sql).all())
    return [row.remaining for row in rows]


async def foretold(house: PushHouse, push: Push) -> set[tuple[str, str, int]]:
    """What the preview says: way, reason, people."""
    rule = await house.pushes.rule(push, house.talk.now)
    rows = await house.talk.writer.run(lambda c: push_opening.preview(c, rule, house.talk.now))
    return {(way, reason, number) for _, way, reason, number in rows}


def test_it_goes_to_who_agreed_where_nothing_else_is_open(database_url: str) -> None:
    async def journey() -> None:
        async with noticing(database_url, 3) as (house, line):
            await talked(house.talk, "签到", "wechat-0001")  # the window is open
            push = await house.approved(content=SERVICE)
            house.talk.now = MORNING
            expected = {("service", "", 1), ("notice", "", 1), ("", "window_closed", 1)}
            assert await foretold(house, push) == expected
            await house.step(2)
            assert await house.counts(push) == {"sent": 2, "refused/window_closed": 1}
            assert line.notices == [("wechat-0000", "P1", {"thing1": "周五见", "date2": "2026-11-23"})]
            assert [parcel.address for parcel in line.sent] == ["wechat-0001"]
            assert await left(house) == [0]
            rows = await house.talk.writer.run(
                lambda c: c.exec_driver_sql("SELECT sent_since FROM identity ORDER BY id").all()
            )
            # A notice is none of the window's five.
            assert [row.sent_since for row in rows] == [0, 1, 0]

            house.talk.now += timedelta(days=8)
            again = await house.approved("b", content=SERVICE, schedule={"at": f"{house.talk.now:%Y-%m-%dT12:00:00}"})
            assert ("notice", "", 1) not in await foretold(house, again)

    run(journey())


def test_a_mass_send_comes_before_it_and_a_month_that_is_used_up_behind(database_url: str) -> None:
    async def journey() -> None:
        async with noticing(database_url) as (house, line):
            push = await house.approved()
            house.talk.now = MORNING
            assert await foretold(house, push) == {("mass", "", 2)}
            await house.step(2)
            later = MORNING + timedelta(days=7, hours=1)  # the week is over and the month is not
            rule = await house.pushes.rule(push, later)
            spent = [
                await house.talk.writer.run(lambda c, r=r: push_opening.preview(c, r, later))
                for r in (rule, replace(rule, monthly=1))
            ]
            assert [{(way, reason) for _, way, reason, _ in rows} for rows in spent] == [
                {("mass", "")},
                {("notice", ""), ("", "month_used_up")},
            ]
            assert not line.notices

    run(journey())


@pytest.mark.parametrize(
    ("fate", "ends", "free"),
    [
        (Outcome("refused", "consent_refused"), "refused/consent_refused", []),  # 43101: the platform knows of no yes
        (Outcome("refused", "not_following"), "refused/not_following", [1]),
        (Outcome("failed", "bad_template"), "failed/bad_template", [1]),
        (Outcome("doubtful", "no_answer"), "doubtful/no_answer", [0]),
    ],
)
def test_each_outcome_ends_it_and_only_a_certain_one_frees_the_yes(
    database_url: str, fate: Outcome, ends: str, free: list[int]
) -> None:
    async def journey() -> None:
        async with noticing(database_url, 1) as (house, line):
            line.notice_fate = lambda address: fate
            push = await house.approved(content=SERVICE)
            house.talk.now = MORNING
            await house.step(2)
            await house.patience()
            await house.step(2)
            assert await house.counts(push) == {ends: 1}
            assert await left(house) == free
            assert len(line.notices) == (fate.state == "doubtful")  # never a second time

    run(journey())


def test_what_was_not_taken_comes_again_under_the_same_yes(database_url: str) -> None:
    async def journey() -> None:
        async with noticing(database_url, 1) as (house, line):
            line.notice_fate = lambda address: Outcome("slow", "quota", 1.0)
            push = await house.approved(content=SERVICE)
            house.talk.now = MORNING
            await house.step(2)
            assert await left(house) == [1] and not line.notices
            line.notice_fate = lambda address: Outcome("sent")
            await house.patience()
            await house.step(2)
            assert await house.counts(push) == {"sent": 1} and await left(house) == [0] and len(line.notices) == 1

    run(journey())


def test_one_yes_is_one_notice_for_two_pushes_at_once(database_url: str) -> None:
    async def journey() -> None:
        async with noticing(database_url, 1) as (house, line):
            both = [await house.approved(key, content=SERVICE) for key in ("a", "b")]
            house.talk.now = MORNING
            await house.step(3)
            told = [await house.counts(push) for push in both]
            assert sorted(map(str, told)) == ["{'refused/yes_used_up': 1}", "{'sent': 1}"]
            assert len(line.notices) == 1 and await left(house) == [0]

    run(journey())


def test_a_no_since_the_opening_holds(database_url: str) -> None:
    async def journey() -> None:
        async with noticing(database_url, 1) as (house, line):
            push = await house.approved(content=SERVICE)
            house.talk.now = MORNING
            assert await house.slice(push, 9) == 1
            await agrees(house, "wechat-0000", False)
            await house.step(2)
            assert await house.counts(push) == {"refused/yes_used_up": 1} and not line.notices

    run(journey())


def test_without_its_template_it_is_refused_and_never_sent_otherwise(database_url: str) -> None:
    async def journey() -> None:
        async with noticing(database_url, 1) as (house, line):
            push = await house.approved(content=SERVICE)
            house.talk.now = MORNING
            assert await house.slice(push, 9) == 1
            house.templates.clear()
            await house.step(2)
            assert await house.counts(push) == {"refused/no_capability": 1}
            assert not line.notices and not line.sent and await left(house) == [1]

    run(journey())


def test_who_leaves_after_the_claim_gets_none_and_keeps_the_yes(database_url: str) -> None:
    async def journey() -> None:
        async with noticing(database_url, 1) as (house, line):
            push = await house.approved(content=SERVICE)
            house.talk.now = MORNING
            assert await house.slice(push, 9) == 1
            house.once_claimed.append(lambda: talked(house.talk, "退订", "wechat-0000"))
            await house.step()
            assert not line.notices
            await house.patience()
            await house.step(2)
            assert await house.counts(push) == {"refused/no_consent": 1} and await left(house) == [1]

    run(journey())


def test_what_begins_too_late_is_given_back_with_its_yes(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def journey() -> None:
        async with noticing(database_url, 1) as (house, line):
            push = await house.approved(content=SERVICE)
            house.talk.now = MORNING
            monkeypatch.setattr(notifying, "BEGIN_SECONDS", -1.0)  # frozen for longer, as far as it can tell
            assert await house.slice(push, 9) == 1
            await house.sender.step(MORNING)
            assert not line.notices and await left(house) == [1]
            monkeypatch.undo()
            await house.patience()
            await house.step(2)
            assert await house.counts(push) == {"sent": 1} and len(line.notices) == 1 and await left(house) == [0]

    run(journey())


def test_a_stop_after_the_claim_holds_it_and_costs_no_yes(database_url: str) -> None:
    async def journey() -> None:
        async with noticing(database_url, 1) as (house, line):
            push = await house.approved(content=SERVICE)
            house.talk.now = MORNING

            async def stop() -> None:
                await house.act(stopping.stop)

            assert await house.slice(push, 9) == 1
            house.once_claimed.append(stop)
            await house.step()
            assert not line.notices and await left(house) == [1]
            await house.act(stopping.resume)
            await house.patience()
            await house.step(2)
            assert await house.counts(push) == {"sent": 1} and len(line.notices) == 1

    run(journey())


def test_a_node_that_dies_while_sending_leaves_it_in_doubt_and_the_yes_used(database_url: str) -> None:
    async def journey() -> None:
        async with noticing(database_url, 1) as (house, line):
            push = await house.approved(content=SERVICE)
            house.talk.now = MORNING
            assert await house.slice(push, 9) == 1

            def die(connection: Any) -> None:
                runs = house.pushes.runs(connection, MORNING)
                machine, now = machine_now(connection), micros(MORNING)
                (row,) = deliveries.claim(connection, "wechat:main", now, machine, "dead", 9, 60, runs)
                assert row.way == "notice" and notices.spend(connection, row.identity, "P1")

            await house.talk.writer.run(die)
            await house.patience()
            await house.step(2)
            assert await house.counts(push) == {"doubtful/lease_ended": 1}
            assert not line.notices and await left(house) == [0]

    run(journey())


def test_whoever_agrees_to_campaign_messages_is_asked_once(database_url: str) -> None:
    async def journey() -> None:
        async with noticing(database_url, 1) as (house, _):
            asks = "有新的活动消息时"
            said = await house.talk.say("恢复接收", who="newcomer")
            assert asks in said and "/n/main" in said
            assert asks not in await house.talk.say("恢复接收", who="wechat-0000")  # whose yes is unused
            assert asks not in await house.talk.say("恢复接收", who="4711", channel="telegram")

    run(journey())


def test_a_push_by_template_message_is_refused_at_the_start(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[channels.wechat.notices.push]\ntemplate = "S1"\ntemplate_fields = { thing1 = "{text}" }\n')
    with pytest.raises(ConfigFault) as fault:
        load(config, {"LANG": "en_GB.UTF-8"})
    assert "channels.wechat.notices" in str(fault.value) and "template message" in str(fault.value)


def test_from_the_composer_to_the_phone(tmp_path: Path) -> None:
    more = (
        '[channels.wechat.notices.push]\nsubscription = "P1"\n'
        'subscription_fields = { thing1 = "{text}", date2 = "{day}" }\n'
    )
    with push_pages(tmp_path, more) as pages:
        pages.wechat.notices["P1"] = ("thing1", "date2")
        pages.crowd(wechat=2)
        phone, other = (pages.wechat.people[who] for _, who in pages.who)
        pages.wechat.webhook = f"{pages.house.url}/wechat"
        asyncio.run(phone.consent("P1"))
        (_, author), (_, approver) = colleagues(pages)
        number = pages.write(author, wechat="service", at="2026-11-25T10:00")
        page = approver.get(f"/console/pushes/{number}").text
        assert "As a subscription notice" in page
        assert "a subscription notice (they agreed to one)" in page and "48-hour window is shut" in page
        assert pages.approve(approver, number).status_code == 303
        pages.clock.offset += timedelta(days=1, minutes=1)
        pages.until(lambda: pages.push(number).state == "done")
        assert pages.counts(number) == {"sent": 1, "refused/window_closed": 1}
        told = [one for one in phone.received if one.how == "notice"]
        assert [one.kind for one in told] == ["P1"] and "周五见" in told[0].content
        assert not [one for one in other.received if one.how == "notice"] and pages.wechat.faults == []
