"""The network: hosts we call, the address at which we are called, its certificate, and our own doors behind it.

Everything is asked as a platform would ask it, from here; that an address is reachable from here does not prove that it
is from elsewhere, and nothing here says so.
"""

from __future__ import annotations

import http.client
import secrets
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, urlencode, urlsplit

from bot.doctor import Finding, Look, fault, ok, warning
from bot.wechat.seal import Seal

SOON_DAYS = 14
CLOCK_WARNING_SECONDS = 2.0
CLOCK_FAULT_SECONDS = 30.0  # a platform refuses signatures that are minutes off; passwords by time fail at 30 s
_DATE_BLUR_SECONDS = 1.0  # a Date header has whole seconds
LOCAL = ("127.0.0.1", "localhost", "::1")
_BODY_BYTES = 65_536

# OpenSSL's codes of a certificate that is not believed (openssl-verify(1)).
_EXPIRED, _NOT_YET, _NAME = 10, 9, (62, 64)
_SELF_SIGNED, _NO_ISSUER = (18, 19), (20, 21)


class Unreachable(Exception):
    """There was no answer; `finding` says at which step it ended."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.en)
        self.finding = finding


def port_of(url: SplitResult) -> int:
    """The port of an address, written or not."""
    return url.port or (443 if url.scheme == "https" else 80)


def outside(look: Look) -> Iterator[Finding]:
    """Each host that the settings need: its name, a connection, TLS, an answer, and the time it says it is."""
    needed = {table.api_url: path for name in ("wechat", "telegram") for _, table, path in look.accounts(name)}
    if not needed:
        yield ok("设置里没有要连的外部主机", "the settings need no outbound host")
    for url, path in needed.items():
        began = time.monotonic()
        try:
            _, _, headers = fetch(look, url, "/", where=look.where(*path, "api_url"))
        except Unreachable as broken:
            yield broken.finding
            continue
        took = time.monotonic() - began
        host = urlsplit(url).netloc
        yield ok(f"{host} 可以连接（{took * 1000:.0f} 毫秒）", f"{host} answers ({took * 1000:.0f} ms)")
        if said := headers.get("Date"):
            yield from clock(look, host, parsedate_to_datetime(said), took)


def clock(look: Look, host: str, theirs: datetime, took: float, blur: float = _DATE_BLUR_SECONDS) -> Iterator[Finding]:
    """How far our clock is from another's that was read `took` seconds ago at most and is cut off to `blur` seconds."""
    behind = theirs.timestamp() + blur / 2 + took / 2 - look.now().timestamp()
    sure = max(0.0, abs(behind) - blur / 2 - took / 2)
    zh = f"本机时钟比 {host} {'慢' if behind > 0 else '快'} {abs(behind):.1f} 秒"
    en = f"this machine's clock is {abs(behind):.1f} s {'behind' if behind > 0 else 'ahead of'} {host}"
    if sure <= CLOCK_WARNING_SECONDS:
        yield ok(f"本机时钟与 {host} 一致", f"this machine's clock agrees with {host}")
    else:
        make = fault if sure > CLOCK_FAULT_SECONDS else warning
        yield make(zh, en, "打开自动对时：timedatectl set-ntp true", "turn on NTP: timedatectl set-ntp true")


def public(look: Look) -> Iterator[Finding]:
    """The address people and platforms use: whether our service answers there, and how long its certificate lasts."""
    address = look.settings.service.public_url
    url, where = urlsplit(address), look.where("service", "public_url")
    try:
        if url.scheme == "https":
            yield from certificate(look, url, where)
        status, body, headers = fetch(look, address, "/healthz", where=where)
    except Unreachable as broken:
        yield _not_started(address) if url.hostname in LOCAL and url.scheme == "http" else broken.finding
        return
    if status == 200 and body.strip() == b"ok":
        yield ok(f"{address} 可以从这台机器访问", f"{address} answers, as asked from this machine")
    elif 300 <= status < 400:
        target = headers.get("Location", "")
        yield fault(
            f"{address} 转到了 {target}；平台不跟随跳转",
            f"{address} redirects to {target}; platforms do not follow",
            "把 public_url 改成最终的网址",
            "set public_url to the final address",
            where,
        )
    elif status in (502, 503, 504):
        yield fault(
            f"{address} 的反向代理说服务不在（HTTP {status}）",
            f"the proxy at {address} says that the service is down (HTTP {status})",
            f"启动服务，并让代理转到 {look.settings.service.listen}",
            f"start the service, and let the proxy pass to {look.settings.service.listen}",
            where,
        )
    else:
        yield fault(
            f"{address} 上回应的不是这个服务（/healthz 得到 HTTP {status}）",
            f"something else answers at {address} (/healthz gives HTTP {status})",
            f"让代理把整个网址转到 {look.settings.service.listen}",
            f"let the proxy pass the whole address to {look.settings.service.listen}",
            where,
        )


