"""The door on which WeChat knocks: it checks, opens, hands over, and answers in the same breath.

Promises a short 4xx to anything malformed, forged, stale or oversized, with nothing changed; 503 where no answer was
committed in time, so that WeChat comes again; and that `success` is never said before a commit covers the message.

A request whose signed time is more than 300 s off is refused before the store is asked, replays included: WeChat's own
retries all come within 20 s, so they are never stale and get the stored answer by their key. An answer that its caller
did not wait for stays where it is for such a retry, because an account without customer service has no other way.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from bot import knocking
from bot.channels import Service
from bot.knocking import Knock, Refused
from bot.wechat.capabilities import CUSTOMER_SERVICE, MEDIA, Capabilities
from bot.wechat.media import Media
from bot.wechat.reading import Fields, incoming, read_xml
from bot.wechat.rendering import image_reply, is_own, join, sealed_reply, text_reply
from bot.wechat.seal import Seal
from storage.incoming import Answer

log = logging.getLogger(__name__)

_STALE_SECONDS = 300
_UNANSWERABLE = frozenset({"unfollow", "view", "notice"})
_BEGIN, _END = b"<Encrypt><![CDATA[", b"]]></Encrypt>"
PICTURE_SECONDS = 3.5  # of WeChat's five, from the callback on
SAID_SECONDS = 7 * 86_400.0

Query = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A callback that awaits its answer: what was heard from whom by which account at which second (Unix), and until
    when (monotonic) a picture may be awaited."""

    knock: Knock
    kind: str
    person: str
    account: str
    at: int
    until: float


