"""Service notices on both databases: which way each takes, what follows a refusal, and that each is told once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot import metrics
from bot.channels import Outcome
from bot.channels.wechat import WeChat
from bot.config import ConfigFault, load
from bot.notifying import Notifying
from bot.played.sms import PlayedSMS, Trouble
from bot.played.wechat import Person, PlayedWeChat
from bot.schedule import Schedule
from bot.sender import Sender
from bot.settings import NoticeTemplates, SmsSettings
from bot.sms import HttpProvider
from campaigns import notices as rules
from storage import deliveries, notices, people, profiles
from storage.store import machine_now
from tests.push_house import Line
from tests.sealing import PatientSealer as Sealer
from tests.standing_house import act, number
from tests.talking import NOON, Talk, run, talking, told
from tests.wechat_house import Clock, settings
from tests.wechat_house import House as WeChatHouse

FIELDS = {"thing1": "{text}", "number2": "{total}", "date3": "{day}"}
TEMPLATES = {"friend_came": NoticeTemplates(template="S1", template_fields=FIELDS)}
SUBSCRIPTIONS = {"friend_came": NoticeTemplates(subscription="T1", subscription_fields={"thing1": "{text}"})}
CAME = "有一位朋友通过您的推荐码来了"
ANNE, BERT = "oAnne", "oBert"


class WeChatLine(Line):
    """A WeChat account whose window is open or shut, and what each kind of notice comes to."""

    def __init__(self) -> None:
        super().__init__("wechat", {"service"})
        self.window_open, self.notices, self.fates = False, [], {}  # type: ignore[var-annotated]
        self.fate = lambda parcel: Outcome("sent") if self.window_open else Outcome("refused", "window_closed")

    async def _notice(self, way: str, address: str, template: str, fields: Any) -> Outcome:
        self.notices.append((way, address, template, dict(fields)))
        fate: Outcome = self.fates.get(way, Outcome("sent"))
        return fate

    async def template_message(self, address: str, template: str, fields: Any, about: str) -> Outcome:
        assert about == "service"
        return await self._notice("template", address, template, fields)

    async def subscription_notice(self, address: str, template: str, fields: Any) -> Outcome:
        return await self._notice("subscription", address, template, fields)


class House:
    """One node: messages, timers, sender and the settling of notices, each driven by hand."""

    def __init__(self, talk: Talk, templates: Any = None, sms: Any = None, wechat: Any = None) -> None:
        self.talk, self.wechat, self.telegram = talk, wechat or WeChatLine(), Line("telegram", {"bot"})
        lines = [self.wechat, self.telegram, Line("web", {"page"})]
        self.notifying = Notifying(
            *(talk.writer.run, lines, {"wechat:main": templates or {}}, sms, talk.vault),
            *(lambda: talk.writer.library, lambda: talk.now),
        )
        self.sender = Sender(talk.writer.run, lines, lambda: talk.now, "one", further=self.notifying.further)
        self.schedule = Schedule(talk.writer, Sealer(talk.store, talk.vault), "t", lambda: talk.now)

    async def step(self) -> None:
        await self.schedule.timers()
        while await self.sender.step(self.talk.now):
            pass
        await self.notifying.step()

    async def say(self, words: str, who: str = ANNE, **more: Any) -> str:
        """What somebody is answered at once; the answer is read."""
        answer = await self.talk.hear(words, who=who, **more)
        self.talk.writer.settled(answer.deliveries)
        await self.talk.writer.run(lambda connection: None)
        return told(answer)

    async def friend_comes(self, by: str = ANNE, channel: str = "wechat", guest: str = BERT) -> None:
        """Somebody new comes by that person's code, who is then told of it."""
        rows = await self.rows(
            "SELECT s.code FROM subscriber s JOIN identity i ON i.subscriber = s.id "
            f"WHERE i.digest = '{self.talk.vault.digest(channel, 'main', by)}'"
        )
        await self.say("", guest, kind="follow", data={"scene": f"r_{rows[0].code}"})
        await self.step()

    async def rows(self, sql: str) -> list[Any]:
        return await self.talk.writer.run(lambda connection: connection.exec_driver_sql(sql).all())

    async def stand(self) -> list[tuple[str, str]]:
        """Every notice's state and way."""
        return [tuple(row) for row in await self.rows("SELECT state, way FROM notice ORDER BY id")]

    async def consent(self, template: str = "T1", agreed: bool = True, key: str = "") -> None:
        data = {"event": "subscribe_msg_popup_event", "consents": [{"template": template, "agreed": agreed}]}
        await self.talk.hear(who=ANNE, kind="notice", data=data, key=key)

    async def patience(self) -> None:
        def age(connection: Any) -> None:
            past = "UPDATE delivery SET lease_until = lease_until - 1000000000 WHERE lease_until IS NOT NULL"
            connection.exec_driver_sql(past)
            connection.exec_driver_sql("UPDATE rate SET pause_until = 0, second = 0")
            deliveries.reap(connection, machine_now(connection))

        await self.talk.writer.run(age)

    async def join(self) -> None:
        """Anne and 4711 on Telegram are one person from now on."""
        found = re.search("绑定码：([0-9A-Z]{6})", await self.say("绑定", "4711", channel="telegram"))
        assert found and "绑定成功" in await self.say(found[1])

    async def number(self, agreed: bool = True) -> None:
        """Anne gives her number."""
        (row,) = await self.rows("SELECT MIN(id) AS id FROM subscriber")
        profile = {rules.NUMBER: "+8613800000001", rules.NUMBER_AGREED: agreed}
        await self.talk.writer.run(lambda c: profiles.write(c, self.talk.vault, row.id, profile))


