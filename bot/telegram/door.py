"""The door on which Telegram knocks: a raw ASGI endpoint that checks the secret, reads, hands over, and says 200.

Promises a short 4xx to anything forged, malformed or oversized, with nothing changed; 503 where no answer was committed
in time, so that Telegram comes again; and that 200 is never said before a commit covers the update. Answers leave by
the sender; the response itself only lets a pressed button go.
"""

from __future__ import annotations

import hmac
import json

from starlette.types import Receive, Scope, Send

from bot import knocking
from bot.channels import Busy, Service
from bot.knocking import Refused
from bot.telegram import polls
from bot.telegram.reading import heard, read_json

# A text with all its letters escaped, the text it replies to, a hundred buttons: some 300 KB. A refused update would
# keep that chat's queue waiting for a day.
BODY_BYTES = 1024 * 1024
_BODY_SECONDS = 10.0
_SECRET_HEADER = b"x-telegram-bot-api-secret-token"


class Door:
    """The ASGI endpoint of one bot."""

    def __init__(self, account: str, secret_token: str, service: Service) -> None:
        self._account, self._service = account, service
        self._expected = secret_token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["method"] != "POST":
                raise Refused(405, "只收 POST only POST")
            headers = dict(scope["headers"])
            if not hmac.compare_digest(headers.get(_SECRET_HEADER, b""), self._expected):
                raise Refused(403, "口令不对 wrong secret token")
            said = await self._hear(await knocking.body(scope, receive, BODY_BYTES, _BODY_SECONDS))
            await knocking.write(send, 200, said, b"application/json" if said else b"text/plain")
        except Refused as refused:
            await knocking.refuse(send, refused)
        except Busy:
            await knocking.put_off(send)

    async def _hear(self, body: bytes) -> bytes:
        one = heard(read_json(body), self._account, self._service.now())
        incoming = await polls.meant(one, self._account, self._service)
        if incoming is not None:
            await self._service.hear(incoming)
        if not one.query or self._service.held:
            return b""
        return json.dumps({"method": "answerCallbackQuery", "callback_query_id": one.query}).encode()
