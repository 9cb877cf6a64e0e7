"""Text messages by a provider's contract: one request per message, named by our id, so that repeating it sends once.

The contract is small: `POST url` with `{"id", "to", "text"}` and the key as a bearer token. 2xx and a repeated id mean
taken; 4xx refuse; 429 asks to wait. What another provider wants is a few lines between the two. Knows no person.
"""

from __future__ import annotations

import asyncio
import json
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from bot.channels import Outcome
from bot.settings import SmsSettings

if TYPE_CHECKING:
    import aiohttp

_SECONDS, _TRIES = 8.0, 3  # together less than the sender gives a message
_KEY_REFUSED = frozenset({401, 403})
_LETTERS = 500


class Provider(Protocol):
    """Whoever takes text messages."""

    name: str
    per_second: float

    async def send(self, key: str, number: str, text: str) -> Outcome:
        """Send one message; the same `key` again sends nothing more. Never raises for what a provider can do."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


class HttpProvider:
    """The contract over HTTP."""

    name = "sms:main"

    def __init__(self, settings: SmsSettings) -> None:
        self.per_second = float(settings.messages_per_second)
        self._url, self._sign = settings.url, settings.signature
        self._headers = {"Authorization": f"Bearer {settings.key.get_secret_value()}"}
        self._session: aiohttp.ClientSession | None = None

    async def send(self, key: str, number: str, text: str) -> Outcome:
        """Ask up to three times while the answer is lost, which the key makes harmless."""
        signed = f"【{self._sign}】{text}" if self._sign else text
        body = {"id": key, "to": number, "text": signed[:_LETTERS]}
        outcome = Outcome("doubtful", "no_answer")
        reached = False
        for _ in range(_TRIES):
            outcome = await self._ask(body)
            reached = reached or outcome.state == "doubtful"
            if outcome.state not in ("doubtful", "retry") or outcome.wait > 1:
                break
        # Once it may have been taken only a clear answer says otherwise; a wait is none.
        return Outcome("doubtful", "no_answer") if reached and outcome.state in ("retry", "failed") else outcome

    async def close(self) -> None:
        """Release the connections."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def _ask(self, body: dict[str, str]) -> Outcome:
        await asyncio.to_thread(import_module, "aiohttp")  # which takes a while the first time
        import aiohttp

        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=_SECONDS)
            self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        try:
            async with self._session.post(
                self._url, json=body, headers=self._headers, allow_redirects=False
            ) as response:
                return _outcome(response.status, await response.content.read(4096))
        except aiohttp.ClientConnectorError:
            return Outcome("retry", "no_connection", 5.0)
        except (aiohttp.ClientError, TimeoutError):
            return Outcome("doubtful", "no_answer")


def _outcome(status: int, body: bytes) -> Outcome:
    try:
        told = json.loads(body)
    except ValueError:
        told = {}
    told = told if isinstance(told, dict) else {}
    code = "".join(letter for letter in str(told.get("code", "")) if letter.isalnum() or letter == "_")[:40]
    if 200 <= status < 300:
        return Outcome("sent")
    if status in _KEY_REFUSED:
        return Outcome("failed", "sms_key_refused")
    if status == 429:
        wait = told.get("wait")
        return Outcome("retry", "sms_rate", float(wait) if isinstance(wait, int | float) and 0 < wait < 3600 else 5.0)
    if 400 <= status < 500:
        return Outcome("refused", f"sms_{code or status}")
    return Outcome("doubtful", f"sms_{status}")


def open_provider(settings: SmsSettings) -> Provider | None:
    """The provider of `[sms]`; None while it is not enabled."""
    return HttpProvider(settings) if settings.enabled else None
