"""Followers that an account already has, follows and leavings that were never heard, the menu, and what an account can
do: against the played platform, in a process of its own and through the one that serves.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from sqlalchemy import text
from typer.testing import CliRunner

from bot import config, followers
from bot.__main__ import command_line
from bot.app import App
from bot.commands_wechat import _home
from bot.followers import Followers
from bot.played.wechat import PlayedWeChat
from bot.schedule import Schedule
from bot.wechat.faults import Fault
from storage import schema
from storage.incoming import Incoming
from storage.store import Store
from tests.houses import furnish
from tests.sealing import PatientSealer as Sealer
from tests.serving import ROOT, Node
from tests.talking import talking


def crowd(world: PlayedWeChat, count: int) -> None:
    """So many people who followed before the service was there; every third reads English."""
    for number in range(count):
        person = world.person()
        person.since = datetime(2026, 3, 1, tzinfo=UTC)
        person.language = "en" if number % 3 == 0 else "zh_CN"


@asynccontextmanager
async def at_home(url: str, folder: Path, world: PlayedWeChat) -> AsyncIterator[tuple[App, Followers]]:
    """The jobs of the account `main` in this process."""
    node = Node(folder, url, 1, world)
    schema.upgrade(store := Store(url))
    store.close()
    async with _home(config.load(node.config, {})) as app:
        yield app, followers.of(app)[0]


def one(app: App, sql: str, **values: Any) -> Any:
    with app.store.read() as connection:
        return connection.execute(text(sql), values).scalar()


def test_existing_followers_become_known_without_a_word_and_only_once(database_url: str, tmp_path: Path) -> None:
    async def journey(world: PlayedWeChat) -> None:
        crowd(world, 1_230)
        known = world.person(next(iter(world.people)))
        async with at_home(database_url, tmp_path, world) as (app, jobs):
            assert app.writer
            await app.writer.hear(Incoming("wechat", "main", known.openid, "k1", "text", app.now(), "菜单"))
            told: list[dict[str, int]] = []
            done = await jobs.bring_in(told.append)
            assert done == {"done": 1_230, "total": 1_230, "new": 1_229}
            assert told[-1] == done and len(told) >= 4
            assert one(app, "SELECT count(*) FROM identity WHERE following AND heard_at IS NULL") == 1_229
            assert one(app, "SELECT count(*) FROM subscriber WHERE language = 'en' AND consent") == 409
            assert one(app, "SELECT count(*) FROM consent WHERE wording = 'imported' AND given") == 1_229
            assert one(app, "SELECT count(*) FROM text") == 1, "nobody was spoken to"
            assert (await jobs.bring_in(told.append))["new"] == 0
            answer = await app.writer.hear(
                Incoming("wechat", "main", list(world.people)[7], "k2", "text", app.now(), "积分")
            )
            assert "积分" in answer.messages[0]["text"], "they are served as anybody, in the language they read"

    with PlayedWeChat(page_size=400) as world:
        asyncio.run(journey(world))
        assert world.asked["message/custom/send"] == 0


def test_a_broken_import_goes_on_where_it_ended(database_url: str, tmp_path: Path) -> None:
    class Broken(Exception):
        pass

    def breaking(progress: dict[str, int]) -> None:
        if progress["done"] >= 600:
            raise Broken

    async def journey(world: PlayedWeChat) -> None:
        crowd(world, 900)
        async with at_home(database_url, tmp_path, world) as (app, jobs):
            with pytest.raises(Broken):
                await jobs.bring_in(breaking)
        pages = world.asked["user/get"]
        async with at_home(database_url, tmp_path, world) as (app, jobs):
            told: list[dict[str, int]] = []
            assert await jobs.bring_in(told.append) == {"done": 900, "total": 900, "new": 900}
            assert told[0]["done"] == 900, "two of three pages were behind it"
            assert world.asked["user/get"] - pages < 4
            assert one(app, "SELECT count(*) FROM identity") == 900

    with PlayedWeChat(page_size=300) as world:
        asyncio.run(journey(world))


def test_an_import_starts_again_when_the_person_it_ended_with_is_gone(tmp_path: Path) -> None:
    async def journey(world: PlayedWeChat) -> None:
        crowd(world, 30)
        async with at_home(f"sqlite:///{tmp_path}/k.db", tmp_path, world) as (app, jobs):
            assert app.house
            await app.house.keep("wechat:main:import", {"after": "oNobody", "done": 20, "new": 20}, 60)
            assert await jobs.bring_in(lambda progress: None) == {"done": 30, "total": 30, "new": 30}

    with PlayedWeChat() as world:
        asyncio.run(journey(world))


def test_lost_follows_and_leavings_are_heard_a_day_late_and_in_silence(database_url: str, tmp_path: Path) -> None:
    async def journey(world: PlayedWeChat) -> None:
        crowd(world, 20)
        people = list(world.people.values())
        gone, back = people[3], people[4]
        async with at_home(database_url, tmp_path, world) as (app, jobs):
            assert app.writer
            await jobs.bring_in(lambda progress: None)
            await app.writer.hear(Incoming("wechat", "main", back.openid, "k1", "unfollow", app.now()))
            gone.since = None
            new = world.person()
            new.since, new.scene, new.language = datetime.now(UTC), "p_booth-mall", "en"
            done = await jobs.reconcile(lambda progress: None)
            assert done == {"followers": 20, "gone": 1, "found": 2, "imported": 0}
            assert one(app, "SELECT count(*) FROM identity WHERE following") == 20
            assert one(app, "SELECT count(*) FROM identity WHERE address = :a", a=gone.openid) == 0
            assert one(app, "SELECT count(*) FROM event WHERE kind = 'touched' AND data LIKE '%booth-mall%'") == 1
            assert one(app, "SELECT count(*) FROM event WHERE kind = 'followed'") == 2
            assert one(app, "SELECT count(*) FROM subscriber WHERE consent") == 20
            assert one(app, "SELECT count(*) FROM delivery") == 0, "nobody was greeted"
            again = await jobs.reconcile(lambda progress: None)
            assert again == {"followers": 20, "gone": 0, "found": 0, "imported": 0}

    with PlayedWeChat() as world:
        asyncio.run(journey(world))


def test_nobody_is_lost_because_the_list_was_wrong(tmp_path: Path) -> None:
    """The platform's list lacks people who still follow: each is asked about before anything is erased."""

    async def journey(world: PlayedWeChat) -> None:
        crowd(world, 40)
        async with at_home(f"sqlite:///{tmp_path}/k.db", tmp_path, world) as (app, jobs):
            await jobs.bring_in(lambda progress: None)

            async def half(listed: set[str], began: int) -> list[str]:
                return await type(jobs)._tick_off(jobs, set(sorted(listed)[:20]), began)

            assert len(await half(set(world.people), 2**60)) == 20
            jobs._tick_off = half  # type: ignore[method-assign]
            assert (await jobs.reconcile(lambda progress: None))["gone"] == 0
            assert one(app, "SELECT count(*) FROM identity WHERE following") == 40

    with PlayedWeChat() as world:
        asyncio.run(journey(world))


