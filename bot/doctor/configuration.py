"""The settings against themselves, the files that hold secrets, and what the plan leaves open.

It asks nobody: what it says can be known from the files alone, and from the applied plan where the database has one.
"""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from bot.config import PREFIX
from bot.doctor import Finding, Look, fault, ok, warning
from bot.doctor.reach import LOCAL, port_of
from bot.settings import Steps
from content.bundle import Bundle
from content.faults import PlanFaults
from storage import health

WECHAT_PORTS = (80, 443)
TELEGRAM_PORTS = (443, 80, 88, 8443)
TELEGRAM = "https://api.telegram.org"
_EVERYWHERE = ("0.0.0.0", "[::]", "::")


def contradictions(look: Look) -> Iterator[Finding]:
    """Settings that are each right and do not fit together."""
    found = [
        *_address(look),
        *_wechat(look),
        *_telegram(look),
        *_sms(look),
        *_shared_keys(look),
        *_proxies(look),
        *_several_nodes(look),
    ]
    yield from found
    if not found:
        yield ok("设置没有互相矛盾", "the settings do not contradict each other")


def _address(look: Look) -> Iterator[Finding]:
    service, where = look.settings.service, look.where("service", "public_url")
    url = urlsplit(service.public_url)
    spoken = [path for name in ("wechat", "telegram") for _, _, path in look.accounts(name)]
    if url.hostname in LOCAL:
        callers = [path for _, _, path in look.accounts("wechat")]
        callers += [path for _, table, path in look.accounts("telegram") if table.updates == "webhook"]
        if callers:
            yield fault(
                "public_url 是本机地址，平台从外面访问不到",
                "public_url is this machine itself, which no platform can reach from outside",
                "填用户访问的网址，例如 https://bot.example.com",
                "set the address people use, such as https://bot.example.com",
                where,
            )
    elif url.scheme != "https":
        yield warning(
            "public_url 没有用 https：口令和聊天内容会明文经过网络" + ("，微信也不会显示海报链接" if spoken else ""),
            "public_url has no https: passwords and chats cross the network in clear",
            "在前面放一个有证书的反向代理（docs/install.zh.md）",
            "put a proxy with a certificate in front (docs/install.md)",
            where,
        )


def _wechat(look: Look) -> Iterator[Finding]:
    url = urlsplit(look.settings.service.public_url)
    for _, table, path in look.accounts("wechat"):
        if port_of(url) not in WECHAT_PORTS:
            yield fault(
                f"微信只访问 80 和 443 端口，public_url 是 {port_of(url)}",
                f"WeChat calls ports 80 and 443 only; public_url has {port_of(url)}",
                "让代理在 443 上接收",
                "let the proxy listen on 443",
                look.where("service", "public_url"),
            )
        key = table.aes_key.get_secret_value()
        if table.mode == "plain":
            yield warning(
                "明文模式：签名不覆盖消息正文，路上的人可以改动" + ("；aes_key 没有用到" if key else ""),
                "plain mode: the signature does not cover the message, which can be changed on the way"
                + ("; aes_key is not used" if key else ""),
                '在公众平台选安全模式，这里写 mode = "safe"',
                'choose the safe mode on the platform and set mode = "safe" here',
                look.where(*path, "mode"),
            )
        if not table.verified:
            kind_zh, kind_en = ("服务号", "service") if table.kind == "service" else ("订阅号", "subscription")
            yield warning(
                f"未认证的{kind_zh}只能当场回复：不能主动发消息、发图片、用场景二维码"
                + ("" if table.kind == "service" else "，方案里的菜单也设不上去"),
                f"an unverified {kind_en} account only answers at once: no messages of its own, pictures or scene codes"
                + ("" if table.kind == "service" else "; the plan's menu cannot be set either"),
                "完成微信认证后写 verified = true",
                "have the account verified, then set verified = true",
                look.where(*path, "verified"),
            )


def _telegram(look: Look) -> Iterator[Finding]:
    url = urlsplit(look.settings.service.public_url)
    for _, table, _ in look.accounts("telegram"):
        if table.updates != "webhook" or table.api_url != TELEGRAM:
            continue  # a Bot API server of one's own takes any address
        polling = '或写 updates = "polling"', 'or set updates = "polling"'
        if url.scheme != "https":
            yield fault(
                "Telegram 的 webhook 必须是 https，public_url 不是",
                "Telegram's webhook must be https, and public_url is not",
                f"给 public_url 配上证书，{polling[0]}",
                f"give public_url a certificate, {polling[1]}",
                look.where("service", "public_url"),
            )
        elif port_of(url) not in TELEGRAM_PORTS:
            yield fault(
                f"Telegram 只访问 443、80、88、8443 端口，public_url 是 {port_of(url)}",
                f"Telegram calls ports 443, 80, 88 and 8443 only; public_url has {port_of(url)}",
                f"换一个端口，{polling[0]}",
                f"use one of these, {polling[1]}",
                look.where("service", "public_url"),
            )


