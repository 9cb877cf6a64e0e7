"""Messages out, against the played platform over real HTTP: windows, counts, tokens, pictures, errors, secrets."""

from __future__ import annotations

import asyncio
import io
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from PIL import Image

from bot.channels import Outcome, Parcel
from bot.channels.wechat import WeChat
from bot.played.wechat import Person, PlayedWeChat
from bot.wechat import faults
from bot.wechat.faults import Fault
from bot.wechat.followers import iter_followers, user_info
from bot.wechat.menu import MenuRefused, current_menu, publish_menu
from content.plan.outreach import Menu
from tests.wechat_house import SECRET, Clock, House, settings

HELLO = {"text": "你好"}


class Stage:
    """The channel, its platform and one follower who wrote just now."""

    def __init__(self, world: PlayedWeChat, clock: Clock) -> None:
        self.world, self.clock, self.house = world, clock, House(clock)
        self.person = world.person()
        self.person.since = clock()
        self.open()

    def open(self) -> None:
        """The person has just written, as far as the platform knows."""
        self.person._open("message", (timedelta(hours=48), 5))

    def parcel(self, message: dict[str, Any] = HELLO, **changed: Any) -> Parcel:
        known: dict[str, Any] = {
            "delivery": 7,
            "address": self.person.openid,
            "message": message,
            "heard_at": self.clock(),
            "heard_kind": "text",
            "sent_since": 0,
        }
        return Parcel(**(known | changed))

    def run(self, act: Callable[[WeChat], Awaitable[Any]], **changed: Any) -> Any:
        """Do `act` with a channel opened for it."""

        async def all_of_it() -> Any:
            channel = WeChat("main", settings(api_url=self.world.url, **changed), self.house)
            try:
                return await act(channel)
            finally:
                await channel.close()

        return asyncio.run(all_of_it())

    def send(self, message: dict[str, Any] = HELLO, *, settings: dict[str, Any] | None = None, **known: Any) -> Outcome:
        outcome: Outcome = self.run(lambda channel: channel.send(self.parcel(message, **known)), **(settings or {}))
        return outcome

    def shown(self) -> list[tuple[str, str]]:
        return [(received.kind, received.content) for received in self.person.received]


@pytest.fixture
def stage() -> Iterator[Stage]:
    clock = Clock()
    with PlayedWeChat(clock=clock) as world:
        yield Stage(world, clock)


def picture(size: int = 8) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((size, size), 90).save(out, "PNG")
    return out.getvalue()


def test_a_text_with_choices_arrives_as_it_reads(stage: Stage) -> None:
    assert stage.send({"text": "你好🎁", "choices": [{"label": "积分", "say": "积分"}]}).state == "sent"
    assert stage.shown() == [("text", "你好🎁\n1. 积分")]


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ({"heard_at": None}, "window_closed"),
        ({"ago": 48 * 3600 + 1}, "window_closed"),
        ({"sent_since": 5}, "count_used_up"),
        ({"heard_kind": "follow", "ago": 61}, "window_closed"),
        ({"heard_kind": "follow", "sent_since": 3}, "count_used_up"),
    ],
)
def test_a_shut_window_is_known_without_asking(stage: Stage, known: dict[str, Any], reason: str) -> None:
    if ago := known.pop("ago", 0):
        known["heard_at"] = stage.clock() - timedelta(seconds=ago)
    assert stage.send(**known) == Outcome("refused", reason)
    assert not stage.world.asked


def test_what_only_the_platform_knows_is_asked(stage: Stage) -> None:
    earlier = stage.clock() - timedelta(hours=1)
    assert stage.send(heard_kind="scan", heard_at=earlier).state == "sent"  # an earlier message's window stands
    stage.person.windows.clear()
    assert stage.send(heard_kind="scan", heard_at=earlier) == Outcome("refused", "window_closed")
    stage.open()
    for _ in range(5):
        assert stage.send().state == "sent"
    assert stage.send() == Outcome("refused", "count_used_up")
    assert stage.send(address="oNobody") == Outcome("refused", "unknown_person")


