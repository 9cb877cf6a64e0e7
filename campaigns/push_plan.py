"""The pushes of the plan as pushes: a new revision brings new and changed ones to approval and cancels what it dropped.

Which step may follow which is said in `pushing`; what runs or is over stays as it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from campaigns import pushing
from campaigns.desk import ActRefused, Desk, NotAllowed
from content import pushes as saying
from content.library import Library
from content.occasions import weekly
from content.plan.model import Plan
from content.plan.outreach import Push as Planned
from storage import pushes
from storage.pushes import Push


def sync(desk: Desk, plan: Plan, revision: int, library: Library | None = None) -> list[Push]:
    """Make the pushes of the plan's revision those that are here: new ones and changed ones wait for approval, and one
    that the plan no longer has is cancelled. Whatever runs or is over stays as it is. Needs `plan.apply`.

    With the revision's `library`, where one person does everything, those of a plan without `approvals` are approved
    at once, which needs `pushes.approve`; one whose time is over, or that cannot be sent, waits like any other.
    """
    desk.require("plan.apply")
    campaign, social = plan.id, plan.social
    known = pushes.of_plan(desk.connection, campaign)
    planned = {one.id: _planned(plan, revision, one, desk.actor) for one in (social.pushes or () if social else ())}
    touched = []
    for name, push in planned.items():
        before = known.get(name)
        if before is None:
            stored = pushes.add(desk.connection, push, desk.now)
            pushing.keep_step(desk, stored, "create")
            touched.append(pushing.take_step(desk, stored, "submit"))
        elif before.said != push.said and before.state in pushing.STEPS["change"][0] | {"missed"}:
            anew = replace(push, number=before.number, state="draft", made_at=before.made_at)
            pushing.keep_step(desk, pushes.write(desk.connection, anew, desk.now), "change")
            touched.append(pushing.take_step(desk, anew, "submit"))
    for name in known.keys() - planned.keys():
        if known[name].state in pushing.STEPS["change"][0]:
            touched.append(pushing.take_step(desk, known[name], "cancel", next_at=None))
    if library is None or plan.approvals:
        return touched
    return [_let_go(desk, library, push) if push.state == "submitted" else push for push in touched]


def _let_go(desk: Desk, library: Library, push: Push) -> Push:
    try:
        return pushing.approve(desk, library, push.number, alone=True)
    except NotAllowed:
        raise
    except ActRefused:
        return push


def _planned(plan: Plan, revision: int, one: Planned, author: str) -> Push:
    if one.at is not None:
        schedule: dict[str, Any] = {"at": one.at.isoformat()}
    else:
        assert one.weekday and one.hour
        schedule = {"cron": weekly(one.weekday, one.hour)}
    if one.latest is not None:
        schedule["latest"] = int(one.latest.total_seconds() // 60)
    return Push(
        key=f"plan/{plan.id}/{one.id}",
        campaign=plan.id,
        name=one.id,
        content=saying.of_plan(one, plan.languages),
        audience=one.to,
        schedule=schedule,
        limits=pushing.limits_of({}),
        revision=revision,
        author=author,
    )
