"""What a call to the platform can come to, and the one table from error code to the outcome of a send.

Source: the platform's error list and wechatpy's constants, classified in docs/wechat.md. Texts of faults carry
no token and no secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from bot.channels import Outcome

TOKEN_CODES = frozenset({40001, 40014, 42001})
NO_PERMISSION = 48001
DAY_QUOTA = 45009
BAD_MEDIA = 40007
BAD_OPENID = 40003
SENT_BEFORE = 45065
NO_MENU = 46003

CHINA = timezone(timedelta(hours=8))  # quotas of the platform turn with the day of UTC+8
_STOP_SECONDS = 600.0


class Fault(Exception):
    """A call that did not succeed.

    `code` is the platform's errcode, or 0 when there was none; then `reached` says whether the request may have been
    acted upon (a time-out, a broken answer) or certainly was not (no connection). `answer` is what the platform said.
    """

    def __init__(self, code: int, text: str, reached: bool = True, answer: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {text}" if code else text)
        self.code = code
        self.reached = reached
        self.answer: Mapping[str, Any] = answer or {}


_REFUSED = {
    40003: "unknown_person",
    46004: "unknown_person",
    43004: "not_following",
    43019: "blocked",
    48002: "blocked",
    43101: "consent_refused",
    45015: "window_closed",
    45047: "count_used_up",
    45028: "mass_quota",
    NO_PERMISSION: "no_capability",
}
_FAILED = {
    40007: "bad_media",
    40037: "bad_template",
    47003: "bad_template",
    40032: "bad_list",
    44002: "empty",
    44004: "empty",
    45002: "too_long",
    45067: "bad_key",
    45159: "bad_tag",
    47001: "bad_json",
}
# Nothing leaves the account until a person mends it.
STOPPED = {
    40013: "bad_app_id",
    40125: "bad_app_secret",
    40164: "address_not_listed",
    40243: "app_secret_frozen",
    48004: "api_banned",
    50001: "api_unauthorised",
    50002: "account_limited",
    89503: "address_not_confirmed",
}


def outcome(fault: Fault, now: datetime) -> Outcome:
    """How a send that met `fault` ended. `now` only says how long a quota lasts."""
    code = fault.code
    if code in _REFUSED:
        return Outcome("refused", _REFUSED[code])
    if code in _FAILED:
        return Outcome("failed", _FAILED[code])
    if code in STOPPED:
        return Outcome("slow", STOPPED[code], _STOP_SECONDS)
    if code in TOKEN_CODES:
        return Outcome("slow", "token_refused", 60.0)
    if code == SENT_BEFORE:
        return Outcome("sent", "sent_before")
    if code == 45066:  # the same key again too soon: in a minute it says what became of the first
        return Outcome("retry", "asked_too_soon", 61.0)
    if code == 45011:
        return Outcome("slow", "minute_quota", 61.0 - now.second)
    if code == DAY_QUOTA:
        return Outcome("slow", "day_quota", _until_tomorrow(now))
    if code == -1 or (code == 0 and fault.reached):
        return Outcome("doubtful", "busy" if code else "no_answer")
    if code == 0:
        return Outcome("retry", "no_connection", 5.0)
    return Outcome("failed", f"code_{code}")


def _until_tomorrow(now: datetime) -> float:
    local = now.astimezone(CHINA)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return (midnight - local).total_seconds() + 1.0
