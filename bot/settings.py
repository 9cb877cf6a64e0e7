"""Every table and key of `config.toml`: its name, its form, its default, and what an enabled channel cannot lack.

It says what is wrong in Chinese and English. It reads no file and no environment; `bot/config.py` does.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Set
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_core import PydanticCustomError

from campaigns.notices import KINDS, PUSH, SHOWN_IN_ALL

Steps = tuple[str | int, ...]

MAIN = "main"
SHIPPED_PLAN = "content/family-network"
_ACCOUNT = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_NEEDED = ("启用这个渠道就要填写", "is needed when the channel is enabled")


def _wrong(zh: str, en: str) -> PydanticCustomError:
    return PydanticCustomError("said", "{en}", {"zh": zh, "en": en})


def _matching(pattern: str, zh: str, en: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise _wrong(zh, en)
        return value

    return AfterValidator(check)


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise _wrong("不是时区名，例如 Asia/Shanghai", "not a time zone, such as Asia/Shanghai") from None
    return value


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise _wrong("不是 IP 地址或网段", "not an address or network") from None
    return value


def _account_names(accounts: dict[str, Any]) -> dict[str, Any]:
    for name in accounts:
        if name == MAIN or len(name) > 32 or not _ACCOUNT.fullmatch(name):
            raise _wrong(
                f"账号名 {name!r} 不能用：小写字母开头，只含小写字母、数字和单个下划线，最长 32；main 是上一级的表",
                f"{name!r} cannot name an account: small letters, digits and single underscores, at most 32, "
                "a letter first; main is the table above",
            )
    return accounts


def _formed(key: str, value: SecretStr, pattern: str, zh: str, en: str) -> Iterator[tuple[str, str, str]]:
    """The fault of a secret that is missing or not of its form, if any."""
    text = value.get_secret_value()
    if not text:
        yield key, *_NEEDED
    elif not re.fullmatch(pattern, text):
        yield key, f"要写成 {zh}", f"must be {en}"


Origin = Annotated[
    str,
    AfterValidator(lambda url: url.rstrip("/")),
    _matching(r"https?://[^\s/?#@]+", "要写成 https://主机名，不带路径", "must be https://host, without a path"),
]
Folders = Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]
StorageUrl = Annotated[
    str,
    AfterValidator(lambda url: re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url)),
    _matching(
        r"sqlite:///.+|postgresql\+psycopg://.*",
        "要写成 sqlite:///文件 或 postgresql://用户:口令@主机/库",
        "must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME",
    ),
]


class Table(BaseModel):
    """A table of the file: no key that is not declared, no value of another type, nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    def lacks(self) -> Iterator[tuple[str, str, str]]:
        """Each key that this table needs and lacks or has wrong, with the reason in Chinese and in English."""
        return iter(())


class ServiceSettings(Table):
    """`[service]`: where the service listens, what it speaks, and which plans it runs."""

    listen: Annotated[
        str, _matching(r"(\[[0-9a-fA-F:.]+\]|[^\s:/]+):\d{1,5}", "要写成 地址:端口", "must be ADDRESS:PORT")
    ] = "127.0.0.1:8000"
    public_url: Origin = "http://127.0.0.1:8000"
    language: Literal["zh", "en"] = "zh"
    timezone: Annotated[str, AfterValidator(_zone)] = "Asia/Shanghai"
    plan: Folders = Field([SHIPPED_PLAN], min_length=1)
    trusted_proxies: list[Annotated[str, AfterValidator(_network)]] = []

    @property
    def plans(self) -> list[Path]:
        """The folders of the plans, in order."""
        return [Path(folder) for folder in self.plan]


class StorageSettings(Table):
    """`[storage]`: the database, the secret from which all keys are derived (None: a file beside the database), and
    the journal of erasures (empty: beside the database, on PostgreSQL `data/koukou.erasures`)."""

    url: StorageUrl = Field("sqlite:///data/koukou.db", repr=False)
    secret: SecretStr | None = None
    erasures: str = ""

    def lacks(self) -> Iterator[tuple[str, str, str]]:
        """A secret that is too short."""
        if self.secret and len(self.secret.get_secret_value().encode()) < 32:
            yield "secret", "至少要 32 字节", "must be at least 32 bytes"


class ConsoleSettings(Table):
    """`[console]`: the staff pages; how long a log-in lasts, and whether acts of value take a second person."""

    enabled: bool = True
    session_hours: int = Field(12, ge=1)
    idle_minutes: int = Field(60, ge=1)
    second_person: bool = True


