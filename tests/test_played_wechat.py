"""The played platform against an independent client (wechatpy's own), and our channel on it under a real web server."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from wechatpy.client import WeChatClient
from wechatpy.exceptions import WeChatClientException

from bot.channels import Busy
from bot.channels.wechat import open_channel
from bot.played.wechat import PlayedWeChat
from bot.wechat.rendering import text_reply
from bot.wechat.seal import Seal
from tests.wechat_house import AES_KEY, APP_ID, SECRET, TOKEN, Clock, House, settings


@pytest.fixture
def world() -> Iterator[PlayedWeChat]:
    with PlayedWeChat(clock=Clock()) as played:
        yield played


def client(world: PlayedWeChat) -> Any:
    """wechatpy's own synchronous client, its fixed addresses turned to the played platform."""

    class Client(WeChatClient):  # type: ignore[misc]
        API_BASE_URL = f"{world.url}/cgi-bin/"

        def fetch_access_token(self) -> Any:
            params = {"grant_type": "client_credential", "appid": self.appid, "secret": self.secret}
            return self._fetch_access_token(self.API_BASE_URL + "token", params)

    return Client(world.app_id, world.app_secret, auto_retry=False, timeout=5)


def code_of(call: Any, *arguments: Any) -> int:
    try:
        call(*arguments)
    except WeChatClientException as refused:
        return int(refused.errcode)
    return 0


def follower(world: PlayedWeChat, *acts: str) -> Any:
    """A follower with the windows that `acts` open."""
    person = world.person()
    person.since = world.clock()
    from bot.played.wechat import people

    for act in acts:
        person._open(act, people._MESSAGE_WINDOW if act == "message" else people._SHORT_WINDOW)
    return person


def test_an_independent_client_is_served(world: PlayedWeChat) -> None:
    wechat, person = client(world), follower(world, "message")
    assert wechat.message.send_text(person.openid, "你好")["errcode"] == 0
    media = wechat.media.upload("image", ("a.png", io.BytesIO(b"\x89PNG\r\n\x1a\n"), "image/png"))
    assert wechat.message.send_image(person.openid, media["media_id"])["errcode"] == 0
    assert [(r.how, r.kind, r.content) for r in person.received] == [
        ("custom", "text", "你好"),
        ("custom", "image", media["media_id"]),
    ]
    assert wechat.menu.get() is None
    wechat.menu.create({"button": [{"type": "click", "name": "签到", "key": "签到"}]})
    assert wechat.menu.get()["menu"]["button"][0]["key"] == "签到"
    wechat.menu.delete()
    assert wechat.menu.get() is None
    assert wechat.user.get(person.openid)["subscribe"] == 1
    assert [row["openid"] for row in wechat.user.get_batch([person.openid])] == [person.openid]


def test_its_own_iteration_finds_all_followers(world: PlayedWeChat) -> None:
    world.page_size = 7
    people = {follower(world).openid for _ in range(20)}
    assert set(client(world).user.iter_followers()) == people


@pytest.mark.parametrize(
    ("acts", "seconds", "codes"),
    [
        (["message"], 0, [0] * 5 + [45047] * 2),
        (["message"], 48 * 3600 + 1, [45015]),
        (["follow"], 0, [0] * 3 + [45047]),
        (["follow"], 61, [45015]),
        (["message", "tap"], 0, [0] * 8 + [45047]),
        (["message", "tap"], 61, [0] * 5 + [45047]),
        ([], 0, [45015]),
    ],
)
def test_windows_and_counts(world: PlayedWeChat, acts: list[str], seconds: int, codes: list[int]) -> None:
    person = follower(world, *acts)
    world.clock.pass_(seconds=seconds)  # type: ignore[attr-defined]
    send = client(world).message.send_text
    assert [code_of(send, person.openid, "x") for _ in codes] == codes


