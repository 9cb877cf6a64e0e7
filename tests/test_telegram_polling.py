"""Polling: nothing is confirmed before it is committed, one node polls at a time, and whoever loses the lease stops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.channels import Busy
from bot.channels.telegram import Telegram
from bot.played.telegram import PlayedTelegram
from bot.telegram import polling
from storage import kept
from storage.incoming import Incoming
from storage.store import Store
from tests.houses import unhurried
from tests.telegram_house import TOKEN, House, choices, settings

LEASE = "telegram:main:polling"
NO_LONGER = "this node polls no longer"


@pytest.fixture
def world() -> Iterator[PlayedTelegram]:
    with unhurried(token=TOKEN, hurry=20) as played:
        yield played
        assert not played.faults


@pytest.fixture(autouse=True)
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "LEASE_SECONDS", 1.2)
    monkeypatch.setattr(polling, "_RENEW_SECONDS", 0.1)
    monkeypatch.setattr(polling, "_FIRST_REST", 0.1)


@asynccontextmanager
async def polled(world: PlayedTelegram, *houses: House) -> AsyncIterator[list[Telegram]]:
    """A channel that polls for each house."""
    channels = [Telegram("main", settings(updates="polling", api_url=world.url), house) for house in houses]
    for channel in channels:
        await channel.start()
    try:
        yield channels
    finally:
        for channel in channels:
            await channel.close()


def house(me: str = "this node", beside: House | None = None) -> House:
    """A house of its own memory; `beside` another one it shares what is kept and heard, as by one database."""
    one = House(lambda: datetime.now(UTC))
    one.me = me
    if beside:
        one.leases, one.kept, one.heard, one.answers = beside.leases, beside.kept, beside.heard, beside.answers
    return one


async def until(true: Callable[[], Any], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def texts(heard: House) -> list[str]:
    return [one.text for one in heard.heard if one.kind == "text"]


def test_updates_come_in_their_order_and_are_confirmed(world: PlayedTelegram) -> None:
    async def story() -> None:
        ours = house()
        ann = world.person()
        world.courier.set_hook(type(world.hook)("https://old.example/hook"))  # somebody left a webhook behind
        ann.start()
        for number in range(250):
            ann.say(str(number))
        async with polled(world, ours):
            await world.idle()
            assert texts(ours) == [str(number) for number in range(250)]
            assert world.hook.url == ""
            late = ann.say("晚")
            await world.taken(late)
        assert texts(ours)[-1] == "晚"
        assert world.courier.kinds == {"message", "edited_message", "callback_query", "my_chat_member", "poll_answer"}

    asyncio.run(story())


def test_a_pressed_button_is_let_go(world: PlayedTelegram) -> None:
    async def story() -> None:
        ours, ann = house(), world.person()
        ann.start()
        async with polled(world, ours) as [channel]:
            tree = {"text": "选", "choices": choices("积分", "签到")}
            parcel = type("P", (), {"delivery": 1, "address": str(ann.id), "message": tree})
            assert (await channel.send(parcel)).state == "sent"  # type: ignore[arg-type]
            for _ in range(2):  # it stays, and may be pressed again
                await world.taken(ann.tap("积分"))
            await until(lambda: len(ann.toasts) == 2)
        taps = [one for one in ours.heard if one.text == "积分"]
        assert [dict(one.data) for one in taps] == [{"message": str(ann.received[0].message_id)}] * 2

    asyncio.run(story())


def test_nothing_is_confirmed_before_all_of_it_is_committed(world: PlayedTelegram) -> None:
    async def story() -> None:
        ours, ann = house(), world.person()
        refuse = True

        async def busy(one: Incoming) -> None:
            if refuse and one.text == "三":
                raise Busy

        ours.before = busy
        ann.start()
        sent = [ann.say(word) for word in "一二三四五"]
        async with polled(world, ours):
            await until(lambda: "五" in texts(ours))
            await asyncio.sleep(0.4)
            assert set(sent) <= set(world.pending())
            assert texts(ours) == ["一", "二", "四", "五"]
            refuse = False
            await world.idle()
        assert sorted(texts(ours)) == sorted("一二三四五")

    asyncio.run(story())


def test_a_node_that_ends_in_the_middle_confirms_nothing(world: PlayedTelegram) -> None:
    async def story() -> None:
        ours, ann = house(), world.person()
        stuck = asyncio.Event()

        async def wait(one: Incoming) -> None:
            if one.text == "二":
                await stuck.wait()

        ours.before = wait
        ann.start()
        sent = [ann.say(word) for word in "一二三"]
        async with polled(world, ours):
            await until(lambda: "三" in texts(ours))
        assert set(sent) <= set(world.pending())
        after = house("the next", beside=ours)
        async with polled(world, after):
            await world.idle()
        assert sorted(texts(after)) == sorted("一二三"), "each once, though two of them came twice"

    asyncio.run(story())


def test_what_cannot_be_read_does_not_stop_the_others(world: PlayedTelegram) -> None:
    async def story() -> None:
        ours, ann = house(), world.person()
        ann.start()
        ann._message({"voice": "not as documented"})
        ann.say("签到")
        async with polled(world, ours):
            await world.idle()
        assert texts(ours) == ["签到"]

    asyncio.run(story())


@pytest.mark.parametrize(
    "trouble",
    [{"code": 502}, {"retry_after": 1}, {"drop": True}, {"drop": True, "accept": True}, {"code": 409}, {"html": True},
     {"html": True, "code": 500}],
)  # fmt: skip
def test_the_poll_survives(world: PlayedTelegram, trouble: dict[str, Any]) -> None:
    """Among them a lost reply: what was handed out and never arrived is handed out again."""

    async def story() -> None:
        ours, ann = house(), world.person()
        ann.start()
        ann.say("签到")
        world.fail("deleteWebhook", code=500)
        world.fail("getUpdates", times=2, **trouble)
        async with polled(world, ours):
            await world.idle(20)
        assert texts(ours) == ["签到"]

    asyncio.run(story())


def test_one_of_two_polls_and_the_other_takes_over(world: PlayedTelegram, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        first = house("first")
        second = house("second", beside=first)
        ann = world.person()
        ann.start()
        async with polled(world, first):
            await world.idle()
            async with polled(world, second):
                asked = world.asked["getUpdates"]
                for number in range(5):
                    await world.taken(ann.say(f"a{number}"))
                assert world.asked["getUpdates"] <= asked + 6  # one poll at a time
                assert first.leases[LEASE][0] == "first"
                # The database says that it is another's: whoever had it stops in the middle of the poll.
                first.leases[LEASE] = ("second", time.monotonic() + 5)
                await until(lambda: NO_LONGER in caplog.text, 2)
                for number in range(5):
                    await world.taken(ann.say(f"b{number}"))
                assert first.leases[LEASE][0] == "second"
        assert texts(first) == [f"{letter}{number}" for letter in "ab" for number in range(5)]

    asyncio.run(story())


def test_at_the_end_the_lease_is_given_back(world: PlayedTelegram) -> None:
    async def story() -> None:
        ours = house()
        async with polled(world, ours):
            await until(lambda: world.asked["getUpdates"])
        assert ours.leases[LEASE][1] <= time.monotonic()

    asyncio.run(story())


def test_while_the_database_is_away_the_poll_lasts_as_long_as_its_lease(
    world: PlayedTelegram, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        ours = house()
        hold = ours.hold

        async def away(name: str, seconds: float) -> bool:
            raise OSError

        async with polled(world, ours):
            await until(lambda: world.asked["getUpdates"])
            ours.hold = away  # type: ignore[method-assign]
            await asyncio.sleep(0.5)
            assert NO_LONGER not in caplog.text
            await until(lambda: NO_LONGER in caplog.text, 2)
            ours.hold = hold  # type: ignore[method-assign]
            asked = world.asked["getUpdates"]
            await until(lambda: world.asked["getUpdates"] > asked)

    asyncio.run(story())


# ---- the lease itself, on both databases


def test_a_lease_is_one_holders_until_it_ends(database_url: str) -> None:
    store = Store(database_url)

    def hold(holder: str, seconds: float = 60.0, name: str = "poll") -> bool:
        with store.begin() as connection:
            return kept.hold(connection, name, holder, seconds)

    try:
        assert hold("a") and hold("a") and not hold("b")
        assert hold("b", name="another")
        assert not hold("b", 0.0) and hold("a"), "nobody gives back what is another's"
        assert hold("a", 0.0) and hold("b", 0.2) and not hold("a")
        time.sleep(0.25)
        assert hold("a") and not hold("b")
    finally:
        store.close()


def test_of_many_at_once_one_gets_the_lease(database_url: str) -> None:
    store = Store(database_url)

    async def story() -> list[bool]:
        def hold(number: int) -> bool:
            with store.begin() as connection:
                return kept.hold(connection, "poll", f"node {number}", 60.0)

        if store.is_sqlite:
            return [hold(number) for number in range(12)]
        return list(await asyncio.gather(*[asyncio.to_thread(hold, number) for number in range(12)]))

    try:
        assert sum(asyncio.run(story())) == 1
    finally:
        store.close()
