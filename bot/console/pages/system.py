"""How the installation stands: nodes, queues, rates, what accounts may do, faults, the chain, retention, versions.

The middle of the page is fetched again every few seconds by a small script; without it the page is as good when loaded.
"""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from starlette.responses import Response

from bot.console import ROOT, page
from bot.console.pages.people_words import KINDS_OF, NOTICES
from bot.console.visit import Visit
from bot.pausing import told
from storage import schema, state

WORDS = {
    "title": ("系统状态", "System"),
    "at": ("{when} 的状态", "As of {when}"),
    "live": ("每 5 秒更新", "updated every 5 seconds"),
    "stopped": ("已紧急停止发送，自 {when}", "Sending is stopped since {when}"),
    "going": ("发送正常进行", "Sending goes on"),
    "stop": ("紧急停止", "Emergency stop"),
    "nodes": ("节点", "Nodes"),
    "node": ("节点", "Node"),
    "beat": ("最近心跳", "Last beat"),
    "ago": ("{seconds} 秒前", "{seconds} s ago"),
    "alive": ("在线", "alive"),
    "silent": ("没有响应", "silent"),
    "left": ("已退出", "left"),
    "queues": ("发送队列", "Queues"),
    "account": ("账号", "Account"),
    "lane": ("通道", "Lane"),
    "lane0": ("回复", "replies"),
    "lane1": ("群发", "broadcast"),
    "state": ("状态", "State"),
    "kind": ("类别", "Class"),
    "reminder": ("一般", "reminder"),
    "transactional": ("关键", "transactional"),
    "keyed": ("平台去重", "keyed"),
    "count": ("条数", "Rows"),
    "oldest": ("最早应发", "Oldest due"),
    "empty": ("没有等待发送的内容。", "Nothing waits to be sent."),
    "accounts": ("渠道账号", "Channel accounts"),
    "rate": ("速度", "Rate"),
    "per_second": ("每秒 {count} 条", "{count} a second"),
    "paused": ("暂停，还有 {seconds} 秒", "paused for {seconds} s"),
    "running": ("正常", "going"),
    "fetching": ("用户自己来取", "people fetch"),
    "may": ("能力", "May"),
    "lacks": ("平台已拒绝：{what}", "refused by the platform: {what}"),
    "whole": ("没有被拒绝的能力", "nothing was refused"),
    "troubles": ("最近没有发成的", "Lately not sent"),
    "troubles_hint": ("最近 {count} 条发送之中。", "Among the newest {count} deliveries."),
    "why": ("原因", "Why"),
    "last": ("最近一次", "Last"),
    "no_troubles": ("没有。", "None."),
    "notices": ("服务通知", "Service notices"),
    "notices_hint": (
        "按消息保存期限保留；发不出去的等对方下次来时一并告诉。",
        "Kept as long as message texts; what cannot leave is told with the person's next answer.",
    ),
    "no_notices": ("还没有。", "None yet."),
    "notice": ("内容", "Notice"),
    "way": ("方式", "Way"),
    **{f"{what}_{code}": pair for what in ("notice", "state", "way") for code, pair in NOTICES[what].items()},
    "chain": ("账本和记录的链", "The chain of ledger and records"),
    "head": ("链头", "Head"),
    "lag": ("还没封入", "Not sealed yet"),
    "rows": ("{count} 行", "{count} rows"),
    "more": ("超过 {count} 行", "more than {count} rows"),
    "retention": ("保存期限", "Retention"),
    "text_days": ("消息内容保存", "Message texts are kept"),
    "days": ("{count} 天", "{count} days"),
    "oldest_text": ("现存最早的消息内容", "Oldest text kept"),
    "versions": ("版本", "Versions"),
    "schema": ("数据库结构", "Schema"),
    "newest": ("{version}（最新）", "{version} (newest)"),
    "behind": ("{version}，程序需要 {needed}", "{version}; this program needs {needed}"),
    "database": ("数据库", "Database"),
    "program": ("口口相传", "Koukou"),
    "python": ("Python", "Python"),
    "customer_service": ("客服消息", "customer-service messages"),
    "media": ("图片素材", "pictures"),
    "menu": ("菜单", "menu"),
    "followers": ("关注者名单", "list of followers"),
    "scene_codes": ("带参二维码", "scene codes"),
    "templates": ("模板消息", "templates"),
    "mass": ("群发", "mass sends"),
}
SYSTEM = f"{ROOT}/system"
_SILENT_SECONDS = 30


@page(SYSTEM, "system.read", menu=("系统", "System"), order=60)
async def system(visit: Visit) -> Response:
    """The whole page."""
    return visit.show("system.html", WORDS, **await _told(visit))


@page(f"{SYSTEM}/now", "system.read")
async def now(visit: Visit) -> Response:
    """Its living part alone, for the script."""
    return visit.show("system_now.html", WORDS, **await _told(visit))


async def _told(visit: Visit) -> dict[str, Any]:
    seen = await visit.read(state.read)
    accounts = [
        (f"{one.name}:{one.account}", None if one.pulls() else f"{one.per_second:g}") for one in visit.app.channels
    ]
    return {
        "seen": seen,
        "accounts": accounts,
        "pauses": {row["account"]: row["pause"] for row in seen["rates"]},
        "waits": [visit.tell(*told(one, visit.now, visit.app.writer.library.plan.zone)) for one in seen["pauses"]],
        "silent": _SILENT_SECONDS,
        "most": state.LAG_MAX,
        "lately": state.LATELY,
        "needed": schema.head(),
        "text_days": visit.app.writer.library.plan.privacy.text_days,
        "program": _version(),
        "python": platform.python_version(),
        "say": lambda what, code: visit.tell(*KINDS_OF[what][code]) if code in KINDS_OF[what] else code,
    }


def _version() -> str:
    try:
        return version("koukou")
    except PackageNotFoundError:
        return "–"
