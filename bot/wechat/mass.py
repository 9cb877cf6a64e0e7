"""WeChat's mass sends: one request for up to 10,000 followers, or for a tag, that the platform counts once by our key.

Promises that the same key reaches nobody twice within a day: a request whose answer was lost is simply repeated. Who
may get it, and until when it may be repeated, is somebody else's knowledge; how it ended comes later, with four counts,
as MASSSENDJOBFINISH.

Sources: "Batch Sends" of the service account's pages; the platform's error list for 45028, 45065 (with the first
msg_id), 45066 (wait a minute) and 45067. That a key is remembered for 24 hours is on the page of older days only.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from bot.channels import MassOutcome, Outcome
from bot.wechat.api import Api
from bot.wechat.articles import Articles
from bot.wechat.capabilities import MASS, MASS_BY_TAG, Capabilities
from bot.wechat.faults import BAD_MEDIA, BAD_OPENID, SENT_BEFORE, Fault, outcome

FEWEST, MOST = 2, 10_000
KEY_BYTES = 64


class Clocked(Protocol):
    """The part of the service that mass sends need."""

    def now(self) -> datetime: ...


class Mass:
    """The mass sends of one account."""

    def __init__(self, api: Api, articles: Articles, service: Clocked, abilities: Capabilities) -> None:
        self._api, self._articles, self._service, self._abilities = api, articles, service, abilities

    async def send(self, addresses: Sequence[str], message: dict[str, Any], key: str) -> MassOutcome:
        """Send `message` to these followers under `key` (at most 64 bytes); the same key again reaches nobody twice.

        A key that the platform knows counts as sent. What is in doubt must not be repeated a day later.
        """
        openids = list(dict.fromkeys(addresses))
        if len(openids) < FEWEST:
            return MassOutcome("refused", "too_few")
        if len(openids) > MOST or len(key.encode()) > KEY_BYTES:
            raise ValueError(f"{len(openids)} people under a key of {len(key.encode())} bytes")
        if not await self._abilities.has(MASS):
            return MassOutcome("refused", "no_capability")
        return await self._send("message/mass/send", {"touser": openids}, message, key)

    async def send_by_tag(self, tag: int | None, message: dict[str, Any], key: str) -> MassOutcome:
        """The same for all followers with this tag of the platform's, or for all of them.

        Only where consent cannot differ: whoever took it back with us is still in the platform's list. A subscription
        account may do this once a day (then `refused`, `mass_quota`).
        """
        if not await self._abilities.has(MASS_BY_TAG):
            return MassOutcome("refused", "no_capability")
        chosen = {"is_to_all": True} if tag is None else {"is_to_all": False, "tag_id": tag}
        return await self._send("message/mass/sendall", {"filter": chosen}, message, key)

    async def preview(self, address: str, message: dict[str, Any]) -> Outcome:
        """Show one follower what a mass send would show; counts toward no month (100 a day)."""
        if not await self._abilities.has(MASS_BY_TAG):
            return Outcome("refused", "no_capability")
        try:
            await self._ask("message/mass/preview", {"touser": address}, message, "preview", {})
        except Fault as fault:
            return outcome(fault, self._service.now())
        return Outcome("sent")

    async def status(self, platform: str) -> str:
        """How the send with this msg_id stands: `send_success`, `sending`, `send_fail`, `delete`. Raises Fault."""
        answer = await self._api.ask("POST", "message/mass/get", data={"msg_id": platform})
        return str(answer.get("msg_status", "")).lower()

    async def _send(self, path: str, whom: dict[str, Any], message: dict[str, Any], key: str) -> MassOutcome:
        more = {"send_ignore_reprint": 0, "clientmsgid": key}
        try:
            return MassOutcome("sent", platform=_number(await self._ask(path, whom, message, key, more)))
        except Fault as fault:
            return self._refused(fault)

    async def _ask(
        self, path: str, whom: dict[str, Any], message: dict[str, Any], key: str, more: dict[str, Any]
    ) -> dict[str, Any]:
        """Make what it carries and ask for one send. Raises Fault, which says whether the send was reached."""
        refused = ""
        while True:
            try:
                carried = await self._articles.make(message, key, refused)
            except Fault as fault:
                # No send was asked for yet, so whatever befell this request, nothing was sent.
                raise Fault(0 if fault.code == -1 else fault.code, str(fault), reached=False) from None
            try:
                return await self._api.ask("POST", path, data={**whom, **carried.body(), **more})
            except Fault as fault:
                # The draft of a send that was taken is gone as well: made anew, it meets the key or is sent at last.
                if fault.code != BAD_MEDIA or not carried.media_id or refused:
                    raise
                refused = carried.media_id

    def _refused(self, fault: Fault) -> MassOutcome:
        if fault.code == BAD_OPENID:
            return MassOutcome("failed", "bad_list")  # said of the whole list: nobody in it got anything
        ended = outcome(fault, self._service.now())
        platform = _number(fault.answer) if fault.code == SENT_BEFORE else ""
        return MassOutcome(ended.state, ended.reason, ended.wait, platform)


def _number(answer: Any) -> str:
    # The pages say msg_id; answers with msgid were seen.
    return str(answer.get("msg_id") or answer.get("msgid") or "")
