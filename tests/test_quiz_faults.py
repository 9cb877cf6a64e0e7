"""Each way a quiz file can be wrong is named at its file and line; the shipped one has no fault in either language."""

from __future__ import annotations

import pytest

from content.bundle import Bundle
from content.faults import Fault
from content.questions import MOST_QUESTIONS
from content.quizzes import read_stored
from tests.plan_editing import RUNS, line_of, shipped_files
from tests.quiz_house import FILE, plain, plan_with

LONG_WHY = 'why.zh = "讲解1"'

# (what is edited, into what, words on the line that must be named, key, severity, words of the finding)
WRONG = {
    "unknown key": ("order = ", "oder = ", "oder", "oder", "fault", "unknown"),
    "no such order": ('order = "fixed"', 'order = "random"', "random", "order", "fault", "fixed or shuffled"),
    "open in quotes": ("open = true", 'open = "yes"', "yes", "open", "fault", "true or false"),
    "no minutes": ("minutes = 5", "minutes = 0", "minutes = 0", "minutes", "fault", "1 to 10080"),
    "minutes as text": ("minutes = 5", 'minutes = "5"', 'minutes = "5"', "minutes", "fault", "whole number"),
    "prize without a share": ('from = "80%"', "from = 80", "from = 80", "prizes[0].from", "fault", "share"),
    "prize beyond all": ('from = "80%"', 'from = "180%"', "180%", "prizes[0].from", "fault", "100%"),
    "prize twice": (
        'from = "80%"',
        'from = "50%"\npoints = 1\n[[prizes]]\nfrom = "50%" # again',
        "# again",
        "prizes[1].from",
        "fault",
        "twice",
    ),
    "prize of nothing": ("points = 7", "points = 0", "points = 0", "prizes[0].points", "fault", "1 to"),
    "strange prize": ("points = 7", "points = 7\ngift = 1", "gift", "prizes[0].gift", "fault", "unknown"),
    "strange key": ("right = 2", "right = 2\nhint = 1", "hint", "questions[0].hint", "fault", "unknown"),
    "bad id": ('id = "q2"', 'id = "Q 2"', "Q 2", "questions[1].id", "fault", "lower-case"),
    "id twice": ('id = "q2"', 'id = "q1" # again', "# again", "questions[1].id", "fault", "above already"),
    "no question": ('ask.en = "Ask 1"', 'ask.en = " "', 'ask.en = " "', "questions[0].ask.en", "fault", "missing"),
    "one language only": ('ask.en = "Ask 1"\n', "", 'ask.zh = "问题1"', "questions[0].ask.en", "fault", "missing"),
    "a third language": ('ask.en = "Ask 1"', 'ask.en = "x"\nask.fr = "x"', "fr =", "questions[0].ask.fr", "fault", ""),
    "ask too long": ('"Ask 1"', f'"{"x" * 301}"', "xxx", "questions[0].ask.en", "fault", "300"),
    "ask of wide letters": ('"Ask 1"', f'"{"😀" * 151}"', "😀", "questions[0].ask.en", "fault", "300"),
    "one choice": ('["甲1", "乙1", "丙1"]', '["甲1"]', '["甲1"]', "questions[0].choices.zh", "fault", "2 to 10"),
    "eleven choices": (
        '["甲1", "乙1", "丙1"]',
        str([str(n) for n in range(11)]),
        "'10'",
        "questions[0].choices.zh",
        "fault",
        "2 to 10",
    ),
    "not as many": ('["甲1", "乙1", "丙1"]', '["甲1", "乙1"]', "choices.zh", "questions[0].choices", "fault", "number"),
    "empty choice": ('"丙1"', '""', '""', "questions[0].choices.zh[2]", "fault", "one line"),
    "choice of two lines": ('"丙1"', '"a\\nb"', "a\\nb", "questions[0].choices.zh[2]", "fault", "one line"),
    "choice too long": ('"third 1"', f'"{"x" * 65}"', "xxx", "questions[0].choices.en[2]", "fault", "64"),
    "same choice": ('"third 1"', '"Ｆirst  1"', "Ｆirst", "questions[0].choices.en[2]", "fault", "twice"),
    "right of nothing": ("right = 2", "right = 4", "right = 4", "questions[0].right", "fault", "1 to 3"),
    "right counted from 0": ("right = 2", "right = 0", "right = 0", "questions[0].right", "fault", "1 to 3"),
    "right as text": ("right = 2", 'right = "2"', 'right = "2"', "questions[0].right", "fault", "whole number"),
    "right as truth": ("right = 2", "right = true", "right = true", "questions[0].right", "fault", "whole number"),
    "no right": ("right = 2\n", "", "[[questions]]", "questions[0].right", "fault", "whole number"),
    "why too long": (LONG_WHY, f'why.zh = "{"长" * 201}"', "长长", "questions[0].why.zh", "fault", "200"),
    "why of four lines": (LONG_WHY, 'why.zh = "a\\nb\\nc\\nd"', "a\\nb", "questions[0].why.zh", "fault", "line breaks"),
    "no why": (LONG_WHY + '\nwhy.en = "Because 1"', "", "[[questions]]", "questions[0].why", "warning", "explanation"),
    "why in one language": ('why.en = "Because 1"', "", LONG_WHY, "questions[0].why.en", "fault", "missing"),
    "too little time": ("seconds = 9", "seconds = 4", "seconds = 4", "questions[1].seconds", "fault", "5 to 600"),
    "too much time": ("seconds = 9", "seconds = 601", "seconds = 601", "questions[1].seconds", "fault", "5 to 600"),
    "too long for one message": (
        'choices.zh = ["甲1", "乙1", "丙1"]\nchoices.en = ["first 1", "second 1", "third 1"]',
        f"choices.zh = {[str(n) + '长' * 20 for n in range(10)]}\nchoices.en = {[str(n) for n in range(10)]}",
        "ask.zh",
        "questions[0].ask.zh",
        "fault",
        "WeChat",
    ),
    "unlawful wording": ("讲解1", "分享到群里领积分", "分享到群里", "questions[0].why.zh", "fault", ""),
}


