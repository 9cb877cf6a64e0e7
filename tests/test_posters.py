"""Posters as they are sent: the code is read back, names cannot break them, equal drawings are equal bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pylopdf_fonts_zh_cn
import pytest
from PIL import Image, ImageChops, ImageFilter

from content.faults import PlanFaults
from content.posters import BadPicture, Poster, QrTooLong, checking, drawing, layout, posters, setting, strips
from tests.plan_editing import shipped_files

ROOT = Path(__file__).parent.parent
URL = "https://family-network.shanhe-telecom.example.com/r/K7MQ2XHP"
FULL = {"until": "2026年12月31日", "code": "K7MQ2XHP"}
SHIPPED = ("invite", "opening", "reunion", "shop")


@pytest.fixture(scope="module")
def shipped() -> dict[str, Poster]:
    return posters(shipped_files())


def image(raw: bytes) -> Image.Image:
    opened = Image.open(BytesIO(raw))
    opened.load()
    return opened


def pressed(picture: Image.Image, quality: int) -> Image.Image:
    out = BytesIO()
    picture.convert("RGB").save(out, "JPEG", quality=quality)
    return image(out.getvalue())


def with_toml(old: str, new: str, name: str = "invite", **more: bytes) -> dict[str, bytes]:
    """The shipped files with one text of a poster's TOML replaced, and further files in its folder."""
    path = f"posters/{name}/poster.toml"
    text = shipped_files()[path].decode()
    assert old in text
    added = {f"posters/{name}/{key.replace('_', '.')}": raw for key, raw in more.items()}
    return {**shipped_files(), path: text.replace(old, new, 1).encode(), **added}


