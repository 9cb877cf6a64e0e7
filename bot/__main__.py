"""The command line: `koukou`, also `python -m bot`. What commands there are; each is a thin skin in its own file.

Exit codes: 0 done, 1 refused with a reason, 2 wrong usage. Reading commands take `--json` and print one document.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from bot import spoken

# A new command or group of commands is one line here, the function or the group that its module holds; help is written
# `中文 | english`. Only the module of the command that is called is loaded, all of them where help lists them: a node
# that was killed should not spend its start on commands that nobody called.
COMMANDS = {
    "serve": "bot.commands_serve:serve",
    "doctor": "bot.commands_doctor:doctor",
    "stop": "bot.commands_stop:stop",
    "resume": "bot.commands_stop:resume",
    "plan": "bot.commands_plan:plan_cli",
    "act": "bot.commands_act:act_cli",
    "push": "bot.commands_push:push_cli",
    "subscriber": "bot.commands_standing:subscriber_cli",
    "referral": "bot.commands_standing:referral_cli",
    "ledger": "bot.commands_storage:ledger_cli",
    "db": "bot.commands_storage:db_cli",
    "backup": "bot.commands_backup:backup_cli",
    "staff": "bot.commands_staff:staff_cli",
    "segment": "bot.commands_segment:segment_cli",
    "poster": "bot.commands_poster:poster_cli",
    "wechat": "bot.commands_wechat:wechat_cli",
}


def command_line(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """The commands of these names, which is all of them unless it is known which one is called."""
    cli = typer.Typer(
        no_args_is_help=True, help="口口相传：按方案运行推广和推荐活动 | Koukou runs a written campaign plan"
    )
    cli.callback()(_options)
    for name in names:
        module, _, member = COMMANDS[name].partition(":")
        found = getattr(import_module(module), member)
        if isinstance(found, typer.Typer):
            cli.add_typer(found, name=name)
        else:
            cli.command(name)(found)
    return cli


def _options(
    config: Annotated[
        Path | None, typer.Option(help="设置文件，默认 config.toml | settings file, default config.toml")
    ] = None,
) -> None:
    """Every command reads it by `terminal.settings_of`."""


def config_first(arguments: list[str]) -> list[str]:
    """`--config PATH` may stand anywhere on the line; the parser wants it in front."""
    front: list[str] = []
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        if argument == "--config":
            front += [argument, *[path for path in [next(waiting, None)] if path is not None]]
        elif argument.startswith("--config="):
            front.append(argument)
        else:
            rest.append(argument)
    return front + rest


def called(arguments: list[str]) -> Iterable[str]:
    """The command that `arguments` (as `config_first` puts them) call; all where they name none of them."""
    words = arguments[2:] if arguments[:1] == ["--config"] else arguments
    words = [word for word in words if not word.startswith("--config=")]
    return words[:1] if words and words[0] in COMMANDS else COMMANDS


def main() -> None:
    """Entry point of the `koukou` script."""
    # pydantic would look through every installed package for plugins, and let strangers have a say in what is valid.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    arguments = config_first(sys.argv[1:])
    spoken.run(command_line(called(arguments)), arguments)


if __name__ == "__main__":
    main()
