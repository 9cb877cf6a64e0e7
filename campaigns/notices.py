"""Service notices: the order of the ways by which somebody is told, what each kind says, and the last way of all, with
their next answer.

A notice is about something of the person's own (a friend came, a reward arrived) and is never an offer. Sending is
`bot/notifying.py`'s; what was told how is remembered by `storage/notices.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from campaigns.turn import Turn
from content.library import Library
from content.message import Message
from storage.notices import LATE_ANSWER, Waiting
from storage.tables import instant, micros

# The first that is open is taken. One that certainly did not send leads to the next, one in doubt does not.
WAYS: Final = ("reply", "template", "subscription", "sms", "bundle")
# By kind, what stands in its values; a template of WeChat may show these beside `text` and `day`.
PUSH: Final = "push"  # no service notice: a push to whoever agreed to one, where nothing else is open
KINDS: Final[Mapping[str, frozenset[str]]] = {"friend_came": frozenset({"total"}), PUSH: frozenset()}
# How a yes is asked for.
ASKED_BY: Final[Mapping[str, str]] = {"friend_came": "notices.ask_friend_came", PUSH: "notices.ask_push"}
SHOWN_IN_ALL: Final = frozenset({"text", "day"})
# Where a person's number stands among what they told us, and whether they agreed to text messages about it.
NUMBER, NUMBER_AGREED = "mobile", "mobile_notices"

MOST = 5  # told with one answer; the rest with the next
_BYTES = 1400  # of an answer with its notices: with its choices it must fit into 2048 on WeChat
_LETTERS, _LETTERS_IF_OLD = 200, 40
_OLD = timedelta(days=1)
_NO_STANDS = timedelta(days=30)  # whoever said no is not asked again sooner
_ANSWERS = "notice_answers"  # what they answered last, by template: so that who never did costs no query


def text_of(library: Library, language: str, phrase: str, values: Mapping[str, Any]) -> str:
    """What a notice says, in the person's language or the plan's first."""
    spoken = language if language in library.plan.languages else library.plan.languages[0]
    return " ".join(library.phrases.say(spoken, phrase, **values).split())


def heard(turn: Turn) -> None:
    """Keep what the person answered when WeChat asked whether notices may come."""
    asked = set(turn.library.asking.get(_place(turn), {}).values())
    answers = {}
    for said in turn.heard.data.get("consents", ()):
        template, agreed = str(said["template"])[:128], bool(said["agreed"])
        turn.agree_to_notices(template, agreed)
        if template in asked:
            answers[template] = [agreed, micros(turn.now)]
    if answers:
        turn.remember(_ANSWERS, turn.recall(_ANSWERS) | answers)


def ask(turn: Turn, kind: str) -> None:
    """End the answer with the page that asks whether notices of this kind may come, at the moment the person did what
    they are about; where the account has none, a yes is unused, or a no is fresh, nothing is added."""
    template = turn.library.asking.get(_place(turn), {}).get(kind)
    if not template or not turn.messages:
        return
    agreed, at = turn.recall(_ANSWERS).get(template, (None, 0))
    if agreed is False and turn.now - instant(at) < _NO_STANDS:
        return
    if agreed and turn.may_be_noticed(template):
        return
    page = f"{turn.heard.account}?lang={turn.language}"
    _append(turn, len(turn.messages) - 1, turn.phrase(ASKED_BY[kind], page=page))


def _place(turn: Turn) -> str:
    return f"{turn.heard.channel}:{turn.heard.account}"


def bundle(turn: Turn) -> None:
    """Tell what waits with the answer at hand: a line each, as many as fit. Where nothing is answered all goes on
    waiting, as do notices of a test outside of it."""
    if not turn.messages or turn.is_leaving or turn.is_blocked:
        return
    owed = turn.owed(MOST + 1)
    place = next((n for n, one in enumerate(turn.messages) if not (one.poll or one.edits or one.picture)), None)
    room = _BYTES - (len(turn.messages[place].text.encode()) if place is not None else 0)
    told: list[int] = []
    withdrawn: list[tuple[int, str]] = []
    lines: list[str] = []
    left = len(owed) > MOST
    for notice in owed[:MOST]:
        if notice.test != turn.test_of and notice.kind != LATE_ANSWER:
            if notice.test is None:
                left = True
            else:
                withdrawn.append((notice.id, "test_over"))
            continue
        line = _line(turn, notice)
        if not line:
            withdrawn.append((notice.id, "erased"))
            continue
        size = len(line.encode()) + 1
        if size > room and lines:
            left = True
            break
        if size > room:  # an answer that fills its message: then in a message of their own
            place, room = None, _BYTES
        lines.append(line)
        told.append(notice.id)
        room -= size
    if lines:
        _append(turn, place, "\n".join([turn.phrase("notices.also"), *lines]))
    turn.tell_owed(told, withdrawn, all_=not left)


def _line(turn: Turn, notice: Waiting) -> str:
    """One notice as a line; empty where a late answer's words were erased."""
    at = instant(notice.at)
    if notice.kind != LATE_ANSWER:
        said = text_of(turn.library, turn.language, notice.phrase, notice.data)
        return turn.phrase("notices.line", day=turn.local_date(at), text=said)
    words = " ".join((notice.words or "").split())
    if not words:
        return ""
    most = _LETTERS_IF_OLD if turn.now - at > _OLD else _LETTERS
    short = words if len(words) <= most else words[: most - 1] + "…"
    return turn.phrase("notices.late", day=turn.local_date(at), text=short)


def _append(turn: Turn, place: int | None, words: str) -> None:
    if place is None:
        turn.messages.append(Message(words))
    else:
        before = turn.messages[place]
        turn.messages[place] = before._replace(text=f"{before.text}\n\n{words}")
