"""The played Bot API's webhook, received by a real server, and its calls by python-telegram-bot's own `Bot`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from aiohttp import web
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, Update
from telegram.error import BadRequest, ChatMigrated, Conflict, Forbidden, InvalidToken, NetworkError, RetryAfter

from bot.played.telegram import PlayedTelegram
from tests.wechat_house import Clock

SECRET = "a-Secret_1"


class Door:
    """A web server that keeps what is posted to it and answers as `answer` says."""

    def __init__(self) -> None:
        self.url = ""
        self.heads: list[Any] = []
        self.bodies: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.answer: Callable[[dict[str, Any]], Awaitable[web.Response]] | None = None
        self.statuses: list[int] = []  # of the next answers; then 200
        self.said: dict[str, Any] | None = None
        self.after: dict[str, str] = {}
        self.peers: set[Any] = set()

    @property
    def ids(self) -> list[int]:
        return [body["update_id"] for body in self.bodies]

    async def hear(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername"))
        self.heads.append(request.headers)
        self.bodies.append(body)
        self.times.append(time.monotonic())
        if self.answer:
            return await self.answer(body)
        status = self.statuses.pop(0) if self.statuses else 200
        if self.said is not None:
            return web.json_response(self.said, status=status)
        return web.Response(status=status, headers=self.after)


@asynccontextmanager
async def played(**how: Any) -> AsyncIterator[tuple[PlayedTelegram, Door]]:
    """A world and a door that its webhook leads to, with the secret set."""
    door = Door()
    app = web.Application()
    app.router.add_post("/telegram", door.hear)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    door.url = f"http://127.0.0.1:{runner.addresses[0][1]}/telegram"
    with PlayedTelegram(clock=Clock(), **({"hurry": 20} | how)) as world:
        await ask(world, "setWebhook", url=door.url, secret_token=SECRET)
        yield world, door
    await runner.cleanup()


async def ask(world: PlayedTelegram, method: str, **args: Any) -> dict[str, Any]:
    async with httpx.AsyncClient() as client:
        answer: dict[str, Any] = (await client.post(f"{world.url}/bot{world.token}/{method}", json=args)).json()
    return answer


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))  # type: ignore[arg-type]


def test_updates_are_posted_with_the_secret() -> None:
    async def test() -> None:
        async with played() as (world, door):
            ann = world.person()
            update = ann.start("r_CODE")
            await world.taken(update)
            assert door.heads[0]["X-Telegram-Bot-Api-Secret-Token"] == SECRET
            assert door.heads[0]["Content-Type"] == "application/json"
            heard = Update.de_json(door.bodies[0], None)
            assert heard is not None and heard.message is not None
            assert (heard.update_id, heard.message.text) == (update, "/start r_CODE")
            await ask(world, "deleteWebhook")
            assert ann.say("kept") in world.pending() and len(door.bodies) == 1
            await asyncio.sleep(1)
            assert (await ask(world, "setWebhook", url=door.url))["ok"]
            await world.idle()
            assert "X-Telegram-Bot-Api-Secret-Token" not in door.heads[1] and len(door.bodies) == 2

    run(test)


def test_what_was_waiting_comes_first_unless_dropped() -> None:
    async def test() -> None:
        for drop in (False, True):
            async with played() as (world, door):
                await ask(world, "deleteWebhook")
                world.person().say("waits")
                await asyncio.sleep(1)
                await ask(world, "setWebhook", url=door.url, drop_pending_updates=drop)
                await world.idle()
                assert len(door.bodies) == (0 if drop else 1)

    run(test)


@pytest.mark.parametrize(
    ("good", "local", "args"),
    [
        (True, False, {"url": "https://bot.example.org/telegram", "secret_token": "x" * 256}),
        (False, False, {"url": "https://bot.example.org/telegram", "secret_token": "x" * 257}),
        (False, False, {"url": "https://bot.example.org/telegram", "secret_token": "a b"}),
        (False, False, {"url": "http://bot.example.org/telegram"}),
        (False, False, {"url": "https://bot.example.org:8080/telegram"}),
        (True, False, {"url": "https://bot.example.org:8443/telegram"}),
        (True, True, {"url": "http://127.0.0.1:8080/telegram"}),
        (False, True, {"url": "ftp://127.0.0.1/telegram"}),
        (False, True, {"url": "https://"}),
    ],
)
def test_what_a_webhook_may_be(good: bool, local: bool, args: dict[str, Any]) -> None:
    async def test() -> None:
        with PlayedTelegram(local=local) as world:
            assert (await ask(world, "setWebhook", **args))["ok"] is good
            assert bool(world.hook.url) is good and bool(world.faults) is not good

    run(test)


def test_a_webhook_is_set_once_a_second() -> None:
    async def test() -> None:
        async with played() as (world, door):
            again = await ask(world, "setWebhook", url=door.url, secret_token="other")
            assert (again["error_code"], again["parameters"]) == (429, {"retry_after": 1})
            assert world.hook.secret == SECRET
            await asyncio.sleep(1)
            assert (await ask(world, "setWebhook", url=door.url, secret_token="other"))["ok"]
            assert world.hook.secret == "other"

    run(test)


def test_the_address_deliveries_go_to_can_be_another() -> None:
    async def test() -> None:
        async with played(local=False) as (world, door):
            world.webhook = door.url
            assert world.hook.url == ""  # plain http was refused
            await asyncio.sleep(1)
            await ask(world, "setWebhook", url="https://bot.example.org/telegram", secret_token=SECRET)
            world.person().say("x")
            await world.idle()
            assert len(door.bodies) == 1

    run(test)


def test_one_queue_is_served_in_order_while_others_go_on() -> None:
    async def test() -> None:
        async with played() as (world, door):
            ann, bob = world.person(), world.person()
            held, open_ = asyncio.Event(), asyncio.Event()

            async def hold(body: dict[str, Any]) -> web.Response:
                if body.get("message", {}).get("text") == "first":
                    held.set()
                    await open_.wait()
                return web.Response()

            door.answer = hold
            first, second = ann.say("first"), ann.say("second")
            await held.wait()
            others = [bob.say("x"), ann.block(), ann.unblock()]
            for update in others:
                await world.taken(update)
            assert door.ids[0] == first and second not in door.ids  # only her messages wait behind the first
            assert door.ids.index(others[1]) < door.ids.index(others[2])
            open_.set()
            await world.idle()
            assert door.ids[-1] == second

    run(test)


def test_no_more_at_once_than_asked_for() -> None:
    async def test() -> None:
        async with played() as (world, door):
            now, most = 0, 0

            async def slow(_: dict[str, Any]) -> web.Response:
                nonlocal now, most
                now += 1
                most = max(most, now)
                await asyncio.sleep(0.05)
                now -= 1
                return web.Response()

            door.answer = slow
            await asyncio.sleep(1)
            await ask(world, "setWebhook", url=door.url, max_connections=3)
            for _ in range(12):
                world.person().say("x")
            await world.idle()
            assert most == 3 and len(door.peers) <= 3  # and the connections are kept

    run(test)


def test_refused_updates_come_again_with_growing_waits() -> None:
    async def test() -> None:
        async with played(hurry=4) as (world, door):
            door.statuses = [500, 404, 302, 503, 201]
            ann = world.person()
            await world.taken(ann.say("x"))
            waits = [later - sooner for sooner, later in zip(door.times, door.times[1:], strict=False)]
            assert len(set(door.ids)) == 1 and len(waits) == 4
            for wait, right in zip(waits, (0, 2 / 4, 4 / 4, 8 / 4), strict=True):
                assert right - 0.01 <= wait < right + 0.4
            info = (await ask(world, "getWebhookInfo"))["result"]
            assert info["last_error_message"] == "Wrong response from the webhook: 503" and info["last_error_date"]
            assert (info["url"], info["pending_update_count"]) == (door.url, 0)

    run(test)


def test_a_webhook_may_ask_for_a_wait() -> None:
    async def test() -> None:
        async with played() as (world, door):
            door.statuses, door.after = [503], {"Retry-After": "10"}
            world.person().say("x")
            await world.idle()
            assert 0.49 <= door.times[1] - door.times[0] < 5

    run(test)


def test_updates_nobody_takes_are_given_up() -> None:
    async def test() -> None:
        async with played() as (world, door):
            ann = world.person()
            door.statuses = [500] * 4
            first = ann.say("x")
            while len(door.bodies) < 3:
                await asyncio.sleep(0.01)
            second = ann.say("y")
            world.clock.pass_(hours=24)  # type: ignore[attr-defined]
            third = ann.say("z")
            await world.taken(third)
            assert [update.id for update in world.expired][:1] == [first] and door.ids[-1] == third
            assert second in door.ids  # which still had its last second

    run(test)


def test_a_day_of_gone_closes_the_webhook() -> None:
    async def test() -> None:
        async with played() as (world, door):
            ann = world.person()
            door.statuses = [410, 410, 410]
            ann.say("x")
            while len(door.bodies) < 2:
                await asyncio.sleep(0.01)
            world.clock.pass_(hours=23, seconds=1)  # type: ignore[attr-defined]
            while world.hook.url:
                await asyncio.sleep(0.01)
            assert len(door.bodies) == 3 and world.pending()

    run(test)


def test_a_slow_webhook_gets_it_again() -> None:
    async def test() -> None:
        async with played(deadline=0.2) as (world, door):
            first = True

            async def slow(_: dict[str, Any]) -> web.Response:
                nonlocal first
                await asyncio.sleep(0.5 if first else 0)
                first = False
                return web.Response()

            door.answer = slow
            world.person().say("x")
            await world.idle()
            assert len(door.ids) >= 2 and len(set(door.ids)) == 1

    run(test)


def test_duplicates_on_demand() -> None:
    async def test() -> None:
        async with played() as (world, door):
            ann = world.person()
            update = ann.say("x")
            await world.taken(update)
            world.redeliver(update)
            await world.taken(update)
            assert door.ids == [update] * 2 and door.bodies[0] == door.bodies[1]
            world.forget_answers(2)
            other = ann.say("y")
            await world.taken(other)
            assert door.ids == [update] * 2 + [other] * 3

    run(test)


def test_a_method_in_the_answer_is_executed() -> None:
    async def test() -> None:
        async with played() as (world, door):
            ann = world.person()
            door.said = {"method": "sendMessage", "chat_id": ann.id, "text": "at once"}
            ann.say("x")
            assert (await ann.wait_for(1))[0].text == "at once"
            await world.idle()
            door.statuses = [500]
            ann.say("y")  # in an error's body it counts for nothing
            await world.idle()
            assert len(ann.received) == 2
            door.said = {"method": "getMe"}
            ann.say("z")
            await world.idle()
            assert world.asked["getMe"] == 0 and len(world.faults) == 1
            door.said = {"method": "sendMessage", "chat_id": ann.id, "text": ""}
            ann.say("z")
            await world.idle()
            assert len(ann.received) == 2 and len(world.faults) == 2

    run(test)


def test_a_callback_lives_as_long_as_its_update() -> None:
    async def test() -> None:
        async with played() as (world, door):
            ann = world.person()
            await world.taken(ann.start())
            markup = {"inline_keyboard": [[{"text": "按", "callback_data": "a"}]]}
            await ask(world, "sendMessage", chat_id=ann.id, text="x", reply_markup=markup)
            door.statuses = [500] * 8
            pressed = ann.tap("按")
            while len(door.bodies) < 3:
                await asyncio.sleep(0.01)
            world.clock.pass_(seconds=151)  # type: ignore[attr-defined]
            await world.taken(pressed)
            assert [update.id for update in world.expired] == [pressed]

    run(test)


def test_another_library_is_served() -> None:
    async def test() -> None:
        async with played() as (world, _):
            ann, bot = world.person(), Bot(world.token, world.url + "/bot", world.url + "/file/bot")
            await world.taken(ann.start())
            keys = InlineKeyboardMarkup([[InlineKeyboardButton("签到", callback_data="checkin")]])
            picture = b"\xff\xd8\xff\xe0\x00\x04JF\xff\xc0\x00\x11\x08\x00\x10\x00\x20\x03"
            async with bot:
                text = await bot.send_message(ann.id, "你好", reply_markup=keys)
                photo = await bot.send_photo(ann.id, picture, caption="海报")
                again = await bot.send_photo(ann.id, photo.photo[-1].file_id)
                file = await bot.get_file(again.photo[-1].file_id)
                assert bytes(await file.download_as_bytearray()) == picture == ann.received[2].photo
                await bot.edit_message_text("再见", ann.id, text.message_id)
                await bot.edit_message_caption(ann.id, photo.message_id, caption="新")
                await bot.edit_message_reply_markup(ann.id, photo.message_id, reply_markup=keys)
                assert await bot.set_my_commands([("checkin", "签到")], language_code="zh")
                assert (await bot.get_webhook_info()).url == world.hook.url
                assert await bot.send_chat_action(ann.id, "typing")
                assert await bot.delete_message(ann.id, again.message_id)
                query = ann.tap("签到")
                await world.taken(query)
                assert await bot.answer_callback_query(next(iter(world.queries)), "好")
            assert [(r.text, r.edits, r.deleted) for r in ann.received] == [
                ("再见", 1, False),
                ("新", 2, False),
                ("", 0, True),
            ]
            assert ann.toasts[0].text == "好" and ann.menu() and world.faults == []

    run(test)


def test_another_library_knows_the_errors() -> None:
    async def test() -> None:
        async with played() as (world, _):
            ann, bot = world.person(), Bot(world.token, world.url + "/bot")
            await world.taken(ann.start())
            async with bot:
                for raised, how in (
                    (RetryAfter, {"retry_after": 3}),
                    (Forbidden, {"code": 403}),
                    (BadRequest, {"code": 400}),
                    (ChatMigrated, {"migrate_to_chat_id": -1_002_000_000_000}),
                    (NetworkError, {"code": 502, "html": True}),
                    (NetworkError, {"drop": True, "accept": True}),
                ):
                    world.fail("sendMessage", **how)
                    with pytest.raises(raised):
                        await bot.send_message(ann.id, "x")
                with pytest.raises(Conflict):
                    await bot.get_updates()
                assert len(ann.received) == 1
                ann.block()
                with pytest.raises(Forbidden):
                    await bot.send_message(ann.id, "x")
            with pytest.raises(InvalidToken):
                await Bot(world.token + "x", world.url + "/bot").get_me()

    run(test)
