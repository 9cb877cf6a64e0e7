"""The small plan that is shipped: about ten lines, one owner, one language, and it runs as it is."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from campaigns import running, words
from campaigns.menu import LISTED
from content.bundle import Bundle
from storage import channel_posts, push_runs, pushes
from storage.incoming import Incoming
from tests.commands import koukou
from tests.console_house import ConsoleHouse, serve_console
from tests.houses import unhurried
from tests.push_pages import Clock
from tests.serving import BOT_SECRET, ROOT

FOLDER = ROOT / "content" / "small-shop"
FRIDAY = datetime.fromisoformat("2026-11-27T17:00:30+08:00")


def written(old: str = "", new: str = "") -> Bundle:
    return Bundle.of({"plan.toml": (FOLDER / "plan.toml").read_text("utf-8").replace(old, new).encode()})


def faults(bundle: Bundle) -> list[tuple[str, int, str]]:
    return [(one.key, one.line, one.said.en) for one in bundle.check(running(), words()) if one.severity == "fault"]


def test_it_is_about_ten_lines_and_clean(tmp_path: Path) -> None:
    lines = [line for line in (FOLDER / "plan.toml").read_text("utf-8").splitlines() if line and line[0] != "#"]
    assert len(lines) <= 11
    config = tmp_path / "config.toml"
    config.write_text(f'[service]\nplan = "{FOLDER}"\n')
    done = koukou(config, "plan", "check")
    assert (done.exit_code, done.stdout.strip()) == (0, "0 faults, 0 unset"), done.output
    plan = written().plan
    assert (plan.approvals, plan.organiser.name["zh"], plan.response.hotline) == (False, "街角咖啡", "000-0000-0000")
    assert plan.on("checkin") and plan.on("points") and not plan.on("referral")


@pytest.mark.parametrize(
    ("old", "new", "key", "says"),
    [
        ('weekday = "fri"', 'weekday = "day"', "social.pushes[0].weekday", "must be one of"),
        ("points = 5", 'points = "five"', "checkin.points", ""),
        ('"签到", "积分"', '"签到", "咖啡豆"', "social.pushes[0].buttons[1]", "nothing that the bot understands"),
        ("@street_corner_coffee", "street corner", "social.pushes[0].channels[0]", "not of the form"),
        ("welcome.text = ", "welcome.txt = ", "welcome.txt", "unknown key"),
        ('title = "街角咖啡"', "", "title", "missing"),
        ('["zh"]', '["zh", "en"]', "title", "by language"),
    ],
)
def test_what_is_written_is_checked_like_any_plan(old: str, new: str, key: str, says: str) -> None:
    bundle = written(old, new)
    found = {name: (line, said) for name, line, said in faults(bundle)}
    assert key in found and says in found[key][1], found


def test_a_plan_that_does_not_say_so_is_completed_with_nothing() -> None:
    keys = {key for key, _, _ in faults(written('without = ["*"]', ""))}
    assert {"zone", "currency", "product", "points", "response", "leave", "privacy", "budget"} <= keys


@pytest.mark.parametrize(("alone", "state"), [("false", "scheduled"), ("true", "submitted")])
def test_its_push_needs_no_approval_where_one_person_does_everything(tmp_path: Path, alone: str, state: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        f'[service]\nplan = "{FOLDER}"\n[storage]\nurl = "sqlite:///{tmp_path}/k.db"\n'
        f"[console]\nsecond_person = {alone}\n"
    )
    assert koukou(config, "plan", "apply").exit_code == 0
    assert f"  {state} " in koukou(config, "push", "list").stdout
    assert "street_corner_coffee" in koukou(config, "plan", "show").stdout


class Shop:
    """The service as its owner runs it, with a bot that administers a channel."""

    def __init__(self, house: ConsoleHouse, clock: Clock, telegram: Any) -> None:
        self.house, self.clock, self.telegram = house, clock, telegram
        self._said = 0

    def say(self, said: str, who: str) -> str:
        """What the bot answers on Telegram, choices below."""
        writer = self.house.app.writer
        assert writer
        self._said += 1
        heard = Incoming("telegram", "main", who, f"telegram:main:s{self._said}", "text", self.clock(), said, {}, "zh")

        async def inside() -> Any:
            answer = await writer.hear(heard)
            writer.settled(answer.deliveries)
            return "\n".join(
                line
                for message in answer.messages
                for line in (message["text"], *(choice["label"] for choice in message.get("choices", ())))
            )

        return str(asyncio.run_coroutine_threadsafe(inside(), writer.loop).result(30))

    def until_done(self, number: int) -> push_runs.Run:
        app, end = self.house.app, time.monotonic() + 20
        assert app.pushes and app.writer
        while time.monotonic() < end:
            asyncio.run_coroutine_threadsafe(app.pushes.step(), app.writer.loop).result(30)
            found = self.house.read(push_runs.of_push, number, 1)
            if found and found[0].state == "done":
                run: push_runs.Run = found[0]
                return run
            time.sleep(0.05)
        raise AssertionError("it never went out")


def test_its_journey(tmp_path: Path) -> None:
    """A visitor of the page asks and checks in; on Friday everybody on Telegram and the channel get the week's push."""
    clock = Clock()
    with unhurried(seed=1) as telegram:
        more = (
            f'[channels.telegram]\nenabled = true\ntoken = "{telegram.token}"\nsecret_token = "{BOT_SECRET}"\n'
            f'api_url = "{telegram.url}"\n[console]\nsecond_person = false\n'
        )
        with serve_console(tmp_path, more=more, now=clock, plan="small-shop") as house:
            shop = Shop(house, clock, telegram)
            _visit(house.url)
            person = telegram.person()
            person.known = True
            shop.say("恢复接收", str(person.id))
            offered = shop.say("菜单", str(person.id)) + shop.say("帮助", str(person.id))
            assert all(word in offered for word in ("签到", "积分", "人工")), offered
            assert not any(word in offered for word in ("办理", "海报", "答题", "问卷")), offered  # what it has not
            for command in LISTED[:10]:  # whatever the plan leaves out, its words are answered
                assert shop.say(command, str(person.id))
            assert house.sql("SELECT COUNT(*) FROM event WHERE kind = 'fault'") == [(0,)]
            channel = telegram.channel("街角咖啡", "street_corner_coffee")
            channel.promote(telegram.person())
            (push,) = house.read(pushes.listed, "small-shop", 9)
            assert (push.state, push.name) == ("scheduled", "friday")  # nobody had to approve it
            owner = house.client(house.member("administrator"))
            for page in ("plan", "pushes", f"pushes/{push.number}", "quizzes", "system"):
                assert owner.get(f"/console/{page}").status_code == 200, page
            clock.offset += FRIDAY - clock()
            run = shop.until_done(push.number)
            assert run.people == 2 and house.read(push_runs.counts, run.id)["sent"] == {"": 1}
            assert [received.text for received in channel.received] == ["周末的豆子到了，明天来店里坐坐？"]
            assert house.read(channel_posts.of_run, run.id)[0]["state"] == "sent"
            (again,) = house.read(pushes.listed, "small-shop", 9)
            assert again.state == "scheduled" and again.next_at == FRIDAY.replace(second=0) + timedelta(days=7)


def _visit(url: str) -> None:
    with httpx.Client(base_url=url, timeout=30) as page:
        assert "街角咖啡" in page.get("/").text
        opened = page.post("/chat/open", json={}).json()
        assert "满 100 分到店换一杯拿铁" in str(opened)

        def say(key: str, said: str) -> str:
            answer = page.post("/chat/send", json={"key": key * 16, "text": said})
            assert answer.status_code == 200, answer.text
            return str(answer.json()["answers"])

        assert "签到成功" in say("a", "签到") and "5" in say("b", "积分")
        assert "000-0000-0000" in say("c", "人工") and "000-0000-0000" in say("d", "退订")
        assert "周末也开" in say("e", "几点开门")
