"""Members of staff, as acts on the Desk: added, given roles, a branch, a new password, sent away; each is an event.

Passwords come here as hashes and leave as nothing; how somebody proves who they are is the console's business.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import datetime

from campaigns import rights
from campaigns.desk import ActRefused, Desk
from storage import staff, staff_guess
from storage.staff import Member

NAME_MAX = 40
ADMINISTRATOR = "administrator"
LANGUAGES = ("zh", "en")
_NAME = re.compile(r"\w(?:[\w.@+-]*\w)?")
_BRANCH = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")  # as the plan's ids are written


def folded(name: str) -> str:
    """A name as it is stored and compared: width and case make no difference."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def add(
    desk: Desk,
    name: str,
    roles: Iterable[str],
    branch: str | None,
    language: str,
    password: str,
    change_by: datetime | None,
) -> int:
    """A new member with a password (its hash) to be changed by `change_by`; returns their id. Needs `staff.manage`."""
    desk.require("staff.manage")
    stored = folded(name)
    if not _NAME.fullmatch(stored) or len(stored) > NAME_MAX:
        raise ActRefused(
            f"姓名要有 1 到 {NAME_MAX} 个字，只用文字、数字和 . _ - @ +，请改写",
            f"a name has 1 to {NAME_MAX} letters, digits and . _ - @ +, beginning and ending with a letter or digit",
        )
    kept, place = _standing(roles, branch)
    if language not in LANGUAGES:
        raise ActRefused("语言只能是 zh 或 en", "the language is zh or en")
    number = staff.add(desk.connection, stored, password, change_by, kept, place, language, desk.now)
    if number is None:
        raise ActRefused(f"已经有人叫“{stored}”，请换一个名字", f"somebody is called {stored} already; choose another")
    _note(desk, "added", number, roles=",".join(kept), branch=place or "")
    return number


def change(desk: Desk, number: int, roles: Iterable[str], branch: str | None) -> bool:
    """Set roles and branch, and end the member's sessions; False when nothing changes. Needs `staff.manage`."""
    desk.require("staff.manage")
    everybody = _everybody(desk)
    member = _of(everybody, number)
    kept, place = _standing(roles, branch)
    if (kept, place) == (member.roles, member.branch):
        return False
    if ADMINISTRATOR not in kept:
        _keep_one(everybody, member)
    staff.change(desk.connection, number, roles=kept, branch=place)
    staff.end_sessions(desk.connection, number)
    _note(desk, "changed", number, roles=",".join(kept), branch=place or "")
    return True


def reset(desk: Desk, number: int, password: str, change_by: datetime, *, second: bool) -> None:
    """Give a member a password (its hash) to be changed at their next log-in, and end their sessions.

    With `second` the second factor goes as well, for somebody whose phone is lost. Needs `staff.manage`.
    """
    desk.require("staff.manage")
    _of(_everybody(desk), number)
    staff.change(desk.connection, number, password=password, change_by=change_by)
    if second:
        staff.change(desk.connection, number, totp=None)
        staff.set_recovery(desk.connection, number, [])
    staff.end_sessions(desk.connection, number)
    staff_guess.forget(desk.connection, staff_guess.member_key(number))
    _note(desk, "reset", number, second=int(second))


def activate(desk: Desk, number: int, active: bool) -> bool:
    """Let a member in again, or no longer; False when it is so already. Needs `staff.manage`."""
    desk.require("staff.manage")
    everybody = _everybody(desk)
    member = _of(everybody, number)
    if member.active == active:
        return False
    if not active:
        _keep_one(everybody, member)
    staff.change(desk.connection, number, active=active)
    staff.end_sessions(desk.connection, number)
    _note(desk, "activated" if active else "deactivated", number)
    return True


def end_session(desk: Desk, number: int, session: int | None) -> int:
    """End one session of a member, or all: one's own, or with `staff.manage` anybody's. Returns how many ended.

    Raises ActRefused for a session that is none of theirs.
    """
    if desk.actor != actor(number):
        desk.require("staff.manage")
        _of(_everybody(desk), number)
    if session is None:
        ended = staff.end_sessions(desk.connection, number)
    else:
        ended = int(staff.end_session(desk.connection, number, session))
        if not ended:
            raise ActRefused("这次登录已经结束，请刷新页面", "this log-in is over already; reload the page")
    _note(desk, "sessions_ended", number, count=ended)
    return ended


