"""A lean closed-loop client in a process of its own: so many callers, each sends its next callback when the last is
answered, over connections kept open where the server keeps them.

All callbacks are signed and encrypted before the first is sent. Reads one job (JSON) from standard input, says `ready`,
waits for a line, and prints what came of it. Knows the platforms' envelopes and HTTP/1.1, nothing of the server.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import uvloop

from benchmarks.people import address, openid
from bot.wechat.seal import Seal

TOKEN = "refbot_token_2026"
AES_KEY = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
APP_ID = "wx5823bf96d3bd56c7"
BOT_TOKEN, SECRET_TOKEN = "123456:a-token-for-benchmarks-only", "a-secret-of-the-webhook"
_ACCOUNT = "gh_2f4b8c1d0e9a"
_GIVE_UP_SECONDS = 30.0


def callbacks(people: Sequence[int], text: str, seed: int) -> list[bytes]:
    """One whole HTTP request for each of `people`: `text`, typed now, in safe mode."""
    seal, dice = Seal(TOKEN, AES_KEY, APP_ID), random.Random(seed)
    serial = 7_570_000_000_000_000_000 + dice.getrandbits(48) * 64
    return [_request(_xml(number, text, serial + place), seal, dice) for place, number in enumerate(people)]


def updates(people: Sequence[int], text: str, seed: int) -> list[bytes]:
    """One whole webhook request for each of `people`: `text`, typed in their private chat with the bot."""
    first, message = (
        seed % 2**40,
        '{"update_id":%d,"message":{"message_id":%d,"date":%d,"text":%s,"from":%s,"chat":%s}}',
    )
    requests = []
    for place, number in enumerate(people):
        who = {"id": int(address("telegram", number)), "is_bot": False, "first_name": "A", "language_code": "zh-hans"}
        chat = {"id": who["id"], "type": "private", "first_name": "A"}
        body = message % (first + place, place + 1, time.time(), *map(json.dumps, (text, who, chat)))
        requests.append(
            f"POST /telegram HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Telegram-Bot-Api-Secret-Token: {SECRET_TOKEN}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
    return requests


def _xml(number: int, text: str, serial: int) -> bytes:
    return (
        f"<xml><ToUserName><![CDATA[{_ACCOUNT}]]></ToUserName><FromUserName><![CDATA[{openid(number)}]]></FromUserName>"
        f"<CreateTime>{int(time.time())}</CreateTime><MsgType><![CDATA[text]]></MsgType>"
        f"<Content><![CDATA[{text}]]></Content><MsgId>{serial}</MsgId></xml>"
    ).encode()


def _request(xml: bytes, seal: Seal, dice: random.Random) -> bytes:
    encrypted, timestamp, nonce = seal.close(xml), str(int(time.time())), str(dice.getrandbits(32))
    names = timestamp.encode(), nonce.encode()
    query = (
        f"signature={seal.sign(*names)}&timestamp={timestamp}&nonce={nonce}&openid=x&encrypt_type=aes"
        f"&msg_signature={seal.sign(*names, encrypted)}"
    )
    body = (
        f"<xml><ToUserName><![CDATA[{_ACCOUNT}]]></ToUserName><Encrypt><![CDATA[{encrypted.decode()}]]></Encrypt></xml>"
    )
    return (
        f"POST /wechat?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Mozilla/4.0\r\nAccept: */*\r\n"
        f"Content-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


@dataclass
class Run:
    """What is still to be sent, and what came back. `end` is a moment of perf_counter; nothing is begun after it."""

    waiting: Iterator[bytes]
    sign: bytes = b""  # what a right answer holds
    end: float = 0.0
    latencies: list[float] = field(default_factory=list)
    counted: int = 0  # answered before the end
    faults: int = 0
    last: float = 0.0


class Caller(asyncio.Protocol):
    """One caller of one server. `finished` is set when nothing is left to send."""

    def __init__(self, run: Run, port: int) -> None:
        self._run, self._port = run, port
        self._loop = asyncio.get_running_loop()
        self.finished = self._loop.create_future()
        self._transport: Any = None
        self._request = b""
        self._answer = b""
        self._begun = 0.0

    async def connect(self) -> None:
        """Open a connection; the next request goes out as soon as it stands."""
        await self._loop.create_connection(lambda: self, "127.0.0.1", self._port)

    def next(self) -> None:
        """Begin the next callback, on the open connection or on a new one."""
        now = time.perf_counter()
        self._request = next(self._run.waiting, b"") if now < self._run.end else b""
        if not self._request:
            self.finished.set_result(None)
            if self._transport:
                self._transport.close()
        elif self._transport:
            self._begun = now
            self._transport.write(self._request)
        else:
            self._begun = now
            self._opening = self._loop.create_task(self.connect())

    def connection_made(self, transport: Any) -> None:
        """Send what waits for the connection."""
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Take the answer; whole is what its Content-Length says."""
        answer = self._answer = self._answer + data if self._answer else data
        head = answer.find(b"\r\n\r\n")
        if head < 0:
            return
        start = answer.lower().find(b"content-length:", 0, head) + 15
        if len(answer) - head - 4 < int(answer[start : answer.find(b"\r", start)]):
            return
        self._answer = b""
        self._take(answer)
        if answer.startswith(b"HTTP/1.0"):
            self._transport.close()
            self._transport = None
        self.next()

    def _take(self, answer: bytes) -> None:
        now = time.perf_counter()
        if b" 200 " not in answer[:16] or self._run.sign not in answer:
            self._run.faults += 1
            return
        self._run.latencies.append(now - self._begun)
        if now <= self._run.end:
            self._run.counted += 1
            self._run.last = now

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection that ends before its answer is a fault; one that the server closed when idle is not."""
        if self._transport and not self.finished.done():
            self._transport, self._answer = None, b""
            self._run.faults += 1
            self.next()


async def drive(
    requests: Sequence[bytes], ports: Sequence[int], callers: int, seconds: float, sign: bytes
) -> dict[str, Any]:
    """Send for `seconds` or until all are sent; callers are shared out over the ports in turn."""
    run = Run(iter(requests), sign)
    crowd = [Caller(run, ports[place % len(ports)]) for place in range(callers)]
    began = time.perf_counter()
    run.end = began + seconds
    for caller in crowd:
        caller.next()
    async with asyncio.timeout(seconds + _GIVE_UP_SECONDS):
        await asyncio.gather(*(caller.finished for caller in crowd))
    took = run.last - began if len(run.latencies) + run.faults >= len(requests) else seconds
    ranked = sorted(run.latencies)
    return {
        "rate": run.counted / took,
        "answered": len(ranked),
        "faults": run.faults,
        "p50": 1000 * ranked[len(ranked) // 2],
        "p99": 1000 * ranked[len(ranked) * 99 // 100],
    }


def main() -> None:
    """One job: the `platform`; `people` by number, who all type `text`; `ports` of servers; `callers` and `seconds`."""
    job = json.loads(sys.stdin.readline())
    make, sign = {"wechat": (callbacks, b"<Encrypt>"), "telegram": (updates, b"")}[job["platform"]]
    requests = make(job["people"], job["text"], time.time_ns())
    gc.collect()
    gc.freeze()
    gc.disable()
    print("ready", flush=True)
    sys.stdin.readline()
    result = uvloop.run(drive(requests, job["ports"], job["callers"], job["seconds"], sign))
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
