"""The accounts on the platforms: whether their credentials work, and what each account may do.

Nothing is sent to anybody. The platform is asked for a token, for what can be read, and for one scene code that ends
after a minute; what it refuses there corrects the table of capabilities shown.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from bot.doctor import Finding, Look, fault, ok, warning
from bot.logs import scrub
from bot.settings import TelegramAccount, WeChatAccount
from bot.wechat.capabilities import FALLBACKS, TABLE, Capabilities
from bot.wechat.faults import NO_MENU, NO_PERMISSION, Fault
from storage import health, kept, schema
from storage.store import DatabaseFault

_ADDRESS = re.compile(r"invalid ip (\S+)")
_PENDING = 100
_RECENT_SECONDS = 86_400
# An error code of the platform when a token is asked for: which key it is about, what it says, how to mend it.
_TOKEN_FAULTS: dict[int, tuple[str, str, str, str, str]] = {
    40013: ("app_id", "平台不认这个 AppID", "the platform does not know this AppID",
            "从公众平台“基本配置”重新复制 AppID", "copy the AppID from the platform's basic configuration page again"),
    40125: ("app_secret", "AppSecret 不对", "the AppSecret is wrong",
            "在公众平台重置 AppSecret 并更新这里", "reset the AppSecret on the platform and set it here"),
    40164: ("app_secret", "平台看到的出口地址 {ip} 不在 IP 白名单里",
            "the outbound address the platform sees, {ip}, is not on its IP whitelist",
            "在公众平台“基本配置 → IP 白名单”加上 {ip}", "add {ip} to the IP whitelist on the platform's page"),
    40243: ("app_secret", "AppSecret 已被冻结", "the AppSecret is frozen",
            "管理员在公众平台解冻或重置 AppSecret", "the administrator unfreezes or resets it on the platform"),
    89503: ("app_secret", "这个出口地址要管理员确认", "this outbound address awaits the administrator's confirmation",
            "请管理员在手机上的确认消息里同意", "the administrator agrees in the message on their phone"),
    45009: ("app_id", "今天的调用次数用完了", "the day's calls are used up",
            "等到北京时间零点，或在公众平台清零（每月 10 次）",
            "wait for midnight in China, or clear the quota (10 a month)"),
    45011: ("app_id", "这一分钟的调用次数用完了", "the minute's calls are used up",
            "一分钟后再试", "try again in a minute"),
    48004: ("app_id", "接口被平台封禁", "the platform has banned the account from its API",
            "看公众平台的通知并申诉；见 docs/runbook.zh.md",
            "read the platform's notice and appeal; see docs/runbook.md"),
    50001: ("app_id", "账号没有接口权限", "the account may not use the API",
            "看公众平台的通知", "read the platform's notice"),
    50002: ("app_id", "账号受到限制", "the account is limited", "看公众平台的通知", "read the platform's notice"),
    -1: ("api_url", "平台说系统繁忙", "the platform is busy", "过一会儿再试", "try again later"),
}  # fmt: skip


class _Asked:
    """Small values for one look: what refusals taught all nodes is read, a kept token is not, for it proves nothing."""

    def __init__(self, look: Look) -> None:
        self._look, self._own = look, dict[str, dict[str, Any]]()

    async def recall(self, key: str) -> dict[str, Any] | None:
        if key in self._own or ":lacks:" not in key:
            return self._own.get(key)
        return await asyncio.to_thread(self._stored, key)

    async def keep(self, key: str, value: dict[str, Any], seconds: float) -> None:
        self._own[key] = value

    def _stored(self, key: str) -> dict[str, Any] | None:
        path = health.sqlite_file(self._look.settings.storage.url)
        if path and not path.exists():
            return None
        store = health.looking(self._look.settings.storage.url, self._look.seconds)
        try:
            with store.read() as connection:
                return kept.recall(connection, key) if schema.version(connection) else None
        except DatabaseFault:
            return None
        finally:
            store.close()


def wechat(look: Look) -> Iterator[Finding]:
    """Each official account: a token, and the table of what it may do."""
    yield from asyncio.run(_all(look, "wechat", _wechat))
    if not list(look.accounts("wechat")):
        yield ok("没有启用公众号", "no WeChat account is enabled")


async def _all(look: Look, channel: str, of_one: Callable[..., Awaitable[list[Finding]]]) -> list[Finding]:
    """What is found of every account of a channel, asked at the same time."""
    found = await asyncio.gather(*[of_one(look, *account) for account in look.accounts(channel)])
    return [one for of_account in found for one in of_account]


async def _wechat(look: Look, account: str, table: WeChatAccount, path: Any) -> list[Finding]:
    from bot.wechat.api import Api

    asked = _Asked(look)
    abilities = Capabilities(account, table.kind, table.verified, asked)
    api = Api(account, table.app_id, table.app_secret.get_secret_value(), table.api_url, asked, abilities)
    try:
        try:
            await api.token()
        except Fault as refused:
            return [_token_fault(look, account, refused.code, str(refused), path)]
        answers = await _probed(api)
        rows = []
        for name, (called, called_en) in _NAMES.items():
            able, (why, why_en) = await _row(name, abilities, answers)
            rows.append((name, able, f"{called}：{why}", f"{called_en}: {why_en}"))
    finally:
        await api.close()
    count = sum(row[1] for row in rows) + 1
    always = ("passive_reply", True, "当场回复：5 秒之内", "direct reply: within 5 seconds")
    zh, en = (
        f"公众号 {account} 的密钥有效，能做 {count} / {len(rows) + 1} 件事",
        (f"the credentials of {account} work; it may do {count} of {len(rows) + 1} things"),
    )
    found = [ok(zh, en, table=(always, *rows))]
    lacking = [name for name, could, _, _ in rows if not could and name in TABLE[table.kind, table.verified]]
    if lacking:
        names = ", ".join(lacking)
        found.append(
            warning(
                f"公众号 {account} 按类型应当能做，平台却拒绝了（48001）：{names}",
                f"{account} should be able to by its kind, but the platform refuses (48001): {names}",
                "核对 kind 和 verified；在公众平台“接口权限”里看是否过期",
                "check kind and verified, and the platform's page of API permissions",
                look.where(*path, "kind"),
            )
        )
    return found


def _token_fault(look: Look, account: str, code: int, said: str, path: Any) -> Finding:
    ip = (_ADDRESS.search(said) or ["", "?"])[1]
    if code in _TOKEN_FAULTS:
        key, zh, en, mend_zh, mend_en = (part.format(ip=ip) for part in _TOKEN_FAULTS[code])
        where = look.where(*path, key)
        return fault(f"{account}：{zh}（{code}）", f"{account}: {en} ({code})", mend_zh, mend_en, where)
    where = look.where(*path, "api_url" if code == 0 else "app_id")
    return fault(
        f"{account}：拿不到 access_token（{scrub(said)}）",
        f"{account}: no access token ({scrub(said)})",
        "看“外部主机”一项；错误码的说明见 docs/wechat.zh.md",
        "see the outbound hosts above; docs/wechat.md explains the codes",
        where,
    )


_NAMES = {
    "customer_service": ("客服消息", "customer-service messages"),
    "mass": ("按名单群发", "mass sends to a list"),
    "mass_by_tag": ("按标签群发和预览", "mass sends by tag, previews"),
    "articles": ("图文消息", "articles"),
    "notices": ("订阅通知", "subscription notices"),
    "templates": ("模板消息", "template messages"),
    "scene_codes": ("场景二维码", "QR codes with a scene"),
    "menu": ("自定义菜单", "menu"),
    "media": ("图片", "pictures"),
    "followers": ("关注者列表和用户信息", "list of followers and what is known of them"),
}
# Calls that change nothing for anybody: a capability, the method, the path, and what goes along.
_PROBES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "menu": ("GET", "menu/get", {}),
    "followers": ("GET", "user/get", {}),
    "scene_codes": (
        "POST",
        "qrcode/create",
        {
            "data": {
                "action_name": "QR_STR_SCENE",
                "expire_seconds": 60,
                "action_info": {"scene": {"scene_str": "doctor"}},
            }
        },
    ),
    "templates": ("GET", "template/get_all_private_template", {}),
}


async def _probed(api: Any) -> dict[str, int]:
    """The error code that each probe met, 0 for none; a probe that got no clear answer is left out."""
    answers = {}

    async def probe(name: str, method: str, path: str, more: dict[str, Any]) -> None:
        try:
            await api.ask(method, path, **more)
            answers[name] = 0
        except Fault as refused:
            if refused.code:
                answers[name] = refused.code

    await asyncio.gather(*[probe(name, *how) for name, how in _PROBES.items()])
    return answers


async def _row(name: str, abilities: Any, answers: dict[str, int]) -> tuple[bool, tuple[str, str]]:
    """Of a capability: whether the account has it, and by whose word."""
    answer = answers.get(name)
    if answer == NO_PERMISSION or not await abilities.has(name):
        zh, en = FALLBACKS[name]
        if answer in (0, NO_MENU):  # better than the table said
            return True, (
                "平台现在说可以，比设置或之前的一次拒绝说的多",
                "the platform allows it now, more than kind says",
            )
        said = ("平台拒绝（48001）：", "refused by the platform (48001): ") if answer == NO_PERMISSION else ("", "")
        return False, (said[0] + zh, said[1] + en)
    if answer in (0, NO_MENU):
        return True, ("平台已确认", "confirmed by the platform")
    return True, ("按账号类型", "by the kind of account")


def telegram(look: Look) -> Iterator[Finding]:
    """Each bot: who it is, and how its updates reach us."""
    yield from asyncio.run(_all(look, "telegram", _telegram))
    if not list(look.accounts("telegram")):
        yield ok("没有启用 Telegram 机器人", "no Telegram bot is enabled")


async def _telegram(look: Look, account: str, table: TelegramAccount, path: Any) -> list[Finding]:
    from telegram.error import InvalidToken, TelegramError

    from bot.telegram.sending import open_bot

    bot, request = open_bot(table.token.get_secret_value(), table.api_url)
    try:
        me = await bot.get_me(read_timeout=look.seconds)
        hook = await bot.get_webhook_info(read_timeout=look.seconds)
    except InvalidToken:
        mend = "在 @BotFather 用 /token 查看或重发", "ask @BotFather by /token"
        where = look.where(*path, "token")
        return [fault(f"{account}：平台不认这个 token", f"{account}: the platform refuses the token", *mend, where)]
    except TelegramError as wrong:
        said = scrub(str(wrong))[:200]
        return [
            fault(
                f"{account}：平台没有好好回应（{said}）",
                f"{account}: no proper answer from the platform ({said})",
                "看“外部主机”一项；api.telegram.org 在一些地区要经代理才能访问",
                "see the outbound hosts above; in some places api.telegram.org needs a proxy",
                look.where(*path, "api_url"),
            )
        ]
    finally:
        await request.shutdown()
    return [
        ok(f"机器人 @{me.username} 的 token 有效", f"the token of @{me.username} works"),
        *_hook(look, account, table, path, hook),
    ]


def _hook(look: Look, account: str, table: TelegramAccount, path: Any, hook: Any) -> Iterator[Finding]:
    where = look.where(*path, "updates")
    start = "启动或重启服务，它会自己登记", "start the service (again): it registers its address itself"
    if table.updates == "polling":
        if hook.url:
            zh, en = (
                f"登记着 webhook {hook.url}，轮询收不到消息",
                f"a webhook is set ({hook.url}): polling gets nothing",
            )
            yield fault(zh, en, *start, where)
    else:
        ours = look.settings.service.public_url + ("/telegram" if account == "main" else f"/telegram/{account}")
        if not hook.url:
            yield fault("还没有登记 webhook", "no webhook is set", *start, where)
        elif hook.url != ours:
            yield fault(
                f"webhook 登记在 {hook.url}，不是 {ours}",
                f"the webhook is set to {hook.url}, not to {ours}",
                f"{start[0]}；如果很快又变回去，是另一个程序在用同一个 token",
                f"{start[1]}; if it changes back, another program uses the same token",
                look.where("service", "public_url"),
            )
        else:
            yield ok("webhook 登记正确", "the webhook is set to us")
    if hook.pending_update_count > _PENDING:
        yield warning(
            f"平台上积压了 {hook.pending_update_count} 条消息（最多保留 24 小时）",
            f"{hook.pending_update_count} updates wait on the platform, which keeps them for 24 hours",
            "看服务是否在运行、数据库是否变慢",
            "see that the service runs and the database is not slow",
        )
    if hook.last_error_date and (datetime.now(UTC) - hook.last_error_date).total_seconds() < _RECENT_SECONDS:
        said = scrub(str(hook.last_error_message or ""))[:200]
        yield warning(
            f"平台最近一次送达失败（{hook.last_error_date:%m-%d %H:%M} UTC）：{said}",
            f"the platform's last delivery that failed ({hook.last_error_date:%m-%d %H:%M} UTC): {said}",
            "看“公开网址”和“平台回调”两项",
            "see the public URL and the callbacks above",
        )
