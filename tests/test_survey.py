"""Taking surveys: in both languages and on every channel, own words beside commands, old answers, points once, one
person on two channels, testers, forgetting, changing plans."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from typing import Any

import pytest

from content.surveys import read_stored
from storage import people, retention
from storage.ledger_check import check
from tests import standing_house
from tests.survey_house import answers, apply, events, plain, plan_with, rows, take
from tests.talking import Talk, run, talking

JOURNEYS: dict[str, tuple[str, list[tuple[str, tuple[str, ...]]]]] = {
    "from the first word to the thanks": (
        "zh",
        [
            ("问卷", ("服务满意度问卷：共 4 题，每人一次", "说明", "答完得 20 积分", "1. 开始答问卷", "2. 菜单")),
            ("1", ("问卷第 1 题，共 4 题", "满意吗", "1 分＝差，5 分＝好", "1. 1 分", "5. 5 分", "!6.")),
            ("4", ("已记下：4 分", "第 2 题", "1. 朋友\n2. 店里\n3. 网上")),
            ("店里", ("已记下：店里", "第 3 题", "最多 20 字", "1. 跳过\n2. 先到这里，回菜单")),
            ("积分太少，签到也少", ("已记下您写的", "!积分太少", "第 4 题", "10. 10 分")),
            ("10", ("已记下：10 分", "多谢", "+20 积分")),
            ("问卷", ("您在 2026-11-22 已经答过了", "!开始")),
            ("服务满意度问卷", ("已经答过了",)),
        ],
    ),
    "from the first word to the thanks, in English": (
        "en",
        [
            ("Survey", ("Service survey: 4 questions, once per person", "Intro", "brings 20 points", "1. Start the s")),
            ("1", ("Survey question 1 of 4", "Content?", "1 = bad, 5 = good", "1. Score 1")),
            ("score  5", ("Noted: Score 5", "question 2 of 4", "3. online")),
            ("1", ("Noted: friends", "question 3 of 4", "at most 20 characters", "1. Skip")),
            ("skip", ("skipped", "question 4 of 4")),
            ("7", ("Noted: Score 7", "Thanks", "+20 points")),
            ("survey service", ("You answered “Service survey” on 2026-11-22",)),
        ],
    ),
    "leaving and coming back": (
        "zh",
        [
            ("服务满意度问卷", ("1. 开始答问卷",)),
            ("1", ("满意吗",)),
            ("签到", ("签到成功",)),
            ("4", ("!已记下",)),
            ("4 分", ("!已记下",)),
            ("问卷", ("接着上次的问卷", "第 1 题", "5. 5 分")),
            ("3分", ("已记下：3 分", "第 2 题")),
            ("2", ("第 3 题",)),
            ("2", ("1. 签到", "!已记下")),
            ("都很好", ("!已记下",)),
            ("问卷", ("接着上次的问卷", "第 3 题", "想说什么")),
            ("都很好", ("已记下您写的", "第 4 题")),
        ],
    ),
    "own words do not swallow what goes before them": (
        "zh",
        [
            ("问卷 service 开始", ("满意吗",)),
            ("1", ("哪里来",)),
            ("1", ("想说什么",)),
            ("帮助", ("您可以直接提问", "!已记下")),
            ("问卷", ("想说什么",)),
            ("/points", ("积分", "!已记下")),
            ("问卷", ("想说什么",)),
            ("问卷", ("接着上次的问卷", "想说什么")),
            ("人工", ("已为您转人工客服", "!已记下")),
            ("问卷", ("想说什么",)),
            ("这句话实在太长了一共超过二十个字所以记不下来", ("有 22 字", "缩短到 20 字", "想说什么")),
            ("签到", ("已记下您写的", "!签到成功", "会推荐吗")),
        ],
    ),
    "skipping by number": (
        "zh",
        [
            ("问卷 service 开始", ("满意吗",)),
            ("1", ("哪里来",)),
            ("1", ("想说什么",)),
            ("1", ("好的，跳过这题", "会推荐吗")),
            ("10", ("多谢",)),
        ],
    ),
    "leaving words win over own words": (
        "zh",
        [
            ("问卷 service 开始", ("满意吗",)),
            ("1", ("哪里来",)),
            ("1", ("想说什么",)),
            ("退订", ("活动消息已经停止", "!已记下")),
        ],
    ),
    "old, early and foreign answers": (
        "zh",
        [
            ("问卷 service 2-1-4", ("1. 开始答问卷",)),
            ("问卷 service 开始", ("满意吗",)),
            ("问卷 service go", ("接着上次的问卷", "满意吗")),
            ("问卷 service 2-2-1", ("还没到第 2 题", "满意吗", "!已记下")),
            ("问卷 service 2-1-0", ("没有这个选项", "满意吗")),
            ("问卷 service 2-1-6", ("没有这个选项", "满意吗")),
            ("6", ("没有这个选项", "满意吗")),
            ("问卷 service 1-1-4", ("另一版问卷", "满意吗", "!已记下")),
            ("问卷 service 2-1-4", ("已记下：4 分", "哪里来")),
            ("问卷 service 2-1-5", ("第 1 题已经答过了", "没有改动", "第 2 题", "哪里来", "!已记下")),
            ("SURVEY service 2-2-3", ("已记下：网上", "想说什么")),
            ("问卷 service 2-1-5", ("第 1 题已经答过了", "想说什么")),
            ("问卷 service 2-3-1", ("没有这个选项", "想说什么")),
            ("很好", ("已记下您写的", "会推荐吗")),
            ("问卷 nosuch", ("!会推荐吗",)),
            ("问卷 service 2-4-1", ("多谢",)),
            ("问卷 service 2-4-9", ("已经答过了", "!多谢")),
            ("问卷 service 开始", ("已经答过了",)),
        ],
    ),
}


@pytest.mark.parametrize("story", JOURNEYS)
def test_journey(story: str, database_url: str) -> None:
    """In one house somebody on each channel goes the same way at once; channels make no difference to a database."""
    language, table = JOURNEYS[story]
    channels = ("wechat", "web", "telegram") if database_url.startswith("sqlite") else ("telegram",)

    async def journey() -> None:
        async with talking(database_url) as talk:
            apply(talk, plan_with(plain()))
            for said, parts in table:
                for channel in channels:
                    answer = await talk.say(said, channel=channel, language=language)
                    for part in parts:
                        shown = _for_guests(part) if channel == "web" else part
                        if part.startswith("!"):
                            assert part[1:] not in answer, (channel, said, answer)
                        else:
                            assert shown in answer, (channel, said, answer)

    run(journey())


def _for_guests(part: str) -> str:
    """A guest's points are held, which the sentences say."""
    return {"+20 积分": "+20 积分（先暂存）", "+20 points": "+20 points (held for now)"}.get(part, part)


