"""The pages of pushes over HTTP: written once, approved by somebody else, counted, held, tested, and looked at."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bot.console.pages import push_words
from bot.console.words import Pairs
from bot.pausing import REASONS, told
from bot.wechat.faults import STOPPED
from storage import push_results, push_runs, pushes
from storage.pauses import Pause
from storage.tables import micros
from tests.commands import koukou
from tests.people_house import HOSTILE
from tests.push_pages import MORNING, PushPages, colleagues, hidden, push_pages

TABLES = [
    name for name in ("STATES", "STEPS", "KIND", "AUDIENCES", "WEEKDAYS", "WAYS", "PUSH_ENDS", "ROWS", "JOBS", "FORM")
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PushPages]:
    with push_pages(tmp_path_factory.mktemp("pushes")) as made:
        made.crowd(telegram=4, wechat=3, web=2)
        made.hear(*made.who[0], "退订")
        yield made


@pytest.mark.parametrize("name", TABLES)
def test_every_word_for_a_code_exists_in_both_languages(name: str) -> None:
    table: Pairs = getattr(push_words, name)
    for key, (zh, en) in table.items():
        assert zh.strip() and en.strip(), key
        assert sorted(re.findall(r"\{(\w+)\}", zh)) == sorted(re.findall(r"\{(\w+)\}", en)), key


def test_the_preview_shows_each_channel_and_counts_everybody_and_stores_nothing(pages: PushPages) -> None:
    (_, author), _ = colleagues(pages)
    before = pages.house.sql("SELECT COUNT(*) FROM push")
    form = pages.form(kind="poster", poster="opening", **{"text-en": "Hello {product}"})
    shown = author.submit("/console/pushes/new", {**form, "do": "preview"})
    assert shown.status_code == 200
    assert "Now it would reach 8 of 9 people" in shown.text
    assert "takes no campaign messages" in shown.text  # the one who left
    assert "a mass send" in shown.text and "1–2 requests" in shown.text and "3 messages" in shown.text
    assert "Reply “签到”" in shown.text  # words on WeChat
    assert re.search(r"<li>签到</li>", shown.text)  # a button elsewhere
    assert "/pictures/campaign%3Aopening%3Aen%3A1" in shown.text
    size = len("Hello Family Network")
    assert int(re.search(r"(\d+) bytes</span>", shown.text)[1]) > size  # type: ignore[index]
    assert pages.house.sql("SELECT COUNT(*) FROM push") == before
    assert pages.house.stranger().get("/pictures/campaign:opening:en:1").status_code == 200


def test_a_time_in_the_quiet_hours_is_said_before(pages: PushPages) -> None:
    (_, author), _ = colleagues(pages)
    preview = {**pages.form(at="2026-11-25T22:30"), "do": "preview"}
    said = "2026-11-25 22:30 is in the plan&#39;s quiet hours: nobody gets it before 2026-11-26 09:00."
    assert said in author.submit("/console/pushes/new", preview).text
    assert "quiet hours" not in author.submit("/console/pushes/new", {**preview, "at": "2026-11-25T10:00"}).text
    assert "quiet hours" not in author.submit("/console/pushes/new", {**preview, "at": "never"}).text


def test_a_count_is_told_again_for_a_while_and_made_anew_for_an_approval(pages: PushPages) -> None:
    (_, author), (_, approver) = colleagues(pages)
    number = pages.write(author, name="counted")
    audience = {"audience": "points >= 0", "do": "preview"}
    first = author.submit("/console/pushes/new", {**pages.form(), **audience}).text
    told = re.search(r"Now it would reach (\d+) of", first)
    pages.hear(*pages.who[4], "退订")
    try:
        again = author.submit("/console/pushes/new", {**pages.form(), **audience}).text
        assert told and told[0] in again
        assert hidden(approver.get(f"/console/pushes/{number}").text, "shown") == "7"
    finally:
        pages.hear(*pages.who[4], "恢复接收")


def test_a_refused_form_comes_back_with_every_word(pages: PushPages) -> None:
    (_, author), _ = colleagues(pages)
    sent = pages.form(
        name="Kept name", button2="no such word", cron="kept cron", first="0", **{"text-en": f"kept {HOSTILE}"}
    )
    shown = author.submit("/console/pushes/new", {**sent, "do": "save"})
    assert shown.status_code == 400 and "Per cent who get it first" in shown.text
    for kept in ("Kept name", "no such word", "kept cron", sent["key"]):
        assert f'value="{kept}"' in shown.text
    assert "<script>alert" not in shown.text and "kept &lt;script&gt;" in shown.text
    again = author.submit("/console/pushes/new", {**sent, "first": "1", "do": "save"})
    assert again.status_code == 409 and "nothing that the bot understands" in again.text
    assert 'value="Kept name"' in again.text
    # Markup and doubled braces are text like any other.
    assert author.submit("/console/pushes/new", {**sent, "first": "1", "button2": "", "do": "save"}).status_code == 303


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": ""}, "“Name” is missing"),
        ({"often": "cron", "cron": "61 * * * *"}, "is no minute"),
        ({"often": "weekly", "hour": "late"}, "write “Time” as 19:30"),
        ({"often": "never"}, "choose “When”"),
        ({"latest": "-5"}, "from 1 to 10080"),
        ({"at": "tomorrow"}, "write the time"),
        ({"audience": "points >"}, "audience, column"),
        ({"kind": "song"}, "a push is one of"),
        ({"wechat": "template"}, "way on WeChat"),
        ({"poster": "nowhere"}, "no poster nowhere"),
        ({"kind": "poster"}, "needs a poster"),
        ({"kind": "survey"}, "needs a button such as"),
        ({"text-en": "x" * 901}, "too long"),
        ({"text-en": "{address.__class__}"}, "nothing fills"),
        ({"text-en": "{product:>99999999}"}, "nothing fills"),
        ({"text-en": "a { b"}, "nothing fills"),
        ({"key": "plan/x"}, "form is incomplete"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_stored(pages: PushPages, changed: dict[str, str], said: str) -> None:
    (_, author), _ = colleagues(pages)
    before = pages.house.sql("SELECT COUNT(*) FROM push")
    answer = author.submit("/console/pushes/new", {**pages.form(**changed), "do": "submit"})
    assert answer.status_code in (400, 409) and said in answer.text, answer.text
    assert pages.house.sql("SELECT COUNT(*) FROM push") == before


def test_a_form_sent_twice_makes_one_push(pages: PushPages) -> None:
    (_, author), (_, approver) = colleagues(pages)
    form = pages.form(name="twice")
    where = {author.submit("/console/pushes/new", {**form, "do": "submit"}).headers["location"] for _ in range(3)}
    assert len(where) == 1
    assert pages.house.sql("SELECT COUNT(*) FROM push WHERE name = 'twice'") == [(1,)]
    other = author.submit("/console/pushes/new", {**form, "name": "not twice", "do": "save"})
    assert other.status_code == 409 and "used already" in other.text
    # A key is its member's own.
    assert approver.submit("/console/pushes/new", {**form, "do": "save"}).headers["location"] not in where


def test_the_author_does_not_approve_and_the_number_is_typed(pages: PushPages) -> None:
    (_, author), (_, approver) = colleagues(pages)
    number = pages.write(author, name="four eyes")
    own = author.get(f"/console/pushes/{number}").text
    assert "a colleague approves it" in own and f"/console/pushes/{number}/approve" not in own
    assert re.search("1 push waits|[0-9]+ pushes wait", approver.get("/console").text)
    page = approver.get(f"/console/pushes/{number}").text
    shown, seen = hidden(page, "shown"), hidden(page, "seen")
    assert shown == "8"
    refused = author.submit(f"/console/pushes/{number}/approve", {"shown": shown, "typed": shown, "seen": seen})
    assert refused.status_code == 409 and "somebody else than its author" in refused.text
    wrong = pages.approve(approver, number, typed="7")
    assert wrong.status_code == 400 and "type 8" in wrong.text and 'value="7"' in wrong.text
    stale = pages.approve(approver, number, shown="5", typed="5")
    assert stale.status_code == 409 and "is 8 now" in stale.text
    assert pages.push(number).state == "submitted"
    done = pages.approve(approver, number)
    assert done.status_code == 303 and pages.push(number).state == "scheduled"
    again = approver.submit(f"/console/pushes/{number}/approve", {"shown": shown, "typed": shown, "seen": seen})
    assert again.status_code == 409


def test_what_changed_since_it_was_looked_at_is_not_approved_nor_written_over(pages: PushPages) -> None:
    (_, author), (_, approver) = colleagues(pages)
    number = pages.write(author, name="moving")
    looked = hidden(approver.get(f"/console/pushes/{number}").text, "seen")
    edited = hidden(author.get(f"/console/pushes/{number}/edit").text, "seen")
    change = {**pages.form(name="moved", **{"text-en": "Something else"}), "seen": edited, "do": "submit"}
    assert author.submit(f"/console/pushes/{number}/edit", change).status_code == 303
    assert author.submit(f"/console/pushes/{number}/edit", change).status_code == 303  # the same again changes nothing
    stale = pages.approve(approver, number, seen=looked)
    assert stale.status_code == 409 and "changed since you opened" in stale.text
    late = author.submit(f"/console/pushes/{number}/edit", {**change, "name": "written over", "do": "save"})
    assert late.status_code == 409 and 'value="written over"' in late.text
    assert pages.push(number).name == "moved"
    assert pages.approve(approver, number).status_code == 303
    # A change takes the approval away.
    fresh = hidden(author.get(f"/console/pushes/{number}/edit").text, "seen")
    answer = author.submit(f"/console/pushes/{number}/edit", {**change, "name": "anew", "seen": fresh, "do": "save"})
    assert answer.status_code == 303 and pages.push(number).state == "draft"


def test_steps_ask_why_and_refuse_what_does_not_follow(pages: PushPages) -> None:
    (_, author), (_, approver) = colleagues(pages)
    number = pages.write(author, name="steps")
    one = f"/console/pushes/{number}"
    assert "say why" in approver.submit(f"{one}/send_back", {"why": ""}).text
    assert approver.submit(f"{one}/send_back", {"why": f"too long {HOSTILE}"}).status_code == 303
    shown = approver.get(one).text
    assert "too long &lt;script&gt;" in shown and "<script>alert" not in shown
    paused = author.submit(f"{one}/pause", {"why": "rain"})
    assert paused.status_code == 409 and "cannot pause" in paused.text
    assert author.submit(f"{one}/submit").status_code == 303
    assert pages.approve(approver, number).status_code == 303
    for step, state in (("pause", "paused"), ("resume", "scheduled"), ("cancel", "cancelled")):
        assert author.submit(f"{one}/{step}", {"why": f"because {step}"}).status_code == 303
        assert pages.push(number).state == state
    page = author.get(one).text
    assert [f"because {step}" in page for step in ("pause", "resume", "cancel")] == [True] * 3
    assert author.get(f"{one}/edit").status_code == 409
    copied = author.get(f"/console/pushes/new?from={number}").text
    assert 'value="steps"' in copied and "test-form" not in hidden(copied, "key")


def test_each_role_sees_what_it_may_do(pages: PushPages) -> None:
    (_, author), _ = colleagues(pages)
    number = pages.write(author, name="roles")
    planning = pages.house.client(pages.house.member("planning", language="en"))
    page = planning.get(f"/console/pushes/{number}").text
    assert f"/console/pushes/{number}/approve" in page and f"/console/pushes/{number}/cancel" not in page
    listed = planning.get("/console/pushes").text
    assert "Waiting for approval" in listed and "/console/pushes/new" not in listed
    assert planning.get("/console/pushes/new").status_code == 403
    for role in ("handling", "service"):
        nobody = pages.house.client(pages.house.member(role, language="en"))
        assert nobody.get("/console/pushes").status_code == 403
        assert nobody.get(f"/console/pushes/{number}").status_code == 403


def test_staff_of_a_branch_look_and_no_more(pages: PushPages) -> None:
    (_, author), _ = colleagues(pages)
    number = pages.write(author, name="branch")
    north = pages.house.client(pages.house.member("publicity", branch="north", language="en"))
    one = f"/console/pushes/{number}"
    page = north.get(one).text
    assert "you may look" in page and f"{one}/cancel" not in page and f"{one}/approve" not in page
    assert "/console/pushes/new" not in north.get("/console/pushes").text
    before = pages.house.sql("SELECT * FROM push_step ORDER BY id")
    sent: dict[str, dict[str, Any]] = {
        "/console/pushes/new": {**pages.form(), "do": "submit"},
        f"{one}/edit": {**pages.form(), "do": "save"},
        f"{one}/approve": {"shown": "8", "typed": "8", "seen": pages.push(number).changed_at.isoformat()},  # type: ignore[union-attr]
        f"{one}/send_back": {"why": "x"},
        f"{one}/cancel": {"why": "x"},
        f"{one}/submit": {},
        f"{one}/test": {"who": str(pages.numbers[0]), "key": "k" * 20},
    }
    for path, data in sent.items():
        answer = north.submit(path, data)
        assert answer.status_code == 403 and "staff of branch north may only look" in answer.text, path
    assert north.get("/console/pushes/new").status_code == 403
    assert pages.house.sql("SELECT * FROM push_step ORDER BY id") == before


def test_a_test_goes_to_a_tester_once_and_to_nobody_else(pages: PushPages) -> None:
    (_, author), _ = colleagues(pages)
    number = pages.write(author, "save", name="tried", **{"text-zh": "只给测试的人"})
    one = f"/console/pushes/{number}"
    someone, tester = pages.numbers[1], pages.numbers[2]
    refused = author.submit(f"{one}/test", {"who": str(someone), "key": "a" * 20})
    assert refused.status_code == 409 and "is no tester" in refused.text and f'value="{someone}"' in refused.text
    assert "Nobody is known as" in author.submit(f"{one}/test", {"who": HOSTILE, "key": "a" * 20}).text
    pages.tester(tester)
    try:
        code = pages.house.sql("SELECT code FROM subscriber WHERE id = :n", n=tester)[0][0]
        for _ in range(2):  # a double click
            assert author.submit(f"{one}/test", {"who": code, "key": "b" * 20}).status_code == 303
        got = lambda: [m.text for p in pages.telegram.people.values() for m in p.received if "只给测试" in m.text]  # noqa: E731
        pages.until(lambda: bool(got()))
        assert got() == ["只给测试的人"]
        rows = pages.house.sql(
            "SELECT subscriber, lane, run FROM delivery WHERE text IN (SELECT id FROM text WHERE kind = 'push')"
        )
        assert rows == [(tester, 0, None)]
    finally:
        pages.house.run(lambda connection: connection.execute(text("UPDATE subscriber SET tester_since = NULL")))


def test_hostile_names_come_out_as_text_everywhere(pages: PushPages) -> None:
    (_, author), (_, approver) = colleagues(pages)
    name = "<img src=x onerror=alert(2)>\"'&"
    number = pages.write(author, name=name, **{"text-en": "<script>alert(1)</script>", "text-zh": "</textarea><b>"})
    for path in ("", f"/{number}", f"/{number}/edit", f"/{number}/now", "?state=submitted"):
        page = approver.get(f"/console/pushes{path}").text
        assert "<img src=x" not in page and "<script>alert" not in page and "</textarea><b>" not in page, path
        assert path.endswith("now") or "&lt;img src=x" in page, path
    said = approver.submit(f"/console/pushes/{number}/send_back", {"why": name})
    assert "<img src=x" not in approver.get(said.headers["location"]).text


def test_the_calendar_shows_four_weeks_and_the_list_its_states(pages: PushPages) -> None:
    (_, author), _ = colleagues(pages)
    weekly = pages.write(author, name="every week", often="weekly", weekday="wed", hour="12:05")
    often = pages.write(author, name="every hour", often="cron", cron="0 * * * *")
    page = author.get("/console/pushes").text
    calendar = page[page.index('id="calendar"') : page.index('id="list"')]
    assert calendar.count(f'href="/console/pushes/{weekly}"') == 4
    assert calendar.count(f'href="/console/pushes/{often}"') == 27  # to the Sunday of the fourth week
    assert "several times that day" in calendar and "not approved" in calendar
    assert "every Wednesday at 12:05" in page and "again and again: 0 * * * *" in page
    for number in (weekly, often):
        assert author.submit(f"/console/pushes/{number}/cancel", {"why": "over"}).status_code == 303
    listed = author.get("/console/pushes?state=cancelled").text
    assert f'/console/pushes/{weekly}"' in listed[listed.index('id="list"') :]
    for query in ("state=nonsense", "before=abc", "before=99999999999999999999", "state=done&before=-1"):
        assert author.get(f"/console/pushes?{query}").status_code == 200


def test_it_goes_out_and_its_progress_and_results_are_shown(tmp_path: Path) -> None:
    with push_pages(tmp_path) as pages:
        pages.crowd(telegram=3, wechat=2, web=1)
        (_, author), (_, approver) = colleagues(pages)
        number = pages.write(author, name="out", kind="quiz", button1="答题")
        assert pages.approve(approver, number).status_code == 303
        assert "It has not gone out yet" in author.get(f"/console/pushes/{number}/now").text
        pages.clock.offset += timedelta(days=1, minutes=1)
        pages.until(lambda: pages.push(number).state == "running" and pages.counts(number).get("sent") == 3)
        pages.until(lambda: pages.counts(number).get("handed_over") == 2)
        now = author.get(f"/console/pushes/{number}/now?was=scheduled").text
        assert "It is going out now" in now
        assert re.search(r"Reached</dt><dd>3</dd>.*Expected</dt><dd>6</dd>", now, re.S)
        assert "people fetch" in now and "taken by WeChat; result to come" in now
        pages.hear(*pages.who[0], "签到")
        (run,) = pages.house.read(push_runs.of_push, number, 1)
        one = pages.house.sql("SELECT id FROM delivery WHERE run = :r AND state = 'sent' ORDER BY id DESC", r=run.id)[
            0
        ][0]

        def doubt(connection: Any) -> None:
            connection.execute(
                text("UPDATE delivery SET state = 'doubtful', reason = 'no_answer' WHERE id = :n"), {"n": one}
            )
            connection.execute(
                text(
                    "UPDATE mass_job SET state = 'closed', reason = 'send success', total = 2, filtered = 2, "
                    "sent = 1, errors = 1 WHERE run = :r"
                ),
                {"r": run.id},
            )
            data = {"id": 9 * 10**15, "s": pages.numbers[0], "at": micros(pages.clock())}
            connection.execute(
                text(
                    "INSERT INTO event (id, tx, kind, subscriber, actor, campaign, revision, at, data) VALUES "
                    "(:id, 1, 'quiz_started', :s, 'subscriber', 'family-network-2026', 1, :at, '{}')"
                ),
                data,
            )

        pages.house.run(doubt)
        pages.clock.offset += timedelta(days=8)  # nobody fetched the last one
        pages.until(lambda: pages.push(number).state == "done")
        page = author.get(f"/console/pushes/{number}").text
        assert re.search(r"Reached</dt><dd>3</dd>.*Expected</dt><dd>5</dd>", page, re.S)  # 2 by us, 1 by the mass send
        assert "counted" in page and "send success" not in page
        assert "did not open the chat within seven days" in page
        assert re.search(r"wrote or tapped a button</dt><dd>1 \(33\.3 %\)", page)
        assert re.search(r"friends who joined through them</dt><dd>0</dd>", page)
        assert re.search(r"began the quiz</dt><dd>1 \(33\.3 %\)", page)
        assert f'href="/console/people/{pages.numbers[2]}"' in page and "In doubt" in page
        assert "data-live" not in page
        north = pages.house.client(pages.house.member("publicity", branch="north", language="en"))
        assert "/console/people/" not in north.get(f"/console/pushes/{number}").text


def test_only_what_was_said_within_72_hours_counts(tmp_path: Path) -> None:
    with push_pages(tmp_path) as pages:
        pages.crowd(telegram=2)
        (_, author), (_, approver) = colleagues(pages)
        number = pages.write(author, name="late")
        pages.hear(*pages.who[0], "签到")  # before it
        assert pages.approve(approver, number).status_code == 303
        pages.clock.offset += timedelta(days=1, minutes=1)
        pages.until(lambda: pages.push(number).state == "done")
        (run,) = pages.house.read(push_runs.of_push, number, 1)
        assert pages.house.read(push_results.wrote, run, pages.clock()) == 0
        ((code,),) = pages.house.sql(f"SELECT code FROM subscriber WHERE id = {pages.numbers[0]}")
        pages.clock.offset += timedelta(hours=71)
        pages.hear(*pages.who[0], "签到")
        pages.hear("telegram", "7001", code)
        pages.clock.offset += timedelta(hours=2)
        pages.hear(*pages.who[1], "签到")
        pages.hear("telegram", "7002", code)
        assert pages.house.sql("SELECT COUNT(*) FROM referral") == [(2,)]
        assert pages.house.read(push_results.joined, run, pages.clock()) == 1
        assert pages.house.read(push_results.wrote, run, pages.clock()) == 1
        assert pages.house.read(push_results.began_quiz, run, pages.clock()) == 0


def test_one_person_alone_approves_where_the_settings_say_so(tmp_path: Path) -> None:
    with push_pages(tmp_path, "[console]\nsecond_person = false\n") as pages:
        (_, author), _ = colleagues(pages)
        number = pages.write(author)
        assert pages.approve(author, number).status_code == 303
        assert pages.house.read(pushes.find, number).state == "scheduled"  # type: ignore[union-attr]


def test_a_button_has_words_of_its_own_in_each_language(pages: PushPages) -> None:
    (_, author), _ = colleagues(pages)
    number = pages.write(author, name="buttons", button1="签到", button2="答题", **{"button2-en": "quiz"})
    shown = author.get(f"/console/pushes/{number}").text
    assert "答题" in shown and ">quiz<" in shown
    form = author.get(f"/console/pushes/{number}/edit").text
    told = {name: value for name, value in re.findall(r'<input name="(button[^"]*)" type="text" value="([^"]*)"', form)}
    assert {name: value for name, value in told.items() if value} == {
        **{"button1": "签到", "button2": "答题", "button2-en": "quiz"}
    }
    wrong = author.submit("/console/pushes/new", {**pages.form(), "button1-en": "no such word", "do": "save"})
    assert wrong.status_code == 409 and "the button &#39;no such word&#39; is nothing" in wrong.text


def test_a_push_goes_to_a_channel_too(tmp_path: Path) -> None:
    """Written, approved and posted by a bot over its platform's own protocol, once."""
    with push_pages(tmp_path) as pages:
        pages.crowd(telegram=1)
        (_, author), (_, approver) = colleagues(pages)
        channel = pages.telegram.channel("小店", "xiaodian")
        channel.promote(pages.telegram.person())
        wrong = author.submit("/console/pushes/new", {**pages.form(), "channels": "xiaodian", "do": "save"})
        assert wrong.status_code == 409 and "xiaodian names no channel" in wrong.text
        taps = {"button1": "答题", "button1-en": "quiz"}
        number = pages.write(author, name="to a channel", channels="@xiaodian, @nowhere1", **taps)
        page = approver.get(f"/console/pushes/{number}").text
        assert page.count("It is also posted once to @xiaodian, @nowhere1") == 2  # in the preview, and to approve
        assert "Telegram channel</figcaption>" in page and "<dd>@xiaodian @nowhere1</dd>" in page
        assert 'value="@xiaodian @nowhere1"' in author.get(f"/console/pushes/{number}/edit").text
        assert pages.approve(approver, number).status_code == 303
        pages.clock.offset += timedelta(days=1, minutes=1)
        pages.until(lambda: pages.push(number).state == "done")
        assert [(post.kind, post.text) for post in channel.received] == [("text", "周五见，来签到吧")]
        url = f"https://t.me/{pages.telegram.username}?start=w_quiz"
        assert channel.received[0].keyboard == [[{"text": "答题", "url": url}]]
        now = author.get(f"/console/pushes/{number}/now").text
        assert re.search(r"@xiaodian</th>.*?sent</span>.*@nowhere1</th>.*?there is no such channel", now, re.S)
        assert pages.counts(number) == {"sent": 1}


