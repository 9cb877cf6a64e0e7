"""The plain shapes of one thing heard and of the answer stored for it, shared by all rooms above."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple


class Incoming(NamedTuple):
    """One inbound message, event, fired timer or internal row, as the writer takes it.

    `key` names it for ever: a second delivery has the same key and gets the stored answer (`wechat:main:m:7570…`).
    `sender` is the person's id on that channel account. `at` is the instant we received it (aware UTC) and is what
    counts for every rule. `kind` is one of KINDS; `text` holds words (typed, tapped or transcribed); `data` holds what
    else the platform said, as plain JSON (`scene`, `media`, `url`, `latitude`…). `language` is a hint, `zh` or `en`,
    used only when the person is new. `passive` says that the answer leaves with the response to this very request;
    otherwise it is queued for the sender at once.
    """

    channel: str
    account: str
    sender: str
    key: str
    kind: str
    at: datetime
    text: str = ""
    data: Mapping[str, Any] = MappingProxyType({})
    language: str = ""
    passive: bool = True


KINDS = frozenset(
    {
        "text",  # words typed, or a tapped choice (its `say`)
        "voice",  # `text` is the transcript, empty when the platform gave none
        "picture",
        "location",
        "link",
        "other",  # a message type nothing is done with, answered all the same
        "follow",  # began to follow or opened the chat, perhaps once more; `data["scene"]` when by a code
        "scan",  # an existing follower scanned a code; `data["scene"]`
        "unfollow",  # left the account: no answer is possible
        "view",  # opened a menu link; no answer is possible
        "notice",  # anything else the platform reports about the person (`data["event"]`); never answered
        "timer",  # a timer of ours fell due; `data` is the timer's
        "internal",  # an effect that another person's turn asked for
    }
)


class Answer(NamedTuple):
    """What was decided and committed for one Incoming.

    `messages` are message trees in order; `deliveries` are the ids of their delivery rows, one each, same order.
    `repeated` says that this is the stored answer to a message heard before.
    """

    subscriber: int
    messages: tuple[dict[str, Any], ...] = ()
    deliveries: tuple[int, ...] = ()
    repeated: bool = False
