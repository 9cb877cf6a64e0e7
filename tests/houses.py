"""A furnished house for the channel contract: the real service in a process of its own, and one visitor per channel who
speaks that channel's real protocol. A channel joins the contract by a visitor of its own in `VISITORS`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import httpx

from bot.played.telegram import PlayedTelegram, Received
from bot.played.wechat import Person, PlayedWeChat
from tests.serving import BOT_SECRET, ROOT, Node, free_port

PLAN = ROOT / "content" / "family-network"
STRANGE = "😀👨‍👩‍👧 ]]> <script>alert(1)</script> & \"quoted\" 'too'"
# As long as a plan lets an answer be; with the choices below it, longer than WeChat takes in one message.
LONG = "\n".join(f"第{number}行：{'一家人，一张网，一起用。' * 6}" for number in range(1, 9))
LONG += "\n" + "长" * ((2047 - len(LONG.encode())) // 3)
_FAQ = f"""
[[entry]]
id = "test-strange"
question.zh = "请原样说一遍古怪的字"
question.en = "please say the strange letters"
aliases.zh = ["说一遍古怪的字", "古怪的字怎么写", "来点古怪的字"]
aliases.en = ["say strange letters", "strange letters please", "show the strange letters"]
answer.zh = {json.dumps(STRANGE, ensure_ascii=False)}
answer.en = {json.dumps(STRANGE, ensure_ascii=False)}

[[entry]]
id = "test-long"
question.zh = "请说一篇很长很长的话"
question.en = "please say something very long"
aliases.zh = ["说一篇很长的话", "长长的一篇话", "来一篇长话"]
aliases.en = ["say something long", "something long please", "a very long text"]
answer.zh = {json.dumps(LONG, ensure_ascii=False)}
answer.en = {json.dumps(LONG, ensure_ascii=False)}
"""


_SECRET = "X-Telegram-Bot-Api-Secret-Token"
_PICTURE = (PLAN / "pictures" / "welcome.jpg").read_bytes()


@dataclass
class Furnished:
    """A serving node with the world it talks to."""

    node: Node
    world: PlayedWeChat
    telegram: PlayedTelegram | None
    database: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.node.port}"

    def count(self, sql: str) -> int:
        """One number from the database, read beside the service."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            return int(connection.execute(sql).fetchone()[0])

    async def rows(self) -> dict[str, int]:
        """How many rows each table has, once the sealer and the sender have nothing left to do."""
        before = self._rows()
        while True:
            await asyncio.sleep(0.7)
            after = self._rows()
            if after == before:
                return after
            before = after

    def _rows(self) -> dict[str, int]:
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}


def unhurried(**how: Any) -> PlayedTelegram:
    """A Telegram without the limits that many messages to one person would meet; they have tests of their own."""
    return PlayedTelegram(chat_per_second=1000.0, chat_burst=1000, per_second=1000.0, burst=1000, **how)


def furnish(folder: Path, world: PlayedWeChat, telegram: PlayedTelegram | None = None) -> Furnished:
    """A node that is not started yet: the shipped plan with two more answers, all channels open, no limits."""
    plan, database = folder / "plan", folder / "koukou.db"
    shutil.copytree(PLAN, plan)
    (plan / "faq" / "contract.toml").write_text(_FAQ)
    node = Node(folder, f"sqlite:///{database}", free_port(), world, telegram)
    config = node.config.read_text().replace(str(PLAN), str(plan))
    node.config.write_text(config + "[channels.web]\nguests_per_hour = 10000\nmessages_per_10_seconds = 10000\n")
    world.webhook = f"http://127.0.0.1:{node.port}/wechat"
    if telegram:
        telegram.webhook = f"http://127.0.0.1:{node.port}/telegram"
    return Furnished(node, world, telegram, database)


@dataclass(frozen=True)
class Shown:
    """What a person sees of one answer. `choices` are the labels in order."""

    text: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Letter:
    """One request as it goes over the wire; the same letter may be delivered any number of times."""

    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Visitor(Protocol):
    """One new person on one channel. `deliver` raises httpx.HTTPError when there was no answer."""

    async def arrive(self) -> Shown: ...

    async def picture(self) -> bytes: ...

    async def say(self, text: str) -> Shown: ...

    def letter(self, text: str) -> Letter: ...

    async def deliver(self, letter: Letter) -> Shown: ...

    async def post(self, letter: Letter) -> httpx.Response: ...

    async def whole(self, shown: Shown) -> str: ...

    async def odd(self) -> list[Shown]: ...

    def hostile(self) -> dict[str, Letter]: ...

    async def close(self) -> None: ...


