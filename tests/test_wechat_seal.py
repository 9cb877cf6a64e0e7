"""The seal against the vendor's published vectors, our own, and two independent libraries, in both directions."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from wechatpy.crypto import WeChatCrypto
from werobot.crypto import MessageCrypt

from bot.knocking import Refused
from bot.wechat.reading import incoming, read_xml
from bot.wechat.seal import Seal
from tests.wechat_house import AES_KEY, APP_ID, START, TOKEN

V1 = (
    "D7yzvUNAL930rd28wf21s4hvXhz0L6Uit/p2Di6C5DHyYGpEgdBRnKjBec34JwoQXicwaZC7fOVihW80F4VtsdvE//1vr7oAbqjDv8KenVp+ajKY"
    "pJnyQ4zMRhIC+a31fCVOMC03FfzV/QuC94kBP55a+Za3sJgvAn+ZbsNqZI5DkyuzkhQN8OBqCzFhizGmy0xpM0MEA4agpvE+RuNO1rhHTtuJB5yl"
    "tw1FiYzecSXJ+y/D2r81VkRn2eYjh2ltsoyfbDR7Is6ookXIFxTfyeNyeHxMeT4KN5WpCDmSbTcUYrbBUlkGLJ9n/rU8YOywma6G7aTb7KZKOqCx"
    "gfoUlYEZPk4FUL/TK7ShriFDMVCLyjQJ15Ob++agDWtcxhfUfe6HIoIpRW8mKNBQiY/Jd1svvuskA1wLef1RTtzKfMpagSCX/laZINmdnX4zrF6k"
    "IaR9P4xQrWXbsTFHTYe0Mg=="
)
V2 = "ELGduP2YcVatjqIS+eZbp80MNLoAUWvzzyJxgGzxZO/5sAvd070Bs6qrLARC9nVHm48Y4hyRbtzve1L32tmxSQ=="
W1 = (
    "sKqRbbiSUnDhFHOvPjtUMZIkKs0ckEFXHfgv6rFJMC1eKljVaKEWM9V2yhk1Ij4HcNQCD1zYEZL98gzqnUo9b3UVSQf/onxpxOFyo0yXG5MCK7DU"
    "gq9ZizvulYzJiebOlR/1JlZ72DaddRCeu1W+T+8E9H/ayakpY3AQgGZpCDEL9GLIzkPYijvhb7yEpYZNYMtHIC1iHKICZ0Nq6vzWfp5b/pC6CHkm"
    "ZkZthstZerFUm6Bxdp3wVFEJkbcIzqd39mp8FnvWNoadoc3naPUoDtdF3GBLxcsuFu15bWcB5RL3rnzxo/5BQGv5vH0ySreh5LbdDKwrKpPtQ4iF"
    "D3fuyacY9W2xF4ZLLu00l9H23oFhaKL04Wsd+giaENqku3eDgzS7n9I1JeNgVSnjmVLN1VVonAWHxb4RSrSu3Mwq7HE="
)
W2 = (
    "Ua/lrJ25nsrfWpymHmwJ4kI/noYXfqHkSf27bd+4M3Zfwavivr2tz+k6S4HQkiPj8NQKhd5mqz/+ZoQmBE5AhQr7wU3kZp7ICjDdednUMK2cdghh"
    "PRfClquFgpdMYwe7e4pBUKL4xMURt/pGphoNHiS44jlrgWLmZZ6VO04KdkuAt64+eedq0lNWxwCUlh9ZRUSDyW3FfocCT/yJi5hj0G/l0q337Iba"
    "QVNYxluhoEIh0BQQmTGA/ylIRyp0zsbFo/m84gJd0GowXcvEzW3uKR7tliQ3t0fYxwy4H38vayjVxHQba2duYE8mCbvs0mGoOyTFbnWfXrNrEhqy"
    "Onl9eiHJUWMuPgIBRJG9cqBq0HmEh35AszCGeb7Mg1+h9Cgt76pYBiGqBiKoCP43/UIU5YZGck3SdQm+NVsDo8m3Tzxak4ZIXwh8N5BybiMqjy88"
    "tpMrPay7gZGNq/KVy2t7tthu3mbq7Ny1FJNmVwFJ4lUB7kIyq8g5QTWjJK44dv7gsZEUFBC/yKrwCP+p0Esl/EZfNc6nGXME71zcIO+yf06cb+dL"
    "4V4BwozeQneB4tceFQvPWU7cNclnGGnA571bMNAjcAa8GObYGoMPmy10sihJlaaVcr6h7I9O9JymG+w7"
)
W3 = (
    "LLBXOFrfZBC6dd9uTPO5CbF0Gfb1Rn8cJB/mh1gjf0vgJz94D4Xr8VUolhLcePQ1uYAJ9YF8hUIHX9Nr31sPph3s0noH3Bf2Q4qROp54iIkmBTmL"
    "lPIE8UFRtJ0W/U2rwxeOzmefg/2NwfjhCXDArm1wXzaTXTPE4reTnzXMmt+X3TE4jQ+ftSzWUc6vd8wrT4uOKYmHXBzIXFpSeF2AIXWrdl+65v2L"
    "LOW/63SrnMT0Kvk1ZSAvsUiOppacUcl79DyiTp/jJQ+sOJJBgyPx9NFezgaiYwkGmsd03JiI1aiRia+WWkyrWDMv3m+fS7eaU070VzXBA7M70rpC"
    "LMqz6egTMc5wessoQDev7J2dffpmwqHm23drUzsxrNf4pCDe7XvPu+JQrWQI7ol6ex9XuqAAkJrcpNjL3KyZ+Dy9QhY="
)

VENDOR = Seal("AAAAA", "A" * 43, "wx134c8103faa5a59e")
OURS = Seal(TOKEN, AES_KEY, APP_ID)


@pytest.mark.parametrize(
    ("seal", "parts", "signature"),
    [
        (VENDOR, ("1714036504", "1514711492"), "f464b24fc39322e44b38aa78f5edd27bd1441696"),
        (VENDOR, ("1714037059", "486452656"), "899cf89e464efb63f54ddac96b0a0a235f53aa78"),
        (VENDOR, ("1715943329", "1590219412", V1), "6c12a4205838198b8fa631b3220723bb07f1015c"),
        (VENDOR, ("1713424427", "415670741", V2), "1b9339964ed2e271e7c7b6ff2b0ef902fc94dea1"),
        (OURS, ("1761955200", "1234567890"), "bdc70c3471dd4454a43f8babefe9881f30875f4b"),
        (OURS, ("1761955200", "1234567890", W1), "cc00aefb4d9d934a53e2626b51e258976f90499d"),
        (OURS, ("1761955260", "987654321", W2), "d3db6dbcad23142ce8e01a016b9dd1334f3c5613"),
        (OURS, ("1761955320", "555000111", W3), "df2eb4c54d36795577d7a2af5bf210d6e17dd96b"),
    ],
)
def test_signatures_are_the_published_ones(seal: Seal, parts: tuple[str, ...], signature: str) -> None:
    raw = [part.encode() for part in parts]
    seal.check(signature.encode(), *raw)
    with pytest.raises(Refused):
        seal.check(signature.upper().encode(), *raw)
    with pytest.raises(Refused):
        seal.check(b"", *raw)


def test_the_vendors_callback_opens() -> None:
    plain = VENDOR.open(V1.encode())
    assert len(plain) == 292
    assert read_xml(plain)["Event"] == "debug_demo"


def test_the_vendors_reply_is_reproduced() -> None:
    seal = Seal("AAAAA", "A" * 43, "wxba5fad812f8e6fb9")
    assert seal.close(b'{"demo_resp":"good luck"}', salt=b"707722b803182950").decode() == V2


@pytest.mark.parametrize(
    ("encrypted", "salt", "kind", "text", "scene"),
    [
        (W1, b"0123456789abcdef", "text", "抽奖 🎁", None),
        (W2, b"ABCDEFGHIJKLMNOP", "follow", "", "r:A1:c42"),
        (W3, b"zyxwvutsrqponmlk", "unfollow", "", None),
    ],
)
def test_our_vectors_open_mean_and_close_again(encrypted: str, salt: bytes, kind: str, text: str, scene: str) -> None:
    plain = OURS.open(encrypted.encode())
    heard = incoming(read_xml(plain), "main", START)
    assert (heard.kind, heard.text, heard.data.get("scene")) == (kind, text, scene)
    assert OURS.close(plain, salt).decode() == encrypted


@pytest.mark.parametrize("extra", range(33))
def test_other_libraries_and_we_read_each_other_at_every_padding(extra: int) -> None:
    message = f"<xml><Content>积分{'a' * extra}🎁</Content></xml>"
    werobot = MessageCrypt(TOKEN, AES_KEY, APP_ID).prp_crypto
    assert werobot.decrypt(OURS.close(message.encode()), APP_ID) == message.encode()
    assert OURS.open(werobot.encrypt(message, APP_ID)) == message.encode()
    wechatpy = WeChatCrypto(TOKEN, AES_KEY, APP_ID)
    envelope = read_xml(wechatpy.encrypt_message(message, "7", "1761955200").encode())
    assert OURS.open(envelope["Encrypt"].encode()) == message.encode()
    OURS.check(envelope["MsgSignature"].encode(), b"1761955200", b"7", envelope["Encrypt"].encode())
    closed = OURS.close(message.encode())
    signature = OURS.sign(b"1761955200", b"7", closed)
    assert wechatpy.decrypt_message({"Encrypt": closed.decode()}, signature, "1761955200", "7") == message


def _raw(plain: bytes) -> bytes:
    key = base64.b64decode(AES_KEY + "=")
    encryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    return base64.b64encode(encryptor.update(plain) + encryptor.finalize())


def _plain(length: int, message: bytes, app_id: bytes, pad: bytes | None = None) -> bytes:
    plain = b"r" * 16 + length.to_bytes(4, "big") + message + app_id
    count = 32 - len(plain) % 32
    return plain + (pad if pad is not None else bytes((count,)) * count)


@pytest.mark.parametrize(
    "sealed",
    [
        _raw(_plain(5, b"hello", b"wx0000000000000000")),
        _raw(_plain(5, b"hello", APP_ID.encode() + b"x")),
        _raw(_plain(5, b"hello", b"")),
        _raw(_plain(4_000_000_000, b"hello", APP_ID.encode())),
        _raw(_plain(4, b"hello", APP_ID.encode())),
        _raw(_plain(5, b"hello", APP_ID.encode(), pad=b"\x00" * (32 - (25 + len(APP_ID)) % 32))),
        _raw(b"\x21" * 64),
        _raw(b"\x10" * 16),
        b"",
        b"====",
        b"AAAA",
        base64.b64encode(b"x" * 33),
        W1.encode()[:-4],
        W1.encode()[:200],
        b"!" + W1.encode(),
    ],
)
def test_a_broken_envelope_is_refused(sealed: bytes) -> None:
    with pytest.raises(Refused):
        OURS.open(sealed)


def test_bit_flips_never_change_what_is_read() -> None:
    # The signature covers the ciphertext, so a flipped bit is refused before it is opened.
    signature = OURS.sign(b"1761955200", b"1234567890", W1.encode()).encode()
    raw = bytearray(base64.b64decode(W1))
    for position in range(len(raw)):
        raw[position] ^= 1
        with pytest.raises(Refused):
            OURS.check(signature, b"1761955200", b"1234567890", base64.b64encode(raw))
        raw[position] ^= 1


@pytest.mark.parametrize("key", ["", "A" * 42, "A" * 44, "!" * 43, "钥" * 43])
def test_a_wrong_aes_key_stops_the_start(key: str) -> None:
    if not key:
        assert Seal("t", key, "a")
        return
    with pytest.raises(ValueError, match="aes_key"):
        Seal("t", key, "a")
