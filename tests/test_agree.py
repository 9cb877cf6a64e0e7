"""The page that asks whether notices may come: its signature, its words, and the way from the poster to the notice."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from wechatpy.client.api.jsapi import WeChatJSAPI

from bot.channels.wechat import WeChat
from bot.played.wechat import PlayedWeChat
from bot.site import agree
from bot.wechat.faults import Fault
from bot.wechat.script import signature
from campaigns.notices import ASKED_BY, KINDS
from tests.poster_house import PUBLIC, PosterHouse, poster_house
from tests.wechat_house import Clock, House, settings

TABLE = '[channels.wechat.notices.friend_came]\nsubscription = "T1"\nsubscription_fields = { thing1 = "{text}" }\n'
PHONE = {"User-Agent": "Mozilla/5.0 (Linux; Android 14) MicroMessenger/8.0.50", "Accept-Language": "zh-CN"}
TICKET = "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg"


def run(folder: Path, journey: Any, **how: Any) -> None:
    async def day() -> None:
        async with poster_house(folder, **how) as house:
            await journey(house)
            assert house.world.faults == []

    asyncio.run(day())


def data(page: str) -> dict[str, str]:
    """The data attributes of a page's button."""
    return dict(re.findall(r'data-([a-z-]+)="([^"]*)"', page[page.index('id="agree"') :].partition(">")[0]))


def holds(house: PosterHouse, answer: httpx.Response, url: str) -> None:
    """Hold that a page was signed for `url`, by an independent computation with the platform's ticket."""
    said = data(answer.text)
    assert said["app-id"] == house.world.app_id and house.world.ticket
    ticket = house.world.ticket.value
    other = WeChatJSAPI(None).get_jsapi_signature(said["nonce"], ticket, said["timestamp"], url)
    assert said["signature"] == other and ticket not in answer.text


def test_the_signature_is_that_of_the_documentation() -> None:
    signed = signature(TICKET, "Wm3WZYTPz0wzccnW", 1414587457, "http://mp.weixin.qq.com?params=value#here")
    assert signed == "0f9de62fce790f9a083d5c99e95740ceb90c27ed"


def test_a_ticket_is_shared_renewed_in_time_and_not_asked_for_again_and_again() -> None:
    clock = Clock()
    with PlayedWeChat(clock=clock) as world:
        house = House(clock)

        async def day() -> None:
            one, two = (WeChat("main", settings(api_url=world.url), house) for _ in range(2))
            signed = await asyncio.gather(*(channel.sign(PUBLIC) for channel in (one, two) * 5))
            assert world.asked["ticket/getticket"] <= 2 and len({each.nonce for each in signed}) == 10
            (kept,) = [key for key in house.kept if ":jsapi:" in key]
            del house.kept[kept]  # as when it runs out
            first = world.ticket
            clock.pass_(seconds=7_000)
            await one.sign(PUBLIC)
            assert world.ticket is not first
            del house.kept[kept]
            asked = world.asked["ticket/getticket"]
            world.fail("ticket/getticket", code=45009, times=9)
            for _ in range(3):
                with pytest.raises(Fault):
                    await one.sign(PUBLIC)
            assert world.asked["ticket/getticket"] == asked + 1
            await one.close()
            await two.close()

        asyncio.run(day())


def test_from_the_poster_by_a_yes_to_the_notice_once(tmp_path: Path) -> None:
    async def journey(house: PosterHouse) -> None:
        house.world.notices["T1"] = ("thing1",)
        person = await house.follower()
        link = f"{PUBLIC}/n/main?lang=zh"
        said = await person.say("海报")
        assert said.count(link) == 1 and "没有奖励" in said
        assert (await person.say("积分")).count("/n/") == 0
        answer = await house.http.get(f"{link.removeprefix(PUBLIC)}&from=singlemessage", headers=PHONE)
        assert answer.status_code == 200 and 'template="T1"' in answer.text
        holds(house, answer, f"{link}&from=singlemessage")
        await person.consent("T1")
        assert link not in await person.say("海报")  # a yes is unused
        house.clock.ahead += timedelta(hours=49)
        for guest in range(2):
            stranger = house.world.person()
            await stranger.follow(f"r_{house.code(person)}")
            for _ in range(400):
                with house.app.store.read() as connection:
                    sql = "SELECT count(*) FROM notice WHERE state IN ('sent', 'waiting') AND kind = 'friend_came'"
                    if connection.exec_driver_sql(sql).scalar_one() == guest + 1:
                        break
                await asyncio.sleep(0.05)
        notices = [got for got in person.received if got.how == "notice"]
        assert [got.kind for got in notices] == ["T1"] and "朋友" in notices[0].content
        assert (await person.say("积分")).count("有一位朋友") == 1  # one yes, one notice: the second is told here
        assert (await person.say("海报")).count(link) == 1
        await person.consent(refusing=["T1"])
        assert link not in await person.say("海报")
        house.clock.ahead += timedelta(days=31)
        assert link in await person.say("海报")

    run(tmp_path, journey, wechat=TABLE)


def test_each_state_has_its_words_and_a_policy_of_its_own(tmp_path: Path) -> None:
    async def journey(house: PosterHouse) -> None:
        outside = await house.http.get("/n/main", headers={"Accept-Language": "en"})
        assert outside.status_code == 200 and "inside WeChat on a phone only" in outside.text
        assert f"{PUBLIC}/n/main?lang=en" in outside.text and "<script" not in outside.text
        assert "qq.com" not in outside.headers["content-security-policy"] and not house.world.asked["ticket/getticket"]
        lost = await house.http.get("/n/<b>", headers=PHONE)
        assert lost.status_code == 404 and agree.WORDS["zh"]["off"] in lost.text and "<b>" not in lost.text
        house.world.fail("ticket/getticket", code=-1)
        later = await house.http.get("/n/main", headers=PHONE)
        assert later.status_code == 503 and later.headers["retry-after"] and agree.WORDS["zh"]["later"] in later.text
        channel = next(one for one in house.app.channels if one.name == "wechat")
        channel._script._rests_until = 0.0
        asking = await house.http.get("/n/main", headers=PHONE)
        holds(house, asking, f"{PUBLIC}/n/main")
        policy = dict(part.strip().split(" ", 1) for part in asking.headers["content-security-policy"].split(";"))
        assert policy["script-src"] == "'self' https://res.wx.qq.com" and "unsafe" not in str(policy)
        running = re.findall(r"<script (?!type=\"text/wxtag-template\")([^>]*)>", asking.text)
        assert [agree.SCRIPT in tag or "agree.js" in tag for tag in running] == [True, True]
        for rule in agree.WORDS["zh"]["rules"]:
            assert rule in asking.text

    run(tmp_path, journey, wechat=TABLE)


@pytest.mark.parametrize("table", ["", f'kind = "subscription"\n{TABLE}', f"verified = false\n{TABLE}"])
def test_accounts_that_cannot_ask_do_not(tmp_path: Path, table: str) -> None:
    async def journey(house: PosterHouse) -> None:
        assert "/n/" not in await house.world.people[(await house.follower()).openid].say("海报")
        assert (await house.http.get("/n/main", headers=PHONE)).status_code == 404

    run(tmp_path, journey, wechat=table)


def test_both_languages_say_the_same() -> None:
    assert agree.WORDS["zh"].keys() == agree.WORDS["en"].keys()
    assert len(agree.WORDS["zh"]["rules"]) == len(agree.WORDS["en"]["rules"])
    assert agree.KINDS.keys() == ASKED_BY.keys() == KINDS.keys()
