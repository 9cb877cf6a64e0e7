"""Mass sends against the played platform over real HTTP: one request for many, counted once by our key."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from bot.channels import MassOutcome
from bot.channels.wechat import WeChat
from bot.played.wechat import PlayedWeChat, mass
from tests.wechat_house import Clock, House, settings

HELLO = {"text": "周五见\n回复“退订”不再接收"}
SEND = "message/mass/send"


class Stage:
    """A channel, its platform and some followers."""

    def __init__(self, world: PlayedWeChat, clock: Clock, people: int = 3) -> None:
        self.world, self.clock, self.house = world, clock, House(clock)
        self.people = [world.person() for _ in range(people)]
        for person in self.people:
            person.since = clock()

    def run(self, act: Callable[[WeChat], Awaitable[Any]], **changed: Any) -> Any:
        async def all_of_it() -> Any:
            channel = WeChat("main", settings(api_url=self.world.url, **changed), self.house)
            try:
                return await act(channel)
            finally:
                await channel.close()

        return asyncio.run(all_of_it())

    def send(self, message: dict[str, Any] = HELLO, key: str = "koukou-1", **changed: Any) -> MassOutcome:
        addresses = [person.openid for person in self.people]
        return self.run(lambda channel: channel.mass_send(addresses, message, key), **changed)

    def got(self) -> list[list[tuple[str, str]]]:
        return [[(one.kind, one.content) for one in person.received] for person in self.people]


@pytest.fixture
def stage() -> Iterator[Stage]:
    clock = Clock()
    with PlayedWeChat(clock=clock) as world:
        yield Stage(world, clock)


def test_a_text_reaches_each_once_however_often_it_is_sent(stage: Stage) -> None:
    first = stage.send()
    again = stage.send()
    assert (first.state, again.state, again.reason) == ("sent", "sent", "sent_before")
    assert first.platform == again.platform != ""
    assert stage.got() == [[("text", HELLO["text"])]] * 3
    assert stage.send(key="koukou-2").platform != first.platform
    assert [len(got) for got in stage.got()] == [2, 2, 2]


@pytest.mark.parametrize(
    "trouble",
    [{"drop": True, "accept": True}, {"status": 502, "accept": True}, {"status": 502}, {"code": -1}],
    ids=["lost answer", "502 after accepting", "502", "busy"],
)
def test_doubt_is_repeated_under_the_same_key(stage: Stage, trouble: dict[str, Any]) -> None:
    stage.world.fail(SEND, **trouble)
    assert stage.send().state == "doubtful"
    assert stage.send().state == "sent"
    assert stage.got() == [[("text", HELLO["text"])]] * 3


@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [(45009, "slow", "day_quota"), (45011, "slow", "minute_quota"), (48001, "refused", "no_capability")],
)
def test_the_platforms_refusals_have_their_class(stage: Stage, code: int, state: str, reason: str) -> None:
    stage.world.fail(SEND, code=code)
    ended = stage.send()
    assert (ended.state, ended.reason) == (state, reason)
    assert stage.got() == [[]] * 3


def test_a_stale_token_is_renewed_and_nobody_gets_it_twice(stage: Stage) -> None:
    stage.world.fail(SEND, code=40001)
    assert stage.send().state == "sent"
    assert stage.got() == [[("text", HELLO["text"])]] * 3


def test_only_a_verified_service_account_may(stage: Stage) -> None:
    for kind, verified in (("service", False), ("subscription", True)):
        ways = stage.run(lambda channel: channel.ways(), kind=kind, verified=verified)
        assert "mass" not in ways
    assert stage.run(lambda channel: channel.ways()) == {"service", "mass"}
    stage.world.kind = "subscription"
    assert stage.send().reason == "no_capability"
    assert "mass" not in stage.run(lambda channel: channel.ways())  # remembered for all nodes


def test_one_alone_is_refused_before_any_request(stage: Stage) -> None:
    del stage.people[1:]
    assert stage.send() == MassOutcome("refused", "too_few")
    assert stage.world.asked[SEND] == 0


def test_a_picture_with_words_becomes_an_article(stage: Stage) -> None:
    drawn = io.BytesIO()
    Image.new("RGB", (75, 133), "#2255aa").save(drawn, "JPEG")
    stage.house.pictures["campaign:opening:zh:1"] = (drawn.getvalue(), "image/jpeg")
    message = {**HELLO, "picture": {"name": "campaign:opening:zh:1", "alt": "家庭网"}}
    assert stage.send(message).state == "sent"
    assert stage.send(message, key="koukou-2").state == "sent"
    assert stage.got() == [[("mpnews", "周五见")] * 2] * 3
    assert stage.world.asked["material/add_material"] == stage.world.asked["media/uploadimg"] == 1
    assert stage.world.asked["draft/add"] == 2  # a draft that was sent is gone, so each send has its own
    stage.house.pictures.clear()
    assert stage.send(message, key="koukou-3").state == "sent"  # no such picture any more: the words alone
    assert stage.got()[0][-1] == ("text", HELLO["text"])


def test_a_fault_before_the_request_is_no_doubt(stage: Stage) -> None:
    drawn = io.BytesIO()
    Image.new("RGB", (75, 133), "#2255aa").save(drawn, "JPEG")
    stage.house.pictures["campaign:opening:zh:1"] = (drawn.getvalue(), "image/jpeg")
    message = {**HELLO, "picture": {"name": "campaign:opening:zh:1", "alt": "家庭网"}}
    stage.world.fail("draft/add", drop=True)
    assert stage.send(message).state == "retry"
    assert stage.got() == [[]] * 3


def test_four_a_month_and_those_who_left_are_filtered_by_the_platform(stage: Stage) -> None:
    for number in range(4):
        stage.send(key=f"koukou-{number}")
    stage.people[0].since = None
    ended = stage.send(key="koukou-5")
    assert ended.state == "sent"
    assert stage.world.masses[int(ended.platform)].reached == []
    assert [len(got) for got in stage.got()] == [4, 4, 4]
    assert mass.A_MONTH == 4
