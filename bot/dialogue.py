"""Who answers, in what order: one visible list, walked from the top until somebody says it is theirs.

Everything here is decided in memory on a Turn. It knows no channel and no database.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Container
from typing import Any

import structlog

from campaigns import blocking, joining, mechanics, menu, notices, quiz, referral, service, survey
from campaigns.refusals import Refusal
from campaigns.turn import Turn
from content.message import Choice
from storage.draft import INNER, Draft
from storage.group import Group
from storage.store import DatabaseFault

_SILENT = frozenset({"unfollow", "view", "notice"})  # the platform tells us; no answer is possible
_WITHDRAWN = frozenset({"user_authorization_revoke", "user_authorization_cancellation"})  # WeChat: erase what was given
_MEDIA = frozenset({"picture", "location", "link", "other"})
_LEAVE, _HUMAN = (("consent", "leave"),), (("service", "human"),)
_log = structlog.get_logger(__name__)


def normal(text: str) -> str:
    """Words as they are looked up: one width, one case, without the marks around them or a bot's name behind."""
    text = unicodedata.normalize("NFKC", text).strip().casefold()
    if text.startswith("/"):
        text = text.partition("@")[0]
    return text.strip(" \t\r\n.!。！~～") or text


def decide(turn: Turn) -> None:
    """Answer the turn: the first of ORDER that takes it."""
    said = normal(turn.heard.text)
    for step in ORDER:
        if step(turn, said):
            break
    _remember_choices(turn)


def _inner(turn: Turn, said: str) -> bool:
    """A timer or an effect of somebody else's turn goes to the mechanic that asked for it."""
    if turn.heard.kind not in ("timer", "internal"):
        return False
    kind = turn.heard.data["kind"]
    if turn.is_blocked or (turn.heard.data.get("test") and not turn.is_test):
        # To somebody blocked nothing falls due; nor does what a test laid down, once it is over.
        turn.note("withheld", kind=kind)
        return True
    for module in mechanics().values():
        if kind in getattr(module, "TIMERS", ()):
            module.on_timer(turn, kind)
            return True
    raise LookupError(f"no mechanic has timer {kind}")


def _platform(turn: Turn, said: str) -> bool:
    """What the platform reports: arriving is greeted, leaving and the rest are recorded in silence."""
    kind = turn.heard.kind
    if kind in ("follow", "scan"):
        if _held(turn) or turn.is_blocked:
            if kind == "follow":
                turn.note("followed", channel=turn.heard.channel)
            if turn.heard.data.get("scene"):
                referral.touched(turn)
            if not _held(turn) and turn.heard.data.get("by") != "reconcile":  # found out later: a riddle by then
                blocking.tell(turn)
        else:
            menu.welcome(turn)
            if found := menu.said_by(str(turn.heard.data.get("scene", ""))):
                mechanics()[found[0]].answer(turn, found[1])
        return True
    if kind == "unfollow":
        turn.note("unfollowed", channel=turn.heard.channel)
        turn.set_consent(False, "unfollowed")
        turn.keep_parked()
        return True
    if kind in _SILENT:
        event = str(turn.heard.data.get("event", kind)).lower()
        turn.note("noticed", what=event[:40])
        notices.heard(turn)
        if event in _WITHDRAWN:
            turn.forget()
        return True
    return False


def _leave(turn: Turn, said: str) -> bool:
    """Leave words stop campaign messages, whoever holds the conversation."""
    return _command(turn, said, _LEAVE)


def _staff(turn: Turn, said: str) -> bool:
    """While a member of staff holds the conversation the bot is silent."""
    return _held(turn)


def _human(turn: Turn, said: str) -> bool:
    """人工 always reaches people."""
    return _command(turn, said, _HUMAN)


def _blocked(turn: Turn, said: str) -> bool:
    """Somebody blocked may see, take away and refuse what is kept of them; else they are told once a day why not."""
    if not turn.is_blocked:
        return False
    form = turn.recall("form")
    if form.get("mechanic") == "privacy" and _form(turn, said):
        return True
    if form:
        turn.remember("form", {})  # or the first words after the block would fill it
    chosen = _chosen(turn, said)
    if chosen:
        turn.hear_as(chosen)
    if not _command(turn, normal(chosen) if chosen else said, blocking.STILL):
        blocking.tell(turn)
    return True


def _quiz(turn: Turn, said: str) -> bool:
    """A choice of a quiz's question, tapped or typed; it says itself which, so it comes before what a form may take."""
    if not quiz.heard(turn):
        return False
    _forget_misses(turn)
    return True


def _survey(turn: Turn, said: str) -> bool:
    """An answer of a survey, tapped or typed, or its name: as with a quiz."""
    if not survey.heard(turn, said):
        return False
    _forget_misses(turn)
    return True


def _form(turn: Turn, said: str) -> bool:
    """The form being filled gets the answer it asked for; any other answer lets the form go."""
    form = turn.recall("form")
    if not form:
        return False
    turn.remember("form", {})
    chosen = _chosen(turn, said)
    if chosen:
        turn.hear_as(chosen)  # the form's own choices are shown as a list as well
    return bool(mechanics()[form["mechanic"]].on_form(turn, form))


def _joining(turn: Turn, said: str) -> bool:
    """A code that makes two channels one person; it comes after the form, whose answer may look like one."""
    return joining.heard(turn)


