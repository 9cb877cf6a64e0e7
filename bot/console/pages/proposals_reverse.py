"""To take one movement of a person back: the form with its reason, which becomes a proposal of kind reversal."""

from __future__ import annotations

import secrets
from typing import Any

from starlette.responses import Response

from bot.console import ROOT, page, post
from bot.console.pages.people import cursor
from bot.console.pages.proposals import LIST, Say
from bot.console.pages.proposals_new import KEY, offer, person_of, sentence
from bot.console.pages.proposals_words import WORDS
from bot.console.visit import Missing, Visit, Wrong
from bot.console.words import SHELL
from campaigns import asked as lines
from campaigns import proposals as acts
from campaigns.desk import ActRefused
from campaigns.stopping import WHY_MAX
from storage import people as kept

PATH = f"{ROOT}/people/{{number:int}}/reverse"


@page(PATH, "acts.propose")
async def look(visit: Visit) -> Response:
    """The movement, and the form."""
    return await _form(visit, visit.query("movement", 40), "")


@post(PATH, "acts.propose")
async def reverse(visit: Visit) -> Response:
    """Propose its reversal."""
    number = visit.number("number")
    form = {name: visit.form.text(name, 10_000, needed=False) for name in ("movement", "key", "why")}
    row = await visit.read(lambda connection: _movement(visit, connection, number, form["movement"]))
    if not KEY.fullmatch(form["key"]):
        raise Wrong(*SHELL["stale_next"])
    try:
        proposal = await offer(
            visit, "reversal", "", [lines.Asked(1, str(row["cursor"][1]), 0)], form["key"], form["why"]
        )
    except ActRefused as refused:
        return await _form(visit, form["movement"], form["why"], form["key"], refused)
    return visit.go(f"{LIST}/{proposal.number}", said=WORDS["proposed_said"])


async def _form(visit: Visit, movement: str, why: str, key: str = "", refused: ActRefused | None = None) -> Response:
    number = visit.number("number")

    def read(connection: Any) -> dict[str, Any]:
        row = _movement(visit, connection, number, movement)
        say = Say(visit, connection)
        return {
            "person": number,
            "facts": [
                (visit.tell(*WORDS["was_for"]), say.reason(row["reason"])),
                (visit.tell(*WORDS["amount"]), say.signed(row["unit"], row["amount"])),
                (visit.tell(*WORDS["decided_at"]), visit.when(row["at"])),
            ],
        }

    told = await visit.read(read)
    more = {"movement": movement, "key": key or secrets.token_urlsafe(16), "why": why, "why_max": WHY_MAX}
    more |= {"twice": isinstance(refused, acts.AskedBefore), "refused": sentence(refused)}
    return visit.show("reverse.html", WORDS, 409 if refused else 200, **told, **more)


def _movement(visit: Visit, connection: Any, number: int, movement: str) -> dict[str, Any]:
    """The person's movement at this cursor. Raises Missing, or NotAllowed for another branch's person."""
    now = person_of(visit, connection, number)
    place = cursor(movement)
    if place is None:
        raise Missing
    row = next(iter(kept.movements(connection, now, 1, (place[0], place[1] + 1))), None)
    if row is None or row["cursor"] != place:
        raise Missing
    return row
