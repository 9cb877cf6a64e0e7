"""Runs of pushes while everything around them moves: people come, go and are united, pushes pause, end and are late."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from bot.channels import MassOutcome, Outcome
from bot.pushing import Pushes
from bot.sender import Sender
from campaigns import pushing, stopping
from storage import push_runs
from storage.pushes import Push
from tests.push_house import CONTENT, MORNING, Line, PushHouse, crowd, push_house, talked
from tests.talking import run

SERVICE = {**CONTENT, "wechat": "service"}
DAILY = {"cron": "0 10 * * *"}


async def rows(house: PushHouse, sql: str, **values: Any) -> list[Any]:
    """What a query finds."""
    return await house.talk.writer.run(lambda connection: connection.execute(text(sql), values).all())


async def one_row_each(house: PushHouse) -> None:
    """Nobody has two rows of a run, and every run has as many rows as it says."""
    assert await rows(
        house, "SELECT run, subscriber FROM delivery WHERE run IS NOT NULL GROUP BY 1, 2 HAVING COUNT(*) > 1"
    ) == []  # fmt: skip
    assert await rows(
        house, "SELECT r.id FROM push_run r WHERE r.people <> (SELECT COUNT(*) FROM delivery d WHERE d.run = r.id)"
    ) == []  # fmt: skip


async def unite(house: PushHouse, one: tuple[str, str], other: tuple[str, str]) -> None:
    """Two conversations become one person's; `one` asks for the code."""
    said = await house.talk.say("绑定", who=one[1], channel=one[0])
    code = re.search(r"绑定码：([0-9A-Z]{6})", said)
    assert code
    answer = await house.talk.hear(code[1], who=other[1], channel=other[0])
    assert "绑定成功" in answer.messages[0]["text"]
    for line in house.lines.values():
        line.sent.clear()
    # The conversation that did not speak is told by the sender, which is no concern here.
    await rows(
        house,
        "UPDATE delivery SET state = 'sent', lease = '', lease_until = NULL WHERE lane = 0 AND state <> 'sent' "
        "RETURNING id",
    )


# ---- people come, go and become one between slices


def test_people_who_come_and_go_between_slices(database_url: str) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, telegram=6)
            push = await house.approved()
            house.talk.now = MORNING
            assert await house.slice(push, 2) == 2
            await talked(house.talk, "退订", "telegram-0000", "telegram")  # has a row already
            await talked(house.talk, "退订", "telegram-0003", "telegram")  # not yet
            await talked(house.talk, "", "telegram-0004", "telegram", kind="unfollow")
            await talked(house.talk, "恢复接收", "telegram-new", "telegram")
            await one_row_each(house)
            await house.step()
            assert await house.counts(push) == {
                "sent": 4,  # 1, 2, 5 and the newcomer
                "refused/no_consent": 2,  # who left every account is in no audience
            }
            await one_row_each(house)
            assert await house.state(push) == ("done", ["done"])
            assert "telegram-new" in {parcel.address for parcel in house.lines["telegram"].sent}

    run(journey())


