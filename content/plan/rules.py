"""What the clauses of a plan owe each other: budget lines, named files, dates, sums, and what this version runs.

Every rule takes the readable parts only, so a broken clause silences no other. It knows no law and no platform; those
are in `lawful`.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from content.faults import Said
from content.plan.model import CLAUSES
from content.plan.offers import Points
from content.plan.reading import Finding, Path, written
from content.plan.small import REST
from content.plan.terms import Gain, Table, show_fen

LEAVE_WORDS = frozenset({"退订", "stop", "恢复接收", "start"})  # always work, whatever a plan says


def tables(part: Any, path: Path) -> Iterator[tuple[Path, Table]]:
    """Every table of a part with its path, the part itself first."""
    if isinstance(part, tuple):
        for index, item in enumerate(part):
            yield from tables(item, (*path, index))
    elif isinstance(part, Table):
        yield path, part
        for name, field in type(part).model_fields.items():
            yield from tables(getattr(part, name), (*path, field.alias or name))


def _every(parts: Mapping[str, Any]) -> Iterator[tuple[Path, Table]]:
    for key, part in parts.items():
        yield from tables(part, (key,))


def budget_lines(parts: Mapping[str, Any]) -> Iterator[Finding]:
    """Every `line` names a line of the budget."""
    budget = parts.get("budget")
    if budget is None:
        return
    names = [line.id for line in budget.lines]
    for path, table in _every(parts):
        name = getattr(table, "line", None)
        if isinstance(name, str) and name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
            yield (
                (*path, "line"),
                "fault",
                Said(
                    f"预算里没有科目 {name}",
                    f"the budget has no line {name}",
                    f"是不是 {near[0]}？" if near else f"现有科目：{'、'.join(names)}",
                    f"did you mean {near[0]}?" if near else f"lines: {', '.join(names)}",
                ),
            )


def named_files(parts: Mapping[str, Any], files: Collection[str]) -> Iterator[Finding]:
    """Every quiz, poster and picture that the plan names lies beside it; a poster is a folder."""
    folders = {name.removesuffix("/poster.toml") for name in files if name.endswith("/poster.toml")}
    for path, table in _every(parts):
        for key in ("file", "poster", "picture"):
            name = getattr(table, key, None)
            known = folders if key == "poster" else files
            if isinstance(name, str) and name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                yield (
                    (*path, key),
                    "fault",
                    Said(
                        f"找不到{'海报' if key == 'poster' else '文件'} {name}",
                        f"no such {'poster' if key == 'poster' else 'file'}: {name}",
                        f"是不是 {near[0]}？" if near else "路径从方案文件夹算起",
                        f"did you mean {near[0]}?" if near else "paths start at the plan's folder",
                    ),
                )


def own_poster(parts: Mapping[str, Any], files: Collection[str]) -> Iterator[Finding]:
    """The poster that referrers get lies in the folder of posters."""
    referral = parts.get("referral")
    own = referral.poster if referral else None
    names = sorted({name.split("/")[1].removesuffix(".toml") for name in files if name.startswith("posters/")})
    if own and own.use not in names:
        near = difflib.get_close_matches(own.use, names, n=1)
        yield (
            ("referral", "poster", "use"),
            "fault",
            Said(
                f"没有海报 {own.use}",
                f"no such poster: {own.use}",
                f"是不是 {near[0]}？" if near else f"现有海报：{'、'.join(names)}",
                f"did you mean {near[0]}?" if near else f"posters: {', '.join(names)}",
            ),
        )


def repeated_ids(parts: Mapping[str, Any]) -> Iterator[Finding]:
    """Within one list no id comes twice, and no keyword stands for two things or hides a leave word."""
    seen: set[tuple[Path, str]] = set()
    for path, table in _every(parts):
        name = getattr(table, "id", None)
        if isinstance(name, str) and path[0] != "budget":
            if (path[:-1], name) in seen:
                yield (*path, "id"), "fault", Said(f"代号重复：{name}", f"id used twice: {name}")
            seen.add((path[:-1], name))
    words: set[str] = set()
    for index, keyword in enumerate(parts.get("keywords") or ()):
        for word in (one.strip().lower() for one in keyword.words):
            if word in LEAVE_WORDS:
                yield (
                    ("keywords", index, "words"),
                    "fault",
                    Said(
                        f"「{word}」是退订指令，不能另作他用", f"“{word}” is a leave word and cannot mean anything else"
                    ),
                )
            elif word in words:
                yield (
                    ("keywords", index, "words"),
                    "fault",
                    Said(f"「{word}」出现两次", f"“{word}” stands for two things"),
                )
            words.add(word)


def hidden_commands(parts: Mapping[str, Any], words: Mapping[str, tuple[str, str]]) -> Iterator[Finding]:
    """No keyword takes the place of another of the commands that `words` are."""
    for index, keyword in enumerate(parts.get("keywords") or ()):
        stands_for = words.get(keyword.says.strip().casefold())
        for word in keyword.words:
            command = words.get(word.strip().casefold())
            if command and stands_for and command != stands_for:
                yield (
                    ("keywords", index, "words"),
                    "warning",
                    Said(
                        f"「{word}」本来是另一个指令，写在这里就成了「{keyword.says}」",
                        f"“{word}” is a command of its own, and becomes “{keyword.says}” here",
                        "不是有意的就去掉",
                        "take it out unless you mean it",
                    ),
                )


def articles(parts: Mapping[str, Any], files: Collection[str]) -> Iterator[Finding]:
    """The body of every article lies beside the plan in each language."""
    social, languages = parts.get("social"), parts.get("languages") or ()
    for index, push in enumerate((social.pushes if social else None) or ()):
        for name in (f"{push.article.body}.{language}.md" for language in languages) if push.article else ():
            if name not in files:
                path = ("social", "pushes", index, "article", "body")
                yield path, "fault", Said(f"找不到文件 {name}", f"no such file: {name}")


def buttons(parts: Mapping[str, Any], words: Collection[str]) -> Iterator[Finding]:
    """What the buttons of pushes say is understood: one of the commands' `words`, or an extra word of the plan."""
    social = parts.get("social")
    known = {*words, *(one.strip().casefold() for extra in parts.get("keywords") or () for one in extra.words)}
    for index, push in enumerate((social.pushes if social else None) or ()):
        for place, button in enumerate(push.buttons or ()):
            for said in dict.fromkeys(one for _, one in button.items()):
                if said.strip().casefold().removeprefix("/") not in known:
                    near = difflib.get_close_matches(said, known, n=1)
                    yield (
                        ("social", "pushes", index, "buttons", place),
                        "fault",
                        Said(
                            f"按钮“{said}”不是机器人听得懂的话",
                            f"the button {said!r} is nothing that the bot understands",
                            f"是不是 {near[0]}？" if near else "写一个指令，或先加到 [[keywords]]",
                            f"did you mean {near[0]}?" if near else "write a command, or add it to [[keywords]] first",
                        ),
                    )


