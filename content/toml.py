"""Reads TOML and remembers on which line every key and every array item stands.

The data is the standard library's, the lines are a concrete syntax tree's. It knows nothing of what the keys mean.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

Steps = tuple[str | int, ...]

_WHERE = re.compile(r"^(?P<what>.*) \((?:at line (?P<line>\d+), column \d+|at end of document)\)$", re.DOTALL)
_HEADERS = ("table", "table_array_element")
_KEYS = ("bare_key", "quoted_key", "dotted_key")
_VALUES_APART = frozenset({"[", "]", ",", "comment", "ERROR"})


class TomlFault(Exception):
    """A file that is not TOML: its `name`, the `line` (from 1) and the parser's own `message`."""

    def __init__(self, name: str, line: int, message: str) -> None:
        super().__init__(f"{name}:{line}: {message}")
        self.name = name
        self.line = line
        self.message = message


class Document:
    """The `data` of one TOML text called `name`, and the line of each of its parts."""

    def __init__(self, name: str, text: str, data: dict[str, Any]) -> None:
        self.name = name
        self.data = data
        self._text = text
        self._lines: dict[Steps, int] | None = None

    def line(self, path: Sequence[str | int]) -> int:
        """The line, from 1, on which the key or array item of `path` stands; a table stands at its first header.

        For a path that is not there, the line of its nearest ancestor that is; line 1 when there is none.
        """
        if self._lines is None:
            self._lines = _lines(self._text)
        steps = tuple(path)
        while steps and steps not in self._lines:
            steps = steps[:-1]
        return self._lines.get(steps, 1)


def read(path: Path) -> Document:
    """The document in a UTF-8 file, named by its path. Raises TomlFault, or OSError when it cannot be read."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = raw.count(b"\n", 0, fault.start) + 1
        raise TomlFault(
            str(path), line, "not UTF-8; save the file as UTF-8 / 不是 UTF-8 编码，请另存为 UTF-8"
        ) from fault
    return parse(text, str(path))


def parse(text: str, name: str) -> Document:
    """The document in `text`, called `name` in messages. Raises TomlFault."""
    try:
        return Document(name, text, tomllib.loads(text))
    except tomllib.TOMLDecodeError as fault:
        found = _WHERE.match(str(fault))
        last = len(text.rstrip().splitlines()) or 1
        if found is None:
            raise TomlFault(name, last, str(fault)) from fault
        raise TomlFault(name, int(found["line"] or last), found["what"]) from fault
    except RecursionError as fault:
        raise TomlFault(name, 1, "nested too deeply / 嵌套太深") from fault


@cache
def _parser() -> Any:
    import tree_sitter
    import tree_sitter_toml

    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_toml.language()))


def _lines(text: str) -> dict[Steps, int]:
    lines: dict[Steps, int] = {(): 1}
    counts: dict[Steps, int] = {}
    for node in _parser().parse(text.encode()).root_node.children:
        if node.type == "pair":
            _pair(node, (), lines)
        elif node.type in _HEADERS:
            _table(node, lines, counts)
    return lines


def _table(node: Any, lines: dict[Steps, int], counts: dict[Steps, int]) -> None:
    """A `[header]` or `[[header]]` with the pairs under it; `counts` holds how many items each array has so far."""
    header, *pairs = [child for child in node.children if child.type in _KEYS or child.type == "pair"]
    line = node.start_point[0] + 1
    keys = _keys(header)
    path: Steps = ()
    for place, key in enumerate(keys):
        path += (key,)
        lines.setdefault(path, line)
        if node.type == "table_array_element" and place == len(keys) - 1:
            counts[path] = counts.get(path, 0) + 1
        if path in counts:
            path += (counts[path] - 1,)
            lines.setdefault(path, line)
    # `[a.b]` may come before `[a]`: then the header of its own is the better place for `a`.
    if node.type == "table":
        lines[path] = line
    for pair in pairs:
        _pair(pair, path, lines)


def _pair(node: Any, base: Steps, lines: dict[Steps, int]) -> None:
    key, *_, value = [child for child in node.children if child.type not in ("=", "comment")]
    for step in _keys(key):
        base += (step,)
        lines.setdefault(base, node.start_point[0] + 1)
    _value(value, base, lines)


def _value(node: Any, path: Steps, lines: dict[Steps, int]) -> None:
    if node.type == "inline_table":
        for child in node.children:
            if child.type == "pair":
                _pair(child, path, lines)
    elif node.type == "array":
        items = [child for child in node.children if child.type not in _VALUES_APART]
        for place, item in enumerate(items):
            lines[(*path, place)] = item.start_point[0] + 1
            _value(item, (*path, place), lines)


def _keys(node: Any) -> list[str]:
    """The names in a bare, quoted or dotted key, read by the TOML reader itself so that escapes agree."""
    return list(_names(tomllib.loads(f"{node.text.decode()} = 0")))


def _names(table: Any) -> Iterator[str]:
    while isinstance(table, dict):
        ((name, table),) = table.items()
        yield name