def test_people_whom_the_platform_does_not_know_stay_as_they_are(tmp_path: Path) -> None:
    """A few do not keep the others from being set right; many mean that the account is not theirs."""

    async def journey(world: PlayedWeChat) -> None:
        crowd(world, 120)
        people = list(world.people.values())
        async with at_home(f"sqlite:///{tmp_path}/k.db", tmp_path, world) as (app, jobs):
            assert app.writer
            await jobs.bring_in(lambda progress: None)
            await app.writer.hear(Incoming("wechat", "main", "oNobody", "k1", "text", app.now(), "菜单"))
            people[3].since = None
            assert (await jobs.reconcile(lambda progress: None))["gone"] == 1
            assert one(app, "SELECT count(*) FROM identity WHERE following") == 120
            world.people.clear()
            with pytest.raises(Fault):
                await jobs.reconcile(lambda progress: None)
            assert one(app, "SELECT count(*) FROM identity WHERE following") == 120

    with PlayedWeChat() as world:
        asyncio.run(journey(world))


def test_reconciling_happens_once_a_day_in_the_small_hours(tmp_path: Path) -> None:
    async def journey(world: PlayedWeChat) -> None:
        crowd(world, 3)
        async with at_home(f"sqlite:///{tmp_path}/k.db", tmp_path, world) as (app, jobs):
            assert app.house
            now = datetime(2026, 11, 22, 19, 0, tzinfo=UTC)  # three in the morning in China
            app.house.now = lambda: now
            asked = []
            for hours in (0, 1.5, 2, 10, 22):
                now = datetime(2026, 11, 22, 19, 0, tzinfo=UTC) + timedelta(hours=hours)
                await jobs.daily()
                asked.append(world.asked["stable_token"] and world.asked["user/get"])
            first = asked[1]
            assert first > 0 and asked == [0, first, first, first, first]
            now += timedelta(hours=6)
            await jobs.daily()
            assert world.asked["user/get"] > first

    with PlayedWeChat() as world:
        asyncio.run(journey(world))


