"""Goodwill, corrections, opening balances and reversals: proposed by one member of staff, approved by another.

Promises that what is approved is done whole, once and in one transaction, or not at all, and that points given are paid
for from their budget line. Console, command line and API call these acts; which lines are fit is judged in
`campaigns/moves.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from campaigns.asked import KINDS, Asked, Fault, Unfit, rows_of, unit_of, units
from campaigns.desk import ActRefused, Desk, NotAllowed
from campaigns.moves import InForce, Move, Rules, in_force, minted, weigh
from campaigns.stopping import WHY_MAX
from storage import acts, ledger, loading, proposals, whom
from storage.ledger import Posting
from storage.proposals import Proposal, Row
from storage.vault import Vault

__all__ = [
    "KINDS",
    "LINES_MAX",
    "Asked",
    "AskedBefore",
    "Cost",
    "Fault",
    "Line",
    "NoSuchProposal",
    "Proposal",
    "Unfit",
    "approve",
    "cost",
    "decline",
    "faults",
    "find",
    "lines",
    "listed",
    "propose",
    "units",
    "withdraw",
]
LINES_MAX = 20_000
_LONG = 1_000
AGAIN_AFTER = timedelta(hours=24)
_STATES = {
    "approved": ("复核通过", "approved"),
    "declined": ("退回", "declined"),
    "withdrawn": ("撤回", "withdrawn"),
}


class NoSuchProposal(ActRefused):
    """There is no proposal of that number."""


class AskedBefore(ActRefused):
    """The same contents were proposed before, as the proposal `number`, which is in that `state`."""

    def __init__(self, zh: str, en: str, number: int, state: str) -> None:
        super().__init__(zh, en)
        self.number, self.state = number, state


@dataclass(frozen=True, slots=True)
class Line:
    """One line as it stands: `subscriber` as they are numbered now (None: a stock), what the account holds (`have`),
    what of it is free, what it would hold (`would`; once decided the same), the `posting` that is reversed."""

    line: int
    subscriber: int | None
    account: str
    amount: int
    have: int
    free: int
    would: int
    posting: int | None


@dataclass(frozen=True, slots=True)
class Cost:
    """Fen that a proposal takes from its budget line (below zero: gives back), and what the line has left.

    `fen` is None while the plan does not say what a point is worth; `line` is empty where nothing is paid.
    """

    fen: int | None
    line: str
    left: int


# ---- proposing


def propose(
    desk: Desk,
    library: Rules,
    kind: str,
    unit: str,
    asked: Sequence[Asked],
    key: str,
    *,
    vault: Vault,
    again: bool = False,
) -> Proposal:
    """Ask for a change; `desk.why` is the reason. The same key with the same contents gives the first proposal back.

    Of a reversal `unit` may be empty. `again`: also where the same is open or was approved within the last day.
    Needs `acts.propose`. Raises Unfit with every fault by line, ActRefused.
    """
    desk.require("acts.propose")
    why = _why(desk, needed=True)
    _plausible(kind, asked)
    if len(asked) > _LONG:
        proposals.unhurried(desk.connection)
    standing = in_force(desk, library)
    unit = unit_of(standing.plan, kind, unit) if kind != "reversal" else unit.strip()
    rows, faults = rows_of(desk, standing.plan, vault, kind, unit, asked)
    unit = _unit_of_rows(unit, rows)
    digest = _digest(standing, kind, unit, rows)
    known = None if faults else _known(desk, key, digest)
    if known:
        return known
    moves = weigh(desk, standing, kind, unit, rows, faults)
    _funding(desk, standing, kind, 0, minted(moves))
    proposals.alone(desk.connection)
    known = _known(desk, key, digest)
    if known:
        return known
    if not again:
        _not_again(desk, digest)
    total = sum(row.amount for row in rows)
    made = proposals.add(
        desk.connection,
        Proposal(
            *(0, key, kind, unit, standing.plan.id, standing.revision, "open", why, desk.actor, desk.now, desk.branch),
            *("", None, "", len(rows), total, digest),
        ),
        rows,
    )
    _note(desk, "made", made)
    return made


def _plausible(kind: str, asked: Sequence[Asked]) -> None:
    if kind not in KINDS:
        raise ActRefused(f"没有这种变动：{kind}", f"no such kind: {kind}; there are {', '.join(KINDS)}")
    if not asked:
        raise ActRefused("没有写给谁", "nobody is named")
    if len(asked) > LINES_MAX:
        raise ActRefused(f"一次最多 {LINES_MAX:,} 行，请分几次", f"at most {LINES_MAX:,} lines at once; split it")
    places = {one.line for one in asked}
    if len(places) < len(asked) or min(places) < 1:
        raise ValueError("lines are numbered from 1, each once")


def _unit_of_rows(unit: str, rows: Sequence[Row]) -> str:
    """Of a reversal, the unit that its movements have."""
    own = {row.account.split("/", 2)[2] for row in rows if row.posting is not None}
    if not own:
        return unit
    if unit not in ("", *own):
        raise ActRefused(f"这笔变动的单位是 {', '.join(own)}", f"the movement is of {', '.join(own)}")
    return own.pop()


def _digest(standing: InForce, kind: str, unit: str, rows: Sequence[Row]) -> str:
    """The same for the same lines in any order."""
    lines = sorted(f"{row.subscriber} {row.amount} {row.posting}" for row in rows)
    return hashlib.sha256("\n".join([kind, unit, standing.plan.id, *lines]).encode()).hexdigest()


def _known(desk: Desk, key: str, digest: str) -> Proposal | None:
    known = proposals.by_key(desk.connection, key)
    if known and (known.digest != digest or known.proposed_by != desk.actor):
        raise ActRefused(
            f"这次提交和先前的第 {known.number} 号重复，但内容不同，请重新打开页面再提",
            f"this was submitted before as number {known.number}, with other contents; begin anew",
        )
    return known


def _not_again(desk: Desk, digest: str) -> None:
    same = proposals.same(desk.connection, digest, desk.now - AGAIN_AFTER)
    if same:
        zh, en = ("待复核", "waits for approval") if same.state == "open" else ("刚通过", "was approved within a day")
        raise AskedBefore(
            f"内容相同的第 {same.number} 号{zh}；确实要再来一次，请注明“再次”（--again）",
            f"number {same.number} has the same contents and {en}; if it is meant twice, say so (--again)",
            *(same.number, same.state),
        )


# ---- reading


def find(desk: Desk, number: int) -> Proposal:
    """One proposal. Needs `acts.read`. Raises NoSuchProposal, NotAllowed for another branch's."""
    desk.require("acts.read")
    return _seen(desk, number)


