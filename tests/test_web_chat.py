"""The web chat as a page, a crawler, a forger and a flood meet it: keys, guests, limits, refusals, and the page itself.

The house behind it is a small table of answers; what answers mean is tested elsewhere.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.testclient import TestClient

from bot.channels import Busy
from bot.channels.web import open_channel
from bot.settings import WebSettings
from bot.site.edge import Buckets, caller_network, language_asked
from bot.site.pages import site_routes
from bot.site.view import site_view
from content.bundle import Bundle
from storage.incoming import Answer, Incoming
from tests.plan_editing import edited, shipped_files

SITE = Path(__file__).parent.parent / "bot" / "site"
PLAN = Bundle.read(Path(__file__).parent.parent / "content" / "family-network").plan
KEY = "0123456789abcdef0123456789abcdef"
ANSWERS = {
    "签到": {"text": "签到成功。", "choices": [{"label": "积分", "say": "积分"}]},
    "海报": {"text": "您的海报", "picture": {"name": "pictures/海报.png", "alt": "海报"}},
    "链接": {
        "text": "看这里",
        "choices": [{"label": "页面", "url": "https://example.com/"}, {"label": "坏", "url": "javascript:alert(1)"}],
    },
}


class House:
    """Answers from a table and remembers what it was asked."""

    def __init__(self, public_url: str = "http://testserver", trusted_proxies: tuple[str, ...] = ()) -> None:
        self.public_url, self.trusted_proxies, self.language = public_url, trusted_proxies, "zh"
        self.heard: list[Incoming] = []
        self.answers: dict[str, Answer] = {}
        self.settled_ids: list[int] = []
        self.queue: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        self.acknowledged: list[int] = []
        self.busy = False

    def now(self) -> datetime:
        return datetime(2026, 11, 22, 4, tzinfo=UTC)

    async def hear(self, incoming: Incoming) -> Answer:
        if self.busy:
            raise Busy
        if known := self.answers.get(incoming.key):
            return Answer(known.subscriber, known.messages, known.deliveries, True)
        self.heard.append(incoming)
        message = ANSWERS.get(incoming.text, {"text": f"{incoming.kind} {incoming.text}"})
        self.answers[incoming.key] = Answer(1, (message,), (len(self.answers) + 100,))
        return self.answers[incoming.key]

    def settled(self, deliveries: Any) -> None:
        self.settled_ids += deliveries

    def release(self, deliveries: Any) -> None:
        raise AssertionError("nobody went away")

    async def picture(self, name: str) -> tuple[bytes, str] | None:
        return {"pictures/海报.png": (b"png", "image/png"), "page.html": (b"<script>", "text/html")}.get(name)

    async def waiting(
        self, account: str, address: str, after: int, seconds: float, *, told: bool = False
    ) -> list[tuple[int, Any]]:
        self.acknowledged.append(after)
        found = [one for one in self.queue.get(address, []) if one[0] > after]
        if not found:
            await asyncio.sleep(seconds)
        return found

    async def history(self, account: str, address: str, limit: int) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = []
        for incoming in self.heard:
            if incoming.sender == address:
                at, answer = incoming.at.isoformat(), self.answers[incoming.key]
                lines.append({"id": incoming.key, "mine": True, "text": incoming.text, "at": at})
                lines.append({"id": answer.deliveries[0], "mine": False, "at": at, **answer.messages[0]})
        return lines[-limit:]


def chat(house: House, **limits: int) -> tuple[Any, Starlette]:
    channel = open_channel("main", WebSettings(**limits), house)
    return channel, Starlette(routes=[*site_routes(house, lambda: PLAN, channel.path), *channel.routes()])


def browser(house: House, address: str = "203.0.113.7", **limits: int) -> TestClient:
    base = "https://testserver" if house.public_url.startswith("https") else "http://testserver"
    return TestClient(chat(house, **limits)[1], base_url=base, client=(address, 4242))


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def page(house: House) -> Iterator[TestClient]:
    with browser(house, guests_per_hour=500, messages_per_10_seconds=100_000) as client:
        yield client


def say(client: TestClient, text: str, key: str = KEY, **headers: str) -> Any:
    return client.post("/chat/send", json={"key": key, "text": text}, headers=headers)


# ---- keys and guests


def test_a_message_sent_again_is_heard_once_and_gets_the_same_answer(house: House, page: TestClient) -> None:
    first, again = say(page, "签到"), say(page, "签到")
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    assert first.json()["answers"] == [{"id": 100, "text": "签到成功。", "choices": [{"label": "积分", "say": "积分"}]}]
    (incoming,) = house.heard
    assert incoming.key == f"web:main:{incoming.sender}:{KEY}"
    assert (incoming.channel, incoming.account, incoming.kind, incoming.text) == ("web", "main", "text", "签到")
    assert set(house.settled_ids) == {100}


def test_two_guests_with_one_key_are_two_messages(house: House) -> None:
    for _ in range(2):
        assert say(browser(house), "签到").status_code == 200
    assert len({incoming.key for incoming in house.heard}) == 2


def test_the_cookie_is_a_secret_of_the_browser(house: House, page: TestClient) -> None:
    cookie = say(page, "签到").headers["set-cookie"]
    token = re.match(r"koukou_guest=([0-9a-f]{32});", cookie)
    assert token and "HttpOnly" in cookie and "SameSite=lax" in cookie and "Max-Age=31536000" in cookie
    assert "Secure" not in cookie
    assert token[1] not in house.heard[0].sender and token[1] not in house.heard[0].key
    assert "set-cookie" not in say(page, "积分", "1" * 32).headers
    assert len({incoming.sender for incoming in house.heard}) == 1


def test_the_cookie_is_secure_on_https() -> None:
    assert "Secure" in say(browser(House("https://example.com")), "签到").headers["set-cookie"]


def test_looking_makes_no_guest(house: House, page: TestClient) -> None:
    for path in ("/", "/chat/history", "/chat/waiting"):
        response = page.get(path)
        assert response.status_code == 200 and "set-cookie" not in response.headers
    assert page.get("/chat/history").json() == {"messages": [], "guest": False, "after": 0}
    assert not house.heard


def test_the_chat_is_opened_once_and_a_code_seen_later_is_a_scan(house: House, page: TestClient) -> None:
    assert page.post("/chat/open", json={"scene": "r_AB12"}).status_code == 200
    first = page.post("/chat/open", json={}).json()
    assert first == page.post("/chat/open", json={}).json()
    for _ in range(2):
        page.post("/chat/open", json={"scene": "p_SHOP"})
    assert [(one.kind, dict(one.data)) for one in house.heard] == [
        ("follow", {"scene": "r_AB12"}),
        ("scan", {"scene": "p_SHOP"}),
    ]


def test_a_page_that_comes_back_gets_the_conversation(page: TestClient) -> None:
    say(page, "海报")
    mine, theirs = page.get("/chat/history").json()["messages"]
    assert (mine["mine"], mine["text"], theirs["mine"]) == (True, "海报", False)
    assert theirs["picture"] == {"url": "/pictures/pictures/%E6%B5%B7%E6%8A%A5.png", "alt": "海报"}


def test_only_pages_are_linked_never_scripts(page: TestClient) -> None:
    (answer,) = say(page, "链接").json()["answers"]
    assert answer["choices"] == [{"label": "页面", "url": "https://example.com/"}]


def test_while_busy_the_message_is_refused_and_its_guest_kept(house: House, page: TestClient) -> None:
    house.busy = True
    refused = say(page, "签到")
    assert refused.status_code == 503 and refused.headers["retry-after"] == "1"
    token = page.cookies["koukou_guest"]
    house.busy = False
    assert say(page, "签到").status_code == 200 and page.cookies["koukou_guest"] == token


# ---- what waits


def test_what_waits_is_fetched_and_acknowledged(house: House, page: TestClient) -> None:
    say(page, "签到")
    house.queue[house.heard[0].sender] = [(7, {"text": "中奖了"})]
    assert page.get("/chat/waiting").json() == {"answers": [{"id": 7, "text": "中奖了"}], "guest": True}
    house.queue[house.heard[0].sender].append((9, {"text": "再见"}))
    assert [one["id"] for one in page.get("/chat/waiting?after=7").json()["answers"]] == [9]
    assert house.acknowledged == [0, 7]
    # A page that is opened now reads it all in the history, and says so with its first question.
    assert page.get("/chat/history").json()["after"] == 9
    for wrong in ("x", "-1", "1" * 40, "٣", "1.5"):
        assert page.get(f"/chat/waiting?after={wrong}").status_code == 400


def test_closing_answers_pages_that_wait_and_too_many_pages_are_refused(house: House) -> None:
    channel, app = chat(house, pages_per_guest=1)
    with TestClient(app) as client:
        say(client, "签到")
        answers: list[Any] = []
        waiter = threading.Thread(target=lambda: answers.append(client.get("/chat/waiting")))
        waiter.start()
        while not house.acknowledged:  # until the first page waits
            threading.Event().wait(0.01)
        assert client.get("/chat/waiting").status_code == 429
        client.portal.call(channel.close)
        waiter.join(5)
    assert not waiter.is_alive() and answers[0].json()["answers"] == []


# ---- limits


@pytest.mark.parametrize(
    ("language", "sentence"), [("zh", r"过 \d+ 分钟再试"), ("en", r"Please try again in \d+ minutes")]
)
def test_new_guests_are_limited_by_network_and_told_so(house: House, language: str, sentence: str) -> None:
    with browser(house, guests_per_hour=3) as client:
        for _ in range(3):
            assert say(client, "签到").status_code == 200
            client.cookies.clear()
        # A made-up cookie is a new guest too.
        refused = say(client, "签到", **{"Accept-Language": language, "Cookie": f"koukou_guest={'ab' * 16}"})
        assert refused.status_code == 429 and 0 < int(refused.headers["retry-after"]) <= 1200
        assert re.search(sentence, refused.json()["message"])
    assert len(house.heard) == 3


def test_known_guests_come_back_after_a_restart_although_their_network_is_full(house: House) -> None:
    with browser(house, guests_per_hour=1) as before:
        say(before, "签到")
        token = before.cookies["koukou_guest"]
    with browser(house, guests_per_hour=1) as after:
        assert say(after, "签到").status_code == 200
        after.cookies.clear()
        assert say(after, "积分", "2" * 32, Cookie=f"koukou_guest={token}").status_code == 200
        assert say(after, "签到").status_code == 429


@pytest.mark.parametrize(
    ("language", "sentence"), [("zh", r"请过 \d+ 秒再发"), ("en", r"Please try again in \d+ seconds?\.")]
)
def test_messages_are_limited_by_guest_and_told_so(house: House, language: str, sentence: str) -> None:
    with browser(house, messages_per_10_seconds=4) as client:
        codes = [say(client, "签到", f"{n:032}").status_code for n in range(4)]
        refused = say(client, "签到", **{"Accept-Language": language})
    assert codes == [200] * 4 and refused.status_code == 429
    assert re.search(sentence, refused.json()["message"]) and 1 <= int(refused.headers["retry-after"]) <= 3


def test_buckets_refill_evenly_and_forget_the_oldest() -> None:
    bucket = Buckets(2, 0.2, keys=3)
    assert [bucket.take("a") > 0 for _ in range(3)] == [False, False, True]
    threading.Event().wait(0.12)
    assert bucket.take("a") == 0 and bucket.take("a") > 0
    for other in ("b", "c", "d"):
        bucket.take(other)
    assert bucket.take("a") == 0


def asked(address: str, *forwarded: str, language: str = "") -> Request:
    headers = [(b"x-forwarded-for", line.encode("latin-1")) for line in forwarded]
    headers += [(b"accept-language", language.encode())]
    return Request({"type": "http", "client": (address, 1), "headers": headers, "query_string": b"", "method": "GET"})


@pytest.mark.parametrize(
    ("address", "forwarded", "network"),
    [
        ("203.0.113.7", (), "203.0.113.7"),
        ("203.0.113.7", ("198.51.100.1",), "203.0.113.7"),
        ("10.0.0.2", ("198.51.100.1",), "198.51.100.1"),
        ("10.0.0.2", ("6.6.6.6, 198.51.100.1, 10.0.0.3",), "198.51.100.1"),
        ("10.0.0.2", ("6.6.6.6", "198.51.100.1"), "198.51.100.1"),
        ("10.0.0.2", ("nonsense",), "10.0.0.2"),
        ("::ffff:203.0.113.7", (), "203.0.113.7"),
        ("2001:db8:1:2:aaaa::1", (), "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::9", (), "2001:db8:1:2::/64"),
        ("testclient", (), "unknown"),
    ],
)
def test_only_trusted_proxies_are_believed(address: str, forwarded: tuple[str, ...], network: str) -> None:
    assert caller_network(asked(address, *forwarded), ("10.0.0.0/8",)) == network


@pytest.mark.parametrize(
    ("header", "language"),
    [("en-GB,zh;q=0.9", "en"), ("zh;q=0.5,en;q=0.1", "zh"), ("fr,en;q=0", "zh"), ("", "zh"), (";;q=,,\x00", "zh")],
)
def test_the_language_is_the_browsers(header: str, language: str) -> None:
    assert language_asked(asked("::1", language=header), ("zh", "en"), "zh") == language


# ---- what no page of ours sends

GOOD = {"key": KEY, "text": "签到"}
HOSTILE: list[tuple[bytes, int]] = [
    (b"", 400),
    (b"null", 400),
    (b"[]", 400),
    (b'"text"', 400),
    (b"[" * 8000, 400),
    (b'{"key":' * 1100, 400),
    (b'{"key":"' + KEY.encode() + b'","text":{"a":1}}', 400),
    (b'{"key":"' + KEY.encode() + b'","text":1}', 400),
    (b'{"key":"' + KEY.encode() + b'","text":' + b"9" * 7000 + b"}", 400),
    (b'{"key":"' + KEY.encode() + b'","text":NaN}', 400),
    (json.dumps(GOOD | {"text": "a\0b"}).encode(), 400),
    (json.dumps(GOOD | {"text": "a\ud800"}).encode(), 400),
    (json.dumps(GOOD | {"text": " \n "}).encode(), 400),
    (json.dumps(GOOD | {"text": "长" * 1001}, ensure_ascii=False).encode(), 413),
    (json.dumps(GOOD | {"text": "x" * 9000}).encode(), 413),
    (json.dumps(GOOD | {"key": "../../etc"}).encode(), 400),
    (json.dumps(GOOD | {"key": KEY + "\n"}).encode(), 400),
    (json.dumps(GOOD | {"more": "x"}).encode(), 400),
    (json.dumps({"text": "签到"}).encode(), 400),
    (json.dumps(GOOD, ensure_ascii=False).encode("gb18030"), 400),
    (b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), 400),
]


@pytest.mark.parametrize(("body", "status"), HOSTILE)
def test_hostile_bodies_are_refused_in_both_languages(house: House, page: TestClient, body: bytes, status: int) -> None:
    sentences = set()
    for language in ("zh", "en"):
        headers = {"Content-Type": "application/json", "Accept-Language": language}
        response = page.post("/chat/send", content=body, headers=headers)
        assert response.status_code == status and response.json()["error"], response.text
        assert bool(re.search("[一-鿿]", response.json()["message"])) == (language == "zh")
        sentences.add(response.json()["message"])
        assert "set-cookie" not in response.headers
    assert len(sentences) == 2 and not house.heard


def test_a_body_without_an_announced_length_is_cut_off(house: House, page: TestClient) -> None:
    sent = []

    def endless() -> Iterator[bytes]:
        for _ in range(100):
            sent.append(1)
            yield b'{"text":"' + b"x" * 1000

    response = page.post("/chat/send", content=endless(), headers={"Content-Type": "application/json"})
    assert response.status_code == 413 and not house.heard


PIECES = [b"\0", b"{", b"[", b'"', b"\\", b"\\ud800", b"\xff", b"null", b"1e999", b":", b",", "签".encode(), b"}"]


def mutated(good: bytes, dice: random.Random) -> bytes:
    body = bytearray(good)
    for _ in range(dice.randrange(1, 6)):
        place = dice.randrange(len(body) + 1)
        match dice.randrange(4):
            case 0:
                body[place : place + dice.randrange(1, 9)] = b""
            case 1:
                body[place:place] = dice.choice(PIECES) * dice.randrange(1, 40)
            case 2:
                body[place:place] = dice.randbytes(dice.randrange(1, 5))
            case 3:
                body[place:place] = body[: dice.randrange(len(body) + 1)]
    return bytes(body)


async def posted(app: Starlette, path: str, body: bytes, cookie: bytes) -> tuple[int, dict[str, Any]]:
    """One request by the bare protocol, which is quick enough for thousands."""
    headers = [(b"content-type", b"application/json"), (b"cookie", cookie), (b"host", b"testserver")]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    scope |= {"headers": headers, "client": ("203.0.113.7", 1), "scheme": "http", "server": ("testserver", 80)}
    parts = [{"type": "http.request", "body": body, "more_body": False}]
    said: list[Any] = []

    async def receive() -> dict[str, Any]:
        if parts:
            return parts.pop()
        await asyncio.sleep(3600)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        said.append(message)

    await app(scope, receive, send)
    return said[0]["status"], json.loads(b"".join(part.get("body", b"") for part in said[1:]))


def test_ten_thousand_mutated_bodies_change_nothing_and_break_nothing(house: House) -> None:
    dice = random.Random(2026)
    _, app = chat(house, guests_per_hour=500, messages_per_10_seconds=1_000_000)
    good = json.dumps(GOOD, ensure_ascii=False).encode()

    async def run() -> set[int]:
        cookie, codes = b"koukou_guest=" + b"ab" * 16, set()
        for _ in range(10_000):
            before = len(house.heard)
            path, body = dice.choice(["/chat/send", "/chat/open"]), mutated(good, dice)
            status, answer = await posted(app, path, body, cookie)
            assert status in (200, 400, 413), (status, body)
            assert answer["answers"] if status == 200 else answer["message"] and len(house.heard) == before
            codes.add(status)
        return codes

    assert asyncio.run(run()) == {200, 400}
    assert all("\0" not in one.text and one.text.encode() and one.text.strip() for one in house.heard)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://testserver"}, 200),
        ({"Origin": "http://testserver"}, 200),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
    ],
)
def test_other_sites_cannot_speak_for_a_guest(
    house: House, page: TestClient, headers: dict[str, str], status: int
) -> None:
    headers = {"Content-Type": "application/json"} | headers
    assert page.post("/chat/send", content=json.dumps(GOOD), headers=headers).status_code == status
    assert len(house.heard) == (status == 200)
    if status == 403:
        assert page.get("/chat/history", headers=headers).status_code == 403


# ---- the page


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_page_says_what_the_plan_says(page: TestClient, language: str) -> None:
    html = page.get("/", headers={"Accept-Language": language}).text
    assert page.get(f"/?lang={language}").text == html
    view = site_view(PLAN, language)
    assert view.offers and view.rules and view.steps
    for words in (*view.rules, *view.steps, *(offer.title for offer in view.offers), view.organiser, view.window):
        assert words in html or words.replace("'", "&#39;") in html, words
    assert "<noscript" not in html and "aria-live" in html
    assert "口口" not in re.sub(r"\s", "", html) and "koukou" not in html.lower()


def test_a_clause_with_an_amount_unset_is_not_shown() -> None:
    unset = edited(shipped_files(), 'credit = "60 元"', 'credit = "unset"')[0].plan
    before, after = ([offer.title for offer in site_view(plan, "zh").offers] for plan in (PLAN, unset))
    assert "新用户礼遇" in before and after == [title for title in before if title != "新用户礼遇"]


def test_nothing_is_fetched_from_elsewhere_and_nothing_runs_inline(page: TestClient) -> None:
    response = page.get("/?c=r_%22%3E%3Cscript%3E&lang=%22%3E")
    assert response.status_code == 200 and "<script>" not in response.text
    policy = response.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert response.headers["x-content-type-options"] == "nosniff" and response.headers["referrer-policy"]
    for address in re.findall(r'(?:src|href)="([^"]+)"', response.text):
        assert address.startswith(("/static/", "#", "/?")), address
        if address.startswith("/static/"):
            asset = page.get(address)
            assert asset.status_code == 200 and "immutable" in asset.headers["cache-control"]
            assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org)", asset.text.replace("https?:", ""))
    assert not re.search(r"<style|\sstyle=|\son\w+=", response.text)
    assert len((SITE / "static" / "chat.js").read_text().splitlines()) <= 250


def test_the_code_of_a_link_reaches_the_chat(page: TestClient) -> None:
    assert 'data-scene="r_AB12"' in page.get("/?c=r_AB12").text
    assert "c=r_AB12" in page.get("/?c=r_AB12&lang=en").text.split('class="switch" href="')[1].split('"')[0]


def test_pictures_are_cached_by_their_content(page: TestClient) -> None:
    first = page.get("/pictures/pictures/海报.png")
    assert first.content == b"png" and first.headers["content-type"] == "image/png"
    again = page.get("/pictures/pictures/海报.png", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304 and not again.content
    for path in ("/pictures/none.png", "/pictures/page.html", "/pictures/../chat.js", "/static/%00", "/static/x.js"):
        assert page.get(path).status_code == 404


def test_the_chat_can_be_off(house: House) -> None:
    with TestClient(Starlette(routes=site_routes(house, lambda: PLAN))) as client:
        html = client.get("/").text
    assert 'id="chat"' not in html and "chat.js" not in html and "data-say" not in html


def test_messages_are_never_pushed_at_a_page(house: House) -> None:
    channel, _ = chat(house)
    assert channel.pulls() and asyncio.run(channel.send(SimpleNamespace())).state == "refused"
