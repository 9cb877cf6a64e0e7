"""`koukou subscriber …`, `koukou ledger …`, `koukou db …`: what is stored, looked at, proved and brought up to date.

A thin skin over the storage room.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bot import completing
from bot.terminal import Json, language, reading, refuse, say, settings_of, show_json

subscriber_cli = typer.Typer(no_args_is_help=True, help="用户 | subscribers")
ledger_cli = typer.Typer(no_args_is_help=True, help="账本 | the ledger")
db_cli = typer.Typer(no_args_is_help=True, help="数据库 | the database")


@subscriber_cli.command("show")
def subscriber_show(
    context: typer.Context,
    who: Annotated[
        str,
        typer.Argument(
            metavar="CHANNEL:ID", help="如 wechat:oABC… | e.g. wechat:oABC…", autocompletion=completing.subscribers
        ),
    ],
    as_json: Json = False,
) -> None:
    """一个用户的身份、余额、推荐 | one person's identities, balances, referrals."""
    from storage import people
    from storage.vault import Vault, secret_for

    settings = settings_of(context)
    channel, _, address = who.partition(":")
    account = "main"
    if "/" in channel:
        channel, _, account = channel.partition("/")
    store = reading(settings)
    secret = settings.storage.secret.get_secret_value() if settings.storage.secret else None
    with store.read() as connection:
        found = people.find(connection, Vault(secret_for(store, secret)), channel, account, address)
        if found is None:
            raise refuse(f"没有这个用户：{who}", f"no such subscriber: {who}")
        document = people.show(connection, found)
    if as_json:
        show_json(document)
    else:
        _tell(document)


_FIELDS = {
    "id": ("编号", "number"),
    "language": ("语言", "language"),
    "status": ("状态", "status"),
    "consent": ("接收活动消息", "takes campaign messages"),
    "guest": ("网页访客", "guest of the page"),
    "blocked": ("已停用", "blocked"),
    "tester": ("测试用户", "tester"),
    "created_at": ("第一次出现", "first seen"),
    "identities": ("账号", "accounts"),
    "balances": ("余额", "balances"),
    "test_balances": ("测试余额", "balances of tests"),
    "referral_code": ("推荐码", "referral code"),
    "referrer": ("推荐人", "brought by"),
    "referrals": ("推荐了", "brought"),
}


def _tell(person: dict[str, Any]) -> None:
    """A person's fields, a line each, and what is several of one kind side by side."""
    yes, no, left = ("yes", "no", "left") if language() == "en" else ("是", "否", "已离开")
    several = {
        "identities": [_where(one) + ("" if one["following"] else f" ({left})") for one in person["identities"]],
        "referrals": [f"{one['subscriber']} ({one['state']})" for one in person["referrals"]],
        **{name: [f"{n} {unit}" for unit, n in person[name].items()] for name in ("balances", "test_balances")},
    }
    for name, (zh, en) in _FIELDS.items():
        value = ", ".join(several[name]) if name in several else person[name]
        shown = (yes if value else no) if isinstance(value, bool) else "–" if value in ("", None) else value
        say(f"{zh}：{shown}", f"{en}: {shown}")


def _where(identity: dict[str, Any]) -> str:
    """Somebody's place on a channel as commands take it: `wechat:oABC…`, `wechat/second:oABC…`."""
    account = "" if identity["account"] == "main" else f"/{identity['account']}"
    return f"{identity['channel']}{account}:{identity['id'] or '–'}"


@ledger_cli.command("check")
def ledger_check(
    context: typer.Context,
    against: Annotated[str | None, typer.Option(help="先前记下的链头 SEQ:MAC | an earlier head")] = None,
    as_json: Json = False,
) -> None:
    """核对总和、下限、预占和链 | prove sums, floors, holds and chain."""
    from storage.ledger_check import check
    from storage.vault import Vault, secret_for

    settings = settings_of(context)
    store = reading(settings)
    secret = settings.storage.secret.get_secret_value() if settings.storage.secret else None
    with store.read() as connection:
        report = check(connection, Vault(secret_for(store, secret)), against)
    if as_json:
        show_json(report.tree())
    else:
        for problem in report.problems:
            typer.echo(problem)
        say(
            f"{report.postings} 条分录，{len(report.problems)} 个问题，链头 {report.head}",
            f"{report.postings} postings, {len(report.problems)} problems, head {report.head}",
        )
    raise typer.Exit(0 if report.ok else 1)


@db_cli.command("upgrade")
def db_upgrade(
    context: typer.Context,
    backup: Annotated[Path | None, typer.Option(help="先备份到这个新文件 | make a backup here first")] = None,
) -> None:
    """把数据库升级到这个版本 | bring the database to this version."""
    from bot import upgrading

    upgrading.upgrade(settings_of(context), backup)
