"""The `poster.toml` of a poster's folder: what may stand in it, and everything wrong with one, by key.

It reads values only: whether texts fit, glyphs exist and the code scans is found by drawing, in `checking`.
"""

from __future__ import annotations

import difflib
import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from content.faults import Said
from content.plan.reading import Finding, Path

Colour = tuple[int, int, int]
Align = Literal["left", "centre", "right"]
Vertical = Literal["top", "middle", "bottom"]

OPEN = ("name", "until", "code")  # what differs from one drawing to the next
FIXED = ("product", "campaign", "organiser", "hotline")  # what the plan says elsewhere
MOST_SIDE = 6_000  # pixels; A3 at 300 dpi is 3508 × 4961
MOST_TEXTS = 40


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of the poster in pixels from its upper left corner."""

    left: int
    top: int
    width: int
    height: int

    @property
    def corners(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom."""
        return self.left, self.top, self.left + self.width, self.top + self.height

    def meets(self, other: Box) -> bool:
        """Whether the two share a pixel."""
        return (
            self.left < other.left + other.width
            and other.left < self.left + self.width
            and self.top < other.top + other.height
            and other.top < self.top + self.height
        )


@dataclass(frozen=True, slots=True)
class Text:
    """One text: its words, what stands there when one of its `{fields}` is empty, and how both are set, by language."""

    words: Mapping[str, str]
    otherwise: Mapping[str, str]
    box: Mapping[str, Box]
    size: Mapping[str, int]
    weight: int
    colour: Colour
    align: Align
    vertical: Vertical
    leading: float

    def fields(self, language: str) -> frozenset[str]:
        """The names of those fields in its words that are open until it is drawn."""
        return fields(self.words[language]) & frozenset(OPEN)