def test_accounts_without_customer_service_never_try(stage: Stage) -> None:
    for kind in ("service", "subscription"):
        assert stage.send(settings={"kind": kind, "verified": False}) == Outcome("refused", "no_capability")
    assert not stage.world.asked


def test_48001_corrects_the_table_for_every_node(stage: Stage) -> None:
    stage.world.verified = False
    assert stage.send() == Outcome("refused", "no_capability")
    assert stage.send() == Outcome("refused", "no_capability")
    assert stage.world.asked["message/custom/send"] == 1


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (-1, "doubtful"), (45011, "slow"), (45009, "slow"), (45015, "refused"), (45047, "refused"), (43004, "refused"),
        (43019, "refused"), (48002, "refused"), (46004, "refused"), (40003, "refused"), (45002, "failed"),
        (47001, "failed"), (44002, "failed"), (40013, "slow"), (40125, "slow"), (40164, "slow"), (89503, "slow"),
        (48004, "slow"), (50001, "slow"), (50002, "slow"), (45065, "sent"), (99999, "failed"),
    ],
)  # fmt: skip
def test_each_code_has_its_outcome(stage: Stage, code: int, state: str) -> None:
    stage.world.fail("message/custom/send", code=code)
    outcome = stage.send()
    assert outcome.state == state
    assert (outcome.wait > 0) == (state == "slow")
    assert stage.world.asked["message/custom/send"] == 1
    assert stage.shown() == []


def test_a_day_quota_lasts_until_midnight_in_china() -> None:
    now = Clock()()  # 08:00 in China
    assert faults.outcome(Fault(45009, ""), now).wait == pytest.approx(16 * 3600, abs=2)
    assert faults.outcome(Fault(45011, ""), now).wait == pytest.approx(60, abs=2)


@pytest.mark.parametrize(("how", "state"), [({"status": 502}, "doubtful"), ({"drop": True}, "doubtful")])
def test_no_clear_answer_is_a_doubt(stage: Stage, how: dict[str, Any], state: str) -> None:
    stage.world.fail("message/custom/send", **how)
    assert stage.send().state == state
    stage.world.fail("message/custom/send", accept=True, drop=True)
    assert stage.send().state == "doubtful"
    assert stage.shown() == [("text", "你好")]  # it had arrived: this is why nothing is sent again by itself


