"""`python -m benchmarks [names]`: measure, and print a table of medians and ratios, or one JSON document.

Exit codes: 0 measured (whether or not the goals are met), 1 the figures mean nothing, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import backups, cases, machine, posters, pushes, servers, telegram

HOME = servers.ROOT / ".bench"
CASES = cases.CASES | {"sending": telegram.sending, "hearing": telegram.hearing, "posters": posters.measure}
CASES |= {"backup": backups.measure, "pushes": pushes.measure}
NAMES = {
    "known": ("口口：已知用户签到，SQLite", "Koukou: known person checks in, SQLite"),
    "werobot": ("WeRoBot 1.13.1：回声，默认会话", "WeRoBot 1.13.1: echo, default session"),
    "werobot_bare": ("WeRoBot 1.13.1：回声，不存储", "WeRoBot 1.13.1: echo, no storage"),
    "again": ("口口：今天已签到，SQLite", "Koukou: has checked in already, SQLite"),
    "new": ("口口：陌生人第一句话，SQLite", "Koukou: first contact, SQLite"),
    "postgres_1": ("口口：PostgreSQL，一个节点", "Koukou: PostgreSQL, one node"),
    "postgres_2": ("口口：PostgreSQL，两个节点", "Koukou: PostgreSQL, two nodes"),
    "few": ("口口：用户少，SQLite", "Koukou: few subscribers, SQLite"),
    "poster": ("口口：推荐海报，称呼和二维码每次不同", "Koukou: referral poster, name and code differ each time"),
    "poster_plain": ("Pillow + qrcode 直接写：同一张海报", "Pillow + qrcode, written plainly: the same poster"),
    "many": ("口口：用户多，SQLite", "Koukou: many subscribers, SQLite"),
    "telegram_sent": ("口口：Telegram 发出，连同数据库", "Koukou: sent on Telegram, database and all"),
    "ptb_sent": ("python-telegram-bot 22.8：发出", "python-telegram-bot 22.8: sent"),
    "telegram_heard": (
        "口口：Telegram 收到并回复，连同数据库",
        "Koukou: heard and answered on Telegram, database and all",
    ),
    "backup_sqlite": ("备份：SQLite → SQLite", "backup: SQLite to SQLite"),
    "backup_moved": ("备份：SQLite → PostgreSQL", "backup: SQLite to PostgreSQL"),
    "backup_postgres": ("备份：PostgreSQL → PostgreSQL", "backup: PostgreSQL to PostgreSQL"),
    "push_opened": ("推送：给每个人一行，分片，服务照常", "push: a row for everybody, in slices, while serving"),
    "bare_insert": ("同样的行：一条 INSERT…SELECT", "the same rows: one INSERT…SELECT"),
    "inbound_idle": ("推送之前收到并回复", "heard and answered before the push"),
    "push_settled": ("推送：领取并了结，渠道立即应答", "push: claimed and settled, the channel answers at once"),
    "procrastinate": ("Procrastinate 3.10：空任务", "Procrastinate 3.10: jobs that do nothing"),
    "held_1": ("每秒 30 条的平台，群发加回复，一个节点", "30 in any second, broadcast and replies, one node"),
    "held_3": ("每秒 30 条的平台，群发加回复，三个节点", "30 in any second, broadcast and replies, three nodes"),
    "aiogram": ("aiogram 3.31：收到并回复，不存储", "aiogram 3.31: heard and answered, no storage"),
}
COLUMNS = {
    "rate": ("条/秒", "messages/s"),
    "cpu": ("CPU µs/条", "CPU µs/message"),
    "cpu_database": ("数据库 CPU µs/条", "database CPU µs/message"),
    "p50": ("p50 毫秒", "p50 ms"),
    "p99": ("p99 毫秒", "p99 ms"),
    "megabytes": ("库 MB", "database MB"),
    "file": ("备份 MB", "backup MB"),
    "create": ("备份 秒", "create s"),
    "verify": ("核对 秒", "verify s"),
    "restore": ("恢复 秒", "restore s"),
    "first": ("首行 秒", "first row s"),
    "whole": ("全部 秒", "whole s"),
    "share": ("占限额 %", "share of limit %"),
    "refused": ("429 次数", "429s"),
    "memory": ("内存 MB", "memory MB"),
}


def main() -> int:
    """Measure what the command line names."""
    asked = _arguments()
    english = os.environ.get("LC_ALL", os.environ.get("LANG", "")).lower().startswith("en")
    screen = Console(stderr=asked.json)
    shutil.rmtree(HOME / "run", ignore_errors=True)
    home = HOME / "run"
    home.mkdir(parents=True)
    python = servers.prepare(HOME) if asked.names != ["posters"] else HOME  # which needs no peer
    servers.plan(home)
    options = cases.Options(home, python, asked.seconds, asked.runs, asked.many)
    about = {"measured_at": datetime.now(UTC).isoformat(timespec="seconds"), **machine.described()}
    about |= {"seconds": asked.seconds, "runs": asked.runs, "callers": cases.CALLERS, "many": asked.many}
    about["fdatasync_us"] = machine.sync_times(home)
    found: dict[str, list[cases.Figures]] = {}
    try:
        with screen.status("") as status:
            for name in asked.names or CASES:
                found |= CASES[name](options, status.update)
    except cases.Wrong as wrong:
        screen.print(f"! {wrong}", style="red")
        return 1
    about["fdatasync_us_after"] = machine.sync_times(home)
    shutil.rmtree(home, ignore_errors=True)
    middle = cases.medians(found)
    if asked.json:
        print(json.dumps({"about": about, "medians": middle, "goals": _goals(middle), "runs": found}, indent=1))
    _show(screen, about, middle, english)
    return 0


def _arguments() -> Any:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"which: {', '.join(CASES)} (default all)")
    parser.add_argument("--seconds", type=float, default=4.0, help="load per measurement (default 4)")
    parser.add_argument("--runs", type=int, default=5, help="interleaved runs of everything (default 5)")
    parser.add_argument(
        "--quick", action="store_true", help="one run of 1 s each and 100,000 subscribers: a trial only"
    )
    parser.add_argument("--small", action="store_true", help="100,000 subscribers instead of 1,000,000")
    parser.add_argument("--people", type=int, help="so many subscribers instead; 420000 make a gigabyte to back up")
    parser.add_argument("--json", action="store_true", help="print one JSON document; the table goes to standard error")
    asked = parser.parse_args()
    unknown = set(asked.names) - set(CASES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if asked.seconds <= 0 or asked.runs < 1:
        parser.error("--seconds and --runs must be positive")
    if asked.quick:
        asked.seconds, asked.runs = 1.0, 1
    asked.many = asked.people or (cases.MANY_SMALL if asked.small or asked.quick else cases.MANY)
    return asked


def _show(screen: Console, about: dict[str, Any], middle: dict[str, cases.Figures], english: bool) -> None:
    # Backups have figures of their own: columns that nothing measured here fills are left out.
    columns = [column for column in COLUMNS if any(column in figures for figures in middle.values())]
    table = Table("", *(COLUMNS[column][english] for column in columns))
    for name, label in NAMES.items():
        if name in middle:
            figures = (middle[name].get(column) for column in columns)
            table.add_row(label[english], *("" if figure is None else f"{figure:,.1f}" for figure in figures))
    screen.print(table)
    goals = Table(*(("目标", "实测", "界限", "达到"), ("goal", "measured", "bound", "met"))[english])
    for goal, value in cases.judged(middle):
        what = f"{COLUMNS[goal.figure][english]}: {NAMES[goal.ours][english]}"
        if goal.other:
            what += f" ÷ {NAMES[goal.other][english]}"
        met = (("否", "no"), ("是", "yes"))[goal.met(value)][english]
        goals.add_row(what, f"{value:.2f}", f"{'≥' if goal.at_least else '≤'} {goal.bound:g}", met)
    if goals.row_count:
        screen.print(goals)
    sync, after = about["fdatasync_us"], about["fdatasync_us_after"]
    screen.print(
        f"fdatasync 4 KiB: {sync[0]:.0f} µs (p99 {sync[1]:.0f}) → {after[0]:.0f} µs (p99 {after[1]:.0f}); "
        f"{about['cores']} × {about['processor']}; load {about['load_before']:.1f}; {about['measured_at']}"
    )


def _goals(middle: dict[str, cases.Figures]) -> list[dict[str, Any]]:
    return [
        {
            **{"figure": goal.figure, "ours": goal.ours, "other": goal.other or None, "value": value},
            **{"bound": goal.bound, "at_least": goal.at_least, "met": goal.met(value)},
        }
        for goal, value in cases.judged(middle)
    ]


if __name__ == "__main__":
    sys.exit(main())