@pytest.mark.parametrize(
    ("swapped", "reached", "begun"),
    [
        *((swapped, reached, "none") for swapped in (False, True) for reached in (0, 1, 2)),
        *((swapped, 2, begun) for swapped in (False, True) for begun in ("older", "younger")),
        *((False, 1, "older"), (True, 1, "younger")),
    ],
)
def test_two_who_become_one_get_it_once(database_url: str, swapped: bool, reached: int, begun: str) -> None:
    """`reached` of the two have their rows when they are united, and one of these may be on its way; `swapped`: the
    older person, who stays, has the higher number and is met later."""
    first, second = ("telegram", "telegram-0000"), ("chat", "chat-0000")
    older, younger = (second, first) if swapped else (first, second)
    on_its_way = {"none": None, "older": older, "younger": younger}[begun]

    async def journey() -> None:
        lines = [Line("telegram", {"bot"}), Line("chat", {"bot"})]
        async with push_house(database_url, *lines) as house:
            got: list[str] = []
            for line in lines:
                line.fate = lambda parcel: got.append(parcel.address) or Outcome("sent")
            house.talk.now -= timedelta(days=3)
            for channel, who in (first, second):
                await talked(house.talk, "恢复接收", who, channel)
            if swapped:
                await rows(
                    house,
                    "UPDATE subscriber SET created_at = created_at - 1000000 WHERE id = (SELECT MAX(id) "
                    "FROM subscriber) RETURNING id",
                )
            house.talk.now = MORNING - timedelta(hours=1)
            push = await house.approved()
            house.talk.now = MORNING
            for _ in range(reached):
                assert await house.slice(push, 1) == 1
            if on_its_way:
                await rows(
                    house,
                    "INSERT INTO rate (account, second, used, pause_until) VALUES (:a, 0, 0, 9000000000000000) "
                    "RETURNING account",
                    a=f"{second[0] if on_its_way is first else first[0]}:main",
                )
                while await house.sender.step(house.talk.now):
                    pass
                assert got == [on_its_way[1]]
            await unite(house, first, second)
            await one_row_each(house)
            await house.patience()
            await house.step(2)
            await one_row_each(house)
            assert len(got) == 1, got
            counts = await house.counts(push)
            assert counts.pop("sent") == 1
            assert counts in ({}, {"refused/joined": 1})
            assert await house.state(push) == ("done", ["done"])

    run(journey())


# ---- paused, cancelled, again and again


def test_a_push_is_paused_while_it_opens_and_goes_on(database_url: str) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, telegram=4, wechat=2)
            push = await house.approved()
            house.talk.now = MORNING
            await house.slice(push, 2)
            await house.act(lambda desk: pushing.pause(desk, push.number))
            await house.step()
            assert await house.slice(push, 2) is None
            assert sum((await house.counts(push)).values()) == 2
            assert all(not line.sent and not line.mass for line in house.lines.values())
            await house.act(lambda desk: pushing.resume(desk, house.talk.writer.library, push.number))
            await house.step(2)
            assert await house.counts(push) == {"sent": 4, "handed_over": 2}
            assert await house.state(push) == ("done", ["done"])
            await one_row_each(house)

    run(journey())


def test_what_comes_back_into_the_queue_of_a_cancelled_push_is_ended(database_url: str) -> None:
    """A row in hand while its push is cancelled returns to the queue, and must not keep the run from its end."""

    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, telegram=2, wechat=1)
            push = await house.approved()
            house.talk.now = MORNING
            await house.pushes.step()

            async def cancel() -> None:
                await house.act(lambda desk: pushing.cancel(desk, push.number))

            house.lines["telegram"].fate = lambda parcel: Outcome("retry", "away")
            house.once_claimed.append(cancel)
            await house.step(2)
            counts = await house.counts(push)
            assert counts == {"refused/cancelled": 2, "handed_over": 1}
            assert not house.lines["telegram"].sent
            assert await house.state(push) == ("cancelled", ["cancelled"])

    run(journey())


@pytest.mark.parametrize("step", ["pause", "cancel"])
def test_a_missed_time_hides_no_run_that_goes_on(database_url: str, step: str) -> None:
    """While one run still sends, the next time is missed; pausing and cancelling reach the run that sends."""

    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, telegram=3)
            push = await house.approved(schedule=DAILY)
            house.talk.now = MORNING
            telegram = house.lines["telegram"]
            telegram.fate = lambda parcel: Outcome("retry", "away")
            await house.step()
            house.talk.now += timedelta(days=1)
            await house.step()
            assert await house.state(push) == ("running", ["missed", "running"])
            telegram.fate = lambda parcel: Outcome("sent")
            act = getattr(pushing, step)
            await house.act(lambda desk: act(desk, push.number))
            await house.patience()
            await house.step(2)
            assert telegram.sent == []
            assert (await house.state(push))[1] == ["missed", "paused" if step == "pause" else "cancelled"]
            if step == "pause":
                await house.act(lambda desk: pushing.resume(desk, house.talk.writer.library, push.number))
                await house.patience()
                await house.step(2)
                assert len(telegram.sent) == 3
                assert await house.state(push) == ("scheduled", ["missed", "done"])

    run(journey())


