"""What people read about a plan: what changed between two, an outline of one, and its files written out again.

Differences are found in the data and told by key; what stands in the files is given back byte for byte. It decides
nothing about whether a change is allowed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Literal, NamedTuple

from content.bundle import MARK, PLAN, Bundle
from content.plan.model import CLAUSES, Plan, described
from content.plan.reading import Path as Steps
from content.plan.terms import Gain, Table, Written, show_fen
from content.plan.texts import Text
from content.plan.worth import KINDS, Budget

Kind = Literal["added", "removed", "changed"]
KIND_WORDS: dict[Kind, tuple[str, str]] = {
    "added": ("新增", "added"),
    "removed": ("删去", "removed"),
    "changed": ("改动", "changed"),
}


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `key` is empty for whole files; `line` is the new file's, 0 when the thing is gone."""

    kind: Kind
    file: str
    line: int
    key: str
    old: Any = None
    new: Any = None

    def text(self, language: str) -> str:
        """The change on one line: `plan.toml:52: changed checkin.points: 5 → 8`."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        word = KIND_WORDS[self.kind][0 if language == "zh" else 1]
        if not self.key:
            return f"{place}: {word}"
        sides = {"added": _plain(self.new), "removed": _plain(self.old)}
        return f"{place}: {word} {self.key}: {sides.get(self.kind, f'{_plain(self.old)} → {_plain(self.new)}')}"

    def tree(self) -> dict[str, Any]:
        """The change as plain JSON."""
        whole = {"kind": self.kind, "file": self.file, "line": self.line, "key": self.key}
        return whole | {"old": _json(self.old), "new": _json(self.new)}


class Row(NamedTuple):
    """One line of an outline: the clause, the term below it (empty for the clause itself), and the value in words."""

    clause: str
    term: str
    value: str


def changes(old: Bundle, new: Bundle) -> list[Change]:
    """Every key of the plan that was added, removed or changed, then every other file that was.

    Items of lists are matched by their `id` where they have one, so that a new first item is one addition. Raises
    TomlFault when either plan is not TOML.
    """
    document = new.document()
    before, after = dict(_leaves(old.document().data)), dict(_leaves(document.data))
    found: list[Change] = []
    for key in [*after, *(key for key in before if key not in after)]:
        was, now = before.get(key), after.get(key)
        if was is None and now is not None:
            found.append(Change("added", PLAN, document.line(now[0]), key, None, now[1]))
        elif now is None and was is not None:
            found.append(Change("removed", PLAN, 0, key, was[1], None))
        elif was is not None and now is not None and was[1] != now[1]:
            found.append(Change("changed", PLAN, document.line(now[0]), key, was[1], now[1]))
    found.sort(key=lambda change: (change.line == 0, change.line))
    if not found and old.files[PLAN] != new.files[PLAN]:
        found.append(Change("changed", PLAN, 0, ""))
    for name in sorted((old.files.keys() | new.files.keys()) - {PLAN}):
        if name not in old.files:
            found.append(Change("added", name, 0, ""))
        elif name not in new.files:
            found.append(Change("removed", name, 0, ""))
        elif old.hashes[name] != new.hashes[name]:
            found.append(Change("changed", name, 0, ""))
    return found


def _leaves(data: Any, steps: Steps = (), label: str = "") -> Iterator[tuple[str, tuple[Steps, Any]]]:
    if isinstance(data, Mapping) and data:
        for key, value in data.items():
            yield from _leaves(value, (*steps, key), f"{label}.{key}" if label else str(key))
    elif isinstance(data, list) and data and all(isinstance(item, Mapping) for item in data):
        ids = [item.get("id") for item in data]
        named = all(isinstance(one, str) for one in ids) and len(set(ids)) == len(ids)
        for index, item in enumerate(data):
            yield from _leaves(item, (*steps, index), f"{label}[{ids[index] if named else index}]")
    else:
        yield label, (steps, data)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]"
    return str(value)


def _json(value: Any) -> Any:
    if isinstance(value, list):
        return [_json(item) for item in value]
    return value.isoformat() if isinstance(value, datetime | date | time) else value


def export(bundle: Bundle, folder: Path, revision: int | None = None) -> list[Path]:
    """Write every file back byte for byte below `folder` and return their paths; `revision` is marked beside them.

    Raises FileExistsError, having written nothing, when a file with other contents is in the way.
    """
    places = {folder / name: raw for name, raw in bundle.files.items()}
    if revision is not None:
        places[folder / MARK] = f"{revision}\n".encode()
    for place, raw in places.items():
        if place.exists() and place.read_bytes() != raw:
            raise FileExistsError(str(place))
    for place, raw in places.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(raw)
    return list(places)


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """The plan as plain JSON: fen, megabytes, ISO instants and spans, fractions as text, and the budget's sums."""
    tree = plan.model_dump(mode="json", by_alias=True)
    tree["budget"] |= {
        "subtotals": {kind: plan.budget.subtotal(kind) for kind in KINDS},
        "total": plan.budget.total,
    }
    return tree | {"off": sorted(plan.off)}


