"""What a plan says is read exactly; clauses are on, off, or not run yet, and the outline tells it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from content.bundle import Bundle
from content.changes import plan_as_json, show
from content.plan.model import CLAUSES
from tests.plan_editing import RUNS, edited, line_of, shipped_files, with_text


@pytest.fixture
def shipped() -> dict[str, bytes]:
    return dict(shipped_files())


def test_clauses_that_do_not_run_yet_are_noted(shipped: dict[str, bytes]) -> None:
    bundle, text = Bundle.of(shipped), shipped["plan.toml"].decode()
    notes = {one.key: one.line for one in bundle.check(frozenset({"window", "checkin"})) if one.severity == "note"}
    assert notes.keys() == CLAUSES.keys() - {"window", "checkin"}
    assert notes["social.lottery"] == line_of(text, "[social.lottery]")


def test_unset_amounts_turn_their_clause_off(shipped: dict[str, bytes]) -> None:
    bundle, _ = edited(shipped, "days = 7", 'days = "unset"')
    plan = bundle.plan
    assert not plan.on("checkin")
    assert plan.on("points")
    assert plan.off == {"checkin"}
    lottery, _ = edited(shipped, "draws = 3", 'draws = "unset"')
    assert lottery.plan.off == {"social.lottery"}
    social, _ = edited(shipped, "most_a_week = 2", 'most_a_week = "unset"')
    assert not social.plan.on("social.lottery")


def test_a_clause_left_out_on_purpose_is_not_listed(shipped: dict[str, bytes]) -> None:
    text = shipped["plan.toml"].decode()
    start, end = text.index("[media]"), text.index("[offline]")
    without = text[:start] + text[end:]
    found = with_text(shipped, without).check(RUNS)
    assert [(one.key, one.severity) for one in found if one.severity != "warning"] == [("media", "unset")]
    said = with_text(shipped, 'without = ["media"]\n' + without)
    assert said.check(RUNS) == []
    assert not said.plan.on("media")


def test_values_are_exact(shipped: dict[str, bytes]) -> None:
    plan = Bundle.of(shipped).plan
    assert plan.joining is not None
    assert plan.evaluation is not None
    assert plan.window.start == datetime(2026, 10, 31, 16, tzinfo=UTC)
    assert plan.window.holds(datetime(2027, 2, 28, 15, 59, 59, tzinfo=UTC))
    assert not plan.window.holds(plan.window.end)
    assert plan.joining.credit == 6000
    assert plan.joining.packages[1].gift is not None
    assert (plan.joining.packages[1].gift.kind, plan.joining.packages[1].gift.count) == ("data", 10 * 1024)
    assert plan.evaluation.holdout == Decimal("0.05")
    assert plan.privacy.text_days == 180
    assert plan.referral is not None
    assert plan.referral.hold == timedelta(days=15)
    assert plan.points.worth == 1
    assert plan.product["zh"] == "家庭网"
    assert plan.keywords["打卡"] == "签到"
    assert plan.response.open_at(datetime(2026, 11, 23, 1, tzinfo=UTC), plan.zone)
    assert not plan.response.open_at(datetime(2026, 11, 23, 13, tzinfo=UTC), plan.zone)
    assert not plan.response.open_at(datetime(2027, 1, 1, 2, tzinfo=UTC), plan.zone)


def test_menu_in_one_language(shipped: dict[str, bytes]) -> None:
    menu = Bundle.of(shipped).plan.menu
    assert menu is not None
    tree = menu.tree("zh")
    assert tree[1] == {"label": "签到", "say": "签到"}
    assert tree[0]["items"][3] == {"label": "活动页", "url": "https://family.shanhe.example.com/"}
    assert menu.tree("en")[2]["label"] == "Mine"


def test_a_wall_time_that_the_clock_skips_is_refused(shipped: dict[str, bytes]) -> None:
    text = shipped["plan.toml"].decode().replace("Asia/Shanghai", "Europe/Berlin")
    text = text.replace("end = 2027-03-01T00:00:00", "end = 2027-03-28T02:30:00")
    found = [one for one in with_text(shipped, text).check(RUNS) if one.severity == "fault"]
    assert [one.key for one in found] == ["window.end"]


def test_outline_and_json(shipped: dict[str, bytes]) -> None:
    plan = Bundle.of(shipped).plan
    chinese, english = show(plan, "zh"), show(plan, "en")
    assert len(chinese) == len(english)
    assert ("每日签到", "每日积分", "5") in [(row.clause, row.term, row.value) for row in chinese]
    assert ("budget", "total", "4,880,000 yuan") in [(row.clause, row.term, row.value) for row in english]
    tree = plan_as_json(plan)
    assert tree["budget"]["total"] == 488_000_000 == sum(tree["budget"]["subtotals"].values())
    assert tree["zone"] == "Asia/Shanghai"
    assert tree["checkin"]["streaks"][0] == {"days": 7, "points": 20}