def dates(parts: Mapping[str, Any]) -> Iterator[Finding]:
    """Pushes and articles lie inside the window; training and the stress test end before it."""
    window, zone = parts.get("window"), parts.get("zone")
    if window is None or zone is None:
        return
    social, media = parts.get("social"), parts.get("media")
    start, end = (instant.astimezone(zone).replace(tzinfo=None) for instant in (window.start, window.end))
    for index, push in enumerate((social.pushes if social else None) or ()):
        if push.at and not start <= push.at < end:
            path = ("social", "pushes", index, "at")
            yield path, "fault", Said("推送时间不在活动期内", "this push lies outside the window")
    for index, article in enumerate(media.articles if media else ()):
        if not start <= datetime.combine(article.on, datetime.min.time()) < end:
            path = ("media", "articles", index, "on")
            yield path, "warning", Said("刊发日期不在活动期内", "published outside the window")
    for key in ("training", "stress-test"):
        part = parts.get(key)
        if part and part.by > window.start:
            yield (key, "by"), "warning", Said("应在活动开始前完成", "should be done before the start")


def left_out(parts: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[Finding]:
    """`without` names clauses, and only ones that are not there."""
    for index, name in enumerate(parts.get("without") or ()):
        path: Path = ("without", index)
        if name == REST:
            continue
        if name not in CLAUSES:
            near = difflib.get_close_matches(name, CLAUSES, n=1)
            hint = (f"是不是 {near[0]}？", f"did you mean {near[0]}?") if near else ("", "")
            yield path, "fault", Said(f"没有这个条款：{name}", f"no such clause: {name}", *hint)
        elif written(data, name):
            yield path, "fault", Said(f"[{name}] 又写了又说不做", f"[{name}] is both written and left out")


def _cost(gain: Gain | None, points: Points | None) -> int:
    if gain is None:
        return 0
    if gain.kind == "points":
        return gain.count * ((points.worth if points else 0) or 0)
    return gain.count if gain.kind == "credit" else 0


def needs(parts: Mapping[str, Any]) -> Iterator[tuple[Path, str, int]]:
    """What each clause will take from its budget line if all comes as expected: (path, line, fen)."""
    points, joining, referral = parts.get("points"), parts.get("joining"), parts.get("referral")
    if points:
        yield ("points", "expected"), points.line, (points.expected or 0) * (points.worth or 0)
    if joining:
        each = (joining.credit or 0) + max(package.cost or 0 for package in joining.packages)
        yield ("joining", "expected"), joining.line, (joining.expected or 0) * each
    if referral:
        each = _cost(referral.referrer, points) + _cost(referral.referee, points)
        yield ("referral", "expected"), referral.line, (referral.expected or 0) * each
    if redemption := parts.get("redemption"):
        worth = (points.worth if points else 0) or 0
        short = (max(0, (gift.worth or 0) - (gift.price or 0) * worth) * (gift.stock or 0) for gift in redemption.gifts)
        yield ("redemption", "gifts"), redemption.line, sum(short)
    if entitlements := parts.get("entitlements"):
        partners = sum((partner.stock or 0) * (partner.worth or 0) for partner in entitlements.partners)
        yield ("entitlements", "cost"), entitlements.line, (entitlements.cost or 0) + partners
    social = parts.get("social")
    if social and social.lottery:
        prizes = sum((prize.quantity or 0) * (prize.worth or 0) for prize in social.lottery.prizes)
        yield ("social", "lottery", "prizes"), social.lottery.line, prizes
    for path, table in _every({key: parts.get(key) for key in ("site", "social", "offline")}):
        if hasattr(table, "line") and (cost := getattr(table, "cost", None)):
            yield (*path, "cost"), str(table.line), cost
    if media := parts.get("media"):
        for index, article in enumerate(media.articles):
            yield ("media", "articles", index, "cost"), media.line, article.cost or 0


def sums(parts: Mapping[str, Any]) -> Iterator[Finding]:
    """What the clauses will take fits their budget lines."""
    budget = parts.get("budget")
    taken: dict[str, int] = {}
    for path, name, fen in needs(parts):
        line = budget.line(name) if budget else None
        before, taken[name] = taken.get(name, 0), taken.get(name, 0) + fen
        if line and line.amount is not None and before <= line.amount < taken[name]:
            had, need = show_fen(line.amount), show_fen(taken[name])
            yield (
                path,
                "warning",
                Said(
                    f"按预计要用 {need}，科目 {name} 只有 {had}",
                    f"expected to take {need}, but line {name} has {had}",
                    "改预计数、单价或预算",
                    "change what is expected, the price or the budget",
                ),
            )


def not_running(data: Mapping[str, Any], runs: frozenset[str]) -> Iterator[Finding]:
    """A note for every clause of the plan that this version does not run yet."""
    for name, (zh, en) in CLAUSES.items():
        if written(data, name) and name not in runs:
            said = Said(
                f"「{zh}」已写进方案，这个版本还不执行", f"{en}: read and kept, but this version does not run it yet"
            )
            yield tuple(name.split(".")), "note", said
