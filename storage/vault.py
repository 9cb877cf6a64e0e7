"""All keys of an installation, derived from one secret that is never in the database.

It finds people by a keyed hash, encrypts what they told us under a key of their own, and chains the sealed order.
"""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from storage.store import Store

SECRET_BYTES_MIN = 32
_NONCE_BYTES = 12


class SecretMissing(Exception):
    """There is no secret to derive keys from; the message says in both languages where it belongs."""


class _Hmac:
    """HMAC-SHA256 with both of its padded keys hashed once: half the time of the library's own on every message."""

    def __init__(self, key: bytes) -> None:
        padded = key.ljust(sha256().block_size, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in padded))

    def of(self, message: bytes) -> str:
        """The code of a message, in hex digits."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.hexdigest()


class Vault:
    """Made once per process. Raises ValueError for a secret that is too short."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < SECRET_BYTES_MIN:
            raise ValueError(f"the storage secret needs at least {SECRET_BYTES_MIN} bytes")
        self._digest = _Hmac(_derive(secret, b"digest"))
        self._seal = _Hmac(_derive(secret, b"seal"))
        self._wrap = AESGCM(_derive(secret, b"wrap"))
        self._backup = _Hmac(_derive(secret, b"backup"))
        self._hide = AESGCM(_derive(secret, b"hide"))

    def digest(self, channel: str, account: str, address: str) -> str:
        """The keyed hash (32 hex digits) by which an identity is found."""
        return self._digest.of(f"{channel}\0{account}\0{address}".encode())[:32]

    def mac(self, previous: str, payload: bytes) -> str:
        """The next link of the chain (64 hex digits)."""
        return self._seal.of(previous.encode() + b"\0" + payload)

    def sign(self, document: bytes) -> str:
        """The code (64 hex digits) that says a backup's manifest was written under this secret."""
        return self._backup.of(document)

    def new_person_key(self) -> tuple[bytes, bytes]:
        """A fresh key for one person, and the same wrapped as it is stored."""
        key = AESGCM.generate_key(256)
        return key, _encrypt(self._wrap, key)

    def unwrap(self, wrapped: bytes) -> bytes:
        """The person's key. Raises cryptography.exceptions.InvalidTag when the secret is another one."""
        return _decrypt(self._wrap, wrapped)

    def hide(self, plain: bytes) -> bytes:
        """A small secret of our own, such as the key of a second factor, encrypted."""
        return _encrypt(self._hide, plain)

    def reveal(self, hidden: bytes) -> bytes:
        """What was hidden. Raises cryptography.exceptions.InvalidTag when the secret is another one."""
        return _decrypt(self._hide, hidden)

    def seal(self, person_key: bytes, data: dict[str, Any]) -> bytes:
        """A person's fields, encrypted under their key."""
        return _encrypt(AESGCM(person_key), json.dumps(data, ensure_ascii=False).encode())

    def open(self, person_key: bytes, sealed: bytes) -> dict[str, Any]:
        """The fields again. Raises cryptography.exceptions.InvalidTag under another key."""
        opened: dict[str, Any] = json.loads(_decrypt(AESGCM(person_key), sealed))
        return opened


def secret_for(store: Store, configured: str | None, *, make: bool = True) -> bytes:
    """The installation's secret: as configured, else a file beside the SQLite database, made at the first start.

    A configured one of the form `hex:…` is the content of such a file, for a database that moved to PostgreSQL.
    Without `make` a missing file is never made.

    Raises SecretMissing on PostgreSQL without a configured one, for one that is too short, and when the file is
    damaged, or gone though people are known.
    """
    if configured:
        if len(configured.encode()) < SECRET_BYTES_MIN:
            raise SecretMissing(
                f"storage.secret 至少 {SECRET_BYTES_MIN} 字节 | needs at least {SECRET_BYTES_MIN} bytes"
            )
        return _decoded(configured)
    if store.path is None:
        raise SecretMissing(
            "PostgreSQL 需要设置 storage.secret（KOUKOU_STORAGE__SECRET，至少 32 字节），各节点相同 | "
            "PostgreSQL needs storage.secret (KOUKOU_STORAGE__SECRET, at least 32 bytes), the same on every node"
        )
    path = store.path.with_name(store.path.name + ".key")
    if not path.exists():
        if not make or _has_people(store):
            raise SecretMissing(
                f"{path} 不见了：把另外保存的那一份放回去，数据库备份里没有它 | "
                f"{path} is gone: restore the copy that you keep apart, for backups of the database do not hold it"
            )
        _write_once(path)
    try:
        secret = bytes.fromhex(path.read_text().strip())
    except ValueError:
        secret = b""
    if len(secret) < SECRET_BYTES_MIN:
        raise SecretMissing(f"{path} 已损坏，请从备份恢复 | {path} is damaged; restore it from a backup")
    return secret


def _decoded(configured: str) -> bytes:
    if configured.startswith("hex:"):
        with suppress(ValueError):
            decoded = bytes.fromhex(configured.removeprefix("hex:"))
            if len(decoded) >= SECRET_BYTES_MIN:
                return decoded
    return configured.encode()


def _has_people(store: Store) -> bool:
    with store.read() as connection:
        return connection.exec_driver_sql("SELECT 1 FROM identity LIMIT 1").first() is not None


def _write_once(path: Path) -> None:
    """Whole or not at all, and never over another's: people could not be found again under a second secret."""
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_hex(SECRET_BYTES_MIN) + "\n")
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):
        os.link(fresh, path)
    fresh.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=b"koukou", info=purpose).derive(secret)


def _encrypt(cipher: AESGCM, plain: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plain, None)


def _decrypt(cipher: AESGCM, sealed: bytes) -> bytes:
    return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