def listed(desk: Desk, state: str | None = None, before: int | None = None, limit: int = 50) -> list[Proposal]:
    """Proposals, newest first, those below the number `before`; with a branch, its own. Needs `acts.read`."""
    desk.require("acts.read")
    return proposals.listed(desk.connection, state, desk.branch, before, limit)


def lines(desk: Desk, number: int, after: int = 0, limit: int = 50) -> list[Line]:
    """Lines behind the line `after`, with what each account holds now. Needs `acts.read`; raises as `find`."""
    proposal = find(desk, number)
    rows = proposals.rows(desk.connection, number, after, limit)
    people = whom.standing(desk.connection, {row.subscriber for row in rows if row.subscriber is not None})
    now = []
    for row in rows:
        person = people.get(row.subscriber or 0)
        account = row.account
        if person and row.subscriber is not None:
            account = ledger.held(person.id, proposal.unit) if person.guest else ledger.person(person.id, proposal.unit)
        now.append((row, person.id if person else row.subscriber, account))
    held = proposals.free(desk.connection, {account for _, _, account in now})
    shown = []
    for row, subscriber, account in now:
        have, free = held.get(account, (0, 0))
        would = have + row.amount if proposal.state == "open" else have
        shown.append(Line(row.line, subscriber, account, row.amount, have, free, would, row.posting))
    return shown


def cost(desk: Desk, library: Rules, proposal: Proposal) -> Cost:
    """What a proposal costs its budget line, or has cost it, and what is left of that. Needs `acts.read`."""
    desk.require("acts.read")
    _may_see(desk, proposal)
    if proposal.unit != "points":
        return Cost(0, "", 0)
    plan = in_force(desk, library).plan
    line = ledger.budget(plan.id, plan.points.line)
    left = proposals.free(desk.connection, {line}).get(line, (0, 0))[1]
    key = _fund_key(proposal.number)
    paid = loading.postings(desk.connection, [key]).get(key)
    if proposal.state != "open":
        sign = 0 if paid is None else 1 if paid.destination == ledger.points_fund(proposal.campaign) else -1
        return Cost(sign * paid.amount if paid else 0, plan.points.line, left)
    points = proposal.total if proposal.kind != "reversal" else _minted_back(desk, proposal)
    worth = plan.points.worth
    return Cost(None if worth is None else points * worth, plan.points.line, left)


