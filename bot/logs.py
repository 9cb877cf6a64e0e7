"""The log: one JSON object per line (words and colours on a terminal), times in UTC, never a secret.

Everything that is logged in the process passes here, also what libraries say and every traceback. It knows no settings:
whoever reads them calls `protect`.
"""

from __future__ import annotations

import json as json_text
import logging
import re
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any
from urllib.parse import quote, quote_plus

# structlog takes rich along where it finds it, for tracebacks that show local variables: a secret may be among them, so
# none are made here, and loading rich for them takes ten times as long as structlog itself. None means not to be found.
_RICH = "rich" not in sys.modules
if _RICH:
    sys.modules["rich"] = None  # type: ignore[assignment]
try:
    import structlog
finally:
    if _RICH:
        del sys.modules["rich"]

HIDDEN = "***"

# Names whose values are hidden wherever they are written as `name=value`, `"name": "value"` or a logged key.
_NAMES = "access_token|refresh_token|secret_token|stable_token|app_?secret|aes_key|password|secret|token|authorization"
_NAMED = re.compile(rf"(?i)(\b(?:{_NAMES})=)[^\s&\"'\\,)\x1b]+")
_QUOTED = re.compile(rf"(?i)([\"'](?:{_NAMES})\\?[\"']\s*:\s*\\?[\"'])[^\"'\\]+")
_BOT_URL = re.compile(r"(/bot)\d+:[A-Za-z0-9_-]+")
_KEY = re.compile(rf"(?i)(?:{_NAMES})")
# A shorter secret may be a piece of an innocent word, so it is hidden only where it stands alone.
_WORD_CHARACTERS = 8

_protected: set[str] = set()
_secrets: re.Pattern[str] | None = None


def protect(values: Iterable[str]) -> None:
    """From now on write `***` for each of `values`, also where it is quoted for a URL or escaped for JSON."""
    global _secrets
    _protected.update(filter(None, values))
    forms = {form for value in _protected for form in _forms(value)}
    patterns = [
        re.escape(form) if len(form) >= _WORD_CHARACTERS else rf"(?<![A-Za-z0-9]){re.escape(form)}(?![A-Za-z0-9])"
        for form in sorted(forms, key=len, reverse=True)
    ]
    _secrets = re.compile("|".join(patterns)) if patterns else None


def scrub(text: str) -> str:
    """`text` with every protected value, and every value that names itself a secret, as `***`."""
    if _secrets:
        text = _secrets.sub(HIDDEN, text)
    text = _NAMED.sub(rf"\g<1>{HIDDEN}", text)
    text = _QUOTED.sub(rf"\g<1>{HIDDEN}", text)
    return _BOT_URL.sub(rf"\g<1>{HIDDEN}", text)


def configure(json: bool | None = None, level: int = logging.INFO) -> None:
    """Send structlog and the standard library's loggers to standard error; with None, JSON unless it is a terminal."""
    if json is None:
        json = not sys.stderr.isatty()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.StackInfoRenderer(),
        _hide_named,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _Scrubbing(
            foreign_pre_chain=[*shared[:-1], structlog.stdlib.PositionalArgumentsFormatter(), _hide_named],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(json)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # One line per request of ours or tick says nothing that our own records do not.
    for chatty in ("httpx", "httpcore", "apscheduler", "urllib3", "alembic.runtime.plugins"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


class _Scrubbing(structlog.stdlib.ProcessorFormatter):
    """The last word on every record, whoever wrote it."""

    def format(self, record: logging.LogRecord) -> str:
        return scrub(super().format(record))


def _rendering(json: bool) -> list[Any]:
    # Plain tracebacks: richer ones show local variables, and a secret may be among them.
    if json:
        return [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ]
    return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]


def _hide_named(_: Any, __: str, record: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in record:
        if _KEY.fullmatch(key):
            record[key] = HIDDEN
    return record


def _forms(value: str) -> set[str]:
    return {value, quote(value, safe=""), quote_plus(value), json_text.dumps(value)[1:-1], repr(value)[1:-1]}