@asynccontextmanager
async def house(url: str, templates: Any = None, sms: Any = None, wechat: Any = None) -> AsyncIterator[House]:
    """A house in which Anne came three days ago, so that no window of hers is open."""
    async with talking(url) as talk:
        made = House(talk, templates, sms, wechat)
        talk.now -= timedelta(days=3)
        await made.say("积分")
        talk.now += timedelta(days=3)
        yield made
        await made.sender.close()


def test_an_open_window_is_the_first_way(database_url: str) -> None:
    async def journey() -> None:
        async with house(database_url, TEMPLATES | {}) as one:
            one.wechat.window_open = True
            await one.friend_comes()
            assert [CAME in parcel.message["text"] for parcel in one.wechat.sent] == [True]
            assert not one.wechat.notices and await one.stand() == [("sent", "reply")]
            assert CAME not in await one.say("积分")

    run(journey())


def test_another_place_of_the_person_that_is_open_comes_before_templates(database_url: str) -> None:
    async def journey() -> None:
        async with house(database_url, TEMPLATES) as one:
            await one.join()
            one.talk.days(3)
            await one.step()
            one.telegram.sent.clear()
            await one.friend_comes()
            assert [(parcel.address, CAME in parcel.message["text"]) for parcel in one.telegram.sent] == [
                ("4711", True)
            ]
            assert not one.wechat.notices and ("sent", "reply") in await one.stand()

    run(journey())


def test_a_template_says_what_the_window_did_not(database_url: str) -> None:
    async def journey() -> None:
        async with house(database_url, TEMPLATES) as one:
            await one.friend_comes()
            [(way, address, template, fields)] = one.wechat.notices
            assert (way, address, template, fields["number2"], fields["date3"]) == (
                *("template", ANNE, "S1", "1", "2026-11-22"),
            )
            assert CAME in fields["thing1"] and await one.stand() == [("sent", "template")]
            [identity] = await one.rows(f"SELECT sent_since FROM identity WHERE address = '{ANNE}'")
            assert identity.sent_since == 0  # a template does not count toward the window's five
            assert CAME not in await one.say("积分")

    run(journey())


def test_one_yes_is_one_notice_and_a_no_forgets_them(database_url: str) -> None:
    async def journey() -> None:
        async with house(database_url, SUBSCRIPTIONS) as one:
            for _ in range(3):
                await one.consent(key="wechat:main:popup-1")
            await one.friend_comes()
            await one.friend_comes(guest="oCarl")
            assert [(way, template) for way, _, template, _ in one.wechat.notices] == [("subscription", "T1")]
            assert await one.stand() == [("sent", "subscription"), ("waiting", "")]
            await one.consent()
            await one.consent()
            await one.consent(agreed=False)
            assert not await one.rows("SELECT * FROM notice_consent")

    run(journey())