def test_the_schedule_asks_for_the_work_of_the_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.schedule._DAILY_LOOK_SECONDS", 0.05)
    asked: list[int] = []

    async def work() -> None:
        asked.append(1)
        raise Fault(45009, "quota used up")

    async def journey() -> None:
        async with talking(f"sqlite:///{tmp_path}/k.db") as talk:
            sealer = Sealer(talk.store, talk.vault)
            schedule = Schedule(talk.writer, sealer, "test", lambda: talk.now, daily=[work])
            schedule.start()
            await asyncio.sleep(0.4)
            await schedule.close()

    asyncio.run(journey())
    assert len(asked) > 1, "a failure does not end the asking"


def koukou(node: Node, *words: str, typed: str = "") -> Result:
    """A command in this process, as the command line runs it."""
    return CliRunner().invoke(command_line(["wechat"]), ["--config", str(node.config), "wechat", *words], input=typed)


def test_commands_work_beside_the_serving_process(tmp_path: Path) -> None:
    """Importing runs as a process of its own, while somebody new begins to follow."""

    async def journey(world: PlayedWeChat) -> None:
        crowd(world, 700)
        node = furnish(tmp_path, world).node
        await node.begin()
        try:
            command = [sys.executable, "-m", "bot", "--config", str(node.config), "wechat", "import"]
            importing = asyncio.create_task(
                asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True)
            )
            assert "签到" in await world.person().follow()
            done = await importing
            assert done.returncode == 0, done.stderr
            assert "701" in done.stdout and "500 / 701" in done.stderr
            next(iter(world.people.values())).since = None
            reconciled = await asyncio.to_thread(koukou, node, "reconcile", "--json")
            assert json.loads(reconciled.stdout) == {"followers": 700, "gone": 1, "found": 0, "imported": 0}
            status = json.loads((await asyncio.to_thread(koukou, node, "status", "--json")).stdout)
            assert status["kind"] == "service" and all(row["able"] for row in status["capabilities"])
            assert status["reconciled"]["gone"] == 1
        finally:
            await node.stop()
        assert not node.broken() and not world.faults

        world.menu = [{"type": "click", "name": "旧的", "key": "旧的"}]
        kept = await asyncio.to_thread(koukou, node, "menu", typed="n\n")
        assert kept.exit_code == 1 and "旧的" in kept.stdout and world.menu[0]["name"] == "旧的"
        replaced = await asyncio.to_thread(koukou, node, "menu", "--yes")
        assert replaced.exit_code == 0 and world.menu[0]["name"] == "看优惠"
        unknown = await asyncio.to_thread(koukou, node, "import", "--account", "other")
        assert unknown.exit_code == 1 and "other" in unknown.stderr

    with PlayedWeChat() as world:
        asyncio.run(journey(world))


def test_an_account_that_may_not_is_told_what_happens_instead(tmp_path: Path) -> None:
    with PlayedWeChat(kind="subscription", verified=False) as world:
        node = furnish(tmp_path, world).node
        table = '[channels.wechat]\nkind = "subscription"\nverified = false'
        node.config.write_text(node.config.read_text().replace("[channels.wechat]", table))
        status = json.loads(koukou(node, "status", "--json").stdout)
        assert not any(row["able"] for row in status["capabilities"])
        assert all(row["instead"]["zh"] and row["instead"]["en"] for row in status["capabilities"])
        refused = koukou(node, "import")
        assert refused.exit_code == 1 and "关注者" in refused.stderr
        assert not world.asked, "the platform was not even asked"
