"""The plan that is shipped is clean, whole and lawful, and no single slip in it goes unnoticed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from content.bundle import Bundle
from content.changes import plan_as_json
from content.faults import PlanFaults
from content.plan.model import CLAUSES, Plan
from content.plan.reading import inner, keys_of
from content.plan.terms import Gain, Table
from tests.plan_editing import FOLDER

BRIEF = [
    "goals",
    "window",
    "joining",
    "redemption",
    "referral",
    "entitlements",
    "site",
    "social",
    "media",
    "offline",
    "groups",
    "applications",
    "response",
    "training",
    "stress-test",
    "monitoring",
    "emergency",
    "budget",
    "indicators",
    "evaluation",
]
PAIR = re.compile(r"^([A-Za-z_-]+(?:\.[A-Za-z_-]+)*) = ")
HEADER = re.compile(r"^\[+([a-z.-]+)\]+")


@cache
def shipped() -> Bundle:
    return Bundle.read(FOLDER)


# Without these it is another push or welcome, as good.
FREE = {*(("social.pushes", key) for key in ("kind", "poster", "buttons")), ("welcome", "picture")}


@cache
def slips() -> list[tuple[str, int, int]]:
    """Every key of the plan: (its clause, first line, line behind its value), lines from 0."""
    lines = shipped().files["plan.toml"].decode().splitlines()
    clause, keys = "", []
    for number, line in enumerate(lines):
        if header := HEADER.match(line):
            clause = header[1]
        if pair := PAIR.match(line):
            end = number + 1
            if line.endswith('= """'):
                end = next(behind for behind in range(number + 1, len(lines)) if lines[behind] == '"""') + 1
            elif re.search(r"= \[\s*(#.*)?$", line):
                end = next(behind for behind in range(number + 1, len(lines)) if lines[behind] == "]") + 1
            keys.append((clause or pair[1].split(".")[0], number, end))
    return keys


def found_with(lines: list[str]) -> Bundle:
    return Bundle.of({**shipped().files, "plan.toml": "\n".join(lines).encode()})


def test_shipped_plan_is_clean() -> None:
    found = shipped().check(frozenset())
    assert [one.text("en") for one in found if one.severity != "note"] == []
    assert {one.key for one in found} == set(CLAUSES)
    assert shipped().check(frozenset(CLAUSES)) == []


def test_shipped_plan_has_every_clause_of_the_brief_switched_on() -> None:
    plan = shipped().plan
    for name in [*BRIEF, "social.pushes", "social.quizzes", "social.lottery", "points", "checkin"]:
        assert plan.on(name), name
    assert plan.off == frozenset()
    order = [key for key in shipped().document().data if key in BRIEF]
    assert sorted(order) == sorted(BRIEF)


def test_shipped_plan_is_json() -> None:
    assert json.loads(json.dumps(plan_as_json(shipped().plan)))["id"] == "family-network-2026"


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_deleted_key_is_noticed(data: st.DataObject) -> None:
    lines = shipped().files["plan.toml"].decode().splitlines()
    needed = [slip for slip in slips() if (slip[0], lines[slip[1]].partition(" ")[0]) not in FREE]
    clause, first, end = data.draw(st.sampled_from(needed))
    key = PAIR.match(lines[first])
    assert key
    edited = found_with(lines[:first] + lines[end:])
    found = [one for one in edited.check(frozenset(CLAUSES)) if one.severity in ("fault", "unset")]
    mine = [one for one in found if one.key.replace("]", "").startswith(clause.split(".")[0])]
    assert mine, (clause, lines[first])
    document = edited.document()
    for one in mine:
        steps = [int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", one.key)]
        assert one.line == document.line(steps)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_misspelt_key_is_named_on_its_line(data: st.DataObject) -> None:
    _, first, _ = data.draw(st.sampled_from(slips()))
    lines = shipped().files["plan.toml"].decode().splitlines()
    lines[first] = PAIR.sub(lambda pair: f"{pair[1]}q = ", lines[first])
    found = found_with(lines).check(frozenset(CLAUSES))
    named = [one for one in found if one.line == first + 1 and one.severity == "fault"]
    assert named, lines[first]


JUNK = [
    *("7", "-1", "1.5", "nan", "true", "9223372036854775807", "2026-11-01", "09:00:00", "2026-11-01T00:00:00Z"),
    *('""', '"x"', '"unset"', '"\\u0000"', '"{"', '"{x!r}"', '"99999999999 元"', '"99999999999d"', '"9e9 GB"'),
    *("[]", "[[]]", "[{}]", '["zh", "en"]', "{}", "{a = 1}", "{zh = 1}"),
]


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from(JUNK))
def test_no_value_makes_the_check_fail(data: st.DataObject, junk: str) -> None:
    _, first, end = data.draw(st.sampled_from(slips()))
    lines = shipped().files["plan.toml"].decode().splitlines()
    pair = PAIR.match(lines[first])
    assert pair
    bundle = found_with([*lines[:first], f"{pair[1]} = {junk}", *lines[end:]])
    found = [one for one in bundle.check(frozenset()) if one.severity == "fault"]
    try:
        plan_as_json(bundle.plan)
    except PlanFaults as refused:
        assert {one.key for one in refused.faults} <= {one.key for one in found}


def keys(table: type[Table], above: str = "") -> Iterator[str]:
    for key, field in keys_of(table).items():
        below, many = inner(field.annotation)
        if below is None or below is Gain:
            yield f"{above}{key}"
        else:
            yield from keys(below, f"{above}{key}{'[]' if many else ''}.")


@pytest.mark.parametrize("name", ["plan.md", "plan.zh.md"])
def test_both_pages_name_every_key(name: str) -> None:
    page = (FOLDER.parent.parent / "docs" / name).read_text("utf-8")
    for clause in CLAUSES:
        if "." in clause:
            continue
        below, many = inner(keys_of(Plan)[clause].annotation)
        assert below
        section = page.split(f"### `[[{clause}]]`" if many else f"### `[{clause}]`")[1].split("###")[0]
        assert [key for key in keys(below) if f"`{key}`" not in section] == [], clause
