"""The least that a Bot API can be, so that only its clients are measured: `bot_api.py PORT [MESSAGES_PER_SECOND]`.

With a number it takes so many messages in any second, refuses what is more with 429, and tells at /told what it saw
(JSON: instants of messages taken by chat, how many were refused); without one it has no limit and no memory.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import deque
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
_CHAT = re.compile(rb'chat_id"?[^0-9]{1,80}?(\d+)')
_TOO_MANY = (
    b'{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 1","parameters":{"retry_after":1}}'
)
_limit = int(sys.argv[2]) if len(sys.argv) > 2 else 0
_window: deque[float] = deque()
_taken: list[tuple[float, int]] = []
_refused: list[float] = []


def _too_many(body: bytes) -> bool:
    """Whether this message is more than any one second may hold; notes what is taken."""
    now = time.time()
    while _window and now - _window[0] >= 1.0:
        _window.popleft()
    if len(_window) >= _limit:
        _refused.append(now)
        return True
    _window.append(now)
    chat = _CHAT.search(body)
    _taken.append((now, int(chat[1]) if chat else 0))
    return False


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Every method works."""
    if scope["type"] != "http":
        return
    method, body, status = scope["path"].rpartition("/")[2], b"", 200
    while True:
        part = await receive()
        if _limit:
            body += part.get("body", b"")
        if not part.get("more_body"):
            break
    answer = b'{"ok":true,"result":' + _RESULTS.get(method, b"true") + b"}"
    if method == "told":
        answer = json.dumps({"taken": _taken, "refused": _refused}).encode()
    elif _limit and method.lower() == "sendmessage" and _too_many(body):
        status, answer = 429, _TOO_MANY
    length = (b"content-length", str(len(answer)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*_HEAD, length]})
    await send({"type": "http.response.body", "body": answer})


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False, lifespan="off")
