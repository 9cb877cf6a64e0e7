"""A plan and every file beside it, as bytes: read from a folder or from what a store kept, checked, and built.

The bytes are the truth; comments and layout survive because nothing is written anew. It knows no database and applies
nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from pydantic import ValidationError

from content import faq, phrases, quizzes, surveys, toml
from content.faults import Fault, PlanFaults, Said, Severity
from content.plan import audience, lawful, reading, rules
from content.plan.model import Plan
from content.plan.small import completed
from content.toml import Document, TomlFault

PLAN = "plan.toml"
MARK = "REVISION"  # which applied revision a folder was exported from; no part of the plan
MOST_FILES = 2_000
MOST_BYTES = 10 * 1024 * 1024
PASSING = ("~", ".tmp", ".swp", ".swo", ".bak", ".part")
ORDER: dict[Severity, int] = {"fault": 0, "warning": 1, "unset": 2, "note": 3}


def _fault(file: str, zh: str, en: str, line: int = 0) -> Fault:
    return Fault(file, line, "", "fault", Said(zh, en))


class Bundle:
    """The files of one plan by their path inside its folder (`plan.toml`, `faq/joining.toml`), never changed."""

    def __init__(self, files: Mapping[str, bytes], made_from: int | None = None) -> None:
        self.files: Mapping[str, bytes] = MappingProxyType(dict(sorted(files.items())))
        self.made_from = made_from

    @classmethod
    def read(cls, folder: Path) -> Bundle:
        """Read a folder. Hidden and passing files (editors' copies) are left out; `REVISION` becomes `made_from`.

        Raises PlanFaults, naming all of them, for links that lead out of the folder, too many or too large files,
        unreadable files, or no `plan.toml`.
        """
        files: dict[str, bytes] = {}
        faults: list[Fault] = []
        for path in _lasting(folder):
            name = path.relative_to(folder).as_posix()
            if len(files) == MOST_FILES:
                zh, en = f"文件太多，最多 {MOST_FILES} 个", f"too many files; at most {MOST_FILES}"
                faults.append(_fault(name, zh, en))
                break
            try:
                inside = path.resolve(strict=True).is_relative_to(folder.resolve())
                if not inside:
                    faults.append(_fault(name, "链接指向方案文件夹之外", "a link that leads out of the plan's folder"))
                elif path.is_file():
                    files[name] = _limited(path)
            except _TooLarge:
                faults.append(_fault(name, "文件超过 10 MB", "larger than 10 MB"))
            except OSError as error:
                faults.append(_fault(name, f"读不了：{error.strerror}", f"cannot be read: {error.strerror}"))
        if PLAN not in files and not faults:
            faults.append(_fault(PLAN, f"{folder} 里没有 plan.toml", f"no plan.toml in {folder}"))
        mark = files.pop(MARK, b"").decode(errors="replace").strip()
        if mark and not (mark.isascii() and mark.isdigit()):
            faults.append(_fault(MARK, "不是版本号", "not a revision number", 1))
        if faults:
            raise PlanFaults(faults)
        return cls(files, int(mark) if mark else None)

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> Bundle:
        """The same from stored bytes. Raises PlanFaults for names that would not stay inside a folder, or no plan."""
        faults = [_fault(name, "文件名不行", "not a usable file name") for name in files if not _stays_inside(name)]
        faults += [
            _fault(n, "文件超过 10 MB", "larger than 10 MB") for n, raw in files.items() if len(raw) > MOST_BYTES
        ]
        if PLAN not in files:
            faults.append(_fault(PLAN, "没有 plan.toml", "no plan.toml"))
        if len(files) > MOST_FILES:
            zh, en = f"文件太多，最多 {MOST_FILES} 个", f"too many files; at most {MOST_FILES}"
            faults.append(_fault(PLAN, zh, en))
        if faults:
            raise PlanFaults(faults)
        return cls(files)

    @cached_property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each file, in hex."""
        return {name: hashlib.sha256(raw).hexdigest() for name, raw in self.files.items()}

    @cached_property
    def digest(self) -> str:
        """One SHA-256 over all names and hashes: equal when, and only when, every byte is."""
        lines = (f"{name}\0{one}\n" for name, one in self.hashes.items())
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def document(self, name: str = PLAN) -> Document:
        """One TOML file with its lines. Raises TomlFault, KeyError."""
        try:
            return toml.parse(self.files[name].decode("utf-8-sig"), name)
        except UnicodeDecodeError as error:
            line = self.files[name].count(b"\n", 0, error.start) + 1
            raise TomlFault(name, line, "not UTF-8 / 不是 UTF-8 编码") from error

    @cached_property
    def plan(self) -> Plan:
        """The plan, built once. Raises PlanFaults when it cannot be; whether it should be applied is `check`'s."""
        try:
            document = self.document()
        except TomlFault as error:
            raise PlanFaults([_not_toml(error)]) from error
        whole = completed(document.data)
        try:
            return Plan.model_validate(whole, context=reading.context_of(whole))
        except ValidationError as wrong:  # only then every part is read by itself, so that no fault hides another
            _, findings = reading.parts_of(document.data)
            raise PlanFaults(_placed(document, findings)) from wrong

    def check(self, runs: frozenset[str], words: Mapping[str, tuple[str, str]] | None = None) -> list[Fault]:
        """Everything found in one pass, by file and line. `runs` names the clauses that this version runs, `words` the
        commands that can be typed (as `campaigns.words` has them); without them, what buttons and keywords say is not
        looked at."""
        from content.posters import checking  # how posters are drawn: only a check asks, no start of a node

        documents: dict[str, Document] = {}
        found: list[Fault] = []
        for name in self.files:
            if name.endswith(".toml"):
                try:
                    documents[name] = self.document(name)
                except TomlFault as error:
                    found.append(_not_toml(error))
        if PLAN in documents:
            found += _placed(documents[PLAN], list(self._findings(documents[PLAN], runs, words)))
        said = documents[PLAN].data.get("languages") if PLAN in documents else None
        spoken = [one for one in said if one in phrases.LANGUAGES] if isinstance(said, list) else phrases.LANGUAGES
        seen: set[str] = set()
        data = documents[PLAN].data if PLAN in documents else {}
        asked, surveyed = quizzes.named_in(data), surveys.named_in(data)
        for name, document in documents.items():
            if name.startswith("phrases/"):
                wrong = phrases.faults(name, document.data)
                found += _placed(document, [(tuple(key.split(".")), "fault", Said(zh, en)) for key, zh, en in wrong])
            if name in asked:
                found += _placed(document, quizzes.check(document.data, spoken))
            if name in surveyed:
                found += _placed(document, surveys.check(document.data, spoken))
            if name.startswith("faq/"):
                odd = faq.check(document.data, spoken, seen)
                found += _placed(document, [(path, "fault", Said(zh, en)) for path, zh, en in odd])
            # In the FAQ people's own questions stand as they ask them; only the answers are ours.
            wording = lawful.wording(document.data)
            found += _placed(document, [one for one in wording if not name.startswith("faq/") or "answer" in one[0]])
        found += checking.check(self.files)
        return sorted(set(found), key=lambda one: (one.file != PLAN, one.file, one.line, ORDER[one.severity], one.key))

    def _findings(
        self, document: Document, runs: frozenset[str], words: Mapping[str, tuple[str, str]] | None
    ) -> Iterator[reading.Finding]:
        parts, wrong = reading.parts_of(document.data)
        yield from wrong
        yield from reading.unset_in(document.data)
        yield from rules.budget_lines(parts)
        yield from rules.named_files(parts, self.files.keys())
        yield from rules.articles(parts, self.files.keys())
        yield from rules.own_poster(parts, self.files.keys())
        yield from rules.repeated_ids(parts)
        yield from audience.audiences(parts, document.data, runs)
        if words:
            yield from rules.buttons(parts, words)
            yield from rules.hidden_commands(parts, words)
        yield from rules.dates(parts)
        yield from rules.left_out(parts, document.data)
        yield from rules.sums(parts)
        yield from quizzes.check_terms(parts, self.files.keys())
        yield from surveys.check_terms(parts, self.files.keys())
        yield from rules.not_running(document.data, runs)
        yield from lawful.conduct(parts)
        yield from lawful.mass_sends(parts)


class _TooLarge(Exception):
    pass


def _limited(path: Path) -> bytes:
    with path.open("rb") as file:
        raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise _TooLarge
    return raw


def _lasting(folder: Path) -> Iterator[Path]:
    """Every file that is meant to stay, in a stable order; links to folders are given back as they are, unentered."""
    for here, folders, names in os.walk(folder):
        linked = [name for name in folders if (Path(here) / name).is_symlink() and not name.startswith(".")]
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in linked)
        for name in sorted(names + linked):
            if not name.startswith((".", "~$", "#")) and not name.endswith(PASSING):
                yield Path(here) / name


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    plain = name == path.as_posix() and "\\" not in name and ":" not in name and name.isprintable()
    return bool(name) and plain and not path.is_absolute() and ".." not in path.parts and name != "."


def _not_toml(error: TomlFault) -> Fault:
    zh, en = f"不是合法的 TOML：{error.message}", f"not TOML: {error.message}"
    return Fault(
        error.name, error.line, "", "fault", Said(zh, en, "检查引号和括号是否成对", "check quotes and brackets")
    )


def _placed(document: Document, findings: list[reading.Finding]) -> list[Fault]:
    return [
        Fault(document.name, document.line(path), reading.dotted(path), severity, said)
        for path, severity, said in findings
    ]