def test_a_timeout_is_a_doubt(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.wechat.api._SECONDS", 0.3)
    stage.send()
    stage.world.fail("message/custom/send", delay=2.0)
    assert stage.send().state == "doubtful"


def test_no_connection_is_certainly_not_sent(stage: Stage) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: refused at once
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        stage.world.url = url
        assert stage.send().state == "retry"


def test_trouble_with_the_token_is_certainly_not_sent(stage: Stage) -> None:
    stage.world.fail("stable_token", status=502)
    assert stage.send() == Outcome("retry", "no_connection", 5.0)
    stage.world.fail("stable_token", code=-1)
    assert stage.send().state == "retry"
    stage.world.app_secret = "changed"
    assert stage.send() == Outcome("slow", "bad_app_secret", 600.0)
    assert stage.world.asked["message/custom/send"] == 0


def test_sixteen_callers_fetch_one_token_and_nodes_share_it(stage: Stage) -> None:
    stage.person.windows["message"].left = 100

    async def storm(channel: WeChat) -> list[Outcome]:
        return await asyncio.gather(*(channel.send(stage.parcel()) for _ in range(16)))

    assert {outcome.state for outcome in stage.run(storm)} == {"sent"}
    assert {outcome.state for outcome in stage.run(storm)} == {"sent"}  # another node on the same store
    assert stage.world.asked["stable_token"] == 1


def test_sixteen_callers_with_a_dead_token_fetch_one_new_token(stage: Stage) -> None:
    stage.person.windows["message"].left = 100
    stage.send()
    stage.world.tokens.clear()

    async def storm(channel: WeChat) -> list[Outcome]:
        return await asyncio.gather(*(channel.send(stage.parcel()) for _ in range(16)))

    assert {outcome.state for outcome in stage.run(storm)} == {"sent"}
    assert stage.world.asked["stable_token"] == 2
    assert len(stage.shown()) == 17


def test_40001_for_ever_ends_after_one_retry_with_an_alarm(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.world.fail("message/custom/send", times=10**6, code=40001)
    assert stage.send() == Outcome("slow", "token_refused", 60.0)
    assert stage.world.asked["message/custom/send"] == 2
    assert stage.world.asked["stable_token"] <= 2
    assert any(record.levelno == logging.ERROR for record in caplog.records)


def test_an_expired_token_is_renewed_once(stage: Stage) -> None:
    stage.send()
    stage.clock.pass_(hours=3)  # the platform's time goes on while ours still believes in the token
    stage.open()
    assert stage.send().state == "sent"
    assert stage.world.asked["stable_token"] == 2


def test_a_short_lived_token_is_not_kept_past_its_life(stage: Stage) -> None:
    stage.world.token_seconds = 345
    assert stage.run(lambda channel: channel.api.token())
    (kept,) = (until for key, (_, until) in stage.house.kept.items() if ":token:" in key)
    import time

    assert 200 < kept - time.monotonic() < 345


POSTER = {"text": "你的海报", "picture": {"name": "p.png", "alt": "邀请码 A1"}}


def test_a_picture_is_uploaded_once_and_follows_its_words(stage: Stage) -> None:
    stage.house.pictures["p.png"] = (picture(), "image/png")
    assert stage.send(POSTER, delivery=1).state == "sent"
    assert stage.send(POSTER, delivery=2).state == "sent"
    kinds = [kind for kind, _ in stage.shown()]
    assert kinds == ["text", "image", "text", "image"]
    assert stage.world.asked["media/upload"] == 1
    stage.house.pictures["p.png"] = (picture(9), "image/png")  # a new revision, another picture under the same name
    stage.open()
    assert stage.send(POSTER, delivery=3).state == "sent"
    assert stage.world.asked["media/upload"] == 2


def test_a_forgotten_picture_is_uploaded_again(stage: Stage) -> None:
    stage.house.pictures["p.png"] = (picture(), "image/png")
    stage.send(POSTER)
    stage.clock.pass_(days=3, seconds=1)
    stage.open()
    assert stage.send(POSTER, heard_at=stage.clock()).state == "sent"
    assert stage.world.asked["media/upload"] == 2


@pytest.mark.parametrize(
    "file",
    [None, (b"x" * (2 * 1024 * 1024 + 1), "image/png"), (b"<svg/>", "image/svg+xml"), (b"not a png", "image/png")],
)
def test_a_picture_that_cannot_be_shown_is_told_in_words(stage: Stage, file: tuple[bytes, str] | None) -> None:
    if file:
        stage.house.pictures["p.png"] = file
    assert stage.send(POSTER).state == "sent"
    assert stage.shown() == [("text", "你的海报"), ("text", "〔邀请码 A1〕")]


def test_an_interrupted_message_goes_on_where_it_ended(stage: Stage) -> None:
    stage.house.pictures["p.png"] = (picture(), "image/png")
    stage.world.fail("media/upload", status=503)
    assert stage.send(POSTER) == Outcome("retry", "no_connection", 5.0)
    assert stage.send(POSTER).state == "sent"
    assert [kind for kind, _ in stage.shown()] == ["text", "image"]


def test_what_the_passive_reply_said_is_not_said_again(stage: Stage) -> None:
    long = "字" * 683
    asyncio.run(stage.house.keep("wechat:main:said:7", {"pieces": 1}, 60))
    assert stage.send({"text": long}).state == "sent"
    assert stage.shown() == [("text", "字")]


def test_no_secret_in_any_log_or_exception(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    stage.house.pictures["p.png"] = (picture(), "image/png")
    stage.send(POSTER)
    for how in ({"code": 40001}, {"status": 500}, {"drop": True}, {"code": 48004}):
        stage.world.fail("message/custom/send", times=2, **how)
        stage.send()

    async def refused(channel: WeChat) -> str:
        stage.world.fail("menu/get", drop=True)
        with pytest.raises(Fault) as caught:
            await current_menu(channel.api)
        seen, chain = "", caught.value
        while chain is not None:
            seen += repr(chain) + str(chain) + repr(vars(chain))
            chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
        return seen

    seen = stage.run(refused) + caplog.text
    assert "message/custom/send" in seen
    for secret in (SECRET, *(token.value for token in stage.world.tokens)):
        assert secret not in seen


def menu(*buttons: dict[str, Any]) -> Menu:
    return Menu.model_validate({"buttons": list(buttons)})


def fill(text: str, language: str) -> str:
    return text.replace("{product}", "家庭网" if language == "zh" else "family")


def named(label: str, **target: Any) -> dict[str, Any]:
    return {"label": {"zh": label, "en": "x"}, **target}


CHECKIN = named("签到", says="签到")
CAMPAIGN = named("活动", sub=[named("{product}抽奖", says="抽奖"), named("活动页", url="https://e.com/")])


def test_the_old_menu_is_shown_before_it_is_replaced(stage: Stage) -> None:
    asked: list[tuple[Any, Any]] = []

    def confirm(old: Any, new: Any) -> bool:
        asked.append((old, new))
        return len(asked) > 1

    both, one = menu(CHECKIN, CAMPAIGN), menu(CHECKIN)
    assert stage.run(lambda channel: publish_menu(channel.api, both, "zh", fill, confirm)) is False
    assert stage.world.menu == []
    assert stage.run(lambda channel: publish_menu(channel.api, both, "zh", fill, confirm)) is True
    assert stage.run(lambda channel: publish_menu(channel.api, one, "zh", fill, confirm)) is True
    assert asked[1][0] == []
    assert asked[1][1] == [
        {"type": "click", "name": "签到", "key": "签到"},
        {
            "name": "活动",
            "sub_button": [
                {"type": "click", "name": "家庭网抽奖", "key": "抽奖"},
                {"type": "view", "name": "活动页", "url": "https://e.com/"},
            ],
        },
    ]
    assert asked[2] == (asked[1][1], asked[1][1][:1])
    assert stage.world.menu == asked[2][1]


@pytest.mark.parametrize("button", [named("………………", says="x"), named("a", url="https://e.com/" + "字" * 400)])
def test_a_menu_beyond_the_limits_is_refused_before_asking(stage: Stage, button: dict[str, Any]) -> None:
    with pytest.raises(MenuRefused, match="/"):
        stage.run(lambda channel: publish_menu(channel.api, menu(button), "zh", fill, lambda old, new: True))
    assert not stage.world.asked


def test_all_followers_are_fetched_and_described(stage: Stage) -> None:
    stage.world.page_size = 100
    people: list[Person] = [stage.world.person() for _ in range(250)]
    for person in people:
        person.since, person.scene, person.language = stage.clock(), "r_A1", "en"
    people[0].since = None

    async def fetch(channel: WeChat) -> Any:
        pages = [page async for page in iter_followers(channel.api)]
        later = [page async for page in iter_followers(channel.api, after=pages[0].after)]
        return pages, later, await user_info(channel.api, [person.openid for person in people])

    pages, later, infos = stage.run(fetch)
    assert sorted(openid for page in pages for openid in page.openids) == sorted(
        person.openid for person in stage.world.people.values() if person.since
    )
    assert {page.total for page in pages} == {250}
    assert [page.openids for page in later] == [page.openids for page in pages[1:]]
    assert [info.openid for info in infos] == [person.openid for person in people]
    assert (infos[0].follows, infos[1].follows) == (False, True)
    assert (infos[1].language, infos[1].since, infos[1].scene) == ("en", stage.clock(), "r_A1")
    assert stage.world.asked["user/info/batchget"] == 3