def played(url: str, bundle: Any, journey: Any) -> None:
    async def whole() -> None:
        async with talking(url) as talk:
            apply(talk, bundle)
            await journey(talk)
            with talk.store.read() as connection:
                assert not check(connection, talk.vault).problems

    run(whole())


def paid(talk: Talk) -> list[tuple[Any, ...]]:
    return rows(talk, "SELECT amount, reason FROM posting WHERE key LIKE 'survey/%' ORDER BY id")


def test_answers_are_kept_once_and_words_stand_in_their_text_alone(database_url: str) -> None:
    async def journey(talk: Talk) -> None:
        assert "+20 积分" in await take(talk, ["4", "店里", "床前明月光", "9"])
        assert answers(talk) == {"stars": 4, "ten": 9, "where": 2, "words": 1}
        assert paid(talk) == [(20, "survey")] and "答问卷" in await talk.say("积分明细")
        ((heard,),) = rows(talk, "SELECT t.heard FROM survey_answer a JOIN text t ON t.id = a.text")
        assert heard == "床前明月光"
        for table in ("event", "memory", "survey_answer", "survey_taken"):
            assert "明月" not in str(rows(talk, f"SELECT * FROM {table}")), table
        for told in events(talk, "survey_answered"):
            assert set(told) == {"survey", "question", "number", "skipped"}
        assert events(talk, "survey_finished") == [{"survey": "service", "asked": 4, "skipped": 0}]
        with talk.store.read() as connection:
            known = people.export(connection, talk.vault, standing_house.number(talk))["surveys"]
        assert [one["survey"] for one in known] == ["service"] and known[0]["finished_at"] == talk.now
        assert {one["question"]: one.get("words") for one in known[0]["answers"]}["words"] == "床前明月光"
        assert "答过的问卷：1 份" in await talk.say("我的资料")

    played(database_url, plan_with(plain()), journey)