def good() -> str:
    """A file with all there can be."""
    head = 'minutes = 5\norder = "fixed"\nopen = true\n[[prizes]]\nfrom = "80%"\npoints = 7'
    return plain(head, {2: "seconds = 9\n"})


def found_in(text: str) -> list[Fault]:
    """What a plan with this quiz file has to say of it; posters are left out, for drawing them takes long."""
    files = plan_with(text).files
    return [
        one for one in Bundle.of({name: files[name] for name in ("plan.toml", FILE)}).check(RUNS) if one.file == FILE
    ]


@pytest.mark.parametrize("fault", WRONG)
def test_a_fault_is_named_at_its_line(fault: str) -> None:
    old, new, words, key, severity, said = WRONG[fault]
    text = good()
    if fault == "too long for one message":
        text = text.replace('ask.zh = "问题1"', f'ask.zh = "{"问" * 200}"')
    assert old in text
    text = text.replace(old, new, 1)
    found = found_in(text)
    named = [one for one in found if one.key == key and one.severity == severity]
    assert named, found
    assert said in named[0].message("en") and named[0].message("zh")
    assert named[0].line == line_of(text, words)
    if fault == "unlawful wording":
        return  # what may not be said is refused when the plan is applied
    assert severity == "warning" or not read_stored(plan_with(text).files), "asked in spite of its fault"


def test_a_good_file_has_no_fault_and_is_asked() -> None:
    assert found_in(good()) == []
    quiz = read_stored(plan_with(good()).files)["family"]
    assert (quiz.minutes, quiz.open, quiz.shuffled, quiz.prizes[0].percent) == (5, True, False, 80)
    assert [one.seconds for one in quiz.questions] == [0, 9, 0] and quiz.questions[0].right == 1


@pytest.mark.parametrize("text", ["", "questions = 3", "questions = []", 'questions = ["x"]'])
def test_a_file_without_questions(text: str) -> None:
    (found,) = found_in(text)
    assert found.key == "questions" and found.severity == "fault"


def test_too_many_questions() -> None:
    found = found_in(plain(count=MOST_QUESTIONS + 1))
    assert [one.key for one in found] == [f"questions[{MOST_QUESTIONS}]"]
    assert not found_in(plain(count=MOST_QUESTIONS))


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('pass_at = "60%"', 'pass_at = "101%"', "pass_at"),
        ("tries = 1", "tries = 0", "tries"),
        ('file = "quizzes/family.toml"', 'file = "pictures/welcome.jpg"', "file"),
    ],
)
def test_terms_that_cannot_be_kept(old: str, new: str, key: str) -> None:
    files = dict(shipped_files())
    text = files["plan.toml"].decode()
    start = text.index("[[social.quizzes]]")
    text = text[:start] + text[start:].replace(old, new, 1)
    found = Bundle.of({**files, "plan.toml": text.encode()}).check(RUNS)
    assert [one.key for one in found if one.severity == "fault"] == [f"social.quizzes[0].{key}"]


def test_a_plan_of_one_language_needs_that_one_only() -> None:
    from content.quizzes import check
    from content.toml import parse

    data = parse(good(), FILE).data
    for question in data["questions"]:
        for part in ("ask", "choices", "why"):
            del question[part]["en"]
    assert check(data, ["zh"]) == []
    assert any(path[-1] == "en" for path, _, _ in check(data, ["zh", "en"]))


def test_a_question_without_an_id_is_another_one_when_it_changes() -> None:
    def ids(text: str) -> list[str]:
        return [one.id for one in read_stored(plan_with(text).files)["family"].questions]

    bare = plain().replace('id = "q1"\n', "")
    assert len(ids(bare)[0]) == 12 and ids(bare) == ids(bare)
    changed = ids(bare.replace("问题1", "新的问题"))
    assert changed[0] != ids(bare)[0] and changed[1:] == ids(bare)[1:]
    assert ids(bare.replace("讲解1", "换个讲法"))[0] == ids(bare)[0]


def test_the_shipped_quiz_says_why_in_both_languages() -> None:
    bundle = Bundle.of(shipped_files())
    assert [one for one in bundle.check(RUNS) if one.file == FILE] == []
    quiz = read_stored(bundle.files)["family"]
    assert all(question.why["zh"] and question.why["en"] for question in quiz.questions)


def test_unset_amounts_leave_a_quiz_unasked() -> None:
    files = dict(shipped_files())
    text = files["plan.toml"].decode().replace("points_each = 10", 'points_each = "unset"')
    assert read_stored({**files, "plan.toml": text.encode()}) == {}
