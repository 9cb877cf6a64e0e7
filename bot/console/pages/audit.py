"""The audit log: what members of staff and operators did, newest first; a view of events that nobody can write.

A page's file may name the kinds of its own acts in `KINDS`; a kind without words is shown as it is stored.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from bot.console import ROOT, kinds_of_pages, page
from bot.console.pages.home import WORDS as HOME
from bot.console.visit import Visit
from campaigns import staff as acts
from campaigns.asked import KINDS as PROPOSED
from campaigns.asked import units as proposable
from storage import audit, staff
from storage.staff import Member

PAGE = 50
WORDS = {
    "title": ("操作记录", "Audit log"),
    "lead": (
        "员工和命令行做过的每件事，写下后不能改；已封入账本的链。",
        "Everything that staff and the command line did. It cannot be changed and is sealed into the ledger's chain.",
    ),
    "who": ("谁", "Who"),
    "anybody": ("所有人", "Everybody"),
    "operator": ("命令行（运维）", "Command line (operator)"),
    "kind": ("做了什么", "What"),
    "any_kind": ("所有操作", "Anything"),
    "day": ("哪一天", "Day"),
    "when": ("时间", "When"),
    "about": ("对象", "About"),
    "details": ("详情", "Details"),
    "filter": ("筛选", "Filter"),
    "all": ("清除筛选", "Clear"),
    "nothing": ("没有这样的记录。", "There is no such record."),
    "older": ("更早的", "Older"),
    "newest": ("回到最新", "Newest"),
    "person": ("用户 {number}", "Subscriber {number}"),
    "revision": ("方案第 {number} 版", "plan revision {number}"),
    "staff": ("员工", "member"),
    "roles": ("角色", "roles"),
    "branch": ("网点", "branch"),
    "second": ("取消动态口令", "second factor removed"),
    "count": ("次数", "count"),
    "files": ("文件数", "files"),
    "points": ("积分", "points"),
    "holds": ("占用", "holds"),
    "timers": ("到期事项", "what was to fall due"),
    "referrals": ("推荐", "referrals"),
    "push": ("推送", "push"),
    "run": ("第几次发送", "run"),
    "people": ("人数", "people"),
    "proposal": ("变动第", "change no."),
    "of_kind": ("类别", "kind"),
    "unit": ("单位", "unit"),
    "lines": ("行数", "lines"),
    "total": ("合计", "total"),
    "purpose": ("用途", "purpose"),
    "survey": ("问卷", "survey"),
    "question": ("题目", "question"),
    "alone": ("由提出人自己复核", "approved by who proposed it"),
}
KINDS = {
    "plan.applied": ("应用方案", "Applied the plan"),
    "referral": ("改变推荐状态", "Changed a referral"),
    "staff.added": ("添加员工", "Added a member"),
    "staff.changed": ("修改员工角色", "Changed a member's roles"),
    "staff.reset": ("重设员工密码", "Reset a member's password"),
    "staff.activated": ("恢复员工", "Activated a member"),
    "staff.deactivated": ("停用员工", "Deactivated a member"),
    "staff.sessions_ended": ("结束登录", "Ended log-ins"),
    "staff.password_set": ("修改自己的密码", "Changed their password"),
    "staff.second_set": ("启用动态口令", "Set up a second factor"),
    "staff.second_removed": ("停用动态口令", "Turned the second factor off"),
    "staff.entered": ("登录", "Logged in"),
    "staff.entered_by_recovery": ("用恢复码登录", "Logged in by a recovery code"),
}
_CURSOR = re.compile(r"(\d{1,18})-(\d{1,18})")
_ACTOR = re.compile(r"operator|staff:\d{1,18}")


@page(f"{ROOT}/audit", "audit.read", menu=("记录", "Audit"), order=90)
async def log(visit: Visit) -> Response:
    """A page of the log, by who, what and day."""
    members = _mine(visit, await visit.read(staff.members))
    known = await visit.read(audit.kinds)
    who, kind, day = visit.query("who", 40), visit.query("kind", 80), visit.query("day", 10)
    since = _day(visit, day)
    found = _CURSOR.fullmatch(visit.query("before", 40))
    asked: dict[str, Any] = {
        "actors": _actors(visit, members, who),
        "kind": kind if kind in known else "",
        "since": since,
        # A local day is not always 24 hours long.
        "until": _day(visit, (since + timedelta(days=1)).date().isoformat()) if since else None,
        "before": (int(found[1]), int(found[2])) if found else None,
    }
    rows = await visit.read(lambda connection: audit.entries(connection, PAGE + 1, **asked))
    names = {**KINDS, **kinds_of_pages()}
    place = 0 if visit.language == "zh" else 1
    chosen = {key: value for key, value in (("who", who), ("kind", kind), ("day", day)) if value}
    older = ""
    if len(rows) > PAGE:
        older = "?" + urlencode(chosen | {"before": "{}-{}".format(*audit.cursor(rows[PAGE - 1]))})
    by_number = {member.id: member.name for member in members}
    context: dict[str, Any] = {
        "rows": [(row, _what(names, row.kind, place), _details(visit, row.data, by_number)) for row in rows[:PAGE]],
        "whos": [("", WORDS["anybody"][place])]
        + ([] if visit.me.branch else [("operator", WORDS["operator"][place])])
        + [(acts.actor(member.id), member.name) for member in members],
        "kinds": [("", WORDS["any_kind"][place]), *((one, _what(names, one, place)) for one in known)],
        "who": who,
        "kind": kind,
        "day": day if since else "",
        "older": older,
        "first": found is None,
    }
    return visit.show("audit.html", WORDS, **context)


def _mine(visit: Visit, members: list[Member]) -> list[Member]:
    """Those whose acts somebody of a branch may see: the branch's own."""
    return [member for member in members if visit.me.branch in (None, member.branch)]


def _actors(visit: Visit, members: list[Member], who: str) -> list[str] | None:
    """Whose acts to show; None for everybody's."""
    allowed = None if visit.me.branch is None else [acts.actor(member.id) for member in members]
    if not _ACTOR.fullmatch(who):
        return allowed
    return [who] if allowed is None or who in allowed else []


def _day(visit: Visit, text: str) -> datetime | None:
    """The beginning of a local day, None for no day that a calendar has."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d")
    except ValueError:
        return None
    return day.replace(tzinfo=visit.zone) if 1971 <= day.year <= 9000 else None


def _what(names: dict[str, tuple[str, str]], kind: str, place: int) -> str:
    return names[kind][place] if kind in names else kind


def _details(visit: Visit, data: dict[str, Any], members: dict[int, str]) -> str:
    """An event's data as a line; members and roles by their names."""
    shown, units = [], proposable(visit.app.writer.library.plan)
    for key, value in data.items():
        name = visit.tell(*WORDS[key]) if key in WORDS else key
        if key == "staff":
            value = members.get(value, value)
        elif key == "kind" and value in PROPOSED:
            name, value = visit.tell(*WORDS["of_kind"]), visit.tell(*PROPOSED[value])
        elif key == "unit":
            value = visit.tell(*units.get(value, (value, value)))
        elif key == "roles":
            parts = (visit.tell(*HOME.get(f"role.{role}", (role, role))) for role in str(value).split(",") if role)
            value = "、".join(parts) if visit.language == "zh" else ", ".join(parts)
        if value not in ("", 0):
            shown.append(f"{name} {value}")
    return ("；" if visit.language == "zh" else "; ").join(shown)
