"""The door on which WeChat knocks: a raw ASGI endpoint that checks, opens, hands over, and answers in the same breath.

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
import re
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from bot import knocking
from bot.channels import Busy, Service
from bot.knocking import Refused
from bot.wechat.capabilities import CUSTOMER_SERVICE, MEDIA, Capabilities
from bot.wechat.media import Media
from bot.wechat.reading import Fields, incoming, read_xml
from bot.wechat.rendering import image_reply, is_own, join, sealed_reply, text_reply
from bot.wechat.seal import Seal
from storage.incoming import Answer, Incoming

log = logging.getLogger(__name__)

BODY_BYTES = 65_536
_STALE_SECONDS = 300
_BODY_SECONDS = 5.0
_LOOK_AFTER_SECONDS = 0.1  # a caller does not hang up sooner
_UNANSWERABLE = frozenset({"unfollow", "view", "notice"})
_ENCRYPT = re.compile(rb"<Encrypt><!\[CDATA\[([A-Za-z0-9+/=]+)\]\]></Encrypt>")
PICTURE_SECONDS = 3.5  # of WeChat's five, from the callback on
SAID_SECONDS = 7 * 86_400.0

Query = dict[bytes, bytes]


class Door:
    """The ASGI endpoint of one account. `mode` is `safe`, `compatible` or `plain`."""

    def __init__(self, account: str, mode: str, seal: Seal, service: Service, abilities: Capabilities, media: Media):
        self._account = account
        self._sealed = mode != "plain"
        self._seal = seal
        self._service = service
        self._abilities = abilities
        self._media = media

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            query = _query(scope["query_string"])
            if scope["method"] == "POST":
                body = await knocking.body(scope, receive, BODY_BYTES, _BODY_SECONDS)
                await self._hear(query, body, receive, send)
            elif scope["method"] == "GET":
                await knocking.write(send, 200, self._handshake(query))
            else:
                raise Refused(405, "只收 GET 与 POST only GET and POST")
        except Refused as refused:
            await knocking.refuse(send, refused)
        except Busy:
            await knocking.put_off(send)

    def _handshake(self, query: Query) -> bytes:
        self._seal.check(query.get(b"signature", b""), query.get(b"timestamp", b""), query.get(b"nonce", b""))
        return query.get(b"echostr", b"")

    async def _hear(self, query: Query, body: bytes, receive: Receive, send: Send) -> None:
        now = self._service.now()
        fields = self._open(query, body, now.timestamp())
        heard = incoming(fields, self._account, now)
        began = time.monotonic()
        answer = await self._service.hear(heard)
        if time.monotonic() - began > _LOOK_AFTER_SECONDS and _hung_up(receive):
            return  # the same message comes again within seconds and fetches the stored answer; else the lease ends
        await self._answer(fields, heard, answer, send, began + PICTURE_SECONDS)

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

    async def _answer(self, fields: Fields, heard: Incoming, answer: Answer, send: Send, until: float) -> None:
        if not answer.messages or heard.kind in _UNANSWERABLE:
            await knocking.write(send, 200, b"success", b"text/plain")
            self._release(answer.deliveries)
            return
        carried, reply, begun = await self._reply(fields, answer.messages, until)
        try:
            await knocking.write(send, 200, self._close(reply) if reply else b"success", b"text/xml; charset=utf-8")
        except OSError:
            return  # as above: the caller is gone
        if carried:
            self._service.settled(answer.deliveries[:carried])
        if carried < len(answer.deliveries):
            await self._pass_on(answer.deliveries[carried:], begun)

    async def _reply(self, fields: Fields, messages: Sequence[dict[str, Any]], until: float) -> tuple[int, bytes, bool]:
        """How many messages the one passive reply carries whole, its XML, and whether it begins the next one.

        Plain texts share the reply. Of a text with a picture the text goes now and the picture follows actively; a
        picture alone goes now if it is uploaded already, for uploading could cost the five seconds. Where nothing can
        follow, a picture made for the person goes instead of its text if it can be had `until` then (monotonic).
        """
        can_send, can_show = self._abilities.expects(CUSTOMER_SERVICE), self._abilities.expects(MEDIA)
        people = fields["FromUserName"], fields["ToUserName"], int(self._service.now().timestamp())
        if can_show and not can_send and is_own(messages[0]):
            media_id = await self._in_time(messages[0]["picture"]["name"], until)
            if media_id:
                return 1, image_reply(*people, media_id), False
        carried, piece, begun = join(messages, can_send and can_show, self._service.public_url)
        if piece is None:
            return carried, b"", False
        if not piece.picture:
            return carried, text_reply(*people, piece.text), begun
        media_id = await self._media.known(piece.picture)
        return (1, image_reply(*people, media_id), False) if media_id else (0, b"", False)

    async def _in_time(self, name: str, until: float) -> str:
        """The id of the picture, drawn and uploaded; nothing when that takes too long, and then it is ready later."""
        uploading = asyncio.create_task(self._media.upload(name))
        uploading.add_done_callback(_heard_of)
        done, _ = await asyncio.wait([uploading], timeout=max(0.0, until - time.monotonic()))
        if not done or uploading.exception():
            return ""
        return uploading.result()

    async def _pass_on(self, deliveries: Sequence[int], begun: bool) -> None:
        try:
            if begun:
                await self._service.keep(said_key(self._account, deliveries[0]), {"pieces": 1}, SAID_SECONDS)
        finally:
            self._release(deliveries)

    def _release(self, deliveries: Sequence[int]) -> None:
        if deliveries:
            self._service.release(deliveries)

    def _close(self, reply: bytes) -> bytes:
        if not self._sealed:
            return reply
        encrypted = self._seal.close(reply)
        timestamp, nonce = str(int(self._service.now().timestamp())), str(random.getrandbits(40))
        signature = self._seal.sign(timestamp.encode(), nonce.encode(), encrypted)
        return sealed_reply(encrypted, signature, timestamp, nonce)


def _heard_of(task: asyncio.Task[str]) -> None:
    """An upload that failed after its person was answered is a line in the log, no more."""
    if not task.cancelled() and (fault := task.exception()):
        log.warning("wechat: a picture did not come in time: %s", fault)


def said_key(account: str, delivery: int) -> str:
    """Where it is kept how many pieces of a delivery were said already."""
    return f"wechat:{account}:said:{delivery}"


def _sealed_part(body: bytes) -> bytes:
    # Nothing else in the envelope is believed, and the signature covers this part: no need to parse what surrounds it.
    found = _ENCRYPT.search(body)
    if found:
        return found[1]
    encrypted = read_xml(body).get("Encrypt")
    if not isinstance(encrypted, str):
        raise Refused(400, "没有 Encrypt no Encrypt")
    return encrypted.encode()


def _query(raw: bytes) -> Query:
    if len(raw) > 2048:
        raise Refused(414, "查询串太长 query too long")
    if b"%" in raw or b"+" in raw:
        try:
            return dict(parse_qsl(raw, keep_blank_values=True, max_num_fields=32))
        except ValueError:
            raise Refused(400, "查询串不合法 bad query") from None
    return dict(part.partition(b"=")[::2] for part in raw.split(b"&"))


def _hung_up(receive: Receive) -> bool:
    """Whether the caller is known to be gone: asked without waiting, one step of `receive` and no more."""
    asking: Any = receive()
    try:
        asking.send(None)
    except StopIteration as told:
        return bool(told.value.get("type") == "http.disconnect")
    asking.close()
    return False
