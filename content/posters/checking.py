"""Proves a plan's posters by drawing them: texts fit, glyphs exist, contrast suffices, the code scans when small.

Finds faults only; each stands at its key in `poster.toml`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from content import posters
from content.faults import Fault, PlanFaults, Said
from content.plan.reading import Finding, Path, dotted
from content.posters import drawing, setting
from content.posters.layout import Colour, Text
from content.toml import TomlFault

if TYPE_CHECKING:
    from PIL.Image import Image

CONTRAST = 4.5  # WCAG 2.2, 1.4.3, for text of any size; scanners want as much of a code
SMALL = 3  # a poster in a chat's list of pictures is shown at about a third
# The longest that is likely: WeChat's own addresses have 45 characters, ours and t.me's with a code up to 80.
MOST_CHECKED = 200
_checked: dict[str, tuple[Finding, ...]] = {}
LONGEST_URL = "https://family-network.shanhe-telecom.example.com/r/K7MQ2XHPWM?from=poster-abcde"
LONGEST: Mapping[str, Mapping[str, str]] = {
    "zh": {"name": "欧阳慕容家的王小明同学呀", "until": "2026年12月31日 23:59", "code": "WMWMWMWM"},
    "en": {"name": "Alexandrina Featherstone", "until": "30 September 2026, 23:59", "code": "WMWMWMWM"},
}


def check(files: Mapping[str, bytes]) -> Iterator[Fault]:
    """Everything wrong with the posters among a plan's files; TOML that does not parse is left to whoever reads it."""
    for path in sorted(files):
        parts = path.split("/")
        if parts[0] == posters.FOLDER and len(parts) == 2 and path.endswith(".toml"):
            folder = f"{posters.FOLDER}/{parts[1].removesuffix('.toml')}/{posters.FILE}"
            zh, en = f"移到 {folder}，底图放在旁边", f"move it to {folder} with its background beside it"
            said = Said("海报是一个文件夹，不是一个文件", "a poster is a folder, not a file", zh, en)
            yield Fault(path, 1, "", "fault", said)
    for name in posters.names(files):
        try:
            document = posters.document(files, name)
            poster = posters.Poster.of(files, name)
        except TomlFault:
            continue
        except PlanFaults as broken:
            yield from broken.faults
            continue
        for where, severity, said in _known(poster):
            yield Fault(document.name, document.line(where), dotted(where), severity, said)


def _known(poster: posters.Poster) -> tuple[Finding, ...]:
    """The findings, kept for posters drawn before: a plan is checked again and again, and few posters change."""
    digest = poster.ground.digest
    found = _checked.get(digest)
    if found is None:
        found = tuple(findings(poster))
        if len(_checked) >= MOST_CHECKED:
            _checked.clear()
        _checked[digest] = found
    return found


def findings(poster: posters.Poster) -> Iterator[Finding]:
    """What drawing the poster shows to be wrong."""
    ground = poster.ground
    if ground.font:
        try:
            setting.font(ground.font, 16, 400)
        except setting.Unusable:
            hint = "用 OTF 或 TTF", "use OTF or TTF"
            yield ("font",), "fault", Said("不是可用的字体", "not a font that can be used", *hint)
            return
    try:
        picture = drawing.background(ground)
    except drawing.BadPicture:
        hint = "用 JPEG 或 PNG，最多 4000 万像素", "use JPEG or PNG of at most 40 megapixels"
        yield ("background",), "fault", Said("不是可用的图片", "not a picture that can be used", *hint)
        return
    yield from _shape(ground)
    wrong = False
    for place, text in enumerate(ground.layout.texts):
        for finding in _text(ground, text, poster.languages, ("text", place), picture):
            wrong = True
            yield finding
    if (contrast := _contrast(ground.layout.qr.dark, ground.layout.qr.light)) < CONTRAST:
        zh, en = f"二维码对比度只有 {contrast:.1f}", f"the QR code's contrast is only {contrast:.1f}"
        yield ("qr", "dark"), "fault", Said(zh, en, f"至少 {CONTRAST}", f"at least {CONTRAST}")
    elif _luminance(ground.layout.qr.dark) > _luminance(ground.layout.qr.light):
        zh, en = "二维码深浅反了，很多手机扫不出", "the QR code is inverted; many phones cannot read that"
        yield ("qr", "dark"), "fault", Said(zh, en, "dark 要比 light 深", "`dark` must be darker than `light`")
    elif not wrong:
        yield from _scan(poster)


