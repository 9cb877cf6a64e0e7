"""Staff and rights: who there is, what each may do, new passwords, log-ins ended from afar.

A one-time password is shown once, to whoever gave it, and is good for three days.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.responses import Response

from bot.console import ROOT, page, post
from bot.console.locks import ONE_TIME_HOURS, one_time_password
from bot.console.pages.home import WORDS as HOME
from bot.console.pages.home import role_names
from bot.console.visit import Missing, Visit, Wrong
from campaigns import rights
from campaigns import staff as acts
from campaigns.desk import ActRefused
from storage import staff
from storage.staff import Member

RIGHT = "staff.manage"
LIST = f"{ROOT}/staff"
WORDS = {
    "title": ("员工和权限", "Staff and rights"),
    "add": ("添加员工", "Add a member"),
    "name": ("姓名", "Name"),
    "name_hint": ("登录时输入；文字、数字和 . _ - @ +", "typed at log-in: letters, digits and . _ - @ +"),
    "roles": ("角色", "Roles"),
    "branch": ("网点", "Branch"),
    "branch_hint": (
        "只负责一个网点的人填网点代号，与方案里点位的 branch 一致；留空可见全部用户。管理员不限网点。",
        "For somebody of one branch, its name as at the plan's spots; empty: everybody's. Never for administrators.",
    ),
    "all_branches": ("全部", "all"),
    "language": ("语言", "Language"),
    "zh": ("中文", "Chinese"),
    "en": ("英文", "English"),
    "state": ("状态", "State"),
    "active": ("在岗", "active"),
    "inactive": ("已停用", "inactive"),
    "must_change": ("待改密码", "must change password"),
    "second": ("动态口令", "Second factor"),
    "second_on": ("已启用", "on"),
    "second_off": ("未启用", "off"),
    "back": ("员工名单", "All staff"),
    "change": ("修改角色和网点", "Change roles and branch"),
    "change_hint": ("保存后此人的登录全部结束，重新登录即生效。", "All their log-ins end; it holds from the next one."),
    "save": ("保存", "Save"),
    "saved": ("已保存。", "Saved."),
    "same": ("没有变化。", "Nothing changed."),
    "reset": ("重设密码", "Reset password"),
    "reset_hint": (
        "给出一次性密码，此人的登录全部结束；下次登录须改成自己的密码。",
        "Gives a one-time password and ends all their log-ins; they choose their own at the next one.",
    ),
    "reset_second": ("手机丢了：同时取消动态口令", "Their phone is lost: take the second factor off too"),
    "given": ("一次性密码", "One-time password"),
    "given_why": (
        "请当面或打电话告诉 {name}，{hours} 小时内有效，登录后须立即修改。离开本页后不再显示。",
        "Tell {name} in person or by telephone. It is good for {hours} hours, must be changed at log-in, and is not "
        "shown again.",
    ),
    "deactivate": ("停用此人", "Deactivate"),
    "deactivate_hint": ("立即退出并不能再登录；记录都保留。", "Out at once and not in again; what they did stays."),
    "activate": ("恢复此人", "Activate again"),
    "deactivated": ("已停用，登录全部结束。", "Deactivated; all their log-ins have ended."),
    "activated": ("已恢复。", "Active again."),
    "sessions": ("登录中的设备", "Where they are logged in"),
    "this": ("本机", "this one"),
    "seen": ("最近使用", "Last used"),
    "opened": ("登录时间", "Since"),
    "source": ("来源地址", "Address"),
    "end": ("退出", "End"),
    "end_one": ("退出 {agent}", "End {agent}"),
    "end_all": ("退出全部登录", "End all log-ins"),
    "ended": ("已退出。", "Ended."),
    "did": ("看此人的操作记录", "See what they did"),
    "yourself": (
        "这是您自己：密码和动态口令在“我的账号”里改。",
        "This is you: change your password and second factor under My account.",
    ),
    "not_yourself": (
        "自己的密码请在“我的账号”里改。",
        "change your own password under My account",
    ),
    "rights": ("各角色的权限", "What each role may do"),
    **{key: pair for key, pair in HOME.items() if key.startswith("role.")},
}


@page(LIST, RIGHT, menu=("员工", "Staff"), order=80)
async def everybody(visit: Visit) -> Response:
    """All members, and what each role may do."""
    place = 0 if visit.language == "zh" else 1
    rows = [(one, role_names(one.roles, visit.language)) for one in await visit.read(staff.members)]
    table = [
        (WORDS[f"role.{role}"][place], [rights.RIGHTS[right][place] for right in rights.RIGHTS if right in having])
        for role, having in rights.ROLES.items()
    ]
    return visit.show("staff.html", WORDS, rows=rows, table=table)


@page(f"{LIST}/new", RIGHT)
async def new(visit: Visit) -> Response:
    """The form for a new member."""
    return _new(visit)


@post(LIST, RIGHT)
async def add(visit: Visit) -> Response:
    """Make a member and show their one-time password."""
    form = visit.form
    try:
        name = form.text("name", acts.NAME_MAX, label=WORDS["name"])
        password = one_time_password()
        hashed = await visit.console.locks.hash(password)
        roles, branch, language = form.many("roles"), form.text("branch", 60, needed=False), form.text("language", 2)
        await visit.act(lambda desk: acts.add(desk, name, roles, branch, language, hashed, change_by()))
    except (ActRefused, Wrong) as refused:
        return _new(visit, refused)
    return visit.show("given.html", WORDS, name=acts.folded(name), password=password, hours=ONE_TIME_HOURS)


@page(f"{LIST}/{{number:int}}", RIGHT)
async def one(visit: Visit) -> Response:
    """One member."""
    return await _one(visit)


@post(f"{LIST}/{{number:int}}/change", RIGHT)
async def change(visit: Visit) -> Response:
    """Set roles and branch."""
    number, roles = visit.number("number"), visit.form.many("roles")
    branch = visit.form.text("branch", 60, needed=False)
    return await _done(visit, lambda desk: acts.change(desk, number, roles, branch), "saved", "same")


@post(f"{LIST}/{{number:int}}/activate", RIGHT)
async def activate(visit: Visit) -> Response:
    """Let a member in again."""
    number = visit.number("number")
    return await _done(visit, lambda desk: acts.activate(desk, number, True), "activated", "same")


@post(f"{LIST}/{{number:int}}/deactivate", RIGHT)
async def deactivate(visit: Visit) -> Response:
    """Let a member in no longer."""
    number = visit.number("number")
    return await _done(visit, lambda desk: acts.activate(desk, number, False), "deactivated", "same")


@post(f"{LIST}/{{number:int}}/reset", RIGHT)
async def reset(visit: Visit) -> Response:
    """Give a one-time password; with `second` the second factor goes as well."""
    member = await _member(visit)
    if member.id == visit.me.id:
        raise ActRefused(*WORDS["not_yourself"])
    password, second = one_time_password(), visit.form.ticked("second")
    hashed = await visit.console.locks.hash(password)
    await visit.act(lambda desk: acts.reset(desk, member.id, hashed, change_by(), second=second))
    return visit.show("given.html", WORDS, name=member.name, password=password, hours=ONE_TIME_HOURS)


@post(f"{LIST}/{{number:int}}/sessions/end", RIGHT)
async def end_all(visit: Visit) -> Response:
    """End all of a member's log-ins."""
    number = visit.number("number")
    return await _done(visit, lambda desk: acts.end_session(desk, number, None), "ended", "same")