def test_a_consent_is_free_again_or_forgotten_as_the_platform_says(database_url: str) -> None:
    async def journey() -> None:
        async with house(database_url, SUBSCRIPTIONS) as one:
            await one.consent()
            one.wechat.fates["subscription"] = Outcome("refused", "no_capability")
            await one.friend_comes()
            assert [row.remaining for row in await one.rows("SELECT remaining FROM notice_consent")] == [1]
            one.wechat.fates["subscription"] = Outcome("refused", "consent_refused")
            await one.friend_comes(guest="oCarl")
            assert not await one.rows("SELECT * FROM notice_consent")
            assert await one.stand() == [("waiting", ""), ("waiting", "")]
            assert (await one.say("积分")).count(CAME) == 2

    run(journey())


@pytest.mark.parametrize("fate", [Outcome("doubtful", "no_answer"), Outcome("slow", "day_quota", 60.0)])
def test_doubt_ends_there_and_a_wait_begins_again(database_url: str, fate: Outcome) -> None:
    async def journey() -> None:
        async with house(database_url, TEMPLATES) as one:
            one.wechat.fates["template"] = fate
            await one.friend_comes()
            one.wechat.fates.clear()
            await one.patience()
            await one.step()
            sure = fate.state == "slow"
            assert len(one.wechat.notices) == (2 if sure else 1)
            assert await one.stand() == [("sent" if sure else "doubtful", "template")]
            assert CAME not in await one.say("积分")

    run(journey())


def test_a_reply_in_doubt_leads_to_no_other_way(database_url: str) -> None:
    async def journey() -> None:
        async with house(database_url, TEMPLATES) as one:
            fates = [Outcome("doubtful", "no_answer"), Outcome("refused", "window_closed")]
            one.wechat.fate = lambda parcel: fates.pop(0)
            await one.friend_comes()
            await one.patience()
            await one.step()
            assert not fates and not one.wechat.notices
            assert await one.stand() == [("doubtful", "reply")]
            assert CAME not in await one.say("积分")

    run(journey())


def test_a_node_that_died_on_its_way_tells_nothing_twice(database_url: str) -> None:
    async def journey() -> None:
        async with house(database_url, TEMPLATES) as one:

            async def die(*_: Any) -> Outcome:
                one.wechat.notices.append(("template",))
                raise SystemError  # the request left; what came of it was never written

            send, one.wechat.template_message = one.wechat.template_message, die  # type: ignore[method-assign]
            await one.friend_comes()
            one.wechat.template_message = send  # type: ignore[method-assign]
            await one.patience()
            await one.step()
            assert len(one.wechat.notices) == 1 and await one.stand() == [("doubtful", "template")]

    run(journey())


def test_a_text_message_is_the_way_before_the_last(database_url: str) -> None:
    with PlayedSMS() as phone:
        key = SmsSettings(enabled=True, url=phone.url, signature="口口", key="played-sms-key")  # type: ignore[arg-type]

        async def journey() -> None:
            provider = HttpProvider(key)
            async with house(database_url, sms=provider) as one:
                await one.friend_comes()
                await one.number(agreed=False)
                await one.friend_comes(guest="oCarl")
                assert not phone.sent  # no number, or nobody agreed
                await one.number()
                # Both answers to this one are lost, then the provider is away: repeated by key, it arrives once.
                phone.troubles = [Trouble(2, drop=True, accept=True), Trouble(1, status=503)]
                await one.friend_comes(guest="oDora")
                await one.patience()
                await one.step()
                assert [number for number, _ in phone.sent] == ["+8613800000001"]
                assert phone.sent[0][1].startswith("【口口】好消息：有一位朋友") and phone.asked == 4
                phone.blocked.add("+8613800000001")
                await one.friend_comes(guest="oEmil")
                states = await one.stand()
                assert states == [("waiting", ""), ("waiting", ""), ("sent", "sms"), ("waiting", "")]
                assert (await one.say("积分")).count(CAME) == 3
            await provider.close()

        run(journey())


def test_what_waits_is_told_once_with_the_next_answer(database_url: str) -> None:
    async def journey() -> None:
        async with house(database_url) as one:
            for guest in range(7):
                await one.friend_comes(guest=f"oGuest{guest}")
            assert await one.stand() == [("waiting", "")] * 7
            await one.talk.hear(who=ANNE, kind="view")
            answers = [await one.talk.hear("积分", who=ANNE, key="wechat:main:again") for _ in range(3)]
            assert len({told(answer) for answer in answers}) == 1
            first = told(answers[0])
            assert first.count(CAME) == rules.MOST and "另外，之前没能送到您这里的：\n· 2026-11-22 好消息" in first
            assert (await one.say("积分")).count(CAME) == 2
            assert CAME not in await one.say("积分")
            assert await one.stand() == [("bundled", "bundle")] * 7
            assert [row.owed for row in await one.rows("SELECT owed FROM subscriber WHERE owed")] == []
            english = await one.talk.writer.run(lambda connection: notices.counts(connection))
            assert english == [("friend_came", "bundled", "bundle", 7)]

    run(journey())


