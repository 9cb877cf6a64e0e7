"""`koukou plan …`: the campaign plan checked, compared, applied, shown and written back to files.

A thin skin: applying is an act, done by the serving process where one holds the SQLite file.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.terminal import Json, act, applied, language, reading, refuse, say, settings_of, show_json

if TYPE_CHECKING:
    from bot.config import Settings
    from content.bundle import Bundle

Folder = Annotated[Path | None, typer.Argument(help="方案文件夹，默认用设置里的 | the plan's folder")]

plan_cli = typer.Typer(no_args_is_help=True, help="方案：检查、比较、应用、查看、导出 | the campaign plan")


def _bundle(context: typer.Context, folder: Path | None) -> Bundle:
    from content.bundle import Bundle
    from content.faults import PlanFaults

    where = folder or settings_of(context).service.plans[0]
    try:
        return Bundle.read(where)
    except PlanFaults as broken:
        for fault in broken.faults:
            typer.echo(fault.text(language()), err=True)
        raise typer.Exit(1) from None


@plan_cli.command("check")
def plan_check(context: typer.Context, folder: Folder = None, as_json: Json = False) -> None:
    """列出每个错误和未填金额，带文件和行号 | every fault and unset amount, with file and line."""
    from campaigns import running, words

    faults = _bundle(context, folder).check(running(), words())
    broken = sum(fault.severity == "fault" for fault in faults)
    if as_json:
        show_json({"ok": not broken, "findings": [fault.tree() for fault in faults]})
    else:
        for fault in faults:
            typer.echo(fault.text(language()))
        unset = sum(fault.severity == "unset" for fault in faults)
        say(f"{broken} 个错误，{unset} 个未填", f"{broken} faults, {unset} unset")
    raise typer.Exit(1 if broken else 0)


@plan_cli.command("diff")
def plan_diff(context: typer.Context, folder: Folder = None, as_json: Json = False) -> None:
    """文件与已应用的版本有何不同 | how the files differ from the applied revision."""
    from content.changes import changes

    new = _bundle(context, folder)
    old, campaign, number = applied(reading(settings_of(context)), None)
    found = changes(old, new)
    if as_json:
        show_json({"campaign": campaign, "revision": number, "changes": [change.tree() for change in found]})
        return
    for change in found:
        typer.echo(change.text(language()))
    say(f"与第 {number} 版相比有 {len(found)} 处不同", f"{len(found)} changes against revision {number}")


@plan_cli.command("apply")
def plan_apply(
    context: typer.Context,
    folder: Folder = None,
    onto: Annotated[int | None, typer.Option(help="这些文件改自第几版 | the revision the files were made from")] = None,
) -> None:
    """把文件存为下一个版本 | store the files as the next revision."""
    from campaigns import running, words
    from campaigns.desk import ActRefused

    settings = settings_of(context)
    bundle = _bundle(context, folder)
    faults = [fault for fault in bundle.check(running(), words()) if fault.severity == "fault"]
    for fault in faults:
        typer.echo(fault.text(language()), err=True)
    if faults:
        raise typer.Exit(1)
    files = {path: base64.b64encode(raw).decode() for path, raw in bundle.files.items()}
    try:
        expected, alone = onto or _made_from(settings, bundle), not settings.console.second_person
        done = act(settings, {"act": "plan.apply", "files": files, "expected": expected, "alone": alone})
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
def plan_show(context: typer.Context, as_json: Json = False) -> None:
    """已应用的方案 | the applied plan."""
    from content.changes import plan_as_json, show

    bundle, campaign, number = applied(reading(settings_of(context)), None)
    if as_json:
        show_json({"campaign": campaign, "revision": number, "plan": plan_as_json(bundle.plan)})
        return
    say(f"{campaign} 第 {number} 版", f"{campaign}, revision {number}")
    for row in show(bundle.plan, language()):
        typer.echo("  ".join(str(cell) for cell in row))


@plan_cli.command("export")
def plan_export(
    context: typer.Context, folder: Annotated[Path, typer.Argument(help="写到哪个新文件夹 | a new folder")]
) -> None:
    """把已应用的版本写回文件 | write the applied revision back to files."""
    from content.changes import export

    bundle, campaign, number = applied(reading(settings_of(context)), None)
    if folder.exists() and any(folder.iterdir()):
        raise refuse(f"{folder} 不是空文件夹", f"{folder} is not empty")
    export(bundle, folder, number)
    say(f"{campaign} 第 {number} 版已写到 {folder}", f"{campaign}, revision {number}, written to {folder}")
