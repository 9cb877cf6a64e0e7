"""What people and staff do in the middle of a push: whoever leaves before the request begins gets none, and a copy of
the database sends nothing until it is released."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from bot.channels import MassOutcome
from campaigns import pushing, standing, stopping
from storage import copies, push_runs, pushes
from storage.tables import micros
from tests.push_house import CONTENT, MORNING, PushHouse, crowd, push_house, talked
from tests.talking import run
from tests.test_backup import made, restored

SERVICE = {**CONTENT, "wechat": "service"}


async def leave(house: PushHouse, number: int, channel: str = "telegram") -> None:
    await talked(house.talk, "退订", f"{channel}-{number:04d}", channel)


@pytest.mark.parametrize("when", ["before opening", "between opening and claiming"])
def test_whoever_leaves_before_the_request_gets_none(database_url: str, when: str) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, telegram=6)
            push = await house.approved(content=SERVICE)
            house.talk.now = MORNING
            if when == "before opening":
                await leave(house, 2)
            while await house.slice(push, 4) is not None:
                pass
            if when == "between opening and claiming":
                await leave(house, 2)
            await house.step(2)
            assert await house.counts(push) == {"sent": 5, "refused/no_consent": 1}
            assert "telegram-0002" not in {parcel.address for parcel in house.lines["telegram"].sent}
            assert await house.state(push) == ("done", ["done"])

    run(journey())


def test_whoever_is_blocked_after_the_opening_gets_none(database_url: str) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, telegram=3, wechat=3)
            push = await house.approved()
            house.talk.now = MORNING
            while await house.slice(push, 9) is not None:
                pass
            for address in ("telegram-0001", "wechat-0001"):
                (person,) = await house.talk.writer.run(
                    lambda connection, address=address: connection.execute(
                        text("SELECT subscriber FROM identity WHERE address = :address"), {"address": address}
                    ).one()
                )
                await house.act(lambda desk, person=person: standing.block(desk, person))
            await house.step(2)
            assert await house.counts(push) == {"sent": 2, "handed_over": 2, "refused/blocked": 2}

    run(journey())


def test_leaving_and_coming_back_meanwhile_is_no_leaving(database_url: str) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, telegram=2)
            push = await house.approved(content=SERVICE)
            house.talk.now = MORNING
            await house.slice(push, 9)
            await leave(house, 1)
            await talked(house.talk, "恢复接收", "telegram-0001", "telegram")
            await house.step(2)
            assert await house.counts(push) == {"sent": 2}

    run(journey())


def test_whoever_leaves_before_a_mass_send_is_not_in_it(database_url: str) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, wechat=4)
            push = await house.approved()
            house.talk.now = MORNING
            while await house.slice(push, 9) is not None:
                pass
            await leave(house, 2, "wechat")
            await house.step(2)
            ((addresses, _, _),) = house.lines["wechat"].mass
            assert sorted(addresses) == [f"wechat-{n:04d}" for n in (0, 1, 3)]
            assert await house.counts(push) == {"handed_over": 3, "refused/no_consent": 1}

    run(journey())


def test_a_stop_before_the_claim_of_a_push_holds_it(database_url: str) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, telegram=5)
            push = await house.approved(content=SERVICE)
            house.talk.now = MORNING
            await house.pushes.step()

            async def stop() -> None:
                await house.act(stopping.stop)

            house.before_claim.append(stop)
            await house.step(2)
            assert house.lines["telegram"].sent == []
            assert await house.counts(push) == {"queued": 5}
            await house.act(stopping.resume)
            await house.patience()
            await house.step(2)
            assert await house.counts(push) == {"sent": 5}
            assert len({parcel.address for parcel in house.lines["telegram"].sent}) == 5

    run(journey())


@pytest.mark.parametrize("drop", [False, True])
def test_a_copy_made_in_the_middle_of_a_push_waits_for_staff(
    tmp_path: Path, database_url: str, migrated_file: Path, drop: bool
) -> None:
    """One push was half opened, and another due an hour later, when the backup was made: the original went on with
    both. Released, the copy sends what was agreed to and no more; the rest waits until somebody resumes it."""

    async def original() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, telegram=5, wechat=3)
            push = await house.approved("a")
            await house.approved("b", schedule={"at": "2026-11-23T11:00:00"})
            house.talk.now = MORNING
            await house.slice(push, 6)
            line = house.lines["wechat"]
            line.mass_fate = lambda addresses, key: MassOutcome("retry", "away")
            made(house.talk.store, tmp_path / "a.zip")

    run(original())
    target = f"sqlite:///{tmp_path / 'copy' / 'koukou.db'}"
    restored(tmp_path / "a.zip", target)

    async def copy() -> None:
        async with push_house(target) as house:
            house.talk.now = MORNING + timedelta(hours=1, minutes=30)
            moment = micros(MORNING + timedelta(minutes=30))
            await house.talk.writer.run(lambda c: c.exec_driver_sql(f"UPDATE installation SET restored_at = {moment}"))
            found = await house.talk.writer.run(lambda c: copies.waiting(c, house.talk.now))
            assert found and len(found.pushes) == 2  # one was running, one fell due since
            done = await house.talk.writer.run(lambda c: copies.release(c, found.messages, house.talk.now, drop=drop))
            assert done[1] == list(found.pushes) == found.tree()["pushes"]
            await house.step(4)
            assert all(not line.sent and not line.mass for line in house.lines.values())
            both = [await house.talk.writer.run(lambda c, k=key: pushes.by_key(c, k)) for key in "ab"]  # type: ignore[misc]
            assert [push.state for push in both] == ["paused", "paused"]
            runs = await house.talk.writer.run(lambda c: push_runs.of_push(c, both[0].number, 9))
            assert [run.state for run in runs] == ["paused"]
            # Looked at and resumed, the first goes on with whom it had not met, and with those it kept.
            library = house.talk.writer.library
            await house.act(lambda desk: pushing.resume(desk, library, both[0].number))
            await house.step(4)
            counts = await house.counts(both[0])
            assert sum(counts.values()) == 8
            assert sum(n for key, n in counts.items() if key.startswith("doubtful/")) == (6 if drop else 3)

    run(copy())
