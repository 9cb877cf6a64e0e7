"""The segment language: both languages read alike and written back, faults with their column, hostile lines, the plan's
names, the pages, and the commands."""

from __future__ import annotations

import json
import re
import time
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from campaigns import running
from content.bundle import Bundle
from content.plan.audience import WORDS, tree_of
from content.segment_words import FACTS, RESERVED, VALUES, RuleFault
from content.segments import FACTS_MAX, NESTED_MAX, RULE_MAX, parse, write
from storage import followers
from storage.store import Store
from storage.trees import check_segment
from tests.commands import koukou
from tests.plan_editing import FOLDER, RUNS, edited, line_of, shipped_files, with_text

ROOT = Path(__file__).parent.parent
EXAMPLE = [
    "and",
    ["channel", "=", "telegram"],
    ["or", ["points", ">=", 100], ["friends", ">=", 1]],
    ["not", ["inactive", 30]],
]
IDS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,10}", fullmatch=True) | st.sampled_from(sorted(RESERVED | set(FACTS)))
SIGN = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
CHANNEL = st.sampled_from(["wechat", "telegram", "web"])
FACT = st.one_of(
    st.sampled_from([["everyone"], ["guest"], ["referred"], ["applied"]]),
    (CHANNEL | st.tuples(CHANNEL, IDS).map("/".join)).map(lambda one: ["channel", "=", one]),
    st.sampled_from(["zh", "en"]).map(lambda one: ["language", "=", one]),
    st.tuples(st.sampled_from(["placement", "branch"]), IDS).map(lambda two: [two[0], "=", two[1]]),
    st.tuples(st.sampled_from(["points", "friends", "qualified"]), SIGN, st.integers(0, 10**12)).map(list),
    st.tuples(
        SIGN,
        st.dates(min_value=date(1971, 1, 1), max_value=date(9998, 1, 1)),
    ).map(lambda two: ["joined", two[0], two[1].isoformat()]),
    st.integers(1, 3650).map(lambda days: ["joined", "within", days]),
    st.integers(1, 3650).map(lambda days: ["inactive", days]),
    st.sampled_from(["checkin", "quiz", "survey", "poster", "lottery"]).map(lambda what: ["took", what]),
    st.tuples(st.sampled_from(["quiz", "survey"]), IDS).map(lambda two: ["took", *two]),
)
TREE = st.recursive(
    FACT,
    lambda below: st.one_of(
        below.map(lambda one: ["not", one]),
        st.tuples(st.sampled_from(["and", "or"]), st.lists(below, min_size=2, max_size=3)).map(lambda t: [t[0], *t[1]]),
    ),
    max_leaves=10,
)


@given(TREE)
@example(["placement", "=", "not"])  # "is not" is one word of the language, is "not" are two
def test_what_is_written_is_read_back_in_both_languages(tree: list[Any]) -> None:
    check_segment(tree)
    for language in ("zh", "en"):
        said = write(tree, language)  # type: ignore[arg-type]
        assert parse(said).tree == tree, said
        assert json.loads(json.dumps(tree)) == tree


@pytest.mark.parametrize(
    "rule",
    [
        "channel is telegram and (points >= 100 or friends >= 1) and not inactive 30 days",
        "渠道 是 telegram 且 (积分 >= 100 或 推荐 >= 1) 且 非 30 天未互动",
        "渠道是Telegram且（积分≥１００或推荐>=1）且非30天未互动",
        "Channel = telegram AND (积分 >= 100 或者 friends ≥ 1) 并且 不 未互动 30 天",
    ],
)
def test_both_languages_mean_the_same(rule: str) -> None:
    assert parse(rule).tree == EXAMPLE


def test_and_binds_closer_than_or_and_not_closest() -> None:
    guest, referred = ["guest"], ["referred"]
    assert parse("guest or referred and not guest").tree == ["or", guest, ["and", referred, ["not", guest]]]
    assert parse("not (guest or referred)").tree == ["not", ["or", guest, referred]]
    assert parse("channel is not web").tree == parse("not channel is web").tree == ["not", ["channel", "=", "web"]]
    assert (
        parse("joined before 2026-11-01").tree == parse("首次来访早于2026-11-01").tree == ["joined", "<", "2026-11-01"]
    )


