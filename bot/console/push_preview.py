"""A push before it goes: each channel's message as people will see it, and what would become of everybody.

Reads what the core says and puts it into the shapes that pages show. It decides nothing and sends nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from campaigns.notices import PUSH
from content import articles
from content import pushes as saying
from content.library import Library
from content.plan.texts import strange
from storage.mass_jobs import MOST as MASS_MOST

CHANNELS = ("telegram", "web", "wechat")


@dataclass(frozen=True, slots=True)
class Bubble:
    """One message on one channel. `size` is its words' UTF-8 bytes; `title` is set for what goes as an article."""

    channel: str
    text: str
    picture: str
    choices: tuple[str, ...]
    size: int
    title: str = ""


@dataclass(frozen=True, slots=True)
class Going:
    """How many get it on one account by one way; `least` and `most` are the platform's messages or requests for it."""

    account: str
    way: str
    people: int
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Audience:
    """Everybody whom the rule finds: who gets it how, and who does not for which reason."""

    going: list[Going] = field(default_factory=list)
    left_out: list[tuple[str, str, int]] = field(default_factory=list)  # reason, account, people

    @property
    def reached(self) -> int:
        """How many would get it."""
        return sum(one.people for one in self.going)

    @property
    def total(self) -> int:
        """How many the rule finds."""
        return self.reached + sum(count for _, _, count in self.left_out)


def picture_url(poster: str, language: str, revision: int) -> str:
    """Where a poster is drawn."""
    return f"/pictures/{quote(saying.picture_name(poster, language, revision), safe='')}"


def bubbles(content: Mapping[str, Any], library: Library, channels: Collection[str]) -> dict[str, list[Bubble]]:
    """By language, the message on each channel; a language whose text is not there yet, or cannot be filled, is left
    out. May read posters, so not for the event loop."""
    shown = [name for name in CHANNELS if name in channels] or list(CHANNELS)
    told: dict[str, list[Bubble]] = {}
    for language in library.plan.languages:
        text = str(content["text"].get(language, "")).strip()
        if text and not strange(text):
            trees = saying.both(content, library, library.revision, language)
            told[language] = [_bubble(channel, content, trees, language, library) for channel in shown]
            if saying.channels(content) and language == library.plan.languages[0]:
                tree = saying.post(content, library, library.revision)
                told[language].append(_bubble("post", content, [tree], language, library))
            if any(PUSH in kinds for kinds in library.asking.values()):
                line = articles.headline(str(trees[1]["text"]))
                told[language].append(Bubble("notice", line, "", (), len(line.encode())))
    return told


def audience(rows: Sequence[tuple[str, str, str, int]], content: Mapping[str, Any], languages: int) -> Audience:
    """The counts of `push_opening.preview` as pages show them."""
    told = Audience()
    for account, way, reason, people in rows:
        if reason:
            told.left_out.append((reason, account, people))
        else:
            told.going.append(Going(account, way, people, *_cost(way, people, bool(content.get("poster")), languages)))
    told.left_out.sort(key=lambda one: -one[2])
    return told


def _cost(way: str, people: int, picture: bool, languages: int) -> tuple[int, int]:
    if way == "mass":  # a request holds one language; how the languages share is not asked
        least = -(-people // MASS_MOST)
        return least, least + min(languages, people) - 1
    if way == "page":
        return 0, 0
    each = 2 if way == "service" and picture else 1  # WeChat takes picture and words apart
    return people * each, people * each


def _bubble(
    channel: str, content: Mapping[str, Any], trees: Sequence[dict[str, Any]], language: str, library: Library
) -> Bubble:
    wordy = channel == "wechat"
    tree = trees[1 if wordy else 0]
    poster, words = str(content.get("poster", "")), str(tree["text"])
    article = wordy and poster and content.get("wechat") == "mass"
    title = articles.headline(words) if article else ""
    if article and "article" in tree:  # as its reader sees it, and how to leave below
        title, words = str(tree["article"].get("title", "")), _body(content, library, language)
    return Bubble(
        channel=channel,
        text=words,
        picture=picture_url(poster, language, library.revision) if poster else "",
        choices=tuple(choice["label"] for choice in tree.get("choices", ())),
        size=len(words.encode()),
        title=title,
    )


def _body(content: Mapping[str, Any], library: Library, language: str) -> str:
    body = articles.plain(articles.said(content["article"], "body", library, language))
    return "\n".join([body, *saying.below(content, library, language)])
