"""Callbacks through the real ASGI endpoint: what each means, what is answered, and what is refused without a trace."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.routing import Route

from bot.channels import Busy
from bot.channels.wechat import open_channel
from bot.played.wechat import PlayedWeChat
from bot.played.wechat.calls import read_reply
from bot.wechat.seal import Seal
from storage.incoming import KINDS
from tests.test_wechat_seal import W1, W2
from tests.wechat_house import AES_KEY, APP_ID, TOKEN, Clock, House, knock, settings

OPENID = "oRef0000000000000000000000A1"
QUERY_W1 = (
    "signature=bdc70c3471dd4454a43f8babefe9881f30875f4b&timestamp=1761955200&nonce=1234567890&openid=" + OPENID
) + "&encrypt_type=aes&msg_signature=cc00aefb4d9d934a53e2626b51e258976f90499d"
BODY_W1 = f"<xml><ToUserName><![CDATA[gh_2f4b8c1d0e9a]]></ToUserName><Encrypt><![CDATA[{W1}]]></Encrypt></xml>".encode()


def door(house: House, **changed: Any) -> Any:
    (route,) = open_channel("main", settings(**changed), house).routes()
    assert isinstance(route, Route)
    return route.app


def played(clock: Clock, mode: str = "safe", **changed: Any) -> PlayedWeChat:
    return PlayedWeChat(clock=clock, mode=mode, **changed)


def envelope(inside: str, openid: str = OPENID, seconds: int = 1761955200) -> str:
    return (
        f"<xml><ToUserName><![CDATA[gh_2f4b8c1d0e9a]]></ToUserName><FromUserName><![CDATA[{openid}]]></FromUserName>"
        f"<CreateTime>{seconds}</CreateTime>{inside}</xml>"
    )


def event(name: str, inside: str = "") -> str:
    return envelope(f"<MsgType><![CDATA[event]]></MsgType><Event><![CDATA[{name}]]></Event>{inside}")


def post(house: House, xml: str, mode: str = "safe", **changed: Any) -> tuple[int, bytes]:
    query, body = played(house.clock, mode).sealed(xml)
    return asyncio.run(knock(door(house, mode=mode, **changed), "POST", query, body))


def test_handshake_of_the_vendor() -> None:
    house = House()
    app = door(house, token=SecretStr("AAAAA"))
    query = "signature=f464b24fc39322e44b38aa78f5edd27bd1441696&timestamp=1714036504&nonce=1514711492"
    assert asyncio.run(knock(app, "GET", query + "&echostr=4375120948345356249")) == (200, b"4375120948345356249")
    assert asyncio.run(knock(app, "GET", query.replace("f464", "f465") + "&echostr=1"))[0] == 403
    assert asyncio.run(knock(app, "GET", ""))[0] == 403
    assert asyncio.run(knock(app, "PUT", query))[0] == 405


def test_a_published_callback_is_heard_and_answered() -> None:
    house = House()
    status, body = asyncio.run(knock(door(house), "POST", QUERY_W1, BODY_W1))
    (heard,) = house.heard
    assert (heard.channel, heard.account, heard.sender) == ("wechat", "main", OPENID)
    assert (heard.kind, heard.text, heard.key) == ("text", "抽奖 🎁", "wechat:main:m:7570000000000000001")
    assert heard.at == house.clock()
    reply = read_reply(played(house.clock).opened(body))
    assert status == 200
    assert (reply["ToUserName"], reply["FromUserName"], reply["Content"]) == (OPENID, "gh_2f4b8c1d0e9a", "好的")
    assert (house.sent, house.released) == ([100], [])


MESSAGES = [
    ("<MsgType>image</MsgType><PicUrl>http://p/1</PicUrl><MediaId>M</MediaId><MsgId>1</MsgId>", "picture", "",
     {"media": "M", "url": "http://p/1"}),
    ("<MsgType>voice</MsgType><MediaId>M</MediaId><Format>amr</Format><Recognition>我要抽奖</Recognition><MsgId>2</MsgId>",
     "voice", "我要抽奖", {"media": "M", "format": "amr"}),
    ("<MsgType>voice</MsgType><MediaId>M</MediaId><Format>amr</Format><MsgId>3</MsgId>", "voice", "",
     {"media": "M", "format": "amr"}),
    ("<MsgType>shortvideo</MsgType><MediaId>M</MediaId><MsgId>4</MsgId>", "other", "",
     {"type": "shortvideo", "media": "M"}),
    ("<MsgType>location</MsgType><Location_X>23.1</Location_X><Location_Y>113.3</Location_Y><Label>广州</Label>"
     "<MsgId>5</MsgId>", "location", "", {"latitude": 23.1, "longitude": 113.3, "label": "广州"}),
    ("<MsgType>link</MsgType><Title>t</Title><Description>d</Description><Url>http://u</Url><MsgId>6</MsgId>", "link",
     "", {"title": "t", "description": "d", "url": "http://u"}),
    ("<MsgType>hologram</MsgType><MsgId>7</MsgId>", "other", "", {"type": "hologram"}),
]  # fmt: skip


@pytest.mark.parametrize(("inside", "kind", "text", "data"), MESSAGES)
@pytest.mark.parametrize("mode", ["safe", "compatible", "plain"])
def test_messages(inside: str, kind: str, text: str, data: dict[str, Any], mode: str) -> None:
    house = House()
    status, body = post(house, envelope(inside), mode)
    assert status == 200
    (heard,) = house.heard
    assert (heard.kind, heard.text, dict(heard.data)) == (kind, text, data)
    assert heard.key.startswith("wechat:main:m:")
    assert read_reply(played(house.clock, mode).opened(body))["Content"] == "好的"
    assert (b"<Encrypt>" in body) == (mode != "plain")


KEY = "<EventKey><![CDATA[{}]]></EventKey>"
LIST = "<List><TemplateId>T{0}</TemplateId><SubscribeStatusString>accept</SubscribeStatusString></List>"
EVENTS = [
    ("subscribe", KEY.format(""), "follow", "", {}),
    ("subscribe", KEY.format("qrscene_r_A1"), "follow", "", {"scene": "r_A1"}),
    ("SUBSCRIBE", KEY.format("r_A1"), "follow", "", {"scene": "r_A1"}),
    ("subscribe", KEY.format("last_trade_no_4008"), "follow", "", {}),
    ("unsubscribe", KEY.format(""), "unfollow", "", {}),
    ("SCAN", KEY.format("r:A1:c42"), "scan", "", {"scene": "r:A1:c42"}),
    ("CLICK", KEY.format("积分"), "text", "积分", {"by": "menu"}),
    ("VIEW", KEY.format("https://e.com") + "<MenuId>4</MenuId>", "view", "", {"url": "https://e.com"}),
    ("TEMPLATESENDJOBFINISH", "<MsgID>200163836</MsgID><Status>failed:user block</Status>", "notice", "",
     {"event": "templatesendjobfinish", "msg_id": "200163836", "status": "failed:user block"}),
    ("MASSSENDJOBFINISH", "<MsgID>1</MsgID><Status>send success</Status><TotalCount>100</TotalCount>"
     "<FilterCount>80</FilterCount><SentCount>75</SentCount><ErrorCount>5</ErrorCount>", "notice", "",
     {"event": "masssendjobfinish", "msg_id": "1", "status": "send success", "total": 100, "filtered": 80, "sent": 75,
      "errors": 5}),
    ("user_authorization_revoke", "<OpenID>oOther</OpenID><AppID>wx1</AppID><RevokeInfo>201</RevokeInfo>", "notice", "",
     {"event": "user_authorization_revoke", "openid": "oOther", "app_id": "wx1", "revoked": "201"}),
    ("subscribe_msg_popup_event", f"<SubscribeMsgPopupEvent>{LIST.format(1)}{LIST.format(2)}</SubscribeMsgPopupEvent>",
     "notice", "", {"event": "subscribe_msg_popup_event", "consents": [
         {"template": "T1", "agreed": True}, {"template": "T2", "agreed": True}]}),
    ("subscribe_msg_change_event", f"<SubscribeMsgChangeEvent>{LIST.format(1).replace('accept', 'reject')}"
     "</SubscribeMsgChangeEvent>", "notice", "",
     {"event": "subscribe_msg_change_event", "consents": [{"template": "T1", "agreed": False}]}),
    ("subscribe_msg_sent_event", "<SubscribeMsgSentEvent><List><TemplateId>T1</TemplateId><MsgID>17</MsgID>"
     "<ErrorCode>0</ErrorCode><ErrorStatus>success</ErrorStatus></List></SubscribeMsgSentEvent>", "notice", "",
     {"event": "subscribe_msg_sent_event",
      "notices": [{"template": "T1", "msg_id": "17", "status": "success", "code": 0}]}),
    ("subscribe_msg_popup_event", "<SubscribeMsgPopupEvent><List>x</List><List><TemplateId>T1</TemplateId></List>"
     "</SubscribeMsgPopupEvent>", "notice", "", {"event": "subscribe_msg_popup_event", "consents": []}),
    ("something_new", "<A><B>c</B></A>", "notice", "", {"event": "something_new", "fields": {"A": {"B": "c"}}}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "inside", "kind", "text", "data"), EVENTS)
def test_events(name: str, inside: str, kind: str, text: str, data: dict[str, Any]) -> None:
    house = House()
    status, body = post(house, event(name, inside))
    assert status == 200
    (heard,) = house.heard
    assert (heard.kind, heard.text, dict(heard.data)) == (kind, text, data)
    assert heard.kind in KINDS
    assert heard.key.startswith(f"wechat:main:e:{OPENID}:1761955200:{name.lower()}:")
    assert heard.sender == data.get("openid", OPENID)
    if kind in ("unfollow", "view", "notice"):
        assert (body, house.sent, house.released) == (b"success", [], [100])


def test_two_events_in_one_second_are_two_and_a_retry_is_one() -> None:
    house = House()
    first, second = event("CLICK", KEY.format("积分")), event("CLICK", KEY.format("签到"))
    for xml in (first, second, first, second):
        assert post(house, xml)[0] == 200
    assert [heard.text for heard in house.heard] == ["积分", "签到"]
    for _ in range(4):
        post(house, envelope("<MsgType>text</MsgType><Content>x</Content><MsgId>9</MsgId>"))
    assert len(house.heard) == 3


def test_a_stale_request_is_refused_and_a_fresh_replay_has_no_second_effect() -> None:
    house = House()
    app = door(house)
    first = asyncio.run(knock(app, "POST", QUERY_W1, BODY_W1))
    again = asyncio.run(knock(app, "POST", QUERY_W1, BODY_W1))
    assert (first[0], again[0], len(house.heard)) == (200, 200, 1)
    for shift in (301, -602):
        house.clock.pass_(seconds=shift)
        assert asyncio.run(knock(app, "POST", QUERY_W1, BODY_W1))[0] == 403
    assert len(house.heard) == 1


def test_compatible_mode_believes_only_what_is_sealed() -> None:
    house = House()
    query, body = played(house.clock, "compatible").sealed(
        envelope("<MsgType>text</MsgType><Content><![CDATA[真]]></Content><MsgId>1</MsgId>")
    )
    forged = body.replace("真".encode(), "假".encode())
    assert asyncio.run(knock(door(house, mode="compatible"), "POST", query, forged))[0] == 200
    assert [heard.text for heard in house.heard] == ["真"]
    readable = envelope("<MsgType>text</MsgType><Content>x</Content><MsgId>2</MsgId>").encode()
    assert asyncio.run(knock(door(house, mode="compatible"), "POST", query, readable))[0] == 400
    assert len(house.heard) == 1


def test_words_cannot_write_the_replys_xml() -> None:
    house = House()
    nasty = "a]]><Content>forged</Content><![CDATA[b]]>]]>\x00🎁<&"
    house.says = [{"text": nasty}]
    for mode in ("safe", "compatible", "plain"):
        _, body = post(house, envelope(f"<MsgType>text</MsgType><Content>x</Content><MsgId>{len(mode)}</MsgId>"), mode)
        assert read_reply(played(house.clock, mode).opened(body))["Content"] == nasty.replace("\x00", "")


def _ask(house: House, **changed: Any) -> dict[str, str]:
    _, body = post(house, envelope("<MsgType>text</MsgType><Content>x</Content><MsgId>1</MsgId>"), **changed)
    opened = played(house.clock).opened(body)
    return read_reply(opened) if opened else {}


def test_choices_are_numbered_and_pages_are_links() -> None:
    house = House()
    house.says = [
        {
            "text": "你好",
            "choices": [{"label": "积分", "say": "积分"}, {"label": "活动<页>", "url": 'https://e.com/?a="'}],
        }
    ]
    assert _ask(house)["Content"] == '你好\n1. 积分\n2. <a href="https://e.com/?a=%22">活动＜页＞</a>'


def test_plain_texts_share_the_one_reply_until_a_list() -> None:
    house = House()
    house.says = [{"text": "一"}, {"text": "二", "choices": [{"label": "好", "say": "好"}]}, {"text": "三"}]
    assert _ask(house)["Content"] == "一\n\n二\n1. 好"
    assert (house.sent, house.released) == ([100, 101], [102])


def test_2049_bytes_go_in_two_parts_and_the_second_is_released() -> None:
    house = House()
    house.says = [{"text": "字" * 683}]  # 2049 bytes
    assert _ask(house)["Content"] == "字" * 682
    assert (house.sent, house.released) == ([], [100])
    assert house.kept["wechat:main:said:100"][0] == {"pieces": 1}


def test_a_picture_follows_its_words_or_is_told_in_words() -> None:
    house = House()
    house.says = [{"text": "海报", "picture": {"name": "p.jpg", "alt": "你的海报"}}]
    assert _ask(house)["Content"] == "海报"
    assert (house.sent, house.released) == ([], [100])
    house = House()
    house.says = [{"text": "海报", "picture": {"name": "p.jpg", "alt": "你的海报"}}]
    assert _ask(house, kind="subscription", verified=False)["Content"] == "海报\n〔你的海报〕"
    assert (house.sent, house.released) == ([100], [])


def test_nothing_to_say_is_success_in_clear() -> None:
    house = House()
    house.says = []
    assert post(house, envelope("<MsgType>text</MsgType><Content>x</Content><MsgId>1</MsgId>")) == (200, b"success")


def test_busy_is_503_and_what_a_caller_did_not_wait_for_stays_for_the_retry() -> None:
    house = House()

    async def busy(_: object) -> None:
        raise Busy

    house.before = busy
    assert asyncio.run(knock(door(house), "POST", QUERY_W1, BODY_W1))[0] == 503
    assert (house.heard, house.sent, house.released) == ([], [], [])

    async def slow(_: object) -> None:
        await asyncio.sleep(0.15)

    house.before = slow
    sent: list[Any] = []
    inbox = [{"type": "http.request", "body": BODY_W1}, {"type": "http.disconnect"}]

    async def hang_up() -> None:
        async def receive() -> Any:
            return inbox.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "query_string": QUERY_W1.encode(), "headers": []}
        await door(house)(scope, receive, send)

    asyncio.run(hang_up())
    assert (sent, house.sent, house.released) == ([], [], [])
    house.before = None
    assert asyncio.run(knock(door(house), "POST", QUERY_W1, BODY_W1))[0] == 200  # the retry fetches it
    assert (len(house.heard), house.sent) == (1, [100])


def test_a_slow_answer_is_still_given_to_a_caller_who_waits() -> None:
    house = House()

    async def slow(_: object) -> None:
        await asyncio.sleep(0.15)

    house.before = slow
    said: list[Any] = []
    waiting = asyncio.Event()

    async def wait() -> None:
        parts = [{"type": "http.request", "body": BODY_W1[:50], "more_body": True}]
        parts.append({"type": "http.request", "body": BODY_W1[50:]})

        async def receive() -> Any:
            if not parts:
                await waiting.wait()
            return parts.pop(0)

        async def send(message: Any) -> None:
            said.append(message)

        scope = {"type": "http", "method": "POST", "query_string": QUERY_W1.encode(), "headers": []}
        await door(house)(scope, receive, send)

    asyncio.run(wait())
    assert said[0]["status"] == 200
    assert (house.sent, house.released) == ([100], [])


def _signed(xml: bytes, timestamp: str = "1761955200", token: str = TOKEN, app_id: str = APP_ID) -> tuple[str, bytes]:
    seal = Seal(token, AES_KEY, app_id)
    encrypted = seal.close(xml)
    signature = seal.sign(timestamp.encode(), b"7", encrypted)
    query = urlencode({"timestamp": timestamp, "nonce": "7", "msg_signature": signature})
    return query, b"<xml><Encrypt><![CDATA[" + encrypted + b"]]></Encrypt></xml>"


GOOD = envelope("<MsgType>text</MsgType><Content>x</Content><MsgId>1</MsgId>").encode()
DEEP = b"<xml>" + b"<a>" * 20_000 + b"</a>" * 20_000 + b"</xml>"
BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;">]>' + GOOD.replace(b"<Content>x", b"<Content>&b;")


@pytest.mark.parametrize(
    "xml",
    [
        b"",
        b"not xml",
        b"<xml/>",
        b"{}",
        DEEP[:40_000],
        GOOD.replace(b"</xml>", b"<a>" * 16 + b"</a>" * 16 + b"</xml>"),
        BOMB,
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd">' + GOOD,
        GOOD.replace(b"<xml>", b"<html>").replace(b"</xml>", b"</html>"),
        GOOD.replace(b"MsgType", b"MsgTyp"),
        GOOD.replace(OPENID.encode(), b"o" * 65),
        GOOD.replace(OPENID.encode(), b"o'; DROP TABLE"),
        GOOD.replace(b"1761955200", b"yesterday"),
        GOOD.replace(b"<MsgType>", b"<MsgType>a</MsgType><MsgType>"),
        GOOD.replace(b">x<", b">\xff\xfe<"),
        GOOD.replace(b">x<", b">&#0;<"),
        envelope("<MsgType>event</MsgType>").encode(),
        envelope("<MsgType>event</MsgType><Event>x y</Event>").encode(),
        envelope("<MsgType>location</MsgType><Location_X>north</Location_X><Location_Y>1</Location_Y>").encode(),
        envelope("<MsgType>location</MsgType><Location_X>nan</Location_X><Location_Y>1</Location_Y>").encode(),
        event("user_info_modified", "<OpenID><a/></OpenID>").encode(),
    ],
)
def test_rightly_signed_nonsense_is_refused(xml: bytes) -> None:
    house = House()
    query, body = _signed(xml)
    began = time.perf_counter()
    status, _ = asyncio.run(knock(door(house), "POST", query, body))
    assert 400 <= status < 500
    assert time.perf_counter() - began < 0.5
    assert house.heard == []


@pytest.mark.parametrize(
    ("query", "body"),
    [
        _signed(GOOD, token="another"),
        _signed(GOOD, app_id="wx0000000000000000"),
        _signed(GOOD, timestamp="1761954000"),
        _signed(GOOD, timestamp="9" * 30),
        _signed(GOOD, timestamp="-1761955200"),
        ("", _signed(GOOD)[1]),
        (_signed(GOOD)[0], b"<xml><Encrypt/></xml>"),
        (_signed(GOOD)[0], b"x" * 65_537),
        (_signed(GOOD)[0].replace("nonce=7", "nonce=8"), _signed(GOOD)[1]),
        ("a=1&" * 600, _signed(GOOD)[1]),
        ("%ff%fe=%00&" * 40, _signed(GOOD)[1]),
        (QUERY_W1.replace("cc00", "cC00"), BODY_W1),
        (QUERY_W1, BODY_W1.replace(b"sKqR", b"sKqS")),
        (QUERY_W1, BODY_W1.replace(W1.encode(), W2.encode())),
    ],
    ids=lambda part: "",  # sealing is random: a name made of it would differ from one test process to the next
)
def test_forged_stale_or_oversized_is_refused(query: str, body: bytes) -> None:
    house = House()
    for headers in (None, [(b"content-length", b"99999999")], [(b"content-length", b"-1")], []):
        status, text = asyncio.run(knock(door(house), "POST", query, body, headers))
        assert 400 <= status < 500
        assert len(text) < 120
    assert house.heard == []


def _mutated(dice: random.Random, query: str, body: bytes) -> tuple[str, bytes]:
    query_part, body_part = bytearray(query.encode()), bytearray(body)
    for part in (query_part, body_part) if dice.random() < 0.2 else (body_part,):
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(part))
            match dice.randrange(5):
                case 0:
                    part[at] ^= 1 << dice.randrange(8)
                case 1:
                    del part[at : at + dice.randint(1, 40)]
                case 2:
                    part[at:at] = dice.randbytes(dice.randint(1, 20))
                case 3:
                    part[at:at] = part[at : at + dice.randint(1, 200)]
                case _:
                    del part[at:]
            if not part:
                part += b"x"
    return query_part.decode("utf-8", "surrogateescape"), bytes(part)


@pytest.mark.parametrize("mode", ["safe", "plain"])
def test_ten_thousand_mutated_callbacks_change_nothing(mode: str) -> None:
    house = House()
    app = Starlette(routes=[Route("/wechat", door(house, mode=mode))])
    dice = random.Random(20251101)
    world = played(house.clock, mode, seed=1)
    inside = "<MsgType>text</MsgType><Content><![CDATA[签到]]></Content><MsgId>5</MsgId>"
    query, body = world.sealed(envelope(inside))
    seal = Seal(TOKEN, "", APP_ID)

    async def storm() -> tuple[float, int]:
        slowest, accepted = 0.0, 0
        for _ in range(10_000):
            changed_query, changed_body = _mutated(dice, query, body)
            began = time.perf_counter()
            status, _ = await knock(app, "POST", changed_query, changed_body)
            slowest = max(slowest, time.perf_counter() - began)
            assert status < 500
            accepted += status == 200
            if status == 200 and mode == "plain":
                given = {name: values[-1].encode() for name, values in parse_qs(changed_query).items()}
                seal.check(given["signature"], given["timestamp"], given["nonce"])
        return slowest, accepted

    slowest, accepted = asyncio.run(storm())
    assert slowest < 0.5
    if mode == "safe":
        # What still counts is the untouched ciphertext under its untouched signature: the same one message.
        assert {(heard.sender, heard.text, heard.key) for heard in house.heard} <= {(OPENID, "签到", "wechat:main:m:5")}
    else:
        assert 0 < accepted < 10_000  # plain mode cannot see a changed body, which is why it is not the default


def test_the_routes_of_further_accounts() -> None:
    (route,) = open_channel("north", settings(), House()).routes()
    assert isinstance(route, Route)
    assert route.path == "/wechat/north"


@pytest.mark.parametrize(
    "changed",
    [{"aes_key": SecretStr("")}, {"app_id": ""}, {"token": SecretStr("")}],
)
def test_a_missing_key_stops_the_start(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"channels\.wechat"):
        open_channel("main", settings(**changed), House())