@dataclass(frozen=True, slots=True)
class Code:
    """Where the QR code goes with its quiet zone, and its two colours."""

    box: Box
    dark: Colour
    light: Colour


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a person's or shop's own picture goes."""

    box: Box
    round: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """One `poster.toml`, read. `background` and `font` are names of files in the same folder."""

    size: tuple[int, int]
    dpi: int
    background: str
    font: str
    texts: tuple[Text, ...]
    qr: Code
    picture: Slot | None


class _Wrong(Exception):
    """A value that cannot be used, in words; `below` leads to the part of it that is wrong."""

    def __init__(self, zh: str, en: str, hint_zh: str = "", hint_en: str = "", below: Path = ()) -> None:
        self.said = Said(zh, en, hint_zh, hint_en)
        self.below = below


Reader = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Key:
    """One key: how its value is read, what it is when left out (`...`: it must be there), and what staff are told."""

    read: Reader
    default: Any
    zh: str
    en: str
    written: str


def fields(words: str) -> frozenset[str]:
    """The `{fields}` in a text, one with a format together with that. Raises ValueError when its braces do not pair."""
    parsed = string.Formatter().parse(words)
    return frozenset(f"{name}{':' * bool(form)}{form}" for _, name, form, _ in parsed if name is not None)


def _whole(least: int, most: int) -> Reader:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise _Wrong(f"要写成 {least} 到 {most} 的整数", f"must be a whole number from {least} to {most}")
        return value

    return read


def _leading(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 3:
        raise _Wrong("要写成 1 到 3 的数", "must be a number from 1 to 3")
    return float(value)


def _one_of(*allowed: str) -> Reader:
    def read(value: Any) -> str:
        if value not in allowed:
            near = difflib.get_close_matches(str(value), allowed, n=1)
            hint = (f"是不是 {near[0]}？", f"did you mean {near[0]}?") if near else ("", "")
            raise _Wrong(f"只能是 {'、'.join(allowed)}", f"must be one of {', '.join(allowed)}", *hint)
        return str(value)

    return read


def _colour(value: Any) -> Colour:
    if not isinstance(value, str) or not re.fullmatch(r"#[0-9A-Fa-f]{6}", value):
        raise _Wrong("不是颜色", "not a colour", '写成 "#B3261E"', 'e.g. "#B3261E"')
    return int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16)


def _numbers(value: Any, count: int, example: str) -> Sequence[int]:
    sound = isinstance(value, list) and len(value) == count
    if not sound or not all(isinstance(one, int) and not isinstance(one, bool) for one in value):
        raise _Wrong(f"要写成 {count} 个整数", f"must be {count} whole numbers", f"例如 {example}", f"e.g. {example}")
    return list(value)


def _size(value: Any) -> tuple[int, int]:
    width, height = _numbers(value, 2, "[750, 1334]")
    if not (200 <= width <= MOST_SIDE and 200 <= height <= MOST_SIDE):
        raise _Wrong(f"宽和高要在 200 到 {MOST_SIDE} 之间", f"width and height must lie within 200 and {MOST_SIDE}")
    return width, height


def _box(value: Any) -> Box:
    left, top, width, height = _numbers(value, 4, "[60, 120, 630, 200]")
    if min(left, top) < 0 or min(width, height) < 1:
        raise _Wrong("左、上不能为负，宽、高至少为 1", "left and top cannot be negative, width and height at least 1")
    return Box(left, top, width, height)


def _file(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", value):
        raise _Wrong("要写海报文件夹里的文件名", "must be the name of a file in the poster's folder")
    return value


def _words(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _Wrong("要按语言写，例如 .zh = …", "must be written by language, e.g. .zh = …")
    for language, words in value.items():
        if not isinstance(words, str) or not words.strip():
            raise _Wrong("要写成带引号的文字", "must be text in quotes", below=(language,))
        try:
            unknown = sorted(fields(words) - {*OPEN, *FIXED})
        except ValueError:
            raise _Wrong("花括号不成对", "braces do not pair", below=(language,)) from None
        if unknown:
            hint = "、".join((*OPEN, *FIXED)), ", ".join((*OPEN, *FIXED))
            zh, en = f"没有 {{{unknown[0]}}}", f"{{{unknown[0]}}} is not known here"
            raise _Wrong(zh, en, f"可用：{hint[0]}", f"fields: {hint[1]}", below=(language,))
    return dict(value)


def _each(read: Reader) -> Reader:
    """A value, or one for each language in a table."""

    def reader(value: Any) -> Any:
        if not isinstance(value, dict):
            return read(value)
        done = {}
        for language, one in value.items():
            try:
                done[language] = read(one)
            except _Wrong as wrong:
                wrong.below = (language, *wrong.below)
                raise
        return done

    return reader


_BOX = "[60, 120, 630, 200]"
TOP = {
    "size": Key(_size, ..., "宽和高，像素", "width and height in pixels", "[750, 1334]"),
    "background": Key(
        _file, ..., "底图，JPEG 或 PNG，拉到 size", "picture behind all, scaled to `size`", '"background.jpg"'
    ),
    "dpi": Key(_whole(72, 600), 96, "每英寸像素，印刷用 300", "pixels per inch; 300 for print", "300"),
    "font": Key(_file, "", "自带字体文件", "a font file of your own", '"brand.otf"'),
    "text": Key(lambda value: value, ..., "文字，可多段", "texts, any number", "[[text]]"),
    "qr": Key(lambda value: value, ..., "二维码", "the QR code", "[qr]"),
    "picture": Key(lambda value: value, None, "头像或门店照片，可不写", "a person's or shop's picture", "[picture]"),
}
TEXT = {
    "words": Key(_words, ..., "文字，按语言", "the words, by language", 'words.zh = "首月免费"'),
    "otherwise": Key(_words, None, "字段为空时的文字", "words for when a field is empty", 'otherwise.zh = "邀请您"'),
    "box": Key(_each(_box), ..., "左、上、宽、高", "left, top, width, height", _BOX),
    "size": Key(_each(_whole(8, 1000)), ..., "字号，像素", "size of type in pixels", "48"),
    "weight": Key(_whole(100, 900), 400, "字重 100–900", "weight, 100–900", "700"),
    "colour": Key(_colour, ..., "颜色", "colour", '"#B3261E"'),
    "align": Key(_one_of("left", "centre", "right"), "left", "左右对齐", "across", '"centre"'),
    "vertical": Key(_one_of("top", "middle", "bottom"), "top", "上下对齐", "up and down", '"middle"'),
    "leading": Key(_leading, 1.4, "行距是字号的几倍", "line distance in sizes", "1.4"),
}
QR = {
    "box": Key(
        _box, ..., "左、上、边长、边长，含白边", "left, top, side, side, quiet zone included", "[225, 900, 300, 300]"
    ),
    "dark": Key(_colour, (0, 0, 0), "深色", "dark colour", '"#000000"'),
    "light": Key(_colour, (255, 255, 255), "浅色", "light colour", '"#FFFFFF"'),
}
PICTURE = {
    "box": Key(_box, ..., "左、上、宽、高", "left, top, width, height", "[60, 900, 120, 120]"),
    "shape": Key(_one_of("round", "square"), "round", "圆形或方形", "round or square", '"round"'),
}


def read(data: Mapping[str, Any], languages: Sequence[str]) -> tuple[Layout | None, list[Finding]]:
    """The layout in TOML `data` with words in each of `languages`; None with what is wrong when it cannot be used."""
    found: list[Finding] = []
    top = _table(data, TOP, (), found)
    qr = _table(data.get("qr"), QR, ("qr",), found) if "qr" in data else {}
    slot = _table(data.get("picture"), PICTURE, ("picture",), found) if "picture" in data else None
    texts = []
    given = data.get("text", [])
    if not isinstance(given, list) or len(given) > MOST_TEXTS:
        zh, en = f"要写成 [[text]]，最多 {MOST_TEXTS} 段", f"must be [[text]], at most {MOST_TEXTS}"
        found.append((("text",), "fault", Said(zh, en)))
        given = []
    for place, one in enumerate(given):
        read_one = _table(one, TEXT, ("text", place), found)
        if _spoken(read_one, languages, ("text", place), found) and not found:
            texts.append(_text(read_one, languages))
    if not found and qr["box"].width != qr["box"].height:
        found.append((("qr", "box"), "fault", Said("二维码要是正方形", "the QR code must be a square")))
    if found:
        return None, found
    code, picture = Code(**qr), Slot(slot["box"], slot["shape"] == "round") if slot else None
    layout = Layout(top["size"], top["dpi"], top["background"], top["font"], tuple(texts), code, picture)
    return (None, outside) if (outside := _outside(layout)) else (layout, [])


def _table(given: Any, keys: Mapping[str, Key], path: Path, found: list[Finding]) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        found.append((path, "fault", Said("要写成一张表", "must be a table")))
        return {}
    for name in given:
        if name not in keys:
            near = difflib.get_close_matches(name, keys, n=1, cutoff=0.5)
            zh = f"是不是 {near[0]}？" if near else "删掉，或核对拼写"
            en = f"did you mean `{near[0]}`?" if near else "remove it, or check its spelling"
            found.append(((*path, name), "fault", Said("没有这个键", "unknown key", zh, en)))
    done = {}
    for name, key in keys.items():
        if name in given:
            try:
                done[name] = key.read(given[name])
            except _Wrong as wrong:
                found.append(((*path, name, *wrong.below), "fault", wrong.said))
        elif key.default is ...:
            hint = f"例如 {key.written}", f"e.g. {key.written}"
            found.append(((*path, name), "fault", Said(f"缺少：{key.zh}", f"missing: {key.en}", *hint)))
        else:
            done[name] = key.default
    return done


def _spoken(read_one: Mapping[str, Any], languages: Sequence[str], path: Path, found: list[Finding]) -> bool:
    """Whether every value that is written by language is there in each of them."""
    before = len(found)
    for name in ("words", "otherwise", "box", "size"):
        value = read_one.get(name)
        if isinstance(value, dict):
            for language in languages:
                if language not in value:
                    hint = f"补上 {name}.{language} = …", f"add {name}.{language} = …"
                    said = Said(f"缺少语言 {language}", f"nothing for {language}", *hint)
                    found.append(((*path, name), "fault", said))
            for language in value:
                if language not in languages:
                    said = Said(f"方案没有语言 {language}", f"not one of the plan's languages: {language}")
                    found.append(((*path, name, language), "fault", said))
    return len(found) == before


def _text(read_one: dict[str, Any], languages: Sequence[str]) -> Text:
    for name in ("box", "size"):
        if not isinstance(read_one[name], dict):
            read_one[name] = dict.fromkeys(languages, read_one[name])
    return Text(**{**read_one, "otherwise": read_one["otherwise"] or {}})


def _outside(layout: Layout) -> list[Finding]:
    """Boxes that leave the poster, and texts or pictures upon the QR code."""
    boxes: list[tuple[Path, Box]] = [(("qr", "box"), layout.qr.box)]
    boxes += [(("text", n, "box"), box) for n, one in enumerate(layout.texts) for box in set(one.box.values())]
    boxes += [(("picture", "box"), layout.picture.box)] if layout.picture else []
    found: list[Finding] = []
    for path, box in boxes:
        if box.corners[2] > layout.size[0] or box.corners[3] > layout.size[1]:
            zh, en = "超出海报边缘", "reaches beyond the poster"
            size = f"{layout.size[0]} × {layout.size[1]}"
            found.append((path, "fault", Said(zh, en, f"海报是 {size} 像素", f"the poster is {size} pixels")))
        elif path[0] != "qr" and box.meets(layout.qr.box):
            zh, en = "压住了二维码", "lies upon the QR code"
            found.append((path, "fault", Said(zh, en, "挪开，或改小", "move it, or make it smaller")))
    return found
