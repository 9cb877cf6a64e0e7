"""`koukou act`: goodwill, corrections, opening balances and reversals from the command line, as in the console.

A thin skin: what is proposed or decided is done by the serving process where one holds the SQLite file, else here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from bot import terminal
from bot.terminal import Json, refuse, say, show_json

if TYPE_CHECKING:
    from bot.config import Settings
    from campaigns.desk import Desk
    from campaigns.moves import Rules
    from campaigns.proposals import Asked, Proposal, Unfit
    from storage.vault import Vault

act_cli = typer.Typer(
    no_args_is_help=True, help="变动：补偿、更正、期初余额、冲正 | goodwill, corrections, openings, reversals"
)

_FAULTS_SHOWN, _LINES_SHOWN = 50, 20
_AMOUNT = re.compile(r"[+-]?[0-9]{1,12}")

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[WHO] AMOUNT",
        help="用户编号、推荐码或 CHANNEL:ID，和数量；库存只写数量 | number, code or CHANNEL:ID, and how much; "
        "of a stock how much alone",
    ),
]
Unit = Annotated[str, typer.Option(help="给什么：points chances stock:… | what is given")]
Why = Annotated[str, typer.Option(help="为什么，只给员工看 | why, shown to staff only")]
Again = Annotated[bool, typer.Option("--again", help="内容相同也再来一次 | though the same was proposed before")]
File = Annotated[
    Path | None, typer.Option("--file", help="许多人的 CSV 文件：用户,数量 | a CSV of many: subscriber,amount")
]
Number = Annotated[int, typer.Argument(metavar="N", help="第几号 | its number")]


@dataclass(frozen=True, slots=True)
class Means:
    """What proposing needs beside the database. `alone`: who proposes may approve. `library`: the plan as last read."""

    vault: Vault
    alone: bool
    library: Rules | None = None


# ---- proposing


@act_cli.command("goodwill")
def goodwill(
    context: typer.Context,
    words: Words = None,
    *,
    why: Why,
    unit: Unit = "points",
    file: File = None,
    again: Again = False,
) -> None:
    """提出补偿 | propose to give something."""
    _propose(context, "goodwill", unit, _asked(unit, words, file), why, again)


# A number below zero looks like an option.
@act_cli.command("correction", context_settings={"ignore_unknown_options": True})
def correction(
    context: typer.Context,
    words: Words = None,
    *,
    why: Why,
    unit: Unit = "points",
    file: File = None,
    again: Again = False,
) -> None:
    """提出更正，可加可减 | propose to add or take away."""
    _propose(context, "correction", unit, _asked(unit, words, file), why, again)


@act_cli.command("opening")
def opening(
    context: typer.Context,
    words: Words = None,
    *,
    why: Why,
    unit: Unit = "points",
    file: File = None,
    again: Again = False,
) -> None:
    """提出期初余额，每人一次 | propose balances from an older programme, once per person."""
    _propose(context, "opening", unit, _asked(unit, words, file), why, again)


@act_cli.command("reverse")
def reverse(
    context: typer.Context,
    posting: Annotated[list[str], typer.Argument(help="分录的编号或键，可多个 | ids or keys of movements")],
    why: Why,
    again: Again = False,
) -> None:
    """提出冲正一笔变动 | propose to undo movements."""
    from campaigns.proposals import Asked

    asked = [Asked(line, name, 0) for line, name in enumerate(posting, 1)]
    _propose(context, "reversal", "", asked, why, again)


def _asked(unit: str, words: list[str] | None, file: Path | None) -> list[Asked]:
    """The lines of the file, or the one on the command line. Ends the command when neither can be understood."""
    from campaigns import sheets
    from campaigns.proposals import Asked, Unfit

    words = words or []
    if file is not None:
        if words:
            raise typer.BadParameter("用 --file 时不再写用户和数量 | with --file name nobody else")
        try:
            with file.open("rb") as opened:
                return sheets.read(opened.read(sheets.BYTES_MAX + 1))
        except OSError as fault:
            raise refuse(f"读不了 {file}：{fault.strerror}", f"cannot read {file}: {fault.strerror}") from None
        except Unfit as unfit:
            raise _unfit(unfit) from None
    if unit.startswith("stock:") and len(words) == 1:
        words = ["", *words]
    if len(words) != 2 or not _AMOUNT.fullmatch(words[1]):
        raise typer.BadParameter("要写用户和整数数量，或 --file | name whom and a whole number, or --file")
    return [Asked(1, words[0], int(words[1]))]


def _propose(context: typer.Context, kind: str, unit: str, asked: Sequence[Asked], why: str, again: bool) -> None:
    lines = [[one.line, one.who, one.amount] for one in asked]
    told = {"kind": kind, "unit": unit, "asked": lines, "key": f"cli/{uuid4()}", "why": why, "again": again}
    done = _act(context, {"act": "act.propose", **told})
    made = done["proposal"]
    _tell(made, done["cost"])
    number, count = made["number"], made["lines"]
    if done["alone"]:
        say(f"下一步：koukou act approve {number} --yes {count}", f"Next: koukou act approve {number} --yes {count}")
    else:
        say(
            f"下一步：由另一位有复核权限的同事在管理台通过第 {number} 号；现在什么都还没有变",
            f"Next: somebody else who may approve passes number {number} in the console; nothing has changed yet",
        )


# ---- looking, deciding


@act_cli.command("list")
def listing(
    context: typer.Context,
    state: Annotated[str, typer.Option(help="哪种状态：open approved declined withdrawn | in which state")] = "",
    before: Annotated[int, typer.Option(help="编号小于它的 | numbered below")] = 0,
    as_json: Json = False,
) -> None:
    """提出过的变动，新的在前，最多 50 条 | what was proposed, newest first, 50 at most."""
    from campaigns import proposals

    if state not in ("", "open", "approved", "declined", "withdrawn"):
        raise typer.BadParameter("open approved declined withdrawn", param_hint="--state")
    store = terminal.reading(terminal.settings_of(context))
    with store.read() as connection:
        found = proposals.listed(_desk(connection), state or None, before or None)
    if as_json:
        return show_json([_tree(one) for one in found])
    for one in found:
        zh, en = proposals.KINDS[one.kind]
        kind = en if terminal.language() == "en" else zh
        day = one.proposed_at.date().isoformat()
        typer.echo(
            f"{one.number}  {one.state}  {kind}  {one.total:+} {one.unit}  {one.lines}  {one.proposed_by}  {day}"
        )


@act_cli.command("show")
def show(context: typer.Context, number: Number, as_json: Json = False) -> None:
    """一次变动的全部内容 | one proposal with its lines."""
    from campaigns import proposals
    from campaigns.desk import ActRefused
    from campaigns.moves import InForce

    store = terminal.reading(terminal.settings_of(context))
    bundle, _, revision = terminal.applied(store, None)
    with store.read() as connection:
        desk = _desk(connection)
        try:
            found = proposals.find(desk, number)
        except ActRefused as refused:
            raise refuse(refused.zh, refused.en) from None
        price = proposals.cost(desk, InForce(bundle.plan, revision), found)
        lines = proposals.lines(desk, number, limit=proposals.LINES_MAX if as_json else _LINES_SHOWN)
    if as_json:
        return show_json({**_tree(found), "cost": asdict(price), "people": [asdict(line) for line in lines]})
    _tell(_tree(found), asdict(price))
    for line in lines:
        who = line.subscriber if line.subscriber is not None else line.account
        typer.echo(f"{line.line}\t{who}\t{line.amount:+}\t{line.have} -> {line.would}")
    if found.lines > len(lines):
        more = found.lines - len(lines)
        say(f"另有 {more} 行，全部见 --json", f"and {more} lines more, all with --json")


@act_cli.command("approve")
def approve(
    context: typer.Context,
    number: Number,
    yes: Annotated[int | None, typer.Option("--yes", help="照抄行数 | the number of lines, as you saw it")] = None,
    why: Annotated[str, typer.Option(help="备注 | a remark")] = "",
) -> None:
    """通过，立即生效 | approve: it takes effect at once."""
    if yes is None:
        show(context, number)
        raise refuse("看清楚后用 --yes 行数 再运行", "look at it, then run it again with --yes and the number of lines")
    done = _act(context, {"act": "act.approve", "number": number, "count": yes, "why": why})
    _tell(done["proposal"], done["cost"])


@act_cli.command("decline")
def decline(context: typer.Context, number: Number, why: Why) -> None:
    """退回 | decline."""
    done = _act(context, {"act": "act.decline", "number": number, "why": why})
    _tell(done["proposal"], done["cost"])


@act_cli.command("withdraw")
def withdraw(context: typer.Context, number: Number) -> None:
    """撤回自己提出的 | take back what you proposed."""
    done = _act(context, {"act": "act.withdraw", "number": number})
    _tell(done["proposal"], done["cost"])


# ---- where it is done


def perform(connection: Any, asked: dict[str, Any], now: datetime, means: Means) -> dict[str, Any]:
    """Do one of these acts in the given transaction, as the operator. Raises ActRefused, KeyError, ValueError."""
    from campaigns import proposals

    desk = _desk(connection, now, str(asked.get("why", "")))
    library = means.library or _applied(connection)
    match asked["act"]:
        case "act.propose":
            lines = [proposals.Asked(int(line), str(who), int(amount)) for line, who, amount in asked["asked"]]
            what = (str(asked["kind"]), str(asked["unit"]), lines, str(asked["key"]))
            done = proposals.propose(desk, library, *what, vault=means.vault, again=bool(asked["again"]))
        case "act.approve":
            number, count = int(asked["number"]), int(asked["count"])
            done = proposals.approve(desk, library, number, count, alone=means.alone)
        case "act.decline":
            done = proposals.decline(desk, int(asked["number"]))
        case "act.withdraw":
            done = proposals.withdraw(desk, int(asked["number"]))
        case unknown:
            raise ValueError(unknown)
    price = asdict(proposals.cost(desk, library, done))
    return {"proposal": _tree(done), "cost": price, "alone": means.alone}


def _applied(connection: Any) -> Rules:
    from campaigns.desk import ActRefused
    from campaigns.moves import InForce
    from content.bundle import Bundle
    from storage import revisions

    known = revisions.campaigns(connection)
    if not known:
        raise ActRefused("还没有应用过方案，先运行 koukou plan apply", "no plan was applied yet: koukou plan apply")
    number = revisions.current(connection, known[0])
    assert number is not None
    return InForce(Bundle.of(revisions.files(connection, known[0], number)).plan, number)


def _act(context: typer.Context, asked: dict[str, Any]) -> dict[str, Any]:
    from campaigns.desk import ActRefused
    from campaigns.proposals import Unfit

    settings = terminal.settings_of(context)

    def here(connection: Any, asked: dict[str, Any], now: datetime) -> dict[str, Any]:
        return perform(connection, asked, now, Means(_vault(settings), not settings.console.second_person))

    try:
        return terminal.act(settings, asked, here)
    except Unfit as unfit:
        raise _unfit(unfit) from None
    except ActRefused as refused:
        raise refuse(refused.zh, refused.en) from None


def _vault(settings: Settings) -> Vault:
    from campaigns.desk import ActRefused
    from storage.store import Store
    from storage.vault import SecretMissing, Vault, secret_for

    configured = settings.storage.secret.get_secret_value() if settings.storage.secret else None
    try:
        return Vault(secret_for(Store(settings.storage.url, writer=False), configured, make=False))
    except SecretMissing as missing:
        zh, _, en = str(missing).partition(" | ")
        raise ActRefused(zh, en or zh) from None


def _desk(connection: Any, now: datetime | None = None, why: str = "") -> Desk:
    from datetime import UTC

    from campaigns import rights
    from campaigns.desk import Desk

    return Desk(connection, "operator", rights.OPERATOR, now or datetime.now(UTC), why)


# ---- how it is told


def _unfit(unfit: Unfit) -> typer.Exit:
    """Every fault on a line of its own, up to what a terminal can hold."""
    for fault in unfit.faults[:_FAULTS_SHOWN]:
        place = (f"第 {fault.line} 行：", f"line {fault.line}: ") if fault.line else ("", "")
        say(place[0] + fault.zh, place[1] + fault.en, error=True)
    more = len(unfit.faults) - _FAULTS_SHOWN
    if more > 0:
        say(f"另有 {more} 处", f"and {more} more", error=True)
    return refuse("什么都没有改动，改好后再来", "nothing was changed; mend it and run it again")


def _tell(made: dict[str, Any], price: dict[str, Any]) -> None:
    from campaigns.proposals import KINDS

    states = {
        "open": ("待复核", "waits for approval"),
        "approved": ("已通过并生效", "approved and done"),
        "declined": ("已退回", "declined"),
        "withdrawn": ("已撤回", "withdrawn"),
    }
    (zh, en), (state_zh, state_en) = KINDS[made["kind"]], states[made["state"]]
    count, total, unit = made["lines"], made["total"], made["unit"]
    lines = "line" if count == 1 else "lines"
    say(
        f"第 {made['number']} 号{zh}：{count} 行，合计 {total:+,} {unit}，{state_zh}",
        f"Number {made['number']}, {en}: {count} {lines}, {total:+,} {unit} in all, {state_en}",
    )
    say(f"原因：{made['why']}（{made['proposed_by']}）", f"Why: {made['why']} ({made['proposed_by']})")
    if price["line"] and price["fen"] is not None and made["state"] in ("open", "approved"):
        fen, left = price["fen"], price["left"]
        say(
            f"费用 {_yuan(fen)} 元，预算科目 {price['line']} 还剩 {_yuan(left)} 元",
            f"Cost: {_yuan(fen)} yuan; budget line {price['line']} has {_yuan(left)} yuan left",
        )


def _yuan(fen: int) -> str:
    return f"{'-' if fen < 0 else ''}{abs(fen) // 100:,}.{abs(fen) % 100:02}"


def _tree(proposal: Proposal) -> dict[str, Any]:
    tree = asdict(proposal)
    decided = proposal.decided_at.isoformat() if proposal.decided_at else None
    return tree | {"proposed_at": proposal.proposed_at.isoformat(), "decided_at": decided}
