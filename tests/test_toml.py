"""Positions in TOML files: every way to write a key or an item is found on the line where a person sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from content.toml import TomlFault, parse, read

TEXT = '''# a comment
title = "口口相传"
a.b."c \\u0064".e = 1
long = """
one
[not.a.table]
"""
list = [
  1,
  # between
  {x = 1, y = {z = 2}},
  [3,
   4],
]
[t.u]
k = {q.r = 1}
[[items]]
n = 1
[[items.parts]]
p = 1
[[items.parts]]
p = 2
[[items]]
n = 2
[items.sub]
'lit.eral' = true
[[items.parts]]
p = 3
[t]
v = 1
'''

LINES = {
    (): 1,
    ("title",): 2,
    ("a",): 3,
    ("a", "b", "c d", "e"): 3,
    ("long",): 4,
    ("list",): 8,
    ("list", 0): 9,
    ("list", 1): 11,
    ("list", 1, "y", "z"): 11,
    ("list", 2): 12,
    ("list", 2, 0): 12,
    ("list", 2, 1): 13,
    ("t", "u"): 15,
    ("t", "u", "k", "q", "r"): 16,
    ("items",): 17,
    ("items", 0): 17,
    ("items", 0, "n"): 18,
    ("items", 0, "parts"): 19,
    ("items", 0, "parts", 1): 21,
    ("items", 0, "parts", 1, "p"): 22,
    ("items", 1): 23,
    ("items", 1, "n"): 24,
    ("items", 1, "sub"): 25,
    ("items", 1, "sub", "lit.eral"): 26,
    ("items", 1, "parts", 0): 27,
    ("items", 1, "parts", 0, "p"): 28,
    ("t",): 29,
    ("t", "v"): 30,
}


def test_every_way_of_writing_is_found() -> None:
    document = parse(TEXT, "plan.toml")
    assert {path: document.line(path) for path in LINES} == LINES
    assert document.data["a"]["b"]["c d"]["e"] == 1


def test_every_key_of_the_data_has_a_line_of_its_own() -> None:
    def paths(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
        if isinstance(value, dict):
            return [path, *(one for key, inner in value.items() for one in paths(inner, (*path, key)))]
        if isinstance(value, list):
            return [path, *(one for place, inner in enumerate(value) for one in paths(inner, (*path, place)))]
        return [path]

    document = parse(TEXT, "plan.toml")
    found = paths(document.data)
    assert len(found) > 30
    assert [path for path in found if path and document.line(path) == 1] == []


def test_a_missing_key_stands_where_it_would_have_been() -> None:
    document = parse(TEXT, "plan.toml")
    assert document.line(("items", 1, "sub", "gone", "deeper")) == 25
    assert document.line(("items", 9)) == 17
    assert document.line(("nowhere",)) == 1


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_file_may_come_from_windows(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", ending).encode())
    document = read(path)
    assert document.name == str(path)
    assert document.line(("t", "v")) == 30


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\nb = ", 2),
        ("a = 1\n\nb 2\n", 3),
        ("a = 1\n[t]\na = 1\na = 2\n", 4),
        ("a = [1,\n2,\n\n\n", 2),
        ('a = """\nnever closed', 2),
        ("a = " + "[" * 5000, 1),
    ],
)
def test_what_is_not_toml_is_named_with_its_line(text: str, line: int) -> None:
    with pytest.raises(TomlFault) as caught:
        parse(text, "plan.toml")
    assert (caught.value.name, caught.value.line) == ("plan.toml", line)
    assert "line" not in caught.value.message


def test_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_bytes('a = 1\nb = "积分"\n'.encode("gbk"))
    with pytest.raises(TomlFault) as caught:
        read(path)
    assert caught.value.line == 2
