"""The pages against each other and against the code: both languages have the same parts, links lead somewhere, and each
command that is quoted is there with its options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_command_line import commands

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("README*.md"), *ROOT.glob("SECURITY*.md"), *(ROOT / "docs").glob("*.md")])
PAIRS = [page for page in PAGES if page.with_suffix(".zh.md").exists()]
# What is written on other branches of this round: a quoted command or page of theirs may be missing here.
COMING = {"backup", "staff", "stop"}
COMING_PAGES = {f"{name}{end}" for name in ("backup", "upgrade", "console") for end in (".md", ".zh.md")}
# Parts that both languages have alike. Prose may have another number of lines.
PARTS = {
    "headings": r"(?m)^#+ ",
    "rows of tables": r"(?m)^ *\| ",
    "numbered steps": r"(?m)^ *\d+\. ",
    "points": r"(?m)^ *- ",
    "pictures": r"!\[",
    "blocks": r"(?m)^ *```\w*$",
}


def blocks(page: Path, *kinds: str) -> Iterator[str]:
    """The fenced blocks of these kinds."""
    for kind, body in re.findall(r"(?ms)^ *```(\w*)\n(.*?)^ *```", page.read_text("utf-8")):
        if kind in kinds:
            yield body


def test_every_page_for_operators_is_in_both_languages() -> None:
    names = {page.name for page in PAIRS}
    assert {"README.md", "SECURITY.md", "install.md", "runbook.md", "configuration.md", "wechat.md"} <= names


@pytest.mark.parametrize("page", PAIRS, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_both_languages_have_the_same_parts(page: Path) -> None:
    english, chinese = page.read_text("utf-8"), page.with_suffix(".zh.md").read_text("utf-8")
    for name, pattern in PARTS.items():
        assert len(re.findall(pattern, english)) == len(re.findall(pattern, chinese)), name
    linked = [re.findall(r"\]\((?!http)([^)#]+)", text) for text in (english, chinese)]
    assert sorted(target.replace(".zh.md", ".md") for target in linked[1]) == sorted(
        target.replace(".zh.md", ".md") for target in linked[0]
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}-{page.name}")
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists() or Path(target).name in COMING_PAGES, target


def quoted(page: Path) -> Iterator[list[str]]:
    """Every `koukou …` of a page, in blocks and in running text, in words."""
    text = page.read_text("utf-8")
    lines = [line.strip() for body in blocks(page, "sh", "") for line in body.splitlines()]
    lines += [found for found in re.findall(r"`([^`\n]+)`", text) if "koukou" in found]
    for line in lines:
        found = re.match(r"(?:sudo -u koukou )?(?:\S*/)?koukou((?: +[^\s|;&>]+)+)", line)
        if found:
            yield [word for word in shlex.split(found[1], comments=True) if word != "…"]


def test_every_quoted_command_is_there() -> None:
    known = dict(commands())
    seen = 0
    for page in PAGES:
        for words in quoted(page):
            while words and words[0] == "--config":
                words = words[2:]
            if not words or words[0] in COMING or not re.fullmatch(r"[a-z][a-z-]*|--[a-z-]+", words[0]):
                continue
            name, rest = "koukou", list(words)
            while rest and f"{name} {rest[0]}" in known:
                name = f"{name} {rest.pop(0)}"
            command = known[name]
            below = getattr(command, "commands", {})
            assert not (below and rest and not rest[0].startswith("-")), f"{page.name}: koukou {' '.join(words)}"
            options = {option for param in command.params for option in param.opts} | {"--help"}
            for word in rest:
                if word.startswith("--"):
                    assert word.partition("=")[0] in options, f"{page.name}: koukou {' '.join(words)}"
            seen += 1
    assert seen > 40, seen


@pytest.mark.parametrize("line", ["koukou plan chekc", "koukou doctor --ofline", ".venv/bin/koukou ledgr check"])
def test_a_wrong_command_in_a_page_would_be_found(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"```sh\n{line}\n```\n")
    monkeypatch.setitem(globals(), "PAGES", [page])
    with pytest.raises(AssertionError, match="koukou"):
        test_every_quoted_command_is_there()
