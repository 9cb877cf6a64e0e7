"""The command line's own words in the terminal's language: help, usage, and what is wrong with a command as typed.

Help is written `中文 | english` wherever a command is written, and this chooses the half; the parser's own words and
errors are in the tables below. It knows no command.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import typer

from bot.terminal import language

WORDS = {
    "usage": ("用法：", "Usage: "),
    "arguments": ("参数：", "Arguments:"),
    "options": ("选项：", "Options:"),
    "commands": ("命令：", "Commands:"),
    "[options]": ("[选项]", "[OPTIONS]"),
    "command": ("命令 [参数]…", "COMMAND [ARGS]..."),
    "default": ("默认 {}", "default: {}"),
    "required": ("必填", "required"),
    "path": ("路径", "PATH"),
    "str": ("文字", "TEXT"),
    "int": ("整数", "NUMBER"),
    "more": ("{} --help 有说明", "{} --help tells more"),
    "cancelled": ("已取消。", "Cancelled."),
}
# Help that comes with the parser, as it words it.
_OWN_HELP = {
    "Show this message and exit.": "显示这段说明 | show this text",
    "Install completion for the current shell.": "为当前的 shell 装上命令补全 | install completion for this shell",
    "Show completion for the current shell, to copy it or customize the installation.": (
        "打印当前 shell 的补全脚本，可自行安装 | print the completion script of this shell, to install it by hand"
    ),
}
# What the parser says of a mistake, and the same in Chinese. English is said as the parser words it.
ERRORS = (
    (r"No such command (.+?)\.(?= |$)", r"没有命令 \1。"),
    (r"No such option: (\S+)", r"没有选项 \1"),
    (r" ?\(Possible options: (.+)\)", r"（是不是 \1？）"),
    (r" ?Did you mean (?:one of: )?(.+)\?", r"是不是 \1？"),
    (r"Missing argument (.+?)\.", r"缺少参数 \1。"),
    (r"Missing option (.+?)\.", r"缺少选项 \1。"),
    (r"Missing command\.", "后面要写一个命令。"),
    (r"Got unexpected extra argument\S* \((.+)\)", r"多出了 \1"),
    (r"Option (.+?) requires (?:an argument|\d+ arguments)\.", r"选项 \1 后面要写一个值。"),
    (r"Option (.+?) does not take a value\.", r"选项 \1 后面不带值。"),
    (r"Invalid value for (.+?): ", r"\1 的值不对："),
    (r"Input should be a valid integer.*", "要写成整数"),
    (r"Input should be a valid boolean.*", "只能是 true 或 false"),
    (r"Input should be greater than or equal to (\S+)", r"至少是 \1"),
    (r"Input should be less than or equal to (\S+)", r"至多是 \1"),
    (r"(\S+) is not in the range (\S+)\.", r"\1 不在 \2 之内"),
    (r"Value (.+) is not a valid \S+\.", r"\1 的写法不对"),
    (r"Input should be (.+)", r"只能是 \1"),
    (r"\b(?:File|Directory|Path) (.+) does not exist\.", r"没有 \1"),
    (r"\b(?:File|Directory|Path) (.+) is a file\.", r"\1 是文件，不是文件夹"),
    (r"\b(?:File|Directory|Path) (.+) is a directory\.", r"\1 是文件夹，不是文件"),
    (r"\b(?:File|Directory|Path) (.+) is not (?:readable|writable)\.", r"没有权限读写 \1"),
    (r" or ", " 或 "),
)


def half(text: str, spoken: str) -> str:
    """The half of `中文 | english` in the language, paragraph by paragraph; all of it where there is no such half."""
    chosen = []
    for paragraph in text.split("\n\n"):
        chinese, bar, english = " ".join(paragraph.split()).partition(" | ")
        chosen.append(english if bar and spoken == "en" else chinese)
    return "\n\n".join(chosen)


def speak(command: Any, spoken: str) -> None:
    """Let a command and all below it give their help in one language."""
    command.help = half(command.help or "", spoken)
    command.short_help = command.help.partition("\n\n")[0].rstrip(".")
    command.get_help = lambda context: _help(command, context, spoken)
    command.get_usage = lambda context: _usage(command, context, spoken)
    for param in command.params:
        _speak_of(param, spoken)
    for below in getattr(command, "commands", {}).values():
        speak(below, spoken)


def run(cli: typer.Typer, arguments: list[str]) -> NoReturn:
    """Run the command line to its end: exit code 0 done, 1 refused with a reason, 2 wrong usage."""
    command = typer.main.get_command(cli)
    spoken = language()
    speak(command, spoken)
    try:
        sys.exit(command.main(arguments, prog_name="koukou", standalone_mode=False) or 0)
    except typer.Abort:
        typer.echo(_word("cancelled", spoken), err=True)
        sys.exit(1)
    except typer.TyperException as wrong:
        context = getattr(wrong, "ctx", None)
        # A group without a command shows its help: that is no error to explain.
        shown = type(wrong).__name__ == "NoArgsIsHelpError"
        typer.echo(wrong.format_message() if shown else in_language(wrong.format_message(), spoken), err=True)
        if context is not None and not shown:
            typer.echo(_usage(context.command, context, spoken), err=True)
            typer.echo(_word("more", spoken).format(context.command_path), err=True)
        sys.exit(wrong.exit_code)


def in_language(message: str, spoken: str) -> str:
    """What the parser says of a mistake, in the terminal's language."""
    if spoken == "zh":
        for pattern, chinese in ERRORS:
            message = re.sub(pattern, chinese, message)
    return message


