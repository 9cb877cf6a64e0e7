"""What a proposal would move, and every fault that keeps it from being done: the rules of each kind.

It decides nothing and writes nothing: the same judgement is made when something is proposed and when it is approved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from campaigns.asked import Fault, Unfit, account_of, is_stock, not_to_undo, twice
from campaigns.desk import ActRefused, Desk, NotAllowed, sees
from content.bundle import Bundle
from content.plan import Plan
from storage import ledger, proposals, revisions, whom
from storage.ledger import Posting
from storage.proposals import Movement, Row
from storage.whom import Person


class Rules(Protocol):
    """What acts need of a Library: the plan and its revision."""

    @property
    def plan(self) -> Plan:
        """The plan."""

    @property
    def revision(self) -> int:
        """Its number."""


@dataclass(frozen=True, slots=True)
class InForce:
    """The plan as it stands in the transaction at hand."""

    plan: Plan
    revision: int


def in_force(desk: Desk, library: Rules) -> InForce:
    """The revision that stands now, which may be newer than the one this process read last."""
    campaign = library.plan.id
    number = revisions.current(desk.connection, campaign)
    if number is None:
        raise ActRefused("还没有应用过方案，先运行 koukou plan apply", "no plan was applied yet: koukou plan apply")
    if number == library.revision:
        return InForce(library.plan, number)
    return InForce(Bundle.of(revisions.files(desk.connection, campaign, number)).plan, number)


class Move(NamedTuple):
    """One line as it would be posted; `subscriber` as they stand now."""

    line: int
    subscriber: int | None
    amount: int
    posting: Posting


def weigh(
    desk: Desk,
    standing: InForce,
    kind: str,
    unit: str,
    rows: Sequence[Row],
    faults: Sequence[Fault] = (),
    *,
    number: int = 0,
    lock: bool = False,
) -> list[Move]:
    """What the rows would post now, people locked where it is to be done.

    Raises Unfit with `faults` and those of all rows: people who are gone, of another branch or named twice, too little
    to take, too much for a guest, an opening balance that somebody has, a movement that was reversed.
    """
    judge = _Judge(desk, standing, kind, unit, number)
    moves = judge.moves(rows, lock=lock)
    if faults or judge.faults:
        raise Unfit([*faults, *judge.faults])
    return moves


class _Judge:
    """Weighs one proposal. The balances that lines share are counted on from line to line."""

    def __init__(self, desk: Desk, standing: InForce, kind: str, unit: str, number: int) -> None:
        self._desk, self._plan, self._revision = desk, standing.plan, standing.revision
        self._kind, self._unit, self._number = kind, unit, number
        self.faults: list[Fault] = []

    def moves(self, rows: Sequence[Row], *, lock: bool) -> list[Move]:
        """Every row as a move; faults are gathered."""
        if self._desk.branch is not None and is_stock(self._unit):
            raise NotAllowed(
                "库存是全活动的，请找不限网点的同事",
                "stock belongs to the whole campaign; ask somebody without a branch",
            )
        connection = self._desk.connection
        people = whom.standing(connection, {row.subscriber for row in rows if row.subscriber is not None}, lock=lock)
        undone = proposals.movements(connection, {row.posting for row in rows if row.posting is not None})
        had = self._had(people) if self._kind == "opening" else {}
        moves, seen = [], dict[int, int]()
        for row in rows:
            person = None if row.subscriber is None else people.get(row.subscriber)
            fault = self._fault_of(row, person, seen, had, undone)
            if fault:
                self.faults.append(fault)
            else:
                moves.append(self._move(row, person, undone))
        self._floors(moves, {person.id: person for person in people.values()})
        return moves

    def _had(self, people: Mapping[int, Person]) -> dict[int, bool]:
        """Who had an opening balance of this unit before, under any number of theirs."""
        numbers = {person.id for person in people.values()}
        joined = whom.aliases(self._desk.connection, numbers)
        keys = {
            ledger.opening_key(self._plan.id, self._unit, one): number
            for number in numbers
            for one in (number, *joined.get(number, ()))
        }
        return {keys[key]: True for key in proposals.posted(self._desk.connection, keys)}

    def _fault_of(
        self,
        row: Row,
        person: Person | None,
        seen: dict[int, int],
        had: Mapping[int, bool],
        undone: Mapping[int, Movement],
    ) -> Fault | None:
        line = row.line
        if row.subscriber is None:
            return None
        if person is None or person.status == "erased":
            zh, en = f"用户 {row.subscriber} 已删除", f"subscriber {row.subscriber} was erased"
            return Fault(line, zh, en)
        if not sees(self._desk, person.branch):
            zh = f"用户 {person.id} 由别的网点负责，请联系管理员"
            return Fault(line, zh, f"another branch looks after {person.id}; ask an administrator")
        if row.posting is not None:
            movement = undone[row.posting]
            if movement.campaign != self._plan.id:
                zh, en = (
                    f"这笔属于活动 {movement.campaign}",
                    f"this movement belongs to the campaign {movement.campaign}",
                )
                return Fault(line, zh, en)
            return not_to_undo(line, movement)
        if seen.setdefault(person.id, line) != line:
            return twice(line, seen[person.id])
        if person.id in had:
            zh, en = f"用户 {person.id} 已经有过期初余额", f"{person.id} had an opening balance already"
            return Fault(line, zh, en)
        return None

    def _move(self, row: Row, person: Person | None, undone: Mapping[int, Movement]) -> Move:
        account = account_of(self._plan, person, self._unit)
        subscriber = person.id if person else None
        key = f"proposal/{self._number}/L{row.line}"  # not ending in a number: it is no mark that two people can share
        ends = (ledger.mint(self._unit), account) if row.amount > 0 else (account, ledger.mint(self._unit))
        reverses = None
        if self._kind == "opening" and subscriber is not None:
            key = ledger.opening_key(self._plan.id, self._unit, subscriber)
        if row.posting is not None:
            movement = undone[row.posting]
            key = f"reverse/{movement.key}"
            other = movement.destination if row.amount > 0 else movement.source
            ends = (other, account) if row.amount > 0 else (account, other)
            # Only a true mirror says so: what somebody had under another number is taken from where it is now.
            reverses = movement.id if ends == (movement.destination, movement.source) else None
        what = (*ends, abs(row.amount), self._plan.id, self._revision, self._kind)
        return Move(row.line, subscriber, row.amount, Posting(key, self._unit, *what, reverses=reverses))

    def _floors(self, moves: Sequence[Move], people: Mapping[int, Person]) -> None:
        """Nobody falls below what is free, and no guest gathers more than the plan lets them."""
        free = {
            account: available
            for account, (_, available) in proposals.free(
                self._desk.connection, {_own_end(move) for move in moves}
            ).items()
        }
        cap = self._plan.points.guest_cap
        for move in moves:
            account = _own_end(move)
            have = free.get(account, 0)
            free[account] = after = have + move.amount
            who = (
                ("库存", "the stock") if move.subscriber is None else (f"用户 {move.subscriber} ", f"{move.subscriber}")
            )
            if after < 0:
                free[account] = have
                zh = f"{who[0]}只有 {have} 可用，不能减 {-move.amount}"
                self.faults.append(Fault(move.line, zh, f"{who[1]} has only {have} free, not {-move.amount}"))
            elif (
                move.amount > 0
                and self._unit == "points"
                and move.subscriber is not None
                and people[move.subscriber].guest
                and after > cap
            ):
                zh = f"{who[0]}是网页访客，最多暂存 {cap}，已有 {have}"
                self.faults.append(Fault(move.line, zh, f"{who[1]} is a web guest: at most {cap}, has {have} already"))


def _own_end(move: Move) -> str:
    return move.posting.destination if move.amount > 0 else move.posting.source


def minted(moves: Sequence[Move]) -> int:
    """How many points come into being, or below zero are taken out of the world: what the budget pays for."""
    origin = ledger.mint("points")
    came = sum(move.posting.amount for move in moves if move.posting.source == origin)
    return came - sum(move.posting.amount for move in moves if move.posting.destination == origin)
