"""Settings: what is written wins, what is wrong is named by its place in both languages, and no secret is shown."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import SecretStr

from bot.channels import web
from bot.config import ConfigFault, load
from bot.settings import Settings, WebSettings

ROOT = Path(__file__).parent.parent
WECHAT = {
    "app_id": "wx0123456789abcdef",
    "app_secret": "canary-app-secret",
    "token": "canaryToken",
    "aes_key": "canary" + "A" * 37,
}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text, "utf-8")
    return path


def wechat(**keys: object) -> str:
    lines = "".join(
        f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}\n" for key, value in keys.items()
    )
    return f"[channels.wechat]\nenabled = true\n{lines}"


def faults(path: Path | None, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigFault) as caught:
        load(path, environ or {"LANG": "en_GB.UTF-8"})
    assert "canary" not in str(caught.value)
    return str(caught.value).splitlines()


def test_without_a_file_everything_has_its_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load(None, {})
    assert settings.service.listen == "127.0.0.1:8000"
    assert settings.storage.url == f"sqlite:///{tmp_path}/data/koukou.db"
    assert settings.service.plans == [ROOT / "content" / "family-network"]
    assert [(name, table.enabled) for name, table in settings.accounts("web")] == [("main", True)]
    assert settings.accounts("smoke_signals") == []
    assert settings.warnings() == [] and settings.secrets() == []


def test_the_file_of_the_repository_says_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = load(ROOT / "config.toml", {})
    monkeypatch.chdir(tmp_path)
    assert shipped.model_dump(exclude={"storage"}) == load(None, {}).model_dump(exclude={"storage"})
    assert shipped.storage.url == f"sqlite:///{ROOT}/data/koukou.db"


def model_keys() -> dict[str, set[str]]:
    keys = {".".join(map(str, path)): set(type(table).model_fields) for path, table in Settings().tables()}
    return {table: names - {"accounts"} for table, names in keys.items()}


def test_the_file_names_exactly_the_keys_there_are() -> None:
    text = re.sub(r"(?m)^#(?=[\[\w])", "", (ROOT / "config.toml").read_text("utf-8"))
    data = tomllib.loads(text)
    tables = {name: data[name] for name in ("service", "storage", "console", "sms")}
    tables |= {f"channels.{name}": table for name, table in data["channels"].items()}
    assert {name: set(table) - {"accounts"} for name, table in tables.items()} == model_keys()
    assert [name for name, table in tables.items() if "accounts" in table] == ["channels.wechat", "channels.telegram"]


@pytest.mark.parametrize("page", ["configuration.md", "configuration.zh.md"])
def test_the_pages_explain_exactly_the_keys_there_are(page: str) -> None:
    sections = re.split(r"(?m)^## `\[(.+)\]`$", (ROOT / "docs" / page).read_text("utf-8"))[1:]
    explained = dict(zip(sections[::2], sections[1::2], strict=True))
    assert {table: set(re.findall(r"(?m)^\| `(\w+)` \|", text)) for table, text in explained.items()} == model_keys()
    for path, table in Settings().tables():
        for key, default in table:
            if isinstance(default, bool | int | str) and default != "":
                shown = str(default).lower() if isinstance(default, bool | int) else f'"{default}"'
                assert f"| `{key}` | `{shown}` |" in explained[".".join(map(str, path))]


def test_the_chat_takes_the_settings_of_its_table() -> None:
    assert web.WebSettings.model_validate(dict(WebSettings())).model_dump() == WebSettings().model_dump()


def test_each_fault_is_named_with_its_line(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """[service]
listen = 8000
public_url = "https://x.example/path"
timezone = "Asia/Shangai"
plan = []
trusted_proxies = ["10.0.0.0/8", "ten"]
colour = 1
[storage]
url = "mysql://canary"
[channels.web]
enabled = "yes"
guests_per_hour = 0
[channels.wechat]
tokn = "canary"
kind = "canary"
[chanels.web]
enabled = true
""",
    )
    assert [line.removeprefix(f"{path}:") for line in faults(path)] == [
        "2: service.listen: must be text in quotes",
        "3: service.public_url: must be https://host, without a path",
        "4: service.timezone: not a time zone, such as Asia/Shanghai",
        "5: service.plan: needs at least one item",
        "6: service.trusted_proxies[1]: not an address or network",
        "7: service.colour: unknown key",
        "9: storage.url: must be sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME",
        "11: channels.web.enabled: must be true or false",
        "12: channels.web.guests_per_hour: must be at least 1",
        '14: channels.wechat.tokn: unknown key; did you mean "token"?',
        "15: channels.wechat.kind: must be 'service' or 'subscription'",
        '16: chanels: unknown key; did you mean "channels"?',
    ]


def test_faults_speak_the_language_of_the_service(tmp_path: Path) -> None:
    path = written(tmp_path, "[channels.wechat]\ntokn = 1\n")
    assert faults(path, {"LANG": "zh_CN"}) == [f"{path}:2: channels.wechat.tokn: 没有这个键；是不是想写 “token”？"]
    assert "unknown key" in faults(path, {"LANG": "en_US"})[0]
    path = written(tmp_path, '[service]\nlanguage = "zh"\n[channels.wechat]\ntokn = 1\n')
    assert "没有这个键" in faults(path, {"LANG": "en_US"})[0]
    assert faults(path, {"KOUKOU_SERVICE__PLANN": "x"})[-1].startswith("环境变量 KOUKOU_SERVICE__PLANN: 没有这个键")


def test_an_enabled_account_needs_what_the_platform_gave(tmp_path: Path) -> None:
    path = written(tmp_path, '\n[channels.wechat]\nenabled = true\ntoken = "no"\naes_key = "canary"\n')
    app_id, app_secret, token, aes_key = [line.removeprefix(f"{path}:") for line in faults(path)]
    assert app_id == "2: channels.wechat.app_id: is needed when the channel is enabled"
    assert app_secret == "2: channels.wechat.app_secret: is needed when the channel is enabled"
    assert token.startswith("4: channels.wechat.token: must be 3–32 letters")
    assert aes_key == "5: channels.wechat.aes_key: must be 43 letters or digits"
    assert load(written(tmp_path, wechat(**WECHAT)), {}).channels.wechat.enabled
    plain = {**WECHAT, "aes_key": "", "mode": "plain"}
    assert load(written(tmp_path, wechat(**plain)), {}).channels.wechat.mode == "plain"
    assert load(written(tmp_path, wechat().replace("true", "false")), {}).channels.wechat.app_id == ""


def test_what_only_the_environment_switched_on_is_missed_there(tmp_path: Path) -> None:
    environ = {"LANG": "en", "KOUKOU_CHANNELS__WECHAT__ACCOUNTS__SHOP__ENABLED": "true"}
    found = faults(written(tmp_path, ""), environ)
    assert "environment KOUKOU_CHANNELS__WECHAT__ACCOUNTS__SHOP__TOKEN: is needed when the channel is enabled" in found
    assert len(found) == 4


def test_a_channel_that_is_not_built_is_refused_not_ignored(tmp_path: Path) -> None:
    text = '[channels.telegram]\nenabled = true\ntoken = "1:canary"\nsecret_token = "canary"\n'
    if (ROOT / "bot" / "channels" / "telegram.py").exists():
        assert load(written(tmp_path, text), {}).channels.telegram.enabled
    else:
        assert faults(written(tmp_path, text))[0].endswith("this version has no such channel yet")


def test_further_accounts_have_the_same_keys(tmp_path: Path) -> None:
    shop = wechat(**WECHAT).replace("[channels.wechat]", "[channels.wechat.accounts.shop_2]")
    settings = load(written(tmp_path, wechat(**WECHAT) + shop), {})
    assert [(name, table.app_id) for name, table in settings.accounts("wechat")] == [
        ("main", WECHAT["app_id"]),
        ("shop_2", WECHAT["app_id"]),
    ]
    assert "tokn" in faults(written(tmp_path, shop + "tokn = 1\n"))[0]
    for name in ("main", "Shop", "a__b", "a-b", "1a"):
        assert (
            f"{name!r} cannot name an account" in faults(written(tmp_path, f"[channels.wechat.accounts.{name}]\n"))[0]
        )


def test_the_environment_wins_and_is_read_by_the_type_of_its_key(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("fromAFile\n")
    path = written(tmp_path, '[service]\nlisten = "1.2.3.4:5"\n[channels.wechat]\ntoken = "fromTheFile"\n')
    settings = load(
        path,
        {
            "KOUKOU_SERVICE__LISTEN": "[::1]:80",
            "KOUKOU_SERVICE__PLAN": "a, b",
            "KOUKOU_SERVICE__TRUSTED_PROXIES": '["10.0.0.1", "fd00::/8"]',
            "KOUKOU_CHANNELS__WEB__ENABLED": "False",
            "KOUKOU_CHANNELS__WEB__PAGES_PER_GUEST": "3",
            "KOUKOU_CHANNELS__WECHAT__TOKEN_FILE": "token",
            "KOUKOU_CHANNELS__WECHAT__APP_ID": "",
            "KOUKOU_SERVICE_HOST": "10.1.2.3",
            "KOUKOU_PORT": "tcp://10.1.2.3:80",
            "OTHER__THING": "x",
        },
    )
    assert settings.service.listen == "[::1]:80"
    assert settings.service.plans == [tmp_path / "a", tmp_path / "b"]
    assert settings.service.trusted_proxies == ["10.0.0.1", "fd00::/8"]
    assert (settings.channels.web.enabled, settings.channels.web.pages_per_guest) == (False, 3)
    assert settings.channels.wechat.token.get_secret_value() == "fromAFile"


@pytest.mark.parametrize(
    ("environ", "fault"),
    [
        ({"KOUKOU_CHANELS__WEB__ENABLED": "1"}, 'KOUKOU_CHANELS__WEB__ENABLED: unknown key; did you mean "channels"?'),
        ({"KOUKOU_SERVICE__PUBLICURL": "x"}, 'KOUKOU_SERVICE__PUBLICURL: unknown key; did you mean "public_url"?'),
        ({"KOUKOU_CHANNELS__WECHAT": "canary"}, "KOUKOU_CHANNELS__WECHAT: unknown key"),
        ({"KOUKOU_CHANNELS__WEB__PAGES_PER_GUEST": "canary"}, "PAGES_PER_GUEST: must be a whole number"),
        ({"KOUKOU_STORAGE__SECRET": "canary-short"}, "KOUKOU_STORAGE__SECRET: must be at least 32 bytes"),
        ({"KOUKOU_STORAGE__SECRET_FILE": "missing"}, "KOUKOU_STORAGE__SECRET_FILE: cannot read missing: No such file"),
        (
            {"KOUKOU_CHANNELS__WECHAT__TOKEN": "canary", "KOUKOU_CHANNELS__WECHAT__TOKEN_FILE": "config.toml"},
            "KOUKOU_CHANNELS__WECHAT__TOKEN_FILE: set twice, also as KOUKOU_CHANNELS__WECHAT__TOKEN",
        ),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, environ: dict[str, str], fault: str) -> None:
    (line,) = faults(written(tmp_path, "[channels]\n"), {**environ, "LANG": "en"})
    assert line.startswith("environment ") and fault in line


def test_a_file_that_cannot_be_read_is_one_fault(tmp_path: Path) -> None:
    enabled = {"KOUKOU_CHANNELS__WECHAT__ENABLED": "1", "LANG": "en"}
    assert faults(tmp_path / "none.toml", enabled) == [
        f"{tmp_path}/none.toml: cannot be read: No such file or directory"
    ]
    assert faults(written(tmp_path, "a = 1\nb\n")) == [
        f"{tmp_path}/config.toml:2: not TOML: Expected '=' after a key in a key/value pair"
    ]


def test_secrets_are_listed_for_the_log_and_shown_nowhere(tmp_path: Path) -> None:
    url = "postgres://koukou:canary%2Fpass@db/koukou"
    settings = load(written(tmp_path, f'[storage]\nurl = "{url}"\nsecret = "{"canary" * 6}"\n' + wechat(**WECHAT)), {})
    assert settings.storage.url == "postgresql+psycopg://koukou:canary%2Fpass@db/koukou"
    assert "canary" not in repr(settings) and "canary" not in str(settings)
    assert set(settings.secrets()) == {
        *(value for key, value in WECHAT.items() if key != "app_id"),
        "canary" * 6,
        "canary%2Fpass",
        "canary/pass",
    }
    assert isinstance(settings.channels.wechat.app_secret, SecretStr)


def test_what_works_but_should_not_stay_so_is_warned_of(tmp_path: Path) -> None:
    english = '[service]\nlanguage = "en"\n'
    (warning,) = load(written(tmp_path, english + 'public_url = "http://koukou.example"\n'), {}).warnings()
    assert "no https" in warning
    plain = wechat(**{**WECHAT, "mode": "plain"})
    both = load(written(tmp_path, english + plain), {}).warnings()
    assert len(both) == 2 and "the signature does not cover the body" in both[1]
    assert (
        load(written(tmp_path, '[service]\npublic_url = "https://k.example"\n' + wechat(**WECHAT)), {}).warnings() == []
    )
    (chinese,) = load(written(tmp_path, '[service]\npublic_url = "https://k.example"\n' + plain), {}).warnings()
    assert "签名不覆盖消息正文" in chinese