def _word(name: str, spoken: str) -> str:
    return WORDS[name][spoken == "en"]


def _speak_of(param: Any, spoken: str) -> None:
    text = getattr(param, "help", None) or ""
    param.help = half(_OWN_HELP.get(text, text), spoken)


def _usage(command: Any, context: Any, spoken: str) -> str:
    pieces = [_word("[options]", spoken)]
    for param in command.params:
        if param.param_type_name == "argument" and not param.hidden:
            pieces.append(_name(param) if param.required else f"[{_name(param)}]")
    if hasattr(command, "commands"):
        pieces.append(_word("command", spoken))
    return f"{_word('usage', spoken)}{context.command_path} {' '.join(pieces)}"


def _help(command: Any, context: Any, spoken: str) -> str:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    page = io.StringIO()
    console = Console(file=page, force_terminal=sys.stdout.isatty(), highlight=False)
    console.print(Text(_usage(command, context, spoken), style="bold"))
    if command.help:
        console.print(Padding(Text(command.help), (1, 0, 0, 2)))
    for title, rows in _tables(command, context, spoken):
        console.print(Text("\n" + _word(title, spoken), style="bold"))
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column()
        for name, told in rows:
            table.add_row(Text(f"  {name}", style="cyan"), Text(told))
        console.print(table)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines()).rstrip()


def _tables(command: Any, context: Any, spoken: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Arguments, options and commands: each with its name and what is told of it."""
    params = command.get_params(context)
    for kind, title in (("argument", "arguments"), ("option", "options")):
        rows = []
        for param in params:
            if param.param_type_name == kind and not param.hidden:
                _speak_of(param, spoken)  # the help option is made anew at every look
                rows.append((_name(param, context, spoken), _told(param, spoken)))
        if rows:
            yield title, rows
    below = [(name, one.short_help) for name, one in getattr(command, "commands", {}).items() if not one.hidden]
    if below:
        yield "commands", below


def _name(param: Any, context: Any = None, spoken: str = "") -> str:
    if param.param_type_name == "argument":
        return str(param.metavar or param.name.upper())
    names = ", ".join([*param.opts, *param.secondary_opts])
    if param.is_flag:
        return names
    kind = param.metavar or param.display_type(context).strip("<>")
    return f"{names} {_word(kind, spoken) if kind in WORDS else kind}"


def _told(param: Any, spoken: str) -> str:
    notes = []
    if param.required:
        notes.append(_word("required", spoken))
    default = param.default
    if default not in (None, "", False, ()) and not callable(default) and param.show_default:
        notes.append(_word("default", spoken).format(default))
    aside = f"[{', '.join(notes)}]" if notes else ""
    return f"{param.help} {aside}".strip()
