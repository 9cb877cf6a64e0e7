"""The client of one account's API: wechatpy's knowledge of the calls over our own transport, token store and retries.

Promises time-outs on every call, one refresh and one retry on a refused token, and no secret in any exception or log.
wechatpy itself is synchronous, retries without end and puts secrets into its exceptions; only its calls are used.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from typing import TYPE_CHECKING, Any

from bot.wechat.capabilities import Capabilities, Shared
from bot.wechat.faults import NO_PERMISSION, STOPPED, TOKEN_CODES, Fault

if TYPE_CHECKING:
    import httpx
    from wechatpy.client import WeChatClient

log = logging.getLogger(__name__)

_SECONDS = 8.0
_UPLOAD_SECONDS = 30.0
_TOKEN_IN_URL = re.compile(r"(access_token|secret)=[^&\s\"']+")


class _Scrub(logging.Filter):
    """The HTTP library logs whole addresses, and the platform wants the token inside them."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _TOKEN_IN_URL.sub(r"\1=…", record.getMessage()), None
        return True


class Api:
    """Calls to one account. `wechat` offers wechatpy's calls, each returning an awaitable that raises only Fault."""

    def __init__(self, account: str, app_id: str, secret: str, url: str, shared: Shared, abilities: Capabilities):
        """`url` is scheme and host of the platform; `secret` is the AppSecret."""
        self.abilities = abilities
        self._base = url.rstrip("/") + "/cgi-bin/"
        self._app_id = app_id
        self._secret = secret
        self._shared = shared
        self._token_key = f"wechat:{account}:token:{app_id}"
        self._fetching = asyncio.Lock()
        self._http: httpx.AsyncClient | None = None
        self._wechat: WeChatClient | None = None
        self._scrub = _Scrub()

    @property
    def wechat(self) -> WeChatClient:
        """wechatpy's client on our transport, made on first use."""
        if self._wechat is None:
            self._wechat = _client(self)
        return self._wechat

    async def ask(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """One call with a token; a refused token is renewed once. Raises Fault."""
        token = await self.token()
        try:
            return await self._ask(method, path, token, **request)
        except Fault as fault:
            if fault.code == NO_PERMISSION:
                lost = await self.abilities.refused(path)
                log.error("wechat: the account may not call %s (48001), without %s for a day", path, lost or "it")
            if fault.code in STOPPED:
                log.error("wechat: the account is stopped: %s (%s)", fault, STOPPED[fault.code])
            if fault.code not in TOKEN_CODES:
                raise
        try:
            return await self._ask(method, path, await self.token(refused=token), **request)
        except Fault as fault:
            if fault.code in TOKEN_CODES:
                log.error("wechat: a fresh token was refused too: %s", fault)
            raise

    async def token(self, refused: str = "") -> str:
        """The account's token, shared by all nodes; fetched once however many ask. `refused` is one that did not work.

        stable_token gives every node the same one while it is valid. Raises Fault.
        """
        kept = await self._shared.recall(self._token_key)
        if kept and kept["token"] != refused:
            return str(kept["token"])
        async with self._fetching:
            kept = await self._shared.recall(self._token_key)
            if kept and kept["token"] != refused:
                return str(kept["token"])
            return await self._fetch_token()

    async def _fetch_token(self) -> str:
        body = {"grant_type": "client_credential", "appid": self._app_id, "secret": self._secret}
        try:
            answer = await self._exchange("POST", "stable_token", json=body, timeout=_SECONDS)
        except Fault as fault:
            if fault.code:
                log.error("wechat: no access token: %s (%s)", fault, STOPPED.get(fault.code, "refused"))
            # No message was asked for yet, so whatever befell this request, nothing was sent.
            raise Fault(0 if fault.code == -1 else fault.code, str(fault), reached=False) from None
        token, seconds = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not isinstance(seconds, int):
            raise Fault(0, "stable_token answered without a token", reached=False)
        # Near its end the old token lives on for five minutes beside the new one; a short one keeps most of its life.
        await self._shared.keep(self._token_key, {"token": token}, max(1.0, seconds - min(120.0, seconds * 0.2)))
        return token

    async def _ask(self, method: str, path: str, token: str, **request: Any) -> dict[str, Any]:
        params = {**(request.get("params") or {}), "access_token": token}
        data = request.get("data")
        body: dict[str, Any] = {"timeout": _SECONDS}
        if data is not None:
            # Raw UTF-8: the platform shows escaped characters of a JSON body to people as they are.
            body["content"] = json.dumps(data, ensure_ascii=False).encode() if isinstance(data, dict) else data
        if request.get("files"):
            body = {"files": request["files"], "timeout": _UPLOAD_SECONDS}
        return await self._exchange(method.upper(), path, params=params, **body)

    async def _exchange(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        import httpx

        if self._http is None:
            self._http = httpx.AsyncClient(limits=httpx.Limits(max_connections=64, keepalive_expiry=20.0))
            logging.getLogger("httpx").addFilter(self._scrub)
        try:
            response = await self._http.request(method, self._base + path, **request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise Fault(0, f"{path}: {type(error).__name__}", reached=False) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Fault(0, f"{path}: {type(error).__name__}") from None
        if response.status_code != 200:
            raise Fault(0, f"{path}: HTTP {response.status_code}")
        try:
            answer = json.loads(response.content)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise Fault(0, f"{path}: no JSON object in the answer")
        code = answer.get("errcode", 0)
        if code:
            raise Fault(int(code), f"{path}: {self._clean(str(answer.get('errmsg', '')))}", answer=answer)
        return answer

    def _clean(self, text: str) -> str:
        return _TOKEN_IN_URL.sub(r"\1=…", text.replace(self._secret, "…") if self._secret else text)[:200]

    async def close(self) -> None:
        """Release the connections."""
        if self._http is not None:
            logging.getLogger("httpx").removeFilter(self._scrub)
            await self._http.aclose()
            self._http = None


def load_libraries() -> None:
    """Import what calls need, which takes most of a second: done beside the event loop, before the first call."""
    import httpx  # noqa: F401
    from wechatpy.client import WeChatClient  # noqa: F401


def _client(api: Api) -> WeChatClient:
    from wechatpy.client import WeChatClient

    class Client(WeChatClient):
        async def _request(self, method: str, url_or_endpoint: str, **request: Any) -> Any:
            process = request.pop("result_processor", None)
            answer = await api.ask(method, url_or_endpoint, **request)
            return process(answer) if process else answer

    return Client(api._app_id, "", auto_retry=False)