def test_an_article_is_written_shown_and_sent_as_one(tmp_path: Path) -> None:
    with push_pages(tmp_path) as pages:
        pages.crowd(wechat=2, telegram=1)
        (_, author), (_, approver) = colleagues(pages)
        parts = {"title-zh": "开始啦", "title-en": "It begins", "body-zh": "## 怎么参加\n**签到**", "body-en": HOSTILE}
        written = {"kind": "article", "poster": "opening", "author": "宣传组", **parts}
        form = {**pages.form(**written), "title-en": "x" * 65, "do": "save"}
        assert "64 characters at most" in author.submit("/console/pushes/new", form).text
        number = pages.write(author, name="article", **written)
        page = approver.get(f"/console/pushes/{number}").text
        assert '<p class="headline">It begins</p>' in page and "怎么参加\n签到" in page and HOSTILE not in page
        form = author.get(f"/console/pushes/{number}/edit").text
        assert 'value="It begins"' in form and "## 怎么参加\n**签到**</textarea>" in form and HOSTILE not in form
        assert pages.approve(approver, number).status_code == 303
        pages.clock.offset += timedelta(days=1, minutes=1)
        pages.until(lambda: pages.push(number).state == "done")
        got = [(one.kind, one.content) for person in pages.wechat.people.values() for one in person.received]
        assert got == [("mpnews", "开始啦")] * 2


