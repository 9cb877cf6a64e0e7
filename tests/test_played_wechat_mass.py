"""The played platform's mass sends, articles, tags and notices against an independent client (wechatpy's own)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from bot.played.wechat import Person, PlayedWeChat
from tests.test_played_wechat import client, code_of
from tests.wechat_house import Clock

KEY = {"client_msg_id": "push-1"}


@pytest.fixture
def world() -> Iterator[PlayedWeChat]:
    with PlayedWeChat(clock=Clock()) as played:
        yield played


def followers(world: PlayedWeChat, count: int) -> list[Person]:
    people = [world.person() for _ in range(count)]
    for person in people:
        person.since = world.clock()
    return people


def names(people: list[Person]) -> list[str]:
    return [person.openid for person in people]


def pass_(world: PlayedWeChat, **time: float) -> None:
    world.clock.pass_(**time)  # type: ignore[attr-defined]


def drawn(kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), "#2255aa").save(out, kind)
    return out.getvalue()


def refusal(call: Any) -> dict[str, Any]:
    """What a refused call answered, code and all."""
    from wechatpy.exceptions import WeChatClientException

    with pytest.raises(WeChatClientException) as refused:
        call()
    answer: dict[str, Any] = refused.value.response.json()
    return answer


def test_a_list_is_reached_once_under_one_key(world: PlayedWeChat) -> None:
    wechat, people = client(world), followers(world, 3)
    first = wechat.message.send_mass_text(names(people), "周五见", client_msg_id="push-1")
    assert first["errcode"] == 0 and first["msg_id"]
    again = refusal(lambda: wechat.message.send_mass_text(names(people), "周五见", client_msg_id="push-1"))
    assert (again["errcode"], again["msg_id"]) == (45065, first["msg_id"])
    assert [[(r.how, r.kind, r.content) for r in p.received] for p in people] == [[("mass", "text", "周五见")]] * 3
    pass_(world, hours=24)  # the platform looks back a day, no further
    wechat.fetch_access_token()
    assert wechat.message.send_mass_text(names(people), "周五见", client_msg_id="push-1")["errcode"] == 0
    assert {len(person.received) for person in people} == {2}


def test_a_key_asked_about_too_soon_says_so(world: PlayedWeChat) -> None:
    world.key_rest_seconds = 60
    wechat, people = client(world), followers(world, 2)

    def send() -> int:
        return code_of(lambda: wechat.message.send_mass_text(names(people), "x", client_msg_id="push-1"))

    assert [send(), send()] == [0, 45066]
    pass_(world, seconds=61)
    assert send() == 45065
    assert {len(person.received) for person in people} == {1}


@pytest.mark.parametrize(("count", "code"), [(1, 40032), (2, 0), (10_000, 0), (10_001, 40032)])
def test_how_many_may_be_in_a_list(world: PlayedWeChat, count: int, code: int) -> None:
    openids = [f"o{number:027d}" for number in range(count)]
    for openid in openids:
        world.person(openid).since = world.clock()
    assert code_of(lambda: client(world).message.send_mass_text(openids, "x")) == code
    assert sum(len(person.received) for person in world.people.values()) == (0 if code else count)


def test_who_does_not_follow_or_had_four_this_month_is_filtered(world: PlayedWeChat) -> None:
    wechat, people = client(world), followers(world, 4)
    gone, refuses, broken, fine = people
    gone.since, refuses.refuses_messages, broken.unreachable = None, True, True
    openids = [*names(people), "oNobodyAtAll"]
    answer = wechat.message.send_mass_text(openids, "1")
    assert world.masses[answer["msg_id"]].counts() == {
        **{"TotalCount": 3, "FilterCount": 2, "SentCount": 1, "ErrorCount": 1}
    }
    refuses.refuses_messages = broken.unreachable = False
    for number in range(2, 6):
        answer = wechat.message.send_mass_text(openids, str(number))
    assert [len(person.received) for person in people] == [0, 4, 4, 4]
    assert world.masses[answer["msg_id"]].reached == [refuses.openid, broken.openid]
    pass_(world, days=31)  # by the calendar's month, in China
    wechat.fetch_access_token()
    wechat.message.send_mass_text(openids, "6")
    assert [received.content for received in fine.received] == ["1", "2", "3", "4", "6"]


def test_a_list_with_a_stranger_may_be_refused_whole(world: PlayedWeChat) -> None:
    world.strict_openids = True
    people = followers(world, 2)
    assert code_of(lambda: client(world).message.send_mass_text([*names(people), "oNobody"], "x")) == 40003
    assert not people[0].received


def test_what_a_mass_send_will_not_take(world: PlayedWeChat) -> None:
    wechat, openids = client(world), names(followers(world, 2))
    send = wechat.message.send_mass_text
    assert code_of(lambda: send(openids, "")) == 44004
    assert code_of(lambda: send(openids, "字" * 683)) == 45002
    assert code_of(lambda: send(openids, "x", client_msg_id="k" * 65)) == 45067
    assert code_of(lambda: wechat.message.send_mass_image(openids, "nothing")) == 40007
    assert code_of(lambda: wechat.message.send_mass_article(openids, "nothing")) == 40007
    assert code_of(lambda: wechat.message.send_mass_voice(openids, "nothing")) == 40008


def test_quotas_of_the_day_and_the_minute(world: PlayedWeChat) -> None:
    wechat, openids = client(world), names(followers(world, 2))

    def send() -> int:
        return code_of(lambda: wechat.message.send_mass_text(openids, "x"))

    assert [send() for _ in range(61)] == [0] * 60 + [45011]
    pass_(world, minutes=1)
    assert [send() for _ in range(41)] == [0] * 40 + [45009]


def test_each_kind_of_account_may_do_its_own(world: PlayedWeChat) -> None:
    wechat, people = client(world), followers(world, 2)
    to_all = {"filter": {"is_to_all": True}, "msgtype": "text", "text": {"content": "周五见"}}

    def codes() -> list[int]:
        return [
            code_of(lambda: wechat.message.send_mass_text(names(people), "x")),
            code_of(lambda: wechat.post("message/mass/sendall", data=to_all)),
            code_of(lambda: wechat.message.send_subscribe_message(people[0].openid, "T", {})),
            code_of(lambda: wechat.message.send_template(people[0].openid, "T", {})),
        ]

    assert codes() == [0, 0, 40037, 40037]
    world.masses.clear()
    world.kind = "subscription"
    assert codes() == [48001, 0, 48001, 48001]
    assert codes()[1] == 45028  # one success a day
    pass_(world, days=1)
    wechat.fetch_access_token()
    assert codes()[1] == 0
    world.verified = False
    assert codes() == [48001] * 4
    world.kind = "service"
    assert codes() == [48001] * 4


def test_a_tag_is_made_filled_and_sent_to(world: PlayedWeChat) -> None:
    wechat, people = client(world), followers(world, 60)
    tag = wechat.tag.create("老客户")["id"]
    assert code_of(lambda: wechat.tag.create("老客户")) == 45157
    assert code_of(lambda: wechat.tag.create("字" * 11)) == 45158
    assert code_of(lambda: wechat.tag.tag_user(tag, names(people))) == 40032  # fifty at once
    wechat.tag.tag_user(tag, names(people[:50]))
    assert wechat.tag.get() == [{"id": tag, "name": "老客户", "count": 50}]
    body = {"filter": {"is_to_all": False, "tag_id": tag}, "msgtype": "text", "text": {"content": "x"}}
    wechat.post("message/mass/sendall", data=body)
    assert [len(person.received) for person in people] == [1] * 50 + [0] * 10
    body["filter"]["tag_id"] = 7  # type: ignore[index]
    assert code_of(lambda: wechat.post("message/mass/sendall", data=body)) == 45159


def test_an_article_is_drafted_shown_sent_and_taken_away(world: PlayedWeChat) -> None:
    wechat, people = client(world), followers(world, 2)
    cover = wechat.material.add("image", ("cover.png", io.BytesIO(drawn()), "image/png"))["media_id"]
    inside = wechat.post("media/uploadimg", files={"media": ("a.jpg", io.BytesIO(drawn("JPEG")), "image/jpeg")})["url"]
    content = f'<p><img src="{inside}"/></p><p><img src="https://elsewhere.example/a.png"/>周五见</p>'
    article = {"title": "周五见", "content": content, "thumb_media_id": cover}
    draft = wechat.post("draft/add", data={"articles": [article]})["media_id"]
    assert world.drafts[draft]["content"] == f'<p><img src="{inside}"/></p><p>周五见</p>'
    wechat.message.send_mass_article(people[0].openid, draft, preview=True)
    sent = wechat.message.send_mass_article(names(people), draft)
    assert sent["msg_data_id"]
    assert [(r.how, r.content) for r in people[0].received] == [("preview", "周五见"), ("mass", "周五见")]
    assert code_of(lambda: wechat.message.send_mass_article(names(people), draft)) == 40007  # no draft any more
    assert wechat.message.get_mass(sent["msg_id"])["msg_status"] == "SEND_SUCCESS"
    wechat.message.delete_mass(sent["msg_id"])
    assert wechat.message.get_mass(sent["msg_id"])["msg_status"] == "DELETE"
    assert code_of(lambda: wechat.message.get_mass(1)) == 40059
    for wrong, code in (
        ({"title": ""}, 44003),
        ({"title": "字" * 65}, 45003),
        ({"digest": "字" * 129}, 45004),
        ({"content": "字" * 20_000}, 45002),
        ({"thumb_media_id": "nothing"}, 40007),
    ):
        assert code_of(lambda wrong=wrong: wechat.post("draft/add", data={"articles": [article | wrong]})) == code
    bad = {"media": ("a.gif", io.BytesIO(b"GIF89a"), "image/gif")}
    assert code_of(lambda: wechat.post("media/uploadimg", files=bad)) == 40005


def test_previews_count_toward_no_month(world: PlayedWeChat) -> None:
    wechat, (person, left) = client(world), followers(world, 2)
    left.since = None
    for _ in range(5):
        wechat.message.send_mass_text(person.openid, "x", preview=True)
    assert code_of(lambda: wechat.message.send_mass_text(left.openid, "x", preview=True)) == 43004
    assert code_of(lambda: wechat.message.send_mass_text("o" + "N" * 27, "x", preview=True)) == 40003
    wechat.message.send_mass_text(names([person, left]), "y")
    assert [received.how for received in person.received] == ["preview"] * 5 + ["mass"]


def test_one_consent_is_one_notice(world: PlayedWeChat) -> None:
    wechat, (person,) = client(world), followers(world, 1)
    world.notices["T1"] = ("thing1", "amount2")
    person.consents["T1"] = 1
    data = {"thing1": {"value": "话费券到账"}, "amount2": {"value": "5元"}}

    def send(template: str = "T1", **changed: Any) -> int:
        fields = {name: {"value": value} for name, value in changed.items()}
        return code_of(lambda: wechat.message.send_subscribe_message(person.openid, template, data | fields))

    assert send("T9") == 40037
    assert send(thing1="字" * 21) == send(thing1="") == send(thing9="x") == 47003
    assert [send(), send()] == [0, 43101]
    assert [(r.how, r.kind, r.content) for r in person.received] == [("notice", "T1", "thing1=话费券到账\namount2=5元")]


def test_a_template_message_goes_to_followers_alone(world: PlayedWeChat) -> None:
    wechat, (person, left) = client(world), followers(world, 2)
    left.since = None
    world.templates["T1"] = ("first",)
    send = wechat.message.send_template
    assert send(person.openid, "T1", {"first": {"value": "已发货"}})["msgid"]
    assert code_of(lambda: send(left.openid, "T1", {"first": {"value": "x"}})) == 43004
    assert code_of(lambda: send(person.openid, "T1", {"last": {"value": "x"}})) == 47003
    assert [(r.how, r.content) for r in person.received] == [("template", "first=已发货")]


def test_a_lost_answer_hides_a_send_that_was_taken(world: PlayedWeChat) -> None:
    import requests

    wechat, people = client(world), followers(world, 2)
    wechat.fetch_access_token()
    world.fail("message/mass/send", drop=True, accept=True)
    with pytest.raises(requests.ConnectionError):
        wechat.message.send_mass_text(names(people), "x", client_msg_id="push-1")
    assert code_of(lambda: wechat.message.send_mass_text(names(people), "x", client_msg_id="push-1")) == 45065
    assert {len(person.received) for person in people} == {1}
