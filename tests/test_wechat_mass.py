"""Mass sends against the played platform over real HTTP: one request for many, counted once by our key."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from bot.channels import MassOutcome, Outcome
from bot.channels.wechat import WeChat
from bot.played.wechat import PlayedWeChat, mass
from tests.wechat_house import Clock, House, settings

HELLO = {"text": "周五见\n回复“退订”不再接收"}
SEND = "message/mass/send"


class Stage:
    """A channel, its platform and some followers."""

    def __init__(self, world: PlayedWeChat, clock: Clock, people: int = 3) -> None:
        self.world, self.clock, self.house = world, clock, House(clock)
        self.people = [world.person() for _ in range(people)]
        for person in self.people:
            person.since = clock()

    def run(self, act: Callable[[WeChat], Awaitable[Any]], **changed: Any) -> Any:
        async def all_of_it() -> Any:
            channel = WeChat("main", settings(api_url=self.world.url, **changed), self.house)
            try:
                return await act(channel)
            finally:
                await channel.close()

        return asyncio.run(all_of_it())

    def send(self, message: dict[str, Any] = HELLO, key: str = "koukou-1", **changed: Any) -> MassOutcome:
        addresses = [person.openid for person in self.people]
        outcome: MassOutcome = self.run(lambda channel: channel.mass_send(addresses, message, key), **changed)
        return outcome

    def got(self) -> list[list[tuple[str, str]]]:
        return [[(one.kind, one.content) for one in person.received] for person in self.people]


@pytest.fixture
def stage() -> Iterator[Stage]:
    clock = Clock()
    with PlayedWeChat(clock=clock) as world:
        yield Stage(world, clock)


def test_a_text_reaches_each_once_however_often_it_is_sent(stage: Stage) -> None:
    first = stage.send()
    again = stage.send()
    assert (first.state, again.state, again.reason) == ("sent", "sent", "sent_before")
    assert first.platform == again.platform != ""
    assert stage.got() == [[("text", HELLO["text"])]] * 3
    assert stage.send(key="koukou-2").platform != first.platform
    assert [len(got) for got in stage.got()] == [2, 2, 2]


@pytest.mark.parametrize(
    "trouble",
    [{"drop": True, "accept": True}, {"status": 502, "accept": True}, {"status": 502}, {"code": -1}],
    ids=["lost answer", "502 after accepting", "502", "busy"],
)
def test_doubt_is_repeated_under_the_same_key(stage: Stage, trouble: dict[str, Any]) -> None:
    stage.world.fail(SEND, **trouble)
    assert stage.send().state == "doubtful"
    assert stage.send().state == "sent"
    assert stage.got() == [[("text", HELLO["text"])]] * 3


@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [(45009, "slow", "day_quota"), (45011, "slow", "minute_quota"), (48001, "refused", "no_capability")],
)
def test_the_platforms_refusals_have_their_class(stage: Stage, code: int, state: str, reason: str) -> None:
    stage.world.fail(SEND, code=code)
    ended = stage.send()
    assert (ended.state, ended.reason) == (state, reason)
    assert stage.got() == [[]] * 3


def test_a_stale_token_is_renewed_and_nobody_gets_it_twice(stage: Stage) -> None:
    stage.world.fail(SEND, code=40001)
    assert stage.send().state == "sent"
    assert stage.got() == [[("text", HELLO["text"])]] * 3


def test_only_a_verified_service_account_may(stage: Stage) -> None:
    for kind, verified in (("service", False), ("subscription", True)):
        ways = stage.run(lambda channel: channel.ways(), kind=kind, verified=verified)
        assert "mass" not in ways
    assert stage.run(lambda channel: channel.ways()) == {"service", "mass"}
    stage.world.kind = "subscription"
    assert stage.send().reason == "no_capability"
    assert "mass" not in stage.run(lambda channel: channel.ways())  # remembered for all nodes


def test_one_alone_is_refused_before_any_request(stage: Stage) -> None:
    del stage.people[1:]
    assert stage.send() == MassOutcome("refused", "too_few")
    assert stage.world.asked[SEND] == 0


@pytest.mark.parametrize("code", [45009, 45011, 48004, 40164])
def test_what_was_certainly_not_taken_may_wait_for_days(stage: Stage, code: int) -> None:
    stage.world.fail(SEND, code=code)
    assert stage.send().state == "slow"
    stage.clock.pass_(days=2)
    assert stage.send().state == "sent"
    assert stage.got() == [[("text", HELLO["text"])]] * 3


def test_a_day_quota_used_up_is_waited_for(stage: Stage) -> None:
    stage.world.day_quotas[SEND] = 1
    assert stage.send().state == "sent"
    ended = stage.send(key="koukou-2")
    assert (ended.state, ended.reason) == ("slow", "day_quota")
    stage.clock.pass_(seconds=ended.wait)
    assert stage.send(key="koukou-2").state == "sent"
    assert [len(got) for got in stage.got()] == [2, 2, 2]


def test_a_key_asked_about_too_soon_is_asked_about_later(stage: Stage) -> None:
    stage.world.key_rest_seconds = 60
    stage.world.fail(SEND, drop=True, accept=True)
    assert stage.send().state == "doubtful"
    again = stage.send()
    assert (again.state, again.reason) == ("retry", "asked_too_soon")
    stage.clock.pass_(seconds=again.wait)
    ended = stage.send()
    assert (ended.state, ended.platform) == ("sent", str(next(iter(stage.world.masses))))
    assert stage.got() == [[("text", HELLO["text"])]] * 3


def test_a_token_refused_for_ever_pauses_the_account(stage: Stage) -> None:
    stage.world.fail(SEND, times=10**6, code=40001)
    assert stage.send() == MassOutcome("slow", "token_refused", 60.0)
    assert stage.world.asked[SEND] == 2


def test_a_stranger_in_the_list_harms_nobody_else(stage: Stage) -> None:
    stage.people[1].openid = "oNobodyAtAll"
    ended = stage.send()
    assert ended.state == "sent"
    assert stage.world.masses[int(ended.platform)].counts()["SentCount"] == 2
    stage.world.strict_openids = True  # no page says which of the two it does
    assert stage.send(key="koukou-2") == MassOutcome("failed", "bad_list")
    assert [len(got) for got in stage.got()] == [1, 0, 1]


def test_a_name_that_stands_twice_is_said_once(stage: Stage) -> None:
    stage.people.append(stage.people[0])
    ended = stage.send()
    assert stage.world.masses[int(ended.platform)].asked == 3


def test_too_many_or_too_long_a_key_is_our_own_fault(stage: Stage) -> None:
    with pytest.raises(ValueError, match="65 bytes"):
        stage.send(key="k" * 65)
    with pytest.raises(ValueError, match="10001 people"):
        stage.run(lambda channel: channel.mass_send([f"o{n}" for n in range(10_001)], HELLO, "k"))
    assert stage.world.asked[SEND] == 0


@pytest.mark.parametrize(("message", "reason"), [({"text": "字" * 683}, "too_long"), ({"text": ""}, "empty")])
def test_what_no_message_holds_fails_before_any_request(stage: Stage, message: dict[str, Any], reason: str) -> None:
    assert stage.send(message) == MassOutcome("failed", reason)
    assert stage.world.asked[SEND] == 0


POSTER = "campaign:opening:zh:1"
PICTURE = {"picture": {"name": POSTER, "alt": "家庭网"}}


def with_poster(stage: Stage, kind: str = "JPEG") -> None:
    drawn = io.BytesIO()
    Image.new("RGB", (75, 133), "#2255aa").save(drawn, kind)
    stage.house.pictures[POSTER] = drawn.getvalue(), f"image/{kind.lower()}"


def test_a_picture_with_words_becomes_an_article(stage: Stage) -> None:
    with_poster(stage)
    message = HELLO | PICTURE
    assert stage.run(lambda channel: channel.mass_preview(stage.people[0].openid, message)) == Outcome("sent")
    (draft,) = stage.world.drafts.values()
    (inside,) = stage.world.inline
    assert draft["content"] == f'<p><img src="{inside}"/></p><p>周五见</p><p>回复“退订”不再接收</p>'
    assert stage.send(message).state == "sent"
    assert stage.send(message, key="koukou-2").state == "sent"
    assert stage.got()[1:] == [[("mpnews", "周五见")] * 2] * 2
    assert stage.world.asked["material/add_material"] == stage.world.asked["media/uploadimg"] == 1
    assert stage.world.asked["draft/add"] == 3  # a draft that was sent is gone, so each send has its own
    stage.house.pictures.clear()
    assert stage.send(message, key="koukou-3").state == "sent"  # no such picture any more: the words alone
    assert stage.got()[0][-1] == ("text", HELLO["text"])


@pytest.mark.parametrize("content_first", [False, True])
@pytest.mark.parametrize("accept", [False, True])
def test_an_article_in_doubt_is_repeated_with_its_draft(stage: Stage, content_first: bool, accept: bool) -> None:
    with_poster(stage)
    stage.world.content_first = content_first
    stage.world.fail(SEND, drop=True, accept=accept)
    assert stage.send(HELLO | PICTURE).state == "doubtful"
    ended = stage.send(HELLO | PICTURE)
    assert (ended.state, ended.platform) == ("sent", str(next(iter(stage.world.masses))))
    assert stage.got() == [[("mpnews", "周五见")]] * 3


def test_an_article_is_written_as_it_is_given(stage: Stage) -> None:
    with_poster(stage)
    article = {"title": "家庭网<三月>", "text": "第一段 <b>\n\n第二段", "author": "小店", "link": "https://e.com/a"}
    message = PICTURE | {"text": "", "article": article}
    stage.run(lambda channel: channel.mass_preview(stage.people[0].openid, message))
    (draft,) = stage.world.drafts.values()
    (inside,) = stage.world.inline
    assert draft["content"] == f'<p><img src="{inside}"/></p><p>第一段 &lt;b&gt;</p><p>第二段</p>'
    assert (draft["title"], draft["author"], draft["content_source_url"]) == ("家庭网<三月>", "小店", "https://e.com/a")
    assert stage.send(message).state == "sent"
    stage.house.pictures.clear()  # an article without a cover cannot be: it is said in words
    assert stage.send(message, key="koukou-2").state == "sent"
    assert stage.got()[0][1:] == [
        ("mpnews", "家庭网<三月>"),
        ("text", "家庭网<三月>\n\n第一段 <b>\n\n第二段\n\nhttps://e.com/a"),
    ]


def test_a_picture_alone_is_uploaded_once_and_shared(stage: Stage) -> None:
    with_poster(stage, "PNG")
    alone = PICTURE | {"text": ""}
    assert stage.send(alone).state == stage.send(alone, key="koukou-2").state == "sent"
    assert [[kind for kind, _ in got] for got in stage.got()] == [["image", "image"]] * 3
    assert stage.world.asked["media/upload"] == 1
    stage.clock.pass_(days=3, seconds=1)  # the platform forgot it, and we did not know
    assert stage.send(alone, key="koukou-3").state == "sent"
    assert stage.world.asked["media/upload"] == 2


def test_an_account_without_articles_says_it_in_words(stage: Stage) -> None:
    with_poster(stage)
    stage.world.fail("material/add_material", code=48001)
    assert stage.send(HELLO | PICTURE).state == "sent"
    assert stage.send(HELLO | PICTURE, key="koukou-2").state == "sent"
    assert stage.got() == [[("text", HELLO["text"])] * 2] * 3
    assert stage.world.asked["material/add_material"] == 1
    assert "mass" in stage.run(lambda channel: channel.ways())


@pytest.mark.parametrize("path", ["draft/add", "media/uploadimg", "material/add_material"])
def test_a_fault_before_the_request_is_no_doubt(stage: Stage, path: str) -> None:
    with_poster(stage)
    stage.world.fail(path, drop=True)
    assert stage.send(HELLO | PICTURE).state == "retry"
    assert stage.got() == [[]] * 3
    stage.clock.pass_(days=2)
    assert stage.send(HELLO | PICTURE).state == "sent"


def test_a_tag_or_everybody_where_consent_cannot_differ(stage: Stage) -> None:
    stage.world.tags[100] = "老客户"
    stage.people[0].tags.add(100)

    def send(tag: int | None, key: str) -> MassOutcome:
        return stage.run(lambda channel: channel.mass_send_by_tag(tag, HELLO, key), kind="subscription")

    stage.world.kind = "subscription"
    assert send(100, "a").state == send(100, "a").state == "sent"
    assert send(None, "b") == MassOutcome("refused", "mass_quota")  # one a day
    stage.clock.pass_(days=1)
    assert send(7, "c") == MassOutcome("failed", "bad_tag")
    assert send(None, "d").state == "sent"
    assert [len(got) for got in stage.got()] == [2, 1, 1]
    unverified = stage.run(lambda channel: channel.mass_send_by_tag(None, HELLO, "e"), verified=False)
    assert unverified == MassOutcome("refused", "no_capability")


def test_how_a_send_stands_can_be_asked(stage: Stage) -> None:
    stage.world.mass_seconds = 600
    number = stage.send().platform
    assert stage.run(lambda channel: channel.mass_status(number)) == "sending"
    stage.clock.pass_(minutes=10)
    assert stage.run(lambda channel: channel.mass_status(number)) == "send_success"


def test_four_a_month_and_those_who_left_are_filtered_by_the_platform(stage: Stage) -> None:
    for number in range(4):
        stage.send(key=f"koukou-{number}")
    stage.people[0].since = None
    ended = stage.send(key="koukou-5")
    assert ended.state == "sent"
    assert stage.world.masses[int(ended.platform)].reached == []
    assert [len(got) for got in stage.got()] == [4, 4, 4]
    assert mass.A_MONTH == 4