def test_four_are_shipped_in_two_sizes(shipped: dict[str, Poster]) -> None:
    assert tuple(shipped) == SHIPPED
    assert [one.size for one in shipped.values()] == [(750, 1334)] * 3 + [(2480, 3508)]
    backgrounds = [raw for path, raw in shipped_files().items() if path.startswith("posters/") and "jpg" in path]
    assert len(backgrounds) == 4 and sum(map(len, backgrounds)) < 1_000_000


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("name", SHIPPED)
def test_the_code_is_read_back_however_it_was_sent(shipped: dict[str, Poster], name: str, language: str) -> None:
    poster = shipped[name]
    raw = poster.draw(language, qr=URL, name="王小明", fields=FULL)
    drawn = image(raw)
    assert (drawn.format, drawn.size) == ("JPEG", poster.size)
    small = drawn.resize((drawn.width // 2, drawn.height // 2), Image.Resampling.BILINEAR)
    tilted = small.rotate(8, Image.Resampling.BICUBIC, fillcolor="white").filter(ImageFilter.GaussianBlur(0.7))
    for what in (drawn, small, pressed(drawn, 60), pressed(small, 60), tilted, drawn.reduce(3)):
        assert checking.decoded(what) == [URL]
    assert poster.draw(language, qr=URL, name="王小明", fields=FULL) == raw


def test_a_print_says_its_size(shipped: dict[str, Poster]) -> None:
    drawn = image(shipped["shop"].draw("zh", qr=URL))
    assert drawn.info["dpi"] == (300, 300)
    assert round(drawn.width / 300 * 25.4) == 210 and round(drawn.height / 300 * 25.4) == 297


def test_the_symbol_is_what_the_standard_asks_for(shipped: dict[str, Poster]) -> None:
    import zxingcpp

    drawn = image(shipped["invite"].draw("zh", qr=URL))
    (found,) = zxingcpp.read_barcodes(drawn)
    assert (found.format, found.ec_level) == (zxingcpp.BarcodeFormat.QRCode, "M")
    box = shipped["invite"].ground.layout.qr.box
    field = drawn.crop(box.corners).convert("L").point(lambda value: 255 * (value < 128))
    left, top, right, bottom = field.getbbox() or (0, 0, 0, 0)
    module = (right - left) / (len(drawing_matrix(URL)))
    assert min(left, top, box.width - right, box.height - bottom) >= 4 * module


def drawing_matrix(text: str) -> list[list[bool]]:
    from qrcode import QRCode
    from qrcode.constants import ERROR_CORRECT_M

    symbol = QRCode(error_correction=ERROR_CORRECT_M, border=0)
    symbol.add_data(text, optimize=0)
    return symbol.get_matrix()


def test_only_a_band_is_encoded_and_nobody_can_tell(shipped: dict[str, Poster]) -> None:
    for poster in (shipped["invite"], shipped["shop"]):
        ground = poster.ground
        raw = poster.draw("zh", qr=URL, name="王小明", fields=FULL)
        whole = drawing.background(ground)
        whole.paste(ground.layout.qr.light, ground.layout.qr.box.corners)
        given = {**FULL, "name": "王小明"}
        for text in ground.layout.texts:
            block = drawing.fitting(ground, text, "zh", given)
            if block:
                drawing._write(whole, ground, text, "zh", block)
        symbol, box = drawing.code(URL, ground.layout.qr), ground.layout.qr.box
        at = (box.left + (box.width - symbol.width) // 2, box.top + (box.height - symbol.height) // 2)
        whole.paste(ground.layout.qr.dark, (*at, at[0] + symbol.width, at[1] + symbol.height), symbol)
        assert strips._encoded(whole, ground.layout.dpi) == raw


def test_a_band_at_any_edge_is_put_back_in_its_place() -> None:
    picture = Image.effect_noise((203, 341), 60).convert("RGB")
    for top, bottom in ((0, 5), (0, 341), (100, 101), (336, 341), (16, 320), (17, 300)):
        changed = picture.copy()
        changed.paste((200, 30, 60), (10, top, 90, bottom))
        kept = strips.banded(picture, top, bottom, 150)
        band = kept.band.copy()
        band.paste((200, 30, 60), (10, top - kept.top, 90, bottom - kept.top))
        assert kept.around(band) == strips._encoded(changed, 150)


def texts(poster: Poster, language: str, **given: str) -> list[str]:
    """The lines of the open texts as they are drawn."""
    ground = poster.ground
    shown = {key: setting.showable(ground.font, value, drawing.NAME_MOST) for key, value in given.items()}
    blocks = [drawing.fitting(ground, one, language, shown) for one in ground.layout.texts if one.fields(language)]
    return ["\n".join(block.lines) if block else "" for block in blocks]


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("王😀小\u202e明\u200b", "王小明"),
        ("王小\n明\t", "王小 明"),
        ("علي王小明שלום", "王小明"),
        ("\U000e0041王小明\ufffe\udc80", "王小明"),
        ("Zoe\u0308", "Zoë"),
        ("王{code}", "王{code}"),
        ("‮\n😀", ""),
    ],
)
def test_what_a_name_cannot_show_is_left_out(shipped: dict[str, Poster], hostile: str, shown: str) -> None:
    poster = shipped["invite"]
    assert poster.draw("zh", qr=URL, name=hostile) == poster.draw("zh", qr=URL, name=shown)
    first = texts(poster, "zh", name=hostile)[0]
    assert first.split("\n")[0] == (shown or "家人邀请您")


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("name", ["王" * 500, "W" * 500, "很长的 Name " * 60, "i" * 5000, "…" * 99, "王" * 13])
def test_a_long_name_is_cut_inside_its_box(shipped: dict[str, Poster], name: str, language: str) -> None:
    for poster in shipped.values():
        for text in poster.ground.layout.texts:
            if "name" in text.fields(language):
                given = {"name": setting.showable(b"", name, drawing.NAME_MOST)}
                block = drawing.fitting(poster.ground, text, language, given)
                assert block and drawing.set_in(poster.ground, text, language, "\n".join(block.lines))[1]
                assert "…" in "".join(block.lines) or name == "王" * 13
    bare, named = (image(shipped["invite"].draw(language, qr=URL, name=one, fields=FULL)) for one in ("", name))
    touched = ImageChops.difference(bare, named).convert("L").point(lambda value: 255 * (value > 40)).getbbox()
    left, top, right, bottom = shipped["invite"].ground.layout.texts[3].box[language].corners
    assert touched and touched[0] >= left - 16 and touched[1] >= top - 16
    assert touched[2] <= right + 16 and touched[3] <= bottom + 16


def test_empty_fields_give_way(shipped: dict[str, Poster]) -> None:
    assert texts(shipped["invite"], "zh") == ["家人邀请您\n加入家庭网", "扫码了解\n家庭网", "客服热线 400-000-6677"]
    assert texts(shipped["invite"], "en", name="Ann", until="1 May 2027", code="X7")[1:] == [
        "Or type this code\nX7",
        "This QR code is valid until 1 May 2027",
    ]
    assert texts(shipped["shop"], "zh") == [""]


def test_the_plan_names_the_product_once() -> None:
    text = shipped_files()["plan.toml"].decode().replace('product.zh = "家庭网"', 'product.zh = "亲情网"')
    renamed = Poster.of({**shipped_files(), "plan.toml": text.encode()}, "invite")
    assert texts(renamed, "zh")[0] == "家人邀请您\n加入亲情网"
    assert renamed.draw("zh", qr=URL) != Poster.of(shipped_files(), "invite").draw("zh", qr=URL)


def test_a_language_without_words_gets_the_first(shipped: dict[str, Poster]) -> None:
    assert shipped["invite"].draw("fr", qr=URL) == shipped["invite"].draw("zh", qr=URL)


def test_a_folder_on_disk_is_the_same_poster() -> None:
    loaded = Poster.load(ROOT / "content" / "family-network" / "posters" / "invite")
    assert loaded.draw("en", qr=URL) == Poster.of(shipped_files(), "invite").draw("en", qr=URL)
    with pytest.raises(PlanFaults, match="no such poster"):
        Poster.of(shipped_files(), "nobody")


def test_many_threads_draw_what_one_does() -> None:
    jobs = [(name, language, f"王{number}") for name in SHIPPED[:3] for language in ("zh", "en") for number in range(8)]

    def draw(job: tuple[str, str, str]) -> bytes:
        return fresh[job[0]].draw(job[1], qr=f"{URL}?n={job[2]}", name=job[2], fields=FULL)

    fresh = posters(with_toml("#7A3B22", "#7A3B23"))  # another digest: nothing of it is kept yet
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(draw, jobs))
    assert together == [draw(job) for job in jobs]
    assert len(set(together)) == len(jobs)