def test_a_paused_push_holds_up_no_other(database_url: str) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, telegram=3)
            first = await house.approved("a")
            house.talk.now = MORNING
            await house.slice(first, 9)
            await house.act(lambda desk: pushing.pause(desk, first.number))
            second = await house.approved("b", schedule={"at": "2026-11-23T10:05:00"})
            house.talk.now += timedelta(minutes=5)
            await house.step(2)
            assert await house.counts(second) == {"sent": 3}
            assert await house.state(second) == ("done", ["done"])

    run(journey())


def test_one_that_was_paused_past_its_time_is_not_done(database_url: str) -> None:
    """Resumed in time it still goes out; resumed too late it is shown as missed."""

    async def journey(minutes: int, state: tuple[str, list[str]]) -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, telegram=2)
            push = await house.approved()
            await house.act(lambda desk: pushing.pause(desk, push.number))
            house.talk.now = MORNING + timedelta(minutes=minutes)
            await house.step()
            assert await house.state(push) == ("paused", [])
            await house.act(lambda desk: pushing.resume(desk, house.talk.writer.library, push.number))
            await house.step(2)
            assert await house.state(push) == state
            assert len(house.lines["telegram"].sent) == (2 if state[0] == "done" else 0)

    run(journey(90, ("done", ["done"])))


def test_one_that_was_paused_until_too_late_is_missed(database_url: str) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, telegram=2)
            push = await house.approved()
            await house.act(lambda desk: pushing.pause(desk, push.number))
            house.talk.now = MORNING + timedelta(minutes=130)
            await house.act(lambda desk: pushing.resume(desk, house.talk.writer.library, push.number))
            await house.step(2)
            assert await house.state(push) == ("missed", ["missed"])
            assert house.lines["telegram"].sent == []

    run(journey())


# ---- when


def test_nobody_is_disturbed_in_quiet_hours(database_url: str) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, telegram=2, wechat=2)
            push = await house.approved(schedule={"at": "2026-11-23T20:59:00"})
            house.talk.now = datetime.fromisoformat("2026-11-23T21:00:00+08:00")
            await house.step(2)
            assert (await house.run_of(push)).opened
            assert all(not line.sent and not line.mass for line in house.lines.values())
            house.talk.now = datetime.fromisoformat("2026-11-24T08:59:59+08:00")
            await house.step(2)
            assert all(not line.sent and not line.mass for line in house.lines.values())
            house.talk.now += timedelta(seconds=1)
            await house.step(2)
            assert await house.counts(push) == {"sent": 2, "handed_over": 2}

    run(journey())


def test_quiet_hours_that_begin_while_a_claim_waits_are_kept(database_url: str) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, telegram=2)
            push = await house.approved(schedule={"at": "2026-11-23T20:59:00"})
            house.talk.now = datetime.fromisoformat("2026-11-23T20:59:59+08:00")
            await house.pushes.step()

            async def evening() -> None:
                house.talk.now += timedelta(seconds=1)

            house.before_claim.append(evening)
            await house.step()
            assert house.lines["telegram"].sent == []
            assert await house.counts(push) == {"queued": 2}

    run(journey())


def test_a_recurring_push_goes_out_each_time_and_rests_between(database_url: str) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, telegram=2)
            house.talk.now = MORNING + timedelta(minutes=30)  # it comes again: the hour that has passed is not made up
            push = await house.approved(schedule=DAILY)
            await house.step()
            assert await house.state(push) == ("scheduled", [])
            for day in (1, 2):
                house.talk.now = MORNING + timedelta(days=day)
                await house.step(2)
                assert (await house.state(push))[1] == ["done"] * day
            assert len(house.lines["telegram"].sent) == 4
            house.talk.now = MORNING + timedelta(days=3)
            await house.step(2)  # the third within a week
            assert await house.counts(push) == {"refused/over_cap": 2}
            assert await house.state(push) == ("scheduled", ["done"] * 3)

    run(journey())