def _not_started(address: str) -> Finding:
    return warning(
        f"{address} 上没有服务",
        f"nothing serves at {address}",
        "启动服务：koukou serve（或 systemctl start koukou）",
        "start it: koukou serve (or systemctl start koukou)",
    )


def certificate(look: Look, url: SplitResult, where: str) -> Iterator[Finding]:
    """Whether the certificate is believed, for whom it is and until when. Raises Unreachable."""
    host, port = url.hostname or "", port_of(url)
    with _connected(look, host, port, where) as raw:
        try:
            with ssl.create_default_context().wrap_socket(raw, server_hostname=host) as secured:
                told = secured.getpeercert() or {}
        except ssl.SSLCertVerificationError as wrong:
            raise Unreachable(_disbelieved(wrong, host, where)) from None
        except (OSError, ssl.SSLError) as wrong:
            raise Unreachable(_no_tls(wrong, host, port, where)) from None
    until = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(told["notAfter"])), UTC)
    left = (until - look.now()).days
    if left < SOON_DAYS:
        yield warning(
            f"证书还有 {left} 天到期（{until:%Y-%m-%d}）",
            f"the certificate ends in {left} days ({until:%Y-%m-%d})",
            "续期证书，并确认自动续期在运行",
            "renew it, and see that automatic renewal runs",
            where,
        )
    else:
        yield ok(f"证书有效，还有 {left} 天", f"the certificate is valid for another {left} days")


def callbacks(look: Look) -> Iterator[Finding]:
    """Our own doors, knocked at over the public address: WeChat's handshake, and Telegram's with its secret."""
    address = look.settings.service.public_url
    any_door = False
    for account, table, path in look.accounts("wechat"):
        any_door = True
        door = "/wechat" if account == "main" else f"/wechat/{account}"
        yield from _knock_wechat(look, address + door, table.token.get_secret_value(), look.where(*path, "token"))
    for account, table, path in look.accounts("telegram"):
        if table.updates == "webhook":
            any_door = True
            door = "/telegram" if account == "main" else f"/telegram/{account}"
            secret = table.secret_token.get_secret_value()
            yield from _knock_telegram(look, address + door, secret, look.where(*path, "secret_token"))
    if not any_door:
        yield ok("没有要回调的平台", "no platform calls back")


def _knock_wechat(look: Look, url: str, token: str, where: str) -> Iterator[Finding]:
    timestamp, nonce, echo = str(int(look.now().timestamp())), secrets.token_hex(8), secrets.token_hex(8)
    signature = Seal(token, "", "").sign(timestamp.encode(), nonce.encode())
    query = urlencode({"signature": signature, "timestamp": timestamp, "nonce": nonce, "echostr": echo})
    try:
        status, body, _ = fetch(look, url, f"?{query}", where=look.where("service", "public_url"))
    except Unreachable as broken:
        yield broken.finding
        return
    if status == 200 and body == echo.encode():
        yield ok(f"{url} 通过了微信的握手", f"{url} passes WeChat's handshake")
    else:
        yield _door_fault(url, status, "Token", where)


def _knock_telegram(look: Look, url: str, secret: str, where: str) -> Iterator[Finding]:
    headers = {"X-Telegram-Bot-Api-Secret-Token": secret, "Content-Type": "application/json"}
    try:
        # Half an object: with the right secret it is refused as malformed, and nothing is heard.
        status, _, _ = fetch(look, url, "", "POST", headers, b"{", look.where("service", "public_url"))
    except Unreachable as broken:
        yield broken.finding
        return
    if status == 400:
        yield ok(f"{url} 认得 secret_token", f"{url} knows the secret_token")
    else:
        yield _door_fault(url, status, "secret_token", where)


def _door_fault(url: str, status: int, secret: str, where: str) -> Finding:
    if status == 403:
        return fault(
            f"{url} 不认这份设置里的 {secret}",
            f"{url} does not know the {secret} of these settings",
            "正在运行的服务用的是另一份设置：改一致后重启服务",
            "the running service has other settings: make them the same and start it again",
            where,
        )
    if status == 404:
        return fault(
            f"{url} 不存在（HTTP 404）",
            f"{url} is not there (HTTP 404)",
            "重启服务使设置生效，并检查代理没有去掉路径",
            "start the service again so that the settings count, and see that the proxy keeps the path",
            where,
        )
    return fault(
        f"{url} 回应 HTTP {status}",
        f"{url} answers HTTP {status}",
        "看服务和代理的日志",
        "look into the logs of the service and of the proxy",
        where,
    )


