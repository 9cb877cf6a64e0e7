"""`koukou subscriber block|unblock|test|untest` and `koukou referral reject`: the same acts as the console's page.

Whom it concerns is shown first. The act is done by the serving process where one holds the SQLite file, else here.
"""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot import completing, terminal
from bot.commands_storage import subscriber_cli
from bot.terminal import language, refuse, say
from campaigns.desk import ActRefused, Desk

if TYPE_CHECKING:
    from bot.config import Settings
    from storage.story import Person

referral_cli = typer.Typer(no_args_is_help=True, help="推荐 | referrals")

Who = Annotated[
    str,
    typer.Argument(
        metavar="CHANNEL:ID",
        help="如 wechat:oABC…，也可以是用户编号或推荐码 | e.g. wechat:oABC…, or a number, or a referral code",
        autocompletion=completing.subscribers,
    ),
]
Why = Annotated[str, typer.Option("--why", help="原因，留在用户的记录里 | the reason, kept with the person")]
Yes = Annotated[bool, typer.Option("--yes", help="不再询问 | do not ask")]


def perform(connection: Any, asked: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Do one act; `changed` says whether it was not so already. Raises ActRefused, ValueError for an unknown act."""
    from campaigns import rights, standing

    acts = {
        "standing.block": standing.block,
        "standing.unblock": standing.unblock,
        "standing.test": standing.test,
        "standing.untest": standing.untest,
        "standing.reject": standing.reject,
    }
    if asked["act"] not in acts:
        raise ValueError(asked["act"])
    desk = Desk(connection, "operator", rights.OPERATOR, now, str(asked["why"]))
    return {"changed": acts[asked["act"]](desk, int(asked["subscriber"]))}


@subscriber_cli.command("block")
def block(context: typer.Context, who: Who, why: Why, yes: Yes = False) -> None:
    """停用用户：不能再参加，立即生效 | keep a person from taking part, at once."""
    _do(context, "standing.block", who, why, yes, ("已停用", "blocked"), ("先前已经停用", "was blocked already"))


@subscriber_cli.command("unblock")
def unblock(context: typer.Context, who: Who, why: Why, yes: Yes = False) -> None:
    """恢复停用的用户，一切照旧 | let a blocked person take part again, with all they had."""
    _do(context, "standing.unblock", who, why, yes, ("已恢复", "unblocked"), ("没有停用", "was not blocked"))


@subscriber_cli.command("test")
def test(context: typer.Context, who: Who, why: Why, yes: Yes = False) -> None:
    """指定测试用户：提前体验活动，什么都不计入 | let a person live the campaign as a test that counts for nothing."""
    _do(context, "standing.test", who, why, yes, ("现在是测试用户", "tests now"), ("已经是测试用户", "tests already"))


@subscriber_cli.command("untest")
def untest(context: typer.Context, who: Who, why: Why, yes: Yes = False) -> None:
    """收回测试：一切恢复到测试之前 | take a test back: the person is as they were before it."""
    done = ("测试已收回", "the test is taken back")
    _do(context, "standing.untest", who, why, yes, done, ("不是测试用户", "does not test"))


@referral_cli.command("reject")
def reject(context: typer.Context, who: Who, why: Why, yes: Yes = False) -> None:
    """否决一位被推荐人的推荐 | find that the referral by which this person came was none."""
    done = ("推荐已否决", "the referral is rejected")
    _do(context, "standing.reject", who, why, yes, done, ("推荐先前已经否决", "the referral was rejected already"))


def _do(
    context: typer.Context, act: str, who: str, why: str, yes: bool, done: tuple[str, str], was_so: tuple[str, str]
) -> None:
    """Show whom it concerns, ask where somebody sits there, do it and say what came of it."""
    settings = terminal.settings_of(context)
    one = found(settings, who)
    _show(one)
    if not yes and sys.stdin.isatty():
        typer.confirm("继续吗？" if language() == "zh" else "go on?", abort=True)
    try:
        told = terminal.act(settings, {"act": act, "subscriber": one.id, "why": why.strip()})
    except ActRefused as refused:
        raise refuse(refused.zh, refused.en) from None
    zh, en = done if told["changed"] else was_so
    say(f"用户 {one.id}：{zh}", f"subscriber {one.id}: {en}")


def found(settings: Settings, who: str) -> Person:
    """The one person whom these words name; ends the command when they name none, or several."""
    from storage import story
    from storage.vault import Vault, secret_for

    store = terminal.reading(settings)
    secret = settings.storage.secret.get_secret_value() if settings.storage.secret else None
    channels = type(settings.channels).model_fields
    accounts = [(channel, account) for channel in channels for account, _ in settings.accounts(channel)]
    with store.read() as connection:
        known = story.find(connection, Vault(secret_for(store, secret)), who, accounts)
    store.close()
    if not known:
        raise refuse(f"没有这个用户：{who}", f"no such subscriber: {who}")
    if len(known) > 1:
        numbers = ", ".join(str(one.id) for one in known)
        raise refuse(f"{who} 指的可能是几位用户：{numbers}，请写编号", f"{who} may be several: {numbers}; name one")
    return known[0]


def _show(one: Person) -> None:
    states = [
        word
        for word, holds in (
            (("已停用", "blocked"), one.blocked_at),
            (("测试用户", "tester"), one.tester_since),
            (("网页访客", "web guest"), one.guest),
        )
        if holds
    ]
    since, channels = f"{one.created_at:%Y-%m-%d}", ", ".join(one.channels)
    say(
        "，".join([f"用户 {one.id}", f"推荐码 {one.code}", channels, f"{since} 起", *(zh for zh, _ in states)]),
        ", ".join([f"subscriber {one.id}", f"code {one.code}", channels, f"since {since}", *(en for _, en in states)]),
    )
