"""The staff pages: a registry in which every page and every form is one function with its path and the right it needs.

A page is a file in `bot/console/pages/`, found by its name; its templates lie in `bot/console/templates/`:

    from bot.console import page, post
    from bot.console.visit import Missing, Visit, Wrong

    WORDS = {"title": ("用户", "Subscribers"), "found": ("找到 {count} 位", "{count} found")}

    @page("/console/people", "people.read", menu=("用户", "Subscribers"), order=20)
    async def people(visit: Visit) -> Response:
        rows = await visit.read(find_people, visit.query("q"))          # find_people(connection, q), in a thread
        return visit.show("people.html", WORDS, rows=rows)

    @post("/console/people/{number:int}/block", "people.block")
    async def block(visit: Visit) -> Response:
        number, why = visit.number("number"), visit.form.text("why", 400)
        await visit.act(lambda desk: people.block(desk, number), why)   # one transaction; rights are read again in it
        return visit.go(f"/console/people/{number}", said=("已停用", "Blocked"))

A route is registered with a right of `campaigns/rights.py` or with a mark: `PUBLIC` (anybody), `ENTERING` (logged in,
though something is still asked for), `ANY_STAFF`. Anything else raises at import, so a route without a rule does not
build; `tests/test_console_rights.py` asks every route as every role. `menu` puts a page into the bar of those who have
its right. `body` is the most bytes that a form may send. Who may not, gets 403; who is not logged in, the log-in page.

`visit` has: `member` (id, name, roles, branch), `rights`, `may(right)`, `language`, `params`, `number(name)`,
`query(name)`, `form` (`text`, `whole`, `many`, `file`), `read`, `act`, `show`, `go`, `now`, `app`. `act` hands over a
Desk with the member's rights and branch; `campaigns.desk.may_see(desk, subscriber_branch)` refuses other branches'
people, and `visit.desk(connection)` is the same Desk for reading. An ActRefused, `Wrong(zh, en)` or `Missing()` that
leaves a function becomes a page that says why; to show a form again with the sentence above it, catch it and
`visit.show(..., status=409, refused=refused)`.

Templates begin `{% extends "layout.html" %}` and fill `{% block main %}`. They have `w` (the page's words: `{{ w.title
}}`, `{{ w("found", count=3) }}`), `visit`, and the macros of `pieces.html` (`{% import "pieces.html" as pieces with
context %}`): `pieces.form(action)` (a form with its CSRF token, called as a block), `pieces.field(...)`,
`pieces.facts(rows)`, `pieces.when(instant)`. There are no inline scripts or styles: the CSP forbids them.
A file's `KINDS` (event kind -> what the audit log calls it, in both languages) names the acts of its pages.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from campaigns.rights import RIGHTS

if TYPE_CHECKING:
    from starlette.responses import Response

    from bot.console.visit import Visit

PUBLIC, ENTERING, ANY_STAFF = "PUBLIC", "ENTERING", "ANY_STAFF"
MARKS = frozenset({PUBLIC, ENTERING, ANY_STAFF})
BODY_MAX = 64 * 1024
ROOT = "/console"

Page = Callable[["Visit"], Awaitable["Response"]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One registered route. `menu` is its name in the bar, in Chinese and English, at place `order`."""

    path: str
    method: str
    right: str
    answer: Page
    body: int = BODY_MAX
    menu: tuple[str, str] | None = None
    order: int = 0

    def admits(self, rights: frozenset[str]) -> bool:
        """Whether a member with these rights, from whom nothing more is asked, may enter."""
        return self.right in MARKS or self.right in rights


_rules: dict[tuple[str, str], Rule] = {}


def page(path: str, right: str, *, menu: tuple[str, str] | None = None, order: int = 0) -> Callable[[Page], Page]:
    """Register what answers GET at `path`. Raises ValueError for a right that nobody listed, or a path taken."""
    return _registering(path, "GET", right, menu=menu, order=order)


def post(path: str, right: str, *, body: int = BODY_MAX) -> Callable[[Page], Page]:
    """Register what answers a form sent to `path`, of at most `body` bytes. Raises ValueError as `page` does."""
    return _registering(path, "POST", right, body=body)


def rules() -> list[Rule]:
    """Every route there is."""
    _load()
    return list(_rules.values())


def words_tables() -> Iterator[tuple[str, dict[str, tuple[str, str]]]]:
    """The words of every page, by its module's name."""
    for module in _load():
        for name in ("WORDS", "KINDS"):
            if hasattr(module, name):
                yield f"{module.__name__}.{name}", getattr(module, name)


def kinds_of_pages() -> dict[str, tuple[str, str]]:
    """What the audit log calls the kinds of acts that pages name in their `KINDS`."""
    return {kind: pair for module in _load() for kind, pair in getattr(module, "KINDS", {}).items()}


def person_links(rights: frozenset[str]) -> list[tuple[str, tuple[str, str]]]:
    """What somebody with these rights can go on to from a subscriber's page: address (with `{number}`) and name.

    A page's file contributes by `PERSON_LINKS = [(path, right, (Chinese, English)), …]`, in the order of the files.
    """
    found = [link for module in _load() for link in getattr(module, "PERSON_LINKS", ())]
    return [(path, pair) for path, right, pair in found if right in rights]


def _registering(path: str, method: str, right: str, **more: Any) -> Callable[[Page], Page]:
    if right not in RIGHTS and right not in MARKS:
        raise ValueError(f"{method} {path}: {right!r} is no right of campaigns/rights.py and no mark")
    if path != ROOT and not path.startswith(f"{ROOT}/"):
        raise ValueError(f"{method} {path}: every route of the console lies under {ROOT}")
    if (path, method) in _rules:
        raise ValueError(f"{method} {path} is registered already")

    def register(answer: Page) -> Page:
        _rules[path, method] = Rule(path, method, right, answer, **more)
        return answer

    return register


@cache
def _load() -> tuple[Any, ...]:
    """Every page's file."""
    from bot.console import pages

    found = sorted(module.name for module in pkgutil.iter_modules(pages.__path__))
    return tuple(importlib.import_module(f"{pages.__name__}.{name}") for name in found)