def test_after_an_outage_only_the_last_time_is_caught_up_with(database_url: str) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, telegram=2)
            house.talk.now = MORNING - timedelta(minutes=10)
            push = await house.approved(schedule={"cron": "*/15 * * * *"})
            house.talk.now = MORNING + timedelta(minutes=50)
            await house.step(4)
            assert (await house.state(push))[1] == ["done", "missed", "missed", "missed"]
            assert len(house.lines["telegram"].sent) == 2

    run(journey())


def test_a_stop_lengthens_how_late_a_push_may_begin(database_url: str) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, telegram=2)
            push = await house.approved()
            house.talk.now = MORNING - timedelta(minutes=5)
            await house.act(stopping.stop)
            house.talk.now = MORNING + timedelta(hours=3)
            await house.step(2)
            assert await house.state(push) == ("scheduled", [])
            await house.act(stopping.resume)
            await house.step(2)
            assert await house.state(push) == ("done", ["done"])
            assert len(house.lines["telegram"].sent) == 2

    run(journey())


# ---- limits


def test_a_ramp_sends_to_few_first(database_url: str) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, telegram=30)
            push = await house.approved(limits={"first": 3000, "rest": 30})
            house.talk.now = MORNING
            await house.step(2)
            few = len(house.lines["telegram"].sent)
            assert 1 <= few <= 20
            house.talk.now += timedelta(minutes=29)
            await house.step()
            assert len(house.lines["telegram"].sent) == few
            house.talk.now += timedelta(minutes=1)
            await house.step()
            assert await house.counts(push) == {"sent": 30}

    run(journey())


def test_it_pauses_itself_when_too_many_fail_and_goes_on_when_told_to(database_url: str) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, telegram=40)
            push = await house.approved(limits={"first": 7000, "rest": 30, "errors": 20})
            house.talk.now = MORNING
            line = house.lines["telegram"]
            line.fate = lambda parcel: Outcome("failed", "broken") if int(parcel.address[-2:]) % 2 else Outcome("sent")
            await house.step(2)
            assert await house.state(push) == ("paused", ["paused"])
            counts = await house.counts(push)
            assert counts["queued"] and counts["failed/broken"] * 5 > counts["sent"]
            line.fate = lambda parcel: Outcome("sent")
            await house.act(lambda desk: pushing.resume(desk, house.talk.writer.library, push.number))
            await house.step()
            assert (await house.state(push))[0] == "running"  # what failed before is no reason to pause again
            house.talk.now += timedelta(minutes=30)
            await house.step(2)
            assert await house.state(push) == ("done", ["done"])

    run(journey())


def test_a_small_share_of_a_large_push_is_no_reason_to_pause(database_url: str) -> None:
    """501 failures of 10,000 are five in a hundred, however few rows it takes to see that."""

    async def journey() -> None:
        async with push_house(database_url) as house:
            columns = (
                "id, subscriber, identity, account, text, part, kind, lane, state, due_at, lease, tries, reason, run"
            )

            def put(connection: Any) -> push_runs.Run:
                begun = push_runs.begin(connection, 1, "c", MORNING, 1, {"zh": "[]"}, MORNING)
                assert begun
                connection.execute(
                    text(
                        f"INSERT INTO delivery ({columns}) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
                        "FROM n WHERE i < 10000) SELECT 900000 + i, 800000 + i, 0, 'telegram:main', 0, 0, 'reminder', "
                        "1, CASE WHEN i <= 501 THEN 'failed' ELSE 'sent' END, 0, '', 0, '', CAST(:run AS BIGINT) FROM n"
                    ),
                    {"run": begun.id},
                )
                return begun

            begun = await house.talk.writer.run(put)
            told = [
                await house.talk.writer.run(lambda c, p=percent: push_runs.troubled(c, begun, p, 20))
                for percent in (20, 6, 5, 1)
            ]
            assert told == [False, False, True, True]

    run(journey())


