"""The first page after logging in: who one is here, what one may do, and the ways to it. And the static files."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from bot.console import ANY_STAFF, PUBLIC, ROOT, page
from bot.console.rendering import static_files
from bot.console.visit import Missing, Visit
from campaigns import proposals, rights
from campaigns.staff import actor

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
    waits = await visit.read(lambda connection: _waiting(visit, connection))
    return visit.show("home.html", WORDS, roles=roles, may=may, waits=waits)


@page(f"{ROOT}/static/{{name}}", PUBLIC)
async def static(visit: Visit) -> Response:
    """A style sheet or picture of ours, kept by browsers for ever under its version."""
    found = static_files().get(visit.params["name"])
    if found is None:
        raise Missing
    body, kind, version = found
    keep = "public, max-age=31536000, immutable" if visit.query("v") == version else "no-cache"
    return Response(body, media_type=kind, headers={"Cache-Control": keep})


def _waiting(visit: Visit, connection: Any) -> str:
    """How many proposals wait for this member to approve them, in words; counted up to a limit."""
    if not visit.may("acts.approve"):
        return ""
    own = None if not visit.app.settings.console.second_person else actor(visit.me.id)
    found = proposals.listed(visit.desk(connection), "open", None, _COUNTED + 1)
    count = sum(one.proposed_by != own for one in found)
    if count <= 1:
        return visit.tell(*WORDS["waits_one"]) if count else ""
    many = f"{_COUNTED}+" if count > _COUNTED else str(count)
    return visit.tell(*WORDS["waits"]).format(count=many)


def role_names(roles: tuple[str, ...], language: str) -> list[str]:
    """Roles as members read them."""
    return [WORDS[f"role.{role}"][0 if language == "zh" else 1] for role in roles if f"role.{role}" in WORDS]
