"""`koukou stop` and `koukou resume`: the emergency stop from the command line, the same act as the console's.

A thin skin: the act is done by the serving process where one holds the SQLite file, else here.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot import terminal
from bot.terminal import refuse, say
from campaigns.desk import ActRefused, Desk

if TYPE_CHECKING:
    from bot.config import Settings

Why = Annotated[str, typer.Argument(metavar="[REASON]", help="为什么，记入操作记录 | why, kept in the audit log")]


def perform(connection: Any, asked: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Stop or resume; `changed` says whether it was not so already, `open` how many deliveries wait by state.

    Raises ValueError for an act nobody knows.
    """
    from campaigns import rights, stopping
    from storage import deliveries

    acts = {"service.stop": stopping.stop, "service.resume": stopping.resume}
    if asked["act"] not in acts:
        raise ValueError(asked["act"])
    desk = Desk(connection, "operator", rights.OPERATOR, now, asked.get("why", ""))
    changed = acts[asked["act"]](desk)
    counts: dict[str, int] = {}
    for (_, state), number in deliveries.open_counts(connection).items():
        counts[state] = counts.get(state, 0) + number
    return {"changed": changed, "open": counts}


def stop(
    context: typer.Context,
    reason: Why = "",
    resuming: Annotated[bool, typer.Option("--resume", help="恢复发送，同 koukou resume | go on sending")] = False,
) -> None:
    """紧急停止：所有节点 2 秒内不再发送 | stop all sending on every node within 2 seconds."""
    if resuming:
        return resume(context, reason)
    done = _act(terminal.settings_of(context), "service.stop", reason)
    waits, flying = done["open"].get("queued", 0), done["open"].get("sending", 0)
    zh, en = "已停止发送", "sending is stopped"
    if not done["changed"]:
        zh, en = "先前已经停止", "sending was stopped already"
    say(
        f"{zh}：{waits} 条在等待，{flying} 条已经发出、等平台答复。来信照常接收。恢复：koukou resume",
        f"{en}: {waits} wait, {flying} were on their way. What people write is still heard. Go on: koukou resume",
    )


def resume(context: typer.Context, reason: Why = "") -> None:
    """恢复发送，按平时的速度 | go on sending, at the usual rates."""
    done = _act(terminal.settings_of(context), "service.resume", reason)
    waits = done["open"].get("queued", 0)
    if done["changed"]:
        say(f"已恢复发送，{waits} 条按平时的速度发出", f"sending goes on: {waits} leave at the usual rates")
    else:
        say("没有在停止状态，照常发送", "nothing was stopped; sending goes on")


def _act(settings: Settings, name: str, reason: str) -> dict[str, Any]:
    try:
        return terminal.act(settings, {"act": name, "why": reason.strip()})
    except ActRefused as refused:
        raise refuse(refused.zh, refused.en) from None
