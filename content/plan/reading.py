"""From raw TOML data to the parts of a plan, with every unknown key, wrong value and unset amount named by its path.

Each top-level part is read by itself, so that one broken clause hides no fault of another. It knows no file and no
line; callers put paths to lines.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from content.faults import Said, Severity
from content.plan.model import CLAUSES, Plan, described
from content.plan.small import completed, is_small
from content.plan.terms import CURRENCY, UNSET, Table, Written, in_english

Path = tuple[str | int, ...]
Finding = tuple[Path, Severity, Said]

WORDS: dict[str, tuple[str, str]] = {
    "string_type": ("要写成带引号的文字", "must be text in quotes"),
    "string_too_short": ("不能为空", "must not be empty"),
    "string_too_long": ("太长", "too long"),
    "string_pattern_mismatch": ("写法不对：{pattern}", "not of the form {pattern}"),
    "tuple_type": ("要写成列表", "must be a list"),
    "model_type": ("要写成一张表", "must be a table"),
    "model_attributes_type": ("要写成一张表", "must be a table"),
    "bool_type": ("写 true 或 false，不加引号", "must be true or false, without quotes"),
    "dict_type": ("要按语言写，例如 .zh = …", "must be written by language, e.g. .zh = …"),
    "too_short": ("至少 {min_length} 项", "needs at least {min_length}"),
}


CLOCKS = {  # families of pydantic's error names, the longer first
    "datetime": ("日期时间", "a date and time", "2026-11-05T10:00:00"),
    "date": ("日期", "a date", "2026-11-05"),
    "time": ("时间", "a time of day", "09:00:00"),
}


def keys_of(table: type[Table]) -> dict[str, FieldInfo]:
    """The keys a table may have, as written in the file."""
    return {field.alias or name: field for name, field in table.model_fields.items()}


def inner(annotation: Any) -> tuple[type[Table] | None, bool]:
    """The table that a key holds, and whether it holds a list of them; (None, …) when it is a plain value."""
    if get_origin(annotation) in (Union, types.UnionType):
        return inner(next(arg for arg in get_args(annotation) if arg is not type(None)))
    if get_origin(annotation) is tuple:
        return inner(get_args(annotation)[0])[0], True
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return annotation, False
    return None, False


def dotted(path: Path) -> str:
    """`social.pushes[2].text`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


@cache
def _adapters() -> dict[str, TypeAdapter[Any]]:
    def adapter(field: FieldInfo) -> TypeAdapter[Any]:
        form: Any = Annotated[(field.annotation, *field.metadata, None)]
        return TypeAdapter(form)

    return {key: adapter(field) for key, field in keys_of(Plan).items()}


def written(data: Mapping[str, Any], clause: str) -> bool | None:
    """Whether a clause stands in the file; None when the clause that would hold it does not."""
    holder, _, last = clause.rpartition(".")
    table = data.get(holder) if holder else data
    return last in table if isinstance(table, Mapping) else None


def context_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """What values need to know of the plan around them: zone, currency, languages; sane ones where those are wrong."""
    languages, currency = data.get("languages"), data.get("currency")
    try:
        zone = ZoneInfo(data.get("zone", "UTC"))
    except (KeyError, ValueError, TypeError, OSError):
        zone = ZoneInfo("UTC")
    return {
        "zone": zone,
        "currency": currency if isinstance(currency, str) and CURRENCY.fullmatch(currency) else "CNY",
        "languages": [one for one in languages if isinstance(one, str)] if isinstance(languages, list) else [],
    }


def parts_of(data: Mapping[str, Any]) -> tuple[dict[str, Any], list[Finding]]:
    """Every readable top-level part by its key, and what is wrong with the others; a small plan's are completed."""
    data = completed(data)
    context, adapters = context_of(data), _adapters()
    parts: dict[str, Any] = {}
    wrong: list[Finding] = [_unknown((key,)) for key in data if key not in adapters]
    for key, field in keys_of(Plan).items():
        if key not in data:
            if field.is_required():
                wrong.append(_missing((key,), field))
            continue
        try:
            parts[key] = adapters[key].validate_python(data[key], context=context)
        except ValidationError as error:
            details = error.errors(include_url=False)
            wrong += [_finding(key, detail) for detail in details if not _is_empty_by_its_items(detail)]
    return parts, wrong


def _finding(key: str, detail: ErrorDetails) -> Finding:
    path: Path = (key, *detail["loc"])
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "plan":
        return (*path, context["below"]) if context["below"] else path, "fault", context["said"]
    if kind == "missing":
        return _missing(path, _field_at(path))
    if kind == "extra_forbidden":
        return _unknown(path)
    return path, "fault", _words(kind, context, detail, _field_at(path))