def test_the_same_tap_at_once_counts_once(database_url: str) -> None:
    async def journey(talk: Talk) -> None:
        await talk.say("问卷 service 开始")
        said = await asyncio.gather(*(talk.say(f"问卷 service 2-1-{n}") for n in (4, 4, 1, 5, 2)))
        assert sum("已记下" in one for one in said) == 1
        assert sum("第 1 题已经答过了" in one for one in said) == 4
        kept = answers(talk)
        (first,) = [one for one in said if "已记下" in one]
        assert f"已记下：{kept['stars']} 分" in first and len(kept) == 1

    played(database_url, plan_with(plain()), journey)


def test_words_are_waited_for_an_hour_and_only_while_they_were_asked_for_last(database_url: str) -> None:
    async def journey(talk: Talk) -> None:
        await take(talk, ["1", "1"])
        talk.now += timedelta(minutes=61)
        assert "已记下" not in await talk.say("怎么办理家庭网")
        assert "想说什么" in await talk.say("问卷")
        assert "已记下" not in await talk.say("积分", data={"by": "menu"})  # tapped, not written
        assert "想说什么" in await talk.say("问卷")
        assert "请打字回复" in await talk.say(kind="picture")
        assert "请打字回复" in await talk.say(kind="voice")
        assert "已记下您写的" in await talk.say("说的话", kind="voice")
        assert answers(talk)["words"] == 1

    played(database_url, plan_with(plain()), journey)


def test_a_tapped_button_of_another_message_is_not_taken_for_words(database_url: str) -> None:
    who: dict[str, Any] = {"who": "7001", "channel": "telegram"}

    async def journey(talk: Talk) -> None:
        await take(talk, ["1", "1"], **who)
        assert "签到成功" in await talk.say("签到", data={"message": "12"}, **who)
        assert "words" not in answers(talk)

    played(database_url, plan_with(plain()), journey)


def test_while_staff_hold_the_conversation_nothing_is_taken(database_url: str) -> None:
    async def journey(talk: Talk) -> None:
        await take(talk, ["1", "1"])
        person = standing_house.number(talk)
        held = json.dumps({"state": "held", "since": talk.now.isoformat()})
        with talk.store.begin() as connection:
            connection.exec_driver_sql(
                f"INSERT INTO memory (subscriber, name, data) VALUES ({person}, 'handover', '{held}')"
            )
        assert await talk.say("都好") == ""
        assert "words" not in answers(talk)

    played(database_url, plan_with(plain()), journey)


async def connected(talk: Talk, one: dict[str, str], other: dict[str, str]) -> str:
    """Make two one person: a code asked for by one, typed by the other."""
    found = re.search(r"[2-9A-HJ-NP-Z]{6}", await talk.say("绑定", **one))
    assert found
    return await talk.say(found[0], **other)


WECHAT, TELEGRAM = {"who": "oA", "channel": "wechat"}, {"who": "7001", "channel": "telegram"}