def show(plan: Plan, language: str) -> list[Row]:
    """An outline of the plan in its order: (clause, term, value), with the budget's subtotals and total."""
    rows: list[Row] = []
    for name, field in type(plan).model_fields.items():
        key = field.alias or name
        value = getattr(plan, name)
        clause = _named(CLAUSES.get(key), language) or _label(field, key, language)
        if value == ():
            continue
        if value is None:
            rows.append(Row(clause, "", _say("未写", "not there", language)))
        elif isinstance(value, Table) or key in ("keywords", "segments"):
            rows += [Row(clause, label, said) for label, said in _terms(value, plan, language, ())]
        else:
            rows.append(Row(clause, "", _shown(value, field, plan, language)))
        if isinstance(value, Budget):
            sums = [(words, value.subtotal(kind)) for kind, words in KINDS.items()]
            for words, fen in [*sums, (("合计", "total"), value.total)]:
                rows.append(Row(clause, _say(*words, language), _money(fen, plan, language)))
    return rows


def _terms(part: Any, plan: Plan, language: str, above: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(part, tuple):
        for index, item in enumerate(part):
            name = getattr(item, "id", str(index + 1))
            yield from _terms(item, plan, language, (*above[:-1], f"{above[-1] if above else ''} {name}".strip()))
        return
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        here = (*above, _label(field, field.alias or name, language))
        if value is None and not described(field).get("amount"):
            continue
        tables = isinstance(value, tuple) and any(isinstance(item, Table) for item in value)
        if tables or (isinstance(value, Table) and not isinstance(value, Gain)):
            yield from _terms(value, plan, language, here)
        elif name != "id":
            yield " · ".join(here), _shown(value, field, plan, language)


def _shown(value: Any, field: Any, plan: Plan, language: str) -> str:
    if value is None:
        return _say("未填", "unset", language)
    if isinstance(value, Text):
        return value[language] if language in plan.languages else value[plan.languages[0]]
    if isinstance(value, Gain):
        kind = type(value).model_fields[value.kind]
        return f"{_label(kind, value.kind, language)} {_shown(getattr(value, value.kind), kind, plan, language)}"
    if isinstance(value, datetime):
        return (value.astimezone(plan.zone) if value.tzinfo else value).strftime("%Y-%m-%d %H:%M")
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)
    mark = next((mark for mark in field.metadata if isinstance(mark, Written)), None)
    if mark and mark.show is show_fen:
        return _money(value, plan, language)
    return mark.show(value) if mark else str(value)


def _money(fen: int, plan: Plan, language: str) -> str:
    unit = _say("元", "yuan", language) if plan.currency == "CNY" else plan.currency
    return f"{show_fen(fen)} {unit}"


def _label(field: Any, key: str, language: str) -> str:
    names = described(field)
    return str(names.get("zh" if language == "zh" else "en", key))


def _say(zh: str, en: str, language: str) -> str:
    return zh if language == "zh" else en


def _named(words: tuple[str, str] | None, language: str) -> str:
    return _say(*words, language) if words else ""
