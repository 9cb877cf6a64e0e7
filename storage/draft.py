"""One person as a group loaded them, and what one message would change: plain data, thrown away when refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from storage.incoming import Incoming

INNER = frozenset({"timer", "internal"})  # kinds whose `sender` is a subscriber's id, not an address


def dumps(value: Any) -> str:
    """JSON as stored: compact, Chinese left readable."""
    return orjson.dumps(value).decode()


@dataclass(slots=True)
class Speaker:
    """One person as loaded, changed only by accepted drafts. `memory` holds raw JSON by name."""

    id: int
    identity: int
    channel: str
    account: str
    address: str
    language: str
    status: str
    code: str
    referrer: int | None
    consent: bool
    guest: bool
    following: bool
    created_at: int
    blocked: bool = False
    tester_since: int | None = None  # microseconds
    owed: bool = False  # notices wait to be told with the next answer
    new: bool = False
    memory: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Rare:
    """What few messages do, each kept in a container of its own."""

    timers: list[tuple[str, int, str, int, Mapping[str, Any]]] = field(default_factory=list)
    consents: list[tuple[bool, str]] = field(default_factory=list)
    handovers: list[str] = field(default_factory=list)
    profile: dict[str, Any] = field(default_factory=dict)  # what the person tells of themselves; None: taken away
    branch: str = ""  # whose staff look after the person from now on
    best: dict[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)  # by campaign and quiz, for the board
    tallies: list[tuple[str, str, str, str, int]] = field(default_factory=list)  # see quizzes.Tally
    taken: dict[tuple[str, str], tuple[int, int | None]] = field(default_factory=dict)  # see surveys.write
    answers: dict[tuple[str, str, str], tuple[int, int | None, int]] = field(default_factory=dict)
    notices: dict[int, tuple[str, str, Mapping[str, Any]]] = field(default_factory=dict)  # by place: kind, phrase, data
    bundled: list[int] = field(default_factory=list)  # notices that this answer tells
    withdrawn: list[tuple[int, str]] = field(default_factory=list)  # notices not to be told any more, and why
    owes_nothing: bool = False  # no notice is left to be told
    agreed: list[tuple[str, bool]] = field(default_factory=list)  # templates of notices, and whether they may come


@dataclass(slots=True)
class Draft:
    """What one message does until it is accepted. Lists hold rows in the making; `mark` is the book's way back."""

    incoming: Incoming
    speaker: Speaker
    text_id: int
    at: int
    mark: tuple[int, int]
    memory: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)
    events: list[tuple[str, str, str, int, Mapping[str, Any]]] = field(default_factory=list)
    rare: Rare | None = None  # None for most messages: `more` makes it
    brought_by: Any = None  # the referrals.Owner whose guest the person becomes
    forget: bool = False
    joining: Any = None  # a code given out (joining.Offer), or the two who become one (uniting.Pair)
    keep_days: int = 0  # how long what stays under the hash is kept, after leaving or being forgotten

    @property
    def more(self) -> Rare:
        """Where to lay down what few messages do; made at the first use."""
        if self.rare is None:
            self.rare = Rare()
        return self.rare

    @property
    def test(self) -> int | None:
        """Since when the person tests (microseconds), if this message belongs to the test; what was laid down to fall
        due before it began, or in an earlier one, does not."""
        since = self.speaker.tester_since
        return since if self.incoming.kind not in INNER or self.incoming.data.get("test") == since else None

    def recall(self, name: str) -> dict[str, Any]:
        """What is remembered of this person under `name`; empty when nothing."""
        if name in self.memory:
            return dict(self.memory[name])
        raw = self.speaker.memory.get(name)
        found: dict[str, Any] = orjson.loads(raw) if raw else {}
        return found

    def value(self, attribute: str) -> Any:
        """An attribute of the speaker as this message sees it."""
        changes = self.changes
        return changes[attribute] if attribute in changes else getattr(self.speaker, attribute)