# ---- what members do for themselves


def set_password(desk: Desk, number: int, password: str, session: int) -> None:
    """A member's own new password (its hash): all their other sessions end. The caller has checked the old one."""
    _own(desk, number)
    staff.change(desk.connection, number, password=password, change_by=None)
    staff.end_sessions(desk.connection, number, but=session)
    _note(desk, "password_set", number)


def set_second(desk: Desk, number: int, sealed: bytes | None, step: int, recovery: list[str], session: int) -> None:
    """A member's own second factor, or none any more; `recovery` are the keyed hashes of codes for a lost phone.

    The step that proved it is used up. All their other sessions end. Raises ActRefused when an administrator would
    be left without.
    """
    _own(desk, number)
    member = _of(_everybody(desk), number)
    if sealed is None and ADMINISTRATOR in member.roles:
        raise ActRefused(
            "管理员必须使用动态口令，只能更换", "an administrator needs a second factor; it can be replaced"
        )
    staff.change(desk.connection, number, totp=sealed, totp_step=step)
    staff.set_recovery(desk.connection, number, recovery)
    staff.end_sessions(desk.connection, number, but=session)
    _note(desk, "second_set" if sealed else "second_removed", number)


def set_language(desk: Desk, number: int, language: str) -> None:
    """The language that a member reads."""
    _own(desk, number)
    if language not in LANGUAGES:
        raise ActRefused("语言只能是 zh 或 en", "the language is zh or en")
    staff.change(desk.connection, number, language=language)


def entered(desk: Desk, number: int, *, recovery: bool = False) -> None:
    """Record a log-in; `recovery`: by a code for a lost phone."""
    _own(desk, number)
    _note(desk, "entered_by_recovery" if recovery else "entered", number)


def actor(number: int) -> str:
    """How a member is called in events."""
    return f"staff:{number}"


def needs_second(member: Member) -> bool:
    """Whether this member must have a second factor."""
    return ADMINISTRATOR in member.roles


def _own(desk: Desk, number: int) -> None:
    if desk.actor != actor(number):
        raise ActRefused("这只能由本人来做", "only the member can do that")


def _everybody(desk: Desk) -> dict[int, Member]:
    """Every member, locked: two administrators must not send each other away at the same moment."""
    return {member.id: member for member in staff.members(desk.connection, lock=True)}


def _of(everybody: dict[int, Member], number: int) -> Member:
    if number not in everybody:
        raise ActRefused("没有这位员工，请回到员工名单", "there is no such member of staff; go back to the list")
    return everybody[number]


def _keep_one(everybody: dict[int, Member], leaving: Member) -> None:
    others = (one for one in everybody.values() if one.active and ADMINISTRATOR in one.roles and one.id != leaving.id)
    if leaving.active and ADMINISTRATOR in leaving.roles and next(others, None) is None:
        raise ActRefused(
            "这是最后一位管理员，请先让另一位员工成为管理员",
            "this is the last administrator; make somebody else one first",
        )


def _standing(roles: Iterable[str], branch: str | None) -> tuple[tuple[str, ...], str | None]:
    """Roles and branch as stored. An administrator gives rights over everybody, so a branch would bind nothing."""
    kept, place = _roles(roles), _branch(branch)
    if ADMINISTRATOR in kept and place:
        raise ActRefused("管理员不限网点，请把网点留空", "an administrator has no branch; leave it empty")
    return kept, place


def _roles(roles: Iterable[str]) -> tuple[str, ...]:
    kept = tuple(sorted(set(roles)))
    unknown = [role for role in kept if role not in rights.ROLES]
    if unknown:
        known = "、".join(rights.ROLES)
        raise ActRefused(f"没有这个角色：{unknown[0]}；可选 {known}", f"no such role: {unknown[0]}; there are {known}")
    return kept


def _branch(branch: str | None) -> str | None:
    place = (branch or "").strip() or None
    if place and not _BRANCH.fullmatch(place):
        raise ActRefused(
            "网点代号只用小写字母、数字和 -，和方案里点位的 branch 一致",
            "a branch is written in small letters, digits and -, as at the plan's spots",
        )
    return place


def _note(desk: Desk, what: str, number: int, **more: int | str) -> None:
    desk.note(f"staff.{what}", "", 0, {"staff": number, **more})
