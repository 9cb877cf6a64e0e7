"""Find a subscriber, and read their whole story: where they are known, what they own and why, whom they brought.

Addresses, names and texts are masked; whoever may see them gives a purpose first, and sees them on that one page.
Other pages' acts are linked here by their `PERSON_LINKS`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from starlette.responses import Response

from bot import channels
from bot.console import ROOT, page, person_links, post
from bot.console.pages.people_words import KINDS_OF, WORDS
from bot.console.visit import Missing, Visit
from campaigns import revealing
from campaigns.asked import not_to_undo
from campaigns.desk import ActRefused, may_see, sees
from storage import notices, profiles, proposals, story
from storage import people as kept

KINDS = {"people.revealed": ("查看个人信息", "Looked at personal fields")}
PEOPLE = f"{ROOT}/people"
_MOVES, _LINES, _TEXTS = 12, 12, 12


@page(PEOPLE, "people.read", menu=("用户", "Subscribers"), order=10)
async def find(visit: Visit) -> Response:
    """Search by number, referral code or address; one hit opens at once."""
    words = visit.query("q", story.WORDS_MAX)
    # Also those of a channel that is switched off: its people are still known.
    accounts = {(name, "main") for name in channels.names()}
    accounts |= {(channel.name, channel.account) for channel in visit.app.channels}

    def search(connection: Any) -> list[story.Person]:
        desk = visit.desk(connection)
        found = story.find(connection, visit.app.vault, words, sorted(accounts))
        return [one for one in found if sees(desk, one.branch)]

    found = await visit.read(search) if words else []
    if len(found) == 1:
        return visit.go(f"{PEOPLE}/{found[0].id}")
    return visit.show("people.html", WORDS, q=words, found=found, say=Say(visit))


@page(f"{PEOPLE}/{{number:int}}", "people.read")
async def subscriber(visit: Visit) -> Response:
    """One person's story, personal fields masked."""
    return await _shown(visit, visit.number("number"), revealed=False)


@post(f"{PEOPLE}/{{number:int}}/reveal", "people.reveal")
async def reveal(visit: Visit) -> Response:
    """The same with personal fields, once the purpose is recorded."""
    number = visit.number("number")
    purpose = visit.form.text("purpose", 40, needed=False)
    try:
        await visit.act(lambda desk: revealing.reveal(desk, number, purpose))
    except KeyError:
        raise Missing from None
    except ActRefused as refused:
        if purpose:
            raise
        return await _shown(visit, number, revealed=False, refused=refused)
    return await _shown(visit, number, revealed=True)


async def _shown(visit: Visit, number: int, *, revealed: bool, refused: ActRefused | None = None) -> Response:
    told = await visit.read(lambda connection: _read(visit, connection, number, revealed))
    if isinstance(told, int):
        return visit.go(f"{PEOPLE}/{told}")
    links = [(path.format(number=number), visit.tell(*name)) for path, name in person_links(visit.rights)]
    purposes = [("", visit.tell(*WORDS["choose"]))]
    purposes += [(key, visit.tell(*pair)) for key, pair in revealing.PURPOSES.items()]
    more = {"links": links, "purposes": purposes, "revealed": revealed, "say": Say(visit), "refused": refused}
    return visit.show("person.html", WORDS, 409 if refused else 200, **told, **more)


def _read(visit: Visit, connection: Any, number: int, revealed: bool) -> dict[str, Any] | int:
    """Everything on the page in one snapshot; the number of whom they are now, when they were joined to somebody."""
    one = story.person(connection, number)
    if one is None:
        raise Missing
    may_see(visit.desk(connection), one.branch)
    now = story.stands_for(connection, number)
    if now != number:
        return now
    moves = kept.movements(connection, number, _MOVES + 1, cursor(visit.query("moves", 40)))
    texts = story.messages(connection, number, _TEXTS + 1, int(_digits(visit.query("texts", 20)) or 0))
    brought, counts = story.brought(connection, number, _LINES)
    return {
        "one": one,
        "identities": story.identities(connection, number, _LINES),
        "profile": profiles.read(connection, visit.app.vault, number) if revealed else None,
        "consents": story.consents(connection, number, _LINES),
        "accounts": [row for row in story.accounts(connection, number) if row["amount"] or row["held"]],
        "moves": moves[:_MOVES],
        "undoable": _undoable(visit, connection, moves[:_MOVES]) if visit.may("acts.propose") else set(),
        "moves_on": "{}-{}".format(*moves[_MOVES - 1]["cursor"]) if len(moves) > _MOVES else "",
        "holds": story.reserved(connection, number, visit.now, _LINES),
        "timers": story.timers(connection, number, visit.now, _LINES),
        "by": story.brought_by(connection, number),
        "brought": brought,
        "counts": counts,
        "texts": texts[:_TEXTS],
        "texts_on": texts[_TEXTS - 1]["id"] if len(texts) > _TEXTS else 0,
        "deliveries": story.deliveries(connection, number, _LINES),
        "notices": notices.of(connection, number, _LINES),
        "later": bool(visit.query("moves", 40) or visit.query("texts", 20)),
    }


def _undoable(visit: Visit, connection: Any, moves: list[dict[str, Any]]) -> set[int]:
    """Those of the movements that a proposal may reverse."""
    found = proposals.movements(connection, {row["cursor"][1] for row in moves})
    campaign = visit.app.writer.library.plan.id
    return {one.id for one in found.values() if one.campaign == campaign and not_to_undo(0, one) is None}


def cursor(words: str) -> tuple[int, int] | None:
    """The place in a list of movements that an address names, None for none."""
    at, _, number = words.partition("-")
    return (int(at), int(number)) if _digits(at) and _digits(number) else None


def _digits(words: str) -> str:
    return words if words.isascii() and words.isdigit() and len(words) <= 18 else ""


class Say:
    """What is stored as a code, as members read it; a code without words is shown as it is."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._library = visit.app.writer.library

    def __call__(self, what: str, code: str) -> str:
        """`code` of the list `what` (unit, state, channel, kind …)."""
        pair = KINDS_OF[what].get(code)
        return self._visit.tell(*pair) if pair else code

    def reason(self, code: str) -> str:
        """Why a posting was made, in the words that the person reads."""
        phrases = self._library.phrases
        return (
            str(phrases.say(self._spoken, f"reason.{code}")) if phrases.has(f"reason.{code}") else self("reason", code)
        )

    def amount(self, unit: str, amount: int) -> str:
        """A whole number of a unit; fen as yuan."""
        number = f"{amount / 100:,.2f}" if unit == "fen" else f"{amount:,}"
        return f"{number} {self('unit', unit)}"

    def mask(self, words: str | None) -> str:
        """Enough to tell two apart, too little to use."""
        return f"•••{words[-2:]}" if words and len(words) > 5 else "•••"

    def wording(self, stored: str) -> str:
        """The sentence by which consent was asked for; of an earlier revision its name, for its words may differ."""
        key, _, place = stored.partition("@")
        campaign, _, revision = place.rpartition("/")
        where = self._visit.tell(*WORDS["by_revision"]).format(campaign=campaign, revision=revision)
        said = key
        if place == f"{self._library.plan.id}/{self._library.revision}" and self._library.phrases.has(key):
            with suppress(KeyError):  # a sentence with a field of its own stays a name
                said = self._library.phrases.say(self._spoken, key)
        return f"{said} ({where})" if campaign else said

    @property
    def _spoken(self) -> str:
        plan = self._library.plan
        return self._visit.language if self._visit.language in plan.languages else plan.languages[0]