@post(f"{LIST}/{{number:int}}/sessions/{{session:int}}/end", RIGHT)
async def end_one(visit: Visit) -> Response:
    """End one of a member's log-ins."""
    number, session = visit.number("number"), visit.number("session")
    return await _done(visit, lambda desk: acts.end_session(desk, number, session), "ended", "same")


def change_by() -> datetime:
    """Until when a one-time password given now is good (machine time)."""
    return datetime.now(UTC) + timedelta(hours=ONE_TIME_HOURS)


async def _member(visit: Visit) -> Member:
    member = await visit.read(staff.member, visit.number("number"))
    if member is None:
        raise Missing
    return member


async def _one(visit: Visit, refused: ActRefused | None = None) -> Response:
    member = await _member(visit)
    sessions = await visit.read(staff.sessions, member.id, visit.console.settings.idle_minutes * 60)
    context = {"member": member, "sessions": sessions, "all_roles": _roles(visit), "refused": refused}
    return visit.show("member.html", WORDS, 409 if refused else 200, **context)


async def _done(visit: Visit, work: Any, said: str, unchanged: str) -> Response:
    """Do an act on a member and show them again, with a refusal above if there is one."""
    await _member(visit)
    try:
        changed = await visit.act(work)
    except ActRefused as refused:
        return await _one(visit, refused)
    return visit.go(f"{LIST}/{visit.number('number')}", said=WORDS[said if changed else unchanged])


def _new(visit: Visit, refused: ActRefused | Wrong | None = None) -> Response:
    form = visit.form
    typed = {
        "name": form.text("name", 1000, needed=False)[:200],
        "branch": form.text("branch", 1000, needed=False)[:200],
        "chosen": form.many("roles"),
    }
    status = 409 if isinstance(refused, ActRefused) else 400 if refused else 200
    return visit.show("member_new.html", WORDS, status, all_roles=_roles(visit), refused=refused, **typed)


def _roles(visit: Visit) -> list[tuple[str, str]]:
    return [(role, visit.tell(*WORDS[f"role.{role}"])) for role in rights.ROLES]