def _minted_back(desk: Desk, proposal: Proposal) -> int:
    rows = proposals.rows(desk.connection, proposal.number)
    undone = proposals.movements(desk.connection, {row.posting for row in rows if row.posting is not None})
    mint = ledger.mint("points")
    return sum(row.amount for row in rows if row.posting and mint in _ends(undone[row.posting]))


def _ends(movement: proposals.Movement) -> tuple[str, str]:
    return movement.source, movement.destination


def faults(desk: Desk, library: Rules, number: int, after: int = 0, limit: int | None = None) -> list[Fault]:
    """What would keep an open proposal from being approved as things stand, by line; with `limit` only of so many lines
    behind the line `after`, and without a look at the budget. Needs `acts.read`."""
    proposal = find(desk, number)
    standing = in_force(desk, library)
    rows = proposals.rows(desk.connection, number, after, limit)
    try:
        moves = weigh(desk, standing, proposal.kind, proposal.unit, rows, number=number)
        if limit is None:
            _funding(desk, standing, proposal.kind, number, minted(moves))
    except Unfit as unfit:
        return unfit.faults
    except ActRefused as refused:
        return [Fault(0, refused.zh, refused.en)]
    return []


# ---- deciding


def approve(desk: Desk, library: Rules, number: int, count: int, *, alone: bool) -> Proposal:
    """Do what was proposed, all of it in this transaction; again by the same person it does nothing more.

    `count` is the number of lines that the approver saw; `alone` lets the proposer approve, where nobody else could.

    Needs `acts.approve`. Raises Unfit with every fault by line, ActRefused; then nothing is changed.
    """
    desk.require("acts.approve")
    _why(desk, needed=False)
    proposal = _seen(desk, number, lock=True)
    if _decided(desk, proposal, "approved"):
        return proposal
    own = proposal.proposed_by == desk.actor
    if own and not alone:
        raise ActRefused("不能复核自己提出的变动，请找另一位同事", "somebody else has to approve what you proposed")
    if count != proposal.lines:
        raise ActRefused(
            f"第 {number} 号共 {proposal.lines} 行，不是 {count}；看清楚后写 {proposal.lines} 再通过",
            f"number {number} has {proposal.lines} lines, not {count}; look at them, then say {proposal.lines}",
        )
    standing = in_force(desk, library)
    if proposal.campaign != standing.plan.id:
        raise ActRefused(f"这属于活动 {proposal.campaign}", f"this belongs to the campaign {proposal.campaign}")
    _carry_out(desk, standing, proposal)
    return _end(desk, proposal, "approved", alone=int(own))


def _carry_out(desk: Desk, standing: InForce, proposal: Proposal) -> None:
    """Lock the people, judge again, and post everything set-wise with one event per person."""
    if proposal.lines > _LONG:
        proposals.unhurried(desk.connection)
    rows = proposals.rows(desk.connection, proposal.number)
    kind, unit, number = proposal.kind, proposal.unit, proposal.number
    moves = weigh(desk, standing, kind, unit, rows, number=number, lock=True)
    funding = _funding(desk, standing, kind, number, minted(moves))
    told: list[tuple[int | None, dict[str, int | str]]] = [
        (move.subscriber, {"proposal": number, "kind": kind, "unit": unit, "amount": move.amount}) for move in moves
    ]
    # Who did it stands in the event of the approval: the audit log tells it once, not once per person.
    first = acts.events(desk.connection, "corrected", "system", standing.plan.id, standing.revision, desk.now, told)
    causes = {move.posting.key: event for event, move in enumerate(moves, first)}
    try:
        acts.post_all(desk.connection, [*(move.posting for move in moves), *funding], desk.now, causes)
    except ledger.Short as short:
        raise _short(short, moves) from None


def _short(short: ledger.Short, moves: Sequence[Move]) -> Unfit:
    """Something is taken from an account that is not a person's, or was reserved while we looked."""
    line = next((move.line for move in moves if move.posting.source == short.account), 0)
    zh = f"{short.account} 只剩 {short.available} 可用"
    return Unfit([Fault(line, zh, f"{short.account} has only {short.available} left")])


