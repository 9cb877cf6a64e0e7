"""The console's templates and static files. Everything a template prints is escaped text."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).parent
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def environment() -> Environment:
    """Templates with autoescape, in which an unknown name is an error."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["static"] = static_url
    return made


@cache
def static_files() -> dict[str, tuple[bytes, str, str]]:
    """Our static files by name: bytes, media type and version."""
    files = [path for path in sorted((HERE / "static").iterdir()) if path.suffix in TYPES]
    read = {path.name: (path.read_bytes(), TYPES[path.suffix]) for path in files}
    return {name: (body, kind, hashlib.sha256(body).hexdigest()[:12]) for name, (body, kind) in read.items()}


def static_url(name: str) -> str:
    """The address of a static file, which changes with its contents."""
    return f"/console/static/{name}?v={static_files()[name][2]}"