def _words(kind: str, context: Mapping[str, Any], detail: ErrorDetails, field: FieldInfo | None) -> Said:
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", str(context["expected"]))
        near = difflib.get_close_matches(str(detail["input"]), allowed, n=1)
        hint = (f"是不是 {near[0]}？", f"did you mean {near[0]}?") if near else ("", "")
        return Said(f"只能是 {'、'.join(allowed)}", f"must be one of {', '.join(allowed)}", *hint)
    for family, (zh, en, example) in CLOCKS.items():
        if kind.startswith(family):
            value = detail["input"]
            return Said(
                f"{value!r} 不是{zh}", f"{value!r} is not {en}", f"写成 {example}，不加引号", f"no quotes: {example}"
            )
    example = next((mark.example for mark in field.metadata if isinstance(mark, Written)), "") if field else ""
    zh, en = WORDS.get(kind, ("看不懂 {input!r}", "cannot read this: {message}"))
    words = {**context, "input": detail["input"], "message": detail["msg"]}
    hints = (f'写成 "{example}"', f'e.g. "{in_english(example)}"') if example else ("", "")
    return Said(zh.format(**words), en.format(**words), *hints)


def _is_empty_by_its_items(detail: ErrorDetails) -> bool:
    """pydantic counts readable items only: a list whose items are all wrong is not itself too short."""
    return detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]


def _missing(path: Path, field: FieldInfo | None) -> Finding:
    names = described(field) if field else {}
    zh, en = names.get("zh", path[-1]), names.get("en", path[-1])
    return path, "fault", Said(f"缺少：{zh}", f"missing: {en}", f"加上 {path[-1]} = …", f"add `{path[-1]} = …`")


def _unknown(path: Path) -> Finding:
    table = _table_at(path[:-1])
    near = difflib.get_close_matches(str(path[-1]), keys_of(table) if table else (), n=1, cutoff=0.5)
    zh, en = (
        (f"是不是 {near[0]}？", f"did you mean `{near[0]}`?")
        if near
        else ("删掉，或核对拼写", "remove it, or check its spelling")
    )
    return path, "fault", Said("没有这个键", "unknown key", zh, en)


def _table_at(path: Path) -> type[Table] | None:
    table: type[Table] | None = Plan
    for step in path:
        if isinstance(step, str) and table:
            field = keys_of(table).get(step)
            table = inner(field.annotation)[0] if field else None
    return table


def _field_at(path: Path) -> FieldInfo | None:
    named = [index for index, step in enumerate(path) if isinstance(step, str)]
    table = _table_at(path[: named[-1]])
    return keys_of(table).get(str(path[named[-1]])) if table else None


def unset_in(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Every clause that is absent (and not left out on purpose) and every amount left open."""
    data, small = completed(data), is_small(data)
    without = data.get("without")
    left_out = set(map(str, without)) if isinstance(without, list) else set()
    for name, (zh, en) in CLAUSES.items():
        field = keys_of(Plan).get(name)
        if written(data, name) is not False or small or name in left_out or (field and field.is_required()):
            continue
        yield (
            tuple(name.split(".")),
            "unset",
            Said(
                f"方案里没有 [{name}]（{zh}），这一条不执行",
                f"the plan has no [{name}] ({en}): this clause is off",
                f'写上 [{name}]，或 without = ["{name}"]',
                f'write [{name}], or without = ["{name}"]',
            ),
        )
    yield from _unset_amounts(Plan, data, ())


def _is_open(value: Any) -> bool:
    return value == UNSET or (isinstance(value, Mapping) and all(one == UNSET for one in value.values()))


def _unset_amounts(table: type[Table], data: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    for key, field in keys_of(table).items():
        here, names = (*path, key), described(field)
        if names.get("amount"):
            if key not in data or _is_open(data[key]):
                yield here, "unset", _unset_words(field, names)
            continue
        below, many = inner(field.annotation)
        if below is None or key not in data:
            continue
        for index, item in enumerate(data[key]) if many and isinstance(data[key], list) else [(None, data[key])]:
            if isinstance(item, Mapping):
                yield from _unset_amounts(below, item, here if index is None else (*here, index))


def _unset_words(field: FieldInfo, names: Mapping[str, Any]) -> Said:
    mark = next((mark for mark in field.metadata if isinstance(mark, Written)), None)
    example = mark.example if mark else ""
    shown = example if example.isdigit() or example.startswith("{") else f'"{example}"'
    return Said(
        f"未填：{names['zh']}；所在条款暂不执行",
        f"unset: {names['en']}; its clause is off until then",
        f"填上，例如 {shown}",
        f"fill it in, e.g. {in_english(shown)}",
    )