def fetch(
    look: Look,
    url: str,
    path: str,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
    where: str = "",
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """One request without following anything: status, the beginning of the body, headers. Raises Unreachable."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", port_of(parts)
    raw = _connected(look, host, port, where)
    try:
        if parts.scheme == "https":
            raw = ssl.create_default_context().wrap_socket(raw, server_hostname=host)
    except ssl.SSLCertVerificationError as wrong:
        raise Unreachable(_disbelieved(wrong, host, where)) from None
    except (OSError, ssl.SSLError) as wrong:
        raise Unreachable(_no_tls(wrong, host, port, where)) from None
    line = http.client.HTTPConnection(host, port)
    line.sock = raw
    try:
        line.request(method, (parts.path + path) or "/", body, headers or {})
        answer = line.getresponse()
        return answer.status, answer.read(_BODY_BYTES), answer.headers
    except (OSError, http.client.HTTPException) as wrong:
        raise Unreachable(
            fault(
                f"{host}:{port} 接受了连接但没有好好回应（{type(wrong).__name__}）",
                f"{host}:{port} took the connection but gave no proper answer ({type(wrong).__name__})",
                "看那一端的日志；http 和 https 写反了也会这样",
                "look into its log; http in place of https does this too",
                where,
            )
        ) from None
    finally:
        line.close()


def _connected(look: Look, host: str, port: int, where: str) -> socket.socket:
    try:
        known = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Unreachable(
            fault(
                f"查不到主机名 {host}",
                f"the name {host} cannot be resolved",
                "检查拼写和本机的 DNS（/etc/resolv.conf）",
                "look at its spelling and at this machine's DNS (/etc/resolv.conf)",
                where,
            )
        ) from None
    try:
        line = socket.create_connection((host, port), timeout=look.seconds)
    except OSError as wrong:
        why = "timed out" if isinstance(wrong, TimeoutError) else (wrong.strerror or str(wrong))
        raise Unreachable(
            fault(
                f"连不上 {host} 的端口 {port}（{known[0][4][0]}：{why}）",
                f"no connection to {host} port {port} ({known[0][4][0]}: {why})",
                "检查防火墙、安全组和出站规则，以及那一端是否在运行",
                "look at firewall, security group and outbound rules, and whether the other end runs",
                where,
            )
        ) from None
    return line


def _no_tls(wrong: Exception, host: str, port: int, where: str) -> Finding:
    why = getattr(wrong, "reason", None) or type(wrong).__name__
    return fault(
        f"{host}:{port} 没有完成 TLS 握手（{why}）",
        f"no TLS handshake with {host}:{port} ({why})",
        "这个端口要由有证书的代理来接；设置示例见 docs/install.zh.md",
        "a proxy with a certificate belongs on this port; docs/install.md shows how",
        where,
    )


def _disbelieved(wrong: ssl.SSLCertVerificationError, host: str, where: str) -> Finding:
    code = wrong.verify_code
    if code in (_EXPIRED, _NOT_YET):
        return fault(
            f"{host} 的证书{'已过期' if code == _EXPIRED else '还没有生效'}",
            f"the certificate of {host} {'has expired' if code == _EXPIRED else 'is not valid yet'}",
            "续期证书（例如 certbot renew）并重新加载代理；同时核对本机时钟",
            "renew it (such as certbot renew) and reload the proxy; look at this machine's clock, too",
            where,
        )
    if code in _NAME:
        return fault(
            f"{host} 的证书是给别的名字的",
            f"the certificate of {host} is for another name",
            f"申请包含 {host} 的证书，或改 public_url",
            f"get a certificate that names {host}, or change public_url",
            where,
        )
    if code in _SELF_SIGNED:
        return fault(
            f"{host} 的证书是自签的，平台不会信任",
            f"the certificate of {host} is self-signed; platforms do not trust it",
            "换成公认机构签发的证书（如 Let’s Encrypt）",
            "use one of a recognised authority, such as Let's Encrypt",
            where,
        )
    if code in _NO_ISSUER:
        return fault(
            f"{host} 的证书链不完整，或签发机构不被信任",
            f"the certificate chain of {host} is incomplete, or its authority is not trusted",
            "让代理发送完整的链（fullchain.pem，而不是 cert.pem）",
            "let the proxy send the whole chain (fullchain.pem, not cert.pem)",
            where,
        )
    return fault(
        f"{host} 的证书不被信任（{wrong.verify_message}）",
        f"the certificate of {host} is not trusted ({wrong.verify_message})",
        "换一张公认机构签发的证书",
        "use a certificate of a recognised authority",
        where,
    )
