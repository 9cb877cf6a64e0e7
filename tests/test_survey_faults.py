"""Each way a survey file can be wrong is named at its file and line; the shipped one has no fault."""

from __future__ import annotations

import pytest

from content.bundle import Bundle
from content.faults import Fault
from content.questions import MOST_QUESTIONS
from content.surveys import check, read_stored, words
from content.toml import parse
from tests.plan_editing import RUNS, edited, line_of, shipped_files
from tests.survey_house import FILE, plain, plan_with

CHOICES = '["朋友", "店里", "网上"]'

# (what is edited, into what, words on the line that must be named, key, words of the finding)
WRONG = {
    "unknown key": ('intro.zh = "说明"', 'intro.zh = "说明"\nend = 1', "end = 1", "end", "unknown"),
    "no thanks": ('thanks.zh = "多谢"\nthanks.en = "Thanks"\n', "", "intro.zh", "thanks", "by language"),
    "thanks in one language": ('thanks.en = "Thanks"\n', "", "thanks.zh", "thanks.en", "missing"),
    "a third language": ('intro.en = "Intro"', 'intro.en = "x"\nintro.fr = "x"', "intro.fr", "intro.fr", "unknown"),
    "intro too long": ('"Intro"', f'"{"x" * 501}"', "xxx", "intro.en", "500"),
    "no kind": ('kind = "text"\n', "", '^id = "words"', "questions[2].kind", "rating, choice, text"),
    "strange kind": ('kind = "text"', 'kind = "song"', "song", "questions[2].kind", "rating, choice, text"),
    "no id": ('id = "stars"\n', "", "[[questions]]", "questions[0].id", "a–z"),
    "bad id": ('id = "where"', 'id = "Wo her"', "Wo her", "questions[1].id", "a–z"),
    "id twice": ('id = "where"', 'id = "stars" # again', "# again", "questions[1].id", "above already"),
    "no ask": ('ask.en = "Content?"', 'ask.en = " "', 'ask.en = " "', "questions[0].ask.en", "missing"),
    "ask too long": ('"Content?"', f'"{"x" * 301}"', "xxx", "questions[0].ask.en", "300"),
    "strange scale": ("scale = 5", "scale = 7", "scale = 7", "questions[0].scale", "5 (1 to 5) or 10"),
    "scale as text": ("scale = 5", 'scale = "5"', 'scale = "5"', "questions[0].scale", "5 (1 to 5) or 10"),
    "scale as truth": ("scale = 5", "scale = true", "scale = true", "questions[0].scale", "5 (1 to 5) or 10"),
    "no end": ('low.zh = "差"\nlow.en = "bad"\n', "", "[[questions]]", "questions[0].low", "by language"),
    "end too long": ('low.en = "bad"', f'low.en = "{"x" * 21}"', "xxx", "questions[0].low.en", "20"),
    "choices of a rating": (
        "scale = 5",
        'scale = 5\nchoices.zh = ["a", "b"]',
        "choices.zh = ",
        "questions[0].choices",
        "choice has",
    ),
    "one choice": (CHOICES, '["朋友"]', '["朋友"]', "questions[1].choices.zh", "2 to 10"),
    "eleven choices": (CHOICES, str([f"第{n}" for n in range(11)]), "第10", "questions[1].choices.zh", "2 to 10"),
    "not as many": (CHOICES, '["朋友", "店里"]', "choices.zh", "questions[1].choices", "number"),
    "same choice": ('"online"', '"Ｆriends "', "Ｆriends", "questions[1].choices.en[2]", "twice"),
    "choice too long": ('"网上"', f'"{"网" * 22}"', "网网", "questions[1].choices.zh[2]", "64"),
    "choice of two lines": ('"网上"', '"a\\nb"', "a\\nb", "questions[1].choices.zh[2]", "one line"),
    "too long for one message": (
        f'ask.zh = "哪里来"\nask.en = "From where?"\nchoices.zh = {CHOICES}\n'
        'choices.en = ["friends", "a shop", "online"]',
        f'ask.zh = "{"哪" * 290}"\nask.en = "x"\nchoices.zh = {[str(n) + "长" * 20 for n in range(10)]}\n'
        f"choices.en = {[str(n) for n in range(10)]}",
        "哪哪",
        "questions[1].ask.zh",
        "WeChat",
    ),
    "nothing may be written": ("longest = 20", "longest = 0", "longest = 0", "questions[2].longest", "1 to 1000"),
    "far too much": ("longest = 20", "longest = 1001", "longest = 1001", "questions[2].longest", "1 to 1000"),
    "unlawful wording": ('"多谢"', '"分享到群里领积分"', "分享到群里", "thanks.zh", ""),
}


