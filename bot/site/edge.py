"""What every public address of ours shares: security headers, the language asked for, who asks, and from where.

It reads requests and knows nothing about people, plans or channels.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from starlette.requests import Request

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def language_asked(request: Request, languages: Sequence[str], fallback: str) -> str:
    """The first of `languages` that the request names: `?lang=`, then Accept-Language by weight, else `fallback`."""
    chosen = request.query_params.get("lang", "")
    if chosen in languages:
        return chosen
    ranked: list[tuple[float, int, str]] = []
    for place, part in enumerate(request.headers.get("accept-language", "")[:400].split(",")):
        match = re.fullmatch(r"\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9-]*)?\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\s*", part)
        if match and match[1].lower() in languages and float(match[2] or 1) > 0:
            ranked.append((-float(match[2] or 1), place, match[1].lower()))
    return min(ranked)[2] if ranked else fallback


def caller_network(request: Request, trusted_proxies: Iterable[str]) -> str:
    """The network that asks, as limits count it: an IPv4 address or an IPv6 /64.

    X-Forwarded-For counts only as far as it was written by `trusted_proxies` (addresses or networks): it is read from
    its end, and the first address that is not a trusted proxy is the caller.
    """
    trusted = [ipaddress.ip_network(proxy, strict=False) for proxy in trusted_proxies]
    caller = _address(request.client.host if request.client else "")
    hops = [hop for line in request.headers.getlist("x-forwarded-for") for hop in line.split(",")]
    while caller and hops and any(caller in network for network in trusted):
        hop = _address(hops.pop().strip())
        if hop is None:
            break
        caller = hop
    if caller is None:
        return "unknown"
    return str(caller) if caller.version == 4 else str(ipaddress.ip_network((caller, 64), strict=False))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def from_our_page(request: Request, public_url: str) -> bool:
    """Whether one of our own pages asks, as far as a browser tells; clients that are no browsers send neither header.

    Fetch metadata (W3C) decides where the browser has it, else Origin against the Host asked for and `public_url`.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or _host(origin) in (request.headers.get("host"), _host(public_url))


def _host(url: str) -> str:
    """Host and port as a Host header has them; `-`, which no host is called, when there is none."""
    try:
        return urlsplit(url).netloc or "-"
    except ValueError:
        return "-"


class Buckets:
    """Token buckets by key, in this process only, on machine time: `burst` at once, refilled evenly over `seconds`.

    At most `keys` are remembered; the one unused for longest is forgotten first, which can only be too kind.
    """

    def __init__(self, burst: int, seconds: float, keys: int = 20_000) -> None:
        self._burst, self._seconds, self._keys = burst, seconds, keys
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Take one token; 0.0 when there was one, else the seconds until there will be."""
        now = time.monotonic()
        level, since = self._levels.pop(key, (float(self._burst), now))
        level = min(float(self._burst), level + (now - since) * self._burst / self._seconds)
        wait = 0.0 if level >= 1 else (1 - level) * self._seconds / self._burst
        self._levels[key] = (level if wait else level - 1, now)
        if len(self._levels) > self._keys:
            self._levels.popitem(last=False)
        return wait
