"""The quick way of reading an envelope says what the parser says, or nothing: any text, any markup, any bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.knocking import Refused
from bot.wechat.reading import _flat, _parsed

_BITS = [
    "<a>",
    "</a>",
    "<b>",
    "</b>",
    "<![CDATA[",
    "]]>",
    "]]",
    "&amp;",
    "&",
    "\n",
    "\r\n",
    " ",
    "<xml>",
    "</xml>",
    "<c/>",
]
_BITS += [
    '<a x="1">',
    "<?pi?>",
    "<!--c-->",
    "<!DOCTYPE x>",
    "\x00",
    "\x01",
    "\ufffe",
    "字",
    "x",
    "<",
    ">",
    "<a:b>",
    "</a:b>",
]
FRAGMENTS = st.lists(st.sampled_from(_BITS) | st.text(max_size=3), max_size=12).map("".join)


def slowly(body: bytes) -> Any:
    try:
        return _parsed(body)
    except Refused:
        return "refused"


@settings(max_examples=2000, deadline=None)
@given(FRAGMENTS, st.sampled_from(["</xml>", "</xml>\n", "</xml>x", ""]))
def test_what_is_read_quickly_is_what_the_parser_reads(inside: str, end: str) -> None:
    body = f"<xml>{inside}{end}".encode("utf-8", "surrogatepass")
    quickly = _flat(body)
    assert quickly is None or quickly == slowly(body)


@pytest.mark.parametrize(
    "body",
    [
        "<xml><a><![CDATA[x]]></a><b>12</b></xml>",
        "<xml>\n  <ToUserName><![CDATA[gh_1]]></ToUserName>\n  <Content><![CDATA[[a > b & 好\n]]></Content>\n</xml>\n",
        "<xml><a></a><b><![CDATA[]]></b></xml>",
    ],
)
def test_the_usual_envelope_is_read_quickly(body: str) -> None:
    quickly = _flat(body.encode())
    assert quickly is not None and quickly == slowly(body.encode())


@pytest.mark.parametrize(
    "body",
    [
        b"<xml><a>1</a><a>2</a></xml>",  # a repeated name is a list
        b"<xml><a><b>1</b></a></xml>",
        b"<xml><a>1&amp;2</a></xml>",
        b"<xml><a>\r\n</a></xml>",  # the parser makes one character of it
        b"<xml><a><![CDATA[x]]><b>y</b><![CDATA[z]]></a></xml>",
        "<xml><a><![CDATA[<b>]] & 好]]></a></xml>".encode(),
        b"<xml><a>\xff</a></xml>",
        b"<?xml version='1.0'?><xml><a>1</a></xml>",
    ],
)
def test_what_is_unusual_is_left_to_the_parser(body: bytes) -> None:
    assert _flat(body) is None