class WebSettings(Table):
    """`[channels.web]`: the chat on our own page and its limits against abuse, each per serving process."""

    enabled: bool = True
    guests_per_hour: int = Field(20, ge=1)
    messages_per_10_seconds: int = Field(20, ge=1)
    pages_per_guest: int = Field(8, ge=1)


class NoticeTemplates(Table):
    """`[channels.wechat.notices.<kind>]`: by which templates of the account a kind of service notice may be sent, and
    what stands in their fields."""

    template: str = ""
    template_fields: dict[str, str] = {}
    subscription: str = ""
    subscription_fields: dict[str, str] = {}


def _notice_templates(known: dict[str, NoticeTemplates]) -> dict[str, NoticeTemplates]:
    for kind, templates in known.items():
        if kind not in KINDS:
            kinds = ", ".join(sorted(KINDS))
            raise _wrong(f"没有叫 {kind!r} 的通知；有：{kinds}", f"no notice is called {kind!r}; there are: {kinds}")
        if kind == PUSH and templates.template:
            raise _wrong(
                "推送不能用模板消息发（平台不许营销）；请填 subscription",
                "a push cannot be a template message, which may carry no marketing; set subscription",
            )
        may = KINDS[kind] | SHOWN_IN_ALL
        for name, fields in (
            (templates.template, templates.template_fields),
            (templates.subscription, templates.subscription_fields),
        ):
            if bool(name) != bool(fields):
                raise _wrong(f"{kind}：模板编号和字段要一起填", f"{kind}: a template and its fields come together")
            for value in fields.values():
                _check_field(value, may)
    return known


def _check_field(value: str, may: Set[str]) -> None:
    try:
        named = {name for _, name, form, way in Formatter().parse(value) if name is not None and not (form or way)}
        odd = [name for _, name, form, way in Formatter().parse(value) if form or way]
    except ValueError:
        named, odd = {value}, []
    if odd or not named <= may:
        shown = ", ".join(f"{{{name}}}" for name in sorted(may))
        raise _wrong(f"{value!r} 里只能用 {shown}", f"only {shown} may stand in {value!r}")


class WeChatAccount(Table):
    """One official account; the keys stand on the platform's developer page under the same names."""

    enabled: bool = False
    kind: Literal["service", "subscription"] = "service"
    verified: bool = True
    app_id: str = ""
    app_secret: SecretStr = SecretStr("")
    token: SecretStr = SecretStr("")
    aes_key: SecretStr = SecretStr("")
    mode: Literal["safe", "compatible", "plain"] = "safe"
    api_url: Origin = "https://api.weixin.qq.com"
    oauth_url: Origin = "https://open.weixin.qq.com"
    notices: Annotated[dict[str, NoticeTemplates], AfterValidator(_notice_templates)] = {}

    @property
    def asking(self) -> dict[str, str]:
        """The templates for which our page may ask a yes, by kind of notice; none where the account may not."""
        if not (self.enabled and self.kind == "service" and self.verified):
            return {}
        return {kind: known.subscription for kind, known in self.notices.items() if known.subscription}

    @property
    def push_template(self) -> str:
        """The template by which a push may go to who agreed to one; empty where there is none."""
        return self.asking.get(PUSH, "")

    def lacks(self) -> Iterator[tuple[str, str, str]]:
        """What the platform gives every account, in the form it gives it."""
        if not self.enabled:
            return
        for key, value in (("app_id", self.app_id), ("app_secret", self.app_secret.get_secret_value())):
            if not value:
                yield key, *_NEEDED
        letters = ("3 到 32 个字母、数字、_ 或 -", "3–32 letters, digits, _ or -")
        yield from _formed("token", self.token, r"[A-Za-z0-9_-]{3,32}", *letters)
        if self.mode != "plain" or self.aes_key.get_secret_value():
            yield from _formed("aes_key", self.aes_key, r"[A-Za-z0-9]{43}", "43 个字母或数字", "43 letters or digits")


class WeChatSettings(WeChatAccount):
    """`[channels.wechat]`: the account `main`, and further ones by name."""

    accounts: Annotated[dict[str, WeChatAccount], AfterValidator(_account_names)] = {}


