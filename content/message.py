"""The only shape of what the service says: a text, perhaps a picture, and the sensible next choices.

A message *describes* its picture; drawing and uploading happen later, outside any transaction. It knows no channel:
each channel renders it as well as it can.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Choice:
    """One next step a person can tap.

    `label` is what is shown; `say` is the words that tapping it stands for (what the person could have typed),
    or, when `url` is set, the page it opens instead.
    """

    label: str
    say: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture by its name in the applied plan (`pictures/welcome.jpg`), with the words that replace it."""

    name: str
    alt: str


@dataclass(frozen=True, slots=True)
class Poll:
    """A quiz question for channels with quiz polls of their own, which are told the answer.

    `before` are words said ahead of it; `right` counts from 0; `seconds` is how long it stays open, 0 for always. A
    vote stands for the words `say` with the number of the option, counted from 1, behind.
    """

    question: str
    options: tuple[str, ...]
    right: int
    say: str
    why: str = ""
    seconds: int = 0
    before: str = ""


class Message(NamedTuple):
    """One thing said: `text` in the person's language, an optional picture, and choices in the order shown.

    `poll` is the same question for channels that have polls of their own; elsewhere text and choices ask it.
    `edits` is the platform's id of an earlier message of ours that this one takes the place of, where a channel can do
    that; elsewhere it is said anew.
    """

    text: str
    picture: Picture | None = None
    choices: tuple[Choice, ...] = ()
    edits: str = ""
    poll: Poll | None = None

    def tree(self) -> dict[str, Any]:
        """The message as the plain tree that storage keeps (see `storage/trees.py`); empty parts are left out."""
        tree: dict[str, Any] = {"text": self.text}
        if self.picture:
            tree["picture"] = {"name": self.picture.name, "alt": self.picture.alt}
        if self.choices:
            tree["choices"] = [
                {"label": c.label, "url": c.url} if c.url else {"label": c.label, "say": c.say} for c in self.choices
            ]
        if self.edits:
            tree["edits"] = self.edits
        if self.poll:
            tree["poll"] = {**asdict(self.poll), "options": list(self.poll.options)}
        return tree

    @classmethod
    def of(cls, tree: dict[str, Any]) -> Message:
        """The message that `tree` was made of."""
        picture = tree.get("picture")
        return cls(
            text=tree["text"],
            picture=Picture(picture["name"], picture["alt"]) if picture else None,
            choices=tuple(Choice(c["label"], c.get("say", ""), c.get("url", "")) for c in tree.get("choices", ())),
            edits=tree.get("edits", ""),
            poll=Poll(**{**tree["poll"], "options": tuple(tree["poll"]["options"])}) if "poll" in tree else None,
        )
