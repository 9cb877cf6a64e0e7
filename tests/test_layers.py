"""The rules of the house that code alone can break: who imports whom, where outside packages live, clocks and secrets.

It reads the source and runs none of it, except the tables, whose defaults it inspects.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("bot", "campaigns", "content", "storage")

MAY_IMPORT = {
    "bot": {"bot", "campaigns", "content", "storage"},
    "campaigns": {"campaigns", "content", "storage"},
    "content": {"content"},
    "storage": {"storage"},
}
HOMES = {
    **dict.fromkeys(("telegram", "wechatpy", "starlette", "uvicorn", "fastapi", "apscheduler", "asyncio"), "bot"),
    **dict.fromkeys(("httpx", "requests", "aiohttp", "typer", "structlog", "prometheus_client", "jinja2"), "bot"),
    **dict.fromkeys(("argon2", "pyotp", "python_multipart"), "bot"),
    **dict.fromkeys(("sqlmodel", "sqlalchemy", "alembic", "psycopg", "pysqlite3", "sqlite3", "orjson"), "storage"),
    **dict.fromkeys(("qrcode", "PIL", "zxingcpp", "manimgx_fonts_cjk", "tree_sitter", "tree_sitter_toml"), "content"),
}
SECRET = re.compile(r"(^|_)(token|secret|signature|sign|password|mac|hmac)(_|$)")
# The platform's own access token against the one it refused: nobody outside sees how long that takes.
HARMLESS = {("bot/wechat/api.py", "token")}
CLOCK = re.compile(r"(?i)(?<![a-z])(now|utcnow|today|current_?(timestamp|time|date)|clock_timestamp|time_ns)(?![a-z])")


@cache
def modules() -> dict[str, ast.Module]:
    """Every source file of the rooms, by its path from the root, parsed."""
    files = [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))]
    return {file.relative_to(ROOT).as_posix(): ast.parse(file.read_text("utf-8"), str(file)) for file in files}


def imports(path: str, tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Each module that a file imports anywhere in it, by full name, with the line."""
    package = path.removesuffix(".py").removesuffix("/__init__").split("/")
    if not path.endswith("__init__.py"):
        package = package[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *filter(None, [node.module])])
            yield source, node.lineno
            yield from ((f"{source}.{alias.name}", node.lineno) for alias in node.names)


def faults_of_rooms(path: str, tree: ast.Module) -> list[str]:
    room = path.split("/")[0]
    found = set()
    for name, line in imports(path, tree):
        top = name.split(".")[0]
        if top in ROOMS and top not in MAY_IMPORT[room]:
            found.add(f"{path}:{line}: {room} must not import {top}")
        if HOMES.get(top, room) != room:
            found.add(f"{path}:{line}: {top} lives in {HOMES[top]}")
        if f"{name}.".startswith("bot.played.") and not path.startswith("bot/played/"):
            found.add(f"{path}:{line}: the service must not load bot.played")
        if top in ("tests", "benchmarks"):
            found.add(f"{path}:{line}: the service must not load {top}")
    return sorted(found)


def faults_of_late_imports(path: str, tree: ast.Module) -> list[str]:
    """On first use a part of a package that its package imports as well: a thread that begins with the part and one
    that begins with the package wait for each other's import, and Python gives one of them up."""
    found = []
    loaded = [f"{name}." for name, _ in imports(path, top_of(tree))]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for name in (late.module or "" for late in ast.walk(node) if isinstance(late, ast.ImportFrom)):
                package = name.rpartition(".")[0]
                inside = path.startswith(f"{package.replace('.', '/')}/")
                ours = f"{package.replace('.', '/')}/__init__.py" in modules()
                if (
                    ours
                    and not inside
                    and name in imported_by_package(package)
                    and not any(one.startswith(f"{package}.") for one in loaded)
                ):
                    found.append(f"{path}:{node.lineno}: {name} is to be imported from {package}")
    return found


def top_of(tree: ast.Module) -> ast.Module:
    """What a file imports as it is loaded, and nothing else of it."""
    return ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])


@cache
def imported_by_package(package: str) -> set[str]:
    """The parts of one of our packages that are loaded when it is, by itself or by one another."""
    loaded: set[str] = set()
    waiting = [f"{package.replace('.', '/')}/__init__.py"]
    while waiting:
        path = waiting.pop()
        new = {name for name, _ in imports(path, top_of(modules()[path])) if name.startswith(f"{package}.")} - loaded
        loaded |= new
        waiting += [file for name in new if (file := f"{name.replace('.', '/')}.py") in modules()]
    return loaded


