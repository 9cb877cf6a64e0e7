"""`koukou wechat …`: what staff do about a WeChat account: its followers, its menu, what it can do.

A thin skin: jobs that write run in the serving process where one holds the SQLite file, else here.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot import completing, terminal
from bot.terminal import Json, language, refuse, say

if TYPE_CHECKING:
    from bot.app import App
    from bot.config import Settings
    from bot.settings import WeChatAccount
    from content.library import Library
    from storage.store import Store

AccountName = Annotated[
    str,
    typer.Option(
        "--account",
        help="公众号在设置里的名字 | the account's name in the settings",
        autocompletion=completing.accounts("wechat"),
    ),
]

_BEAT_SECONDS = 10.0
wechat_cli = typer.Typer(
    no_args_is_help=True, help="公众号：关注者、菜单、能力 | WeChat: followers, menu, capabilities"
)


def _settings(context: typer.Context, account: str) -> tuple[Settings, WeChatAccount]:
    settings = terminal.settings(context.find_root().params.get("config"))
    table = dict(settings.accounts("wechat")).get(account)
    if table is None or not table.enabled:
        raise refuse(f"没有启用公众号 {account}", f"the WeChat account {account} is not enabled")
    return settings, table


@wechat_cli.command("import")
def import_followers(context: typer.Context, account: AccountName = "main", as_json: Json = False) -> None:
    """把已有的关注者记下来，不发任何消息 | make existing followers known, without a word to them."""

    def tell(progress: dict[str, int]) -> None:
        if not as_json:
            done, total, new = progress["done"], progress["total"], progress["new"]
            say(f"{done} / {total}，新增 {new}", f"{done} of {total}, {new} new", error=True)

    done = _job(_settings(context, account)[0], {"act": "wechat.import", "account": account}, tell)
    if as_json:
        typer.echo(json.dumps(done))
        return
    new, total = done["new"], done["total"]
    say(f"已导入：{total} 位关注者，其中 {new} 位是新的", f"imported: {total} followers, {new} of them new")


@wechat_cli.command("reconcile")
def reconcile(context: typer.Context, account: AccountName = "main", as_json: Json = False) -> None:
    """补上没有收到的关注和取消关注（服务每天自己做） | hear lost follows and leavings (the service does so daily)."""
    done = _job(_settings(context, account)[0], {"act": "wechat.reconcile", "account": account}, lambda progress: None)
    if as_json:
        typer.echo(json.dumps(done))
        return
    say(
        f"平台上 {done['followers']} 位关注者；补记取消关注 {done['gone']}，关注 {done['found']}，"
        f"导入 {done['imported']}",
        f"{done['followers']} followers on the platform; {done['gone']} had left, {done['found']} had followed, "
        f"{done['imported']} imported",
    )


def _job(settings: Settings, asked: dict[str, Any], tell: Any) -> dict[str, int]:
    """Do the job in the serving process, else in this one."""
    from bot.app import NothingToServe
    from bot.handoff import ask
    from campaigns.desk import ActRefused
    from storage import schema
    from storage.store import StoreLocked
    from storage.vault import SecretMissing

    try:
        return asyncio.run(_here(settings, asked, tell))
    except StoreLocked as locked:
        database = locked.database
    except ActRefused as refused:
        raise refuse(refused.zh, refused.en) from None
    except NothingToServe:
        raise refuse("方案有错误，先运行 koukou plan check", "the plan has faults; run koukou plan check") from None
    except (schema.SchemaTooNew, schema.SchemaBehind, SecretMissing) as wrong:
        raise refuse(str(wrong), str(wrong)) from None
    try:
        answer = ask(database, asked, tell)
    except ActRefused as refused:
        raise refuse(refused.zh, refused.en) from None
    if answer is None:
        raise refuse("数据库被另一个命令占用，请稍后再试", "another command holds the database; try again")
    return answer


async def _here(settings: Settings, asked: dict[str, Any], tell: Any) -> dict[str, int]:
    from bot import followers

    async with _home(settings) as app:
        return await followers.do(app, asked, tell)


@asynccontextmanager
async def _home(settings: Settings) -> AsyncIterator[App]:
    """A process with a writer and the WeChat accounts, that serves nobody. Raises StoreLocked."""
    import random

    from bot.app import open_app, open_channels
    from bot.service import House
    from bot.writer import Writer
    from storage import nodes

    app = open_app(settings)
    holder = f"command:{os.getpid()}:{secrets.token_hex(4)}"
    with app.store.begin() as connection:
        slot = nodes.take_slot(connection, holder, 30)
    dice = random.Random(secrets.randbits(64))
    app.writer = writer = Writer(app.store, app.vault, slot, app.read_library, app.now, dice)
    app.house = House(app.store, app.vault, writer, app.now, settings.service)
    app.channels = tuple(open_channels(settings, app.house))

    async def keep_slot() -> None:
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            await writer.run(lambda connection: nodes.beat(connection, slot, holder))

    beating = asyncio.create_task(keep_slot())
    try:
        yield app
    finally:
        beating.cancel()
        await writer.close()
        for channel in app.channels:
            await channel.close()
        with app.store.begin() as connection:
            nodes.leave(connection, slot, holder)
        app.store.close()


@wechat_cli.command("menu")
def menu(
    context: typer.Context,
    account: AccountName = "main",
    yes: Annotated[bool, typer.Option("--yes", help="不再询问 | do not ask")] = False,
) -> None:
    """把公众号的菜单换成方案里的，先看旧的 | replace the account's menu by the plan's, showing the old one first."""
    from bot.wechat.capabilities import FALLBACKS, MENU
    from bot.wechat.faults import Fault
    from bot.wechat.menu import MenuRefused, publish_menu

    settings, table = _settings(context, account)
    library = _library(settings)
    planned = library.plan.menu
    if planned is None:
        raise refuse("方案里没有 [menu]，菜单保持原样", "the plan has no [menu]; the menu stays as it is")

    def confirm(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> bool:
        say(
            "现在的菜单：" if old else "现在没有通过接口设置的菜单。",
            "The menu now:" if old else "No menu was set by API.",
        )
        _show(old)
        say("换成：", "Replaced by:")
        _show(new)
        return yes or typer.confirm("replace?" if language() == "en" else "替换吗？")

    async def publish() -> bool:
        pocket, api = _api(settings, account, table)
        if not await api.abilities.has(MENU):
            zh, en = FALLBACKS[MENU]
            raise refuse(f"这个公众号不能用接口设置菜单：{zh}", f"this account may not set its menu by API: {en}")
        try:
            return await publish_menu(api, planned, settings.service.language, library.fill, confirm)
        finally:
            await api.close()
            pocket.close()

    try:
        replaced = asyncio.run(publish())
    except MenuRefused as refused:
        raise refuse(str(refused), str(refused)) from None
    except Fault as fault:
        raise refuse(f"微信平台拒绝或没有回应：{fault}", f"the platform refused or did not answer: {fault}") from None
    if not replaced:
        raise refuse("没有替换。", "Not replaced.")
    say("已替换；手机上五分钟内可见。", "Replaced; phones show it within five minutes.")


def _show(buttons: list[dict[str, Any]], indent: str = "  ") -> None:
    for button in buttons:
        does = button.get("url") or button.get("key") or ""
        typer.echo(f"{indent}{button['name']}" + (f"  → {does}" if does else ""))
        _show(button.get("sub_button") or [], indent + "    ")


@wechat_cli.command("status")
def status(context: typer.Context, account: AccountName = "main", as_json: Json = False) -> None:
    """公众号能做什么，不能的用什么代替 | what the account can do, and what happens instead where it cannot."""
    from bot.followers import reconciled_key
    from bot.wechat.capabilities import FALLBACKS

    settings, table = _settings(context, account)

    async def look() -> tuple[dict[str, bool], dict[str, Any] | None]:
        pocket, api = _api(settings, account, table)
        try:
            able = {name: await api.abilities.has(name) for name in FALLBACKS}
            return able, await pocket.recall(reconciled_key(account))
        finally:
            await api.close()
            pocket.close()

    able, reconciled = asyncio.run(look())
    if as_json:
        rows = [
            {"name": name, "able": able[name], "instead": None if able[name] else {"zh": zh, "en": en}}
            for name, (zh, en) in FALLBACKS.items()
        ]
        what = {"account": account, "kind": table.kind, "verified": table.verified, "mode": table.mode}
        document = {**what, "capabilities": rows, "reconciled": reconciled}
        typer.echo(json.dumps(document, ensure_ascii=False, indent=2))
        return
    typer.echo(
        f"{account}: {table.kind}, {'verified 已认证' if table.verified else 'not verified 未认证'}, {table.mode}"
    )
    for name, (zh, en) in FALLBACKS.items():
        typer.echo(f"{'✓' if able[name] else '✗'} {name}" + ("" if able[name] else f"：{zh} | {en}"))
    if reconciled:
        typer.echo(f"reconciled 已对账 {reconciled['day']}: -{reconciled['gone']} +{reconciled['found']}")


class _Pocket:
    """Small values as a command sees them: read from the database where there is one, kept only for this command."""

    def __init__(self, store: Store | None) -> None:
        self._store, self._own = store, dict[str, dict[str, Any]]()

    async def recall(self, key: str) -> dict[str, Any] | None:
        from storage import kept

        if key in self._own or self._store is None:
            return self._own.get(key)
        with self._store.read() as connection:
            return kept.recall(connection, key)

    async def keep(self, key: str, value: dict[str, Any], seconds: float) -> None:
        self._own[key] = value

    def close(self) -> None:
        if self._store:
            self._store.close()


def _reading(settings: Settings) -> Store | None:
    from storage.store import Store

    store = Store(settings.storage.url, writer=False)
    if store.path and not store.path.exists():
        return None
    return store


def _api(settings: Settings, account: str, table: WeChatAccount) -> tuple[_Pocket, Any]:
    """The platform's API for one command. A token it fetches is the one all nodes have: stable_token gives no other."""
    from bot.wechat.api import Api
    from bot.wechat.capabilities import Capabilities

    pocket = _Pocket(_reading(settings))
    abilities = Capabilities(account, table.kind, table.verified, pocket)
    secret = table.app_secret.get_secret_value()
    return pocket, Api(account, table.app_id, secret, table.api_url, pocket, abilities)


def _library(settings: Settings) -> Library:
    """The applied revision of the first campaign."""
    from campaigns import words
    from content.bundle import Bundle
    from content.library import Library
    from storage import revisions

    store = _reading(settings)
    known: list[str] = []
    if store:
        with store.read() as connection:
            known = revisions.campaigns(connection)
            number = revisions.current(connection, known[0]) if known else None
            if number is not None:
                return Library(Bundle.of(revisions.files(connection, known[0], number)), number, words())
    zh, en = (
        "还没有应用过方案，先运行 koukou serve 或 plan apply",
        "no plan was applied yet; run koukou serve or plan apply",
    )
    raise refuse(zh, en)
