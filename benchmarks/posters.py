"""A referral poster drawn by us, warm, and the same picture drawn as one writes it at first: in turn, in one process.

The plain way opens the background, loads the fonts, draws every text and `qrcode.make`s the code each time. It is given
the finished lines and where they stand. Both must be read back.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import qrcode
from PIL import Image, ImageDraw, ImageFont

from benchmarks.cases import Figures, Options, Say, Wrong
from benchmarks.servers import ROOT
from content.bundle import Bundle
from content.posters import Poster, checking, drawing, setting, strips

_WARM_UP = 5
_LEAST = 20
_UNTIL, _CODE = "2026年12月31日", "K7MQ2XHP"
_SURNAMES, _GIVEN = "王李张刘陈杨黄赵周吴徐孙马朱胡林郭何高罗", "伟芳娜敏静秀英丽强磊军洋勇艳杰娟涛明超兰霞平刚桂"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text as a person would write it into a script; `{name}` is filled in."""

    words: str
    place: tuple[int, int]
    size: int
    weight: int
    colour: tuple[int, int, int]


def measure(options: Options, say: Say) -> dict[str, list[Figures]]:
    """Both ways by turns, another name and another code every time: milliseconds, posters a second, processor time."""
    files = Bundle.read(ROOT / "content" / "family-network").files
    poster = Poster.of(files, "invite")
    lines, background = _lines(poster), files["posters/invite/background.jpg"]
    ways: dict[str, Callable[[str, str], bytes]] = {
        "poster": lambda name, url: poster.draw("zh", qr=url, name=name, fields={"until": _UNTIL, "code": _CODE}),
        "poster_plain": lambda name, url: _plain(background, lines, name, url, poster),
    }
    found: dict[str, list[Figures]] = {}
    for run in range(options.runs):
        say(f"posters {run + 1}/{options.runs}")
        for draw in ways.values():
            _read_back(draw, _name(run), _url(run))
        spent: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        until = time.perf_counter() + options.seconds
        number = 0
        while number < _WARM_UP + _LEAST or time.perf_counter() < until:
            number += 1
            for way, draw in ways.items():
                one = 10_000 * run + number
                began, processor = time.perf_counter(), time.process_time()
                draw(_name(one), _url(one))
                if number > _WARM_UP:
                    spent[way].append((time.perf_counter() - began, time.process_time() - processor))
        for way, times in spent.items():
            found.setdefault(way, []).append(_figures(times))
    return found


def _figures(times: list[tuple[float, float]]) -> Figures:
    walls = sorted(wall for wall, _ in times)
    return {
        "rate": len(walls) / sum(walls),
        "cpu": 1e6 * statistics.fmean(processor for _, processor in times),
        "p50": 1e3 * statistics.median(walls),
        "p99": 1e3 * walls[len(walls) * 99 // 100],
    }


def _name(number: int) -> str:
    surname, first, second = _SURNAMES[number % 20], _GIVEN[number // 20 % 24], _GIVEN[number // 480 % 24]
    return f"{surname}{first}{second}"


def _url(number: int) -> str:
    return f"https://family-network.example.com/r/K{number:07d}?from=poster"


def _read_back(draw: Callable[[str, str], bytes], name: str, url: str) -> None:
    raw = draw(name, url)
    if checking.decoded(drawing.opened(raw)) != [url]:
        raise Wrong("a poster whose code cannot be read back")


def _lines(poster: Poster) -> list[Line]:
    """The lines of the poster in Chinese, the one with the name open."""
    found = []
    ground = poster.ground
    for text in ground.layout.texts:
        given = {"name": "王小明", "until": _UNTIL, "code": _CODE}
        block, _ = drawing.set_in(ground, text, "zh", drawing.words_of(ground, text, "zh", given))
        for words, place in zip(block.lines, drawing.baselines(text, "zh", block), strict=True):
            found.append(Line(words.replace("王小明", "{name}"), place, text.size["zh"], text.weight, text.colour))
    return found


def _plain(background: bytes, lines: list[Line], name: str, url: str, poster: Poster) -> bytes:
    image = Image.open(BytesIO(background)).convert("RGB")
    pen = ImageDraw.Draw(image)
    for line in lines:
        font = ImageFont.truetype(setting.shipped_font(), line.size, index=2)
        font.set_variation_by_axes([line.weight])
        pen.text(line.place, line.words.replace("{name}", name), fill=line.colour, font=font, anchor="ls")
    box = poster.ground.layout.qr.box
    image.paste(qrcode.make(url).get_image().convert("RGB").resize((box.width, box.height)), (box.left, box.top))
    out = BytesIO()
    image.save(out, "JPEG", quality=strips.QUALITY)
    return out.getvalue()