class _Wire:
    """Letters over HTTP with the person's cookies."""

    def __init__(self, house: Furnished) -> None:
        self.house = house
        self.http = httpx.AsyncClient(base_url=house.url, timeout=15, headers={"Accept-Language": "zh-CN"})

    async def post(self, letter: Letter) -> httpx.Response:
        return await self.http.request(letter.method, letter.path, content=letter.body, headers=letter.headers)

    async def close(self) -> None:
        await self.http.aclose()


class WeChatVisitor(_Wire):
    """A person on the played WeChat."""

    def __init__(self, house: Furnished) -> None:
        super().__init__(house)
        self.person: Person = house.world.person()

    async def arrive(self) -> Shown:
        return _numbered(await self.person.follow())

    async def picture(self) -> bytes:
        for _ in range(200):
            for one in self.person.received:
                if one.kind == "image":
                    return self.house.world.uploads[one.content].content
            await asyncio.sleep(0.05)
        raise AssertionError("no picture came")

    async def say(self, text: str) -> Shown:
        return _numbered(await self.person.say(text))

    def letter(self, text: str) -> Letter:
        return self._sealed(self.person.text_xml(text))

    async def deliver(self, letter: Letter) -> Shown:
        response = await self.post(letter)
        response.raise_for_status()
        opened = self.house.world.opened(response.content)
        return _numbered(self.person._read(opened)[1] if opened else "")

    async def whole(self, shown: Shown) -> str:
        """The passive reply and what follows it by the customer-service API, up to the choices."""
        received = self.person.received
        start = next(n for n, one in enumerate(received) if one.content.startswith(shown.text[:50]))
        for _ in range(200):
            said = _numbered("\n".join(one.content for one in received[start:] if one.kind == "text"))
            if said.choices:
                return said.text
            await asyncio.sleep(0.05)
        raise AssertionError(f"the end never came after {len(received) - start} parts")

    async def odd(self) -> list[Shown]:
        person = self.person
        said = [
            await person.voice(),
            await person.image(),
            await person.location(31.2, 121.5, "上海"),
            await person.link("标题", "https://example.com/"),
            await person._message("shortvideo", "<MediaId>M</MediaId>"),
            await person._message("a_type_nobody_knows", "<Some>thing</Some>"),
        ]
        return [_numbered(text) for text in said]

    def hostile(self) -> dict[str, Letter]:
        world, text = self.house.world, self.person.text_xml("签到")
        good = self._sealed(text)
        clock, app_id = world.clock, world._crypto._id
        world.clock = lambda: datetime.now(UTC) - timedelta(seconds=400)
        stale = self._sealed(text)
        world.clock = clock
        world._crypto._id = "wx_of_somebody_else"
        foreign = self._sealed(text)
        world._crypto._id = app_id
        bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
        signature = re.search("msg_signature=([0-9a-f]+)", good.path)
        assert signature
        return {
            "no signature": Letter("POST", "/wechat", good.body),
            "a forged signature": Letter("POST", good.path.replace(signature[1], "0" * 40), good.body),
            "a changed body": Letter(
                "POST", good.path, good.body.replace(b"<Encrypt><![CDATA[", b"<Encrypt><![CDATA[AA")
            ),
            "a signed body in plain": Letter("POST", good.path, text.encode()),
            "a stale time": stale,
            "another account's message": foreign,
            "an oversized body": Letter("POST", good.path, good.body + b" " * 70_000),
            "entities": self._sealed(bomb + text.replace("签到", "&b;")),
            "no XML": self._sealed("你好" * 10),
            "nobody speaks": self._sealed(text.replace("FromUserName", "FromNobody")),
            "deep nesting": self._sealed("<xml>" + "<a>" * 500 + "</a>" * 500 + "</xml>"),
            "nothing": Letter("POST", "/wechat"),
            "a forged handshake": Letter("GET", "/wechat?signature=0&timestamp=1&nonce=2&echostr=3"),
            "a method nobody uses": Letter("PUT", good.path, good.body),
        }

    def _sealed(self, xml: str) -> Letter:
        query, body = self.house.world.sealed(xml)
        return Letter("POST", f"/wechat?{query}", body, {"Content-Type": "text/xml"})


