"""How the command line speaks: help and mistakes in the terminal's language, completion in a real bash, and that every
command that the docs quote is there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from bot import spoken
from bot.__main__ import command_line

ROOT = Path(__file__).parent.parent
# Help that comes with the parser, and its half in each language.
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith(("KOUKOU_", "LC_", "_KOUKOU"))}
HAN = re.compile(r"[一-鿿]")


def commands(command: Any = None, path: str = "koukou") -> Iterator[tuple[str, Any]]:
    """Every command by its whole name, the groups included, as written."""
    command = command or typer.main.get_command(command_line())
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{path} {name}")


def texts() -> Iterator[tuple[str, str]]:
    """Every sentence of help, with what it belongs to."""
    for path, command in commands():
        yield path, command.help or ""
        for param in command.params:
            text = getattr(param, "help", None) or ""
            yield f"{path} {param.opts[0]}", spoken._OWN_HELP.get(text, text)


def test_every_command_and_option_says_what_it_is_in_both_languages() -> None:
    found = list(texts())
    assert len(found) > 40
    for place, text in found:
        for paragraph in text.split("\n\n"):
            chinese, bar, english = paragraph.partition(" | ")
            assert bar, f"{place}: help is written `中文 | english`, not {paragraph!r}"
            assert HAN.search(chinese), f"{place}: no Chinese in {chinese!r}"
            assert re.search("[a-z]", english), f"{place}: no English in {english!r}"
            assert not HAN.search(english), f"{place}: Chinese in {english!r}"


def koukou(*words: str, language: str = "en_US.UTF-8") -> tuple[int, str]:
    """Exit code and everything printed."""
    command = [sys.executable, "-m", "bot", *words]
    done = subprocess.run(
        command, cwd=ROOT, env={**ENVIRON, "LANG": language}, capture_output=True, text=True, timeout=60
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def test_help_is_in_the_terminals_language() -> None:
    code, said = koukou("poster", "render", "--help")
    assert code == 0
    assert not HAN.search(said)
    assert "Usage: koukou poster render [OPTIONS] [POSTER]" in said
    assert "--out PATH" in said
    assert "default: posters" in said
    assert "|" not in said
    code, said = koukou("poster", "render", "--help", language="zh_CN.UTF-8")
    assert code == 0
    for word in (
        "用法：koukou poster render [选项] [POSTER]",
        "参数：",
        "选项：",
        "--out 路径",
        "默认 posters",
        "显示这段说明",
    ):
        assert word in said
    assert not re.search(r"Usage|Options|Show|all when", said)
    assert "命令：" in koukou("--help", language="")[1]  # Chinese where the terminal says nothing


@pytest.mark.parametrize(
    ("words", "english", "chinese"),
    [
        (("plan", "chek"), "Did you mean 'check'?", "没有命令 'chek'。是不是 'check'？"),
        (("plan", "check", "--jso"), "No such option: --jso", "没有选项 --jso（是不是 --json？）"),
        (("plan", "export"), "Missing argument", "缺少参数 'folder'。"),
        (("plan", "apply", "--onto"), "requires an argument", "选项 '--onto' 后面要写一个值。"),
        (("plan", "apply", "--onto", "two"), "valid integer", "'--onto' 的值不对：要写成整数"),
        (("plan", "check", "a", "b"), "extra argument(s) (b)", "多出了 b"),
        (("plan", "check", "--json=1"), "does not take a value", "选项 '--json' 后面不带值。"),
        (("plan",), "Usage: koukou plan", "用法：koukou plan"),
        ((), "Usage: koukou", "用法：koukou"),
    ],
)
def test_a_mistake_is_told_in_the_terminals_language_and_ends_with_2(
    words: tuple[str, ...], english: str, chinese: str, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.delenv("LC_MESSAGES", raising=False)
    for language, expected in (("en_US.UTF-8", english), ("zh_CN.UTF-8", chinese)):
        monkeypatch.setenv("LANG", language)
        with pytest.raises(SystemExit) as ended:
            spoken.run(command_line(), list(words))
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert expected in said
        if language == "zh_CN.UTF-8":
            own = re.sub(r"(koukou|plan|poster)( \w+)* ?|--?\w+|\[?[A-Z]+\]?|'\w+'|→|chek", "", said.split("\n")[0])
            assert not re.search(r"[A-Za-z]{4}", own), own


def test_the_process_itself_ends_with_2() -> None:
    assert koukou("plan", "chekc")[0] == 2


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Types a line into a real bash that has completion on, and gives what it would offer."""
    folder = tmp_path_factory.mktemp("bash")
    command = folder / "koukou"
    command.write_text(f'#!/bin/sh\ncd {ROOT}\nexec {sys.executable} -m bot "$@"\n')
    command.chmod(0o755)
    environ = {**ENVIRON, "LANG": "en_US.UTF-8", "PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(folder)}

    def offered(*words: str, before: str = "") -> list[str]:
        line = " ".join(shlex.quote(word) for word in words)
        # The shell's own function, found by `complete -p`, as readline calls it.
        script = f"""{before or 'eval "$(koukou --show-completion; true)"'}
        call=$(complete -p koukou | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        COMP_WORDS=({line}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); COMPREPLY=()
        $call koukou; printf '%s\\n' "${{COMPREPLY[@]}}" """
        done = subprocess.run(
            ["bash", "--norc", "-c", script], env=environ, capture_output=True, text=True, timeout=60, check=True
        )
        assert not done.stderr, done.stderr
        return done.stdout.split()

    offered.folder = folder  # type: ignore[attr-defined]
    offered.environ = environ  # type: ignore[attr-defined]
    return offered


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("koukou", "pl"), ["plan"]),
        (("koukou", "plan", ""), ["check", "diff", "apply", "show", "export"]),
        (("koukou", "subscriber", "show", "w"), ["web:"]),
        (("koukou", "poster", "render", "sh"), ["shop"]),
        (("koukou", "poster", "render", "--language", ""), ["zh", "en"]),
        (("koukou", "wechat", "status", "--account", ""), ["main"]),
        (("koukou", "doctor", "--off"), ["--offline"]),
    ],
)
def test_bash_completes(bash: Any, words: tuple[str, ...], expected: list[str]) -> None:
    assert bash(*words) == expected


def test_completion_installs_itself(bash: Any) -> None:
    done = subprocess.run(
        ["bash", "--norc", "-c", "koukou --install-completion; true"], env=bash.environ, capture_output=True, text=True
    )
    assert "bash" in done.stdout, done.stderr
    assert bash("koukou", "ledg", before="source ~/.bashrc") == ["ledger"]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"_KOUKOU_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "koukou led"}, '"ledger":"the ledger"'),
        (
            {
                "_KOUKOU_COMPLETE": "complete_fish",
                "_TYPER_COMPLETE_ARGS": "koukou led",
                "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            },
            "ledger\tthe ledger",
        ),
        ({"_KOUKOU_COMPLETE": "source_zsh"}, "#compdef koukou"),
        ({"_KOUKOU_COMPLETE": "source_fish"}, "complete --command koukou"),
    ],
)
def test_zsh_and_fish_are_told_names_with_what_they_are(environ: dict[str, str], expected: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bot"],
        cwd=ROOT,
        env={**ENVIRON, "LANG": "en_US.UTF-8", **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert expected in done.stdout, done.stderr
