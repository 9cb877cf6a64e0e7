"""Proposed changes of points, chances and stock: the list, one proposal with everybody it touches, and the decision.

Whoever approves types the number of people again. What may be done campaigns/proposals.py says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from starlette.responses import Response

from bot.console import ROOT, page, post
from bot.console.pages import people
from bot.console.pages.plan import _members
from bot.console.pages.proposals_words import KINDS_OF, WORDS
from bot.console.visit import Missing, Visit, Wrong
from campaigns import asked, rights, sheets
from campaigns import proposals as acts
from campaigns.desk import ActRefused, Desk, NotAllowed
from campaigns.proposals import Proposal
from campaigns.staff import actor
from campaigns.stopping import WHY_MAX
from storage import staff

KINDS = {
    "proposal.made": ("提出变动", "Proposed a change"),
    "proposal.approved": ("通过变动", "Approved a change"),
    "proposal.declined": ("退回变动", "Declined a change"),
    "proposal.withdrawn": ("撤回变动", "Withdrew a change"),
}
LIST = f"{ROOT}/proposals"
DECIDED = ("approved", "declined", "withdrawn")
_OPEN, _DECIDED, _LINES, _DOWNLOADED = 30, 20, 25, 2000
_JUDGED = 2000  # lines; of a longer list those are judged that are shown, for each costs a tenth of a millisecond
_NAMED = 8  # of those who may approve
_BRIEF = 60


@page(LIST, "acts.read", menu=("变动", "Changes"), order=20)
async def everything(visit: Visit) -> Response:
    """What waits for approval, and what was decided."""
    return visit.show("proposals.html", WORDS, **await visit.read(lambda connection: _listed(visit, connection)))


@page(f"{LIST}/{{number:int}}", "acts.read")
async def one(visit: Visit) -> Response:
    """One proposal: whom it touches and by how much, before anything is done."""
    return await _shown(visit)


@page(f"{LIST}/{{number:int}}/lines.csv", "acts.read")
async def download(visit: Visit) -> Response:
    """All lines as a sheet."""
    number = visit.number("number")

    def read(connection: Any) -> bytes:
        desk = visit.desk(connection)
        return sheets.write(_rows(Say(visit, connection), found(desk, number), _every(desk, number)))

    return sheet(await visit.read(read), f"changes-{number}.csv")


@post(f"{LIST}/{{number:int}}/approve", "acts.approve")
async def approve(visit: Visit) -> Response:
    """Enter it in the ledger, when the number of people was typed again."""
    number, library = visit.number("number"), visit.app.writer.library
    alone = not visit.app.settings.console.second_person

    def work(desk: Desk) -> Proposal:
        typed = visit.form.whole("typed", label=WORDS["typed"])
        return acts.approve(desk, library, number, typed, alone=alone)

    return await _decided(visit, work, "approved")


@post(f"{LIST}/{{number:int}}/decline", "acts.approve")
async def decline(visit: Visit) -> Response:
    """Send it back with a reason."""
    return await _decided(visit, lambda desk: acts.decline(desk, visit.number("number")), "declined")


@post(f"{LIST}/{{number:int}}/withdraw", "acts.propose")
async def withdraw(visit: Visit) -> Response:
    """Take one's own back."""
    return await _decided(visit, lambda desk: acts.withdraw(desk, visit.number("number")), "withdrawn")