@pytest.mark.parametrize(
    ("how", "trouble", "en", "zh", "left"),
    [
        (
            *("service", 45009, "(45009). What to do: in need, clear the count"),
            *("（45009）。急的话在公众平台把次数清零", "11-26 00:00:"),
        ),
        (
            *("mass", 48004, "(48004). What to do: the administrator reads the platform"),
            *("（48004）。请管理员登录公众平台", "11-25 10:1"),
        ),
    ],
    ids=["day quota", "banned"],
)
def test_an_account_that_waits_says_why_since_when_and_what_to_do(
    tmp_path: Path, how: str, trouble: int, en: str, zh: str, left: str
) -> None:
    """On the push's page, on the system page and in `koukou push show`; told of no push that has nothing there."""
    with push_pages(tmp_path) as pages:
        pages.crowd(wechat=3)
        (_, author), (_, approver) = colleagues(pages)
        reader = pages.house.client(pages.house.member("publicity", language="zh"))
        number = pages.write(author, name="waits", wechat=how)
        assert pages.approve(approver, number).status_code == 303
        pages.clock.offset += timedelta(days=1, minutes=1)
        if how == "service":
            for who in pages.who:  # their windows are open again
                pages.hear(*who, "你好")
        pages.wechat.fail("message/custom/send" if how == "service" else "message/mass/send", 99, code=trouble)
        assert "paused since" not in author.get("/console/system/now").text
        pages.until(lambda: "paused since" in author.get(f"/console/pushes/{number}/now").text)
        name = {"service": ("微信 自", "WeChat: "), "mass": ("微信 的群发 自", "mass sends of WeChat: ")}[how]
        for page in (f"/console/pushes/{number}/now", f"/console/pushes/{number}"):
            told = author.get(page).text
            assert f"{name[1]}paused since 11-25 10:0" in told and en in told, told
            assert f"tried again at {left}" in told
        assert f"{name[0]} 11-25 10:0" in reader.get(f"/console/pushes/{number}/now").text
        assert zh in reader.get(f"/console/pushes/{number}/now").text
        assert en in author.get("/console/system/now").text and zh in reader.get("/console/system").text
        other = pages.write(author, name="another")
        assert "paused since" not in author.get(f"/console/pushes/{other}/now").text
        (config,) = tmp_path.glob("console-*.toml")
        shown = koukou(config, "push", "show", str(number))
        assert en in shown.stdout and ", tried again at " in shown.stdout, shown.output
        (run,) = json.loads(koukou(config, "push", "show", str(number), "--json").stdout)["runs"]
        (pause,) = run["pauses"]
        reason = {45009: "day_quota", 48004: "api_banned"}[trouble]
        assert (pause["account"], pause["mass"], pause["reason"]) == ("wechat:main", how == "mass", reason)
        assert zh in pause["zh"] and en in pause["en"] and 0 <= pause["since_seconds"] < 60 < pause["left_seconds"]