class WebVisitor(_Wire):
    """A guest of the chat page."""

    async def arrive(self) -> Shown:
        response = await self.post(_json("/chat/open", {}))
        self._picture = str(response.json()["answers"][0].get("picture", {}).get("url", ""))
        return _answers(response)

    async def picture(self) -> bytes:
        return (await self.http.get(self._picture)).raise_for_status().content

    async def say(self, text: str) -> Shown:
        return await self.deliver(self.letter(text))

    def letter(self, text: str) -> Letter:
        return _json("/chat/send", {"key": str(uuid4()), "text": text})

    async def deliver(self, letter: Letter) -> Shown:
        return _answers(await self.post(letter))

    async def whole(self, shown: Shown) -> str:
        return shown.text

    async def odd(self) -> list[Shown]:
        return [await self.say(text) for text in ("？？？", "🎉", "\u200b", "a" * 1000)]

    def hostile(self) -> dict[str, Letter]:
        good = self.letter("签到")
        return {
            "no JSON": Letter("POST", "/chat/send", b"{", good.headers),
            "a list": _json("/chat/send", ["签到"]),
            "deep nesting": Letter("POST", "/chat/send", b"[" * 4000, good.headers),
            "not said to be JSON": Letter("POST", "/chat/send", good.body, {"Content-Type": "text/plain"}),
            "no key": _json("/chat/send", {"text": "签到"}),
            "a bad key": _json("/chat/send", {"key": "../../../../etc/passwd", "text": "签到"}),
            "more than was asked": _json("/chat/send", {"key": str(uuid4()), "text": "签到", "guest": "g1"}),
            "a number for words": _json("/chat/send", {"key": str(uuid4()), "text": 1}),
            "no words": self.letter("  "),
            "a zero character": self.letter("签\0到"),
            "half a character": self.letter("签\ud800到"),
            "an oversized text": self.letter("签" * 1001),
            "an oversized body": Letter("POST", "/chat/send", good.body + b" " * 9000, good.headers),
            "another site's page": Letter(
                "POST", good.path, good.body, good.headers | {"Sec-Fetch-Site": "cross-site"}
            ),
            "another site's page, older": Letter("POST", good.path, good.body, good.headers | {"Origin": "http://a.b"}),
            "a bad code": _json("/chat/open", {"scene": "<script>"}),
            "a bad place": Letter("GET", "/chat/waiting?after=-1"),
            "a method nobody uses": Letter("PUT", good.path, good.body, good.headers),
        }


