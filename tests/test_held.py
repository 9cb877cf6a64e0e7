"""A restored copy as its operator meets it: it hears, its web chat answers, and nothing leaves until it is released."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from bot import schedule as scheduling
from bot.followers import Followers
from bot.played.wechat import PlayedWeChat
from bot.schedule import Schedule
from campaigns.desk import ActRefused
from storage import backup, erasures, kept
from storage.store import Store
from storage.vault import Vault
from tests.commands import koukou, koukou_apart
from tests.conftest import _database
from tests.houses import unhurried
from tests.sealing import PatientSealer as Sealer
from tests.serving import BOT_SECRET, SECRET, Node, free_port
from tests.talking import run, talking
from tests.test_backup import restored

VAULT = Vault(SECRET.encode())


async def with_a_backlog(url: str, telegram_people: list[str], file: Path) -> None:
    """A database with messages in every state, and a timer that is due; backed up."""
    async with talking(url, VAULT) as talk:
        for who in telegram_people:
            await talk.hear("签到", who=who, channel="telegram")
        with talk.store.begin() as connection:
            ids = connection.execute(text("SELECT id FROM delivery ORDER BY id")).scalars().all()
            for number, state in zip(ids, ("queued", "queued", "claimed", "sending"), strict=True):
                changed = {"n": number, "s": state}
                connection.execute(text("UPDATE delivery SET state = :s WHERE id = :n"), changed)
            person = connection.execute(text("SELECT MIN(id) FROM subscriber")).scalar_one()
            connection.execute(
                text(
                    "INSERT INTO timer (id, key, subscriber, kind, due_at, data, fired) "
                    "VALUES (1, 'a', :s, 'referral_touch', 0, '{}', FALSE)"
                ),
                {"s": person},
            )
        Sealer(talk.store, VAULT).step(1000)
        backup.create(talk.store, VAULT, file, "test", datetime.now(UTC), lambda *_: None)


@pytest.mark.timeout(90)
def test_a_copy_sends_nothing_until_it_is_released(
    tmp_path: Path, database_url: str, migrated_file: Path, request: pytest.FixtureRequest
) -> None:
    """The copy is of the other kind than the original."""
    sqlite = database_url.startswith("sqlite")

    async def scenario(target: str) -> None:
        world, telegram = PlayedWeChat(), unhurried()
        with world, telegram:
            people = [telegram.person() for _ in range(4)]
            for person in people:
                person.known = True
            await with_a_backlog(database_url, [str(person.id) for person in people], tmp_path / "a.zip")
            restored(tmp_path / "a.zip", target, vault=VAULT)
            node = Node(tmp_path, target, free_port(), world, telegram)
            world.webhook = f"http://127.0.0.1:{node.port}/wechat"
            telegram.webhook = f"http://127.0.0.1:{node.port}/telegram"
            async with httpx.AsyncClient() as original:  # had registered its webhook, which leads to the copy now
                registered = {"url": "https://koukou.example/telegram", "secret_token": BOT_SECRET}
                done = await original.post(f"{telegram.url}/bot{telegram.token}/setWebhook", json=registered)
                assert done.json()["ok"], done.text
            telegram.asked.clear()
            try:
                await node.begin()
                await silent(node, world, telegram, people)
                await released(node, world, telegram, people)
                await node.stop()
            finally:
                node.kill()
            assert node.broken() == []
            assert koukou(node.config, "ledger", "check").exit_code == 0

    if sqlite:
        with _database(request.getfixturevalue("postgres_url")) as target:
            asyncio.run(scenario(target))
    else:
        (tmp_path / "new").mkdir()
        asyncio.run(scenario(f"sqlite:///{tmp_path / 'new' / 'koukou.db'}"))


async def silent(node: Node, world: PlayedWeChat, telegram: Any, people: list[Any]) -> None:
    """Everything that could make it speak happens; nothing is said, and everything is heard."""
    fresh = world.person()
    assert await fresh.follow() == ""
    assert await fresh.say("积分") == ""
    update = people[0].say("积分")
    await telegram.taken(update)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{node.port}") as page:
        ready = (await page.get("/readyz")).json()
        assert ready["ready"] and "koukou backup release" in ready["held"]
        assert "koukou_held 1.0" in (await page.get("/metrics")).text
        key = {"key": "0123456789abcdef", "text": "积分"}
        assert (await page.post("/chat/send", json=key)).json()["answers"][0]["text"]
        posters = (await page.post("/chat/send", json={"key": "0123456789abcdeg", "text": "海报"})).json()["answers"]
        for answer in posters:
            if "picture" in answer:
                await page.get(answer["picture"]["url"])
    await asyncio.sleep(2)
    assert telegram.asked == {}  # not its name, no webhook, no answer to a tap, no message
    assert world.asked == {}  # not even a token
    assert [one.received for one in people] == [[]] * 4
    assert fresh.received == []
    store = Store(node.url, writer=False)
    with store.read() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM timer WHERE fired")).scalar_one() == 0
        heard = connection.execute(text("SELECT COUNT(*) FROM text WHERE heard = '积分'")).scalar_one()
    store.close()
    assert heard == 3
    assert "held" in node.log.read_text()
    assert "is a copy restored at" in node.log.read_text() or "恢复的副本" in node.log.read_text()
    refused = await asyncio.to_thread(koukou_apart, node.config, "wechat", "reconcile")
    assert (refused.returncode, "a restored copy is held" in refused.stderr) == (1, True), refused
    assert world.asked == {}


async def released(node: Node, world: PlayedWeChat, telegram: Any, people: list[Any]) -> None:
    """Somebody looks, says the wrong number, then the right one."""
    shown = await asyncio.to_thread(koukou, node.config, "backup", "release")
    assert shown.exit_code == 1
    assert "telegram:main: 3 messages to 2 people" in shown.stdout
    assert "1 timers are due" in shown.stdout
    assert "2 messages are in doubt" in shown.stdout
    told = json.loads((await asyncio.to_thread(koukou, node.config, "backup", "release", "--json")).stdout)
    wrong = await asyncio.to_thread(koukou, node.config, "backup", "release", "--yes", str(told["queued"] + 1))
    assert (wrong.exit_code, f"{told['queued']} messages wait now" in wrong.stderr) == (1, True)
    assert telegram.asked == {}
    done = await asyncio.to_thread(koukou, node.config, "backup", "release", "--yes", str(told["queued"]))
    assert done.exit_code == 0, done.stderr
    until = time.monotonic() + 40
    while time.monotonic() < until and not (
        people[1].received and len(people[0].received) > 1 and telegram.asked["setWebhook"]
    ):
        await asyncio.sleep(0.1)
    assert len(people[0].received) == 2  # what was queued, and the answer to what was said meanwhile
    assert len(people[1].received) == 1
    assert people[2].received == people[3].received == []  # in doubt: for people to settle
    assert telegram.asked["setWebhook"] == 1
    (fresh,) = world.people.values()
    while time.monotonic() < until and not fresh.received:
        await asyncio.sleep(0.1)
    assert fresh.received
    again = await asyncio.to_thread(koukou, node.config, "backup", "release", "--yes", "0")
    assert (again.exit_code, "is no restored copy" in again.stderr) == (1, True)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{node.port}") as page:
        assert "held" not in (await page.get("/readyz")).json()
        assert "koukou_held 0.0" in (await page.get("/metrics")).text


# ---- what else runs by itself


def test_retention_runs_soon_after_the_start_on_one_node_and_is_counted(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "_RETENTION_SOON_SECONDS", 0.1)

    async def scenario() -> None:
        async with talking(database_url) as talk:
            for number in range(3):
                await talk.hear("签到", who=f"oOld{number:024d}")
            days = talk.library().plan.privacy.text_days
            talk.days(days + 1)
            await talk.hear("积分", who=f"oOld{0:024d}")
            schedule = Schedule(talk.writer, Sealer(talk.store, talk.vault), "one", lambda: talk.now)
            other = Schedule(talk.writer, Sealer(talk.store, talk.vault), "two", lambda: talk.now)
            await talk.writer.run(lambda connection: kept.hold(connection, "retention", "one", 60))
            await other.retain()  # somebody else is at it
            assert other.retained == 0
            await talk.writer.run(lambda connection: kept.hold(connection, "retention", "one", 0))
            schedule.start()
            for _ in range(100):
                if schedule.retained_at:
                    break
                await asyncio.sleep(0.05)
            await schedule.close()
            assert schedule.retained >= 3  # and whatever else was past its time, such as a lease
            assert abs(schedule.retained_at - time.time()) < 30
            with talk.store.read() as connection:
                left = connection.execute(text("SELECT heard FROM text WHERE heard IS NOT NULL")).scalars().all()
            assert left == ["积分"]
            await other.retain()
            assert other.retained == 0  # nothing left, and the lease was given back
            assert other.retained_at

    run(scenario())


def test_erasures_reach_the_file_beside_the_database_by_themselves(tmp_path: Path, database_url: str) -> None:
    """On a serving node, with no path set."""
    world = PlayedWeChat()

    async def scenario() -> Path:
        with world:
            node = Node(tmp_path, database_url, free_port(), world)
            world.webhook = f"http://127.0.0.1:{node.port}/wechat"
            journal = tmp_path / ("koukou.db.erasures" if database_url.startswith("sqlite") else "data/koukou.erasures")
            try:
                await node.begin()
                person = world.person()
                await person.follow()
                await person.unfollow()
                for _ in range(100):
                    if any(erasures.read(journal)):
                        break
                    await asyncio.sleep(0.1)
                await node.stop()
            finally:
                node.kill()
        return journal

    (noted,) = erasures.read(asyncio.run(scenario()))
    assert noted.kind == "left"
    assert noted.digest == VAULT.digest("wechat", "main", next(iter(world.people)))


def test_the_jobs_of_followers_ask_the_database_whether_they_may(tmp_path: Path, database_url: str) -> None:
    async def scenario() -> None:
        async with talking(database_url) as talk:
            with talk.store.begin() as connection:
                connection.execute(text("UPDATE installation SET restored_at = 1"))

            class Home:
                store, vault, writer, house, channels = talk.store, talk.vault, talk.writer, object(), ()

            class Account:
                name, account, api, abilities = "wechat", "main", None, None

            for job in (Followers.bring_in, Followers.reconcile):
                with pytest.raises(ActRefused, match="held"):
                    await job(Followers(Account(), Home()), lambda _: None)  # type: ignore[arg-type]

    run(scenario())