def test_two_messages_at_once_tell_it_once(database_url: str) -> None:
    async def journey() -> None:
        async with house(database_url) as one:
            await one.friend_comes()
            answers = await asyncio.gather(*(one.talk.hear("积分", who=ANNE) for _ in range(4)))
            assert sum(told(answer).count(CAME) for answer in answers) == 1

    run(journey())


def test_a_commit_that_fails_tells_nothing_and_the_next_tells_all(database_url: str, monkeypatch: Any) -> None:
    async def journey() -> None:
        async with house(database_url) as one:
            await one.friend_comes()
            settle = notices.told
            with monkeypatch.context() as patch:

                def broken(*given: Any) -> None:
                    settle(*given)
                    raise OSError("the disk is gone")

                patch.setattr(notices, "told", broken)
                with pytest.raises(Exception, match="disk"):
                    await one.talk.hear("积分", who=ANNE, key="wechat:main:k")
            assert await one.stand() == [("waiting", "")]
            assert CAME in told(await one.talk.hear("积分", who=ANNE, key="wechat:main:k"))
            assert CAME in told(await one.talk.hear("积分", who=ANNE, key="wechat:main:k"))
            assert CAME not in await one.say("积分")

    run(journey())


def test_answers_that_came_too_late_are_told_shortly_with_the_next(database_url: str) -> None:
    async def journey() -> None:
        async with house(database_url) as one:
            one.wechat.fate = lambda parcel: Outcome("refused", "count_used_up")
            for words in ("帮助", "海报", "积分"):
                answer = await one.talk.hear(words, who=ANNE)
                one.talk.writer.release(answer.deliveries)
            await one.talk.writer.run(lambda connection: None)
            await one.step()
            stand = await one.stand()
            assert len(stand) >= 3 and set(stand) == {("waiting", "")}
            one.talk.days(2)
            said = await one.say("签到")
            assert said.count("· 2026-11-22 的回复：") == len(stand) and len(said.encode()) < 2048
            assert all(len(line) < 70 for line in said.splitlines() if line.startswith("· "))
            assert "的回复" not in await one.say("积分")

    run(journey())


def test_somebody_forgotten_is_told_nothing_more(database_url: str) -> None:
    async def journey() -> None:
        async with house(database_url) as one:
            await one.consent()
            await one.friend_comes()
            (row,) = await one.rows("SELECT MIN(id) AS id FROM subscriber")
            found = await one.talk.writer.run(lambda c: people.export(c, one.talk.vault, row.id))
            assert [notice["kind"] for notice in found["notices"]] == ["friend_came"]
            assert found["notice_consents"][0]["template"] == "T1"
            until = one.talk.now + timedelta(days=9)
            await one.talk.writer.run(lambda c: people.forget(c, row.id, one.talk.now, until))
            assert await one.stand() == [] and not await one.rows("SELECT * FROM notice_consent")
            assert CAME not in await one.say("积分")

    run(journey())


def test_two_who_become_one_keep_what_either_is_owed(database_url: str) -> None:
    async def journey() -> None:
        async with house(database_url) as one:
            await one.friend_comes()
            one.talk.now -= timedelta(days=9)  # the one who joins is older by far
            await one.join()
            assert (await one.say("积分", "4711", channel="telegram")).count(CAME) == 1
            assert CAME not in await one.say("积分")

    run(journey())


def test_what_a_test_was_to_be_told_ends_with_it(database_url: str) -> None:
    async def journey() -> None:
        async with house(database_url, TEMPLATES) as one:
            await one.say("积分", BERT)
            for who in (ANNE, BERT):
                act(one.talk, "test", number(one.talk, who))
            rows = await one.rows(f"SELECT code FROM subscriber WHERE id = {number(one.talk, ANNE)}")
            one.talk.days(3)
            await one.say(rows[0].code, BERT)
            await one.step()
            assert await one.stand() == [("waiting", "")] and not one.wechat.notices
            for who in (ANNE, BERT):
                act(one.talk, "untest", number(one.talk, who))
            assert CAME not in await one.say("积分")
            assert await one.stand() == [("withdrawn", "")]

    run(journey())