@pytest.mark.parametrize(
    ("older", "younger", "stands"),
    [
        (["5", "1", "甲", "9"], ["1", "2", "乙", "2"], {"stars": 5, "where": 1, "words": 1, "ten": 9}),
        (["5", "1"], ["1", "2", "乙", "2"], {"stars": 1, "where": 2, "words": 1, "ten": 2}),
        (["5", "1"], ["1", "2", "跳过"], {"stars": 5, "where": 1}),
        ([], ["1", "2", "跳过"], {"stars": 1, "where": 2, "words": 0}),
    ],
)
def test_one_person_on_two_channels_takes_it_once(
    older: list[str], younger: list[str], stands: dict[str, int], database_url: str
) -> None:
    async def journey(talk: Talk) -> None:
        await talk.say("你好", **WECHAT)
        if older:
            await take(talk, older, **WECHAT)
        talk.now += timedelta(minutes=1)
        await take(talk, younger, **TELEGRAM)
        assert "绑定成功" in await connected(talk, WECHAT, TELEGRAM)
        assert answers(talk) == stands
        assert len(rows(talk, "SELECT 1 FROM survey_taken")) == 1
        one = standing_house.number(talk, "oA")
        assert set(rows(talk, "SELECT subscriber FROM survey_answer")) == {(one,)}
        again = await talk.say("问卷", **TELEGRAM)
        if len(stands) == 4:
            assert "已经答过了" in again and "您现在有 20 积分" in await talk.say("积分", **WECHAT)
        else:
            assert f"第 {len(stands) + 1} 题" in again
        if len(stands) == 2:  # an old answer of the way that was given up
            assert "还没到第 4 题" in await talk.say("问卷 service 2-4-1", **TELEGRAM)

    played(database_url, plan_with(plain()), journey)


def test_a_testers_answers_are_in_no_result(database_url: str) -> None:
    async def journey(talk: Talk) -> None:
        await talk.say("积分", who="o2")
        standing_house.act(talk, "test", standing_house.number(talk, "o2"))
        assert "多谢" in await take(talk, who="o2")
        assert answers(talk) == {} and rows(talk, "SELECT 1 FROM survey_taken") == []
        standing_house.act(talk, "untest", standing_house.number(talk, "o2"))
        assert "多谢" in await take(talk, who="o2")
        assert len(answers(talk)) == 4

    played(database_url, plan_with(plain()), journey)


def test_who_is_forgotten_takes_their_answers_along_and_cannot_answer_again(database_url: str) -> None:
    async def journey(talk: Talk) -> None:
        await take(talk, who="o1")
        await take(talk, ["1", "1"], who="o2")
        for who in ("o1", "o2"):
            assert "问卷回答会被删除" in await talk.say("忘记我", who=who)
            assert "问卷回答" in await talk.say("确认忘记我", who=who)
        assert answers(talk) == {} and rows(talk, "SELECT 1 FROM survey_taken") == []
        assert "已经答过了" in await talk.say("问卷", who="o1")

    played(database_url, plan_with(plain()), journey)


def test_words_go_with_their_texts_and_all_of_it_when_the_term_is_over(database_url: str) -> None:
    async def journey(talk: Talk) -> None:
        await take(talk, who="o1")
        talk.days(91)
        with talk.store.begin() as connection:
            retention.step(connection, talk.now, 90)
        assert rows(talk, "SELECT t.heard FROM survey_answer a JOIN text t ON t.id = a.text") == [(None,)]
        assert len(answers(talk)) == 4
        await talk.hear(kind="unfollow", who="o1")
        talk.days(talk.library().plan.privacy.parked_days + 1)
        with talk.store.begin() as connection:
            assert retention.step(connection, talk.now, 90)
        assert answers(talk) == {} and rows(talk, "SELECT 1 FROM survey_taken") == []

    played(database_url, plan_with(plain()), journey)


