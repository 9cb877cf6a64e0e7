"""`koukou push` as an operator types it, without a serving process and beside one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from storage.store import Store
from tests.commands import koukou
from tests.talking import SECRET, SHIPPED, run, talking


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(
        f'[service]\nplan = "{SHIPPED}"\nlanguage = "en"\n[storage]\nurl = "sqlite:///{tmp_path}/k.db"\n'
        f'secret = "{SECRET.decode()}"\n[console]\nsecond_person = false\n'
    )
    assert koukou(file, "plan", "apply", str(SHIPPED)).exit_code == 0
    return file


def told(config: Path, *words: str) -> Any:
    done = koukou(config, "push", *words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


WRITTEN = ("--name", "Friday", "--text", "zh=周五见", "--text", "en=See you", "--at", "2030-12-01T10:00")


def test_the_plans_pushes_wait_for_approval_and_each_step_is_told(config: Path) -> None:
    planned = {push["name"]: push for push in told(config, "list")}
    assert set(planned) == {"opening", "quiz", "new-year", "spring-festival", "weekly-checkin"}
    assert {push["state"] for push in planned.values()} == {"submitted"}
    assert koukou(config, "plan", "apply", str(SHIPPED)).exit_code == 0  # again: nothing new
    assert len(told(config, "list")) == 5
    number = str(planned["weekly-checkin"]["number"])
    assert told(config, "approve", number)["state"] == "scheduled"
    again = koukou(config, "push", "approve", number)
    assert (again.exit_code, "the push is scheduled, so it cannot approve" in again.stderr) == (1, True)
    assert told(config, "pause", number, "--why", "rain")["state"] == "paused"
    assert told(config, "resume", number)["state"] == "scheduled"
    assert told(config, "cancel", number)["state"] == "cancelled"
    shown = told(config, "show", number)
    steps = ["create", "submit", "approve", "schedule", "pause", "resume", "schedule", "cancel"]
    assert [step["step"] for step in shown["steps"]] == steps
    assert shown["steps"][4]["why"] == "rain"
    assert [push["number"] for push in told(config, "list", "--state", "cancelled")] == [int(number)]


def test_a_push_is_written_in_one_line(config: Path) -> None:
    push = told(
        config, "create", *WRITTEN, "--button", "签到", "--button", "zh=答题,en=quiz", "--first", "1", "--rest", "10"
    )
    assert (push["state"], push["limits"]) == ("submitted", {"first": 100, "rest": 10, "errors": 20})
    assert push["content"]["buttons"] == ["签到", {"zh": "答题", "en": "quiz"}]
    assert told(config, "preview", str(push["number"])) == []
    assert "quiet hours" not in koukou(config, "push", "preview", str(push["number"])).stdout
    night = told(config, "create", *WRITTEN[:-1], "2030-12-01T23:30")
    said = koukou(config, "push", "preview", str(night["number"])).stdout
    assert "its time is in the quiet hours: it begins at 2030-12-02 09:00" in said
    assert told(config, "send-back", str(push["number"]), "--why", "shorter")["state"] == "draft"
    assert told(config, "submit", str(push["number"]))["state"] == "submitted"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("create", "--name", "F", "--text", "en=x", "--at", "2030-12-01T10:00"), "the text is missing in zh"),
        (("create", *WRITTEN, "--button", "blah"), "nothing that the bot understands"),
        (("create", *WRITTEN, "--button", "zh=答题,en=blah"), "the button 'blah' is nothing"),
        (("create", *WRITTEN, "--button", "zh=答题,fr=quiz"), "button 1 says nothing in en"),
        (("create", *WRITTEN, "--poster", "none"), "the plan has no poster none"),
        (("create", *WRITTEN[:-1], "tomorrow"), "write the time 'tomorrow' as"),
        (("create", *WRITTEN[:-2], "--cron", "70 1 * * *"), "'70' is no minute"),
        (("approve", "999"), "there is no push 999"),
        (("show", "999"), "there is no push 999"),
    ],
)
def test_what_is_wrong_is_named(config: Path, words: tuple[str, ...], says: str) -> None:
    done = koukou(config, "push", *words)
    assert (done.exit_code, says in done.stderr) == (1, True), done.output
    assert len(told(config, "list")) == 5


def test_people_read_when_on_their_own_clock(config: Path) -> None:
    """As it was typed, and as the console shows it; for machines in UTC."""
    number = str(told(config, "create", *WRITTEN)["number"])
    approved = koukou(config, "push", "approve", number)
    assert "due next at 2030-12-01 10:00 CST" in approved.stdout
    assert "2030-12-01 10:00 CST" in koukou(config, "push", "list", "--state", "scheduled").stdout
    assert "2030-12-01 10:00 CST" in koukou(config, "push", "show", number).stdout
    assert told(config, "show", number)["next_at"] == "2030-12-01T02:00:00+00:00"


def test_the_author_does_not_approve(config: Path) -> None:
    config.write_text(config.read_text().replace("second_person = false", "second_person = true"))
    number = str(told(config, "list")[0]["number"])
    done = koukou(config, "push", "approve", number)
    assert (done.exit_code, "somebody else than its author" in done.stderr) == (1, True)


def test_a_tester_and_nobody_else_is_sent_a_trial(config: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/k.db"

    async def come() -> None:
        async with talking(url) as talk:
            await talk.hear("你好", who="guest-1", channel="web")

    run(come())
    store = Store(url, writer=False)
    with store.read() as connection:
        person = str(connection.execute(text("SELECT id FROM subscriber")).scalar_one())
    number = str(told(config, "create", *WRITTEN)["number"])
    refused = koukou(config, "push", "send-test", number, person)
    assert (refused.exit_code, f"subscriber {person} is no tester" in refused.stderr) == (1, True)
    assert "no such subscriber: 7" in koukou(config, "push", "send-test", number, "7").stderr
    assert koukou(config, "subscriber", "test", person, "--why", "mine", "--yes").exit_code == 0
    assert "there is no push 999" in koukou(config, "push", "send-test", "999", person).stderr
    sent = {"push": int(number), "subscriber": int(person), "sent": True}
    assert told(config, "send-test", number, person) == sent
    done = koukou(config, "push", "send-test", number, person)
    assert (done.exit_code, f"push {number} is queued for tester {person}" in done.stdout) == (0, True)
    with store.read() as connection:
        rows = connection.execute(
            text("SELECT d.account, d.run, t.said FROM delivery d JOIN text t ON t.id = d.text WHERE t.kind = 'push'")
        ).all()
    assert [(row.account, row.run, "周五见" in row.said) for row in rows] == [("web:main", None, True)] * 2
    store.close()


def test_a_release_says_which_pushes_it_pauses_and_how_they_go_on(config: Path, tmp_path: Path) -> None:
    one, other = (str(told(config, "create", *WRITTEN)["number"]) for _ in range(2))
    for number in (one, other):
        assert told(config, "approve", number)["state"] == "scheduled"
    store = Store(f"sqlite:///{tmp_path}/k.db")
    with store.begin() as connection:  # as a backup has it that was made in the middle of one, restored
        connection.execute(text("UPDATE push SET state = 'running' WHERE number = :n"), {"n": int(one)})
        connection.execute(text("UPDATE installation SET restored_at = 1"))
    store.close()
    looked = koukou(config, "backup", "release")
    assert looked.exit_code == 1
    assert f"1 pushes were running when the backup was made or fell due since (number {one})" in looked.stdout
    assert "the release pauses them" in looked.stdout and "they are paused now" not in looked.stdout
    assert json.loads(koukou(config, "backup", "release", "--json").stdout)["pushes"] == [int(one)]
    assert told(config, "show", one)["state"] == "running"
    done = koukou(config, "backup", "release", "--yes", "0")
    assert done.exit_code == 0, done.stderr
    assert f"(number {one}); they are paused now" in done.stdout
    assert "koukou push resume NUMBER goes on" in done.stdout
    assert [told(config, "show", number)["state"] for number in (one, other)] == ["paused", "scheduled"]


def test_a_release_tells_programs_which_pushes_it_paused(config: Path, tmp_path: Path) -> None:
    number = told(config, "create", *WRITTEN)["number"]
    told(config, "approve", str(number))
    store = Store(f"sqlite:///{tmp_path}/k.db")
    with store.begin() as connection:
        connection.execute(text("UPDATE push SET next_at = 1"))
        connection.execute(text("UPDATE installation SET restored_at = 1"))
    store.close()
    done = json.loads(koukou(config, "backup", "release", "--yes", "0", "--json").stdout)
    assert done == {"released": True, "sent": 0, "dropped": 0, "pushes": [number]}