@pytest.mark.parametrize(
    ("rule", "column", "says"),
    [
        ("", 1, "a fact"),
        ("poinst >= 3", 1, "did you mean points?"),
        ("guest and poinst >= 3", 11, "did you mean points?"),
        ("积份 >= 3", 1, "did you mean 积分?"),
        ("访客且积份", 4, "did you mean 积分?"),
        ("points => 3", 8, "did you mean >=?"),
        ("points >=", 10, "a whole number"),
        ("points >= many", 11, "a whole number"),
        ("points >= -5", 11, "a whole number"),
        ("points >= 9999999999999", 11, "at most"),
        ("points 5", 8, "a comparison"),
        ("(guest", 7, "`)` for the bracket of column 1"),
        ("guest)", 6, "`and`, `or` or the end"),
        ("guest guest", 7, "`and`, `or` or the end"),
        ("guest andd referred", 7, "did you mean and?"),
        ("channel is whatsapp", 12, "wechat"),
        ("channel whatsapp", 9, "`is` or `is not`"),
        ("placement is 北广场", 14, "an id"),
        ("inactive 0 days", 10, "at least 1 day"),
        ("inactive 30", 12, "`days`"),
        ("30 天", 5, "`inactive`"),
        ("joined >= 2026-13-01", 11, "a date"),
        ("joined >= 20261101", 11, "a date"),
        ("joined >= 0001-01-01", 11, "beyond"),
        ("took part in quizz", 14, "did you mean quiz?"),
        ("took part in surveys", 14, "did you mean survey?"),
        ("took part in poster family", 21, "`and`, `or` or the end"),
        ("guest and", 10, "ends where a fact"),
        ('placement is "and', 14, "expected"),
        ("not " * (NESTED_MAX + 1) + "guest", 4 * NESTED_MAX + 1, "50 deep"),
        ("(" * (NESTED_MAX + 1) + "guest", NESTED_MAX + 1, "50 deep"),
        (" or ".join(["guest"] * (FACTS_MAX + 1)), 9 * FACTS_MAX + 1, "more than 100"),
        ("g" * (RULE_MAX + 1), RULE_MAX + 1, "at most 2000"),
        ("\0\ud800", 1, "expected a fact"),
    ],
)
def test_a_fault_names_its_column_and_what_to_do(rule: str, column: int, says: str) -> None:
    with pytest.raises(RuleFault) as refused:
        parse(rule)
    fault = refused.value
    assert fault.column == column
    assert says in fault.text("en")
    assert re.search("[一-鿿]", fault.text("zh"))
    assert not re.search("[一-鿿]", re.sub("“.*?”|mean .*", "", fault.text("en")))
    (fault.text("zh") + fault.text("en")).encode()


HOSTILE = st.one_of(
    st.text(max_size=3000),
    st.lists(
        st.sampled_from(
            [word for fact in FACTS.values() for word in fact.said]
            + [*"()（）<>=!≥", "and", "且", "非", "not", "is", "是", "30", "天", "days", '"', "2026-11-01", "北", "\0"]
        ),
        max_size=400,
    ).map(" ".join),
)


@settings(deadline=None, max_examples=200)
@given(HOSTILE)
def test_any_line_is_read_or_refused_in_bounded_time(line: str) -> None:
    began = time.process_time()
    try:
        tree = parse(line).tree
    except RuleFault as fault:
        assert 1 <= fault.column <= len(line) + 1
        fault.text("en").encode()
    else:
        check_segment(tree)
        assert parse(write(tree, "zh")).tree == tree
    assert time.process_time() - began < 1


