"""`koukou push`: write, approve, hold and look at pushes from the command line, the same acts as the console's.

A thin skin: what is done is done by the serving process where one holds the SQLite file, else here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import typer

from bot import terminal
from bot.commands_standing import Who, found
from bot.pausing import told
from bot.terminal import Json, refuse, say, show_json

if TYPE_CHECKING:
    from content.library import Library
    from storage.pushes import Push

push_cli = typer.Typer(
    no_args_is_help=True, help="推送：写、复核、暂停、查看 | write, approve, hold and look at pushes"
)

Number = Annotated[int, typer.Argument(metavar="N", help="第几号推送 | its number")]
Why = Annotated[str, typer.Option(help="为什么，只给员工看 | why, shown to staff only")]
Name = Annotated[str, typer.Option(help="名称，给员工看 | its name, for staff")]
Texts = Annotated[
    list[str],
    typer.Option("--text", help="文案，每种语言一次：zh=… | the text, once per language: en=…", metavar="LANG=TEXT"),
]
Poster = Annotated[str, typer.Option(help="方案里的海报 | a poster of the plan")]
Buttons = Annotated[
    list[str] | None,
    typer.Option(
        "--button", help="按钮：用户会说的话，各语言不同写 zh=…,en=… | a button: words to be said, or zh=…,en=…"
    ),
]
At = Annotated[str, typer.Option(help="活动时区的时间：2026-11-25T19:00 | wall time of the campaign's zone")]
Cron = Annotated[str, typer.Option(help="重复：分 时 日 月 星期 | again and again: minute hour day month weekday")]
To = Annotated[str, typer.Option(help="发给谁 | to whom")]
Service = Annotated[bool, typer.Option("--service", help="微信不群发，只发给窗口内的人 | no mass send on WeChat")]
First = Annotated[float, typer.Option(help="先发百分之几 | per cent of people who get it first", min=0.01, max=100)]
Rest = Annotated[int, typer.Option(help="其余的人等几分钟 | minutes until the others do", min=1, max=1440)]
Channels = Annotated[
    list[str] | None, typer.Option("--channel", help="还发到哪个 Telegram 频道 | a Telegram channel too: @name")
]
State = Annotated[list[str] | None, typer.Option("--state", help="只看这些状态 | only those in this state")]
_SHOWN = 50
_ACTS = ("submit", "approve", "send_back", "pause", "resume", "cancel")


@push_cli.command("create")
def create(
    context: typer.Context,
    name: Name,
    text: Texts,
    *,
    at: At = "",
    cron: Cron = "",
    to: To = "everyone",
    poster: Poster = "",
    button: Buttons = None,
    channel: Channels = None,
    service: Service = False,
    first: First = 100.0,
    rest: Rest = 30,
    as_json: Json = False,
) -> None:
    """写一条推送并提交复核 | write a push and submit it for approval."""
    if bool(at) == bool(cron):
        raise typer.BadParameter("--at 和 --cron 选一个 | either --at or --cron")
    asked = {
        **{"act": "push.create", "key": uuid4().hex, "name": name, "audience": to},
        **{"schedule": {"at": at} if at else {"cron": cron}, "limits": {"first": round(first * 100), "rest": rest}},
        "content": {
            **{"kind": "poster" if poster else "text", "text": _texts(text), "poster": poster},
            **{"buttons": [_tap(one) for one in button or ()], "about": "campaign"},
            **{"wechat": "service" if service else "mass", **({"channels": channel} if channel else {})},
        },
    }
    _tell(context, _act(context, asked), as_json)


@push_cli.command("list")
def list_(context: typer.Context, state: State = None, as_json: Json = False) -> None:
    """有哪些推送 | what pushes there are."""
    from storage import pushes, revisions

    store = terminal.reading(terminal.settings_of(context))
    with store.read() as connection:
        campaigns = revisions.campaigns(connection)
        rows = pushes.listed(connection, campaigns[0], _SHOWN, states=state or ()) if campaigns else []
    if as_json:
        show_json([_tree(push) for push in rows])
    elif not rows:
        say("没有推送。写一条：koukou push create --help", "there is none; write one: koukou push create --help")
    for push in [] if as_json else rows:
        typer.echo(_line(push, _zone(context)))


@push_cli.command("show")
def show(context: typer.Context, number: Number, as_json: Json = False) -> None:
    """一条推送：内容、时间、经过、每次发出的结果 | one push: what it says, when, its steps, and how each run went."""
    from storage import channel_posts, mass_jobs, pauses, push_runs, pushes

    store = terminal.reading(terminal.settings_of(context))
    with store.read() as connection:
        push = pushes.find(connection, number)
        if push is None:
            raise refuse(f"没有第 {number} 号推送", f"there is no push {number}")
        steps = pushes.steps(connection, number)
        runs = [
            {**asdict(run), "counts": run.counts or push_runs.counts(connection, run.id)}
            | {"ways": push_runs.ways(connection, run.id), "mass_jobs": mass_jobs.of_run(connection, run.id)}
            | {"channel_posts": channel_posts.of_run(connection, run.id)}
            | {"pauses": [] if run.ended_at else pauses.of_run(connection, run.id)}
            for run in push_runs.of_push(connection, number, 10)
        ]
    if as_json:
        show_json({**_tree(push), "steps": [asdict(step) for step in steps], "runs": [_paused(run) for run in runs]})
        return
    zone = _zone(context)
    typer.echo(_line(push, zone))
    if push.content.get("channels"):
        typer.echo(f"  {', '.join(push.content['channels'])}")
    for language, text in push.content["text"].items():
        typer.echo(f"  {language}: {text}".replace("\n", "\n      "))
    for step in steps:
        typer.echo(f"  {_wall(step.at, zone)}  {step.step:<9} {step.actor}  {step.why}")
    for run in runs:
        counts = "  ".join(
            f"{state}{f' ({why})' if why else ''} {n}"
            for state, whys in run["counts"].items()
            for why, n in whys.items()
        )
        typer.echo(f"  {_wall(run['occurrence'], zone)}  {run['state']}  {run['people']}:  {counts}")
        for one in run["pauses"]:
            say(*(f"    {sentence}" for sentence in told(one, datetime.now(UTC), zone)))
        for post in run["channel_posts"]:
            typer.echo("    " + "  ".join(filter(None, (post["channel"], post["state"], post["reason"]))))


def _paused(run: dict[str, Any]) -> dict[str, Any]:
    """A run as JSON: of each pause whole seconds, and the same sentences as people read."""
    pauses = []
    for one in run["pauses"]:
        zh, en = told(one, datetime.now(UTC), UTC)
        about = {"account": one.account, "mass": one.mass, "reason": one.reason, "zh": zh, "en": en}
        pauses.append(
            about | {"since_seconds": int(one.since.total_seconds()), "left_seconds": int(one.left.total_seconds())}
        )
    return {**run, "pauses": pauses}


def _step(name: str, zh: str, en: str) -> None:
    """One command that takes one step."""

    def command(context: typer.Context, number: Number, why: Why = "", as_json: Json = False) -> None:
        _tell(context, _act(context, {"act": f"push.{name}", "number": number, "why": why}), as_json)

    command.__doc__ = f"{zh} | {en}."
    push_cli.command(name.replace("_", "-"))(command)


_step("submit", "提交复核", "submit it for approval")
_step("approve", "复核通过，到时发出", "approve it; it goes out when it is due")
_step("send_back", "退回给作者", "give it back to its author")
_step("pause", "暂停：不再发出新的", "begin no further message of it")
_step("resume", "接着发", "go on where it stood")
_step("cancel", "取消：没发到的不再发", "whoever has not got it does not get it")


@push_cli.command("preview")
def preview(context: typer.Context, number: Number, as_json: Json = False) -> None:
    """现在发会到多少人、怎么发、谁收不到 | how many would get it now, how, and who would not."""
    done = _act(context, {"act": "push.preview", "number": number})
    rows = done["people"]
    if as_json:
        show_json(rows)
        return
    for row in rows:
        typer.echo(f"{row['people']:>9,}  {row['account'] or '–'}  {row['way'] or row['reason']}")
    for name in done["channels"]:
        say(f"        1  {name}  频道", f"        1  {name}  channel")
    say(
        f"共 {sum(r['people'] for r in rows if not r['reason']):,} 人会收到",
        f"{sum(r['people'] for r in rows if not r['reason']):,} people would get it",
    )
    if done["quiet_until"]:
        when = datetime.fromisoformat(done["quiet_until"]).strftime("%Y-%m-%d %H:%M")
        say(f"发送时间在免打扰时段里：等到 {when} 才开始发", f"its time is in the quiet hours: it begins at {when}")


@push_cli.command("send-test")
def send_test(context: typer.Context, number: Number, subscriber: Who, as_json: Json = False) -> None:
    """马上试发给一位测试用户，不算推送 | send it at once to one tester; it counts as no push."""
    person = found(terminal.settings_of(context), subscriber)
    asked = {"act": "push.send_test", "number": number, "subscriber": person.id, "key": f"cli/{uuid4()}"}
    done = _act(context, asked)
    if as_json:
        show_json(done)
        return
    say(
        f"第 {number} 号推送已排队发给测试用户 {person.id}，服务在运行时马上发出",
        f"push {number} is queued for tester {person.id}; it leaves as soon as the service runs",
    )


# ---- doing it


def perform(
    connection: Any,
    asked: dict[str, Any],
    now: datetime,
    library: Library,
    ways: Mapping[str, list[str]],
    *,
    alone: bool,
) -> dict[str, Any]:
    """Do one of these acts in the given transaction, as the operator. Raises ActRefused, KeyError, ValueError."""
    from campaigns import push_clock, push_trial, pushing, rights
    from campaigns.desk import ActRefused, Desk
    from storage import push_opening, pushes

    desk = Desk(connection, "operator", rights.OPERATOR, now, str(asked.get("why", "")))
    act = str(asked["act"]).removeprefix("push.")
    if act == "create":
        told = {name: asked[name] for name in ("content", "audience", "schedule", "limits")}
        push = pushing.create(desk, library, str(asked["key"]), str(asked["name"]), **told)
        done = pushing.submit(desk, library, push.number) if push.state == "draft" else push
        return {"push": _tree(done)}
    number = int(asked["number"])
    if act == "preview":
        asked_for = pushes.find(connection, number)
        if asked_for is None:
            raise ActRefused(f"没有第 {number} 号推送", f"there is no push {number}")
        rows = push_opening.preview(connection, push_clock.rule(asked_for, library, ways, now), now)
        people = [dict(zip(("account", "way", "reason", "people"), row, strict=True)) for row in rows]
        rests = push_clock.held_over(asked_for, library, now)
        told = {"people": people, "channels": list(asked_for.content.get("channels", ()))}
        return {**told, "quiet_until": rests[1].isoformat() if rests else None}
    if act == "send_test":
        person = int(asked["subscriber"])
        sent = push_trial.send_test(desk, library, number, person, ways, str(asked["key"]))
        return {"push": number, "subscriber": person, "sent": sent}
    if act not in _ACTS:
        raise ValueError(asked["act"])
    if act == "approve":
        return {"push": _tree(pushing.approve(desk, library, number, alone=alone))}
    if act in ("submit", "resume"):
        return {"push": _tree(getattr(pushing, act)(desk, library, number))}
    return {"push": _tree(getattr(pushing, act)(desk, number))}


def _act(context: typer.Context, asked: dict[str, Any]) -> dict[str, Any]:
    from campaigns.desk import ActRefused

    settings = terminal.settings_of(context)

    def here(connection: Any, asked: dict[str, Any], now: datetime) -> dict[str, Any]:
        library = _applied(connection, settings)
        return perform(connection, asked, now, library, _ways(settings), alone=not settings.console.second_person)

    try:
        return terminal.act(settings, asked, here)
    except ActRefused as refused:
        raise refuse(refused.zh, refused.en) from None


def _applied(connection: Any, settings: Any) -> Library:
    from campaigns import words
    from campaigns.desk import ActRefused
    from content.bundle import Bundle
    from content.library import Library
    from storage import revisions

    known = revisions.campaigns(connection)
    if not known:
        raise ActRefused("还没有应用过方案，先运行 koukou plan apply", "no plan was applied yet: koukou plan apply")
    number = revisions.current(connection, known[0])
    assert number is not None
    files = revisions.files(connection, known[0], number)
    return Library(Bundle.of(files), number, words(), settings.service.public_url, settings.asking)


def _ways(settings: Any) -> dict[str, list[str]]:
    """The ways of the accounts that are enabled, without asking any platform: what a serving process would know."""
    from bot import channels
    from bot.wechat.capabilities import CUSTOMER_SERVICE, MASS, TABLE

    by_way: dict[str, list[str]] = {}
    for name in channels.names():
        for account, table in settings.accounts(name):
            if not table.enabled:
                continue
            ways = {"telegram": ["bot", "post"], "web": ["page"]}.get(name, [])
            if name == "wechat":
                can = TABLE[table.kind, table.verified]
                ways = [way for way, needs in (("service", CUSTOMER_SERVICE), ("mass", MASS)) if needs in can]
                ways += ["notice"] if table.push_template else []
            for way in ways:
                by_way.setdefault(way, []).append(f"{name}:{account}")
    return by_way


# ---- how it is told


def _texts(given: list[str]) -> dict[str, str]:
    texts = {}
    for one in given:
        language, _, text = one.partition("=")
        if not re.fullmatch("[a-z]{2}", language) or not text:
            raise typer.BadParameter("--text 写成 zh=… | write --text as en=…")
        texts[language] = Path(text[1:]).read_text("utf-8").strip() if text.startswith("@") else text
    return texts


def _tap(given: str) -> str | dict[str, str]:
    """A button: its words, or those of each language."""
    if not re.match("[a-z]{2}=", given):
        return given
    return {part[:2]: part[3:].strip() for part in re.split(r",(?=[a-z]{2}=)", given)}


def _tell(context: typer.Context, done: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(done["push"])
        return
    push = done["push"]
    say(f"第 {push['number']} 号推送：{push['state']}", f"push {push['number']} is {push['state']}")
    if push["next_at"]:
        due = _wall(datetime.fromisoformat(push["next_at"]), _zone(context))
        say(f"下一次 {due}", f"due next at {due}")
    if push["state"] == "submitted":
        hint = f"koukou push approve {push['number']}"
        say(
            f"等复核（除非只有一个人，要由作者以外的人）：管理台，或 {hint}",
            f"it waits for approval, by somebody else than its author unless one works alone: the console, or {hint}",
        )


def _zone(context: typer.Context) -> ZoneInfo:
    """Where the operator's clock stands, as in the console."""
    return ZoneInfo(terminal.settings_of(context).service.timezone)


def _wall(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M %Z}"


def _line(push: Push, zone: ZoneInfo) -> str:
    due = _wall(push.next_at, zone) if push.next_at else "–"
    return f"{push.number:>8}  {push.state:<10} {due:<21} {push.name}  [{push.audience}]"


def _tree(push: Push) -> dict[str, Any]:
    tree = asdict(push)
    for name in ("next_at", "made_at", "changed_at"):
        tree[name] = tree[name].astimezone(UTC).isoformat() if tree[name] else None
    return tree
