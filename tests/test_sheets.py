"""CSV in and out: encodings and separators as spreadsheets write them, every fault by its line, no cell a formula."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns import sheets
from campaigns.proposals import Asked, Unfit

BOTH = [Asked(2, "1024", 5), Asked(3, "wechat:oABC", -7)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("head", ["subscriber,amount", "用户,数量", "Subscriber , AMOUNT", '"用户","数量"'])
def test_what_spreadsheets_write_is_read(encoding: str, separator: str, end: str, head: str) -> None:
    lines = [head, "1024,5", " wechat:oABC , -7 "]
    text = end.join(line.replace(",", separator) for line in lines) + end
    assert sheets.read(text.encode(encoding)) == BOTH


@pytest.mark.parametrize(
    "text",
    [
        "amount,subscriber\n5,1024\n-7,wechat:oABC",
        "subscriber,amount,,\n1024,5,,\nwechat:oABC,-7,,\n",
        '"subscriber","amount"\n"1024","+5"\n"wechat:oABC","-7"',
    ],
)
def test_columns_in_any_order_with_empty_ones_behind(text: str) -> None:
    assert sheets.read(text.encode()) == BOTH


def test_blank_lines_count_as_lines_and_are_no_people() -> None:
    found = sheets.read(b"\n\nsubscriber,amount\n\n1024,5\n,\n  \nwechat:oABC,-7\n\n")
    assert [(one.line, one.who) for one in found] == [(5, "1024"), (8, "wechat:oABC")]


def test_a_cell_over_two_lines_keeps_the_place_where_it_begins() -> None:
    with pytest.raises(Unfit) as caught:
        sheets.read(b'subscriber,amount\n"10\n24",5\n1025,x\n')
    assert [fault.line for fault in caught.value.faults] == [4]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", [(0, "empty")]),
        ("\n \n", [(0, "empty")]),
        ("subscriber,amount\n", [(0, "nobody")]),
        ("1024,5\n", [(1, "column")]),
        ("subscriber\n1024", [(1, "first line")]),
        ("subscriber,amount,amount\n1,2,3", [(1, "there twice")]),
        ("subscriber,note\n1,2", [(1, "note")]),
        ("\nsubscriber,sum\n1,2", [(2, "sum")]),
        ("subscriber,amount\n1024,5\n1025,5.0\n1026,1e3", [(3, "whole number"), (4, "whole number")]),
        ('subscriber,amount\n1024,"1,000"\n1025,１０\n1026,5元', [(2, "1,000"), (3, "１０"), (4, "5元")]),
        ("subscriber,amount\n1024,1000000001\n1025,-1000000001\n1026,-1000000000", [(2, "beyond"), (3, "beyond")]),
        ("subscriber,amount\n1024,99999999999999999999", [(2, "whole number")]),
        ("subscriber,amount\n,5\n1024,\n1025", [(2, "no subscriber"), (3, "no amount"), (4, "no amount")]),
        ("subscriber,amount\n1024,5,x", [(2, "too many")]),
        ("subscriber,amount\n1024,5\n1025,5\n1024,6\n1024,7", [(4, "line 2"), (5, "line 2")]),
        ('subscriber,amount\n1024,5\n"1025,5\n', [(3, "quotes")]),
        ('subscriber,amount\n"1024"x,5\n', [(2, "quotes")]),
        ("subscriber,amount\n" + "9" * 5000 + ",5\n" + "x" * 200_000 + ",5\n", [(3, "quotes")]),
        ("subscriber,amount\n1024,=1+1\n", [(2, "whole number")]),
    ],
)
def test_every_fault_is_named_by_its_line(text: str, faults: list[tuple[int, str]]) -> None:
    with pytest.raises(Unfit) as caught:
        sheets.read(text.encode())
    found = caught.value.faults
    assert [fault.line for fault in found] == [line for line, _ in faults]
    for fault, (_, words) in zip(found, faults, strict=True):
        assert words in fault.en and fault.zh and len(fault.en) < 160, fault


def test_what_is_no_text_or_too_large_says_what_to_do() -> None:
    for data, words in (
        (b"PK\x03\x04" + bytes(50), "workbook"),
        ("subscriber,amount\n1,2".encode("utf-16"), "CSV UTF-8"),
        (b"subscriber,amount\n\x00,5", "CSV UTF-8"),
        (b"subscriber,amount\n\xff\xff,5", "CSV UTF-8"),
        (b"x" * (sheets.BYTES_MAX + 1), "2 MiB"),
        (b"subscriber,amount\n" + b"".join(b"%d,1\n" % n for n in range(20_001)), "20,001"),
    ):
        with pytest.raises(Unfit, match=words):
            sheets.read(data)


def test_as_much_as_is_allowed_is_read() -> None:
    data = b"subscriber,amount\n" + b"".join(b"wechat:o%020d,1\n" % n for n in range(20_000))
    assert len(sheets.read(data)) == 20_000


@given(st.binary(max_size=300))
def test_no_bytes_break_it(data: bytes) -> None:
    for head in (b"", b"subscriber,amount\n"):
        try:
            assert all(type(one.amount) is int and one.who for one in sheets.read(head + data))
        except Unfit as unfit:
            assert unfit.faults


# ---- writing

HOSTILE = [
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "  =1+1",
    "＝1+1",
    "＠SUM(A1)",
    "-",
    "+",
    "=",
    "-1e5",
    '=HYPERLINK("http://evil.example","x")',
]


@pytest.mark.parametrize("cell", HOSTILE)
def test_a_cell_that_would_be_a_formula_is_written_as_text(cell: str) -> None:
    for row in ([cell], ["name", cell], [1, cell, 2]):
        read = next(csv.reader(io.StringIO(sheets.write([row])[3:].decode(), newline="")))
        assert f"'{cell}" in read
    # Opened where the list separator is a semicolon or a tab, a cell still does not begin in the middle of another.
    assert f'"a;{cell.replace(chr(34), chr(34) * 2)}"'.encode() in sheets.write([[f"a;{cell}"]])


def test_numbers_and_plain_words_stay_as_they_are() -> None:
    rows = [["subscriber", "amount"], [1024, -5], ["-5", "+7.25"], ['中文, "引"', None], [True, 1.5]]
    written = sheets.write([*rows, [datetime(2026, 11, 22, tzinfo=UTC)]])
    assert written.startswith(b"\xef\xbb\xbf") and b"\r\n" in written
    read = list(csv.reader(io.StringIO(written.decode("utf-8-sig"), newline="")))
    assert read[:3] == [["subscriber", "amount"], ["1024", "-5"], ["-5", "+7.25"]]
    assert read[3:] == [['中文, "引"', ""], ["True", "1.5"], ["2026-11-22 00:00:00+00:00"]]


@given(st.lists(st.lists(st.text(max_size=20), min_size=1, max_size=4), max_size=5))
def test_what_is_written_is_read_back_and_never_a_formula(rows: list[list[str]]) -> None:
    read = list(csv.reader(io.StringIO(sheets.write(rows).decode("utf-8-sig"), newline="")))
    assert len(read) == len(rows)
    for row, before in zip(read, rows, strict=True):
        for cell, was in zip(row, before, strict=True):
            assert cell in (
                was,
                f"'{was}",
                was.replace("\0", ""),
                f"'{was}".replace("\0", ""),
                was.encode("utf-8", "replace").decode(),
            )
            first = cell.lstrip()[:1]
            assert first not in ("=", "@") and (
                first not in "+-" or not first or cell.lstrip("+-").replace(".", "", 1).isdigit()
            )


def test_a_sheet_of_ours_is_read_again() -> None:
    assert sheets.read(sheets.write([["subscriber", "amount"], [1024, 5], ["wechat:oABC", -7]])) == BOTH
