"""The command line: `koukou`, also `python -m bot`. A thin skin: each command opens what it needs and prints.

Exit codes: 0 done, 1 refused with a reason, 2 wrong usage. Reading commands take `--json` and print one document.
"""

from __future__ import annotations

import base64
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot import commands_stop, terminal
from bot.commands_poster import poster_cli
from bot.commands_staff import staff_cli, welcome
from bot.commands_wechat import wechat_cli
from bot.terminal import Json, act, applied, language, reading, refuse, say

if TYPE_CHECKING:
    import uvicorn

    from bot.app import App
    from bot.config import Settings
    from content.bundle import Bundle

Folder = Annotated[Path | None, typer.Argument(help="方案文件夹，默认用设置里的 | the plan's folder")]

cli = typer.Typer(no_args_is_help=True, help="口口相传：按方案运行推广和推荐活动 | runs a written campaign plan")
plan_cli = typer.Typer(no_args_is_help=True, help="方案：检查、比较、应用、查看、导出 | the campaign plan")
subscriber_cli = typer.Typer(no_args_is_help=True, help="用户 | subscribers")
ledger_cli = typer.Typer(no_args_is_help=True, help="账本 | the ledger")
db_cli = typer.Typer(no_args_is_help=True, help="数据库 | the database")
for name, group in (("plan", plan_cli), ("subscriber", subscriber_cli), ("ledger", ledger_cli), ("db", db_cli)):
    cli.add_typer(group, name=name)
cli.add_typer(poster_cli, name="poster")
cli.add_typer(wechat_cli, name="wechat")
cli.command("stop")(commands_stop.stop)
cli.command("resume")(commands_stop.resume)
cli.add_typer(staff_cli, name="staff")

_state: dict[str, Any] = {}


@cli.callback()
def _options(
    config: Annotated[Path | None, typer.Option(help="设置文件 | settings file, default config.toml")] = None,
) -> None:
    _state["config"] = config


def _settings() -> Settings:
    return terminal.settings(_state.get("config"))


def _print(document: Any) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2, default=str))


def _server(app: App, config: uvicorn.Config) -> uvicorn.Server:
    """A server that answers pages which wait for news when it is told to stop, instead of waiting for them."""
    import uvicorn

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: Any) -> None:
            app.say_goodbye()
            super().handle_exit(sig, frame)

    return Server(config)


@cli.command()
def serve() -> None:
    """启动服务 | serve."""
    import uvicorn

    from bot import logs
    from bot.app import NothingToServe, open_app
    from storage import schema
    from storage.store import StoreLocked
    from storage.vault import SecretMissing

    settings = _settings()
    logs.configure(None)
    try:
        app = open_app(settings)
    except NothingToServe as nothing:
        for fault in nothing.faults:
            typer.echo(fault.text(language()), err=True)
        raise typer.Exit(1) from None
    except StoreLocked as locked:
        zh, en = f"已有服务在用这个数据库（{locked.path}）", f"another process serves this database ({locked.path})"
        raise refuse(zh, en) from None
    except (schema.SchemaTooNew, schema.SchemaBehind, SecretMissing) as wrong:
        raise refuse(str(wrong), str(wrong)) from None
    for warning in (*settings.warnings(), *app.store.warnings()):
        typer.echo(f"! {warning}", err=True)
    assert app.asgi
    host, _, port = settings.service.listen.rpartition(":")
    say(
        f"口口相传已启动：活动页和聊天 http://{settings.service.listen}/ （Ctrl+C 停止）",
        f"Koukou is serving: campaign page and chat at http://{settings.service.listen}/ (Ctrl+C stops)",
    )
    if settings.console.enabled:
        welcome(app)
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn drains at these, then raises them once more at whoever was there before: drained is done, exit 0.
        signal.signal(number, lambda *_: None)
    sys.setswitchinterval(0.001)  # the writer's thread must not wait long for the interpreter behind the event loop
    config = uvicorn.Config(
        app.asgi,
        host=host.strip("[]"),
        port=int(port),
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=10,
        proxy_headers=False,
    )
    _server(app, config).run()


def _bundle(folder: Path | None) -> Bundle:
    from content.bundle import Bundle
    from content.faults import PlanFaults

    where = folder or _settings().service.plans[0]
    try:
        return Bundle.read(where)
    except PlanFaults as broken:
        for fault in broken.faults:
            typer.echo(fault.text(language()), err=True)
        raise typer.Exit(1) from None


@plan_cli.command("check")
def plan_check(folder: Folder = None, as_json: Json = False) -> None:
    """列出每个错误和未填金额，带文件和行号 | every fault and unset amount, with file and line."""
    from campaigns import running

    faults = _bundle(folder).check(running())
    broken = sum(fault.severity == "fault" for fault in faults)
    if as_json:
        _print({"ok": not broken, "findings": [fault.tree() for fault in faults]})
    else:
        for fault in faults:
            typer.echo(fault.text(language()))
        unset = sum(fault.severity == "unset" for fault in faults)
        say(f"{broken} 个错误，{unset} 个未填", f"{broken} faults, {unset} unset")
    raise typer.Exit(1 if broken else 0)


@plan_cli.command("diff")
def plan_diff(folder: Folder = None, as_json: Json = False) -> None:
    """文件与已应用的版本有何不同 | how the files differ from the applied revision."""
    from content.changes import changes

    new = _bundle(folder)
    old, campaign, number = applied(reading(_settings()), None)
    found = changes(old, new)
    if as_json:
        _print({"campaign": campaign, "revision": number, "changes": [change.tree() for change in found]})
        return
    for change in found:
        typer.echo(change.text(language()))
    say(f"与第 {number} 版相比有 {len(found)} 处不同", f"{len(found)} changes against revision {number}")


