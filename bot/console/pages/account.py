"""What members do for themselves: their password, their second factor, their recovery codes, where they are logged in.

Whoever changes how they prove themselves types their present password; all their other log-ins end with it.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

from starlette.responses import Response

from bot.console import ANY_STAFF, ENTERING, ROOT, guesses, locks, page, post
from bot.console.pages.home import role_names
from bot.console.visit import Visit, Wrong
from campaigns import staff as acts
from storage import staff

WORDS = {
    "title": ("我的账号", "My account"),
    "name": ("姓名", "Name"),
    "roles": ("角色", "Roles"),
    "branch": ("网点", "Branch"),
    "all_branches": ("全部网点", "All branches"),
    "second": ("动态口令", "Second factor"),
    "second_on": ("已启用，恢复码还剩 {left} 个", "On; {left} recovery codes left"),
    "second_off": ("未启用", "Off"),
    "second_set": ("启用动态口令", "Set up a second factor"),
    "second_new": ("更换动态口令", "Replace the second factor"),
    "second_remove": ("停用动态口令", "Turn the second factor off"),
    "password": ("修改密码", "Change password"),
    "password_must": ("设置新密码", "Choose a new password"),
    "password_why": (
        "您用的是一次性密码，请换成自己的密码再继续。",
        "You entered with a one-time password; choose your own to go on.",
    ),
    "old": ("现在的密码", "Present password"),
    "new": ("新密码", "New password"),
    "new_hint": (
        "10 到 128 个字；几个不相干的词连在一起，好记又难猜。",
        "10 to 128 characters; a few unrelated words are easy to keep and hard to guess.",
    ),
    "again": ("再输入一次新密码", "New password again"),
    "differ": ("两次输入的新密码不一样，请重新输入", "the two new passwords differ; type them again"),
    "same": ("新密码和现在的一样，请换一个", "the new password is the present one; choose another"),
    "save": ("保存", "Save"),
    "saved": ("密码已修改，其他地方的登录已全部结束。", "Password changed; all your other log-ins have ended."),
    "sessions": ("登录中的设备", "Where you are logged in"),
    "this": ("本机", "this one"),
    "seen": ("最近使用", "Last used"),
    "opened": ("登录时间", "Since"),
    "source": ("来源地址", "Address"),
    "end": ("退出这台", "End"),
    "end_one": ("退出 {agent}", "End {agent}"),
    "end_all": ("退出全部登录", "End all log-ins"),
    "ended": ("已退出。", "Ended."),
    "second_must": (
        "管理员必须使用动态口令。设置一次，以后登录时在密码之外再输入手机上的 6 位数字。",
        "Administrators need a second factor: once set up, you enter 6 digits from your phone beside the password.",
    ),
    "second_why": (
        "密码被人知道也登录不了：登录时还要输入手机上每 30 秒变一次的 6 位数字。",
        "A password alone lets nobody in: log-in also asks for 6 digits that change on your phone every 30 seconds.",
    ),
    "scan": (
        "一、用手机上的身份验证器（如微软、谷歌的 Authenticator，或任何支持 TOTP 的应用）扫这个码。",
        "1. Scan this with an authenticator app on your phone (Microsoft's or Google's, or any other that knows TOTP).",
    ),
    "scan_alt": (
        "动态口令的二维码；也可以手工输入下面的密钥",
        "QR code of the second factor; the key below can be typed",
    ),
    "key": ("扫不了就手工输入这个密钥：", "Or type this key:"),
    "confirm": ("二、输入应用显示的 6 位数字。", "2. Enter the 6 digits that the app shows."),
    "code": ("6 位数字", "6 digits"),
    "code_wrong": (
        "数字不对，请确认手机时间准确，等下一组数字再输入",
        "these digits are wrong: check that the phone's clock is right, and enter the next ones",
    ),
    "expired": ("页面已过期，请重新扫码", "the page is out of date; scan the new code"),
    "turn_on": ("启用", "Turn on"),
    "recovery": ("恢复码", "Recovery codes"),
    "recovery_why": (
        "动态口令已启用，其他地方的登录已结束。手机丢失时，每个恢复码可代替一次动态口令。请现在抄下或打印，收在安全的地方；离开本页后不再显示。",
        "The second factor is on and your other log-ins have ended. If your phone is lost, each of these codes stands "
        "for it once. Write them down or print them now and keep them safe: they are not shown again.",
    ),
    "kept": ("已经收好，继续", "They are safe; continue"),
    "removed": ("动态口令已停用，其他地方的登录已结束。", "The second factor is off; your other log-ins have ended."),
}


@page(f"{ROOT}/me", ANY_STAFF)
async def me(visit: Visit) -> Response:
    """Who one is, and where one is logged in."""
    idle = visit.console.settings.idle_minutes * 60
    sessions = await visit.read(staff.sessions, visit.me.id, idle)
    left = await visit.read(staff.recovery_left, visit.me.id)
    roles = role_names(visit.me.roles, visit.language)
    return visit.show("me.html", WORDS, sessions=sessions, roles=roles, left=left)


@post(f"{ROOT}/me/sessions/{{number:int}}/end", ANY_STAFF)
async def end_one(visit: Visit) -> Response:
    """End one of one's own log-ins."""
    session = visit.number("number")
    await visit.act(lambda desk: acts.end_session(desk, visit.me.id, session))
    return visit.go(f"{ROOT}/me", said=WORDS["ended"])


