"""What the platform's errors mean for a message: refused, to be tried again, in doubt, or a pause for the whole bot.

Sources: the Bot API's "Making requests" and the error texts in the source of its server.
"""

from __future__ import annotations

import logging

from telegram.error import (
    BadRequest,
    ChatMigrated,
    Forbidden,
    InvalidToken,
    RetryAfter,
    TelegramError,
    TimedOut,
)

from bot.channels import Outcome
from bot.telegram.request import NotSent

log = logging.getLogger(__name__)

_STOP_SECONDS = 600.0  # nothing leaves until a person mends it
_UNKNOWN = ("chat not found", "user not found", "peer_id_invalid", "user_id_invalid", "input_user_deactivated")
_NO_RIGHT = (
    "administrator rights",
    "have no rights",
    "not enough rights",
    "chat_write_forbidden",
    "chat_admin_required",
)
_FILE_GONE = ("file identifier", "file_id", "file_reference", "wrong type of the web page content", "file of type")
_UNSHOWABLE = ("image_process_failed", "photo_invalid", "photo_ext_invalid", "too big for a photo", "non-empty")


def seconds_to_wait(error: RetryAfter) -> float:
    """For how long the platform wants no more requests."""
    return float(error.__reduce__()[1][0])  # the attribute is changing its type, and warns of it at every look


def outcome(error: TelegramError, account: str) -> Outcome:
    """How a send that met `error` ended."""
    if isinstance(error, RetryAfter):
        return Outcome("slow", "too_many_requests", seconds_to_wait(error))
    if isinstance(error, Forbidden):
        return Outcome("refused", _forbidden(str(error).lower()))
    if isinstance(error, InvalidToken):
        log.error("telegram %s: the platform refuses the bot's token; nothing leaves until it is set right", account)
        return Outcome("slow", "token_refused", _STOP_SECONDS)
    if isinstance(error, NotSent):
        return Outcome("retry", "no_connection", 5.0)
    if isinstance(error, BadRequest):
        if _has(error, _UNKNOWN):
            return Outcome("refused", "unknown_person")
        log.warning("telegram %s: a message was refused: %s", account, str(error)[:200])
        return Outcome("failed", "bad_request")
    if isinstance(error, ChatMigrated):
        return Outcome("refused", "moved")
    return Outcome("doubtful", "no_answer" if isinstance(error, TimedOut) else "platform_fault")


def post_outcome(error: TelegramError, account: str) -> Outcome:
    """How a post to a channel that met `error` ended: `not_admin` where the bot may not post, `no_channel`."""
    if isinstance(error, Forbidden) or (isinstance(error, BadRequest) and _has(error, _NO_RIGHT)):
        return Outcome("refused", "not_admin")
    ended = outcome(error, account)
    return Outcome("refused", "no_channel") if ended.reason == "unknown_person" else ended


def file_gone(error: BadRequest) -> bool:
    """Whether the platform does not know this file_id, so that the picture must be uploaded again."""
    return _has(error, _FILE_GONE)


def unshowable(error: BadRequest) -> bool:
    """Whether the platform will never show this picture."""
    return _has(error, _UNSHOWABLE)


def unchanged(error: BadRequest) -> bool:
    """Whether an edit changed nothing: the message looks already as it should."""
    return _has(error, ("message is not modified",))


def _forbidden(text: str) -> str:
    if "deactivated" in text:
        return "deactivated"
    return "unknown_person" if "initiate" in text else "blocked"


def _has(error: BadRequest, parts: tuple[str, ...]) -> bool:
    text = str(error).lower()
    return any(part in text for part in parts)
