"""Tables that people open in spreadsheets: a CSV of whom to give how much is read, and any rows are written.

Reading names every fault by its line and guesses no amount. Writing is the one home of CSV output: a cell that a
spreadsheet would take for a formula is written as text.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

from campaigns.asked import AMOUNT_MAX, Asked, Fault, Unfit
from campaigns.proposals import LINES_MAX

BYTES_MAX = 2 * 1024 * 1024
_HEADS = {
    **dict.fromkeys(("subscriber", "用户"), "who"),
    **dict.fromkeys(("amount", "数量"), "amount"),
}
_WHOLE = re.compile(r"[+-]?[0-9]{1,12}")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
# What begins a formula; the wide forms do where the spreadsheet's language is Chinese or Japanese.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_SHOWN = 40
_HEAD_HINT = (
    "第一行要是 subscriber,amount（或 用户,数量）",
    "the first line must be subscriber,amount (or 用户,数量)",
)


def read(data: bytes) -> list[Asked]:
    """Whom to give how much: columns `subscriber,amount` (用户,数量) in any order, parted by comma, semicolon or tab,
    in UTF-8 or GB18030. `line` is the line of the file. Raises Unfit with every fault."""
    if len(data) > BYTES_MAX:
        raise Unfit([Fault(0, "文件超过 2 MiB，请分几次", "the file is larger than 2 MiB; split it")])
    rows = _rows(_text(data))
    if not rows:
        raise Unfit([Fault(0, "文件是空的", "the file is empty")])
    columns = _columns(*rows[0])
    if len(rows) - 1 > LINES_MAX:
        zh, en = f"最多 {LINES_MAX:,} 行，请分几次", f"at most {LINES_MAX:,} lines; split it"
        raise Unfit([Fault(0, f"{zh}（现有 {len(rows) - 1:,}）", f"{en} (there are {len(rows) - 1:,})")])
    found: list[Asked] = []
    faults: list[Fault] = []
    seen: dict[str, int] = {}
    for line, cells in rows[1:]:
        one = _asked(line, cells, columns)
        if isinstance(one, Asked) and seen.setdefault(one.who, line) != line:
            one = Fault(line, f"和第 {seen[one.who]} 行是同一位用户", f"the same person as in line {seen[one.who]}")
        if isinstance(one, Fault):
            faults.append(one)
        else:
            found.append(one)
    if not found and not faults:
        faults.append(Fault(0, "只有表头，没有写给谁", "there is a header and nobody below it"))
    if faults:
        raise Unfit(faults)
    return found


def write(rows: Iterable[Sequence[object]]) -> bytes:
    """Rows, the header among them, as CSV in UTF-8 with a mark that Excel knows it by; texts stay texts there."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\r\n")
    writer.writerows([_cell(value) for value in row] for row in rows)
    return b"\xef\xbb\xbf" + out.getvalue().encode("utf-8", "replace")


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    words = str(value).replace("\0", "")
    risky = words.startswith(_FORMULA) or words.lstrip().startswith(_FORMULA)
    return f"'{words}" if risky and not _NUMBER.fullmatch(words) else words


# ---- reading


def _text(data: bytes) -> str:
    if data.startswith(b"PK"):
        zh, en = "这是 Excel 工作簿，请另存为 CSV", "this is an Excel workbook; save it as CSV"
        raise Unfit([Fault(0, zh, en)])
    if not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        for encoding in ("utf-8-sig", "gb18030"):
            try:
                text = data.decode(encoding)
            except UnicodeDecodeError:
                continue
            if "\0" not in text:
                return text
    zh, en = "读不出文字，请另存为 CSV（UTF-8）", "these are no letters of UTF-8 or GB18030; save it as CSV UTF-8"
    raise Unfit([Fault(0, zh, en)])


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """Lines that are not blank, with the line of the file that each begins at."""
    head = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    found: list[tuple[int, list[str]]] = []
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error:
            zh = "引号不成对，或一格太长，读不下去"
            en = "the quotes do not match, or a cell is too long; nothing below could be read"
            raise Unfit([Fault(line, zh, en)]) from None
        if cells is None:
            return found
        if any(cell.strip() for cell in cells):
            found.append((line, [cell.strip() for cell in cells]))


def _columns(line: int, cells: Sequence[str]) -> tuple[int, int]:
    """The places of who and amount in the header."""
    places: dict[str, int] = {}
    for place, cell in enumerate(cells):
        if not cell:
            continue
        name = _HEADS.get(cell.casefold())
        if name is None or name in places:
            zh, en = f"表头里不认识或重复的列：{_cut(cell)}", f"a column that is unknown or there twice: {_cut(cell)}"
            raise Unfit([Fault(line, f"{zh}；{_HEAD_HINT[0]}", f"{en}; {_HEAD_HINT[1]}")])
        places[name] = place
    if len(places) < len(set(_HEADS.values())):
        raise Unfit([Fault(line, *_HEAD_HINT)])
    return places["who"], places["amount"]


def _asked(line: int, cells: Sequence[str], columns: tuple[int, int]) -> Asked | Fault:
    who, amount = (cells[place] if place < len(cells) else "" for place in columns)
    if any(cell for place, cell in enumerate(cells) if place not in columns):
        return Fault(line, "多了一列", "there is a cell too many")
    if not who:
        return Fault(line, "没有写用户", "no subscriber")
    if not amount:
        return Fault(line, "没有写数量", "no amount")
    if not _WHOLE.fullmatch(amount):
        zh = f"数量 {_cut(amount)} 不是整数，不能有小数、千位分隔或单位"
        return Fault(line, zh, f"{_cut(amount)} is no whole number; no decimals, thousands marks or units")
    if not -AMOUNT_MAX <= int(amount) <= AMOUNT_MAX:
        return Fault(line, f"数量超出 ±{AMOUNT_MAX:,}", f"the amount is beyond ±{AMOUNT_MAX:,}")
    return Asked(line, who, int(amount))


def _cut(words: str) -> str:
    return words if len(words) <= _SHOWN else f"{words[:_SHOWN]}…"
