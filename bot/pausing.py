"""Why an account waits, in words: which one, since when, until when, and what to do next, Chinese and English.

The same sentence stands on a push's page, on the system page and in `koukou push show`. It decides nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from storage.pauses import Pause

_ITSELF = ("到时自动接着发，不漏也不重", "it goes on by itself then; nobody is missed, nobody gets two")
_KEPT = ("其间什么也不丢", "nothing is lost meanwhile")
_RETRIED = ("处理好以后十分钟内自动接着发", "once that is done it goes on by itself within ten minutes")
_PLATFORM = "请管理员登录公众平台看通知并处理", "the administrator reads the platform's notice and acts on it"
_SECRET = (
    "用 koukou doctor 核对这个账号的密钥，改好后重启服务",
    "check the account's secrets with koukou doctor, mend them, and restart the service",
)
# A reason as the channels give it → what it means, what to do, and how it goes on.
REASONS: dict[str, tuple[tuple[str, str], tuple[str, str], tuple[str, str]]] = {
    "day_quota": (
        ("微信当天的接口调用次数用完了（45009）", "WeChat's calls of the day are used up (45009)"),
        (
            "急的话在公众平台把次数清零（每月最多 10 次）",
            "in need, clear the count on the platform's page (10 times a month at most)",
        ),
        _ITSELF,
    ),
    "minute_quota": (
        ("微信这一分钟的调用次数用完了（45011）", "WeChat's calls of this minute are used up (45011)"),
        ("什么也不用做", "nothing needs to be done"),
        _ITSELF,
    ),
    "too_many_requests": (
        ("平台说发得太快", "the platform says that we are too fast"),
        ("常常这样就调低 messages_per_second", "if this is often so, lower messages_per_second"),
        _ITSELF,
    ),
    "token_refused": (("平台不认账号的令牌", "the platform refuses the account's token"), _SECRET, _KEPT),
    "bad_app_id": (("平台不认这个 AppID（40013）", "the platform does not know the AppID (40013)"), _SECRET, _KEPT),
    "bad_app_secret": (("AppSecret 不对（40125）", "the AppSecret is wrong (40125)"), _SECRET, _KEPT),
    "address_not_listed": (
        ("服务器的出口地址不在 IP 白名单里（40164）", "the server's address is not on the IP whitelist (40164)"),
        (
            "在公众平台“基本配置”加上它；koukou doctor 显示是哪个",
            "add it on the platform's basic configuration page; koukou doctor shows which it is",
        ),
        _RETRIED,
    ),
    "app_secret_frozen": (("AppSecret 已被冻结（40243）", "the AppSecret is frozen (40243)"), _PLATFORM, _RETRIED),
    "api_banned": (
        ("平台封禁了账号的接口（48004）", "the platform has banned the account from its API (48004)"),
        _PLATFORM,
        _RETRIED,
    ),
    "api_unauthorised": (("账号没有接口权限（50001）", "the account may not use the API (50001)"), _PLATFORM, _RETRIED),
    "account_limited": (("账号受到平台限制（50002）", "the account is limited (50002)"), _PLATFORM, _RETRIED),
    "address_not_confirmed": (
        ("服务器的出口地址等管理员确认（89503）", "the server's address awaits a confirmation (89503)"),
        ("请管理员在手机上的确认消息里同意", "the administrator agrees in the message on their phone"),
        _RETRIED,
    ),
}
_OTHER = (
    ("平台要求等一等", "the platform wants us to wait"),
    ("老是这样就运行 koukou doctor", "if this goes on, run koukou doctor"),
    _ITSELF,
)


def told(pause: Pause, now: datetime, zone: tzinfo, name: tuple[str, str] | None = None) -> tuple[str, str]:
    """One pause as sentences (Chinese, English), by the clocks of `zone`, where UTC is said with them.

    `name` is the account's as people know it.
    """
    why, todo, then = REASONS.get(pause.reason, _OTHER)
    form = f"%m-%d %H:%M:%S{' UTC' if zone is UTC else ''}"
    since, until = (at.astimezone(zone).strftime(form) for at in (now - pause.since, now + pause.left))
    zh, en = name or (pause.account, pause.account)
    if pause.mass:
        zh, en = f"{zh} 的群发", f"mass sends of {en}"
    return (
        f"{zh} 自 {since} 起暂停，到 {until} 再试：{why[0]}。{todo[0]}；{then[0]}。",
        f"{en}: paused since {since}, tried again at {until}: {why[1]}. What to do: {todo[1]}; {then[1]}.",
    )
