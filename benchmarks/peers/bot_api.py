"""The least that a Bot API can be, so that only its clients are measured: `bot_api.py PORT`. No limit and no memory."""

from __future__ import annotations

import sys
from typing import Any

import uvicorn

_BOT = b'{"id":123456,"is_bot":true,"first_name":"Bench","username":"bench_bot"}'
_MESSAGE = (
    b'{"message_id":1,"date":1700000000,"chat":{"id":1,"type":"private","first_name":"A"},"from":'
    + _BOT
    + b',"text":"x"}'
)
_RESULTS = {"getMe": _BOT, "sendMessage": _MESSAGE, "getMyCommands": b"[]"}
_HEAD = [(b"content-type", b"application/json")]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Every method works."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    body = b'{"ok":true,"result":' + _RESULTS.get(scope["path"].rpartition("/")[2], b"true") + b"}"
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [*_HEAD, length]})
    await send({"type": "http.response.body", "body": body})


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False, lifespan="off")
