"""What the doctor finds on the network: certificates, doors and hosts, each fault served by a local server.

No name or clock is stood in for: certificates are made here and served, dates are sent in headers.
"""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bot.doctor import Look, accounts, reach
from bot.played.telegram import PlayedTelegram
from bot.played.wechat import PlayedWeChat
from bot.wechat.capabilities import FALLBACKS
from storage import kept
from storage.store import Store
from tests.serving import BOT_SECRET, ROOT, Node, free_port
from tests.test_doctor import look, only, severities

Answer = Callable[[str, str, dict[str, str]], tuple[int, dict[str, str], bytes]]
OK: Answer = lambda method, path, headers: (200, {}, b"ok")  # noqa: E731


@contextmanager
def answering(answer: Answer = OK, chain: Path | None = None) -> Iterator[int]:
    """A server on this machine, over TLS with the certificate and key in `chain`; gives its port."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, headers, body = answer(self.command, self.path, dict(self.headers))
            self.send_response_only(status)
            for name, value in ({"Date": format_datetime(datetime.now(UTC), usegmt=True)} | headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that disbelieves hangs up
    if chain:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class Authority:
    """Makes certificates, and is believed by whoever trusts `file`."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, f"tests {folder.parent.name}/{folder.name}"[-60:])]
        )
        self.file = folder / "authority.pem"
        certificate = self._built(self._name, self._key, timedelta(0), timedelta(days=400), [], authority=True)
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _built(
        self, name: x509.Name, key: Any, since: timedelta, until: timedelta, names: list[str], authority: bool
    ) -> x509.Certificate:
        now = datetime.now(UTC) - timedelta(minutes=5)
        built = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + since)
            .not_valid_after(now + until)
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
        )
        if names:
            built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False)
        return built.sign(self._key, hashes.SHA256())

    def chain(self, names: list[str], since: float = 0, until: float = 90, self_signed: bool = False) -> Path:
        """A file with a certificate for these names, valid from and to so many days from now, and its key."""
        key = self._key if self_signed else ec.generate_private_key(ec.SECP256R1())
        name = self._name if self_signed else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        certificate = self._built(name, key, timedelta(days=since), timedelta(days=until), names, authority=False)
        path = self._folder / f"{len(list(self._folder.iterdir()))}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
        return path


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority that this process trusts, beside nobody else."""
    (tmp_path / "pki").mkdir()
    made = Authority(tmp_path / "pki")
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    return made


def at(folder: Path, url: str, more: str = "") -> Look:
    return look(folder, f'[service]\npublic_url = "{url}"\n{more}')


def test_an_address_with_a_good_certificate_is_well(tmp_path: Path, authority: Authority) -> None:
    with answering(chain=authority.chain(["localhost"])) as port:
        found = list(reach.public(at(tmp_path, f"https://localhost:{port}")))
    assert severities(found) == {"ok"}
    assert "another 89 days" in found[0].en


@pytest.mark.parametrize(
    ("how", "severity", "words"),
    [
        ({"until": 5.0}, "warning", ("ends in 4 days",)),
        ({"since": -30.0, "until": -1.0}, "fault", ("has expired", "certbot renew")),
        ({"since": 2.0}, "fault", ("not valid yet",)),
        ({"names": ["other.example"]}, "fault", ("for another name", "config.toml:2:service.public_url")),
        ({"self_signed": True}, "fault", ("self-signed",)),
    ],
)
def test_a_bad_certificate_is_named(
    tmp_path: Path,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    how: dict[str, Any],
    severity: str,
    words: tuple[str, ...],
) -> None:
    chain = authority.chain(**({"names": ["localhost"]} | how))
    if how.get("self_signed"):
        monkeypatch.setenv("SSL_CERT_FILE", str(Authority(_folder(tmp_path / "other")).file))
    with answering(chain=chain) as port:
        found = list(reach.public(at(tmp_path, f"https://localhost:{port}")))
    assert only(found, *words).severity == severity


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_a_chain_without_its_issuer_is_named(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = authority.chain(["localhost"])
    monkeypatch.setenv("SSL_CERT_FILE", str(Authority(_folder(tmp_path / "other")).file))
    with answering(chain=chain) as port:
        found = only(reach.public(at(tmp_path, f"https://localhost:{port}")), "chain of localhost is incomplete")
    assert found.severity == "fault"
    assert "fullchain.pem" in found.mend_en


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda *_: (301, {"Location": "https://www.example.com/"}, b""), ("redirects to https://www.example.com/",)),
        (lambda *_: (502, {}, b"Bad Gateway"), ("the service is down (HTTP 502)", "127.0.0.1:8000")),
        (lambda *_: (200, {}, b"<html>Welcome to nginx"), ("something else answers",)),
        (lambda *_: (404, {}, b""), ("something else answers",)),
    ],
)
def test_an_address_where_we_do_not_answer_is_named(
    tmp_path: Path, authority: Authority, answer: Answer, words: tuple[str, ...]
) -> None:
    with answering(answer, authority.chain(["localhost"])) as port:
        assert only(reach.public(at(tmp_path, f"https://localhost:{port}")), *words).severity == "fault"


def test_a_port_without_tls_and_a_name_that_is_not_there(tmp_path: Path) -> None:
    with answering() as port:
        assert only(reach.public(at(tmp_path, f"https://localhost:{port}")), "no TLS handshake").severity == "fault"
    found = only(reach.public(at(tmp_path, "https://nowhere.invalid")), "nowhere.invalid cannot be resolved")
    assert found.severity == "fault"
    closed = f"https://localhost:{free_port()}"
    assert only(reach.public(at(tmp_path, closed)), "Connection refused").severity == "fault"
    here = f"http://127.0.0.1:{free_port()}"
    assert only(reach.public(at(tmp_path, here)), "nothing serves", "koukou serve").severity == "warning"


def test_a_server_that_never_answers_ends_in_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        saw = at(tmp_path, f"http://localhost:{silent.getsockname()[1]}", "")
        saw.seconds = 0.5
        began = time.monotonic()
        only(reach.public(saw), "nothing serves")
        https = at(tmp_path, f"https://localhost:{silent.getsockname()[1]}", "")
        https.seconds = 0.5
        assert only(reach.public(https), "no TLS handshake").severity == "fault"
        assert time.monotonic() - began < 3


def _platform(port: int) -> str:
    return (
        '[channels.wechat]\nenabled = true\napp_id = "wx1"\napp_secret = "s"\ntoken = "abc"\nmode = "plain"\n'
        f'api_url = "http://127.0.0.1:{port}"\n'
    )


@pytest.mark.parametrize(
    ("seconds", "severity", "word"),
    [(0, "ok", "agrees"), (10, "warning", "behind"), (-10, "warning", "ahead of"), (300, "fault", "set-ntp")],
)
def test_our_clock_is_compared_with_the_platforms(tmp_path: Path, seconds: int, severity: str, word: str) -> None:
    def answer(*_: Any) -> tuple[int, dict[str, str], bytes]:
        return 404, {"Date": format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)}, b""

    with answering(answer) as port:
        found = list(reach.outside(look(tmp_path, _platform(port))))
    assert only(found, "answers (").severity == "ok"
    assert only(found, "clock", word).severity == severity


def test_only_hosts_that_the_settings_need_are_asked(tmp_path: Path) -> None:
    assert severities(reach.outside(look(tmp_path))) == {"ok"}
    found = list(reach.outside(look(tmp_path, _platform(free_port()))))
    assert [one.severity for one in found] == ["fault"]
    assert "config.toml:7:channels.wechat.api_url" in found[0].where


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (403, ("does not know the Token", "channels.wechat.token")),
        (404, ("is not there",)),
        (500, ("answers HTTP 500",)),
        (200, ("answers HTTP 200",)),  # a page that answers everything echoes nothing
    ],
)
def test_a_door_that_does_not_open_is_named(tmp_path: Path, status: int, words: tuple[str, ...]) -> None:
    with answering(lambda *_: (status, {}, b"hello")) as port:
        saw = at(tmp_path, f"http://localhost:{port}", _platform(1))
        assert only(reach.callbacks(saw), *words).severity == "fault"


def _wechat(world: PlayedWeChat, **changed: str) -> str:
    table = {
        "app_id": world.app_id,
        "app_secret": world.app_secret,
        "token": world.token,
        "aes_key": world.aes_key,
        "api_url": world.url,
    } | changed
    return "[channels.wechat]\nenabled = true\n" + "".join(f'{key} = "{value}"\n' for key, value in table.items())


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        ({"app_id": "wx0000000000000000"}, 0, ("does not know this AppID (40013)", "config.toml:3:")),
        ({"app_secret": "not-the-app-secret"}, 0, ("AppSecret is wrong (40125)", "config.toml:4:")),
        ({}, 40164, ("203.0.113.7, is not on its IP whitelist (40164)", "add 203.0.113.7")),
        ({}, 40243, ("AppSecret is frozen (40243)",)),
        ({}, 89503, ("administrator's confirmation (89503)",)),
        ({}, 48004, ("banned",)),
        ({}, 45009, ("day's calls are used up",)),
        ({}, -1, ("no access token",)),
        ({}, 61234, ("no access token", "61234")),
    ],
)
def test_credentials_that_do_not_work_are_named(
    tmp_path: Path, changed: dict[str, str], code: int, words: tuple[str, ...]
) -> None:
    with PlayedWeChat() as world:
        if code:
            world.fail("stable_token", code=code)
        found = list(accounts.wechat(look(tmp_path, _wechat(world, **changed))))
        assert only(found, *words).severity == "fault"
        assert len(found) == 1
        for secret in (world.app_secret, "not-the-app-secret", world.token):
            assert secret not in str(found)


def test_a_platform_that_is_not_there_is_named(tmp_path: Path) -> None:
    with PlayedWeChat() as world:
        written = _wechat(world, api_url=f"http://127.0.0.1:{free_port()}")
    assert only(accounts.wechat(look(tmp_path, written)), "ConnectError", "channels.wechat.api_url").severity == "fault"


def _table(found: list[Any]) -> dict[str, tuple[bool, str]]:
    return {name: (able, en.partition(": ")[2]) for one in found for name, able, _, en in one.table}


def test_what_an_account_may_do_is_shown_as_the_platform_answers(tmp_path: Path) -> None:
    with PlayedWeChat() as world:
        found = list(accounts.wechat(look(tmp_path, _wechat(world))))
        assert severities(found) == {"ok"}
        rows = _table(found)
        assert all(able for able, _ in rows.values())
        assert next(iter(rows)) == "passive_reply"
        assert set(rows) == {"passive_reply", *FALLBACKS}
        assert rows["scene_codes"][1] == rows["menu"][1] == rows["followers"][1] == "confirmed by the platform"
        assert rows["mass"][1] == "by the kind of account"
        assert not world.faults
        assert not world.people


def test_an_account_that_may_do_less_than_the_settings_say(tmp_path: Path) -> None:
    with PlayedWeChat(kind="subscription") as world:
        found = list(accounts.wechat(look(tmp_path, _wechat(world))))
    assert "refused by the platform (48001)" in _table(found)["scene_codes"][1]
    lacking = only(found, "should be able to by its kind")
    assert lacking.severity == "warning"
    assert "scene_codes" in lacking.en
    with PlayedWeChat(kind="service") as world:  # and one that may do more
        found = list(accounts.wechat(look(tmp_path, _wechat(world, kind="subscription"))))
    assert _table(found)["scene_codes"] == (True, "the platform allows it now, more than kind says")


def test_what_serving_nodes_were_refused_is_shown(tmp_path: Path, migrated_file: Path) -> None:
    shutil.copy(migrated_file, tmp_path / "koukou.db")  # all other tests copy this one too
    url = f"sqlite:///{tmp_path}/koukou.db"
    store = Store(url)
    with store.begin() as connection:
        kept.keep(connection, "wechat:main:lacks:mass", {"path": "message/mass/sendall"}, 60)
        kept.keep(connection, "wechat:main:token:wx5823bf96d3bd56c7", {"token": "an old one that proves nothing"}, 60)
    store.close()
    with PlayedWeChat() as world:
        saw = look(tmp_path, _wechat(world) + f'[storage]\nurl = "{url}"\n')
        assert not _table(list(accounts.wechat(saw)))["mass"][0]
        assert world.asked["stable_token"] == 1
    store = Store(url)
    with store.begin() as connection:
        kept.keep(connection, "wechat:main:lacks:mass", {}, 0)
    store.close()


def _bot(world: PlayedTelegram, **changed: str) -> str:
    table = {"token": world.token, "secret_token": BOT_SECRET, "api_url": world.url} | changed
    return "[channels.telegram]\nenabled = true\n" + "".join(f'{key} = "{value}"\n' for key, value in table.items())


def test_a_bots_webhook_is_compared_with_ours(tmp_path: Path) -> None:
    with PlayedTelegram(hurry=50) as world:
        ours = f"http://127.0.0.1:{free_port()}"

        def found(**changed: str) -> list[Any]:
            return list(accounts.telegram(at(tmp_path, ours, _bot(world, **changed))))

        assert only(found(), "no webhook is set").severity == "fault"
        assert severities(found(updates="polling")) == {"ok"}
        wrong = found(token="7012345678:AAHanother-token-that-is-not-known00000")
        assert only(wrong, "refuses the token", "channels.telegram.token").severity == "fault"
        assert "AAHanother" not in str(wrong)
        _ask(world, "setWebhook", url="https://else.example/telegram")
        assert only(found(), "is set to https://else.example/telegram").severity == "fault"
        assert only(found(updates="polling"), "polling gets nothing").severity == "fault"
        time.sleep(1.1)  # the platform takes one setWebhook in a second
        _ask(world, "setWebhook", url=f"{ours}/telegram", secret_token=BOT_SECRET)
        assert severities(found()) == {"ok"}
        world.person().say("/start")
        until = time.monotonic() + 5
        while time.monotonic() < until and not world.hook.error_at:
            time.sleep(0.05)
        assert only(found(), "last delivery that failed").severity == "warning"


def _ask(world: PlayedTelegram, method: str, **arguments: str) -> None:
    body = json.dumps(arguments).encode()
    request = urllib.request.Request(
        f"{world.url}/bot{world.token}/{method}", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert json.load(answer)["ok"]


def test_a_bot_api_that_is_not_there_is_named(tmp_path: Path) -> None:
    written = (
        '[channels.telegram]\nenabled = true\ntoken = "1:abc"\nsecret_token = "s"\n'
        f'api_url = "http://127.0.0.1:{free_port()}"\n'
    )
    found = only(accounts.telegram(look(tmp_path, written)), "no proper answer", "api_url")
    assert found.severity == "fault"


def _koukou(config: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("KOUKOU_", "LC_"))}
    command = [sys.executable, "-m", "bot", "--config", str(config), *words]
    return subprocess.run(
        command, cwd=ROOT, env={**ours, "LANG": "en_US.UTF-8", **environ}, capture_output=True, text=True, timeout=60
    )


def test_the_doctor_of_a_serving_installation(tmp_path: Path) -> None:
    """Everything at once as an operator runs it: a serving node, both platforms, doors that open, no secret shown."""
    with PlayedWeChat() as world, PlayedTelegram() as telegram:
        node = Node(tmp_path, f"sqlite:///{tmp_path}/koukou.db", free_port(), world, telegram)
        here = f"http://127.0.0.1:{node.port}"
        node.config.write_text(node.config.read_text().replace("[service]\n", f'[service]\npublic_url = "{here}"\n'))
        node.config.chmod(0o600)
        asyncio.run(_until_hooked(node, telegram))
        try:
            done = _koukou(node.config, "doctor", "--json")
            node.config.write_text(node.config.read_text().replace(world.token, "another_token"))
            again = _koukou(node.config, "doctor")
        finally:
            node.kill()
    report = json.loads(done.stdout)
    bad = {one["check"] for one in report["findings"] if one["severity"] == "fault"}
    assert bad == {"settings"}, [one for one in report["findings"] if one["severity"] == "fault"]  # 127.0.0.1, no https
    assert done.returncode == 1
    said = [one["message"]["en"] for one in report["findings"]]
    assert f"{here}/wechat passes WeChat's handshake" in said
    assert f"{here}/telegram knows the secret_token" in said
    assert "the webhook is set to us" in said
    assert "serving processes alive: 1" in said
    assert next(len(one["table"]) for one in report["findings"] if one.get("table")) == 1 + len(FALLBACKS)
    assert re.search("✓ customer_service +customer-service messages: by the kind", again.stdout)
    assert "→" in again.stdout
    for secret in (world.app_secret, world.token, world.aes_key, telegram.token, BOT_SECRET):
        assert secret not in done.stdout + done.stderr + again.stdout + again.stderr
    assert "does not know the Token" in again.stdout


async def _until_hooked(node: Node, telegram: PlayedTelegram) -> None:
    await node.begin()
    for _ in range(100):
        if telegram.hook.url:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(node.log.read_text()[-2000:])


def test_the_doctors_exit_codes_and_languages(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[storage]\nurl = "sqlite:///{tmp_path}/koukou.db"\n')
    done = _koukou(config, "doctor", "--offline")
    assert done.returncode == 0, done.stdout
    assert "0 faults" in done.stdout
    assert "public URL" not in done.stdout
    assert not done.stderr
    config.write_text('[channels.wechat]\ntokn = "hidden-token"\n')
    broken = _koukou(config, "doctor", "--json")
    assert broken.returncode == 1
    assert json.loads(broken.stdout)["findings"][0]["where"] == f"{config}:2:channels.wechat.tokn"
    plain = _koukou(config, "doctor")
    assert plain.returncode == 1
    assert "did you mean" in plain.stderr
    assert "hidden-token" not in broken.stdout + plain.stderr


def test_who_watches_sees_that_it_goes_on(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[storage]\nurl = "sqlite:///{tmp_path}/koukou.db"\n')
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "bot", "--config", str(config), "doctor", "--offline"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("KOUKOU_", "LC_"))}
    done = subprocess.run(
        command, cwd=ROOT, env={**environ, "LANG": "zh_CN.UTF-8"}, stdout=subprocess.PIPE, stderr=theirs, timeout=60
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65_536):
            shown += piece
    except OSError:
        pass
    os.close(ours)
    assert done.returncode == 0
    assert "0 个错误" in done.stdout.decode()
    assert b"1/7 " in shown
    assert b"7/7 " in shown
