"""`koukou doctor`: says what is wrong with this installation and how to mend it; exit code 1 on any fault.

A thin skin over bot/doctor: it chooses the checks, shows that they run, and prints what they find.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from bot.terminal import Json, language, say, show_json

if TYPE_CHECKING:
    from bot.config import ConfigFault
    from bot.doctor import Finding

_MARKS = {"ok": "✓", "warning": "!", "fault": "✗"}
_CLEAR_LINE = "\r\x1b[K"


def doctor(
    context: typer.Context,
    as_json: Json = False,
    offline: Annotated[bool, typer.Option("--offline", help="不连外部网络 | without the network outside")] = False,
) -> None:
    """体检：哪里有问题，怎么修 | what is wrong with this installation, and how to mend it."""
    from bot import config, logs
    from bot.doctor import Look, checks, examine

    path = context.find_root().params.get("config")
    try:
        settings = config.load(path, os.environ)
    except config.ConfigFault as broken:
        _unreadable(broken, as_json)
        raise typer.Exit(1) from None
    logs.protect(settings.secrets())
    look = Look(settings, path)
    chosen = [check for check in checks() if not (offline and check.outside)]
    titles = [check.en if language() == "en" else check.zh for check in chosen]
    found: list[Finding] = []
    _progress(titles, 0)
    for done, (_, findings) in enumerate(examine(look, chosen), 1):
        found += findings
        _progress([], 0)
        if findings and not as_json:
            typer.echo(typer.style(titles[done - 1], bold=True))
            for finding in findings:
                _print(finding)
        _progress(titles, done)
    faults, warnings = (sum(one.severity == severity for one in found) for severity in ("fault", "warning"))
    if as_json:
        counted = {"ok": not faults, "faults": faults, "warnings": warnings, "offline": offline}
        show_json({**counted, "findings": [one.tree() for one in found]})
    else:
        say(f"{faults} 个错误，{warnings} 个提醒", f"{faults} faults, {warnings} warnings")
    raise typer.Exit(1 if faults else 0)


def _progress(titles: list[str], done: int) -> None:
    """What is being looked at, on a line that the next one replaces; nothing where nobody watches."""
    if sys.stderr.isatty():
        waiting = f"{done + 1}/{len(titles)} {titles[done]} …" if done < len(titles) else ""
        sys.stderr.write(_CLEAR_LINE + waiting)
        sys.stderr.flush()


def _print(finding: Finding) -> None:
    colour = {"ok": "green", "warning": "yellow", "fault": "red"}[finding.severity]
    typer.echo(f"  {typer.style(_MARKS[finding.severity], fg=colour)} {finding.text(language())}")
    if mend := finding.mend(language()):
        typer.echo(f"    → {mend}")
    wide = max((len(row[0]) for row in finding.table), default=0)
    for name, able, zh, en in finding.table:
        typer.echo(f"      {'✓' if able else '✗'} {name.ljust(wide)}  {en if language() == 'en' else zh}")


def _unreadable(broken: ConfigFault, as_json: bool) -> None:
    """Settings that cannot be used are the first thing to mend, and nothing else can be looked at."""
    if not as_json:
        for one in broken.faults:
            typer.echo(f"  ✗ {one.text(language())}", err=True)
        return
    findings = [
        {
            "check": "settings",
            "severity": "fault",
            "where": one.variable or (f"{one.file}:{one.line}:{one.key}" if one.line else one.file),
            "message": {"zh": one.zh, "en": one.en},
            "mend": {"zh": "", "en": ""},
        }
        for one in broken.faults
    ]
    show_json({"ok": False, "faults": len(findings), "warnings": 0, "offline": True, "findings": findings})
