"""Guesses at passwords and codes as the console counts them; storage/staff_guess.py says why it holds.

A device from which a member entered carries a cookie that only we can write; it dies with the member's password.
"""

from __future__ import annotations

import hmac
import secrets
from math import ceil
from typing import Any

from starlette.responses import Response

from bot.console.visit import Visit, Wrong
from storage import staff, staff_guess
from storage.staff import Member
from storage.store import machine_now
from storage.tables import micros

DEVICE_DAYS = 180
LATER = (
    "尝试次数太多，请 {seconds} 秒后再试；用登录过的设备不受影响。",
    "Too many tries: try again in {seconds} seconds. A device that logged in before is not affected.",
)
WRONG = ("现在的密码不对，没有改动任何内容。", "Your present password is wrong; nothing was changed.")


def counted(visit: Visit, name: str, member: Member | None) -> str:
    """What guesses are counted under: the member, or a hash of a name that nobody has, which may be a password."""
    if member:
        return staff_guess.member_key(member.id)
    digest: str = visit.app.vault.digest("guess", "", name)
    return digest


def lookup(connection: Any, name: str) -> tuple[Member | None, bool]:
    """The member of a name, and whether they may enter with the right password."""
    member = staff.by_name(connection, name)
    if member is None:
        return None, False
    expired = member.change_by is not None and micros(member.change_by) < machine_now(connection)
    return member, member.active and not expired


def known_device(visit: Visit, member: Member | None) -> str:
    """The id of the device, if this member entered from it before; empty otherwise."""
    if member is None:
        return ""
    device, _, mac = visit.request.cookies.get(_cookie(visit, member.name), "").partition(".")
    good = device and hmac.compare_digest(mac.encode(), _mac(visit, member, device).encode())
    return device if good else ""


def remember_device(visit: Visit, member: Member, response: Response) -> None:
    """From now on this browser is known as one of the member's."""
    device = secrets.token_hex(16)
    mark = f"{device}.{_mac(visit, member, device)}"
    response.set_cookie(_cookie(visit, member.name), mark, **visit.console.cookie(DEVICE_DAYS * 86400))


async def count(visit: Visit, key: str, device: str) -> float:
    """Count a try under the key before it is looked at; the seconds to wait when it is one too many."""
    source = visit.source
    wait = await visit.read(staff_guess.wait, key, source, device)
    if wait:
        return wait
    return float(await visit.app.writer.run(lambda connection: staff_guess.admit(connection, key, source, device)))


async def own_password(visit: Visit) -> None:
    """Somebody who is logged in proves it anew by `old`, their password. Raises Wrong."""
    member = visit.me
    key = f"again:{member.id}"
    wait = await count(visit, key, "")
    if wait:
        raise Wrong(*(text.format(seconds=ceil(wait)) for text in LATER))
    if not await visit.console.locks.fits(member.password, visit.form.secret("old"), known=True):
        raise Wrong(*WRONG)
    source = visit.source
    await visit.app.writer.run(lambda connection: staff_guess.was_right(connection, key, source))


def _cookie(visit: Visit, name: str) -> str:
    """One cookie per name: several members may use one computer."""
    prefix = "__Host-koukou-device" if visit.console.secure else "koukou_device"
    return f"{prefix}-{visit.app.vault.digest('device-of', '', name)[:12]}"


def _mac(visit: Visit, member: Member, device: str) -> str:
    """Binds a device to a member and their password: a new password makes every device a stranger again."""
    digest: str = visit.app.vault.digest("device", f"{member.id}", f"{device}\0{member.password}")
    return digest
