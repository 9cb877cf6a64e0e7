"""`koukou staff`: members of staff from the command line, by the same acts as the console's page.

For the first administrator, for one who lost password and phone, and for scripts. Works beside a serving process.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot import terminal
from bot.terminal import Json, language, refuse, say

if TYPE_CHECKING:
    from campaigns.desk import Desk
    from storage.staff import Member

staff_cli = typer.Typer(no_args_is_help=True, help="员工：添加、角色、密码、登录 | members of staff")

Name = Annotated[str, typer.Argument(help="姓名 | name")]
Roles = Annotated[
    list[str] | None,
    typer.Option("--role", help="角色，可多次：planning publicity handling service administrator | role, repeatable"),
]
Branch = Annotated[str, typer.Option(help="只负责这个网点 | sees only this branch's people")]


@staff_cli.command("add")
def add(
    context: typer.Context,
    name: Name,
    role: Roles = None,
    branch: Branch = "",
    lang: Annotated[str, typer.Option("--language", help="界面语言 | the language they read")] = "zh",
) -> None:
    """添加员工，给出一次性密码 | add a member and print a one-time password."""
    password, hashed, until = _one_time()
    asked = {"name": name, "roles": role or [], "branch": branch, "language": lang, "password": hashed, "until": until}
    _act(context, "staff.add", asked)
    _tell(name, password)


@staff_cli.command("list")
def everybody(context: typer.Context, as_json: Json = False) -> None:
    """所有员工 | all members."""
    members = _members(context)
    if as_json:
        _print([_tree(member) for member in members])
        return
    for member in members:
        state = ("在岗", "active") if member.active else ("已停用", "inactive")
        place = language() == "en"
        parts = [member.name, ",".join(member.roles) or "-", member.branch or "-", state[place]]
        typer.echo("  ".join(parts))


@staff_cli.command("roles")
def roles(context: typer.Context, name: Name, role: Roles = None, branch: Branch = "") -> None:
    """换成这些角色和网点 | set roles and branch, in place of those they had."""
    done = _act(context, "staff.change", {"name": name, "roles": role or [], "branch": branch})
    _changed(done, "已修改，此人须重新登录", "changed; they have to log in again")


@staff_cli.command("reset")
def reset(
    context: typer.Context,
    name: Name,
    second: Annotated[bool, typer.Option("--second", help="同时取消动态口令 | take off the second factor too")] = False,
) -> None:
    """重设密码，给出一次性密码 | print a new one-time password; all their log-ins end."""
    password, hashed, until = _one_time()
    _act(context, "staff.reset", {"name": name, "password": hashed, "until": until, "second": second})
    _tell(name, password)


@staff_cli.command("deactivate")
def deactivate(
    context: typer.Context,
    name: Name,
    back: Annotated[bool, typer.Option("--back", help="恢复此人 | let them in again")] = False,
) -> None:
    """停用员工，立即退出 | let a member in no longer; all their log-ins end at once."""
    done = _act(context, "staff.activate", {"name": name, "active": back})
    _changed(
        done, "已恢复" if back else "已停用，登录全部结束", "active again" if back else "deactivated and logged out"
    )


@staff_cli.command("sessions")
def sessions(
    context: typer.Context,
    name: Name,
    end: Annotated[str, typer.Option(help="结束哪一个：编号或 all | which to end: its number, or all")] = "",
    as_json: Json = False,
) -> None:
    """一个员工的登录；--end 结束它们 | where a member is logged in; --end ends it."""
    from storage import staff

    if end:
        if end != "all" and not end.isdigit():
            raise refuse("--end 要写编号或 all", "--end takes a number or all")
        done = _act(context, "staff.sessions_end", {"name": name, "session": None if end == "all" else int(end)})
        _changed(done, "已结束", "ended")
        return
    member = next((one for one in _members(context) if one.name == _folded(name)), None)
    if member is None:
        raise refuse(f"没有这位员工：{name}", f"no such member: {name}")
    store = terminal.reading(terminal.settings_of(context))
    with store.read() as connection:
        found = staff.sessions(connection, member.id, terminal.settings_of(context).console.idle_minutes * 60)
    rows = [
        {"id": one.id, "agent": one.agent, "source": one.source, "opened": one.opened_at, "seen": one.seen_at}
        for one in found
    ]
    if as_json:
        _print(rows)
        return
    for row in rows:
        typer.echo("  ".join(str(cell) for cell in row.values()))


# ---- the serving side


def perform(connection: Any, asked: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Do one of these acts in the given transaction, as the operator. Raises ActRefused, KeyError, ValueError."""
    from campaigns import rights
    from campaigns import staff as acts
    from campaigns.desk import ActRefused, Desk
    from storage import staff

    desk = Desk(connection, "operator", rights.OPERATOR, now)
    if asked["act"] == "staff.add":
        given = (asked["name"], asked["roles"], asked["branch"], asked["language"], asked["password"])
        return {"done": acts.add(desk, *given, _instant(asked["until"]))}
    member = staff.by_name(connection, acts.folded(asked["name"]))
    if member is None:
        raise ActRefused(f"没有这位员工：{asked['name']}", f"no such member: {asked['name']}")
    return {"done": _change(desk, member, asked)}