def _referral(turn: Turn, said: str) -> bool:
    """A friend's code, typed instead of scanned."""
    return referral.heard(turn)


def _number(turn: Turn, said: str) -> bool:
    """A bare number answers the newest list shown."""
    said = _chosen(turn, said)
    if not said:
        return False
    turn.hear_as(said)
    chosen = normal(said)
    return any(step(turn, chosen) for step in (_leave, _human, _quiz, _survey, _mechanics, _faq, _lost))


def _chosen(turn: Turn, said: str) -> str:
    """What a bare number stands for in the newest list shown; empty when it stands for nothing."""
    if not said.isdecimal() or len(said) > 2:
        return ""
    shown: list[str] = turn.recall("shown").get("says", [])
    number = int(said)
    return shown[number - 1] if 1 <= number <= len(shown) else ""


def _mechanics(turn: Turn, said: str) -> bool:
    """The plan's own keywords, then the words that can always be typed."""
    return _command(turn, said)


def _unreadable(turn: Turn, said: str) -> bool:
    """A voice without words, a picture, a place: said kindly."""
    if turn.heard.kind in _MEDIA:
        turn.say("understand.media", "menu", "human")
    elif turn.heard.kind == "voice" and not said:
        turn.say("understand.voice", "menu", "human")
    else:
        return False
    return True


def _faq(turn: Turn, said: str) -> bool:
    """A question with a sure answer is answered; a near miss offers what may have been meant."""
    found = turn.library.faq.ask(turn.heard.text, turn.language)
    if found.answer:
        turn.note("asked", entry=found.answer.id)
        _forget_misses(turn)
        choices = found.answer.choices[turn.language] if found.answer.choices else ()
        named = tuple(Choice(word, word) for word in choices)
        answer = turn.library.fill(found.answer.answer[turn.language], turn.language)
        turn.say_text(answer, *(named or ("menu",)), "human")
    elif found.candidates:
        questions = (entry.question[turn.language] for entry in found.candidates)
        turn.say("faq.mean", *(Choice(question, question) for question in questions), "human")
    else:
        return False
    return True


def _mistaken(turn: Turn, said: str) -> bool:
    """Nobody's words, but perhaps a friend's code with a slip in it."""
    return referral.mistaken(turn)


def _lost(turn: Turn, said: str) -> bool:
    """Not understood: the first time say so, the second in a row bring in people."""
    turn.note("not_understood")
    if turn.recall("misses").get("row", 0) >= 1:
        _forget_misses(turn)
        service.hand_over(turn, "not_understood")
    else:
        turn.remember("misses", {"row": 1})
        turn.say("understand.no", "menu", "help", "human")
    return True


ORDER: tuple[Callable[[Turn, str], bool], ...] = (
    _inner,
    _platform,
    _leave,
    _staff,
    _human,
    _blocked,
    _quiz,
    _survey,
    _form,
    _joining,
    _referral,
    _number,
    _mechanics,
    _unreadable,
    _faq,
    _mistaken,
    _lost,
)


def answer(group: Group, draft: Draft, make: Callable[[Draft], Turn]) -> tuple[Draft, list[dict[str, Any]]]:
    """Decide one message. A refusal, or a fault of ours, undoes what it did and becomes a sentence.

    Returns the draft to accept and the message trees to say.
    """
    turn = make(draft)
    try:
        decide(turn)
    except Refusal as refusal:
        let_go = draft.memory.get("form") == {}
        draft = group.refuse(draft)
        turn = make(draft)
        if let_go:
            turn.remember("form", {})  # or the next words would fill a form that the person has left
        turn.note("refused", rule=type(refusal).__name__)
        turn.say(refusal.phrase, *refusal.choices, **refusal.fields)
        _remember_choices(turn)
    except DatabaseFault:
        raise  # the writer decides the message again in a transaction that stands
    except Exception:
        _log.exception("turn_failed", kind=draft.incoming.kind, subscriber=draft.speaker.id)
        draft = group.refuse(draft)
        turn = make(draft)
        turn.note("fault")
        if draft.incoming.kind not in _SILENT:
            turn.say("fault.sorry", "human", "menu")
            _remember_choices(turn)
    if draft.speaker.owed and draft.incoming.kind not in INNER:
        notices.bundle(turn)
    if turn.is_test and turn.messages:
        mark, first = turn.phrase("test.mark"), turn.messages[0]
        turn.messages[0] = first._replace(text=f"{mark}\n{first.text}")
    return draft, [message.tree() for message in turn.messages]


def _command(turn: Turn, said: str, wanted: Container[tuple[str, str]] | None = None) -> bool:
    """Answer a command, if it is one, and one of those `wanted`."""
    found = turn.library.meant(said)
    if not found or (wanted and found not in wanted):
        return False
    mechanic, command = found
    _forget_misses(turn)
    mechanics()[mechanic].answer(turn, command)
    return True


def _held(turn: Turn) -> bool:
    return turn.recall("handover").get("state") == "held"


def _forget_misses(turn: Turn) -> None:
    if turn.recall("misses").get("row"):
        turn.remember("misses", {})


def _remember_choices(turn: Turn) -> None:
    """Keep the newest list, so that a number means the choice it stands before; unchanged lists cost no write."""
    for message in reversed(turn.messages):
        if message.choices:
            says = [choice.say for choice in message.choices if not choice.url]
            if says != turn.recall("shown").get("says"):
                turn.remember("shown", {"says": says})
            return
