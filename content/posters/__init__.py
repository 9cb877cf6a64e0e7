"""Posters: folders that staff edit, drawn with a QR code, a name and a date on them.

`posters/<name>/poster.toml` says where everything goes and `plan check` proves that it fits and scans. Drawing knows
no channel and no database: what the code holds and who is named are arguments.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from content import toml
from content.faults import Fault, PlanFaults, Said
from content.plan.reading import dotted
from content.posters import drawing, layout
from content.posters.drawing import BadPicture, QrTooLong, sheet
from content.toml import Document, TomlFault

__all__ = ["BadPicture", "Poster", "QrTooLong", "posters", "sheet"]

FOLDER = "posters"
FILE = "poster.toml"
NOTHING: Mapping[str, str] = MappingProxyType({})


class Poster:
    """One poster, read from its folder and never changed; may be drawn in any number of threads at once."""

    def __init__(self, name: str, ground: drawing.Ground, languages: tuple[str, ...]) -> None:
        self.name = name
        self.languages = languages
        self.size = ground.layout.size  # width and height in pixels
        self.ground = ground

    @classmethod
    def load(cls, folder: Path) -> Poster:
        """The poster in a plan's folder `…/posters/<name>` on disk. Raises PlanFaults, OSError."""
        folder = folder.resolve()
        files = {f"{FOLDER}/{folder.name}/{one.name}": one.read_bytes() for one in folder.iterdir() if one.is_file()}
        plan = folder.parent.parent / "plan.toml"
        if plan.is_file():
            files["plan.toml"] = plan.read_bytes()
        return cls.of(files, folder.name)

    @classmethod
    def of(cls, files: Mapping[str, bytes], name: str) -> Poster:
        """The poster `name` among a plan's files by their paths. Raises PlanFaults when it cannot be drawn."""
        path = f"{FOLDER}/{name}/{FILE}"
        languages, fixed = _of_plan(files)
        if path not in files:
            raise PlanFaults([Fault(path, 0, "", "fault", Said("没有这个海报", "there is no such poster"))])
        try:
            text = document(files, name)
        except TomlFault as error:
            said = Said(f"不是合法的 TOML：{error.message}", f"not TOML: {error.message}")
            raise PlanFaults([Fault(path, error.line, "", "fault", said)]) from error
        read, found = layout.read(text.data, languages)
        absent = [key for key, file in _named(read) if f"{FOLDER}/{name}/{file}" not in files]
        found += [((key,), "fault", Said("找不到文件", "no such file")) for key in absent]
        if read is None or found:
            raise PlanFaults([Fault(path, text.line(where), dotted(where), kind, said) for where, kind, said in found])
        folder = f"{FOLDER}/{name}/"
        background, font = files[folder + read.background], files[folder + read.font] if read.font else b""
        told = repr(sorted((language, sorted(words.items())) for language, words in fixed.items())).encode()
        digest = hashlib.sha256(b"\0".join(hashlib.sha256(p).digest() for p in (files[path], background, font, told)))
        return cls(name, drawing.Ground(read, background, font, digest.hexdigest(), fixed), tuple(languages))

    def draw(
        self,
        language: str,
        *,
        qr: str,
        name: str = "",
        fields: Mapping[str, str] = NOTHING,
        picture: bytes | None = None,
    ) -> bytes:
        """The poster as a JPEG, its code holding `qr`; in the plan's first language if it has no words in `language`.

        `name` is what the referrer wants to be called, or empty; whatever it holds, it fits. `fields` may be `until`
        (the day to which the code is valid, as it is to be read) and `code` (what can be typed instead); a text with an
        empty field gives way to its `otherwise`. `picture` goes where the poster has room for one. Equal arguments give
        equal bytes. Raises QrTooLong, BadPicture.
        """
        spoken = language if language in self.languages else self.languages[0]
        return drawing.drawn(self.ground, spoken, qr, {**fields, "name": name}, picture)


def posters(files: Mapping[str, bytes]) -> dict[str, Poster]:
    """Every poster among a plan's files, by name. Raises PlanFaults when one of them cannot be drawn."""
    return {name: Poster.of(files, name) for name in names(files)}


def names(files: Mapping[str, bytes]) -> list[str]:
    """The folders that hold a poster."""
    parts = (path.split("/") for path in files)
    return sorted(part[1] for part in parts if len(part) == 3 and part[0] == FOLDER and part[2] == FILE)


def document(files: Mapping[str, bytes], name: str) -> Document:
    """The `poster.toml` of one poster, with its lines. Raises TomlFault, KeyError."""
    path = f"{FOLDER}/{name}/{FILE}"
    try:
        return toml.parse(files[path].decode("utf-8-sig"), path)
    except UnicodeDecodeError as error:
        line = files[path].count(b"\n", 0, error.start) + 1
        raise TomlFault(path, line, "not UTF-8 / 不是 UTF-8 编码") from error


def _named(read: layout.Layout | None) -> list[tuple[str, str]]:
    """The other files that a layout needs, by key."""
    if read is None:
        return []
    return [("background", read.background), *([("font", read.font)] if read.font else [])]


def _of_plan(files: Mapping[str, bytes]) -> tuple[list[str], dict[str, dict[str, str]]]:
    """The plan's languages, and for each what posters may repeat of it. A plan with faults gives what can be read."""
    try:
        plan: dict[str, Any] = tomllib.loads(files.get("plan.toml", b"").decode("utf-8-sig"))
    except (ValueError, RecursionError):
        plan = {}
    said = plan.get("languages")
    languages = [one for one in said if isinstance(one, str)] if isinstance(said, list) else []
    languages = languages or ["zh", "en"]

    def words(language: str, *path: str) -> str:
        value: Any = plan
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        value = value.get(language) if isinstance(value, dict) else value
        return value if isinstance(value, str) else ""

    places = {
        "product": ("product",),
        "campaign": ("title",),
        "organiser": ("organiser", "name"),
        "hotline": ("response", "hotline"),
    }
    return languages, {one: {field: words(one, *path) for field, path in places.items()} for one in languages}
