"""Logging in and out: name and password, then a code of the second factor where one is set up.

What is wrong is never told apart: a name that nobody has, a wrong password and an inactive member read alike.
"""

from __future__ import annotations

import secrets
from math import ceil
from typing import Any

from starlette.responses import Response

from bot.console import ENTERING, PUBLIC, ROOT, guesses, page, post
from bot.console.door import LANGUAGE_COOKIE, LANGUAGES, LOGIN, digest_of, safe_next
from bot.console.locks import step_of
from bot.console.visit import Visit
from campaigns import staff as acts
from campaigns.desk import Desk
from storage import staff, staff_guess
from storage.staff import Member

WORDS = {
    "title": ("登录管理台", "Log in to the console"),
    "name": ("姓名", "Name"),
    "password": ("密码", "Password"),
    "wrong": (
        "姓名或密码不对，或一次性密码已过期。忘了密码请找管理员重设。",
        "Name or password is wrong, or a one-time password has expired. If you forgot it, ask an administrator.",
    ),
    "later": guesses.LATER,
    "only_staff": ("只供员工使用，操作会留下记录。", "For staff only; what you do is recorded."),
    "code_title": ("动态口令", "Second factor"),
    "code": ("动态口令", "Code"),
    "code_hint": (
        "打开手机上的身份验证器，输入 6 位数字；手机不在身边可用一个恢复码。",
        "Enter the 6 digits of your authenticator app; without your phone, one of your recovery codes.",
    ),
    "code_wrong": (
        "口令不对或已经用过，请等下一个再输入。",
        "The code is wrong or was used already; wait for the next one.",
    ),
    "go_on": ("继续", "Continue"),
    "again": ("换一个账号登录", "Log in as somebody else"),
    "recovered": (
        "您用了一个恢复码，还剩 {left} 个。手机丢了请在“我的账号”更换动态口令。",
        "You used a recovery code; {left} are left. If your phone is lost, replace the second factor under My account.",
    ),
}


@page(LOGIN, PUBLIC)
async def log_in_page(visit: Visit) -> Response:
    """The form; for somebody who is logged in already, what they came for."""
    if visit.member:
        return visit.go(safe_next(visit.query("next", 400)))
    return _form(visit)


@post(LOGIN, PUBLIC)
async def log_in(visit: Visit) -> Response:
    """Check name and password, counted before anything is looked at."""
    name = acts.folded(visit.form.text("name", acts.NAME_MAX * 4, needed=False))
    password = visit.form.secret("password")
    member, live = await visit.read(guesses.lookup, name)
    device = guesses.known_device(visit, member)
    wait = await guesses.count(visit, guesses.counted(visit, name, member), device)
    if wait:
        return _form(visit, 429, "later", seconds=ceil(wait))
    right = await visit.console.locks.fits(member.password if member else "", password, known=bool(device))
    if not (right and member and live):
        return _form(visit, 401, "wrong")
    return await _enter(visit, member, device)


@post(f"{ROOT}/logout", ENTERING)
async def log_out(visit: Visit) -> Response:
    """End this session."""
    number, session = visit.me.id, visit.session
    assert session
    await visit.app.writer.run(lambda connection: staff.end_session(connection, number, session.id))
    response = visit.go(LOGIN)
    response.delete_cookie(visit.console.session_cookie, path=visit.console.cookie()["path"])
    return response


@page(f"{ROOT}/code", ENTERING)
async def code_page(visit: Visit) -> Response:
    """The second step."""
    return visit.show("code.html", WORDS, wrong="") if not _proved(visit) else visit.go(ROOT)


@post(f"{ROOT}/code", ENTERING)
async def code(visit: Visit) -> Response:
    """Check a code of the second factor, or a recovery code; the session gets a new token with its new standing."""
    if _proved(visit):
        return visit.go(ROOT)
    member = visit.me
    typed = visit.form.text("code", 40, needed=False).replace(" ", "").lower()
    device = guesses.known_device(visit, member)
    wait = await guesses.count(visit, f"code:{member.id}", device and f"code:{device}")
    if wait:
        words = WORDS["later"]
        text = visit.tell(*words).format(seconds=ceil(wait))
        return visit.show("code.html", WORDS, 429, wrong=text)
    assert member.totp
    secret = visit.app.vault.reveal(member.totp).decode()
    step = step_of(secret, typed)
    digest = visit.app.vault.digest("recovery", str(member.id), typed)
    session = visit.session
    assert session
    token = secrets.token_urlsafe(32)

    def prove(connection: Any) -> tuple[bool, int]:
        by_code = step is not None and staff.use_step(connection, member.id, step)
        by_recovery = not by_code and step is None and staff.use_recovery(connection, member.id, digest)
        if not (by_code or by_recovery):
            return False, 0
        if not staff.end_session(connection, member.id, session.id):
            return False, 0  # ended elsewhere in this very moment
        staff_guess.was_right(connection, f"code:{member.id}", visit.source, device and f"code:{device}")
        _open(visit, connection, member, token, proved=True)
        acts.entered(_own_desk(visit, connection, member), member.id, recovery=by_recovery)
        return True, staff.recovery_left(connection, member.id) if by_recovery else -1

    done, left = await visit.app.writer.run(prove)
    if not done:
        return visit.show("code.html", WORDS, 401, wrong=visit.tell(*WORDS["code_wrong"]))
    said = None
    if left >= 0:
        zh, en = (text.format(left=left) for text in WORDS["recovered"])
        said = (zh, en)
    return _entered(visit, member, token, said)


