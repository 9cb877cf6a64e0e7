"""Points in words: the balance, why each of them came or went, and the budget that stands behind them."""

from __future__ import annotations

from campaigns.turn import Turn
from content.plan import Plan
from storage import ledger
from storage.group import Group

CLAUSES = ("points",)
WORDS = {
    "points": ("积分", "我的积分", "查积分", "points", "my points", "balance"),
    "history": ("积分明细", "明细", "为什么有积分", "history", "points history"),
}
BLOCK = 10_000  # points reserved from the budget at a time, so that a check-in does not queue at the budget line
_SHOWN = 10


def answer(turn: Turn, command: str) -> None:
    """Tell the balance, or the latest movements with their reasons."""
    if command == "history":
        _history(turn)
    elif turn.is_guest:
        turn.say("points.held", "history", "checkin", "connect", held=turn.held())
    else:
        turn.say("points.balance", "history", "checkin", points=turn.balance())


def _history(turn: Turn) -> None:
    lines = []
    for row in turn.history(_SHOWN):
        reason = f"reason.{row['reason']}"
        why = turn.phrase(reason) if turn.library.phrases.has(reason) else turn.phrase("reason.other")
        lines.append(
            turn.phrase(
                "points.line",
                day=turn.local_date(row["at"]),
                amount=f"{row['amount']:+d}",
                why=why,
            )
        )
    if not lines:
        turn.say("points.none", "checkin", "menu")
        return
    turn.say("points.history", "points", "menu", lines="\n".join(lines))


def issue_accounts(plan: Plan, slot: int) -> dict[str, str]:
    """The shared account that this writer awards points from."""
    return {ledger.issue(slot, plan.id, "points"): "points"}


def stock_up(group: Group, plan: Plan, slot: int, revision: int, at: int) -> None:
    """Reserve another block of points for this writer when its own runs low and the budget has any left.

    The block's money moves from the budget line to the points fund in the same transaction, so that every point that
    can be issued is paid for. Near the line's end blocks shrink, so that little is left stranded with one writer.
    """
    account = ledger.issue(slot, plan.id, "points")
    worth = plan.points.worth
    if worth is None or group.book.available(account, "points") >= BLOCK // 2:
        return
    line = ledger.budget(plan.id, plan.points.line)
    group.lock({line: "fen"})
    left = group.book.available(line, "fen") // worth if worth else BLOCK
    points = min(BLOCK, max(left // 8, min(left, 100)))
    if points <= 0:
        return
    key = f"block/{slot}/{plan.id}/{at}/{group.new_id()}"
    post = group.post_outside
    if worth:
        fund = ledger.points_fund(plan.id)
        post(
            ledger.Posting(
                f"{key}/fen",
                "fen",
                line,
                fund,
                points * worth,
                plan.id,
                revision,
                "points_block",
            ),
            at,
        )
    mint = ledger.mint("points")
    post(
        ledger.Posting(key, "points", mint, account, points, plan.id, revision, "points_block"),
        at,
    )
