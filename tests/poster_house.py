"""The whole service in this process with a clock that can be moved, a played WeChat, and an independent QR reader."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import uvicorn
import zxingcpp
from PIL import Image

from bot.app import App, open_app
from bot.config import load
from bot.pictures import Pictures
from bot.played.wechat import Person, PlayedWeChat
from storage import people
from tests.serving import ROOT, SECRET, free_port

WELCOME = (ROOT / "content/family-network/pictures/welcome.jpg").read_bytes()  # may come late, after a follow
PUBLIC = "https://koukou.example"


class Clock:
    """The machine's time, moved."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class PosterHouse:
    """A serving app, its platform, and a browser."""

    app: App
    world: PlayedWeChat
    clock: Clock
    http: httpx.AsyncClient

    @property
    def pictures(self) -> Pictures:
        assert self.app.house
        return self.app.house.pictures

    async def follower(self) -> Person:
        """Somebody who follows the account."""
        person = self.world.person()
        await person.follow()
        return person

    def number(self, person: Person) -> int:
        """The subscriber's id."""
        with self.app.store.read() as connection:
            number = people.find(connection, self.app.vault, "wechat", "main", person.openid)
        assert number
        return number

    def code(self, person: Person) -> str:
        """The person's referral code."""
        with self.app.store.read() as connection:
            return str(people.show(connection, self.number(person))["referral_code"])

    def touches(self) -> list[dict[str, Any]]:
        """What is kept of those who came by a code, in order."""
        with self.app.store.read() as connection:
            found = connection.exec_driver_sql("SELECT data FROM event WHERE kind = 'touched' ORDER BY id").scalars()
            return [json.loads(data) for data in found]

    async def poster(self, person: Person, word: str = "海报") -> bytes:
        """Ask for the poster, and return the picture that the person is shown after that."""
        before = len(person.received)
        await person.say(word)
        for _ in range(400):
            for one in person.received[before:]:
                if one.kind == "image" and self.world.uploads[one.content].content != WELCOME:
                    return self.world.uploads[one.content].content
            await asyncio.sleep(0.02)
        raise AssertionError(f"no picture came: {person.received[before:]}")

    async def get(self, name: str) -> httpx.Response:
        """A picture by its name, as a page asks for it."""
        return await self.http.get(f"/pictures/{name}")

    async def guest(self) -> None:
        """Open the chat as this browser; its cookie is for https, which a test does not speak."""
        answer = await self.http.post("/chat/open", json={})
        self.http.headers["cookie"] = answer.headers["set-cookie"].partition(";")[0]

    def rows(self) -> dict[str, int]:
        """How many rows each table has that tells of people."""
        names = ("subscriber", "identity", "event", "text", "inbox_key", "memory", "delivery", "timer", "posting")
        with self.app.store.read() as connection:
            return {name: connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one() for name in names}


@asynccontextmanager
async def poster_house(folder: Path, config: str = "", wechat: str = "", **world: Any) -> AsyncIterator[PosterHouse]:
    """Serve until the end of the block. `config` is more of config.toml, `wechat` more of its table of that name."""
    clock, port = Clock(), free_port()
    played = PlayedWeChat(clock=clock, webhook=f"http://127.0.0.1:{port}/wechat", **world)
    with played:
        (folder / "config.toml").write_text(
            f'[service]\npublic_url = "{PUBLIC}"\nplan = "{ROOT}/content/family-network"\n'
            f'[storage]\nurl = "sqlite:///{folder}/house.db"\nsecret = "{SECRET}"\n'
            f'[channels.wechat]\nenabled = true\napp_id = "{played.app_id}"\napp_secret = "{played.app_secret}"\n'
            f'token = "{played.token}"\naes_key = "{played.aes_key}"\napi_url = "{played.url}"\n{wechat}\n{config}\n'
        )
        app = open_app(load(folder / "config.toml", {}), clock)
        server = uvicorn.Server(uvicorn.Config(app.asgi, port=port, log_level="critical"))  # type: ignore[arg-type]
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            await asyncio.sleep(0.02)
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as http:
                yield PosterHouse(app, played, clock, http)
        finally:
            server.should_exit = True
            await asyncio.to_thread(thread.join)


def read(picture: bytes, *, half: bool = False, squeezed: bool = False) -> str:
    """What an independent reader finds in a picture: as sent, at half its size, or compressed once more."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    if half:
        image = image.resize((image.width // 2, image.height // 2))
    if squeezed:
        out = io.BytesIO()
        image.save(out, "JPEG", quality=60)
        image = Image.open(out)
    found = zxingcpp.read_barcodes(image)
    assert len(found) == 1, f"{len(found)} codes"
    return str(found[0].text)


def reads_as(picture: bytes, text: str) -> None:
    """Hold that the picture's one code reads as `text` in all three ways."""
    assert picture.startswith((b"\xff\xd8", b"\x89PNG"))
    assert {read(picture), read(picture, half=True), read(picture, squeezed=True)} == {text}
