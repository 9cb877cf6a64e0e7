"""The command line: `koukou`, also `python -m bot`. What commands there are; each is a thin skin in its own file.

Exit codes: 0 done, 1 refused with a reason, 2 wrong usage. Reading commands take `--json` and print one document.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bot import commands_stop, spoken
from bot.commands_act import act_cli
from bot.commands_backup import backup_cli
from bot.commands_doctor import doctor
from bot.commands_plan import plan_cli
from bot.commands_poster import poster_cli
from bot.commands_push import push_cli
from bot.commands_segment import segment_cli
from bot.commands_serve import serve
from bot.commands_staff import staff_cli
from bot.commands_standing import referral_cli
from bot.commands_storage import db_cli, ledger_cli, subscriber_cli
from bot.commands_wechat import wechat_cli

cli = typer.Typer(no_args_is_help=True, help="口口相传：按方案运行推广和推荐活动 | Koukou runs a written campaign plan")

cli.command()(serve)
cli.command()(doctor)
cli.command("stop")(commands_stop.stop)
cli.command("resume")(commands_stop.resume)
# A new group of commands is one line here; help is written `中文 | english`.
cli.add_typer(plan_cli, name="plan")
cli.add_typer(act_cli, name="act")
cli.add_typer(push_cli, name="push")
cli.add_typer(subscriber_cli, name="subscriber")
cli.add_typer(referral_cli, name="referral")
cli.add_typer(ledger_cli, name="ledger")
cli.add_typer(db_cli, name="db")
cli.add_typer(backup_cli, name="backup")
cli.add_typer(staff_cli, name="staff")
cli.add_typer(segment_cli, name="segment")
cli.add_typer(poster_cli, name="poster")
cli.add_typer(wechat_cli, name="wechat")


@cli.callback()
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


def main() -> None:
    """Entry point of the `koukou` script."""
    spoken.run(cli, config_first(sys.argv[1:]))


if __name__ == "__main__":
    main()
