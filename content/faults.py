"""What is wrong, unset or worth knowing in a plan, said in Chinese and English with the place where it stands.

A fault knows a file, a line and two sentences; it does not know TOML, pydantic or the rules that found it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["fault", "warning", "unset", "note"]

SEVERITIES: dict[Severity, tuple[str, str]] = {
    "fault": ("错误", "fault"),
    "warning": ("提醒", "warning"),
    "unset": ("未填", "unset"),
    "note": ("说明", "note"),
}


@dataclass(frozen=True, slots=True)
class Said:
    """One finding in both languages, with what to do about it."""

    zh: str
    en: str
    hint_zh: str = ""
    hint_en: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """One finding and its place.

    `line` counts from 1; 0 means the file as a whole. `key` is the dotted path (`social.pushes[2].text.en`).
    Only severity `fault` stops a plan from being applied; `unset` says that a clause is off until an amount is filled
    in; `warning` asks for a second look; `note` informs.
    """

    file: str
    line: int
    key: str
    severity: Severity
    said: Said

    def message(self, language: str) -> str:
        """What is the matter, in Chinese for `zh` and English otherwise."""
        return self.said.zh if language == "zh" else self.said.en

    def hint(self, language: str) -> str:
        """What to do about it; may be empty."""
        return self.said.hint_zh if language == "zh" else self.said.hint_en

    def text(self, language: str) -> str:
        """The finding on one line: `plan.toml:12: fault: window.end: … (hint)`."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        word = SEVERITIES[self.severity][0 if language == "zh" else 1]
        key = f"{self.key}: " if self.key else ""
        hint = self.hint(language)
        aside = (f"（{hint}）" if language == "zh" else f" ({hint})") if hint else ""
        return f"{place}: {word}: {key}{self.message(language)}{aside}"

    def tree(self) -> dict[str, object]:
        """The finding as plain JSON."""
        return {
            "file": self.file,
            "line": self.line,
            "key": self.key,
            "severity": self.severity,
            "message": {"zh": self.said.zh, "en": self.said.en},
            "hint": {"zh": self.said.hint_zh, "en": self.said.hint_en},
        }


class PlanFaults(Exception):
    """A plan that cannot be used, with every fault found in it."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(fault.text("en") for fault in faults))
        self.faults = list(faults)
