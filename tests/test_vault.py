"""Keys: people are found only with the secret, details open only under their own key, the secret is made once."""

from __future__ import annotations

import hashlib
import hmac
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from storage import schema
from storage.store import Store
from storage.vault import SecretMissing, Vault, secret_for

SECRET = b"a secret that is long enough to use"
VAULT = Vault(SECRET)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=200)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path / 'koukou.db'}")
    schema.upgrade(opened)
    yield opened
    opened.close()


def derived(purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=b"koukou", info=purpose).derive(SECRET)


@given(NAMES, NAMES, NAMES)
def test_digest_is_hmac_sha256(channel: str, account: str, address: str) -> None:
    message = f"{channel}\0{account}\0{address}".encode()
    wanted = hmac.digest(derived(b"digest"), message, "sha256").hex()[:32]
    assert VAULT.digest(channel, account, address) == wanted


@given(st.text("0123456789abcdef", max_size=64), st.binary(max_size=3000))
def test_link_is_hmac_sha256_over_the_previous_and_the_row(previous: str, payload: bytes) -> None:
    wanted = hmac.new(derived(b"seal"), previous.encode() + b"\0" + payload, hashlib.sha256).hexdigest()
    assert VAULT.mac(previous, payload) == wanted


def test_parts_of_an_identity_do_not_run_together() -> None:
    parts = [("wechat", "main", "x"), ("wechat", "mainx", ""), ("wechatmain", "", "x"), ("web", "main", "x")]
    assert len({VAULT.digest(*part) for part in parts}) == len(parts)


def test_another_secret_finds_and_opens_nothing() -> None:
    other = Vault(SECRET + b"!")
    assert other.digest("web", "main", "x") != VAULT.digest("web", "main", "x")
    assert other.mac("", b"row") != VAULT.mac("", b"row")
    _, wrapped = VAULT.new_person_key()
    with pytest.raises(InvalidTag):
        other.unwrap(wrapped)


@given(st.dictionaries(NAMES, st.one_of(NAMES, st.integers(), st.booleans(), st.none(), st.lists(NAMES)), max_size=8))
def test_what_was_sealed_opens_again_under_its_key_only(data: dict[str, object]) -> None:
    key, wrapped = VAULT.new_person_key()
    sealed = VAULT.seal(key, data)
    assert VAULT.open(VAULT.unwrap(wrapped), sealed) == data
    other, _ = VAULT.new_person_key()
    with pytest.raises(InvalidTag):
        VAULT.open(other, sealed)


@given(st.data())
def test_no_byte_of_what_is_sealed_can_be_changed(data: st.DataObject) -> None:
    key, _ = VAULT.new_person_key()
    sealed = bytearray(VAULT.seal(key, {"name": "王芳", "phone": "13800138000"}))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InvalidTag):
        VAULT.open(key, bytes(sealed))


def test_the_same_details_never_look_the_same() -> None:
    key, _ = VAULT.new_person_key()
    assert len({VAULT.seal(key, {"name": "王芳"}) for _ in range(50)}) == 50


def test_a_short_secret_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Vault(b"x" * 31)
    with pytest.raises(SecretMissing, match="32 bytes"):
        secret_for(store, "x" * 31)


def test_a_configured_secret_is_used_as_it_is(store: Store) -> None:
    assert secret_for(store, SECRET.decode()) == SECRET
    assert not key_file(store).exists()


def test_first_start_makes_a_secret_that_stays(store: Store) -> None:
    secret = secret_for(store, None)
    assert len(secret) == 32
    assert stat.S_IMODE(key_file(store).stat().st_mode) == 0o600
    assert secret_for(store, None) == secret
    assert [path.name for path in key_file(store).parent.glob("*.key*")] == [key_file(store).name]


def test_starting_twice_at_once_makes_one_secret(store: Store) -> None:
    with ThreadPoolExecutor(2) as pool:
        for _ in range(20):
            key_file(store).unlink(missing_ok=True)
            found = {one.result() for one in [pool.submit(secret_for, store, None) for _ in range(2)]}
            assert found == {secret_for(store, None)}


@pytest.mark.parametrize("content", ["", "abc", "zz" * 32, "ab" * 31])
def test_a_damaged_secret_is_not_replaced(store: Store, content: str) -> None:
    key_file(store).write_text(content)
    with pytest.raises(SecretMissing, match="damaged"):
        secret_for(store, None)
    assert key_file(store).read_text() == content


def test_a_lost_secret_is_not_replaced_once_people_are_known(store: Store) -> None:
    secret_for(store, None)
    key_file(store).unlink()
    with store.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO identity (id, subscriber, channel, account, digest, following, heard_kind, sent_since) "
            "VALUES (1, 1, 'web', 'main', 'd', 1, '', 0)"
        )
    with pytest.raises(SecretMissing, match="restore"):
        secret_for(store, None)
    assert not key_file(store).exists()


def test_postgres_needs_a_configured_secret(postgres_url: str) -> None:
    server = Store(postgres_url)
    with pytest.raises(SecretMissing, match="KOUKOU_STORAGE__SECRET"):
        secret_for(server, None)
    assert secret_for(server, SECRET.decode()) == SECRET
    server.close()


def key_file(store: Store) -> Path:
    assert store.path
    return store.path.with_name("koukou.db.key")
