"""Each way a poster can be wrong is found by drawing it, at its line, in both languages."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from content.bundle import Bundle
from content.faults import Fault, PlanFaults
from content.posters import Poster, checking, posters
from tests.plan_editing import RUNS, line_of, shipped_files

PATH = "posters/invite/poster.toml"


def faults(files: dict[str, bytes]) -> list[Fault]:
    return [one for one in Bundle.of(files).check(RUNS) if one.severity == "fault"]


def posters_faults(files: dict[str, bytes]) -> list[Fault]:
    """What the posters' own check finds, of one poster only: the others are sound."""
    return list(checking.check({name: raw for name, raw in files.items() if name == "plan.toml" or "/invite/" in name}))


def edited(old: str, new: str) -> tuple[dict[str, bytes], str]:
    text = shipped_files()[PATH].decode()
    assert old in text
    text = text.replace(old, new, 1)
    return {**shipped_files(), PATH: text.encode()}, text


# (what is edited, into what, words on the line that must be named, key, words of the finding in English, in Chinese)
WRONG = {
    "too long": (
        '"首月免费，再返 60 元话费"',
        '"首月免费，再返 60 元话费，另外还有很多很多别的优惠和礼物"',
        "很多很多",
        "text[2].words.zh",
        "2 lines do not fit into the box of 638 × 46",
        "2 行放不进",
    ),
    "one long word": (
        "One network\\n",
        "Interconnectedness\\n",
        "Interconn",
        "text[1].words.en",
        "do not fit",
        "放不进",
    ),
    "too high": (
        "box.en = [56, 106, 638, 220]",
        "box.en = [56, 106, 638, 120]",
        'words.en = "One',
        "text[1].words.en",
        "2 lines do not fit",
        "放大框",
    ),
    "no room for the longest name": (
        "box = [84, 850, 272, 146]",
        "box = [84, 850, 272, 96]",
        'words.zh = "{name}',
        "text[3].words.zh",
        "the longest likely “欧阳慕容家的王小明同学呀”",
        "按最长的",
    ),
    "no room for the longest date": (
        "二维码有效期至 {until}",
        "请注意：这个二维码的有效期最晚到 {until} 为止，逾期请再发一次",
        "请注意",
        "text[7].words.zh",
        "2026年12月31日",
        "放不进",
    ),
    "instead too long": (
        '"扫码了解\\n{product}"',
        '"扫码了解\\n{product}\\n和更多"',
        "和更多",
        "text[5].otherwise.zh",
        "3 lines do not fit",
        "放不进",
    ),
    "no glyph": (
        '"长按或扫描二维码"',
        '"长按❤扫描二维码"',
        "❤",
        "text[6].words.zh",
        "no glyph for ❤ (U+2764)",
        "字体里没有",
    ),
    "pale": (
        'colour = "#8F2A14"',
        'colour = "#E8834A"',
        "#E8834A",
        "text[2].colour",
        ": contrast is only 2",
        "对比度只有 2",
    ),
    "dark on dark": (
        "box = [84, 1226, 582, 36]",
        "box = [84, 1294, 582, 36]",
        "#6B5248",
        "text[7].colour",
        "contrast is only",
        "换个位置",
    ),
    "grey code": (
        "box = [372, 850, 304, 304]",
        'box = [372, 850, 304, 304]\ndark = "#808080"',
        "#808080",
        "qr.dark",
        "contrast is only 3.9",
        "对比度只有 3.9",
    ),
    "inverted code": (
        "box = [372, 850, 304, 304]",
        'box = [372, 850, 304, 304]\nlight = "#000000"\ndark = "#FFFFFF"',
        'dark = "#FFF',
        "qr.dark",
        "inverted",
        "深浅反了",
    ),
    "small code": (
        "box = [372, 850, 304, 304]",
        "box = [372, 850, 110, 110]",
        "110, 110",
        "qr.box",
        "cannot be read at a third",
        "三分之一",
    ),
    "tiny code": (
        "box = [372, 850, 304, 304]",
        "box = [372, 850, 40, 40]",
        "40, 40",
        "qr.box",
        "cannot be read at a third",
        "三分之一",
    ),
    "oblong code": ("850, 304, 304]", "850, 304, 200]", "304, 200]", "qr.box", "square", "正方形"),
    "code covered": ("box = [372, 1164,", "box = [372, 1150,", "1150", "text[6].box", "upon the QR code", "压住了"),
    "off the poster": (
        "box = [84, 1226, 582, 36]",
        "box = [284, 1226, 582, 36]",
        "[284",
        "text[7].box",
        "beyond the poster",
        "750 × 1334",
    ),
    "distorted": (
        "size = [750, 1334]",
        "size = [760, 1334]",
        "background =",
        "background",
        "750 × 1334 would be distorted",
        "变形",
    ),
    "no background": (
        '"background.jpg"',
        '"other.jpg"',
        "other.jpg",
        "background",
        "no such file",
        "找不到文件",
    ),
    "file elsewhere": (
        '"background.jpg"',
        '"../shop/background.jpg"',
        "../shop",
        "background",
        "in the poster",
        "文件夹",
    ),
    "unknown key": ("weight = 900", "wieght = 900", "wieght", "text[1].wieght", "did you mean `weight`?", "是不是"),
    "unknown table": ("[qr]", "[qrcode]", "[qrcode]", "qrcode", "unknown key", "没有这个键"),
    "no code": ("[qr]\nbox = [372, 850, 304, 304]\n", "", "# 推荐海报", "qr", "missing", "缺少"),
    "missing key": ('colour = "#7A3B22"', "", "[[text]]", "text[0].colour", 'e.g. "#B3261E"', "缺少"),
    "missing language": (
        'words.en = "Press and hold, or scan"\n',
        "",
        'words.zh = "长按',
        "text[6].words",
        "nothing for en",
        "缺少语言 en",
    ),
    "strange language": (
        "size.en = 86",
        "size.en = 86\nsize.fr = 90",
        "size.fr",
        "text[1].size.fr",
        "languages: fr",
        "没有语言 fr",
    ),
    "strange field": (
        "{organiser} · ",
        "{organizer} · ",
        "{organizer}",
        "text[0].words.zh",
        "{organizer} is not known",
        "没有 {organizer}",
    ),
    "formatted field": (
        "{organiser} · ",
        "{organiser:>9999999} · ",
        "9999999",
        "text[0].words.zh",
        "{organiser:>9999999} is not known",
        "没有 {organiser",
    ),
    "odd braces": ("{organiser} · ", "{organiser · ", "{organiser ·", "text[0].words.zh", "braces", "花括号"),
    "colour by name": ('"#7A3B22"', '"brown"', "brown", "text[0].colour", "not a colour", "不是颜色"),
    "size in quotes": ("size.en = 86", 'size.en = "86"', '"86"', "text[1].size.en", "whole number", "整数"),
    "weight beyond": ("weight = 900", "weight = 950", "950", "text[1].weight", "100 to 900", "100 到 900"),
    "align": (
        'align = "centre"',
        'align = "center"',
        "center",
        "text[6].align",
        "did you mean centre?",
        "是不是 centre",
    ),
    "leading": ("leading = 1.18", "leading = 0.5", "leading = 0.5", "text[1].leading", "1 to 3", "1 到 3"),
    "box of three": ("[84, 1226, 582, 36]", "[84, 1226, 582]", "582]", "text[7].box", "4 whole numbers", "4 个整数"),
    "empty words": ('"长按或扫描二维码"', '" "', 'zh = " "', "text[6].words.zh", "text in quotes", "引号"),
    "size beyond": ("[750, 1334]", "[750, 133400]", "133400", "size", "within 200 and 6000", "之间"),
    "forbidden words": (
        '"长按或扫描二维码"',
        '"转发领红包"',
        "转发",
        "text[6].words.zh",
        "WeChat forbids",
        "微信不允许",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_fault_is_named_at_its_line(case: str) -> None:
    old, new, words, key, english, chinese = WRONG[case]
    files, text = edited(old, new)
    line = line_of(text, words)
    look = faults if case == "forbidden words" else posters_faults
    found = [one for one in look(files) if (one.file, one.key) == (PATH, key)]
    assert found, [one.text("en") for one in look(files)]
    assert found[0].line == line if words != "[[text]]" else found[0].line in _headers(text)
    assert english in found[0].text("en") and chinese in found[0].text("zh")


def _headers(text: str) -> list[int]:
    return [number for number, line in enumerate(text.splitlines(), 1) if line == "[[text]]"]


def test_the_shipped_posters_have_no_fault() -> None:
    assert list(checking.check(shipped_files())) == []


def test_a_contrast_of_four_and_a_half_is_enough_and_less_is_not() -> None:
    assert 4.4 < checking._contrast((119, 119, 119), (255, 255, 255)) < checking.CONTRAST
    assert checking._contrast((118, 118, 118), (255, 255, 255)) >= checking.CONTRAST
    assert checking._contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    for colour, sound in (("#767676", True), ("#777777", False)):
        files, _ = edited('"#6B5248"', f'"{colour}"')  # on the white card
        assert (not posters_faults(files)) is sound


def test_every_fault_is_found_in_one_pass() -> None:
    files, text = edited('"长按或扫描二维码"', '"长按❤扫描"')
    text = text.replace('colour = "#8F2A14"', 'colour = "#FFE0C0"')
    files[PATH] = text.encode()
    files["posters/shop/background.jpg"] = b"no picture"
    files["posters/loose.toml"] = b"a = 1\n"
    out = BytesIO()
    Image.new("RGB", (750, 1334), "white").save(out, "PNG")
    files["posters/plain/poster.toml"] = (
        b'size = [750, 1334]\nbackground = "b.png"\nfont = "f.otf"\ntext = []\n[qr]\n'
        + (b"box = [100, 100, 400, 400]\n")
    )
    files |= {"posters/plain/b.png": out.getvalue(), "posters/plain/f.otf": b"no font"}
    found = [(one.file, one.line, one.key) for one in faults(files)]
    assert found == [
        (PATH, line_of(text, "FFE0C0"), "text[2].colour"),
        (PATH, line_of(text, "❤"), "text[6].words.zh"),
        ("posters/loose.toml", 1, ""),
        ("posters/plain/poster.toml", 3, "font"),
        ("posters/shop/poster.toml", 5, "background"),
    ]


def test_a_png_with_clear_parts_is_on_white() -> None:
    out = BytesIO()
    Image.new("RGBA", (375, 667), (0, 0, 0, 0)).save(out, "PNG")
    files, _ = edited('"background.jpg"', '"clear.png"')
    files["posters/invite/clear.png"] = out.getvalue()
    drawn = Image.open(BytesIO(Poster.of(files, "invite").draw("zh", qr="x")))
    assert drawn.size == (750, 1334) and min(drawn.getpixel((700, 20))) > 250  # type: ignore[arg-type]


def test_a_plan_in_one_language_needs_no_other() -> None:
    files = shipped_files() | {"plan.toml": b'languages = ["zh"]\n'}
    keys = {one.key for one in checking.check({**files})}
    assert "text[0].words.en" in keys and not any(key.endswith("zh") for key in keys)


def test_a_poster_that_cannot_be_drawn_says_why() -> None:
    files, text = edited("weight = 900", "weight = 9000")
    with pytest.raises(PlanFaults) as broken:
        posters(files)
    assert [(one.file, one.line) for one in broken.value.faults] == [(PATH, line_of(text, "9000"))]
    for raw in (b"a = \n", b"# caf\xe9\n"):
        with pytest.raises(PlanFaults, match=r"invite/poster\.toml:1"):
            posters({**shipped_files(), PATH: raw})
        assert [(one.file, one.line) for one in faults({**shipped_files(), PATH: raw})] == [(PATH, 1)]