@plan_cli.command("apply")
def plan_apply(
    folder: Folder = None,
    onto: Annotated[int | None, typer.Option(help="这些文件改自第几版 | the revision the files were made from")] = None,
) -> None:
    """把文件存为下一个版本 | store the files as the next revision."""
    from campaigns import running
    from campaigns.desk import ActRefused

    settings = _settings()
    bundle = _bundle(folder)
    faults = [fault for fault in bundle.check(running()) if fault.severity == "fault"]
    for fault in faults:
        typer.echo(fault.text(language()), err=True)
    if faults:
        raise typer.Exit(1)
    files = {path: base64.b64encode(raw).decode() for path, raw in bundle.files.items()}
    try:
        done = act(settings, {"act": "plan.apply", "files": files, "expected": onto or _made_from(settings, bundle)})
    except ActRefused as refused:
        raise refuse(refused.zh, refused.en) from None
    if done["changed"]:
        say(f"已应用，现在是第 {done['number']} 版", f"applied as revision {done['number']}")
    else:
        say(f"没有变化，仍是第 {done['number']} 版", f"nothing changed; still revision {done['number']}")


def _made_from(settings: Settings, bundle: Bundle) -> int | None:
    """The revision that a folder says it was exported from, else the one applied now."""
    if bundle.made_from is not None:
        return bundle.made_from
    from storage import revisions
    from storage.store import Store

    store = Store(settings.storage.url, writer=False)
    if store.path and not store.path.exists():
        return None
    with store.read() as connection:
        return revisions.current(connection, bundle.plan.id)


@plan_cli.command("show")
def plan_show(as_json: Json = False) -> None:
    """已应用的方案 | the applied plan."""
    from content.changes import plan_as_json, show

    bundle, campaign, number = applied(reading(_settings()), None)
    if as_json:
        _print({"campaign": campaign, "revision": number, "plan": plan_as_json(bundle.plan)})
        return
    say(f"{campaign} 第 {number} 版", f"{campaign}, revision {number}")
    for row in show(bundle.plan, language()):
        typer.echo("  ".join(str(cell) for cell in row))


@plan_cli.command("export")
def plan_export(folder: Annotated[Path, typer.Argument(help="写到哪个新文件夹 | a new folder")]) -> None:
    """把已应用的版本写回文件 | write the applied revision back to files."""
    from content.changes import export

    bundle, campaign, number = applied(reading(_settings()), None)
    if folder.exists() and any(folder.iterdir()):
        raise refuse(f"{folder} 不是空文件夹", f"{folder} is not empty")
    export(bundle, folder, number)
    say(f"{campaign} 第 {number} 版已写到 {folder}", f"{campaign}, revision {number}, written to {folder}")


@subscriber_cli.command("show")
def subscriber_show(
    who: Annotated[str, typer.Argument(metavar="CHANNEL:ID", help="如 wechat:oABC… | e.g. wechat:oABC…")],
    as_json: Json = False,
) -> None:
    """一个用户的身份、余额、推荐 | one person's identities, balances, referrals."""
    from storage import people
    from storage.vault import Vault, secret_for

    settings = _settings()
    channel, _, address = who.partition(":")
    account = "main"
    if "/" in channel:
        channel, _, account = channel.partition("/")
    store = reading(settings)
    secret = settings.storage.secret.get_secret_value() if settings.storage.secret else None
    with store.read() as connection:
        found = people.find(connection, Vault(secret_for(store, secret)), channel, account, address)
        if found is None:
            raise refuse(f"没有这个用户：{who}", f"no such subscriber: {who}")
        document = people.show(connection, found)
    if as_json:
        _print(document)
    else:
        for key, value in document.items():
            typer.echo(f"{key}: {value}")


@ledger_cli.command("check")
def ledger_check(
    against: Annotated[str | None, typer.Option(help="先前记下的链头 SEQ:MAC | an earlier head")] = None,
    as_json: Json = False,
) -> None:
    """核对总和、下限、预占和链 | prove sums, floors, holds and chain."""
    from storage.ledger_check import check
    from storage.vault import Vault, secret_for

    settings = _settings()
    store = reading(settings)
    secret = settings.storage.secret.get_secret_value() if settings.storage.secret else None
    with store.read() as connection:
        report = check(connection, Vault(secret_for(store, secret)), against)
    if as_json:
        _print(report.tree())
    else:
        for problem in report.problems:
            typer.echo(problem)
        say(
            f"{report.postings} 条分录，{len(report.problems)} 个问题，链头 {report.head}",
            f"{report.postings} postings, {len(report.problems)} problems, head {report.head}",
        )
    raise typer.Exit(0 if report.ok else 1)


@db_cli.command("upgrade")
def db_upgrade() -> None:
    """把数据库升级到这个版本 | bring the database to this version."""
    from storage import schema
    from storage.store import Store

    store = Store(_settings().storage.url)
    schema.upgrade(store)
    say(f"数据库已是 {schema.head()}", f"the database is at {schema.head()}")


def config_first(arguments: list[str]) -> list[str]:
    """`--config PATH` may stand anywhere on the line; the parser wants it in front."""
    front: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        if argument == "--config":
            front += [argument, *[path for path in [next(waiting, None)] if path is not None]]
        elif argument.startswith("--config="):
            front.append(argument)
        else:
            rest.append(argument)
    return front + rest


def main() -> None:
    """Entry point of the `koukou` script."""
    cli(args=config_first(sys.argv[1:]), prog_name="koukou")


if __name__ == "__main__":
    main()
