"""The first page after logging in: who one is here, what one may do, and the ways to it. And the static files."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from bot.console import ANY_STAFF, PUBLIC, ROOT, page
from bot.console.rendering import static_files
from bot.console.visit import Missing, Visit
from campaigns import proposals, rights
from campaigns.staff import actor
from storage import pushes, stops

_COUNTED = 99
WORDS = {
    "title": ("您好，{name}", "Hello, {name}"),
    "home": ("首页", "Home"),
    "roles": ("您的角色：{roles}", "Your roles: {roles}"),
    "no_roles": ("您还没有角色，请找管理员开通。", "You have no role yet; ask an administrator."),
    "branch": ("您只看到网点 {branch} 带来的用户。", "You see only the people whom branch {branch} brought."),
    "may": ("您可以", "You may"),
    "sections": ("栏目", "Where to go"),
    "waits": ("有 {count} 项变动等您复核", "{count} changes wait for your approval"),
    "waits_one": ("有 1 项变动等您复核", "1 change waits for your approval"),
    "pushes": ("有 {count} 条推送等您复核", "{count} pushes wait for your approval"),
    "pushes_one": ("有 1 条推送等您复核", "1 push waits for your approval"),
    "stopped": ("现在全部发送已紧急停止。", "All sending is stopped now."),
    # The roles of campaigns/rights.py: the plan's four groups, and who looks after the console.
    "role.planning": ("方案策划", "Planning"),
    "role.publicity": ("宣传推广", "Publicity"),
    "role.handling": ("业务办理", "Business handling"),
    "role.service": ("客户服务", "Customer service"),
    "role.administrator": ("管理员", "Administrator"),
}


@page(ROOT, ANY_STAFF, menu=("首页", "Home"), order=0)
async def home(visit: Visit) -> Response:
    """Who one is and what one may do."""
    place = 0 if visit.language == "zh" else 1
    may = [says[place] for right, says in rights.RIGHTS.items() if right in visit.rights]
    roles = role_names(visit.me.roles, visit.language)
    told = await visit.read(lambda connection: _told(visit, connection))
    return visit.show("home.html", WORDS, roles=roles, may=may, **told)


@page(f"{ROOT}/static/{{name}}", PUBLIC)
async def static(visit: Visit) -> Response:
    """A style sheet or picture of ours, kept by browsers for ever under its version."""
    found = static_files().get(visit.params["name"])
    if found is None:
        raise Missing
    body, kind, version = found
    keep = "public, max-age=31536000, immutable" if visit.query("v") == version else "no-cache"
    return Response(body, media_type=kind, headers={"Cache-Control": keep})


def _told(visit: Visit, connection: Any) -> dict[str, Any]:
    """What should be known at once: a stop of all sending, and what waits for this member to approve it."""
    own = None if not visit.app.settings.console.second_person else actor(visit.me.id)
    waits = []
    if visit.may("acts.approve"):
        found = proposals.listed(visit.desk(connection), "open", None, _COUNTED + 1)
        waits.append(("/console/proposals", _counted(visit, "waits", sum(one.proposed_by != own for one in found))))
    if visit.may("pushes.approve") and visit.me.branch is None:
        campaign = visit.app.writer.library.plan.id
        written = pushes.listed(connection, campaign, _COUNTED + 1, states=["submitted"])
        waits.append(("/console/pushes", _counted(visit, "pushes", sum(one.author != own for one in written))))
    seen = visit.may("service.stop") or visit.may("pushes.read")
    return {"waits": waits, "stopped": seen and stops.standing(connection)}


def _counted(visit: Visit, what: str, count: int) -> str:
    """How many wait, in words, up to a limit; nothing when none does."""
    if count <= 1:
        return visit.tell(*WORDS[f"{what}_one"]) if count else ""
    return visit.tell(*WORDS[what]).format(count=f"{_COUNTED}+" if count > _COUNTED else str(count))


def role_names(roles: tuple[str, ...], language: str) -> list[str]:
    """Roles as members read them."""
    return [WORDS[f"role.{role}"][0 if language == "zh" else 1] for role in roles if f"role.{role}" in WORDS]