def test_what_it_will_not_take(world: PlayedWeChat) -> None:
    wechat, person = client(world), follower(world, "message")
    send = wechat.message.send_text
    assert code_of(send, person.openid, "字" * 683) == 45002
    assert code_of(send, person.openid, "字" * 682) == 0
    assert code_of(send, person.openid, "") == 44004
    assert code_of(send, "oNobody", "x") == 40003
    assert code_of(wechat.message.send_image, person.openid, "nothing") == 40007
    assert code_of(wechat.message.send_voice, person.openid, "nothing") == 40008
    assert code_of(wechat.media.upload, "image", ("a.png", b"no picture", "image/png")) == 40005
    assert code_of(wechat.media.upload, "image", ("a.png", b"\x89PNG\r\n" + b"x" * 2**21, "image/png")) == 45001
    assert code_of(wechat.media.upload, "song", ("a.mp3", b"x", "audio/mp3")) == 40004
    button = {"type": "click", "name": "a", "key": "k"}
    assert code_of(wechat.menu.create, {"button": [button] * 4}) == 40016
    assert code_of(wechat.menu.create, {"button": [{"name": "a", "sub_button": [button] * 6}]}) == 40023
    assert code_of(wechat.menu.create, {"button": [button | {"name": "字" * 6}]}) == 40018
    assert code_of(wechat.menu.create, {"button": [button | {"key": "k" * 129}]}) == 40019
    assert code_of(wechat.user.get_batch, ["o"] * 101) == 40032


def test_accounts_may_do_what_their_kind_may(world: PlayedWeChat) -> None:
    person, wechat = follower(world, "message"), client(world)
    world.verified = False
    assert code_of(wechat.message.send_text, person.openid, "x") == 48001
    assert code_of(wechat.menu.delete) == 0
    world.kind = "subscription"
    assert code_of(wechat.menu.delete) == 48001


def test_quotas_and_clearing_them(world: PlayedWeChat) -> None:
    wechat = client(world)
    world.day_quotas["menu/delete"] = 2
    world.minute_quotas["menu/delete"] = 1
    assert [code_of(wechat.menu.delete) for _ in range(2)] == [0, 45011]
    world.clock.pass_(minutes=1)  # type: ignore[attr-defined]
    assert code_of(wechat.menu.delete) == 0
    world.clock.pass_(minutes=1)  # type: ignore[attr-defined]
    assert code_of(wechat.menu.delete) == 45009
    clear = [code_of(wechat.post, "clear_quota") for _ in range(11)]
    assert clear == [0] * 10 + [48006]
    assert code_of(wechat.menu.delete) == 0
    world.clock.pass_(hours=15, minutes=59)  # type: ignore[attr-defined]  # midnight in China
    wechat.fetch_access_token()
    assert code_of(wechat.menu.delete) == 0


def test_tokens_live_and_die_as_the_platforms(world: PlayedWeChat) -> None:
    import requests

    def stable(**more: Any) -> dict[str, Any]:
        body = {"grant_type": "client_credential", "appid": APP_ID, "secret": SECRET} | more
        answer: dict[str, Any] = requests.post(f"{world.url}/cgi-bin/stable_token", json=body, timeout=5).json()
        return answer

    def use(token: str) -> int:
        code = requests.get(f"{world.url}/cgi-bin/menu/delete", params={"access_token": token}, timeout=5).json()
        return int(code["errcode"])

    first, again = stable(), stable()
    assert (first["access_token"], first["expires_in"]) == (again["access_token"], 7200)
    world.clock.pass_(minutes=116)  # type: ignore[attr-defined]  # five minutes before the end a new one stands beside it
    second = stable()
    assert second["access_token"] != first["access_token"]
    assert (use(first["access_token"]), use(second["access_token"])) == (0, 0)
    world.clock.pass_(minutes=5)  # type: ignore[attr-defined]
    assert (use(first["access_token"]), use(second["access_token"]), use("x"), use("")) == (42001, 0, 40001, 41001)
    forced = stable(force_refresh=True)["access_token"]
    assert (use(second["access_token"]), use(forced)) == (40001, 0)
    assert stable(force_refresh=True)["errcode"] == 45009
    assert (stable(secret="x")["errcode"], stable(appid="x")["errcode"]) == (40125, 40013)
    old = client(world)
    old.fetch_access_token()
    kept = old.access_token
    client(world).fetch_access_token()
    assert use(kept) == 0
    world.clock.pass_(minutes=5, seconds=1)  # type: ignore[attr-defined]
    assert use(kept) == 42001


