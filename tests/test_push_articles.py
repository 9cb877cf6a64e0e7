"""Pushes that are articles: what may be in one, how each channel gets it, and the shape WeChat is sent."""

from __future__ import annotations

from typing import Any

import pytest

from bot.wechat.articles import _article
from campaigns import running, words
from content import articles
from content import pushes as saying
from content.bundle import Bundle
from content.faults import PlanFaults
from content.library import Library
from tests.plan_editing import shipped_files
from tests.push_house import CONTENT, MORNING, crowd, push_house
from tests.talking import SHIPPED, run

BODY = "开头一段\n同一段 <b>的</b>第二行\n\n## 怎么参加\n- **签到** 得 {checkin_points} 分\n- 答题\n结尾"
WRITTEN = {
    "title": {"zh": "{product}开始啦 <1>", "en": "{product} begins"},
    "digest": {"zh": "一句话", "en": ""},
    "body": {"zh": BODY, "en": "One paragraph."},
    "author": "宣传组",
}
ARTICLE = {**CONTENT, "kind": "article", "poster": "opening", "article": WRITTEN}
FILES = dict(shipped_files())
MARKUP = (
    "<p>开头一段<br/>同一段 &lt;b&gt;的&lt;/b&gt;第二行</p><h2>怎么参加</h2>"
    "<ul><li><strong>签到</strong> 得 5 分</li><li>答题</li></ul><p>结尾</p>"
)


def library(address: str = "https://shop.example.com") -> Library:
    return Library(Bundle.read(SHIPPED), 1, words(), address)


def changed(**parts: Any) -> dict[str, Any]:
    return {**ARTICLE, "article": {**WRITTEN, **parts}}


def test_the_marks_of_a_body_become_markup_and_nothing_else_does() -> None:
    assert articles.html(BODY.replace("{checkin_points}", "5")) == MARKUP
    assert articles.html("## 一\n## 二\n-三\n**四") == "<h2>一</h2><h2>二</h2><p>-三<br/>**四</p>"
    assert articles.html("<script>alert(1)</script>") == "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"
    assert articles.plain("## 一\n- **二**\n三") == "一\n· 二\n三"
    assert articles.html("") == ""


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("周五见\n来签到", "周五见"),
        ("题" * 32, "题" * 32),
        ("题" * 33, "题" * 31 + "…"),
        ("早 " + "题" * 40, "早 " + "题" * 29 + "…"),
        ("Check in: points for the whole family.", "Check in: points for the whole…"),
        ("Check in and get points for all of the family.", "Check in and get points for all…"),
    ],
)
def test_a_text_without_a_title_gets_its_first_line_cut_between_words(text: str, title: str) -> None:
    assert articles.headline(text) == title and len(title) <= articles.HEADLINE_MOST