def test_a_tester_is_told_with_an_answer_of_the_test(database_url: str) -> None:
    async def journey() -> None:
        async with house(database_url) as one:
            await one.friend_comes(guest="oCarl")  # for real, before the test
            await one.say("积分", BERT)
            for who in (ANNE, BERT):
                act(one.talk, "test", number(one.talk, who))
            rows = await one.rows(f"SELECT code FROM subscriber WHERE id = {number(one.talk, ANNE)}")
            await one.say(rows[0].code, BERT)
            one.talk.days(3)
            await one.step()
            said = await one.say("积分")
            assert said.count(CAME) == 1 and said.startswith("【测试】")
            act(one.talk, "untest", number(one.talk, ANNE))
            assert (await one.say("积分")).count(CAME) == 1

    run(journey())


def test_the_real_protocol_from_window_to_consent_to_answer(database_url: str) -> None:
    clock = Clock()
    clock.at = NOON
    both = {"friend_came": NoticeTemplates(**{**dict(TEMPLATES["friend_came"]), **_set(SUBSCRIPTIONS["friend_came"])})}
    with PlayedWeChat(clock=clock) as world:
        world.templates["S1"], world.notices["T1"] = tuple(FIELDS), ("thing1",)
        world.people[ANNE] = person = Person(world, ANNE)
        person.since = NOON - timedelta(days=9)

        async def journey() -> None:
            channel = WeChat("main", settings(api_url=world.url), WeChatHouse(clock))
            async with house(database_url, both, wechat=channel) as one:
                await one.friend_comes(guest="o1")
                del world.templates["S1"]  # withdrawn by the platform: 40037, certainly not sent
                await one.consent()
                person.consents["T1"] = 1
                await one.friend_comes(guest="o2")
                await one.consent()  # we believe in one more, the platform does not: 43101
                await one.friend_comes(guest="o3")
                assert [got.kind for got in person.received] == ["S1", "T1"]
                assert "thing1=好消息：有一位朋友通过您的推荐码来了，…" in person.received[0].content
                assert await one.stand() == [("sent", "template"), ("sent", "subscription"), ("waiting", "")]
                assert not await one.rows("SELECT * FROM notice_consent")
                person._open("message", (timedelta(hours=48), 5))
                assert (await one.say("积分")).count(CAME) == 1
                for guest in range(7):  # somebody silent is owed more than the five that may come
                    await one.friend_comes(guest=f"oMore{guest}")
                replies = [got for got in person.received if got.kind == "text"]
                assert len(replies) == 5 and (await one.stand()).count(("waiting", "")) == 2
                assert (await one.say("积分")).count(CAME) == 2
            await channel.close()

        run(journey())


def _set(templates: NoticeTemplates) -> dict[str, Any]:
    return {name: getattr(templates, name) for name in templates.model_fields_set}


def test_fields_that_no_notice_has_stop_the_start(tmp_path: Path) -> None:
    table = "[channels.wechat.notices.friend_came]\n"
    for lines, wrong in (
        (table + 'template = "S1"\ntemplate_fields = {thing1 = "{price}"}', "only {day}, {text}, {total} may stand in"),
        (table + 'template = "S1"\ntemplate_fields = {thing1 = "{text.x}"}', "may stand in"),
        (table + 'template = "S1"\ntemplate_fields = {thing1 = "{text"}', "may stand in"),
        (table + 'template = "S1"', "a template and its fields come together"),
        ('[channels.wechat.notices.sale]\ntemplate = ""', "no notice is called 'sale'; there are: friend_came"),
        ("[sms]\nenabled = true", "is needed when text messages are enabled"),
    ):
        (tmp_path / "config.toml").write_text(lines)
        with pytest.raises(ConfigFault) as caught:
            load(tmp_path / "config.toml", {"LANG": "en_GB.UTF-8"})
        assert wrong in str(caught.value), lines


def test_metrics_count_notices_by_kind_state_and_way(database_url: str) -> None:
    async def journey() -> None:
        async with house(database_url) as one:
            await one.friend_comes()
            counted = await one.talk.writer.run(notices.counts)
            upkeep = dict.fromkeys(("held", "stopped", "retained", "retained_at"), 0.0)
            said = metrics.render(metrics.House(one.talk.writer, dict, lambda: upkeep, lambda: counted)).decode()
            assert 'koukou_notices{kind="friend_came",state="waiting",way=""} 1.0' in said

    run(journey())
