"""Chinese or English, by the person's own choice."""

from __future__ import annotations

from campaigns.turn import Turn
from content.message import Choice

CLAUSES = ()
WORDS = {
    "language": ("语言", "切换语言", "language"),
    "zh": ("中文", "chinese"),
    "en": ("英文", "english", "英语"),
}
_NAMES = {"zh": "中文", "en": "English"}


def answer(turn: Turn, command: str) -> None:
    """Offer the plan's languages, or switch to one."""
    if command in turn.plan.languages:
        turn.choose_language(command)
        turn.note("language", language=command)
        turn.say("language.done", "menu", in_place=True)
    elif command == "language":
        turn.say(
            "language.ask",
            *(Choice(_NAMES[name], _NAMES[name]) for name in turn.plan.languages),
        )
    else:
        turn.say("language.absent", "menu")
