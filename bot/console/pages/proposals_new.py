"""The form by which a change is proposed: for one person, for a list, or of a stock. Nothing moves by it.

A key that is made with the form makes a double click, or the same form sent again, one proposal. Whatever is refused
comes back with the form as it was filled in, a list as text that can be mended in place.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from contextlib import suppress
from typing import Any

from starlette.responses import Response

from bot.console import ROOT, page, post
from bot.console.pages.proposals import LIST, Say, sheet
from bot.console.pages.proposals_words import KINDS_OF, WORDS
from bot.console.visit import Missing, Visit, Wrong
from bot.console.words import SHELL
from campaigns import asked as lines
from campaigns import proposals as acts
from campaigns import sheets
from campaigns.desk import ActRefused, Desk, may_see
from campaigns.proposals import Proposal
from campaigns.stopping import WHY_MAX
from storage import story

PERSON_LINKS = [(f"{ROOT}/people/{{number}}/propose", "acts.propose", ("提出变动", "Propose a change"))]
WAYS = ("one", "sheet", "stock")
_BODY = sheets.BYTES_MAX + 64 * 1024  # the file and the fields around it
_ROWS = 100_000  # a longer list is mended where it was made
_FAULTS = 50
_LETTERS = re.compile(r"[^\x00-\x08\x0b\x0c\x0e-\x1f]*")
KEY = re.compile(r"[\w-]{22}")


@page(f"{LIST}/new", "acts.propose")
async def new(visit: Visit) -> Response:
    """The empty form; `way`, `kind`, `unit` and `who` of the address fill it in."""
    return await _form(visit, {name: visit.query(name) for name in ("way", "kind", "unit", "who")})


@page(f"{ROOT}/people/{{number:int}}/propose", "acts.propose")
async def for_person(visit: Visit) -> Response:
    """The form for one person, with what they have."""
    number = visit.number("number")
    now = await visit.read(lambda connection: person_of(visit, connection, number))
    return await _form(visit, {"way": "one", "who": str(now)})


@page(f"{LIST}/sample.csv", "acts.propose")
async def sample(visit: Visit) -> Response:
    """A sheet to begin with."""
    return sheet(sheets.write([("subscriber", "amount"), ("1024", 50), ("K7MP2WQX", 50)]), "sample.csv")


@post(LIST, "acts.propose", body=_BODY)
async def propose(visit: Visit) -> Response:
    """Propose what the form says."""
    form = visit.form
    typed = {name: form.text(name, 10_000, needed=False)[:1000] for name in ("way", "kind", "unit", "who", "amount")}
    typed |= {"why": form.text("why", 10_000, needed=False), "key": form.text("key", 64, needed=False)}
    if typed["way"] not in WAYS or not KEY.fullmatch(typed["key"]):
        raise Wrong(*SHELL["stale_next"])
    try:
        asked = await _asked(visit, typed)
        proposal = await offer(visit, typed["kind"], typed["unit"], asked, typed["key"], typed["why"])
    except (Wrong, ActRefused) as refused:
        return await _form(visit, typed, refused)
    return visit.go(f"{LIST}/{proposal.number}", said=WORDS["proposed_said"])


async def offer(visit: Visit, kind: str, unit: str, asked: list[lines.Asked], key: str, why: str) -> Proposal:
    """The proposal, made in one transaction; raises ActRefused."""
    library, again = visit.app.writer.library, visit.form.ticked("again")
    key = f"console/{visit.me.id}/{key}"  # nobody sends somebody else's
    vault = visit.app.vault

    def work(desk: Desk) -> Proposal:
        return acts.propose(desk, library, kind, unit, asked, key, vault=vault, again=again)

    return await visit.act(work, why)


def sentence(refused: Wrong | ActRefused | None) -> Wrong | ActRefused | None:
    """The refusal in the words of this page, which has a box to tick."""
    if not isinstance(refused, acts.AskedBefore):
        return refused
    pairs = zip(WORDS["asked_before"], KINDS_OF["state"][refused.state], strict=True)
    return ActRefused(*(text.format(number=refused.number, state=state) for text, state in pairs))


def person_of(visit: Visit, connection: Any, number: int) -> int:
    """Who a number is now. Raises Missing for nobody, NotAllowed for another branch's, then or now."""
    now = story.stands_for(connection, number)
    for one in (number, now):
        person = story.person(connection, one)
        if person is None:
            raise Missing
        may_see(visit.desk(connection), person.branch)
    return now