def test_four_mass_sends_a_month(database_url: str) -> None:
    """Five in a month, with weeks between so that the weekly limit says nothing."""

    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, wechat=2)
            start = datetime.fromisoformat("2026-12-01T10:00:00+08:00")
            for place in range(6):
                day = start + timedelta(days=7 * place, minutes=place)
                push = await house.approved(f"p{place}", schedule={"at": f"{day:%Y-%m-%dT%H:%M:%S}"})
                house.talk.now = day
                await house.step(2)
                counts = await house.counts(push)
                assert counts == ({"refused/month_used_up": 2} if place == 4 else {"handed_over": 2}), (place, counts)
            assert len(house.lines["wechat"].mass) == 5  # four, and one in January

    run(journey())


# ---- mass sends under every outcome


async def _mass_push(house: PushHouse, people: int = 3) -> Push:
    await crowd(house.talk, wechat=people)
    push = await house.approved()
    house.talk.now = MORNING
    return push


@pytest.mark.parametrize("first", ["retry", "slow", "doubtful", "breaks"])
def test_a_mass_send_is_repeated_under_its_key(database_url: str, first: str) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            push = await _mass_push(house)
            keys: list[str] = []

            def fate(addresses: tuple[str, ...], key: str) -> MassOutcome:
                keys.append(key)
                if len(keys) > 1:
                    return MassOutcome("sent", platform="m1")
                if first == "breaks":
                    raise RuntimeError
                return MassOutcome(first, "for a while", 1.0)  # type: ignore[arg-type]

            house.lines["wechat"].mass_fate = fate
            await house.step(2)
            assert len(keys) == 1
            await talked(house.talk, "退订", "wechat-0000")
            await house.patience()
            await house.step(2)
            assert keys == [keys[0]] * 2
            # One that was certainly not taken leaves out who left since; one in doubt is repeated as it was.
            left = first in ("retry", "slow")
            expected = {"handed_over": 2, "refused/no_consent": 1} if left else {"handed_over": 3}
            assert await house.counts(push) == expected
            assert len(house.lines["wechat"].mass[-1][0]) == (2 if left else 3)
            assert await house.state(push) == ("done", ["done"])

    run(journey())


@pytest.mark.parametrize("state", ["refused", "failed"])
def test_a_mass_send_that_is_refused_ends(database_url: str, state: Any) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            push = await _mass_push(house)
            house.lines["wechat"].mass_fate = lambda addresses, key: MassOutcome(state, "48001")
            await house.step(2)
            assert await house.counts(push) == {f"{state}/48001": 3}
            assert (await house.state(push))[1] == ["done"]

    run(journey())


@pytest.mark.parametrize("outcome", ["retry", "doubtful"])
@pytest.mark.parametrize("step", ["pause", "cancel"])
def test_a_mass_send_waits_or_is_called_off_with_its_push(database_url: str, step: str, outcome: Any) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            push = await _mass_push(house)
            line = house.lines["wechat"]
            line.mass_fate = lambda addresses, key: MassOutcome(outcome, "away")
            await house.step(2)
            line.mass.clear()
            line.mass_fate = lambda addresses, key: MassOutcome("sent", platform="m1")
            act = getattr(pushing, step)
            await house.act(lambda desk: act(desk, push.number))
            await house.patience()
            await house.step(2)
            assert line.mass == []
            if step == "cancel":
                how = "doubtful" if outcome == "doubtful" else "refused"
                assert await house.counts(push) == {f"{how}/cancelled": 3}
                assert await house.state(push) == ("cancelled", ["cancelled"])
                return
            await house.act(lambda desk: pushing.resume(desk, house.talk.writer.library, push.number))
            await house.step(2)
            assert await house.counts(push) == {"handed_over": 3}

    run(journey())


