"""The plain trees that storage takes: what a message and a segment look like, and which words can be stored at all.

Knows shapes and limits only; what a message means is the business of the rooms above.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Any, Final

TEXT_MAX: Final = 4096  # characters, of a text heard and of a text said: the longest that any channel carries
CHOICES_MAX: Final = 100
_LABEL_MAX: Final = 256
_URL_MAX: Final = 2048
_NAME_MAX: Final = 256
SEGMENT_MAX: Final = 500  # branches
_DEPTH_MAX: Final = 200
COMPARISONS: Final = frozenset({"=", "!=", "<", "<=", ">", ">="})
_LARGEST: Final = 2**62
_DAYS_MAX: Final = 36_500
# NUL cannot be stored by PostgreSQL, a lone surrogate by neither database.
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")

_Shape = tuple[frozenset[str], frozenset[str]]  # what is needed, and what is allowed
_MESSAGE: Final[_Shape] = (frozenset({"text"}), frozenset({"text", "picture", "choices", "edits", "poll"}))
_PICTURE: Final[_Shape] = (frozenset({"name", "alt"}),) * 2
_SAYING: Final[_Shape] = (frozenset({"label", "say"}),) * 2
_POLL: Final[_Shape] = (frozenset({"question", "options", "right", "say", "why", "seconds", "before"}),) * 2
_OPENING: Final[_Shape] = (frozenset({"label", "url"}),) * 2


def clean(text: str) -> str:
    """Words as heard, made fit to store: what no database takes becomes �, and no more than TEXT_MAX characters."""
    return _UNSTORABLE.sub("\ufffd", text[:TEXT_MAX])


def check_message(tree: object) -> None:
    """Check a message tree (`content.message.Message.tree()`). Raises ValueError that names the place and the fault."""
    message = _branch(tree, "message", _MESSAGE)
    if not _text(message["text"], "message.text", TEXT_MAX) and "picture" not in message:
        raise ValueError("message.text: neither words nor a picture")
    if "picture" in message:
        picture = _branch(message["picture"], "message.picture", _PICTURE)
        if not _text(picture["name"], "message.picture.name", _NAME_MAX):
            raise ValueError("message.picture.name: empty")
        _text(picture["alt"], "message.picture.alt", TEXT_MAX)
    if "edits" in message and not _text(message["edits"], "message.edits", _NAME_MAX):
        raise ValueError("message.edits: empty")
    if "poll" in message:
        _check_poll(message["poll"], "message.poll")
    if "choices" in message:
        choices = message["choices"]
        if type(choices) is not list or not 0 < len(choices) <= CHOICES_MAX:
            raise ValueError(f"message.choices: not a list of 1 to {CHOICES_MAX}")
        for number, choice in enumerate(choices):
            _check_choice(choice, f"message.choices[{number}]")


def _check_poll(tree: object, path: str) -> None:
    poll = _branch(tree, path, _POLL)
    for name, most in (("question", 300), ("say", 60), ("why", 200), ("before", TEXT_MAX)):
        if not _text(poll[name], f"{path}.{name}", most) and name in ("question", "say"):
            raise ValueError(f"{path}.{name}: empty")
    options = poll["options"]
    if type(options) is not list or not 2 <= len(options) <= 10:
        raise ValueError(f"{path}.options: not a list of 2 to 10")
    for number, option in enumerate(options):
        if not _text(option, f"{path}.options[{number}]", 100):
            raise ValueError(f"{path}.options[{number}]: empty")
    if type(poll["right"]) is not int or not 0 <= poll["right"] < len(options):
        raise ValueError(f"{path}.right: no option")
    if type(poll["seconds"]) is not int or not (poll["seconds"] == 0 or 5 <= poll["seconds"] <= 600):
        raise ValueError(f"{path}.seconds: neither 0 nor 5 to 600")


def _check_choice(tree: object, path: str) -> None:
    opens = type(tree) is dict and "url" in tree
    choice = _branch(tree, path, _OPENING if opens else _SAYING)
    if not _text(choice["label"], f"{path}.label", _LABEL_MAX):
        raise ValueError(f"{path}.label: empty")
    if not opens:
        if not _text(choice["say"], f"{path}.say", TEXT_MAX):
            raise ValueError(f"{path}.say: empty")
    elif not _text(choice["url"], f"{path}.url", _URL_MAX).startswith(("https://", "http://", "/")):
        raise ValueError(f"{path}.url: not a page")


def _branch(tree: object, path: str, shape: _Shape) -> dict[str, Any]:
    if type(tree) is not dict:
        raise ValueError(f"{path}: not an object")
    needed, allowed = shape
    if not needed <= tree.keys():
        raise ValueError(f"{path}.{min(needed - tree.keys())}: missing")
    if not tree.keys() <= allowed:
        raise ValueError(f"{path}.{min(map(str, tree.keys() - allowed))}: unknown")
    return tree


def _text(value: object, path: str, most: int) -> str:
    if type(value) is not str:
        raise ValueError(f"{path}: not a text")
    if len(value) > most:
        raise ValueError(f"{path}: {len(value)} characters, at most {most}")
    if _UNSTORABLE.search(value):
        raise ValueError(f"{path}: holds a character that cannot be stored")
    return value


def check_segment(tree: object) -> None:
    """Check the shape of a tree. Raises ValueError that names the branch and the fault.

    `["and"|"or", two or more branches]`, `["not", branch]`, or a fact: `["everyone"]`, `["guest"]`, `["referred"]`,
    `["applied"]`, `["channel", "=", "wechat" or "wechat/account"]`, `["language"|"placement"|"branch", "=", name]`,
    `["points"|"friends"|"qualified", comparison, whole number]`, `["joined", comparison, "2026-11-01"]`,
    `["joined", "within", days]`, `["inactive", days]`, `["took", what]`, `["took", what, id]`.
    """
    waiting: list[tuple[object, str, int]] = [(tree, "segment", 1)]
    count = 0
    while waiting:
        branch, path, depth = waiting.pop()
        count += 1
        if count > SEGMENT_MAX or depth > _DEPTH_MAX:
            raise ValueError(f"{path}: more than {SEGMENT_MAX} branches or {_DEPTH_MAX} levels")
        if type(branch) is not list or not branch or type(branch[0]) is not str:
            raise ValueError(f"{path}: not a list that begins with a name")
        name, *rest = branch
        if name in ("and", "or", "not"):
            if (len(rest) != 1) if name == "not" else (len(rest) < 2):
                raise ValueError(f"{path}: {name} of {len(rest)} branches")
            waiting += [(one, f"{path}[{place}]", depth + 1) for place, one in enumerate(rest, 1)]
        elif not _SHAPES.get(name, lambda _: False)(rest):
            raise ValueError(f"{path}: no such fact: {str(branch)[:80]}")


def _plain(rest: list[Any]) -> bool:
    return not rest


def _named(rest: list[Any]) -> bool:
    return len(rest) == 2 and rest[0] == "=" and _is_name(rest[1])


def _is_name(value: object) -> bool:
    return type(value) is str and 0 < len(value) <= _NAME_MAX and value.isprintable()


def _is_number(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _counted(rest: list[Any]) -> bool:
    return len(rest) == 2 and rest[0] in COMPARISONS and _is_number(rest[1], 0, _LARGEST)


def _dated(rest: list[Any]) -> bool:
    if len(rest) != 2:
        return False
    if rest[0] == "within":
        return _is_number(rest[1], 1, _DAYS_MAX)
    try:
        return rest[0] in COMPARISONS and 1970 < date.fromisoformat(rest[1]).year < 9999
    except (TypeError, ValueError):
        return False


def _silent(rest: list[Any]) -> bool:
    return len(rest) == 1 and _is_number(rest[0], 1, _DAYS_MAX)


def _taken(rest: list[Any]) -> bool:
    return 1 <= len(rest) <= 2 and all(map(_is_name, rest))


_SHAPES: Final[dict[str, Callable[[list[Any]], bool]]] = {
    **dict.fromkeys(("everyone", "guest", "referred", "applied"), _plain),
    **dict.fromkeys(("channel", "language", "placement", "branch"), _named),
    **dict.fromkeys(("points", "friends", "qualified"), _counted),
    "joined": _dated,
    "inactive": _silent,
    "took": _taken,
}
