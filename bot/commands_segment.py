"""`koukou segment …`: a rule read and said again in both languages, and whom it would reach now.

Reading commands; a thin skin over the language, the plan and the store.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.terminal import Json, applied, language, reading, refuse, say, settings_of, show_json

if TYPE_CHECKING:
    from content.plan.model import Plan
    from content.segments import Rule

segment_cli = typer.Typer(no_args_is_help=True, help="客群：推送发给谁 | segments: who a push is for")

_REASONS = {
    "no_consent": ("没有同意接收", "without consent"),
    "blocked": ("已停用", "blocked"),
    "web_only": ("只在网页上", "on the web alone"),
}
_STATES = {
    "open": ("可发", "open"),
    "unsure": ("要问平台", "only the platform knows"),
    "used_up": ("条数用完", "count used up"),
    "shut": ("窗口已关", "window shut"),
    "no_consent": _REASONS["no_consent"],
}


@segment_cli.command("check")
def segment_check(
    context: typer.Context,
    rule: Annotated[str, typer.Argument(metavar="RULE", help="一条规则 | a rule")],
    plan: Annotated[Path | None, typer.Option(help="方案文件夹，默认用设置里的 | the plan's folder")] = None,
    as_json: Json = False,
) -> None:
    """规则读不读得懂，里面的名称方案里有没有 | whether a rule can be read, and its names are in the plan."""
    from content.bundle import Bundle
    from content.faults import PlanFaults
    from content.segments import write

    try:
        found = Bundle.read(plan or settings_of(context).service.plans[0]).plan
    except PlanFaults as broken:
        for fault in broken.faults:
            typer.echo(fault.text(language()), err=True)
        raise typer.Exit(1) from None
    read = _read(rule, found, as_json)
    said = {"zh": write(read.tree, "zh"), "en": write(read.tree, "en")}
    if as_json:
        show_json({"ok": True, "rule": said, "tree": read.tree, "faults": []})
        return
    for words in said.values():
        typer.echo(words)


@segment_cli.command("count")
def segment_count(
    context: typer.Context,
    rule: Annotated[
        str, typer.Argument(metavar="RULE|ID", help="一条规则，或方案里客群的代号 | a rule, or a segment's id")
    ],
    campaign: Annotated[str | None, typer.Option(help="哪个活动 | which campaign")] = None,
    as_json: Json = False,
) -> None:
    """这个客群现在有多少人，各渠道怎样 | how many a segment holds now, and on which channels."""
    from content.plan import audience
    from content.segments import write
    from storage import segments

    store = reading(settings_of(context))
    bundle, name, _ = applied(store, campaign)
    plan = bundle.plan
    try:
        tree = audience.tree_of(plan, rule.strip())
    except KeyError:
        tree = _read(rule, plan, as_json).tree
    everybody = segments.Audience(name, tree, datetime.now(UTC), plan.zone, audience.holdout(plan))
    try:
        with store.read() as connection:
            split = segments.split(connection, everybody)
    except segments.NotRunning:
        raise refuse(
            f"这个版本还不知道：{write(tree, 'zh')}", f"not known to this version yet: {write(tree, 'en')}"
        ) from None
    if as_json:
        show_json({"campaign": name, "rule": {"zh": write(tree, "zh"), "en": write(tree, "en")}, **_tree(split)})
        return
    _show(split, write(tree, "zh" if language() == "zh" else "en"))


def _read(text: str, plan: Plan, as_json: bool) -> Rule:
    """The rule, or the end of the command with all that is wrong with it."""
    from campaigns import running
    from content.plan import audience
    from content.segments import RuleFault, parse

    parts = {name: getattr(plan, name) for name in type(plan).model_fields}
    try:
        rule = parse(text)
        wrong = list(audience.faults(rule, parts, running()))
    except RuleFault as fault:
        wrong = [fault]
    if not wrong:
        return rule
    if as_json:
        show_json(
            {"ok": False, "faults": [{"column": f.column, "zh": f.text("zh"), "en": f.text("en")} for f in wrong]}
        )
    else:
        for one in wrong:
            typer.echo(one.text(language()), err=True)
    raise typer.Exit(1)


def _tree(split: Any) -> dict[str, Any]:
    accounts = [
        {"account": f"{one.channel}:{one.account}", "people": one.people, **{s: getattr(one, s) for s in _STATES}}
        for one in split.accounts
    ]
    counts = {"people": split.people, "unreachable": split.unreachable, "held_out": split.held_out}
    return {**counts, "reasons": split.reasons, "accounts": accounts}


def _show(split: Any, rule: str) -> None:
    typer.echo(rule)
    say(
        f"{split.people} 人；另有 {split.held_out} 人在对照组，{split.unreachable} 人已不在任何渠道",
        f"{split.people} people; besides, {split.held_out} held out, {split.unreachable} on no channel any more",
    )
    place = 0 if language() == "zh" else 1
    for reason, count in split.reasons.items():
        if count:
            say(f"其中 {count} 人{_REASONS[reason][0]}", f"of these, {count} {_REASONS[reason][1]}")
    for one in split.accounts:
        states = [(words[place], getattr(one, state)) for state, words in _STATES.items()]
        listed = "，".join(f"{word} {count}" for word, count in states if count)
        listed = listed if place == 0 else listed.replace("，", ", ")
        say(
            f"{one.channel}:{one.account}  {one.people} 人：{listed}",
            f"{one.channel}:{one.account}  {one.people}: {listed}",
        )
