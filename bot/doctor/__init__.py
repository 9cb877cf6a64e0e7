"""What is wrong with an installation and how to mend it: checks that run side by side, each within its time.

A check is a plain function of a `Look` that yields findings; it changes nothing, shows no secret, and never raises for
what it came to find. What the checks look at is in the modules beside this one.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from bot.config import DEFAULT_FILE, PREFIX, Settings
from bot.logs import scrub
from bot.settings import Steps, dotted
from content import toml

Severity = Literal["ok", "warning", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found, in Chinese and English, with how to mend it and where it is set, if it is.

    `table` belongs to a finding about many things: rows of a name, whether it is so, and why, Chinese and English.
    """

    severity: Severity
    zh: str
    en: str
    mend_zh: str = ""
    mend_en: str = ""
    where: str = ""
    check: str = ""
    table: tuple[tuple[str, bool, str, str], ...] = ()

    def text(self, language: str) -> str:
        """What was found, in Chinese for `zh` and English otherwise, with its place in front."""
        said = self.zh if language == "zh" else self.en
        return f"{self.where}: {said}" if self.where else said

    def mend(self, language: str) -> str:
        """What to do about it; may be empty."""
        return self.mend_zh if language == "zh" else self.mend_en

    def tree(self) -> dict[str, Any]:
        """The finding as plain JSON."""
        found: dict[str, Any] = {
            "check": self.check,
            "severity": self.severity,
            "where": self.where,
            "message": {"zh": self.zh, "en": self.en},
            "mend": {"zh": self.mend_zh, "en": self.mend_en},
        }
        if self.table:
            found["table"] = [
                {"name": name, "able": able, "why": {"zh": zh, "en": en}} for name, able, zh, en in self.table
            ]
        return found


def ok(zh: str, en: str, **more: Any) -> Finding:
    """All is well."""
    return Finding("ok", zh, en, **more)


def warning(zh: str, en: str, mend_zh: str = "", mend_en: str = "", where: str = "") -> Finding:
    """It works, but should not stay so."""
    return Finding("warning", zh, en, mend_zh, mend_en, where)


def fault(zh: str, en: str, mend_zh: str = "", mend_en: str = "", where: str = "") -> Finding:
    """It does not work, or something will be lost."""
    return Finding("fault", zh, en, mend_zh, mend_en, where)


@dataclass
class Look:
    """What every check may look at. `config` is the settings file, or None for the default one."""

    settings: Settings
    config: Path | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    seconds: float = 5.0  # for one connection or one answer

    @property
    def file(self) -> Path:
        """The settings file, which may not exist."""
        return self.config or Path(DEFAULT_FILE)

    def where(self, *steps: str | int) -> str:
        """Where a key is set: its variable, or file, line and key; the key alone where it has its default."""
        path: Steps = steps
        name = PREFIX + "__".join(map(str, path)).upper()
        for variable in (name, name + "_FILE"):
            if self.environ.get(variable):
                return variable
        try:
            document = toml.read(self.file)
        except (OSError, toml.TomlFault):
            return dotted(path)
        held: Any = document.data
        for step in path:
            if not isinstance(held, dict) or step not in held:
                return dotted(path)
            held = held[step]
        return f"{self.file}:{document.line(path)}:{dotted(path)}"

    def accounts(self, channel: str) -> Iterator[tuple[str, Any, Steps]]:
        """The enabled accounts of a channel, each with its table and the path of it."""
        for account, table in self.settings.accounts(channel):
            if table.enabled:
                yield account, table, ("channels", channel, *(() if account == "main" else ("accounts", account)))


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its name, what it is called for people, what it does, whether it needs the network, its time."""

    name: str
    zh: str
    en: str
    look: Callable[[Look], Iterable[Finding]]
    outside: bool = False
    seconds: float = 12.0


def checks() -> list[Check]:
    """Every check there is, in the order in which they are shown."""
    from bot.doctor import accounts, configuration, database, machine, reach

    return [
        Check("settings", "设置", "settings", configuration.contradictions),
        Check("secrets", "密钥文件", "secret files", configuration.secret_files),
        Check("plan", "方案", "plan", configuration.plan, seconds=30.0),
        Check("database", "数据库", "database", database.database),
        Check("sealer", "账本的链", "the ledger's chain", database.sealing),
        Check("disk", "磁盘", "disk", machine.disk),
        Check("fonts", "字体", "fonts", machine.fonts, seconds=30.0),
        Check("outside", "外部主机和时钟", "outbound hosts and the clock", reach.outside, outside=True),
        Check("public", "公开网址和证书", "public URL and certificate", reach.public, outside=True),
        Check("callbacks", "平台回调", "callbacks", reach.callbacks, outside=True),
        Check("wechat", "公众号", "WeChat", accounts.wechat, outside=True, seconds=20.0),
        Check("telegram", "Telegram", "Telegram", accounts.telegram, outside=True),
    ]


def examine(look: Look, chosen: Sequence[Check]) -> Iterator[tuple[Check, list[Finding]]]:
    """Run the checks side by side and give each one's findings in order; one that takes too long is a fault itself."""
    began = time.monotonic()
    runs = [(check, _Run(check, look)) for check in chosen]
    for check, run in runs:
        run.thread.join(max(0.0, began + check.seconds - time.monotonic()))
        yield check, [replace(found, check=check.name) for found in run.findings()]


class _Run:
    """One check in a thread of its own, which is left behind when it does not end."""

    def __init__(self, check: Check, look: Look) -> None:
        self._check, self._look = check, look
        self._found: list[Finding] = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            for one in self._check.look(self._look):
                self._found.append(one)
        except Exception as broken:  # a check that breaks must not hide what the others found
            said = scrub(f"{type(broken).__name__}: {broken}")[:300]
            self._found.append(fault(f"检查没有做完：{said}", f"the check did not finish: {said}"))

    def findings(self) -> list[Finding]:
        """What it found so far."""
        found = list(dict.fromkeys(self._found))  # two doors behind one bad certificate say it once
        if not self.thread.is_alive():
            return found
        late = fault(
            f"{self._check.seconds:.0f} 秒内没有做完",
            f"not done within {self._check.seconds:.0f} s",
            "对方没有回应；检查网络和防火墙后再试",
            "the other side does not answer; look at network and firewall, then try again",
        )
        return [*found, late]