def _shape(ground: drawing.Ground) -> Iterator[Finding]:
    width, height = drawing.opened(ground.background).size
    wanted, given = ground.layout.size[0] / ground.layout.size[1], width / height
    if abs(wanted / given - 1) > 0.01:
        zh, en = f"底图 {width} × {height} 会变形", f"the background of {width} × {height} would be distorted"
        size = f"{ground.layout.size[0]} × {ground.layout.size[1]}"
        yield ("background",), "fault", Said(zh, en, f"按 {size} 的比例裁好", f"crop it to the shape of {size}")


def _text(
    ground: drawing.Ground, text: Text, languages: Sequence[str], path: Path, picture: Image
) -> Iterator[Finding]:
    """Glyphs and room in every language, with the longest fields and with none; then the worst contrast of them all."""
    contrasts: list[tuple[float, str]] = []
    for language in languages:
        for key, given in (("words", LONGEST.get(language, LONGEST["en"])), ("otherwise", {})):
            words = drawing.words_of(ground, text, language, given)
            if not words or (key == "otherwise" and language not in text.otherwise):
                continue
            missing = sorted({char for char in words if not setting.shows(ground.font, char)})
            if missing:
                shown = " ".join(f"{char} (U+{ord(char):04X})" for char in missing[:5])
                hint = "删掉这些字符，或换字体", "remove them, or bring a font that has them"
                said = Said(f"字体里没有：{shown}", f"the font has no glyph for {shown}", *hint)
                yield (*path, key, language), "fault", said
            block, fits = drawing.set_in(ground, text, language, words)
            if not fits:
                yield (*path, key, language), "fault", _too_long(text, language, block, given)
            else:
                contrasts.append((_worst(ground, text, language, block, picture), language))
    contrast, language = min(contrasts, default=(CONTRAST, ""))
    if contrast < CONTRAST:
        zh, en = f"{language}：文字与底图的对比度只有 {contrast:.1f}", f"{language}: contrast is only {contrast:.1f}"
        hint = f"至少 {CONTRAST}：换颜色，或换个位置", f"at least {CONTRAST}: another colour, or another place"
        yield (*path, "colour"), "fault", Said(zh, en, *hint)


def _too_long(text: Text, language: str, block: setting.Block, given: Mapping[str, str]) -> Said:
    room = f"{text.box[language].width} × {text.box[language].height}"
    lines = len(block.lines)
    zh, en = f"{lines} 行放不进 {room} 的框", f"{lines} lines do not fit into the box of {room}"
    if used := [given[name] for name in sorted(text.fields(language)) if name in given]:
        zh, en = f"{zh}（按最长的“{'、'.join(used)}”）", f"{en} (with the longest likely “{', '.join(used)}”)"
    return Said(zh, en, "缩短、改小字号或放大框", "shorten it, or make the type smaller or the box larger")


def _luminance(colour: Colour) -> float:
    parts = [one / 255 for one in colour]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: Colour, other: Colour) -> float:
    """WCAG's ratio of two colours, 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _worst(ground: drawing.Ground, text: Text, language: str, block: setting.Block, picture: Image) -> float:
    """The lowest contrast between the text and any spot behind it as large as an eighth of its size."""
    left, top, right, bottom = drawing.ink(ground, text, language, block)
    behind = picture.crop((max(0, left), max(0, top), max(left + 1, right), max(top + 1, bottom)))
    small = behind.reduce(max(1, text.size[language] // 8))
    spots = small.getcolors(small.width * small.height) or []
    return min(
        (_contrast(text.colour, (colour[0], colour[1], colour[2])) for _, colour in spots if isinstance(colour, tuple)),
        default=1.0,
    )


def _scan(poster: posters.Poster) -> Iterator[Finding]:
    """The longest likely code is read back from the finished JPEG at a third of its size."""
    for language in poster.languages:
        given = LONGEST.get(language, LONGEST["en"])
        try:
            raw = poster.draw(language, qr=LONGEST_URL, name=given["name"], fields=given)
        except drawing.QrTooLong:
            read: list[str] = []
        else:
            read = decoded(drawing.opened(raw).reduce(SMALL))
        if LONGEST_URL not in read:
            zh = f"缩到三分之一后二维码读不出（{len(LONGEST_URL)} 个字符）"
            en = f"the QR code cannot be read at a third of the size ({len(LONGEST_URL)} characters)"
            yield ("qr", "box"), "fault", Said(zh, en, "把框放大", "make its box larger")
            return


def decoded(image: Image) -> list[str]:
    """The texts of all QR codes that the decoder finds."""
    import zxingcpp

    return [one.text for one in zxingcpp.read_barcodes(image, zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode))]