def _sms(look: Look) -> Iterator[Finding]:
    sms = look.settings.sms
    url = urlsplit(sms.url)
    if sms.enabled and url.scheme != "https" and url.hostname not in LOCAL:
        yield warning(
            "短信服务的 url 没有用 https：密钥和手机号会明文经过网络",
            "the url for text messages has no https: the key and people's numbers cross the network in clear",
            "换成 https 的地址，或在本机放一个转接",
            "use an https address, or a proxy on this machine",
            look.where("sms", "url"),
        )


def _shared_keys(look: Look) -> Iterator[Finding]:
    """Two accounts in our settings that are one on the platform would answer each other's people."""
    for channel, key, named in (("wechat", "app_id", "AppID"), ("telegram", "token", "token")):
        seen: dict[str, Steps] = {}
        for _, table, path in look.accounts(channel):
            held = getattr(table, key)
            value = held if isinstance(held, str) else held.get_secret_value()
            if value in seen:
                other = ".".join(map(str, seen[value]))
                yield fault(
                    f"与 {other} 的 {named} 相同",
                    f"has the same {named} as {other}",
                    "每个账号填自己的，或停用其中一个",
                    "give each account its own, or disable one",
                    look.where(*path, key),
                )
            seen[value] = path


def _proxies(look: Look) -> Iterator[Finding]:
    service = look.settings.service
    host = service.listen.rpartition(":")[0].strip("[]")
    public = urlsplit(service.public_url)
    behind = public.hostname not in LOCAL and (public.scheme == "https" or host in LOCAL)
    if behind and not service.trusted_proxies:
        yield warning(
            "前面有代理，但 trusted_proxies 是空的：所有访客看起来是同一个地址，聊天的限额会一起用完",
            "there is a proxy in front but trusted_proxies is empty: all visitors seem to come from one address and "
            "use up its limits together",
            '写上代理的地址，同机的代理是 trusted_proxies = ["127.0.0.1"]',
            'name the proxy; on the same machine it is trusted_proxies = ["127.0.0.1"]',
            look.where("service", "trusted_proxies"),
        )
    if behind and service.listen.rpartition(":")[0] in _EVERYWHERE:
        yield warning(
            f"服务在所有网卡上监听（{service.listen}），可以绕过代理直接访问",
            f"the service listens on every interface ({service.listen}), past the proxy",
            'listen = "127.0.0.1:8000"，或用防火墙只放行代理',
            'listen = "127.0.0.1:8000", or let a firewall pass the proxy alone',
            look.where("service", "listen"),
        )


def _several_nodes(look: Look) -> Iterator[Finding]:
    """PostgreSQL asks for a secret that all nodes share; on SQLite the address of one that many use is a mistake."""
    storage = look.settings.storage
    if health.sqlite_file(storage.url) is None and storage.secret is None:
        yield fault(
            "PostgreSQL 上的节点要有同一个密钥，storage.secret 没有设置",
            "nodes on PostgreSQL share one secret, and storage.secret is not set",
            f"设置 {PREFIX}STORAGE__SECRET_FILE，至少 32 字节，各节点相同",
            f"set {PREFIX}STORAGE__SECRET_FILE, 32 bytes or more, the same on every node",
            look.where("storage", "secret"),
        )
    replicas = look.environ.get("KUBERNETES_SERVICE_HOST") or look.environ.get("WEB_CONCURRENCY", "1") not in (
        "",
        "0",
        "1",
    )
    if replicas and health.sqlite_file(storage.url) is not None:
        yield warning(
            "这里像是会运行几个进程，而 SQLite 只能由一个服务",
            "several processes may run here, and SQLite is served by one alone",
            "只开一个副本，或改用 PostgreSQL",
            "keep one replica, or use PostgreSQL",
            look.where("storage", "url"),
        )


def secret_files(look: Look) -> Iterator[Finding]:
    """Whether somebody else on the machine can read what holds secrets, or what people wrote."""
    open_to_others = list(_readable(look))
    yield from open_to_others
    if not open_to_others:
        yield ok("密钥和数据库只有自己能读", "secrets and database are readable by their owner alone")