def test_a_mass_send_in_doubt_for_a_day_is_for_people_to_settle(database_url: str) -> None:
    """The platform knows its key for 24 hours: repeated later it would go out twice."""

    async def journey() -> None:
        async with push_house(database_url) as house:
            push = await _mass_push(house)
            line = house.lines["wechat"]
            line.mass_fate = lambda addresses, key: MassOutcome("doubtful", "no_answer")
            await house.step()
            line.mass.clear()
            house.talk.now += timedelta(hours=23, minutes=30)
            await house.patience()
            await house.step(2)
            assert line.mass == []
            assert await house.counts(push) == {"doubtful/in_doubt": 3}

    run(journey())


def test_a_stop_holds_mass_sends_too(database_url: str) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            push = await _mass_push(house)
            await house.slice(push, 9)
            await house.act(stopping.stop)
            await house.step(2)
            assert house.lines["wechat"].mass == []
            await house.act(stopping.resume)
            await house.step(2)
            assert await house.counts(push) == {"handed_over": 3}

    run(journey())


# ---- what PostgreSQL knows of it


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_the_planner_hears_of_a_first_push_with_its_first_slice(database_url: str) -> None:
    """Or claims, planned while there was nothing to claim, would read every row of it for each that they take."""

    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, telegram=9)
            push = await house.approved()
            house.talk.now = MORNING
            await house.slice(push, 6)
            known = "SELECT reltuples FROM pg_class WHERE oid = 'delivery'::regclass"
            # The answers that made the crowd, and the slice's rows, which are in the same commit.
            assert [row.reltuples for row in await rows(house, known)] == [9 + 6]
            await house.slice(push, 6)
            assert [row.reltuples for row in await rows(house, known)] == [9 + 6]

    run(journey())


# ---- accounts that are switched off meanwhile


async def _restarted_with(house: PushHouse, *lines: Line) -> None:
    """The service comes again with these accounts alone."""
    talk = house.talk
    house.pushes = Pushes(talk.writer, list(lines), lambda number: talk.library(), lambda: talk.now, 3)
    house.sender = Sender(house._run, list(lines), lambda: talk.now, "two", house.pushes.runs)


async def _minutes_pass(house: PushHouse) -> None:
    """So long that what an earlier service said of its accounts no longer holds."""
    await rows(house, "UPDATE kept SET until = 0 WHERE key LIKE 'served:%' RETURNING key")
    await house.patience()
    house.pushes._served_until = 0.0


def test_what_waits_for_an_account_that_was_switched_off_ends(database_url: str) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, telegram=5, web=2)
            push = await house.approved(limits={"first": 10_000, "rest": 30})
            house.talk.now = MORNING
            await house.pushes._say_served()
            while await house.slice(push, 3):
                pass
            await _restarted_with(house, house.lines["wechat"], house.lines["web"])
            await house.step(2)
            assert await house.counts(push) == {"queued": 7}  # it may be a restart: another node takes it soon
            await _minutes_pass(house)
            await house.step(2)
            assert await house.counts(push) == {"queued": 2, "refused/account_off": 5}
            assert (await house.state(push))[0] == "running"  # pages have a week to fetch
            house.talk.now += timedelta(days=7)
            await house.step(2)
            assert await house.counts(push) == {"refused/not_fetched": 2, "refused/account_off": 5}
            assert await house.state(push) == ("done", ["done"])

    run(journey())


@pytest.mark.parametrize("outcome", ["retry", "doubtful"])
@pytest.mark.parametrize("left", [set(), {"service"}])
def test_a_mass_send_ends_when_its_account_may_send_none_any_more(
    database_url: str, left: set[str], outcome: Any
) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            push = await _mass_push(house)
            house.lines["wechat"].mass_fate = lambda addresses, key: MassOutcome(outcome, "away")
            await house.step(2)
            await _restarted_with(house, Line("telegram", {"bot"}), *([Line("wechat", left)] if left else []))
            await _minutes_pass(house)
            await house.step(2)
            how = "doubtful" if outcome == "doubtful" else "refused"
            assert await house.counts(push) == {f"{how}/account_off": 3}
            assert await house.state(push) == ("done", ["done"])

    run(journey())
