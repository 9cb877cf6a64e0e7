"""The emergency stop: one switch after which nothing is sent on any node, and the way back.

What people write goes on being heard, kept and answered where the answer needs no sending of ours: on the socket that
asked, and in the web chat. All that the sender takes out waits, and so does whatever falls due by itself.
"""

from __future__ import annotations

from campaigns.desk import ActRefused, Desk
from storage import stops

WHY_MAX = 400


def stop(desk: Desk) -> bool:
    """Let no new send begin; False when that was so already. Needs `service.stop`, and of staff a reason."""
    _may(desk)
    number = stops.begin(desk.connection, desk.now, desk.actor, desk.why)
    if number is None:
        return False
    desk.note("service.stopped", "", 0, {"stop": number})
    return True


def resume(desk: Desk) -> bool:
    """Go on sending, at the usual rates; False when no stop stood. Needs `service.stop`, and of staff a reason."""
    _may(desk)
    number = stops.end(desk.connection, desk.now, desk.actor, desk.why)
    if number is None:
        return False
    desk.note("service.resumed", "", 0, {"stop": number})
    return True


def _may(desk: Desk) -> None:
    desk.require("service.stop")
    if not desk.why and desk.actor != "operator":
        raise ActRefused("请写明原因", "say why")
    if len(desk.why) > WHY_MAX:
        raise ActRefused(f"原因最多 {WHY_MAX} 个字", f"the reason may have {WHY_MAX} characters at most")