def test_the_longest_lines_take_no_time() -> None:
    for line in (
        "(" * RULE_MAX,
        "非" * RULE_MAX,
        '"' * RULE_MAX,
        "且" * RULE_MAX,
        "9" * RULE_MAX,
        "a-" * (RULE_MAX // 2),
    ):
        began = time.process_time()
        with pytest.raises(RuleFault):
            parse(line)
        assert time.process_time() - began < 0.5


# ---- in the plan


def plan_fault(old: str, new: str) -> tuple[Any, str]:
    bundle, text = edited(dict(shipped_files()), old, new)
    found = [one for one in bundle.check(RUNS) if one.severity == "fault"]
    assert len(found) == 1, found
    return found[0], text


RULE = 'rule = "非 访客 且 非 30 天未互动"'


@pytest.mark.parametrize(
    ("rule", "column", "says"),
    [
        ("poinst >= 3", 1, "points"),
        ("placement is north-sqare", 1, "the plan has no placement north-sqare"),
        ("guest or branch is nowhere", 10, "the plan has no branch nowhere"),
        ("took part in quiz famly", 1, "did you mean family?"),
        ("took part in survey servise", 1, "did you mean service?"),
        ("took part in survey family", 1, "the plan has no survey family"),
        ("language is fr", 13, "zh"),
    ],
)
def test_a_faulty_rule_is_named_by_file_and_line(rule: str, column: int, says: str) -> None:
    fault, text = plan_fault(RULE, f'rule = "{rule}"')
    assert (fault.file, fault.line, fault.key) == ("plan.toml", line_of(text, rule), "segments[0].rule")
    assert f"column {column}: " in fault.message("en")
    assert says in fault.text("en")


def test_what_cannot_be_known_yet_is_refused() -> None:
    bundle, text = edited(dict(shipped_files()), RULE, 'rule = "referred and applied"')
    found = {one.key: one for one in bundle.check(running()) if one.severity == "fault"}
    assert found["segments[0].rule"].line == line_of(text, "and applied")
    assert "“applied”" in found["segments[0].rule"].message("en")
    assert "column 14" in found["segments[0].rule"].message("en")


def test_a_push_names_a_segment_or_one_of_the_four_words() -> None:
    fault, text = plan_fault('to = "active"', 'to = "actve"')
    assert fault.key.endswith(".to") and fault.line == line_of(text, '"actve"')
    assert "did you mean active?" in fault.text("en")
    bundle, _ = edited(dict(shipped_files()), 'id = "could-invite"', 'id = "members"')
    found = {one.key: one.message("en") for one in bundle.check(RUNS) if one.severity == "fault"}
    assert found.keys() == {"segments[1].id", "social.pushes[2].to"}
    assert "meaning of its own" in found["segments[1].id"]


def test_a_segment_is_found_by_its_id_or_word() -> None:
    plan = Bundle.read(FOLDER).plan
    assert [one.id for one in plan.segments or ()] == ["active", "could-invite"]
    assert tree_of(plan, "active") == ["and", ["not", ["guest"]], ["not", ["inactive", 30]]]
    assert tree_of(plan, "prospects") == ["not", ["applied"]] == parse("非 已办理").tree
    with pytest.raises(KeyError):
        tree_of(plan, "nobody")


def test_a_plan_without_segments_is_a_plan() -> None:
    text = shipped_files()["plan.toml"].decode()
    begin, end = text.index("[[segments]]"), text.index("[social] ")
    bare = re.sub('to = "(active|could-invite)"', 'to = "everyone"', text[:begin] + text[end:])
    assert [one for one in with_text(dict(shipped_files()), bare).check(RUNS)] == []


# ---- the pages


@pytest.mark.parametrize(("name", "place"), [("segments.zh.md", 0), ("segments.md", 1)])
def test_both_pages_have_the_whole_language(name: str, place: int) -> None:
    page = (ROOT / "docs" / name).read_text("utf-8")
    table = re.findall(r"^\| `([^`]+)` \| (.*?) \| (`.*`) \|$", page, re.MULTILINE)
    facts = {row[0]: row for row in table}
    assert [row[0] for row in table] == [fact.words[place] for fact in FACTS.values()]
    for fact in FACTS.values():
        _, meaning, examples = facts[fact.words[place]]
        assert meaning == fact.meaning[place]
        for shown in re.findall("`([^`]+)`", examples):
            assert fact.name in json.dumps(parse(shown).tree)
    for words in VALUES.values():
        assert [value for value in set(words.values()) if value not in page and value not in ("zh", "en")] == []
    for word, tree in WORDS.items():
        row = re.search(rf"^\| `{word}` \| `(.*)` \|$", page, re.MULTILINE)
        assert row and parse(row[1]).tree == tree
    for block in re.findall(r"^```\n(.*?)^```", page, re.DOTALL | re.MULTILINE)[:1]:
        assert {json.dumps(parse(line).tree) for line in block.strip().splitlines()} == {json.dumps(EXAMPLE)}
    assert f"{RULE_MAX:,}" in page and str(FACTS_MAX) in page and str(NESTED_MAX) in page


# ---- the commands


@pytest.fixture
def config(database_url: str, tmp_path: Path) -> Path:
    """Settings of a database with the shipped plan applied and nobody in it."""
    path = tmp_path / "config.toml"
    path.write_text(f'[service]\nplan = "{FOLDER}"\n[storage]\nurl = "{database_url}"\n')
    done = koukou(path, "plan", "apply", str(FOLDER))
    assert done.exit_code == 0, done.stderr
    return path


def test_commands_read_and_count(config: Path, database_url: str) -> None:
    done = koukou(config, "segment", "check", "渠道是微信且积分<5")
    assert (done.exit_code, done.stdout) == (0, "渠道 是 微信 且 积分 < 5\nchannel is wechat and points < 5\n")
    done = koukou(config, "segment", "check", "guest or poinst", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["faults"][0]["column"] == 10
    done = koukou(config, "segment", "check", "applied")
    assert done.exit_code == 1 and "does not know" in done.stderr and not done.stdout
    with closing(Store(database_url)) as store, store.begin() as connection:
        crowd = [followers.Newcomer(f"o{n}", f"digest{n}", "zh" if n % 4 else "en") for n in range(40)]
        followers.add(connection, "wechat", "main", crowd, datetime.now(UTC), ("family-network-2026", 1))
    done = koukou(config, "segment", "count", "language is en", "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["people"] + told["held_out"] == 10
    assert told["accounts"][0]["account"] == "wechat:main"
    assert told["accounts"][0]["shut"] == told["people"]
    assert json.loads(koukou(config, "segment", "count", "active", "--json").stdout)["people"] == 0
    done = koukou(config, "segment", "count", "everyone")
    assert re.search(r"\d+ people; besides, \d+ held out, 0 on no channel", done.stdout), done.stdout
    done = koukou(config, "segment", "count", "members")
    assert done.exit_code == 1 and "not known" in done.stderr
    assert koukou(config, "segment", "count", "activ").exit_code == 1