async def _asked(visit: Visit, typed: dict[str, Any]) -> list[lines.Asked]:
    """The lines that the form asks for; of a list also its text, for a form that comes back, in `typed["rows"]`."""
    form, way = visit.form, typed["way"]
    if way == "sheet":
        content = await form.file("file")
        if not content:
            content = form.text("rows", _BODY, needed=False).encode()
        if not content:
            raise Wrong(*WORDS["no_file"])
        typed["rows"] = _text(content)
        return await asyncio.to_thread(sheets.read, content)
    who = form.text("who", 200, label=WORDS["one_who"]) if way == "one" else ""
    return [lines.Asked(1, who, form.whole("amount", label=WORDS["how_much"]))]


async def _form(visit: Visit, typed: dict[str, Any], refused: Wrong | ActRefused | None = None) -> Response:
    way = typed.get("way") if typed.get("way") in WAYS else "one"
    plan = visit.app.writer.library.plan
    units = [(unit, visit.tell(*pair)) for unit, pair in lines.units(plan).items()]
    kinds = ("correction",) if way == "stock" else ("goodwill", "correction", "opening")
    faults = list(getattr(refused, "faults", ()))
    told = await visit.read(lambda connection: _balances(visit, connection, typed.get("who", "")))
    rows = typed.get("rows", "")
    back = visit.tell(*WORDS["back"])
    if told["person"]:
        back = told["say"].tell("person", number=told["person"])
    context: dict[str, Any] = {name: typed.get(name, "") for name in ("kind", "unit", "who", "amount", "why")} | {
        "way": way,
        "key": typed.get("key") or secrets.token_urlsafe(16),
        "back_name": back,
        "kinds": [(kind, visit.tell(*KINDS_OF["kind"][kind])) for kind in kinds],
        "units": [pair for pair in units if not lines.is_stock(pair[0])],
        "items": [pair for pair in units if lines.is_stock(pair[0])],
        "rows": rows if len(rows) <= _ROWS else "",
        "rows_max": _ROWS,
        "file_mib": sheets.BYTES_MAX // 2**20,
        "why_max": WHY_MAX,
        "faults": faults[:_FAULTS],
        "fault_count": len(faults),
        "twice": isinstance(refused, acts.AskedBefore),
        "refused": None if faults else sentence(refused),
        "back": f"{ROOT}/people/{told['person']}" if told["person"] else LIST,
    }
    status = 400 if isinstance(refused, Wrong) else 409 if refused else 200
    return visit.show("proposal_new.html", WORDS, status, **context, **told)


def _balances(visit: Visit, connection: Any, who: str) -> dict[str, Any]:
    """What the person has whose number stands in the form, if the member may see them."""
    told: dict[str, Any] = {"person": 0, "balances": [], "say": Say(visit, connection)}
    if not (who.isascii() and who.isdigit() and len(who) < 19):
        return told
    try:
        number = person_of(visit, connection, int(who))
    except (Missing, ActRefused):
        return told
    held = [row for row in story.accounts(connection, number) if row["amount"]]
    return told | {"person": number, "balances": held}


def _text(content: bytes) -> str:
    """A sheet as text, in whichever of the two encodings it came; empty for what is no text."""
    for encoding in ("utf-8-sig", "gb18030"):
        with suppress(UnicodeDecodeError):
            text = content.decode(encoding)
            return text if _LETTERS.fullmatch(text) else ""
    return ""
