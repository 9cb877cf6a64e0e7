"""QR codes with a scene: the platform's limits as it plays them, and our making, keeping, renewing and rationing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from bot.channels import Link
from bot.channels.wechat import open_channel
from bot.played.wechat import PlayedWeChat
from bot.wechat import scenes
from storage import kept
from tests.outbox import opened
from tests.test_played_wechat import channel_app, client, code_of, served
from tests.wechat_house import Clock, House, settings

DAYS = timedelta(days=1)


@pytest.fixture
def world() -> Iterator[PlayedWeChat]:
    with PlayedWeChat(clock=Clock()) as played:
        yield played


def scene(text: str, **more: Any) -> dict[str, Any]:
    body = {"action_name": "QR_STR_SCENE", "action_info": {"scene": {"scene_str": text}}, "expire_seconds": 2_592_000}
    return body | more


class Stage:
    """Channels of one account on two nodes, which share what the house keeps."""

    def __init__(self, world: PlayedWeChat, **changed: Any) -> None:
        self.world, self.clock = world, world.clock
        self.house = House(self.clock)  # type: ignore[arg-type]
        self.node, self.other = (
            open_channel("main", settings(api_url=world.url, **changed), self.house) for _ in range(2)
        )

    def links(self, *scenes: str, node: Any = None) -> list[Link | None]:
        async def ask() -> list[Link | None]:
            channel = node or self.node
            try:
                return list(await asyncio.gather(*(channel.link(one) for one in scenes)))
            finally:
                await channel.close()

        return asyncio.run(ask())

    def link(self, scene: str = "r_AAAA2222", node: Any = None) -> Link | None:
        return self.links(scene, node=node)[0]

    @property
    def made(self) -> int:
        return self.world.asked["qrcode/create"]


def test_the_platform_takes_what_the_real_one_takes(world: PlayedWeChat) -> None:
    create = client(world).qrcode.create
    answer = create(scene("r_A1"))
    assert answer["url"].startswith("http://weixin.qq.com/q/")
    assert answer["expire_seconds"] == 2_592_000
    assert answer["ticket"]
    assert create({"action_name": "QR_STR_SCENE", "action_info": {"scene": {"scene_str": "x"}}})["expire_seconds"] == 30
    assert "expire_seconds" not in create(scene("shop", action_name="QR_LIMIT_STR_SCENE"))
    assert code_of(create, scene("x" * 64)) == 0
    for bad in (
        scene("x" * 65),
        scene(""),
        scene("x", expire_seconds=2_592_001),
        scene("x", expire_seconds=0),
        scene("x", action_name="QR_SCENE"),
    ):
        assert code_of(create, bad) == 40053
    assert code_of(create, scene("x", action_name="QR")) == 40052
    world.day_quotas["qrcode/create"] = 0
    assert code_of(create, scene("x")) == 45009


@pytest.mark.parametrize("kind, verified", [("subscription", True), ("service", False), ("subscription", False)])
def test_only_verified_service_accounts_may(world: PlayedWeChat, kind: str, verified: bool) -> None:
    world.kind, world.verified = kind, verified
    assert code_of(client(world).qrcode.create, scene("r_A1")) == 48001


def test_people_scan_what_was_made_until_it_expires() -> None:
    clock = Clock()
    with PlayedWeChat(clock=clock) as world:
        house = House(clock)

        async def days() -> tuple[Any, ...]:
            channel = open_channel("main", settings(api_url=world.url), house)
            link = await channel.link("r_AAAA2222")
            assert link
            async with served(channel_app(house, "safe"), world):
                stranger, follower = world.person(), world.person()
                await follower.follow()
                said = [await stranger.scan_code(link.url), await follower.scan_code(link.url)]
                said.append(await stranger.scan_code("http://weixin.qq.com/q/of_another_account"))
                clock.pass_(days=30)
                said.append(await world.person().scan_code(link.url))
            await channel.close()
            return (*said, link.until)

        *said, until = asyncio.run(days())
    assert said == ["好的", "好的", "", ""]
    assert until == clock()
    assert [(heard.kind, heard.data) for heard in house.heard] == [
        ("follow", {}),
        ("follow", {"scene": "r_AAAA2222"}),
        ("scan", {"scene": "r_AAAA2222"}),
    ]
    assert world.faults == []


def test_a_code_is_made_once_and_renewed_with_three_weeks_left(world: PlayedWeChat) -> None:
    stage = Stage(world)
    first = stage.link()
    assert first and first.until == stage.clock() + 30 * DAYS
    assert (stage.link(), stage.link(node=stage.other), stage.made) == (first, first, 1)
    stage.clock.pass_(days=9)  # type: ignore[attr-defined]
    assert (stage.link(), stage.made) == (first, 1)
    stage.clock.pass_(seconds=1)  # type: ignore[attr-defined]
    second = stage.link()
    assert second and first != second and len(world.codes) == 2
    assert second.until and second.until - stage.clock() >= 21 * DAYS
    # The earlier one goes on working for whoever has the earlier poster.
    assert {code.scene for code in world.codes.values()} == {"r_AAAA2222"}


def test_it_is_kept_no_longer_than_it_is_fresh(world: PlayedWeChat) -> None:
    stage = Stage(world)
    seconds: list[float] = []
    keep = stage.house.keep

    async def noted(key: str, value: dict[str, Any], length: float) -> None:
        if ":scene:" in key:
            seconds.append(length)
        await keep(key, value, length)

    stage.house.keep = noted  # type: ignore[method-assign]
    stage.link()
    assert seconds == [9 * 86_400]


def test_asked_fifty_times_at_once_one_is_made(world: PlayedWeChat) -> None:
    stage = Stage(world)
    assert len({link and link.url for link in stage.links(*["r_AAAA2222"] * 50)}) == 1
    assert stage.made == 1
    assert len({link and link.url for link in stage.links(*(f"r_AAAA22{n}" for n in range(10, 30)))}) == 20


def test_a_fifth_of_the_day_is_left_to_placements(world: PlayedWeChat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "FOR_REFERRERS", 4)
    world.day_quotas["qrcode/create"] = 5
    stage = Stage(world)
    made = [stage.link(f"r_AAAA222{n}", node) for n, node in enumerate([stage.node, stage.other] * 3, 2)]
    assert [link is not None for link in made] == [True] * 4 + [False] * 2
    assert stage.made == 4  # what we count out ourselves is not asked for
    assert stage.link("p_shop-1") is not None
    assert stage.link("p_shop-2") is None  # 45009, the platform's own
    assert stage.link("r_AAAA2222") == made[0]
    asked = stage.made
    assert stage.link("p_shop-3") is None and stage.made == asked  # believed until the day turns
    stage.clock.pass_(hours=16)  # type: ignore[attr-defined]  # midnight in China
    assert stage.link("r_AAAA2227") is not None and stage.link("p_shop-2") is not None


@pytest.mark.parametrize("kind, verified", [("subscription", True), ("service", False), ("subscription", False)])
def test_accounts_that_may_not_are_not_asked(world: PlayedWeChat, kind: str, verified: bool) -> None:
    stage = Stage(world, kind=kind, verified=verified)
    assert (stage.link(), stage.made) == (None, 0)


def test_a_platform_that_refuses_is_believed_on_all_nodes(world: PlayedWeChat) -> None:
    world.verified = False
    stage = Stage(world)
    assert (stage.link(), stage.made) == (None, 1)
    assert (stage.link("r_AAAA3333", stage.other), stage.made) == (None, 1)


@pytest.mark.parametrize("trouble", [{"status": 502}, {"drop": True}, {"code": 45011}])
def test_trouble_is_passed_by_for_a_while(
    world: PlayedWeChat, trouble: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(world)
    world.fail("qrcode/create", **trouble)
    assert stage.link() is None
    assert (stage.link(), stage.made) == (None, 1)
    monkeypatch.setattr(scenes, "_REST_SECONDS", 0.0)
    stage.node._scenes._rest_until = 0.0  # type: ignore[attr-defined]
    assert stage.link() is not None


def test_scenes_that_no_code_can_hold_are_refused(world: PlayedWeChat) -> None:
    stage = Stage(world)
    assert stage.links("", "x" * 65) == [None, None]
    assert stage.made == 0


def test_counting_is_exact_on_both_databases(database_url: str) -> None:
    with opened(database_url) as store:
        with store.begin() as connection:
            counted = [kept.count(connection, "day", 3, 60) for _ in range(5)]
            assert kept.count(connection, "another day", 3, 60)
        assert counted == [True] * 3 + [False] * 2
