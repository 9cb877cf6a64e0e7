"""The settings of one installation: `config.toml` with the environment on top, checked whole before anything starts.

Every fault names its file and line, or its environment variable, and never shows a value: it may be a secret.
"""

from __future__ import annotations

import copy
import difflib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

import content
from bot.settings import SHIPPED_PLAN, ServiceSettings, Settings, Steps, Table, dotted
from content import toml

__all__ = ["ConfigFault", "Fault", "ServiceSettings", "Settings", "load"]

PREFIX = "KOUKOU_"
DEFAULT_FILE = "config.toml"

# pydantic's error type -> Chinese, English.
_WORDS = {
    "string_type": ("要写成带引号的文字", "must be text in quotes"),
    "bool_type": ("只能是 true 或 false", "must be true or false"),
    "int_type": ("要写成整数", "must be a whole number"),
    "greater_than_equal": ("至少是 {ge}", "must be at least {ge}"),
    "literal_error": ("只能是 {expected}", "must be {expected}"),
    "list_type": ("要写成列表", "must be a list"),
    "too_short": ("至少要有一项", "needs at least one item"),
    "model_type": ("要写成一张表", "must be a table"),
    "model_attributes_type": ("要写成一张表", "must be a table"),
    "dict_type": ("要写成一张表", "must be a table"),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong: the file and line (0: the whole file) or else the variable, the key, and why."""

    file: str
    line: int
    variable: str
    key: str
    zh: str
    en: str

    def text(self, language: str) -> str:
        """The fault on one line, in Chinese for `zh` and English otherwise."""
        why = self.zh if language == "zh" else self.en
        if self.variable:
            return f"{'环境变量' if language == 'zh' else 'environment'} {self.variable}: {why}"
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.key}: {why}" if self.key else f"{place}: {why}"


class ConfigFault(Exception):
    """Settings that cannot be used: all `faults`, as text in the language of the service."""

    def __init__(self, faults: list[Fault], language: str) -> None:
        super().__init__("\n".join(fault.text(language) for fault in faults))
        self.faults = faults


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings in the file at `path` with `environ` on top.

    Without a path, `config.toml` in the current folder, which need not be there. Relative paths in the file or the
    environment start at the file's folder. Raises ConfigFault.
    """
    return _Reading(path, environ).settings()


class _Reading:
    """One reading of one file and one environment, and the faults found on the way."""

    def __init__(self, path: Path | None, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._path = path or Path(DEFAULT_FILE)
        self._faults: list[Fault] = []
        self._variables: dict[Steps, str] = {}
        self._document = toml.parse("", str(self._path))
        self._in_file = path is not None or self._path.exists()

    def settings(self) -> Settings:
        if self._in_file:
            self._read()
        if self._faults:
            raise ConfigFault(self._faults, self._language({}))
        raw = copy.deepcopy(self._document.data)
        self._overlay(raw)
        self._anchor(raw)
        settings = None
        try:
            settings = Settings.model_validate(raw)
        except ValidationError as wrong:
            for error in wrong.errors(include_url=False, include_input=False):
                self._blame(error)
        if settings:
            self._demand(settings)
        if self._faults or settings is None:
            self._faults.sort(key=lambda fault: (fault.variable, fault.line))
            raise ConfigFault(self._faults, self._language(raw))
        return settings

    def _read(self) -> None:
        try:
            self._document = toml.read(self._path)
        except toml.TomlFault as wrong:
            self._add((), f"不是正确的 TOML：{wrong.message}", f"not TOML: {wrong.message}", line=wrong.line)
        except OSError as wrong:
            why = wrong.strerror or str(wrong)
            self._add((), f"读不了这个文件：{why}", f"cannot be read: {why}")

    def _add(self, steps: Steps, zh: str, en: str, *, variable: str = "", line: int = 0) -> None:
        """Add a fault at the variable that is to blame, if one is, or else at the line of `steps`."""
        line = 0 if variable else line or (self._document.line(steps) if steps else 0)
        self._faults.append(Fault(self._document.name, line, variable, dotted(steps), zh, en))

    def _overlay(self, raw: dict[str, Any]) -> None:
        """Put what the environment says into `raw`. A variable without `__` is not ours (Kubernetes sets such ones)."""
        for variable in sorted(self._environ):
            if not variable.startswith(PREFIX) or "__" not in variable or not self._environ[variable]:
                continue
            steps, text = tuple(variable.removeprefix(PREFIX).lower().split("__")), self._environ[variable]
            annotation = _annotation(steps)
            if annotation is None and steps[-1].endswith("_file"):
                steps = (*steps[:-1], steps[-1].removesuffix("_file"))
                annotation = _annotation(steps)
                text = self._content(variable, text) if annotation is not None else ""
            if annotation is None:
                self._unknown(steps, variable)
            elif steps in self._variables:
                other = self._variables[steps]
                self._add(steps, f"与 {other} 重复", f"set twice, also as {other}", variable=variable)
            elif text:
                self._variables[steps] = variable
                _put(raw, steps, _converted(text, annotation))

    def _content(self, variable: str, path: str) -> str:
        try:
            return self._from_here(path).read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as wrong:
            why = getattr(wrong, "strerror", None) or "UTF-8?"
            self._add((), f"读不了文件 {path}：{why}", f"cannot read {path}: {why}", variable=variable)
            return ""

    def _from_here(self, path: str) -> Path:
        return Path(os.path.abspath(self._path.parent / Path(path).expanduser()))

    def _anchor(self, raw: dict[str, Any]) -> None:
        """Make relative paths start at the file's folder; the shipped plan is found wherever the house is installed."""
        service, storage = raw.setdefault("service", {}), raw.setdefault("storage", {})
        if isinstance(service, dict):
            plan = service.setdefault("plan", str(Path(content.__file__).parent / Path(SHIPPED_PLAN).name))
            if isinstance(plan, str):
                service["plan"] = str(self._from_here(plan))
            elif isinstance(plan, list):
                service["plan"] = [str(self._from_here(one)) if isinstance(one, str) else one for one in plan]
        if isinstance(storage, dict):
            url = storage.setdefault("url", Settings().storage.url)
            if isinstance(url, str) and (file := re.fullmatch(r"sqlite:///([^?]+)(.*)", url)):
                storage["url"] = f"sqlite:///{self._from_here(file[1])}{file[2]}"
            elif not storage.get("erasures"):
                storage["erasures"] = "data/koukou.erasures"
            if isinstance(journal := storage.get("erasures"), str) and journal:
                storage["erasures"] = str(self._from_here(journal))

    def _blame(self, error: ErrorDetails) -> None:
        """Add the fault that pydantic found."""
        steps: Steps = error["loc"]
        variable = self._variable(steps)
        if error["type"] == "extra_forbidden":
            self._unknown(steps, variable)
            return
        told = error.get("ctx", {})
        if error["type"] == "said":
            zh, en = told["zh"], told["en"]
        else:
            zh, en = (words.format(**told) for words in _WORDS.get(error["type"], ("写法不对", "is wrong")))
            zh = zh.replace("' or '", "' 或 '")
        self._add(steps, zh, en, variable=variable)

    def _unknown(self, steps: Steps, variable: str) -> None:
        """Add the fault of a key that nobody declared, with the nearest one that somebody did."""
        place = next((n for n in range(len(steps)) if _keys(steps[:n]) and steps[n] not in _keys(steps[:n])), None)
        near = [] if place is None else difflib.get_close_matches(str(steps[place]), _keys(steps[:place]), 1, 0.6)
        zh, en = (f"；是不是想写 “{near[0]}”？", f'; did you mean "{near[0]}"?') if near else ("", "")
        self._add(steps, f"没有这个键{zh}", f"unknown key{en}", variable=variable)

    def _demand(self, settings: Settings) -> None:
        """Add what enabled channels lack, and channels that this version does not have."""
        for path, table in settings.tables():
            for key, zh, en in table.lacks():
                self._lack((*path, key), zh, en)
            if path[0] == "channels" and getattr(table, "enabled", False) and not _built(str(path[1])):
                self._lack((*path, "enabled"), "这个版本还没有这个渠道", "this version has no such channel yet")

    def _lack(self, steps: Steps, zh: str, en: str) -> None:
        variable = self._variable(steps)
        if not variable and not _holds(self._document.data, steps[:-1]):
            variable = PREFIX + "__".join(map(str, steps)).upper()
        self._add(steps, zh, en, variable=variable)

    def _variable(self, steps: Steps) -> str:
        """The variable that set the value at `steps` or, for a table that the file lacks, a part of it."""
        for length in range(len(steps), 0, -1):
            if steps[:length] in self._variables:
                return self._variables[steps[:length]]
        inside = [name for path, name in self._variables.items() if path[: len(steps)] == steps]
        return inside[0] if inside and not _holds(self._document.data, steps) else ""

    def _language(self, raw: dict[str, Any]) -> str:
        service = raw.get("service")
        chosen = service.get("language") if isinstance(service, dict) else None
        if chosen in ("zh", "en"):
            return str(chosen)
        spoken = next(filter(None, map(self._environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
        return "en" if spoken.lower().startswith("en") else "zh"


def _kind(steps: Steps) -> Any:
    """What stands at `steps` by the model: a Table, a dict of them, or a plain type; None where there is nothing."""
    kind: Any = Settings
    for step in steps:
        if isinstance(kind, type) and issubclass(kind, Table):
            kind = kind.model_fields[str(step)].annotation if step in kind.model_fields else None
        else:
            kind = get_args(kind)[1] if get_origin(kind) is dict else None
    return kind


def _keys(steps: Steps) -> list[str]:
    kind = _kind(steps)
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, Table) else []


def _annotation(steps: Steps) -> Any:
    """The type of the key at `steps`; None when there is no such key, or a table."""
    return None if _keys(steps) or get_origin(_kind(steps)) is dict else _kind(steps)


def _converted(text: str, annotation: Any) -> Any:
    """`text` as the key wants it; unchanged where it cannot be, so that the check names it."""
    if annotation is bool:
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    if annotation is int:
        return int(text) if re.fullmatch(r"-?\d{1,18}", text) else text
    if get_origin(annotation) is list:
        if not text.startswith("["):
            return [one.strip() for one in text.split(",")]
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _put(raw: dict[str, Any], steps: Steps, value: Any) -> None:
    """Set the value at `steps`, unless the file has something else than a table on the way: that is its own fault."""
    table: Any = raw
    for step in steps[:-1]:
        table = table.setdefault(step, {})
        if not isinstance(table, dict):
            return
    table[steps[-1]] = value


def _holds(data: Any, steps: Steps) -> bool:
    for step in steps:
        if not isinstance(data, dict) or step not in data:
            return False
        data = data[step]
    return True


def _built(channel: str) -> bool:
    return (Path(__file__).parent / "channels" / f"{channel}.py").exists()