def test_what_is_kept_is_bounded(shipped: dict[str, Poster]) -> None:
    made = drawing._finished(shipped["invite"].ground, "zh")
    kept = drawing._Kept(3 * made.weight)
    for number in range(10):
        kept.get((str(number), "zh"), lambda: made)
    assert [key[0] for key in kept._grounds] == ["7", "8", "9"]
    assert 6 * made.weight <= drawing.MOST_KEPT
    for cache in (setting.font, setting.shows, setting.stamp, setting.length, setting.inked, setting._nothing):
        assert cache.cache_info().maxsize


def test_a_picture_fills_its_slot_or_is_refused() -> None:
    files = with_toml("[qr]", '[picture]\nbox = [600, 100, 100, 100]\nshape = "square"\n\n[qr]')
    poster = Poster.of(files, "invite")
    out = BytesIO()
    Image.new("RGB", (400, 90), "#1030E0").save(out, "PNG")
    middle = image(poster.draw("zh", qr=URL, picture=out.getvalue())).getpixel((650, 150))
    assert isinstance(middle, tuple) and middle[2] > 200 and middle[0] < 60
    assert poster.draw("zh", qr=URL) != poster.draw("zh", qr=URL, picture=out.getvalue())
    for broken in (b"", b"GIF89a", out.getvalue()[:60], b"\xff\xd8\xff" + b"x" * 99):
        with pytest.raises(BadPicture):
            poster.draw("zh", qr=URL, picture=broken)
    bomb = BytesIO()
    Image.new("1", (9000, 9000)).save(bomb, "PNG")
    with pytest.raises(BadPicture, match="9000"):
        poster.draw("zh", qr=URL, picture=bomb.getvalue())


def test_too_much_for_the_code_is_refused(shipped: dict[str, Poster]) -> None:
    with pytest.raises(QrTooLong):
        shipped["invite"].draw("zh", qr="x" * 5000)
    with pytest.raises(QrTooLong):
        shipped["invite"].draw("zh", qr="x" * 2000)
    assert checking.decoded(image(shipped["invite"].draw("zh", qr="口口相传 " * 9))) == ["口口相传 " * 9]


def test_a_plan_may_bring_its_own_font(shipped: dict[str, Poster]) -> None:
    raw = Path(pylopdf_fonts_zh_cn.sans_path()).read_bytes()
    files = with_toml("size = [750, 1334]", 'size = [750, 1334]\nfont = "brand.otf"', brand_otf=raw)
    own = Poster.of(files, "invite").draw("zh", qr=URL)
    assert checking.decoded(image(own)) == [URL]
    assert own != shipped["invite"].draw("zh", qr=URL)


