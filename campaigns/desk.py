"""The Desk: whatever staff, an import or a timer does is an act here: it checks its right, posts, writes the event.

Console, command line and API are skins over these functions. An act knows no HTTP and no SQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from campaigns.rights import RIGHTS
from content.bundle import Bundle
from storage import acts, ledger, revisions


class ActRefused(Exception):
    """An act that may not be done; `zh` and `en` say why and what next."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh, self.en = zh, en


class NotAllowed(ActRefused):
    """The right for it is missing, or it is somebody whom another branch looks after."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Who acts (`staff:3`, `operator`), by which rights, when (campaign time, aware UTC), why, and for whose people.

    Somebody with a `branch` reaches only the people whom its placements brought; without one, everybody.
    """

    connection: Any
    actor: str
    rights: frozenset[str]
    now: datetime
    why: str = ""
    branch: str | None = None

    def require(self, right: str) -> None:
        """Raises ActRefused without the right, KeyError for one that nobody listed."""
        zh, en = RIGHTS[right]
        if right not in self.rights:
            raise NotAllowed(
                f"您没有“{zh}”的权限（{right}），请找管理员开通",
                f"you may not {en} ({right}); ask an administrator for that right",
            )

    def note(
        self,
        kind: str,
        campaign: str,
        revision: int,
        data: Mapping[str, int | str],
        subscriber: int | None = None,
    ) -> None:
        """Record the act, about a subscriber if given; the audit log is a view of these events."""
        acts.event(self.connection, kind, self.actor, campaign, revision, self.now, data, subscriber)


def sees(desk: Desk, branch: str | None) -> bool:
    """Whether a subscriber of this branch (None: of no branch) is one of those whom the desk looks after."""
    return desk.branch is None or desk.branch == branch


def may_see(desk: Desk, branch: str | None) -> bool:
    """True for somebody whom the desk looks after; raises NotAllowed, an ActRefused, for anybody else."""
    if not sees(desk, branch):
        raise NotAllowed(
            "这位用户由别的网点负责，请联系管理员",
            "another branch looks after this person; ask an administrator",
        )
    return True


def apply_plan(desk: Desk, bundle: Bundle, expected: int | None) -> revisions.Applied:
    """Store the plan's files as the next revision and set its budget lines to the plan's amounts.

    `expected` is the revision that the files were made from (None: there is none yet). Raises ActRefused when another
    was applied meanwhile, or when a line would fall below what is already spent or promised. The same files again
    change nothing.
    """
    desk.require("plan.apply")
    plan = bundle.plan
    try:
        applied = revisions.store_revision(desk.connection, plan.id, bundle.files, desk.now, desk.actor, expected)
    except revisions.RevisionConflict as conflict:
        raise ActRefused(
            f"方案已被改到第 {conflict.current} 版，请先 koukou plan export 取得新版再改",
            f"the plan is at revision {conflict.current} meanwhile; koukou plan export it and change that",
        ) from None
    if applied.changed:
        _fund(desk, bundle, applied.number)
        desk.note("plan.applied", plan.id, applied.number, {"files": len(bundle.files)})
    return applied


def _fund(desk: Desk, bundle: Bundle, revision: int) -> None:
    """Bring each budget line to its planned amount by one posting for the difference."""
    plan = bundle.plan
    planned = {line.id: line.amount or 0 for line in plan.budget.lines}
    given = acts.budget_given(desk.connection, plan.id)
    for line in sorted(planned.keys() | given.keys()):
        difference = planned.get(line, 0) - given.get(line, 0)
        if not difference:
            continue
        account, origin = ledger.budget(plan.id, line), ledger.mint("fen")
        source, destination = (origin, account) if difference > 0 else (account, origin)
        posting = ledger.Posting(
            f"plan/{plan.id}/{revision}/{line}",
            "fen",
            source,
            destination,
            abs(difference),
            plan.id,
            revision,
            "budget",
        )
        try:
            acts.post(desk.connection, posting, desk.now)
        except ledger.Short as short:
            raise ActRefused(
                f"预算科目 {line} 已用或已占用超过新的金额，只能减到还剩 {short.available} 分可减",
                f"budget line {line}: more is spent or promised than the new amount; "
                f"at most {short.available} fen can be taken off",
            ) from None
