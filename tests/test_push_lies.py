"""Pushes by the real channels to platforms that lie, storm and tire in the middle: the books are right by class."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from bot.channels.telegram import Telegram
from bot.channels.wechat import WeChat
from bot.played.telegram import PlayedTelegram
from bot.played.wechat import PlayedWeChat
from storage import mass_jobs, pauses
from storage.pushes import Push
from tests import telegram_house, wechat_house
from tests.houses import unhurried
from tests.push_house import CONTENT, MORNING, PushHouse, push_house, talked
from tests.talking import run

PEOPLE = 40
SERVICE = {**CONTENT, "wechat": "service"}
SEND, MASS = "message/custom/send", "message/mass/send"


class Stage:
    """A house whose channels are real, and the worlds they speak to. Everybody agreed and wrote an hour ago."""

    def __init__(self, house: PushHouse, telegram: PlayedTelegram, wechat: PlayedWeChat) -> None:
        self.house, self.telegram, self.wechat = house, telegram, wechat

    async def people(self, channel: str, count: int = PEOPLE) -> list[Any]:
        """People of one platform, known to both sides."""
        talk, some = self.house.talk, []
        talk.now = MORNING - timedelta(hours=1)
        for _ in range(count):
            if channel == "telegram":
                person = self.telegram.person()
                person.known = True
                await talked(talk, "恢复接收", str(person.id), channel)
            else:
                person = self.wechat.person()
                person.since = talk.now
                person._open("message", (timedelta(hours=48), 5))
                await talked(talk, "恢复接收", person.openid, channel)
            some.append(person)
        return some

    async def no_window(self) -> None:
        """Everybody had all the answers that their last message allows: what is left is a mass send."""
        await self.house.talk.writer.run(lambda c: c.exec_driver_sql("UPDATE identity SET sent_since = 5"))

    async def out(self, times: int = 3) -> None:
        """Let everything go out, with machine time for what must wait."""
        for _ in range(times):
            await self.house.step(2)
            await self.house.patience()

    async def begin(self, content: dict[str, Any] = SERVICE) -> Push:
        push = await self.house.approved(content=content, limits={"errors": 100})
        self.house.talk.now = MORNING
        return push


@asynccontextmanager
async def staged(url: str) -> AsyncIterator[Stage]:
    clock = wechat_house.Clock()
    with unhurried(token=telegram_house.TOKEN) as telegram, PlayedWeChat(clock=clock) as wechat:
        small = telegram_house.House(clock)
        lines: list[Any] = [
            Telegram("main", telegram_house.settings(api_url=telegram.url, messages_per_second=1000), small),
            WeChat("main", wechat_house.settings(api_url=wechat.url), small),
        ]
        lines[1].per_second = 1000.0
        try:
            async with push_house(url, *lines, most=100) as house:
                # The worlds look at the same clock as the house.
                wechat.clock = small.clock = lambda: house.talk.now  # type: ignore[assignment]
                yield Stage(house, telegram, wechat)
        finally:
            for line in lines:
                await line.close()


def got(person: Any) -> int:
    return sum("周五见" in (getattr(one, "text", "") or getattr(one, "content", "")) for one in person.received)


async def ended(stage: Stage, push: Push) -> dict[str, int]:
    counts = await stage.house.counts(push)
    assert await stage.house.state(push) == ("done", ["done"]), counts
    assert sum(counts.values()) == PEOPLE
    return counts


@pytest.mark.parametrize(
    ("trouble", "arrived"),
    [
        ({"drop": True, "accept": True}, True),
        ({"drop": True, "accept": False}, False),
        ({"code": 502, "accept": True}, True),
        ({"code": 500, "accept": False}, False),
    ],
    ids=["taken, answer lost", "lost", "taken, 502", "500"],
)
def test_a_reminder_in_doubt_is_said_once_more_and_no_oftener(
    database_url: str, trouble: dict[str, Any], arrived: bool
) -> None:
    """Telegram knows no keys: each lie costs at most one second copy, and nobody goes without."""

    async def journey() -> None:
        async with staged(database_url) as stage:
            people = await stage.people("telegram")
            push = await stage.begin()
            stage.telegram.fail("sendMessage", 7, **trouble)
            await stage.out()
            counts = await ended(stage, push)
            assert counts == {"sent": PEOPLE - 7, "sent/resent": 7}
            often = sorted(got(person) for person in people)
            assert often == [1] * (PEOPLE - 7) + [2 if arrived else 1] * 7

    run(journey())


def test_what_is_in_doubt_twice_is_listed_and_left_alone(database_url: str) -> None:
    async def journey() -> None:
        async with staged(database_url) as stage:
            people = await stage.people("telegram")
            push = await stage.begin()
            stage.telegram.fail("sendMessage", 2 * PEOPLE, drop=True, accept=True)
            await stage.out(4)
            counts = await ended(stage, push)
            assert sum(n for key, n in counts.items() if key.startswith("doubtful/")) == PEOPLE, counts
            assert all(got(person) == 2 for person in people)

    run(journey())


def test_a_storm_of_429_is_weathered(database_url: str) -> None:
    """Refused for being too fast is certainly not sent: everybody gets it, once."""

    async def journey() -> None:
        async with staged(database_url) as stage:
            people = await stage.people("telegram")
            push = await stage.begin()
            stage.telegram.fail("sendMessage", 60, retry_after=3)
            await stage.house.step()
            first = stage.telegram.asked["sendMessage"]
            assert first <= 64
            await stage.house.step()
            assert stage.telegram.asked["sendMessage"] == first  # all of the account rests
            for _ in range(60):  # each pause ends with as many refusals as were on their way when the first came
                await stage.out(1)
                if await stage.house.state(push) == ("done", ["done"]):
                    break
            assert await ended(stage, push) == {"sent": PEOPLE}
            assert [got(person) for person in people] == [1] * PEOPLE

    run(journey())


@pytest.mark.parametrize("how", ["service", "mass"])
def test_a_token_that_dies_in_the_middle_is_renewed_once(database_url: str, how: str) -> None:
    async def journey() -> None:
        async with staged(database_url) as stage:
            people = await stage.people("wechat")
            push = await stage.begin(SERVICE if how == "service" else CONTENT)
            if how == "mass":
                await stage.no_window()
            await stage.house.slice(push, 200)
            fetched = stage.wechat.asked["stable_token"]
            stage.wechat.fail(SEND if how == "service" else MASS, 1, code=40001)
            await stage.out()
            assert sum((await ended(stage, push)).values()) == PEOPLE
            assert [got(person) for person in people] == [1] * PEOPLE
            assert stage.wechat.asked["stable_token"] - fetched <= 2  # one to begin with, one anew

    run(journey())


def test_a_day_quota_used_up_rests_until_midnight_and_loses_nothing(database_url: str) -> None:
    async def journey() -> None:
        async with staged(database_url) as stage:
            people = await stage.people("wechat")
            push = await stage.begin()
            stage.wechat.day_quotas[SEND] = 15
            await stage.house.step(2)
            counts = await stage.house.counts(push)
            assert counts == {"sent": 15, "queued/day_quota": PEOPLE - 15}
            rest = await stage.house.talk.writer.run(
                lambda c: c.exec_driver_sql("SELECT MAX(pause_until) FROM rate WHERE account = 'wechat:main'").scalar()
            )
            assert rest
            (wait,) = await stage.house.talk.writer.run(lambda c: pauses.standing(c))
            assert (wait.account, wait.mass, wait.reason) == ("wechat:main", False, "day_quota")
            assert timedelta(hours=13) < wait.left < timedelta(hours=14, minutes=1)  # ten in the morning to midnight
            run_id = (await stage.house.run_of(push)).id
            (of_run,) = await stage.house.talk.writer.run(lambda c: pauses.of_run(c, run_id))
            assert of_run.reason == "day_quota"
            assert stage.house.sender.alarms["wechat:main"]  # the console's problems are made of these
            asked = stage.wechat.asked[SEND]
            await stage.house.step(2)
            assert stage.wechat.asked[SEND] == asked  # nobody knocks again meanwhile
            stage.wechat.day_quotas[SEND] = 500_000
            stage.house.talk.now = MORNING + timedelta(days=1)
            await stage.house.talk.writer.run(
                lambda c: c.exec_driver_sql("UPDATE delivery SET lease_until = lease_until - 86400000000")
            )
            await stage.out()
            assert await ended(stage, push) == {"sent": PEOPLE}
            assert [got(person) for person in people] == [1] * PEOPLE

    run(journey())


@pytest.mark.parametrize("trouble", [{"drop": True, "accept": True}, {"status": 502, "accept": True}, {"status": 502}])
def test_a_lie_about_a_mass_send_doubles_nothing(database_url: str, trouble: dict[str, Any]) -> None:
    """The platform knows our key for a day: asked again it sends once."""

    async def journey() -> None:
        async with staged(database_url) as stage:
            people = await stage.people("wechat")
            push = await stage.begin(CONTENT)
            await stage.no_window()
            stage.wechat.fail(MASS, **trouble)
            await stage.out()
            assert await ended(stage, push) == {"handed_over": PEOPLE}
            assert [got(person) for person in people] == [1] * PEOPLE

    run(journey())


# ---- mass sends of several jobs


JOBS = 4


@pytest.fixture
def four_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """People of a mass send go in jobs of ten instead of ten thousand."""
    monkeypatch.setattr(mass_jobs, "gather", partial(mass_jobs.gather, most=PEOPLE // JOBS))


async def begun(stage: Stage) -> tuple[list[Any], Push]:
    people, push = await stage.people("wechat"), await stage.begin(CONTENT)
    await stage.no_window()
    await stage.house.slice(push, 200)
    return people, push


def between(stage: Stage, first: int, *troubles: tuple[dict[str, Any], int]) -> None:
    """After `first` mass sends that go well come troubles, each so many times."""
    stage.wechat.fail(MASS, first, accept=True)
    for trouble, times in troubles:
        stage.wechat.fail(MASS, times, **trouble)


async def jobs(stage: Stage) -> list[tuple[str, str]]:
    """State and reason of each job."""
    query = "SELECT state, reason FROM mass_job ORDER BY id"
    rows = await stage.house.talk.writer.run(lambda c: c.exec_driver_sql(query).all())
    return [tuple(row) for row in rows]


TAKEN = {"accept": True}
LIES: list[tuple[dict[str, Any], int]] = [
    ({"drop": True, **TAKEN}, 1),
    ({"status": 502, **TAKEN}, 2),
    ({"drop": True}, 1),
    ({"status": 500}, 1),
    ({"code": -1}, 1),
]
STORMS: list[tuple[dict[str, Any], int]] = [({"status": 429}, 4), ({"code": 40001}, 1), ({"code": 45011}, 3)]


@pytest.mark.usefixtures("four_jobs")
@pytest.mark.parametrize("troubles", [LIES, STORMS], ids=["lies", "storms"])
def test_jobs_that_meet_lies_and_storms_in_mid_run_reach_each_once(
    database_url: str, troubles: list[tuple[dict[str, Any], int]]
) -> None:
    async def journey() -> None:
        async with staged(database_url) as stage:
            people, push = await begun(stage)
            between(stage, 1, *troubles)
            for _ in range(9):
                await stage.out(1)
                stage.house.talk.now += timedelta(minutes=2)  # the platform says what became of a key after a minute
            assert await ended(stage, push) == {"handed_over": PEOPLE}
            assert [got(person) for person in people] == [1] * PEOPLE
            assert [len(one.reached) for one in stage.wechat.masses.values()] == [PEOPLE // JOBS] * JOBS
            assert {state for state, _ in await jobs(stage)} == {"accepted"}
            assert stage.wechat.asked[MASS] >= JOBS + sum(times for _, times in troubles)  # all of them were met

    run(journey())


@pytest.mark.usefixtures("four_jobs")
def test_a_quota_used_up_in_mid_run_holds_back_all_jobs_of_the_account(database_url: str) -> None:
    async def journey() -> None:
        async with staged(database_url) as stage:
            people, push = await begun(stage)
            stage.wechat.day_quotas[MASS] = 2
            for _ in range(4):
                await stage.house.step(2)
                assert stage.wechat.asked[MASS] == 3  # who was refused knocks no more, nor do the jobs behind it
            assert sorted(got(person) for person in people) == [0] * 20 + [1] * 20
            assert sum((await stage.house.counts(push)).values()) == PEOPLE
            stage.wechat.day_quotas[MASS] = 100
            stage.house.talk.now += timedelta(days=1)
            await stage.house.talk.writer.run(
                lambda c: c.exec_driver_sql("UPDATE mass_job SET lease_until = lease_until - 86400000000")
            )
            await stage.out()
            assert await ended(stage, push) == {"handed_over": PEOPLE}
            assert [got(person) for person in people] == [1] * PEOPLE

    run(journey())


@pytest.mark.usefixtures("four_jobs")
def test_a_job_in_doubt_beyond_the_life_of_its_key_is_listed_and_left_alone(database_url: str) -> None:
    async def journey() -> None:
        async with staged(database_url) as stage:
            people, push = await begun(stage)
            between(stage, 3, ({"drop": True, **TAKEN}, 10**6))
            for _ in range(3):
                await stage.out(1)
                stage.house.talk.now += timedelta(minutes=2)
            asked = stage.wechat.asked[MASS]
            stage.house.talk.now += timedelta(days=1)
            await stage.out()
            assert stage.wechat.asked[MASS] == asked
            assert await ended(stage, push) == {"handed_over": 30, "doubtful/in_doubt": 10}
            assert [got(person) for person in people] == [1] * PEOPLE

    run(journey())
