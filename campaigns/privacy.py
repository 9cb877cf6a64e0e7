"""What do you know about me, and forget me: the person's own data, shown in words and erased on request."""

from __future__ import annotations

from typing import Any

from campaigns.turn import Turn
from content.message import Choice

CLAUSES = ("privacy",)
WORDS = {
    "privacy": ("隐私", "我的隐私", "privacy"),
    "know": (
        "我的资料",
        "你知道我什么",
        "查看我的信息",
        "what do you know about me",
        "my data",
        "export",
    ),
    "forget": ("忘记我", "删除我的信息", "注销", "forget me", "delete my data"),
}


def answer(turn: Turn, command: str) -> None:
    """Say what is known, or ask once more before forgetting."""
    if command == "know":
        turn.note("exported")
        _tell(turn)
    elif command == "forget":
        turn.remember("form", {"mechanic": "privacy"})
        yes = turn.phrase("word.forget_yes")
        keep = ", " if turn.language == "en" else "、"
        kept = keep.join(turn.phrase(f"privacy.kept.{name}") for name in ("ledger", "once", "law"))
        turn.say(
            "privacy.sure",
            Choice(yes, yes),
            "menu",
            kept=kept,
            yes=yes,
            days=turn.plan.privacy.parked_days,
        )
    else:
        turn.say("privacy.about", "know", "forget", "leave", days=turn.plan.privacy.text_days)


def on_form(turn: Turn, form: dict[str, Any]) -> bool:
    """Forget when the person said yes in so many words; anything else leaves everything as it was."""
    yes = {turn.library.phrases.say(language, "word.forget_yes").casefold() for language in turn.plan.languages}
    if turn.heard.text.strip().casefold() not in yes:
        return False
    turn.set_consent(False, "privacy.sure")
    turn.remember("consent", {"left": True})
    turn.note("forgotten")
    turn.forget()
    turn.say("privacy.done", "menu")
    return True


def _tell(turn: Turn) -> None:
    known = turn.everything()
    turn.say(
        "privacy.known",
        "history",
        "forget",
        "leave",
        number=turn.person,
        since=turn.local_date(known["created_at"]),
        channels=", ".join(sorted({identity["channel"] for identity in known["identities"]})),
        language=turn.language,
        consent=turn.phrase("privacy.yes" if turn.consents else "privacy.no"),
        points=turn.balance() + turn.held(),
        messages=known["messages"],
        surveys=len(known["surveys"]),
        profile=", ".join(f"{_called(turn, name)}: {value}" for name, value in known["profile"].items())
        or turn.phrase("privacy.none"),
        code=turn.code,
    )


def _called(turn: Turn, name: str) -> str:
    """What a field of the profile is called: as the choice that leads to it, where there is one."""
    label = f"choice.{name}"
    return turn.phrase(label) if turn.library.phrases.has(label) else name