@asynccontextmanager
async def served(app: Any, world: PlayedWeChat, path: str = "/wechat") -> AsyncIterator[None]:
    """`app` under uvicorn on its own thread, as the webhook of `world`."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    world.webhook = f"http://127.0.0.1:{port}{path}"
    try:
        yield
    finally:
        server.should_exit = True
        await asyncio.to_thread(thread.join)


def channel_app(house: House, mode: str) -> Starlette:
    return Starlette(routes=open_channel("main", settings(mode=mode), house).routes())


@pytest.mark.parametrize("mode", ["safe", "compatible", "plain"])
def test_people_act_and_our_channel_answers(mode: str) -> None:
    clock = Clock()
    world, house = PlayedWeChat(clock=clock, mode=mode), House(clock)

    async def day() -> None:
        async with served(channel_app(house, mode), world):
            assert await world.handshake()
            person = world.person()
            house.says = [{"text": "你好🎁 ]]> &amp;"}]
            answers = [
                await person.scan("r_A1"),
                await person.scan("p_shop"),
                await person.say("签到 ]]> 🎁"),
                await person.voice("我要抽奖"),
                await person.voice(),
                await person.image(),
                await person.location(23.1, 113.3, "广州"),
                await person.link("题", "https://e.com"),
                await person.tap("积分"),
            ]
            assert set(answers) == {"你好🎁 ]]> &amp;"}
            assert await person.view("https://e.com") == await person.withdraw() == ""
            await person.unfollow()
            assert {(received.how, received.kind) for received in person.received} == {("passive", "text")}

    asyncio.run(day())
    assert [heard.kind for heard in house.heard] == (
        [
            "follow",
            "scan",
            "text",
            "voice",
            "voice",
            "picture",
            "location",
            "link",
            "text",
            "view",
            "notice",
            "unfollow",
        ]
    )
    assert house.heard[0].data == {"scene": "r_A1"}
    assert house.heard[2].text == "签到 ]]> 🎁"
    assert world.faults == []


def test_no_answer_in_time_is_asked_again_with_the_same_number() -> None:
    clock = Clock()
    world, house = PlayedWeChat(clock=clock, deadline=0.3), House(clock)
    tries: list[str] = []

    async def before(incoming: Any) -> None:
        tries.append(incoming.key)
        if len(tries) == 1:
            raise Busy
        if len(tries) == 2:
            await asyncio.sleep(0.6)

    house.before = before

    async def talk() -> None:
        async with served(channel_app(house, "safe"), world):
            person = world.person()
            assert await person.say("签到") == "好的"
            house.before = never
            assert await person.say("积分") == ""
            assert [received.how for received in person.received] == ["passive", "system"]

    async def never(incoming: Any) -> None:
        tries.append(incoming.key)
        raise Busy

    asyncio.run(talk())
    assert len(set(tries[:3])) == 1
    assert len(tries) == 3 + 4
    assert len(house.heard) == 1


def _reply(content: str, world: PlayedWeChat, to: str | None = None) -> bytes:
    return text_reply(to or next(iter(world.people)), world.name, 1761955200, content)


def _sealed(xml: bytes, token: str = TOKEN) -> bytes:
    from bot.wechat.rendering import sealed_reply

    seal = Seal(token, AES_KEY, APP_ID)
    encrypted = seal.close(xml)
    return sealed_reply(encrypted, seal.sign(b"1761955200", b"7", encrypted), b"1761955200", b"7")


BAD_REPLIES = [
    lambda world: _reply("in clear though the mode is safe", world),
    lambda world: _sealed(_reply("x", world), token="another"),
    lambda world: _sealed(_reply("字" * 683, world)),
    lambda world: _sealed(_reply("", world)),
    lambda world: _sealed(_reply("x", world, to="oSomebodyElse")),
    lambda world: _sealed(b"<xml>not closed"),
    lambda world: _sealed(_reply("x", world).replace(b"<xml>", b"<xml><MsgType>text</MsgType>")),
    lambda world: _sealed(_reply("x", world).replace(b"[text]", b"[poem]")),
    lambda world: b'{"text": "json"}',
    lambda world: b"ok",
]


@pytest.mark.parametrize("bad", BAD_REPLIES)
def test_a_reply_that_wechat_would_not_show_is_a_fault(bad: Any) -> None:
    world = PlayedWeChat(clock=Clock())

    async def answer(_: Any) -> Response:
        return Response(bad(world))

    async def talk() -> None:
        async with served(Starlette(routes=[Route("/wechat", answer, methods=["POST"])]), world):
            person = world.person()
            assert await person.say("x") == ""
            assert [received.how for received in person.received] == ["system"]

    asyncio.run(talk())
    assert len(world.faults) == 1