def test_every_reason_of_a_pause_is_told_in_both_languages() -> None:
    reasons = {*STOPPED.values(), "day_quota", "minute_quota", "token_refused", "too_many_requests", "never heard of"}
    assert reasons - {"never heard of"} == REASONS.keys()
    for reason in reasons:
        pause = Pause("wechat:main", False, reason, timedelta(minutes=5), timedelta(minutes=10))
        zh, en = told(pause, MORNING, MORNING.tzinfo)  # type: ignore[arg-type]
        assert "11-24 09:55:00" in zh and "11-24 10:10:00" in zh and zh.startswith("wechat:main")
        assert "11-24 09:55:00" in en and "11-24 10:10:00" in en and not re.search("[一-鿿]", en)
        assert re.search("[一-鿿]", zh) and "What to do: " in en


def test_a_push_that_rests_in_the_quiet_hours_says_until_when(pages: PushPages) -> None:
    (_, author), (_, approver) = colleagues(pages)
    number = pages.write(author, name="late", at="2026-11-24T22:30")
    assert pages.approve(approver, number).status_code == 303
    before, pages.clock.offset = pages.clock.offset, pages.clock.offset + timedelta(hours=12, minutes=40)
    try:
        pages.until(lambda: pages.push(number).state == "running")
        assert "Quiet hours: it goes on at 2026-11-25 09:00." in author.get(f"/console/pushes/{number}").text
        assert author.submit(f"/console/pushes/{number}/cancel", {"why": "only a trial"}).status_code == 303
    finally:
        pages.clock.offset = before