def decline(desk: Desk, number: int) -> Proposal:
    """Turn a proposal of somebody else down; `desk.why` says why. Needs `acts.approve`. Raises ActRefused."""
    desk.require("acts.approve")
    _why(desk, needed=True)
    proposal = _seen(desk, number, lock=True)
    if _decided(desk, proposal, "declined"):
        return proposal
    if proposal.proposed_by == desk.actor:
        raise ActRefused("这是您自己提出的，请撤回", "you proposed this yourself; withdraw it")
    return _end(desk, proposal, "declined")


def withdraw(desk: Desk, number: int) -> Proposal:
    """Take one's own proposal back. Needs `acts.propose`. Raises NotAllowed for somebody else's, ActRefused."""
    desk.require("acts.propose")
    _why(desk, needed=False)
    proposal = _seen(desk, number, lock=True)
    if proposal.proposed_by != desk.actor:
        raise NotAllowed("只有提出的人可以撤回；复核人可以退回", "only who proposed it can withdraw it; decline it")
    if _decided(desk, proposal, "withdrawn"):
        return proposal
    return _end(desk, proposal, "withdrawn")


def _decided(desk: Desk, proposal: Proposal, state: str) -> bool:
    """Whether this very person decided the same before; raises ActRefused when it is open no longer otherwise."""
    if proposal.state == "open":
        return False
    if (proposal.state, proposal.decided_by) == (state, desk.actor):
        return True
    zh, en = _STATES[proposal.state]
    raise ActRefused(f"第 {proposal.number} 号已经{zh}", f"number {proposal.number} was {en} already")


def _end(desk: Desk, proposal: Proposal, state: str, **more: int) -> Proposal:
    proposals.decide(desk.connection, proposal.number, state, desk.actor, desk.now, desk.why.strip())
    _note(desk, state, proposal, **more)
    ended = proposals.find(desk.connection, proposal.number)
    assert ended
    return ended


# ---- what they share


def _funding(desk: Desk, standing: InForce, kind: str, number: int, points: int) -> list[Posting]:
    """The one posting that pays for points which come into being, or takes the money of others back; refused when the
    line has too little, or nobody has said what a point is worth."""
    if not points:
        return []
    plan = standing.plan
    if plan.points.worth is None:
        raise ActRefused(
            "方案还没有定一分值多少钱：先填 plan.toml 里 [points] 的 worth",
            "the plan does not say what a point is worth: fill in `worth` under [points] in plan.toml",
        )
    fen = points * plan.points.worth
    line, fund = ledger.budget(plan.id, plan.points.line), ledger.points_fund(plan.id)
    left = proposals.free(desk.connection, {line}).get(line, (0, 0))[1]
    if fen > left:
        raise ActRefused(
            f"预算科目 {plan.points.line} 还差 {_yuan(fen - left)}：要用 {_yuan(fen)}，只剩 {_yuan(left)}",
            f"budget line {plan.points.line} is {_yuan(fen - left)} short: "
            f"{_yuan(fen)} are needed, {_yuan(left)} are left",
        )
    ends = (line, fund) if fen > 0 else (fund, line)
    what = (abs(fen), plan.id, standing.revision, kind)
    return [Posting(_fund_key(number), "fen", *ends, *what)] if fen else []


def _fund_key(number: int) -> str:
    return f"proposal/{number}/fen"


def _yuan(fen: int) -> str:
    return f"{fen // 100:,}.{fen % 100:02}"


def _seen(desk: Desk, number: int, *, lock: bool = False) -> Proposal:
    proposal = proposals.find(desk.connection, number, lock=lock)
    if proposal is None:
        raise NoSuchProposal(
            f"没有第 {number} 号，请看 koukou act list", f"there is no number {number}: koukou act list"
        )
    _may_see(desk, proposal)
    return proposal


def _may_see(desk: Desk, proposal: Proposal) -> None:
    if desk.branch is not None and proposal.branch != desk.branch:
        raise NotAllowed("这是别的网点提出的，请联系管理员", "another branch proposed this; ask an administrator")


def _why(desk: Desk, *, needed: bool) -> str:
    why = desk.why.strip()
    if needed and not why:
        raise ActRefused("请写明原因", "say why")
    if len(why) > WHY_MAX:
        raise ActRefused(f"原因最多 {WHY_MAX} 个字", f"the reason may have {WHY_MAX} characters at most")
    return why


def _note(desk: Desk, what: str, proposal: Proposal, **more: int) -> None:
    told: dict[str, int | str] = {"proposal": proposal.number, "kind": proposal.kind, "unit": proposal.unit}
    told |= {"lines": proposal.lines, "total": proposal.total, **more}
    desk.note(f"proposal.{what}", proposal.campaign, proposal.revision, told)