def sheet(content: bytes, name: str) -> Response:
    """A sheet to be kept, not shown."""
    return Response(content, media_type="text/csv", headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _listed(visit: Visit, connection: Any) -> dict[str, Any]:
    desk = visit.desk(connection)
    below = {name: _whole(visit.query(name, 9)) for name in ("open", "before")}
    open_ = acts.listed(desk, "open", below["open"], _OPEN + 1)
    # What was decided in any way, in one order.
    decided = [one for state in DECIDED for one in acts.listed(desk, state, below["before"], _DECIDED + 1)]
    decided.sort(key=lambda one: one.number, reverse=True)
    return {
        "open": open_[:_OPEN],
        "open_older": open_[_OPEN - 1].number if len(open_) > _OPEN else 0,
        "open_later": bool(below["open"]),
        "decided": decided[:_DECIDED],
        "older": decided[_DECIDED - 1].number if len(decided) > _DECIDED else 0,
        "later": bool(below["before"]),
        "say": Say(visit, connection),
    }


async def _decided(visit: Visit, work: Callable[[Desk], Proposal], said: str) -> Response:
    """Do it and show the outcome; a refusal is shown above the same page, with what was typed."""
    number, why = visit.number("number"), visit.form.text("why", 10_000, needed=False)
    try:
        await visit.act(work, why)
    except (Wrong, ActRefused) as refused:
        return await _shown(visit, refused)
    return visit.go(f"{LIST}/{number}", said=WORDS[said])


async def _shown(visit: Visit, refused: Wrong | ActRefused | None = None) -> Response:
    told = await visit.read(lambda connection: _read(visit, connection))
    status = 400 if isinstance(refused, Wrong) else 403 if isinstance(refused, NotAllowed) else 409
    return visit.show("proposal.html", WORDS, status if refused else 200, refused=refused, **told)


def _read(visit: Visit, connection: Any) -> dict[str, Any]:
    """All of the page in one snapshot."""
    desk, say, number = visit.desk(connection), Say(visit, connection), visit.number("number")
    proposal = found(desk, number)
    open_, after = proposal.state == "open", _whole(visit.query("after", 9)) or 0
    lines = acts.lines(desk, number, after, _LINES + 1)
    library = visit.app.writer.library
    whole = proposal.lines <= _JUDGED
    faults = acts.faults(desk, library, number, *(() if whole else (after, _LINES))) if open_ else []
    typed = {name: visit.form.text(name, 10_000, needed=False)[:1000] for name in ("why", "typed")}
    told: dict[str, Any] = {"one": proposal, "say": say, "why_max": WHY_MAX, **typed}
    told |= {"lines": lines[:_LINES], "lines_later": bool(after)}
    told |= {"lines_on": lines[_LINES - 1].line if len(lines) > _LINES else 0}
    told |= {"fault_count": len(faults), "faults": {fault.line: visit.tell(fault.zh, fault.en) for fault in faults}}
    cost = acts.cost(desk, library, proposal)
    told |= {"facts": say.facts(proposal, cost), "partly": open_ and not whole}
    told |= {"lacking": open_ and not whole and cost.fen is not None and cost.fen > cost.left}
    return told | (_can(visit, connection, say, proposal) if open_ else {})


def _can(visit: Visit, connection: Any, say: Say, proposal: Proposal) -> dict[str, Any]:
    """What this member may decide, and who else may approve."""
    mine = proposal.proposed_by == actor(visit.me.id)
    may = may_approve(visit, proposal)
    others = [
        member.name
        for member in staff.members(connection)
        if member.active
        and "acts.approve" in rights.of(member.roles)
        and member.branch in (None, proposal.branch)
        and actor(member.id) not in (proposal.proposed_by, actor(visit.me.id))
    ]
    return {
        "can": "approve" if may else "not_yours" if mine else "no_right",
        "others": say.others(others),
        "may_decline": visit.may("acts.approve") and not mine,
        "may_withdraw": visit.may("acts.propose") and mine,
    }


def found(desk: Desk, number: int) -> Proposal:
    """The proposal. Raises Missing, or NotAllowed for another branch's."""
    try:
        return acts.find(desk, number)
    except acts.NoSuchProposal:
        raise Missing from None


def _every(desk: Desk, number: int) -> Iterator[acts.Line]:
    """Every line, some at a time."""
    after = 0
    while rows := acts.lines(desk, number, after, _DOWNLOADED):
        yield from rows
        after = rows[-1].line


def _rows(say: Say, one: Proposal, lines: Iterator[acts.Line]) -> Iterator[tuple[object, ...]]:
    """A proposal as a sheet; of an open one with what everybody has now and would have."""
    open_ = one.state == "open"
    heads = ("sheet_number", "kind", "who", "amount", "unit", *(("now", "after") if open_ else ()), "reason")
    yield tuple(say.tell(key) for key in heads)
    kind, unit = say("kind", one.kind), say("unit", one.unit)
    for line in lines:
        stands = (line.have, line.would) if open_ else ()
        yield one.number, kind, line.subscriber, line.amount, unit, *stands, one.why


def may_approve(visit: Visit, proposal: Proposal) -> bool:
    """Whether this member may approve it: not their own, unless they are a team of one."""
    alone = not visit.app.settings.console.second_person
    return visit.may("acts.approve") and (alone or proposal.proposed_by != actor(visit.me.id))


def _whole(words: str) -> int | None:
    return int(words) if words.isascii() and words.isdigit() else None


class Say(people.Say):
    """What is stored as a code or a number, as members read it; beside it the names of members and units."""

    def __init__(self, visit: Visit, connection: Any) -> None:
        super().__init__(visit)
        self._units = asked.units(self._library.plan)
        self._members = _members(connection)

    def __call__(self, what: str, code: str) -> str:
        """`code` of the list `what` (kind, state, unit …)."""
        pair = self._units.get(code) if what == "unit" else KINDS_OF.get(what, {}).get(code)
        return self._visit.tell(*pair) if pair else super().__call__(what, code)

    def amount(self, unit: str, amount: int) -> str:
        """So many of a unit."""
        if asked.is_stock(unit):
            return self.tell("pieces", count=f"{amount:,}")
        return super().amount(unit, amount)

    def signed(self, unit: str, amount: int) -> str:
        """A change, with its sign."""
        return f"{'+' if amount > 0 else ''}{self.amount(unit, amount)}"

    def tell(self, key: str, **values: object) -> str:
        """One of the pages' sentences."""
        return self._visit.tell(*WORDS[key]).format(**values)

    def name(self, one: Proposal) -> str:
        """What a proposal is called."""
        return self.tell("named", kind=self("kind", one.kind), unit=self("unit", one.unit))

    def of_people(self, one: Proposal) -> bool:
        """Whether each line is another person."""
        return one.kind != "reversal" and not asked.is_stock(one.unit)

    def heads(self, one: Proposal) -> str:
        """For how many."""
        many = "people" if self.of_people(one) else "lines"
        return self.tell(f"{many}_{'one' if one.lines == 1 else 'many'}", count=f"{one.lines:,}")

    def facts(self, one: Proposal, cost: acts.Cost) -> list[tuple[str, str]]:
        """What it is, how much, and who pays."""
        names = {line.id: line.name for line in self._library.plan.budget.lines}
        line = names[cost.line][self._spoken] if cost.line in names else cost.line
        told = [("kind", self("kind", one.kind)), ("unit", self("unit", one.unit))]
        told += [] if asked.is_stock(one.unit) else [("count", self.heads(one))]
        told += [("total", self.signed(one.unit, one.total))]
        if not cost.line:
            told += [("cost", self.tell("no_cost"))]
        else:
            fen = self.tell("no_worth") if cost.fen is None else self.tell("yuan", yuan=f"{cost.fen / 100:,.2f}")
            told += [("cost", fen), ("line_of", line), ("left", self.tell("yuan", yuan=f"{cost.left / 100:,.2f}"))]
        return [(self.tell(key), value) for key, value in told]

    def others(self, names: list[str]) -> str:
        """Who else may approve."""
        if not names:
            return self.tell("nobody_may")
        listed = ("、" if self._visit.language == "zh" else ", ").join(names[:_NAMED])
        more = self.tell("and_more", count=len(names)) if len(names) > _NAMED else ""
        return self.tell("may_approve", names=f"{listed}{more}")

    def brief(self, words: str) -> str:
        """As much of a reason as a list has room for."""
        line = " ".join(words.split())
        return line if len(line) <= _BRIEF else f"{line[:_BRIEF]}…"

    def who(self, actor: str) -> str:
        """A member by name."""
        return self._members.get(actor, self.tell("operator") if actor == "operator" else actor)

    def age(self, instant: datetime) -> str:
        """For how long it has waited."""
        minutes = max(0, int((self._visit.now - instant).total_seconds() // 60))
        for key, size in (("days", 1440), ("hours", 60), ("minutes", 1)):
            if minutes >= size * (2 if key == "days" else 1):
                return self.tell(key, count=minutes // size)
        return self.tell("moments")

    def tone(self, state: str) -> str:
        """The colour of a state."""
        return {"approved": "good", "declined": "bad", "open": "warn"}.get(state, "")