@post(f"{ROOT}/me/sessions/end", ANY_STAFF)
async def end_all(visit: Visit) -> Response:
    """End all of one's own log-ins, this one too."""
    await visit.act(lambda desk: acts.end_session(desk, visit.me.id, None))
    return visit.go(f"{ROOT}/login", said=WORDS["ended"])


@page(f"{ROOT}/password", ENTERING)
async def password_page(visit: Visit) -> Response:
    """The form for a new password."""
    if visit.console.asked(visit) == f"{ROOT}/code":
        return visit.go(f"{ROOT}/code")
    return visit.show("password.html", WORDS, wrong="")


@post(f"{ROOT}/password", ENTERING)
async def password(visit: Visit) -> Response:
    """Take a new password; one that somebody else gave needs no proof, since it was typed a moment ago."""
    if visit.console.asked(visit) == f"{ROOT}/code":
        return visit.go(f"{ROOT}/code")
    member, session = visit.me, visit.session
    assert session
    try:
        new = _new_password(visit)
        if member.change_by is None:
            await guesses.own_password(visit)
        if await visit.console.locks.fits(member.password, new, known=True):
            raise Wrong(*WORDS["same"])
    except Wrong as wrong:
        return visit.show("password.html", WORDS, 400, wrong=visit.tell(wrong.zh, wrong.en))
    hashed = await visit.console.locks.hash(new)
    await visit.act(lambda desk: acts.set_password(desk, member.id, hashed, session.id))
    response = visit.go(ROOT, said=WORDS["saved"])
    guesses.remember_device(visit, replace(member, password=hashed), response)
    return response


@page(f"{ROOT}/second", ENTERING)
async def second_page(visit: Visit) -> Response:
    """The QR code of a second factor in the making."""
    asked = visit.console.asked(visit)
    if asked not in ("", f"{ROOT}/second"):
        return visit.go(asked)
    return await _enrol(visit, "")


@post(f"{ROOT}/second", ENTERING)
async def second(visit: Visit) -> Response:
    """Confirm the second factor in the making by its first code; the recovery codes are shown once."""
    asked = visit.console.asked(visit)
    if asked not in ("", f"{ROOT}/second"):
        return visit.go(asked)
    member, session = visit.me, visit.session
    assert session
    try:
        if session.totp_new is None:
            raise Wrong(*WORDS["expired"])
        if not asked:
            await guesses.own_password(visit)
        secret = visit.app.vault.reveal(session.totp_new).decode()
        step = locks.step_of(secret, visit.form.text("code", 20, needed=False).replace(" ", ""))
        if step is None:
            raise Wrong(*WORDS["code_wrong"])
    except Wrong as wrong:
        return await _enrol(visit, visit.tell(wrong.zh, wrong.en), 400)
    codes = locks.recovery_codes()
    digests = [visit.app.vault.digest("recovery", str(member.id), code) for code in codes]
    sealed = session.totp_new
    used = step

    def set_second(desk: Any) -> None:
        acts.set_second(desk, member.id, sealed, used, digests, session.id)
        staff.set_new_totp(desk.connection, session.id, None)

    await visit.act(set_second)
    return visit.show("recovery.html", WORDS, codes=codes)


@post(f"{ROOT}/second/remove", ANY_STAFF)
async def remove_second(visit: Visit) -> Response:
    """Do without a second factor again."""
    session = visit.session
    assert session
    await guesses.own_password(visit)
    await visit.act(lambda desk: acts.set_second(desk, visit.me.id, None, 0, [], session.id))
    return visit.go(f"{ROOT}/me", said=WORDS["removed"])


def _new_password(visit: Visit) -> str:
    new = visit.form.secret("new")
    if new != visit.form.secret("again"):  # both were typed by the same person just now
        raise Wrong(*WORDS["differ"])
    weak = locks.weakness(new, visit.me.name)
    if weak:
        raise Wrong(*weak)
    return new


async def _enrol(visit: Visit, wrong: str, status: int = 200) -> Response:
    """The page with the QR code; a reload shows the same one, so that what was scanned stays good."""
    from content import qr  # draws: only for those who come here

    session = visit.session
    assert session
    if session.totp_new is None:
        secret = locks.new_secret()
        sealed = visit.app.vault.hide(secret.encode())
        await visit.app.writer.run(lambda connection: staff.set_new_totp(connection, session.id, sealed))
    else:
        secret = visit.app.vault.reveal(session.totp_new).decode()
    issuer = visit.app.writer.library.plan.organiser.name[visit.language]
    picture = base64.b64encode(qr.png(locks.enrolment(secret, visit.me.name, issuer))).decode()
    grouped = " ".join(secret[place : place + 4] for place in range(0, len(secret), 4))
    must = bool(visit.console.asked(visit))
    return visit.show("second.html", WORDS, status, wrong=wrong, picture=picture, key=grouped, must=must)
