"""Each way a plan can be wrong is named at its line, in one pass with all the others."""

from __future__ import annotations

import pytest

from campaigns import words
from content.bundle import Bundle
from content.faults import PlanFaults
from tests.plan_editing import RUNS, edited, line_of, shipped_files, with_text


@pytest.fixture
def shipped() -> dict[str, bytes]:
    return dict(shipped_files())


# (what is edited, into what, words on the line that must be named, key, severity, words of the finding)
WRONG = {
    "unknown key": (
        "most_a_day = 3",
        "most_a_dai = 3",
        "most_a_dai",
        "social.lottery.most_a_dai",
        "fault",
        "most_a_day",
    ),
    "unknown clause": ("[indicators]", "[indicaters]", "[indicaters]", "indicaters", "fault", "indicators"),
    "wrong type": ('asks = ["name"', 'asks = [7, "name"', "asks =", "applications.asks[0]", "fault", "must be"),
    "not a list": (
        "holidays = [2027-01-01, ",
        "holidays = 3 # [",
        "holidays = 3",
        "response.holidays",
        "fault",
        "list",
    ),
    "not a table": ("[points] ", "[[points]] ", "[[points]]", "points", "fault", "table"),
    "missing key": ('hotline = "400', '# hotline = "400', "[response]", "response.hotline", "fault", "missing"),
    "missing language": (
        'label.en = "Mine"',
        "",
        'label.zh = "我的"',
        "menu.buttons[2].label",
        "fault",
        "no text in: en",
    ),
    "strange language": (
        'title.en = "One',
        'title.fr = ""\ntitle.en = "One',
        "title.fr",
        "title.fr",
        "fault",
        "languages",
    ),
    "strange field": ("全家一张网，团圆", "{prodct}团圆", "{prodct}", "title.zh", "fault", "braces"),
    "money without unit": ('credit = "60 元"', 'credit = "60"', 'credit = "60"', "joining.credit", "fault", "60"),
    "money as number": ('credit = "60 元"', "credit = 60.0", "credit = 60.0", "joining.credit", "fault", "60.0"),
    "finer than a fen": ('"2.50 元"', '"2.505 元"', "2.505", "redemption.gifts[0].worth", "fault", "finer"),
    "data in yuan": (
        '{ data = "10 GB" }',
        '{ data = "10 元" }',
        '{ data = "10 元"',
        "joining.packages[1].gift.data",
        "fault",
        "read",
    ),
    "count in quotes": ("most = 20", 'most = "20"', 'most = "20"', "referral.most", "fault", "whole number"),
    "negative count": ("most = 20", "most = -20", "most = -20", "referral.most", "fault", "whole number"),
    "share of share": ('"15%"', '"15"', 'growth = "15"', "goals.user_growth", "fault", "15"),
    "span of months": ('hold = "15d"', 'hold = "15 moons"', "moons", "referral.hold", "fault", "moons"),
    "endless span": ('hold = "15d"', 'hold = "9999999d"', "9999999d", "referral.hold", "fault", "100 years"),
    "endless money": ('"20 元" }', '"99999999999 元" }', "99999999999", "referral.referee.credit", "fault", "measure"),
    "endless count": ("most = 20", "most = 9223372036854775807", "9223372", "referral.most", "fault", "whole number"),
    "two benefits": (
        "{ points = 3000 }",
        '{ points = 3000, credit = "1 元" }',
        "1 元",
        "referral.referrer",
        "fault",
        "one of",
    ),
    "uneven instalments": ("instalments = 6", "instalments = 7", "[joining]", "joining", "fault", "equal"),
    "window backwards": ("end = 2027-03-01", "end = 2026-03-01", "[window]", "window", "fault", "later"),
    "window in words": ("end = 2027-03-01T00:00:00", 'end = "March"', 'end = "March"', "window.end", "fault", "date"),
    "no such zone": ("Asia/Shanghai", "Asia/Shanghigh", "Shanghigh", "zone", "fault", "time zone"),
    "no such currency": ('"CNY"', '"yuan"', 'currency = "yuan"', "currency", "fault", "currency"),
    "language twice": ('["zh", "en"]', '["zh", "en", "zh"]', "languages =", "languages", "fault", "twice"),
    "unknown channel": ('"telegram", "web"]', '"telegraph", "web"]', "telegraph", "channels[1]", "fault", "telegram"),
    "streaks fall": ("days = 14", "days = 4", "[checkin]", "checkin", "fault", "rise"),
    "no budget line": ('line = "lottery"', 'line = "lotery"', '"lotery"', "social.lottery.line", "fault", "lottery"),
    "budget line twice": ('id = "staff"', 'id = "media"', "[budget]", "budget", "fault", "media"),
    "no quiz file": (
        '"quizzes/family.toml"',
        '"quizzes/famly.toml"',
        "famly",
        "social.quizzes[0].file",
        "fault",
        "family",
    ),
    "no poster": (
        '"posters/invite"',
        '"posters/x"',
        "posters/x",
        "social.pushes[2].poster",
        "fault",
        "no such",
    ),
    "no picture": ('"pictures/welcome.jpg"', '"pictures/w.jpg"', "w.jpg", "welcome.picture", "fault", "no such"),
    "file outside": ('"posters/invite"', '"../invite"', "../inv", "social.pushes[2].poster", "fault", "form"),
    "prize too dear": ('"2999 元"', '"50001 元"', '^id = "phone"', "social.lottery.prizes[0]", "fault", "50,000"),
    "prize undisclosed": ("quantity = 2\n", "", '^id = "phone"', "social.lottery.prizes[0]", "fault", "odds"),
    "no organiser": ('contact.zh = "客服', '# "', "contact.en", "organiser.contact", "fault", "no text in: zh"),
    "draw for sharing": (
        'why = "quiz"',
        'why = "share"',
        '"share"',
        "social.lottery.chances[1].why",
        "fault",
        "sharing",
    ),
    "draw for following": (
        'why = "quiz"',
        'why = "follow"',
        '"follow"',
        "social.lottery.chances[1].why",
        "fault",
        "following",
    ),
    "reward for sharing": (
        'when = "joined"',
        'when = "share"',
        'when = "share"',
        "referral.counts_when",
        "fault",
        "sharing",
    ),
    "reward for follow": (
        'when = "joined"',
        'when = "follow"',
        '"follow"',
        "referral.counts_when",
        "fault",
        "following",
    ),
    "two levels": ("levels = 1", "levels = 2", "levels = 2", "referral.levels", "fault", "one referral level"),
    "template marketing": (
        'way = "mass"',
        'way = "template"',
        '"template"',
        "social.pushes[0].way",
        "fault",
        "template",
    ),
    "sharing words": ("三分钟线上办理", "分享海报送流量", "分享海报送", "site.popup.zh", "fault", "分享海报送"),
    "sharing words, en": (
        "apply online in",
        "share it to win",
        "share it to",
        "site.popup.en",
        "fault",
        "share it to win",
    ),
    "following words": ("三分钟线上办理", "关注即送积分", "关注即送", "site.popup.zh", "fault", "关注即送"),
    "helping words": ("三分钟线上办理", "集赞换礼", "集赞换礼", "site.popup.zh", "fault", "集赞"),
    "points for sharing": (
        "apply online in",
        "50 points for sharing,",
        "points for s",
        "site.popup.en",
        "fault",
        "for sharing",
    ),
    "late denial": ("三分钟线上办理", "转发就送积分不限量", "转发就送", "site.popup.zh", "fault", "转发就送"),
    "long caption": ("每天签到得 5", "好" * 1025, "好好好", "checkin.text.zh", "fault", "1024"),
    "long WeChat text": ("三分钟线上办理", "好" * 700, "好好好", "site.popup.zh", "fault", "2048"),
    "long name": ("团圆抽奖", "好" * 121, "好好好", "social.lottery.name.zh", "fault", "120"),
    "long button": ('says = "新用户', 'says = "' + "问" * 22, "问问", "menu.buttons[0].sub[0].says", "fault", "64"),
    "long menu label": ('"看优惠"', '"看看新优惠"', "看看新", "menu.buttons[0].label.zh", "fault", "menu button"),
    "long sub-label": (
        '"积分能换什么"',
        '"我的积分能换什么呢"',
        "换什么呢",
        "menu.buttons[0].sub[2].label.zh",
        "fault",
        "sub-button",
    ),
    "button to nowhere": (
        'says = "语言"',
        "",
        '^label.zh = "中文 / EN"',
        "menu.buttons[2].sub[2]",
        "fault",
        "exactly one",
    ),
    "leave word taken": ('"打卡", ', '"退订", ', "退订", "keywords[0].words", "fault", "leave word"),
    "keyword twice": ('"查积分"', '"打卡"', '["我的积分"', "keywords[1].words", "fault", "two things"),
    "keyword hides a command": (
        '"查积分"',
        '"菜单"',
        '["我的积分"',
        "keywords[1].words",
        "warning",
        "a command of its own",
    ),
    "push outside": ("at = 2026-11-02", "at = 2026-10-02", "2026-10-02", "social.pushes[0].at", "fault", "outside"),
    "push never": ("at = 2026-11-02T10:00:00", "", '^id = "opening"', "social.pushes[0]", "fault", "either"),
    "push with offset": (
        "at = 2026-11-02T10:00:00",
        "at = 2026-11-02T10:00:00Z",
        "T10:00:00Z",
        "social.pushes[0].at",
        "fault",
        "zone",
    ),
    "left out and there": (
        "currency =",
        'without = ["media"]\ncurrency =',
        "without =",
        "without[0]",
        "fault",
        "left out",
    ),
    "left out unknown": (
        "currency =",
        'without = ["medium"]\ncurrency =',
        "without =",
        "without[0]",
        "fault",
        "no such clause",
    ),
    "id twice": ('id = "quiz"', 'id = "opening"', "^^^^at = 2026-11-25", "social.pushes[1].id", "fault", "opening"),
    "no claim terms": (
        'claim.zh = "即',
        'claim.zh = "" # "',
        "claim.zh",
        "social.lottery.claim",
        "fault",
        "no text in: zh",
    ),
    "hours backwards": (
        "closes = 18:00:00",
        "closes = 08:00:00",
        '^days = ["sat',
        "response.desk[1]",
        "fault",
        "later",
    ),
    "time in words": (
        "opens = 08:30:00",
        'opens = "late"',
        'opens = "late"',
        "response.desk[0].opens",
        "fault",
        "time of day",
    ),
    "date in words": ("on = 2026-11-05", 'on = "soon"', 'on = "soon"', "media.articles[0].on", "fault", "a date"),
    "near choice": (
        'kind = "booth"',
        'kind = "boot"',
        '"boot"',
        "offline.spots[2].kind",
        "fault",
        "did you mean booth",
    ),
    "late training": ("by = 2026-10-25", "by = 2026-11-25", "by = 2026-11-25", "training.by", "warning", "before"),
    "article outside": (
        "on = 2026-11-05",
        "on = 2027-11-05",
        "2027-11-05",
        "media.articles[0].on",
        "warning",
        "outside",
    ),
    "over budget": (
        '"80000 元"\n\n[off',
        '"180000 元"\n\n[off',
        '"180000',
        "media.articles[2].cost",
        "warning",
        "media",
    ),
    "unset amount": (
        'credit = "60 元"',
        'credit = "unset"',
        'credit = "unset"',
        "joining.credit",
        "unset",
        "top-up credit",
    ),
    "unset benefit": (
        "{ points = 3000 }",
        '{ points = "unset" }',
        "referrer =",
        "referral.referrer",
        "unset",
        "reward",
    ),
    "amount left out": ("most = 20\n", "", "[referral]", "referral.most", "unset", "at most"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_fault_is_named_at_its_line(shipped: dict[str, bytes], name: str) -> None:
    old, new, marker, key, severity, says = WRONG[name]
    bundle, text = edited(shipped, old, new)
    found = bundle.check(RUNS, words())
    line = line_of(text, marker)
    hits = [one for one in found if (one.file, one.line, one.key) == ("plan.toml", line, key)]
    hits = [one for one in hits if one.severity == severity and says in one.said.en + one.said.hint_en]
    assert hits, [one.text("en") for one in found]
    assert all(one.said.zh and one.said.zh != one.said.en for one in hits)
    others = [one for one in found if one not in hits and one.severity != "unset" and one.line != line]
    assert not others, [one.text("en") for one in others]


def test_a_button_that_says_what_nobody_understands_is_named(shipped: dict[str, bytes]) -> None:
    text = shipped["plan.toml"].decode().replace('{ zh = "海报", en = "poster" }', '{ zh = "海报", en = "postr" }')
    (found,) = [one for one in with_text(shipped, text).check(RUNS, words()) if one.severity == "fault"]
    assert (found.key, found.line) == ("social.pushes[2].buttons[0]", line_of(text, "postr"))
    assert ("'postr'" in found.said.en, "did you mean poster?" in found.said.hint_en) == (True, True)
    assert not [one for one in Bundle.of(shipped).check(RUNS, words()) if one.severity == "fault"]


def test_every_fault_comes_in_one_pass(shipped: dict[str, bytes]) -> None:
    """A broken value in one clause hides neither the faults of its neighbours nor those of other clauses."""
    text = shipped["plan.toml"].decode()
    for old, new in [
        ('credit = "60 元"', "credit = true"),
        ("expected = 12000", "expcted = 12000"),
        ('line = "lottery"', 'line = "lotery"'),
        ('why = "quiz"', 'why = "share"'),
        ("三分钟线上办理", "集赞换礼"),
        ("end = 2027-03-01T00:00:00", ""),
    ]:
        assert old in text
        text = text.replace(old, new, 1)
    keys = {one.key for one in with_text(shipped, text).check(RUNS) if one.severity == "fault"}
    assert keys == {
        "joining.credit",
        "joining.expcted",
        "social.lottery.line",
        "social.lottery.chances[1].why",
        "site.popup.zh",
        "window.end",
    }


def test_a_list_of_wrong_items_is_not_called_empty(shipped: dict[str, bytes]) -> None:
    text = shipped["plan.toml"].decode().replace('figure = "', 'figure = "no-')
    keys = [one.key for one in with_text(shipped, text).check(RUNS)]
    assert keys == [f"monitoring.alarms[{index}].figure" for index in range(3)]
    bundle, _ = edited(shipped, "asks = [", "asks = [] # ")
    assert [one.key for one in bundle.check(RUNS)] == ["applications.asks"]


def test_a_fifth_mass_send_in_a_month_is_named(shipped: dict[str, bytes]) -> None:
    weekly = 'weekday = "sun"\nhour = 19:30:00'
    text = shipped["plan.toml"].decode().replace('way = "service"', 'way = "mass"')
    assert weekly in text
    found = [one for one in with_text(shipped, text).check(RUNS) if one.severity == "fault"]
    assert [(one.key, one.line) for one in found] == [("social.pushes[4]", line_of(text, '^id = "weekly-checkin"'))]
    assert "4" in found[0].said.hint_en


@pytest.mark.parametrize(
    "lawful",
    [
        "分享海报本身没有奖励",
        "关注公众号不送积分",
        "There is no reward for sharing the poster",
        "本活动没有集赞、砍价",
        "家庭共享流量，全家得实惠",
        "取消关注后积分保留",
        "When a friend signs up you earn points",
    ],
)
def test_lawful_words_pass(shipped: dict[str, bytes], lawful: str) -> None:
    bundle, _ = edited(shipped, "三分钟线上办理", lawful)
    assert not [one for one in bundle.check(RUNS) if one.severity == "fault"]


def test_other_channels_may_do_what_wechat_forbids(shipped: dict[str, bytes]) -> None:
    text = shipped["plan.toml"].decode().replace('"wechat", ', "").replace('why = "quiz"', 'why = "share"')
    assert not [one for one in with_text(shipped, text).check(RUNS) if one.severity == "fault"]


def _entry(question: str, answer: str) -> str:
    """A sound FAQ entry but for what its answer may promise."""
    aliases = "aliases.zh = ['甲乙丙', '丁戊己', '庚辛壬']\naliases.en = ['one of it', 'two of it', 'three of it']"
    return (
        f"[[entry]]\nid = 'share-points'\nquestion.zh = '{question}'\nquestion.en = 'Does sharing bring points'\n"
        f"{aliases}\n\nanswer.zh = '{answer}'\nanswer.en = 'No.'\n"
    )


def test_posters_and_phrases_are_checked_too(shipped: dict[str, bytes]) -> None:
    files = dict(shipped)
    files["posters/opening/poster.toml"] += "words = '转发领红包'\n".encode()
    files["posters/broken/poster.toml"] = b"a = 1\nb = \n"
    files["phrases/zh.toml"] = "nobody.says = '这句话'\n".encode()
    files["faq/share.toml"] = _entry("分享送积分吗", "分享送积分").encode()
    files["quizzes/latin.toml"] = b"# caf\xe9\n"
    found = [(one.file, one.line) for one in Bundle.of(files).check(RUNS) if one.severity == "fault"]
    last = files["posters/opening/poster.toml"].count(b"\n")
    places = [
        ("faq/share.toml", 8),
        ("phrases/zh.toml", 1),
        ("posters/broken/poster.toml", 2),
        ("posters/opening/poster.toml", last),  # what it says, and that there is no such key
        ("posters/opening/poster.toml", last),
        ("quizzes/latin.toml", 1),
    ]
    assert found == places


def test_a_file_that_is_not_toml_is_one_fault(shipped: dict[str, bytes]) -> None:
    bundle, text = edited(shipped, 'credit = "60 元"', 'credit = "60 元')
    found = [one for one in bundle.check(RUNS) if one.severity == "fault"]
    assert [(one.file, one.line) for one in found] == [("plan.toml", line_of(text, 'credit = "60 元'))]
    with pytest.raises(PlanFaults):
        _ = bundle.plan