def _change(desk: Desk, member: Member, asked: dict[str, Any]) -> int:
    from campaigns import staff as acts

    match asked["act"]:
        case "staff.change":
            return int(acts.change(desk, member.id, asked["roles"], asked["branch"]))
        case "staff.reset":
            acts.reset(desk, member.id, asked["password"], _instant(asked["until"]), second=bool(asked["second"]))
            return 1
        case "staff.activate":
            return int(acts.activate(desk, member.id, bool(asked["active"])))
        case "staff.sessions_end":
            return acts.end_session(desk, member.id, asked["session"])
    raise ValueError(asked["act"])


def first_administrator(app: Any) -> str:
    """On an empty table make `admin` and return the one-time password, to be printed and never logged; else "".

    Several nodes that start together make one.
    """
    from storage import schema, staff

    with app.store.read() as connection:
        if not staff.is_empty(connection):
            return ""
    from bot import logs
    from campaigns import rights
    from campaigns import staff as acts
    from campaigns.desk import Desk

    password, hashed, until = _one_time()
    logs.protect([password])
    with app.store.begin() as connection:
        schema.wait_for_turn(connection)
        if not staff.is_empty(connection):
            return ""
        desk = Desk(connection, "operator", rights.OPERATOR, app.now())
        language_ = app.settings.service.language
        acts.add(desk, "admin", [acts.ADMINISTRATOR], None, language_, hashed, _instant(until))
    return password


def welcome(app: Any) -> None:
    """At the first start say how to log in for the first time. It goes to the terminal, past the log."""
    password = first_administrator(app)
    if password:
        url = f"{app.settings.service.public_url}/console"
        say(
            f"首次启动：管理台 {url} ，姓名 admin，一次性密码 {password} （登录后须修改，只显示这一次）",
            f"First start: console at {url} , name admin, one-time password {password} (to be changed; shown only now)",
        )


def _one_time() -> tuple[str, str, str]:
    """A one-time password, its hash, and until when it is good."""
    from bot.console import locks

    password = locks.one_time_password()
    until = datetime.now(UTC) + timedelta(hours=locks.ONE_TIME_HOURS)
    return password, locks.hash_password(password), until.isoformat()


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _folded(name: str) -> str:
    from campaigns import staff as acts

    return acts.folded(name)


def _members(context: typer.Context) -> list[Member]:
    from storage import staff

    store = terminal.reading(terminal.settings_of(context))
    with store.read() as connection:
        return staff.members(connection)


def _act(context: typer.Context, act: str, asked: dict[str, Any]) -> dict[str, Any]:
    from campaigns.desk import ActRefused

    try:
        return terminal.act(terminal.settings_of(context), {"act": act, **asked})
    except ActRefused as refused:
        raise refuse(refused.zh, refused.en) from None


def _tell(name: str, password: str) -> None:
    from bot.console.locks import ONE_TIME_HOURS

    say(
        f"{_folded(name)} 的一次性密码（{ONE_TIME_HOURS} 小时内有效，登录后须修改）：{password}",
        f"one-time password of {_folded(name)}, good for {ONE_TIME_HOURS} hours, to be changed at log-in: {password}",
    )


def _changed(done: dict[str, Any], zh: str, en: str) -> None:
    if done["done"]:
        say(zh, en)
    else:
        say("没有变化", "nothing changed")


def _tree(member: Member) -> dict[str, Any]:
    return {
        "id": member.id,
        "name": member.name,
        "roles": list(member.roles),
        "branch": member.branch,
        "language": member.language,
        "active": member.active,
        "second_factor": member.totp is not None,
        "must_change_password": member.change_by is not None,
    }


def _print(document: Any) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2, default=str))
