"""The door on which Telegram knocks: it checks the secret, reads, hands over, and says 200.

Promises a short 4xx to anything forged, malformed or oversized, with nothing changed; 503 where no answer was committed
in time, so that Telegram comes again; and that 200 is never said before a commit covers the update. Answers leave by
the sender; the response itself only lets a pressed button go.
"""

from __future__ import annotations

import hmac
import json

from bot import knocking
from bot.channels import Service
from bot.knocking import Knock, Refused
from bot.telegram import polls
from bot.telegram.reading import heard, read_json

# A text with all its letters escaped, the text it replies to, a hundred buttons: some 300 KB. A refused update would
# keep that chat's queue waiting for a day.
BODY_BYTES = 1024 * 1024
_SECRET_HEADER = b"x-telegram-bot-api-secret-token"


class Door(knocking.Door):
    """The door of one bot."""

    most, seconds = BODY_BYTES, 10.0

    def __init__(self, account: str, secret_token: str, service: Service) -> None:
        self._account, self._service = account, service
        self._expected = secret_token.encode()

    def greet(self, knock: Knock) -> None:
        """Whether it is Telegram. Raises Refused."""
        if knock.method != "POST":
            raise Refused(405, "只收 POST only POST")
        if not hmac.compare_digest(dict(knock.headers).get(_SECRET_HEADER, b""), self._expected):
            raise Refused(403, "口令不对 wrong secret token")

    def knock(self, knock: Knock) -> None:
        """Take an update."""
        knock.later(self._answer(knock))

    async def _answer(self, knock: Knock) -> None:
        said = await self._hear(knock.body)
        knock.answer(200, said, b"application/json" if said else b"text/plain")

    async def _hear(self, body: bytes) -> bytes:
        one = heard(read_json(body), self._account, self._service.now())
        incoming = await polls.meant(one, self._account, self._service)
        if incoming is not None:
            await self._service.hear(incoming)
        if not one.query or self._service.held:
            return b""
        return json.dumps({"method": "answerCallbackQuery", "callback_query_id": one.query}).encode()