class TelegramAccount(Table):
    """One Telegram bot."""

    enabled: bool = False
    token: SecretStr = SecretStr("")
    secret_token: SecretStr = SecretStr("")
    updates: Literal["webhook", "polling"] = "webhook"
    api_url: Origin = "https://api.telegram.org"
    messages_per_second: int = Field(30, ge=1)

    def lacks(self) -> Iterator[tuple[str, str, str]]:
        """The bot's token, and for a webhook the secret that its requests carry."""
        if not self.enabled:
            return
        yield from _formed("token", self.token, r"\d+:[A-Za-z0-9_-]+", "形如 123456:ABC", "of the form 123456:ABC")
        if self.updates == "webhook" or self.secret_token.get_secret_value():
            form = ("1 到 256 个字母、数字、_ 或 -", "1–256 letters, digits, _ or -")
            yield from _formed("secret_token", self.secret_token, r"[A-Za-z0-9_-]{1,256}", *form)


class TelegramSettings(TelegramAccount):
    """`[channels.telegram]`: the bot `main`, and further ones by name."""

    accounts: Annotated[dict[str, TelegramAccount], AfterValidator(_account_names)] = {}


class SmsSettings(Table):
    """`[sms]`: the provider by which service notices go to whoever gave a number, when no other way is open."""

    enabled: bool = False
    url: Annotated[
        str, _matching(r"(https?://[^\s@]+)?", "要写成 https://…", "must be https://…, without a user in it")
    ] = ""
    key: SecretStr = SecretStr("")
    signature: str = Field("", max_length=20)
    messages_per_second: int = Field(5, ge=1)

    def lacks(self) -> Iterator[tuple[str, str, str]]:
        """Where to send, and the key that the provider gave."""
        if self.enabled:
            for key, value in (("url", self.url), ("key", self.key.get_secret_value())):
                if not value:
                    yield key, "启用短信就要填写", "is needed when text messages are enabled"


class ChannelSettings(Table):
    """`[channels]`: one table per channel."""

    web: WebSettings = WebSettings()
    wechat: WeChatSettings = WeChatSettings()
    telegram: TelegramSettings = TelegramSettings()


class Settings(Table):
    """All settings, with paths made absolute. Secrets show as `**********` wherever it is printed."""

    service: ServiceSettings = ServiceSettings()
    storage: StorageSettings = StorageSettings()
    console: ConsoleSettings = ConsoleSettings()
    sms: SmsSettings = SmsSettings()
    channels: ChannelSettings = ChannelSettings()

    def tables(self) -> Iterator[tuple[Steps, Table]]:
        """Every table that holds keys, by its path, further accounts included."""
        yield ("service",), self.service
        yield ("storage",), self.storage
        yield ("console",), self.console
        yield ("sms",), self.sms
        for channel in type(self.channels).model_fields:
            for account, table in self.accounts(channel):
                yield ("channels", channel, *(() if account == MAIN else ("accounts", account))), table

    def accounts(self, channel: str) -> list[tuple[str, Any]]:
        """The accounts of a channel by name, `main` first, enabled or not; none for a channel that has no table."""
        table = getattr(self.channels, channel, None)
        return [(MAIN, table), *getattr(table, "accounts", {}).items()] if table else []

    @property
    def asking(self) -> dict[str, dict[str, str]]:
        """By account (`wechat:main`), the templates for which a page of ours may ask a yes, by kind of notice."""
        return {f"wechat:{name}": table.asking for name, table in self.accounts("wechat")}

    def secrets(self) -> list[str]:
        """Every value that must never be written anywhere."""
        found = {one.get_secret_value() for _, table in self.tables() for _, one in table if isinstance(one, SecretStr)}
        found.add(unquote(_password(self.storage.url)))
        found.add(_password(self.storage.url))
        return sorted(found - {""})

    def warnings(self) -> list[str]:
        """What works but should not stay so, in the language of the service."""
        zh = self.service.language == "zh"
        found = []
        spoken = [(path, table) for path, table in self.tables() if "api_url" in dict(table) and dict(table)["enabled"]]
        url = urlsplit(self.service.public_url)
        if url.scheme != "https" and (spoken or url.hostname not in ("127.0.0.1", "localhost", "::1")):
            found.append(
                "service.public_url 没有用 https：口令和聊天内容会明文经过网络"
                if zh
                else "service.public_url has no https: passwords and chats cross the network in clear"
            )
        for path, table in spoken:
            mode = getattr(table, "mode", "safe")
            if mode != "safe":
                found.append(
                    f'{dotted(path)}.mode = "{mode}"：签名不覆盖消息正文，路上的人可以改动；请在公众平台改为安全模式'
                    if zh
                    else f'{dotted(path)}.mode = "{mode}": the signature does not cover the body, which can be changed '
                    "on the way; choose the safe mode on the platform"
                )
        return found


def dotted(path: Steps) -> str:
    """`service.trusted_proxies[1]`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def _password(url: str) -> str:
    return urlsplit(url).password or ""