def faults_of_comparing(path: str, tree: ast.Module) -> list[str]:
    """Secrets compared by `==`, which tells by its time how much was right. A literal is no secret."""
    if path.startswith("bot/played/"):  # a platform for tests has no secret worth timing
        return []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and all(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
            sides = [node.left, *node.comparators]
            if not any(isinstance(side, ast.Constant) for side in sides):
                named = [
                    name for side in sides if SECRET.search(name := name_of(side)) and (path, name) not in HARMLESS
                ]
                found += [f"{path}:{node.lineno}: compare {name} by hmac.compare_digest" for name in named]
    return found


def name_of(node: ast.expr) -> str:
    """The last name in `node`: of a variable, an attribute, a looked-up key, or what a call is made on."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return str(node.slice.value)
    if isinstance(node, ast.Call):
        if node.args and isinstance(node.args[0], ast.Constant):
            return str(node.args[0].value)
        return name_of(node.func.value) if isinstance(node.func, ast.Attribute) else name_of(node.func)
    return ""


def faults_of_clocks(path: str, tree: ast.Module) -> list[str]:
    """Defaults in tables or migrations that read a clock: time is always an argument."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in ("server_default", "default_factory", "onupdate", "default"):
            words = [part for inner in ast.walk(node.value) for part in words_of(inner)]
            found += [f"{path}:{node.value.lineno}: {node.arg} reads a clock" for word in words if CLOCK.search(word)]
    return found


def words_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def test_rooms_and_homes_are_kept() -> None:
    assert len(modules()) > 20
    assert [fault for path, tree in modules().items() for fault in faults_of_rooms(path, tree)] == []


def test_no_two_threads_wait_for_each_others_import() -> None:
    assert [fault for path, tree in modules().items() for fault in faults_of_late_imports(path, tree)] == []


def test_a_late_import_of_a_packages_part_is_found() -> None:
    late = "def f():\n    from content.posters.setting import shows"
    assert faults_of_late_imports("bot/x.py", ast.parse(late))
    assert not faults_of_late_imports("content/posters/x.py", ast.parse(late))
    assert not faults_of_late_imports("bot/x.py", ast.parse("def f():\n    from content.posters import setting"))


def test_secrets_are_compared_in_constant_time() -> None:
    assert [fault for path, tree in modules().items() for fault in faults_of_comparing(path, tree)] == []


def test_no_default_reads_a_clock() -> None:
    storage = {path: tree for path, tree in modules().items() if path.startswith("storage/")}
    assert [fault for path, tree in storage.items() for fault in faults_of_clocks(path, tree)] == []


def test_no_table_has_a_default_that_reads_a_clock() -> None:
    from sqlmodel import SQLModel

    import storage.tables  # noqa: F401

    columns = [column for table in SQLModel.metadata.tables.values() for column in table.columns]
    assert len(columns) > 20
    for column in columns:
        for default in (column.server_default, column.server_onupdate, column.default, column.onupdate):
            text = str(getattr(default, "arg", ""))
            assert not CLOCK.search(text), f"{column}: {text}"


def test_every_file_opens_with_what_it_promises() -> None:
    bare = [path for path, tree in modules().items() if not ast.get_docstring(tree) and "/versions/" not in path]
    assert [path for path in bare if (ROOT / path).stat().st_size] == []


@pytest.mark.parametrize(
    ("path", "source", "fault"),
    [
        ("content/x.py", "import sqlmodel", "sqlmodel lives in storage"),
        ("storage/x.py", "from content.message import Message", "storage must not import content"),
        ("campaigns/x.py", "def f():\n    from bot import app", "campaigns must not import bot"),
        ("campaigns/x.py", "import asyncio", "asyncio lives in bot"),
        ("bot/channels/x.py", "from ..played import wechat", "must not load bot.played"),
        ("bot/x.py", "from bot import played", "must not load bot.played"),
        ("bot/x.py", "import PIL.Image", "PIL lives in content"),
    ],
)
def test_a_broken_room_rule_is_found(path: str, source: str, fault: str) -> None:
    assert fault in " ".join(faults_of_rooms(path, ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "ok = signature == expected",
        "if self.token != given: pass",
        "x = query['msg_signature'] == y",
        "x = headers.get('secret_token') == y",
        "x = settings.app_secret.get_secret_value() == y",
    ],
)
def test_a_hasty_comparison_is_found(source: str) -> None:
    assert faults_of_comparing("bot/x.py", ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        "Field(default_factory=datetime.utcnow)",
        "Field(default_factory=lambda: datetime.now(UTC))",
        "Column(server_default=text('CURRENT_TIMESTAMP'))",
        "Column(server_default=func.now())",
        "Column(onupdate=func.clock_timestamp())",
        "Column(server_default=text('unixepoch(''now'')'))",
    ],
)
def test_a_clock_in_a_default_is_found(source: str) -> None:
    assert faults_of_clocks("storage/x.py", ast.parse(source))