def test_each_channel_gets_it_as_it_can() -> None:
    tapped, typed = saying.both(ARTICLE, library(), 1, "zh")
    assert tapped["text"] == "家庭网开始啦 <1>\n\n周五见" and tapped["picture"]["name"] == "campaign:opening:zh:1"
    assert [one.get("url") or one["say"] for one in tapped["choices"]] == ["https://shop.example.com", "签到", "退订"]
    leaving = "回复“签到”试试\n回复“退订”不再接收活动消息"
    assert typed["text"] == f"家庭网开始啦 <1>\n\n周五见\n{leaving}\n\nhttps://shop.example.com"
    sent = _article(typed, "cover", "https://mmbiz.example.com/inside")
    below = "".join(f"<p>{line}</p>" for line in leaving.splitlines())
    assert sent == {
        **{"title": "家庭网开始啦 <1>", "digest": "一句话", "author": "宣传组", "thumb_media_id": "cover"},
        **{"content": f'<p><img src="https://mmbiz.example.com/inside"/></p>{MARKUP}{below}', "need_open_comment": 0},
        "content_source_url": "https://shop.example.com",
    }
    english = saying.both(ARTICLE, library(), 1, "en")[1]["article"]
    assert english["digest"] == "One paragraph."  # without one of its own, the first of the body
    assert saying.post({**ARTICLE, "channels": ["@a"]}, library(), 1)["choices"] == [
        {"label": "阅读全文", "url": "https://shop.example.com"},
        {"label": "签到", "scene": "w_checkin"},
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (ARTICLE, ""),
        (changed(title={"zh": "", "en": "x"}), "no title in zh"),
        (changed(title={"zh": "题" * 65, "en": "x"}), "its title in zh: 64 characters at most"),
        (changed(title={"zh": "题" * 64, "en": "x"}, digest={"zh": "摘" * 120, "en": ""}), ""),
        (changed(digest={"zh": "摘" * 121, "en": ""}), "its digest in zh: 120 at most"),
        (changed(author="人" * 17), "the author has at most 16"),
        (changed(body={"zh": "x"}), "no body in en"),
        (changed(body={"zh": "<" * 5000, "en": "x"}), "too long: 20007 characters as markup"),
        (changed(body={"zh": "{nobody}", "en": "x"}), "nothing fills {nobody} in the article in zh"),
        ({**ARTICLE, "poster": ""}, "an article needs a poster as its cover"),
        ({**ARTICLE, "article": {}}, "no title in zh"),
    ],
)
def test_what_the_platform_would_not_take_is_named(content: dict[str, Any], says: str) -> None:
    found = [en for _, en in saying.faults(content, library())]
    assert bool(found) == bool(says) and (not says or any(says in one for one in found)), found


def planned(**files: bytes) -> Bundle:
    """The shipped plan whose opening is an article."""
    text = FILES["plan.toml"].decode()
    article = (
        'article = { body = "articles/opening", author = "宣传组", title.zh = "开始啦", title.en = "It begins", '
        'digest.zh = "一句话", digest.en = "A word" }'
    )
    text = text.replace('poster = "posters/opening"\n', f'poster = "posters/opening"\n{article}\n', 1)
    return Bundle.of({**FILES, "plan.toml": text.encode(), **files})


BODIES = {"articles/opening.zh.md": BODY.encode(), "articles/opening.en.md": b"In {product}."}


def test_a_plan_keeps_its_articles_in_files() -> None:
    bundle = planned(**BODIES)
    assert [one.said.en for one in bundle.check(running(), words()) if one.severity == "fault"] == []
    house = Library(bundle, 1, words())
    content = saying.of_plan(bundle.plan.social.pushes[0], ("zh", "en"))  # type: ignore[union-attr,index]
    assert (content["kind"], list(saying.faults(content, house))) == ("article", [])
    assert saying.both(content, house, 1, "en")[1]["article"]["html"].startswith("<p>In Family Network.</p>")
    (missing,) = [one for one in planned(**dict([*BODIES.items()][:1])).check(running()) if one.severity == "fault"]
    assert (missing.key, missing.said.en) == (
        "social.pushes[0].article.body", "no such file: articles/opening.en.md"
    )  # fmt: skip
    with pytest.raises(PlanFaults):
        _ = Bundle.of({**FILES, "plan.toml": FILES["plan.toml"].replace(b'kind = "quiz"', b'kind = "article"')}).plan


def test_it_goes_out_by_every_way(database_url: str) -> None:
    async def journey() -> None:
        async with push_house(database_url) as house:
            await crowd(house.talk, wechat=2, telegram=1)
            push = await house.approved(content=ARTICLE)
            house.talk.now = MORNING
            await house.step(2)
            assert await house.counts(push) == {"handed_over": 2, "sent": 1}
            ((_, message, _),) = house.lines["wechat"].mass
            assert message["article"]["title"] == "家庭网开始啦 <1>" and MARKUP in message["article"]["html"]
            assert house.lines["telegram"].sent[0].message["text"].startswith("家庭网开始啦 <1>\n\n周五见")

    run(journey())