def _readable(look: Look) -> Iterator[Finding]:
    holding = {Path(named): ("密钥", "a secret") for named in _secret_files_named(look)}
    if look.file.exists() and _holds_secrets(look):
        holding[look.file] = "密钥", "secrets"
    database = health.sqlite_file(look.settings.storage.url)
    if database:
        holding[database.with_name(database.name + ".key")] = "全部数据的密钥", "the key to all data"
        holding[database] = "用户写的话", "what people wrote"
    for path, (zh, en) in holding.items():
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError:
            continue
        if mode & (stat.S_IRGRP | stat.S_IROTH) and _passable(path.parent):
            make = warning if path == database or not mode & stat.S_IROTH else fault
            yield make(
                f"{path} 里有{zh}，别的用户可以读（权限 {mode:03o}）",
                f"{path} holds {en} and others may read it (mode {mode:03o})",
                f"chmod 600 {path}",
                f"chmod 600 {path}",
            )


def _passable(folder: Path) -> bool:
    """Whether others get as far as into this folder."""
    others = stat.S_IXGRP | stat.S_IXOTH
    return all(one.stat().st_mode & others for one in (folder, *folder.absolute().parents))


def _secret_files_named(look: Look) -> Iterator[str]:
    for variable, value in look.environ.items():
        if variable.startswith(PREFIX) and variable.endswith("_FILE") and value:
            yield str(look.file.parent / Path(value).expanduser())


def _holds_secrets(look: Look) -> bool:
    text = look.file.read_text("utf-8", "replace")
    return any(secret in text for secret in look.settings.secrets() if len(secret) > 2)


def plan(look: Look) -> Iterator[Finding]:
    """Faults of the plan, amounts that are unset, and clauses that this version does not run."""
    from campaigns import running, words

    for name, bundle in _bundles(look):
        if isinstance(bundle, PlanFaults):
            yield fault(f"{name}：{bundle.faults[0].text('zh')}", f"{name}: {bundle.faults[0].text('en')}")
            continue
        faults = bundle.check(running(), words())
        counts = Counter(one.severity for one in faults)
        if counts["fault"]:
            first = next(one for one in faults if one.severity == "fault")
            yield fault(
                f"{name}：{counts['fault']} 个错误，第一个是 {first.text('zh')}",
                f"{name}: {counts['fault']} faults, the first being {first.text('en')}",
                "koukou plan check",
                "koukou plan check",
            )
        unset = [one.key for one in faults if one.severity == "unset"]
        if unset:
            yield warning(
                f"{name}：{len(unset)} 处没有填，这些条款没有运行：{'、'.join(unset[:6])}{'…' if unset[6:] else ''}",
                f"{name}: {len(unset)} amounts are unset and their clauses off: "
                f"{', '.join(unset[:6])}{'…' if unset[6:] else ''}",
                "在 plan.toml 填上，再运行 koukou plan check",
                "fill them in in plan.toml, then koukou plan check",
            )
        idle = [one.key for one in faults if one.severity == "note"]
        if idle:
            yield warning(
                f"{name}：方案写了但这个版本不执行：{'、'.join(idle)}",
                f"{name}: written in the plan but not run by this version: {', '.join(idle)}",
                "向用户承诺之前先确认",
                "be sure before you promise them",
            )
        if not counts:
            yield ok(f"{name}：没有问题", f"{name}: nothing to say")


def _bundles(look: Look) -> Iterator[tuple[str, Bundle | PlanFaults]]:
    """The applied plans, by name and revision; the files of the settings where nothing was applied."""
    from storage import revisions, schema
    from storage.store import DatabaseFault

    found: list[tuple[str, dict[str, bytes]]] = []
    store = health.looking(look.settings.storage.url, look.seconds)
    try:
        if not store.path or store.path.exists():
            with store.read() as connection:
                for campaign in revisions.campaigns(connection) if schema.version(connection) else []:
                    number = revisions.current(connection, campaign)
                    assert number is not None
                    found.append((f"{campaign}#{number}", revisions.files(connection, campaign, number)))
    except DatabaseFault:
        pass  # said by the check of the database
    finally:
        store.close()
    for name, files in found:
        yield name, Bundle.of(files)
    if not found:
        for folder in look.settings.service.plans:
            try:
                yield folder.name, Bundle.read(folder)
            except PlanFaults as unreadable:
                yield folder.name, unreadable
