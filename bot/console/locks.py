"""Passwords and second factors: hashed, checked and made. Hashing is slow on purpose: it has few threads of its own.

Known devices have a thread to themselves, so that a flood of strangers' guesses does not keep members waiting.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

from bot.channels import Busy

if TYPE_CHECKING:
    from argon2 import PasswordHasher

# OWASP's password storage cheat sheet asks for at least 19 MiB and two passes, or as much work.
COST: dict[str, Any] = {"time_cost": 2, "memory_cost": 46 * 1024, "parallelism": 1}
WAITING_MAX = 32  # strangers' guesses that may wait for a thread
PASSWORD_MIN, PASSWORD_MAX = 10, 128
ONE_TIME_HOURS = 72
STEP_SECONDS = 30
_READABLE = "abcdefghjkmnpqrstuvwxyz23456789"  # no i, l, o, 0, 1: these are read aloud and typed
_COMMON = (
    "password",
    "qwertyuiop",
    "1234567890",
    "0123456789",
    "1q2w3e4r",
    "iloveyou",
    "administrator",
    "koukou",
    "woaini",
)


class Locks:
    """The threads that hash, of one process."""

    def __init__(self) -> None:
        self._strangers = ThreadPoolExecutor(2, "hash")
        self._known = ThreadPoolExecutor(1, "hash-known")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """The hash of a new password."""
        return str(await self._run(self._known, hash_password, password))

    async def fits(self, stored: str, password: str, *, known: bool) -> bool:
        """Whether the password is the one; as slow without a stored hash, so that time tells nobody who is a member.

        Raises Busy when too many strangers wait already.
        """
        if not known and self._waiting >= WAITING_MAX:
            raise Busy("passwords")
        self._waiting += not known
        try:
            return bool(await self._run(self._known if known else self._strangers, fits, stored, password))
        finally:
            self._waiting -= not known

    async def _run(self, pool: ThreadPoolExecutor, work: Callable[..., Any], *arguments: str) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher(**COST)


@cache
def _nobody() -> str:
    """The hash of a password that nobody has."""
    return _hasher().hash(secrets.token_hex(16))


def hash_password(password: str) -> str:
    """The argon2 hash of a password, at once."""
    return _hasher().hash(password)


def fits(stored: str, password: str) -> bool:
    """Whether a password is the one behind a hash; the empty hash is nobody's."""
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return _hasher().verify(stored or _nobody(), password) and bool(stored)
    except (VerificationError, InvalidHashError):
        return False


def one_time_password() -> str:
    """A password to be read out and changed at the first log-in: 80 bits in four groups."""
    return "-".join("".join(secrets.choice(_READABLE) for _ in range(4)) for _ in range(4))


def weakness(password: str, name: str) -> tuple[str, str] | None:
    """Why a new password is too weak, and what would do; None when it is good enough."""
    plain = password.casefold()
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        return (
            f"密码要有 {PASSWORD_MIN} 到 {PASSWORD_MAX} 个字，例如几个不相干的词连在一起",
            f"a password has {PASSWORD_MIN} to {PASSWORD_MAX} characters: a few unrelated words do well",
        )
    if any(word in plain for word in _COMMON) or len(set(plain)) < 5 or (len(name) > 2 and name in plain):
        return (
            "这个密码太容易猜到：不要用姓名、常见密码或重复的字",
            "this password is easy to guess: no names, no common passwords, no repeated letters",
        )
    return None


def step_of(secret: str, code: str) -> int | None:
    """The time step whose TOTP code this is (RFC 6238, 30 s): the present one or a neighbour; None for no such."""
    import pyotp

    if len(code) != 6 or not code.isascii() or not code.isdigit():
        return None
    now = int(time.time()) // STEP_SECONDS
    totp = pyotp.TOTP(secret)
    matching = [step for step in (now - 1, now, now + 1) if hmac.compare_digest(totp.generate_otp(step), code)]
    return matching[-1] if matching else None


def new_secret() -> str:
    """A fresh TOTP key in base32."""
    import pyotp

    return pyotp.random_base32()


def enrolment(secret: str, name: str, issuer: str) -> str:
    """What an authenticator app reads off the QR code."""
    import pyotp

    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=issuer)


def recovery_codes() -> list[str]:
    """Ten codes of 50 bits, for a phone that is lost."""
    return ["-".join("".join(secrets.choice(_READABLE) for _ in range(5)) for _ in range(2)) for _ in range(10)]
