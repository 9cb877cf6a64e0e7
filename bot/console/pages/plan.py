"""The campaign plan as it was applied: its revisions, what changed between two, what is unset, and the budget's state.

Reading a revision parses all its files, so it happens beside the event loop. Nothing is applied from here.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

from starlette.responses import Response

from bot.console import ROOT, page
from bot.console.visit import Missing, Visit
from campaigns import running
from content.bundle import Bundle
from content.changes import KIND_WORDS, Change, changes, show
from storage import acts, revisions, staff

WORDS = {
    "title": ("方案", "Plan"),
    "revision": ("第 {number} 版", "Revision {number}"),
    "applied": ("{when} 由 {who} 应用", "applied {when} by {who}"),
    "operator": ("命令行（运维）", "the command line (operator)"),
    "campaign": ("活动", "Campaign"),
    "none": ("还没有应用过方案。", "No plan was applied yet."),
    "unset": ("还没有填的内容", "Still unset"),
    "unset_lead": (
        "这些条款没有填，相应的部分不会启用。改好方案文件后运行 koukou plan apply。",
        "What these leave out does not run. Fill them in the plan's files, then koukou plan apply.",
    ),
    "all_set": ("全部填好了。", "Everything is set."),
    "budget": ("预算", "Budget"),
    "line": ("科目", "Line"),
    "given": ("预算额", "Given"),
    "spent": ("已列支", "Spent"),
    "held": ("已占用", "Held"),
    "left": ("可用", "Left"),
    "total": ("合计", "Total"),
    "spent_hint": (
        "已列支包括为已发和待发积分备好的钱。单位：元。",
        "Spent includes what was set aside for points. In yuan.",
    ),
    "no_budget": ("方案里没有填预算额。", "The plan gives no amounts yet."),
    "revisions": ("版本", "Revisions"),
    "number": ("版本", "Revision"),
    "when": ("时间", "When"),
    "who": ("谁", "Who"),
    "what": ("改了什么", "What changed"),
    "see": ("查看改动", "See the changes"),
    "first": ("第一版", "the first"),
    "now": ("现行", "in force"),
    "older": ("更早的", "Older"),
    "outline": ("方案内容", "What it says"),
    "clause": ("条款", "Clause"),
    "term": ("项目", "Term"),
    "value": ("内容", "Value"),
    "diff_title": ("第 {old} 版到第 {new} 版", "From revision {old} to {new}"),
    "diff_pick": ("比较两个版本", "Compare two revisions"),
    "from": ("从", "From"),
    "to": ("到", "To"),
    "compare": ("比较", "Compare"),
    "count": ("{count} 处不同", "{count} changes"),
    "same": ("两版相同。", "The two are the same."),
    "where": ("位置", "Where"),
    "key": ("项目", "Key"),
    "before": ("原来", "Before"),
    "after": ("现在", "After"),
    "file": ("整个文件", "the whole file"),
    "back": ("方案", "The plan"),
}
PLAN = f"{ROOT}/plan"
_REVISIONS = 20
_CHANGES_MAX = 500


@page(PLAN, "plan.read", menu=("方案", "Plan"), order=40)
async def plan(visit: Visit) -> Response:
    """The plan in force, with its revisions and budget."""
    told = await visit.read(lambda connection: _read(visit, connection))
    return visit.show("plan.html", WORDS, **told)


@page(f"{PLAN}/diff", "plan.read")
async def diff(visit: Visit) -> Response:
    """What changed between two revisions of a campaign."""
    old, new = (_number(visit.query(name, 9)) for name in ("from", "to"))
    told = await visit.read(lambda connection: _compared(visit, connection, old, new))
    return visit.show("plan_diff.html", WORDS, **told)


def _read(visit: Visit, connection: Any) -> dict[str, Any]:
    known = revisions.campaigns(connection)
    campaign = _campaign(visit, known)
    if not campaign:
        return {"campaign": "", "known": known}
    listed = revisions.listed(connection, campaign, _REVISIONS + 1, _number(visit.query("before", 9)))
    number = revisions.current(connection, campaign) or 0
    bundle = Bundle.of(revisions.files(connection, campaign, number))
    names = {line.id: line.name[_language(visit, bundle)] for line in bundle.plan.budget.lines}
    budget = acts.budget_state(connection, campaign)
    order = [*(line for line in names if line in budget), *(line for line in budget if line not in names)]
    lines = [(names.get(line, line), *budget[line], budget[line][0] - sum(budget[line][1:])) for line in order]
    clauses = [(name, list(rows)) for name, rows in groupby(show(bundle.plan, visit.language), lambda row: row.clause)]
    return {
        "campaign": campaign,
        "known": known,
        "number": number,
        "revisions": listed[:_REVISIONS],
        "older": listed[_REVISIONS - 1].number if len(listed) > _REVISIONS else 0,
        "members": _members(connection),
        "unset": [fault for fault in bundle.check(running()) if fault.severity == "unset"],
        "lines": lines,
        "sums": [sum(line[place] for line in lines) for place in range(1, 5)],
        "short": [(name, rows[0].value) for name, rows in clauses if not any(row.term for row in rows)],
        "clauses": [(name, rows) for name, rows in clauses if any(row.term for row in rows)],
        "yuan": _yuan,
    }


def _compared(visit: Visit, connection: Any, old: int, new: int) -> dict[str, Any]:
    known = revisions.campaigns(connection)
    campaign = _campaign(visit, known)
    try:
        before, after = (Bundle.of(revisions.files(connection, campaign, number)) for number in (old, new))
    except KeyError:
        raise Missing from None
    found = changes(before, after)
    place = 0 if visit.language == "zh" else 1
    kinds = {kind: pair[place] for kind, pair in KIND_WORDS.items()}
    rows = [(change, kinds[change.kind], _side(change.old), _side(change.new)) for change in found[:_CHANGES_MAX]]
    latest = revisions.current(connection, campaign) or 0
    numbers = [(str(n), visit.tell(*WORDS["revision"]).format(number=n)) for n in range(latest, 0, -1)][:200]
    more = {"count": len(found), "numbers": numbers, "known": known}
    return {"campaign": campaign, "old": old, "new": new, "rows": rows, **more}


def _campaign(visit: Visit, known: list[str]) -> str:
    asked = visit.query("campaign", 80)
    if asked and asked not in known:
        raise Missing
    return asked or (known[0] if known else "")


def _members(connection: Any) -> dict[str, str]:
    return {f"staff:{member.id}": member.name for member in staff.members(connection)}


def _language(visit: Visit, bundle: Bundle) -> Any:
    return visit.language if visit.language in bundle.plan.languages else bundle.plan.languages[0]


def _number(words: str) -> int:
    return int(words) if words.isascii() and words.isdigit() else 0


def _side(value: Any) -> str:
    return Change("added", "", 0, "x", None, value).text("en").partition("x: ")[2] if value is not None else ""


def _yuan(fen: int) -> str:
    return f"{fen / 100:,.2f}"
