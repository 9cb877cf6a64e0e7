"""What the platform is told about the bot, its links, and that nobody is told its token."""

from __future__ import annotations

import asyncio
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from bot.channels.telegram import Telegram
from bot.played.telegram import PlayedTelegram
from tests.serving import BOT_SECRET, ROOT
from tests.telegram_house import TOKEN, URL, Stage, picture, settings


@pytest.fixture
def stage() -> Iterator[Stage]:
    with PlayedTelegram(token=TOKEN, chat_burst=100, hurry=100) as world:
        stage = Stage(world)
        yield stage
        assert not stage.world.faults


def test_the_bot_introduces_itself_and_goes_on_until_it_is_heard(stage: Stage) -> None:
    stage.world.fail("setWebhook", code=502)
    stage.world.fail("getMe", retry_after=1)

    async def begin(channel: Telegram) -> None:
        await channel.start()
        for _ in range(200):
            if len(stage.world.commands) == 3 and stage.world.hook.url:
                break
            await asyncio.sleep(0.05)

    stage.run(begin)
    hook = stage.world.hook
    assert (hook.url, hook.secret, hook.max_connections) == (f"{URL}/telegram", BOT_SECRET, 100)
    assert stage.world.courier.kinds == {"message", "edited_message", "callback_query", "my_chat_member", "poll_answer"}
    assert stage.world.person(language_code="zh-hans").menu() == [{"command": "checkin", "description": "签到"}]
    for other in ("en", "fr"):
        assert stage.world.person(id=5, language_code=other).menu() == [
            {"command": "checkin", "description": "Check in"}
        ]
        stage.world.people.pop(5)
    asked = stage.world.asked["setMyCommands"]
    stage.run(begin)
    assert stage.world.asked["setMyCommands"] == asked  # they are there already


def test_other_bots_have_their_own_path(stage: Stage) -> None:
    async def paths(_: Telegram) -> list[str]:
        found = []
        for account, how in (("main", "webhook"), ("shop", "webhook"), ("main", "polling")):
            channel = Telegram(account, settings(updates=how), stage.house)
            found.append([getattr(route, "path", "") for route in channel.routes()])
            await channel.close()
        return found

    assert stage.run(paths) == [["/telegram"], ["/telegram/shop"], []]


def test_the_link_starts_the_bot_with_its_scene(stage: Stage) -> None:
    async def links(channel: Telegram) -> list[Any]:
        return [await channel.link(scene) for scene in ("r_ABC", "p_1-2", "has space", "", "x" * 65)]

    found = stage.run(links)
    assert [link and link.url for link in found] == [
        f"https://t.me/{stage.world.username}?start=r_ABC",
        f"https://t.me/{stage.world.username}?start=p_1-2",
        None,
        None,
        None,
    ]
    stage.run(links)
    assert stage.world.asked["getMe"] == 1  # known to all nodes
    assert stage.person.open(found[0].url)


def test_no_link_while_the_platform_is_away(stage: Stage) -> None:
    stage.world.fail("getMe", code=502)
    assert stage.run(lambda channel: channel.link("r_ABC")) is None
    assert stage.run(lambda channel: channel.link("r_ABC")).url.endswith("?start=r_ABC")


def test_the_token_is_in_no_log_and_no_error(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong: every address that is asked has the token in it."""
    caplog.set_level(logging.INFO)
    stage.house.pictures = {"a.png": (picture(), "image/png")}
    tree = {"text": "1", "picture": {"name": "a.png", "alt": "x"}}
    troubles: list[dict[str, Any]] = [
        {"code": 401}, {"code": 404}, {"code": 400}, {"code": 403}, {"code": 502, "html": True}, {"drop": True},
        {"html": True, "accept": True}, {"retry_after": 3}, {"code": 409}, {"delay": 0.5},
    ]  # fmt: skip

    async def all_of_it(channel: Telegram) -> list[str]:
        from telegram.error import TelegramError

        bot, _ = await channel._open()
        assert channel._request
        channel._request._seconds = 0.2
        said = []
        for trouble in troubles:
            stage.world.fail("*", **trouble)
            said.append(repr(await channel.send(stage.parcel(tree))))
            stage.world.fail("*", **trouble)
            try:
                await bot.get_me()
            except TelegramError as error:
                chain: BaseException | None = error
                while chain is not None:
                    said.append(repr(chain))
                    chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
            stage.world.fail("*", **trouble)
            said.append(repr(await channel.link("r_A")))
            channel._username = ""
            stage.house.kept.clear()
        return said

    said = stage.run(all_of_it, messages_per_second=1000)
    for url in ("http://127.0.0.1:1", "http://nowhere.invalid"):
        said.append(repr(stage.run(lambda channel: channel.send(stage.parcel()), api_url=url)))
    secret = TOKEN.split(":")[1]
    assert len(said) > 20 and not [one for one in said if secret in one]
    assert caplog.text and secret not in caplog.text and not re.search(r"/bot\d", caplog.text)
    stage.world.faults.clear()


def test_the_library_is_loaded_on_first_use() -> None:
    """Readiness does not wait for it."""
    code = (
        "import sys; from bot.channels.telegram import open_channel; from bot.settings import TelegramAccount; "
        "open_channel('main', TelegramAccount(token='1:A', secret_token='s'), None).routes(); "
        "sys.exit(bool({'telegram', 'aiohttp', 'httpx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
