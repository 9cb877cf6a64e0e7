"""The seal on a callback: the account's signature, and the AES envelope of safe and compatible mode.

Promises that what `open` returns was written by someone who holds the account's keys. Knows nothing of XML or meaning.
Rules: developers.weixin.qq.com, "Technical Plan" of message encryption, and its published vectors.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from bot.knocking import Refused

_BLOCK = 32  # PKCS#7 over 32 bytes, twice the block of AES
_HEAD = 20  # 16 random bytes and the length, four bytes, big-endian


class Seal:
    """Token, AES key and AppID of one account. `aes_key` is the 43-character EncodingAESKey, or empty in plain mode."""

    def __init__(self, token: str, aes_key: str, app_id: str) -> None:
        """Raises ValueError when the AES key is not 43 characters of base64."""
        self._token = token.encode()
        self._app_id = app_id.encode()
        self._chain: _Chain | None = _Chain(_key(aes_key)) if aes_key else None

    def sign(self, *parts: bytes) -> str:
        """The signature over the token and `parts`: SHA-1 of the sorted parts, in hex."""
        return hashlib.sha1(b"".join(sorted((self._token, *parts))), usedforsecurity=False).hexdigest()

    def check(self, signature: bytes, *parts: bytes) -> None:
        """Compare in constant time. Raises Refused (403) when `signature` is not ours over `parts`."""
        if not hmac.compare_digest(self.sign(*parts).encode(), signature):
            raise Refused(403, "签名不符 bad signature")

    def open(self, encrypted: bytes) -> bytes:
        """The message inside `encrypted` (base64). Raises Refused (400 malformed, 403 another account's AppID)."""
        assert self._chain is not None
        try:
            sealed = binascii.a2b_base64(encrypted, strict_mode=True)
        except binascii.Error:
            raise Refused(400, "密文不是 base64 not base64") from None
        if not sealed or len(sealed) % 16:
            raise Refused(400, "密文长度不对 bad ciphertext length")
        plain = self._chain.decrypt(sealed)
        pad = plain[-1]
        end = _HEAD + int.from_bytes(plain[16:_HEAD], "big")
        last = len(plain) - pad
        if not 1 <= pad <= _BLOCK or plain[last:] != bytes((pad,)) * pad or not _HEAD <= end <= last:
            raise Refused(400, "密文无法解开 cannot decrypt")
        if not hmac.compare_digest(plain[end:last], self._app_id):
            raise Refused(403, "AppID 不符 another AppID")
        return plain[_HEAD:end]

    def close(self, message: bytes, salt: bytes | None = None) -> bytes:
        """`message` encrypted, base64. `salt` is 16 random bytes, given only to reproduce a published vector."""
        assert self._chain is not None
        plain = b"".join((salt or os.urandom(16), len(message).to_bytes(4, "big"), message, self._app_id))
        pad = _BLOCK - len(plain) % _BLOCK
        return binascii.b2a_base64(self._chain.encrypt(plain + bytes((pad,)) * pad), newline=False)


class _Chain:
    """AES in CBC mode with the key's own beginning as its start, as the platform has it.

    To set up a cipher costs ten times as much as to run it over a message, so that one runs on from message to message.
    A chain that runs on gives what a new one would, once the block it would begin with is exchanged for the block that
    it stands at; and reading, nothing but the first block depends on it, which is salt that nobody reads.
    """

    def __init__(self, key: bytes) -> None:
        cipher = Cipher(algorithms.AES(key), modes.CBC(key[:16]))
        self._encryptor, self._decryptor = cipher.encryptor(), cipher.decryptor()
        self._start = self._last = int.from_bytes(key[:16], "big")

    def encrypt(self, plain: bytes) -> bytes:
        """`plain`, whole blocks of 16 bytes, encrypted from the start of the chain."""
        first = int.from_bytes(plain[:16], "big") ^ self._start ^ self._last
        sealed = self._encryptor.update(first.to_bytes(16, "big") + plain[16:])
        self._last = int.from_bytes(sealed[-16:], "big")
        return sealed

    def decrypt(self, sealed: bytes) -> bytes:
        """What was encrypted, whole blocks of 16 bytes; of the first block nothing can be read."""
        return self._decryptor.update(sealed)


def _key(aes_key: str) -> bytes:
    try:
        key = binascii.a2b_base64(aes_key.encode() + b"=")
    except (binascii.Error, UnicodeEncodeError):
        key = b""
    if len(aes_key) != 43 or len(key) != 32:
        raise ValueError(
            "aes_key 应为 43 个字母或数字 (EncodingAESKey) / aes_key must be the 43-character EncodingAESKey"
        )
    return key