def test_a_survey_goes_on_as_it_began_whatever_becomes_of_the_plan(database_url: str) -> None:
    async def journey(talk: Talk) -> None:
        await take(talk, ["4"])
        apply(talk, plan_with(plain("choice", "rating").replace("哪里来", "新的题"), points=7))
        assert "已记下：网上" in await talk.say("问卷 service 2-2-3")
        gone = dict(plan_with(plain()).files)
        plan = gone["plan.toml"].decode()
        start, end = plan.index("[[social.surveys]]"), plan.index("[social.lottery]")
        gone["plan.toml"] = (plan[:start] + plan[end:]).encode()
        apply(talk, type(plan_with(plain())).of(gone))
        assert "想说什么" in await talk.say("问卷")
        await talk.say("好")
        assert "+20 积分" in await talk.say("3")
        assert "还没有开放" in await talk.say("问卷")
        assert "还没有开放" in await talk.say("问卷", who="another")

    played(database_url, plan_with(plain()), journey)


def test_several_surveys_are_listed(database_url: str) -> None:
    more = (
        '[[social.surveys]]\nid = "second"\nname.zh = "第二份"\nname.en = "The second"\nfile = "surveys/two.toml"\n'
        "points = 0\n"
    )

    async def journey(talk: Talk) -> None:
        assert "1. 服务满意度问卷\n2. 第二份\n3. 菜单" in await talk.say("问卷")
        about = await talk.say("2")
        assert "第二份：共 1 题" in about and "积分" not in about
        assert "1. 1 分" in await talk.say("1")
        done = await talk.say("2")
        assert "多谢" in done and "积分" not in done
        assert "服务满意度问卷：共 4 题" in await talk.say("Service Survey")
        assert paid(talk) == []

    played(database_url, plan_with(plain(), more=more, others={"surveys/two.toml": plain("rating")}), journey)


def test_before_the_campaign_nothing_begins_and_after_it_no_points_come(database_url: str) -> None:
    async def journey(talk: Talk) -> None:
        now = talk.now
        talk.now = talk.library().plan.window.start - timedelta(days=1)
        assert "活动时间是" in await talk.say("问卷 service 开始")
        talk.now = now + timedelta(days=400)
        about = await talk.say("问卷")
        assert "开始答问卷" in about and "答完得" not in about
        assert "这次没有积分" in await take(talk)
        assert paid(talk) == []

    played(database_url, plan_with(plain()), journey)


def test_a_guests_points_wait_and_come_once_they_are_known(database_url: str) -> None:
    guest = {"who": "g1", "channel": "web"}

    async def journey(talk: Talk) -> None:
        await talk.say("你好", **WECHAT)
        assert "先暂存" in await take(talk, **guest)
        assert "共有 20 积分" in await connected(talk, WECHAT, guest)
        assert "已经答过了" in await talk.say("问卷", **WECHAT)

    played(database_url, plan_with(plain()), journey)


def test_buttons_fit_telegram_whatever_the_survey_is_called() -> None:
    from bot.telegram.buttons import DATA_BYTES
    from bot.telegram.buttons import rows as buttons

    longest = f"问卷 {'x' * 40} 999999-50-10"
    assert len(longest.encode()) <= DATA_BYTES
    assert buttons([{"label": "5 分", "say": longest}], "")[0][0].data == longest


def test_the_shipped_survey_can_be_taken_in_both_languages(database_url: str) -> None:
    async def journey(talk: Talk) -> None:
        survey = read_stored(talk.library().files)["service"]
        for language, who in (("zh", "o1"), ("en", "o2")):
            shown = await talk.say("问卷 service 开始", who=who, language=language)
            for question in survey.questions:
                assert question.ask[language] in shown
                shown = await talk.say("还行 fine" if question.kind == "text" else "3", who=who, language=language)
            assert survey.thanks[language] in shown
        assert len(rows(talk, "SELECT 1 FROM survey_answer")) == 2 * len(survey.questions)

    played(database_url, plan_with(plain()).of(plan_with(plain()).files | _shipped()), journey)


def _shipped() -> dict[str, bytes]:
    from tests.plan_editing import shipped_files
    from tests.survey_house import FILE

    return {FILE: shipped_files()[FILE]}
