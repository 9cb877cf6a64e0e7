"""The emergency stop and the way back: what it would hold is shown first, and its number is typed before it is done."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from bot.console import ROOT, page, post
from bot.console.pages.plan import _members
from bot.console.visit import Visit, Wrong
from campaigns import stopping
from campaigns.desk import ActRefused
from storage import state, stops

KINDS = {
    "service.stopped": ("紧急停止发送", "Stopped all sending"),
    "service.resumed": ("恢复发送", "Resumed sending"),
}
WORDS = {
    "title": ("紧急停止", "Emergency stop"),
    "going": ("发送正常进行", "Sending goes on"),
    "standing": ("已停止发送", "Sending is stopped"),
    "since": ("{who} 于 {when} 停止", "by {who} since {when}"),
    "what_stops": (
        "停止后 2 秒内，所有节点不再发出新的消息：推送、主动通知、稍后送达的回复都等待；到期事项也等待，"
        "期限按停止的时间顺延。",
        "Within 2 seconds no node begins a new send: pushes, notices and later replies wait, and so does what falls "
        "due; deadlines move by as long as the stop stands.",
    ),
    "what_goes_on": (
        "来信照常接收和保存；当场回复和网页聊天照常。",
        "What people write is still heard and kept; direct answers and the web chat go on.",
    ),
    "what_resumes": (
        "恢复后按平时的速度继续发送，不漏、不重、不突发。",
        "Afterwards it goes on at the usual rates: nothing lost, nothing twice, no burst.",
    ),
    "waiting": ("等待发送", "Waiting to be sent"),
    "flying": ("已在途，会各自结束", "On their way; they end by themselves"),
    "why": ("原因", "Reason"),
    "why_hint": ("记入停止记录。", "Kept in the record of stops."),
    "confirm": ("输入等待发送的条数 {count} 确认", "Type the number that waits, {count}, to confirm"),
    "stop": ("停止所有发送", "Stop all sending"),
    "resume": ("恢复发送", "Resume sending"),
    "stopped": ("已停止发送。", "Sending is stopped."),
    "resumed": ("已恢复发送。", "Sending goes on."),
    "stopped_already": ("先前已经停止。", "It was stopped already."),
    "resumed_already": ("没有在停止状态。", "It was not stopped."),
    "mismatch": ("确认的条数不对，请输入 {count}", "That is not the number; type {count}"),
    "history": ("停止记录", "Record of stops"),
    "began": ("停止", "Stopped"),
    "ended": ("恢复", "Resumed"),
    "who": ("谁", "Who"),
    "never": ("从未停止过。", "It was never stopped."),
    "operator": ("命令行（运维）", "the command line (operator)"),
    "still": ("仍在停止", "still stopped"),
}
STOP = f"{ROOT}/stop"
_SHOWN = 20


@page(STOP, "service.stop", menu=("紧急停止", "Stop"), order=70)
async def look(visit: Visit) -> Response:
    """What stands, and what would stop or go on."""
    return visit.show("stop.html", WORDS, **await visit.read(_read))


@post(STOP, "service.stop")
async def stop(visit: Visit) -> Response:
    """Stop all sending."""
    return await _press(visit, stopping.stop, ("stopped", "stopped_already"))


@post(f"{STOP}/resume", "service.stop")
async def resume(visit: Visit) -> Response:
    """Go on."""
    return await _press(visit, stopping.resume, ("resumed", "resumed_already"))


async def _press(visit: Visit, act: Any, said: tuple[str, str]) -> Response:
    """Do it when the number shown was typed again; else show the form once more, with what was written."""
    why = visit.form.text("why", stopping.WHY_MAX, needed=False)
    try:
        shown, typed = visit.form.whole("shown"), visit.form.whole("typed", label=WORDS["waiting"])
        if typed != shown:
            raise Wrong(*(text.format(count=shown) for text in WORDS["mismatch"]))
        changed = await visit.act(act, why)
    except (Wrong, ActRefused) as refused:
        told = await visit.read(_read)
        return visit.show(
            "stop.html", WORDS, 400 if isinstance(refused, Wrong) else 409, refused=refused, **told | {"why": why}
        )
    return visit.go(STOP, said=WORDS[said[0] if changed else said[1]])


def _read(connection: Any) -> dict[str, Any]:
    return {
        "standing": stops.standing(connection),
        "stops": stops.latest(connection, _SHOWN),
        "waiting": state.waiting(connection),
        "members": _members(connection),
        "why": "",
    }