class TelegramVisitor(_Wire):
    """A person on the played Telegram. Answers come apart from the request, in the order of what was said."""

    _letters = itertools.count(900_000_000)  # beyond the platform's own numbers

    def __init__(self, house: Furnished) -> None:
        super().__init__(house)
        assert house.telegram
        self.person = house.telegram.person()
        self._expected = 0
        self._places: dict[str, int] = {}

    async def arrive(self) -> Shown:
        self.person.start()
        return await self._next()

    async def picture(self) -> bytes:
        return self.person.received[0].photo

    async def say(self, text: str) -> Shown:
        self.person.say(text)
        return await self._next()

    def letter(self, text: str) -> Letter:
        person = self.person
        message = {"message_id": person.next_id(), "from": person.user(), "chat": person.chat(), "text": text}
        return self._update(message=message | {"date": int(person.world.seconds())})

    async def deliver(self, letter: Letter) -> Shown:
        """What answers this letter, however often it was delivered; a second answer would be left over at the end."""
        name = letter.body.decode()
        if name not in self._places:
            self._places[name] = self._expect()
        (await self.post(letter)).raise_for_status()
        return await self._shown(self._places[name])

    async def whole(self, shown: Shown) -> str:
        parts = [one.text for one in self.person.received[self._expected - 1 :]]
        while not self.person.received[-1].keyboard:
            await self._next()
            parts.append(self.person.received[-1].text)
        return "\n".join(parts)

    async def odd(self) -> list[Shown]:
        person, said = self.person, []
        for act in (
            lambda: person.photo(_PICTURE),
            lambda: person.photo(_PICTURE, "看这个"),
            person.voice,
            person.sticker,
            lambda: person.location(31.2, 121.5),
            lambda: person.contact("+8613800000000"),
            lambda: person._message({"document": {"file_id": "D", "file_unique_id": "d"}}),
            lambda: person._message({"a_type_nobody_knows": {"some": "thing"}}),
        ):
            act()
            said.append(await self._next())
        return said

    def hostile(self) -> dict[str, Letter]:
        good = self.letter("签到")
        update = json.loads(good.body)
        message = update["message"]
        bare = {"Content-Type": "application/json"}
        return {
            "no secret": Letter("POST", "/telegram", good.body, bare),
            "a wrong secret": Letter("POST", "/telegram", good.body, bare | {_SECRET: BOT_SECRET[:-1]}),
            "a secret in other letters": Letter("POST", "/telegram", good.body, bare | {_SECRET: "口令".encode()}),
            "no JSON": Letter("POST", "/telegram", b"{", good.headers),
            "no UTF-8": Letter("POST", "/telegram", b'{"update_id": 1, "message": "\xff"}', good.headers),
            "a list": Letter("POST", "/telegram", b"[1]", good.headers),
            "nothing": Letter("POST", "/telegram", b"", good.headers),
            "an oversized body": Letter("POST", "/telegram", good.body + b" " * 1_100_000, good.headers),
            "deep nesting": Letter("POST", "/telegram", b"[" * 100_000, good.headers),
            "deep nesting aside": self._update(message=message | {"venue": _nested(200)}),
            "no number": Letter("POST", "/telegram", json.dumps({"message": message}).encode(), good.headers),
            "a word for a number": self._update(update_id="7", message=message),
            "a huge number": self._update(update_id=10**30, message=message),
            "a number for words": self._update(message=message | {"text": 7}),
            "a list for a message": self._update(message=[message]),
            "nobody speaks": self._update(message={k: v for k, v in message.items() if k != "from"}),
            "nowhere said": self._update(message={k: v for k, v in message.items() if k != "chat"}),
            "a truth for a person": self._update(message=message | {"from": message["from"] | {"id": True}}),
            "a place beyond the earth": self._update(
                message={"chat": message["chat"], "from": message["from"], "location": {"latitude": 91, "longitude": 0}}
            ),
            "a tap without a message's chat": self._update(
                callback_query={"id": "1", "from": message["from"], "data": "签到", "message": {"message_id": 1}}
            ),
            "a method nobody uses": Letter("PUT", "/telegram", good.body, good.headers),
            "a look": Letter("GET", "/telegram", b"", good.headers),
        }

    async def close(self) -> None:
        try:
            await asyncio.sleep(0.2)
            said = [one.text[:20] for one in self.person.received[self._expected :]]
            assert not said, f"nobody asked for {said}"
        finally:
            await super().close()

    def _update(self, **fields: Any) -> Letter:
        body = json.dumps({"update_id": next(self._letters)} | fields, ensure_ascii=False).encode()
        return Letter("POST", "/telegram", body, {"Content-Type": "application/json", _SECRET: BOT_SECRET})

    def _expect(self) -> int:
        self._expected += 1
        return self._expected - 1

    async def _next(self) -> Shown:
        return await self._shown(self._expect())

    async def _shown(self, place: int) -> Shown:
        try:
            received = (await self.person.wait_for(place + 1, 5.0))[place]
        except TimeoutError as late:
            raise httpx.ReadTimeout(str(late)) from late
        return _with_buttons(received)


VISITORS: dict[str, type[Any]] = {"wechat": WeChatVisitor, "web": WebVisitor, "telegram": TelegramVisitor}


def _with_buttons(received: Received) -> Shown:
    return Shown(received.text, tuple(button["text"] for row in received.keyboard for button in row))


def _nested(levels: int) -> Any:
    tree: Any = 1
    for _ in range(levels):
        tree = [tree]
    return tree


def _json(path: str, body: Any) -> Letter:
    return Letter("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"})


def _numbered(text: str) -> Shown:
    """An answer of a channel without buttons: what it offers stands in numbered lines at its end."""
    lines = text.split("\n")
    choices: list[str] = []
    while lines and (line := re.fullmatch(r"\d+\. (.+)", lines[-1])):
        choices.insert(0, line[1])
        lines.pop()
    return Shown("\n".join(lines), tuple(choices))


def _answers(response: httpx.Response) -> Shown:
    answers = response.raise_for_status().json()["answers"]
    choices = tuple(choice["label"] for answer in answers for choice in answer.get("choices", ()))
    return Shown("\n".join(answer["text"] for answer in answers), choices)
