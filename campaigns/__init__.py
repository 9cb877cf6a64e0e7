"""The rules: one file per mechanic, each with plain functions on a `Turn`; the standing services and the `Desk`.

This room decides. It knows no channel, no HTTP and no SQL.

A mechanic is a module here with `WORDS` (its commands, each with the words a subscriber types for it, both languages)
and `answer(turn, command)`. It may also have `on_form(turn, form) -> bool` for an answer it asked for, `on_timer(turn,
kind)` with `TIMERS`, and `CLAUSES`, what it runs of the plan. What it remembers under its own name of two people who
become one is made one by `unite(older, younger) -> dict`; without it the older's stands.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType


@cache
def mechanics() -> dict[str, ModuleType]:
    """Every mechanic by its file's name."""
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    return {module.__name__.rpartition(".")[2]: module for module in modules if hasattr(module, "WORDS")}


@cache
def running() -> frozenset[str]:
    """The clauses of a plan that this version runs."""
    return frozenset(clause for module in mechanics().values() for clause in module.CLAUSES) | {
        "keywords",
        "social",
        "social.pushes",
    }


@cache
def words() -> dict[str, tuple[str, str]]:
    """What can be typed (normalised) → the mechanic's name and its command."""
    return {
        word: (name, command)
        for name, module in mechanics().items()
        for command, typed in module.WORDS.items()
        for word in typed
    }