@pytest.mark.parametrize("weight", [400, 900])
def test_lines_break_as_chinese_and_english_want_it(weight: int) -> None:
    text = (
        "“家庭网”开通后，您和推荐人都有奖励（每人最多 20 位）；Family Network calls are free！到账：60 元话费，20% 起。"
    )
    face = setting.font(b"", 32, weight)
    for width in range(130, 900, 7):
        block = setting.broken(text, b"", 32, weight, width)
        assert max(map(face.getlength, block.lines)) <= width + 32 or width < 200
        assert "".join(block.lines).replace(" ", "") == text.replace(" ", "")
        for line in block.lines:
            assert line[0] not in setting.CLOSING and line[-1] not in setting.OPENING, line
            assert not (line[0].isascii() and line[0].islower() and f" {line.split()[0]}" not in text), line


def test_weights_are_real() -> None:
    light, heavy = (sum(setting.stamp(b"", 60, weight, "家")[0].histogram()[200:]) for weight in (300, 900))
    assert heavy > 1.5 * light


def test_nothing_of_it_is_loaded_before_it_is_needed() -> None:
    code = (
        "import sys, bot.app, content.library, content.posters, bot.commands_poster;"
        "print([m for m in ('PIL', 'qrcode', 'zxingcpp', 'manimgx_fonts_cjk') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def koukou(folder: Path, *words: str, code: int = 0) -> str:
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("KOUKOU_", "LC_"))}
    environ |= {"LANG": "en_US.UTF-8", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "bot", "poster", "render", *words]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout + done.stderr


def test_staff_draw_posters_from_the_command_line(tmp_path: Path) -> None:
    plan = str(ROOT / "content" / "family-network")
    (tmp_path / "config.toml").write_text(f'[service]\npublic_url = "https://bot.example"\nplan = "{plan}"\n')
    told = json.loads(koukou(tmp_path, "invite", "--name", "Ann", "--until", "1 May", "--code", "X7", "--json"))
    assert told == {"qr": "https://bot.example", "written": ["posters/invite-zh.jpg", "posters/invite-en.jpg"]}
    drawn = image((tmp_path / "posters" / "invite-en.jpg").read_bytes())
    assert checking.decoded(drawn) == ["https://bot.example"]
    fields: dict[str, Any] = {"until": "1 May", "code": "X7"}
    expected = Poster.of(shipped_files(), "invite").draw("en", qr="https://bot.example", name="Ann", fields=fields)
    assert (tmp_path / "posters" / "invite-en.jpg").read_bytes() == expected
    assert "wrote out/sheet.jpg" in koukou(tmp_path, "--sheet", "--out", "out", "--url", URL, "--plan", plan)
    assert checking.decoded(image((tmp_path / "out" / "sheet.jpg").read_bytes()).resize((3400, 2800)))
    assert "did you mean invite?" in koukou(tmp_path, "invit", code=1)
    assert "languages are zh, en" in koukou(tmp_path, "--language", "fr", code=1)
    assert "no database" in koukou(tmp_path, "--applied", code=1)
    assert "too much for the QR code" in koukou(tmp_path, "invite", "--url", "x" * 3000, code=1)
    assert "no plan.toml" in koukou(tmp_path, "--plan", "out", code=1)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_page_names_every_key(language: str) -> None:
    page = (ROOT / "docs" / ("posters.zh.md" if language == "zh" else "posters.md")).read_text()
    for heading, keys in (
        ("poster.toml", layout.TOP),
        ("[[text]]", layout.TEXT),
        ("[qr]", layout.QR),
        ("[picture]", layout.PICTURE),
    ):
        section = page.split(f"### `{heading}`")[1].split("\n##")[0]
        rows = [line for line in section.splitlines() if line.startswith("| `")]
        assert rows == [
            f"| `{name}` | {key.zh if language == 'zh' else key.en} | `{key.written}` | {left_out(key, language)} |"
            for name, key in keys.items()
        ]
    for field in (*layout.OPEN, *layout.FIXED):
        assert f"`{{{field}}}`" in page


def left_out(key: layout.Key, language: str) -> str:
    """What the page says of a key that is not there."""
    if key.default is ...:
        return "要写" if language == "zh" else "must be there"
    value = "" if key.default in (None, "") else f"`{_shown(key.default)}`"
    return value or "—"


def _shown(value: Any) -> str:
    return '"#{:02X}{:02X}{:02X}"'.format(*value) if isinstance(value, tuple) else json.dumps(value)