def found_in(text: str) -> list[Fault]:
    """What a plan with this survey file has to say of it; posters are left out, for drawing them takes long."""
    files = plan_with(text).files
    bundle = Bundle.of({name: files[name] for name in ("plan.toml", FILE)})
    return [one for one in bundle.check(RUNS) if one.file == FILE]


@pytest.mark.parametrize("fault", WRONG)
def test_a_fault_is_named_at_its_line(fault: str) -> None:
    old, new, said_on, key, said = WRONG[fault]
    text = plain()
    assert old in text
    text = text.replace(old, new, 1)
    found = found_in(text)
    named = [one for one in found if one.key == key and one.severity == "fault"]
    assert named, found
    assert said in named[0].message("en") and named[0].message("zh")
    assert named[0].line == line_of(text, said_on)
    if fault != "unlawful wording":  # what may not be said is refused when the plan is applied
        assert not read_stored(plan_with(text).files), "asked in spite of its fault"


def test_a_good_file_has_no_fault_and_is_asked() -> None:
    assert found_in(plain()) == []
    survey = read_stored(plan_with(plain()).files)["service"]
    assert [(one.kind, one.count, one.longest) for one in survey.questions] == [
        ("rating", 5, 0),
        ("choice", 3, 0),
        ("text", 0, 20),
        ("rating", 10, 0),
    ]
    bare = plain("rating", "text").replace("scale = 5\n", "").replace("longest = 20\n", "")
    assert [(one.scale, one.longest) for one in read_stored(plan_with(bare).files)["service"].questions] == [
        (5, 0),
        (0, 500),
    ]


@pytest.mark.parametrize("questions", ["", "questions = 3", "questions = []", 'questions = ["x"]'])
def test_a_file_without_questions(questions: str) -> None:
    found = found_in(f'{questions}\nintro = {{zh = "a", en = "a"}}\nthanks = {{zh = "a", en = "a"}}')
    assert [(one.key, one.severity) for one in found] == [("questions", "fault")]


def test_too_many_questions() -> None:
    one = plain("text")
    head, asked = one[: one.index("[[questions]]")], one[one.index("[[questions]]") :]
    many = head + "\n".join(asked.replace('"words"', f'"w{n}"') for n in range(MOST_QUESTIONS + 1))
    assert [one.key for one in found_in(many)] == [f"questions[{MOST_QUESTIONS}]"]


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('service.toml"\npoints = 20', 'service.toml"\npoints = 100001', "social.surveys[0].points"),
        ('file = "surveys/service.toml"', 'file = "surveys/servise.toml"', "social.surveys[0].file"),
        ('file = "surveys/service.toml"', 'file = "pictures/welcome.jpg"', "social.surveys[0].file"),
        ('name.en = "Service survey"\n', "", "social.surveys[0].name"),
    ],
)
def test_terms_that_cannot_be_kept(old: str, new: str, key: str) -> None:
    files = {name: raw for name, raw in shipped_files().items() if not name.startswith("posters/")}
    bundle, _ = edited(files, old, new)
    found = [one.key for one in bundle.check(RUNS) if one.severity == "fault" and one.file == "plan.toml"]
    assert any(one.startswith(key) for one in found), found


def test_a_plan_of_one_language_needs_that_one_only() -> None:
    data = parse(plain(), FILE).data
    for part in (data, *data["questions"]):
        for key in ("intro", "thanks", "ask", "low", "high", "choices"):
            if key in part:
                del part[key]["en"]
    assert check(data, ["zh"]) == []
    assert any(path[-1] == "en" for path, _, _ in check(data, ["zh", "en"]))


def test_the_shipped_survey_is_whole_and_its_names_lead_to_it() -> None:
    files = {name: shipped_files()[name] for name in ("plan.toml", FILE)}
    assert [one for one in Bundle.of(files).check(RUNS) if one.file == FILE] == []
    survey = read_stored(files)["service"]
    assert {question.kind for question in survey.questions} == {"rating", "choice", "text"}
    assert words([survey]) == {
        **dict.fromkeys(("服务满意度问卷", "service survey", "问卷 service", "survey service"), "service")
    }


def test_points_left_unset_leave_a_survey_unasked() -> None:
    files = dict(shipped_files())
    text = files["plan.toml"].decode().replace('service.toml"\npoints = 20', 'service.toml"\npoints = "unset"')
    assert read_stored({**files, "plan.toml": text.encode()}) == {}