class Door(knocking.Door):
    """The door of one account. `mode` is `safe`, `compatible` or `plain`."""

    def __init__(self, account: str, mode: str, seal: Seal, service: Service, abilities: Capabilities, media: Media):
        self._account = account
        self._sealed = mode != "plain"
        self._seal = seal
        self._service = service
        self._abilities = abilities
        self._media = media

    def knock(self, knock: Knock) -> None:
        """Answer a callback, or the handshake. Raises Refused, Busy."""
        query = _query(knock.query)
        if knock.method == "POST":
            self._hear(knock, query)
        elif knock.method == "GET":
            knock.answer(200, self._handshake(query))
        else:
            raise Refused(405, "只收 GET 与 POST only GET and POST")

    def _handshake(self, query: Query) -> bytes:
        self._seal.check(query.get(b"signature", b""), query.get(b"timestamp", b""), query.get(b"nonce", b""))
        return query.get(b"echostr", b"")

    def _hear(self, knock: Knock, query: Query) -> None:
        now = self._service.now()
        seconds = now.timestamp()
        fields = self._open(query, knock.body, seconds)
        heard = incoming(fields, self._account, now)
        until = time.monotonic() + PICTURE_SECONDS
        asked = _Asked(knock, heard.kind, fields["FromUserName"], fields["ToUserName"], int(seconds), until)
        self._service.hear_then(heard, lambda answer: knock.attempt(self._answer, asked, answer))

    def _open(self, query: Query, body: bytes, now: float) -> Fields:
        """The fields of a callback whose signature, age (`now`: Unix) and envelope are right. Raises Refused."""
        timestamp, nonce = query.get(b"timestamp", b""), query.get(b"nonce", b"")
        if not self._sealed:
            self._seal.check(query.get(b"signature", b""), timestamp, nonce)
            self._check_age(timestamp, now)
            return read_xml(body)
        # In compatible mode the readable fields beside Encrypt are covered by no signature: only Encrypt is believed.
        sealed = _sealed_part(body)
        self._seal.check(query.get(b"msg_signature", b""), timestamp, nonce, sealed)
        self._check_age(timestamp, now)
        return read_xml(self._seal.open(sealed))

    def _check_age(self, timestamp: bytes, now: float) -> None:
        if not timestamp.isdigit() or len(timestamp) > 12:
            raise Refused(400, "timestamp 不合法 bad timestamp")
        age = now - int(timestamp)
        if abs(age) > _STALE_SECONDS:
            log.warning("wechat %s: a rightly signed request was %.0f s off; is the clock right?", self._account, age)
            raise Refused(403, "请求已过时 stale request")

    def _answer(self, asked: _Asked, answer: Answer | Exception) -> None:
        if isinstance(answer, Exception):
            raise answer
        if not answer.messages or asked.kind in _UNANSWERABLE:
            asked.knock.answer(200, b"success", b"text/plain")
            self._release(answer.deliveries)
            return
        can_send, can_show = self._abilities.expects(CUSTOMER_SERVICE), self._abilities.expects(MEDIA)
        if can_show and not can_send and is_own(answer.messages[0]):
            asked.knock.later(self._show_own(asked, answer))
        else:
            self._reply(asked, answer, can_send and can_show)

    def _reply(self, asked: _Asked, answer: Answer, follows: bool) -> None:
        """Answer with what one passive reply carries whole. Plain texts share it. Of a text with a picture the text
        goes now and the picture `follows` actively; a picture alone goes now if it is uploaded already, for uploading
        could cost the five seconds."""
        carried, piece, begun = join(answer.messages, follows, self._service.public_url)
        if piece and piece.picture:
            asked.knock.later(self._show(asked, answer, piece.picture))
            return
        reply = text_reply(asked.person, asked.account, asked.at, piece.text) if piece else b""
        if self._say(asked, answer, reply, carried):
            self._pass_on(asked.knock, answer.deliveries[carried:], begun)

    async def _show(self, asked: _Asked, answer: Answer, picture: str) -> None:
        media_id = await self._media.known(picture)
        reply = image_reply(asked.person, asked.account, asked.at, media_id) if media_id else b""
        if self._say(asked, answer, reply, 1 if media_id else 0):
            self._release(answer.deliveries[1 if media_id else 0 :])

    async def _show_own(self, asked: _Asked, answer: Answer) -> None:
        """Where nothing can follow, a picture made for the person goes instead of its text if it can be had in time."""
        media_id = await self._in_time(answer.messages[0]["picture"]["name"], asked.until)
        if not media_id:
            self._reply(asked, answer, False)
        elif self._say(asked, answer, image_reply(asked.person, asked.account, asked.at, media_id), 1):
            self._release(answer.deliveries[1:])

    def _say(self, asked: _Asked, answer: Answer, reply: bytes, carried: int) -> bool:
        """Answer with what carries the first messages. A caller who is gone comes again within seconds and fetches the
        stored answer; else the lease ends."""
        said = self._close(reply, asked.at) if reply else b"success"
        if not asked.knock.answer(200, said, b"text/xml; charset=utf-8"):
            return False
        if carried:
            self._service.settled(answer.deliveries[:carried])
        return True

    async def _in_time(self, name: str, until: float) -> str:
        """The id of the picture, drawn and uploaded; nothing when that takes too long, and then it is ready later."""
        uploading = asyncio.create_task(self._media.upload(name))
        uploading.add_done_callback(_heard_of)
        done, _ = await asyncio.wait([uploading], timeout=max(0.0, until - time.monotonic()))
        if not done or uploading.exception():
            return ""
        return uploading.result()

    def _pass_on(self, knock: Knock, deliveries: Sequence[int], begun: bool) -> None:
        if begun and deliveries:
            knock.later(self._go_on(deliveries))
        else:
            self._release(deliveries)

    async def _go_on(self, deliveries: Sequence[int]) -> None:
        """The reply began the next message: the sender is to say the rest."""
        try:
            await self._service.keep(said_key(self._account, deliveries[0]), {"pieces": 1}, SAID_SECONDS)
        finally:
            self._release(deliveries)

    def _release(self, deliveries: Sequence[int]) -> None:
        if deliveries:
            self._service.release(deliveries)

    def _close(self, reply: bytes, at: int) -> bytes:
        if not self._sealed:
            return reply
        encrypted = self._seal.close(reply)
        timestamp, nonce = b"%d" % at, b"%d" % random.getrandbits(40)
        return sealed_reply(encrypted, self._seal.sign(timestamp, nonce, encrypted), timestamp, nonce)


def _heard_of(task: asyncio.Task[str]) -> None:
    """An upload that failed after its person was answered is a line in the log, no more."""
    if not task.cancelled() and (fault := task.exception()):
        log.warning("wechat: a picture did not come in time: %s", fault)


def said_key(account: str, delivery: int) -> str:
    """Where it is kept how many pieces of a delivery were said already."""
    return f"wechat:{account}:said:{delivery}"


def _sealed_part(body: bytes) -> bytes:
    # Nothing else in the envelope is believed, and the signature covers this part: no need to parse what surrounds it.
    sealed, ended, _ = body.partition(_BEGIN)[2].partition(_END)
    if ended:
        return sealed
    encrypted = read_xml(body).get("Encrypt")
    if not isinstance(encrypted, str):
        raise Refused(400, "没有 Encrypt no Encrypt")
    return encrypted.encode()


def _query(raw: bytes) -> Query:
    if len(raw) > 2048:
        raise Refused(414, "查询串太长 query too long")
    if raw.find(b"%") < 0 and raw.find(b"+") < 0:  # `in` raises a fault and catches it, each time
        pairs = [part.partition(b"=") for part in raw.split(b"&")]
        return {name: value for name, _, value in pairs}
    try:
        return dict(parse_qsl(raw, keep_blank_values=True, max_num_fields=32))
    except ValueError:
        raise Refused(400, "查询串不合法 bad query") from None
