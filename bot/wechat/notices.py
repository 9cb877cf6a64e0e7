"""Notices to one person: a subscription notice for each consent given, and template messages, never for marketing.

Promises that a text never makes the platform refuse a notice for its length. Has no key to dedupe by: what is in doubt
stays so. Who consented is somebody else's memory; the platform's answer (43101) has the last word.

Sources: "Sending a subscription notice", whose lengths of values are known from mini programs alone [unverified];
"Template messages" (for important service notices; marketing is not supported).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Protocol

from bot.channels import Outcome
from bot.wechat.api import Api
from bot.wechat.capabilities import NOTICES, TEMPLATES, Capabilities
from bot.wechat.faults import Fault, outcome

# Characters of a value, by the kind of field that its name begins with.
_LENGTHS = {"thing": 20, "character_string": 32, "name": 10, "phrase": 5}

About = Literal["service", "marketing"]


class Clocked(Protocol):
    """The part of the service that notices need."""

    def now(self) -> datetime: ...


class Notices:
    """The notices of one account."""

    def __init__(self, api: Api, service: Clocked, abilities: Capabilities) -> None:
        self._api, self._service, self._abilities = api, service, abilities

    async def subscription(self, address: str, template: str, fields: Mapping[str, str], page: str = "") -> Outcome:
        """Send the notice that the person agreed to; `refused`, `consent_refused` when they did not, or used it up.

        `fields` are the template's own, as `{"thing1": "…"}`; `page` is the address that a tap opens.
        """
        return await self._send(NOTICES, "message/subscribe/bizsend", address, template, fields, {"page": page})

    async def template(
        self, address: str, template: str, fields: Mapping[str, str], about: About, page: str = ""
    ) -> Outcome:
        """Send a template message about a service of the person's own; marketing is refused before any request."""
        if about != "service":
            return Outcome("refused", "marketing")
        return await self._send(TEMPLATES, "message/template/send", address, template, fields, {"url": page})

    async def _send(
        self,
        needs: str,
        path: str,
        address: str,
        template: str,
        fields: Mapping[str, str],
        more: Mapping[str, str],
    ) -> Outcome:
        if not await self._abilities.has(needs):
            return Outcome("refused", "no_capability")
        data: dict[str, Any] = {"touser": address, "template_id": template}
        data |= {name: value for name, value in more.items() if value}
        data["data"] = {name: {"value": _fitting(name, value)} for name, value in fields.items()}
        try:
            await self._api.ask("POST", path, data=data)
        except Fault as fault:
            return outcome(fault, self._service.now())
        return Outcome("sent")


def _fitting(name: str, value: str) -> str:
    text = " ".join(value.split()) or "—"
    most = _LENGTHS.get(name.rstrip("0123456789"), 0)
    return text if not most or len(text) <= most else text[: most - 1] + "…"