@post(f"{ROOT}/language", ENTERING)
async def language(visit: Visit) -> Response:
    """Read the console in the other language."""
    chosen = visit.form.text("language", 2)
    back = safe_next(visit.form.text("back", 400, needed=False))
    await visit.act(lambda desk: acts.set_language(desk, visit.me.id, chosen))
    return visit.go(back)


def _proved(visit: Visit) -> bool:
    return bool(visit.session and visit.session.proved)


def _form(visit: Visit, status: int = 200, wrong: str = "", **values: object) -> Response:
    text = visit.tell(*WORDS[wrong]).format(**values) if wrong else ""
    where = visit.request.query_params.get("next", "") or visit.form.text("next", 400, needed=False)
    name = visit.form.text("name", 200, needed=False) if wrong else ""
    response = visit.show("login.html", WORDS, status, wrong=text, next=safe_next(where), name=name)
    if "lang" in visit.request.query_params and visit.language in LANGUAGES:
        response.set_cookie(LANGUAGE_COOKIE, visit.language, **visit.console.cookie(365 * 86400))
    return response


async def _enter(visit: Visit, member: Member, device: str) -> Response:
    """The password was right: a new session with a new token, whatever cookie came along."""
    token = secrets.token_urlsafe(32)

    def enter(connection: Any) -> None:
        staff_guess.was_right(connection, staff_guess.member_key(member.id), visit.source, device)
        staff_guess.clean(connection)
        if visit.session:  # whoever was logged in here before
            staff.end_session(connection, visit.me.id, visit.session.id)
        _open(visit, connection, member, token, proved=member.totp is None)
        if member.totp is None:
            acts.entered(_own_desk(visit, connection, member), member.id)

    await visit.app.writer.run(enter)
    if member.totp is None:
        return _entered(visit, member, token)
    response = visit.go(f"{ROOT}/code?next={safe_next(visit.form.text('next', 400, needed=False))}")
    response.set_cookie(visit.console.session_cookie, token, **visit.console.cookie())
    return response


def _open(visit: Visit, connection: Any, member: Member, token: str, *, proved: bool) -> None:
    # Somebody who stopped half way is asked again soon.
    seconds = visit.console.settings.session_hours * 3600 if proved else 600
    agent = agent_of(visit.request.headers.get("user-agent", ""))
    digest = digest_of(token)
    staff.open_session(connection, member.id, digest, proved=proved, seconds=seconds, source=visit.source, agent=agent)


def _entered(visit: Visit, member: Member, token: str, said: tuple[str, str] | None = None) -> Response:
    response = visit.go(safe_next(visit.form.text("next", 400, needed=False)), said)
    response.set_cookie(visit.console.session_cookie, token, **visit.console.cookie())
    guesses.remember_device(visit, member, response)
    return response


def _own_desk(visit: Visit, connection: Any, member: Member) -> Desk:
    return Desk(connection, acts.actor(member.id), frozenset(), visit.now)


def agent_of(header: str) -> str:
    """Browser and system in two words, for their owner to recognise a session by."""
    browsers = (("MicroMessenger", "WeChat"), ("Edg", "Edge"), ("Firefox", "Firefox"), ("Chrome", "Chrome"))
    systems = (("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("HarmonyOS", "HarmonyOS"))
    desks = (("Windows", "Windows"), ("Mac OS", "macOS"), ("Linux", "Linux"))
    browser = next((name for mark, name in (*browsers, ("Safari", "Safari")) if mark in header), "")
    system = next((name for mark, name in (*systems, *desks) if mark in header), "")
    return " · ".join(filter(None, (browser, system))) or header[:20].strip() or "–"
