"""The library's HTTP over aiohttp, which costs a fraction of its default client's work at every level of concurrency.

Promises that what certainly never reached the platform is told apart (NotSent) from what may have, and that no error
holds an address, for the bot's token stands in it.
"""

from __future__ import annotations

import json
from typing import Any

import aiohttp
from telegram.error import NetworkError, TelegramError, TimedOut
from telegram.request import BaseRequest, RequestData

_CONNECTIONS = 100  # more than the sender's requests in flight, or some would wait for others
_CONNECT_SECONDS = 5.0
# The platform drops an idle connection after a minute; one that it just dropped would leave a message in doubt.
_IDLE_SECONDS = 20.0
_JSON = {"Content-Type": "application/json"}


class NotSent(NetworkError):
    """No request was made: no connection, or none free."""


class AiohttpRequest(BaseRequest):
    """One pool of connections. `seconds` is how long an answer may take unless a call says otherwise."""

    def __init__(self, seconds: float = 20.0) -> None:
        self._seconds = seconds
        self._session: aiohttp.ClientSession | None = None

    @property
    def read_timeout(self) -> float | None:
        """Seconds to wait for an answer."""
        return self._seconds

    async def initialize(self) -> None:
        """Open the pool; done by the first request as well."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_IDLE_SECONDS)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def shutdown(self) -> None:
        """Close all connections."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        read_timeout: Any = BaseRequest.DEFAULT_NONE,
        write_timeout: Any = BaseRequest.DEFAULT_NONE,
        connect_timeout: Any = BaseRequest.DEFAULT_NONE,
        pool_timeout: Any = BaseRequest.DEFAULT_NONE,
    ) -> tuple[int, bytes]:
        """HTTP status and body. Raises NotSent, TimedOut or NetworkError."""
        await self.initialize()
        assert self._session is not None
        seconds = read_timeout if isinstance(read_timeout, int | float) else self._seconds
        # `connect` covers the wait for a free connection too.
        timeout = aiohttp.ClientTimeout(connect=_CONNECT_SECONDS, sock_read=seconds)
        data, headers = _body(request_data)
        try:
            async with self._session.request(
                method, url, data=data, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                return answer.status, await answer.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSent(f"no connection: {type(error).__name__}") from None
        except TimeoutError:
            raise TimedOut(f"no answer within {seconds:.0f} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NetworkError(f"connection broke: {type(error).__name__}") from None

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        """The platform's answer, or what a broken proxy said in its place. Raises TelegramError."""
        try:
            answer = json.loads(payload)
        except (ValueError, RecursionError):
            raise TelegramError("the answer is no JSON") from None
        if not isinstance(answer, dict) or (answer.get("ok") is True and "result" not in answer):
            raise TelegramError("the answer is none of the Bot API")
        return answer


def _body(request_data: RequestData | None) -> tuple[bytes | aiohttp.FormData | None, dict[str, str]]:
    if request_data is None:
        return None, {}
    if not request_data.contains_files:
        return request_data.json_payload, _JSON
    form = aiohttp.FormData()
    for name, value in request_data.json_parameters.items():
        form.add_field(name, value)
    for name, (filename, content, media_type) in request_data.multipart_data.items():
        form.add_field(name, content, filename=filename, content_type=media_type)
    return form, {}
