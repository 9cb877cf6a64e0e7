"""One person, two channels: a code taken on one, typed on the other, and both are one person.

Decides who may be joined and what stands of both. The moving itself is storage's; nothing here knows a channel's wire.
"""

from __future__ import annotations

import json
import secrets
from datetime import timedelta
from typing import Any

from campaigns import mechanics, quiz, referral
from campaigns.turn import Turn
from content.message import Message
from storage import joining
from storage.group import CODE_LETTERS
from storage.tables import instant, micros
from storage.uniting import Pair, Referral, Settled

CLAUSES = ()
WORDS = {
    "connect": (
        "绑定",
        "连接",
        "绑定账号",
        "连接账号",
        "绑定微信",
        "绑定其他渠道",
        "connect",
        "connect another channel",
        "link account",
    ),
}
VALID = timedelta(minutes=10)
WRONG_MAX = 5  # wrong codes by one person, before they must wait until an hour after the first of them
_HOUR = timedelta(hours=1)
_BROWSER = "web"  # an identity there is a browser, not an account: one person may well have several
_STATES = {None: 0, "waiting": 1, "held": 2}


def answer(turn: Turn, command: str) -> None:
    """Give out a code, and say what it does before anybody types it."""
    code = new_code()
    turn.offer(code, turn.now + VALID)
    turn.note("join_code")
    turn.say("joining.code", "points", "menu", code=code, minutes=_minutes(VALID))


def new_code() -> str:
    """A code nobody can guess, with a digit and a letter at least, so that no word is taken for one."""
    while True:
        code = "".join(secrets.choice(CODE_LETTERS) for _ in range(joining.LENGTH))
        if joining.spelled(code):
            return code


def heard(turn: Turn) -> bool:
    """Join the two when a live code was typed, or say why not; False when no code was typed."""
    meeting = turn.meeting
    if meeting is None:
        return False
    minutes = _minutes(VALID)
    locked = _locked(turn)
    if locked:
        _refuse(turn, "limited", "joining.limited", "human", "menu", minutes=locked)
    elif meeting.state == "own":
        _refuse(turn, "own", "joining.own", "connect", "menu", minutes=minutes)
    elif meeting.state == "joined":
        turn.say("joining.already", "points", "menu")
    elif meeting.state == "live":
        _join(turn)
    else:
        _count_wrong(turn)
        phrases = {"unknown": "joining.unknown", "expired": "joining.expired", "used": "joining.used"}
        _refuse(turn, meeting.state, phrases[meeting.state], "connect", "human", "menu", minutes=minutes)
    return True


def _refuse(turn: Turn, rule: str, phrase: str, *choices: str, **fields: Any) -> None:
    """Said without undoing the turn: a wrong code must go on being counted."""
    turn.note("refused", rule=f"Join_{rule}")
    turn.say(phrase, *choices, **fields)


def _locked(turn: Turn) -> int:
    """For how many minutes the person may try no more; 0 when they may."""
    wrong = turn.recall("wrong_codes")
    left = int(wrong.get("until", 0)) - micros(turn.now)
    if left <= 0 or wrong["count"] < WRONG_MAX:
        return 0
    return _minutes(timedelta(microseconds=left))


def _count_wrong(turn: Turn) -> None:
    wrong = turn.recall("wrong_codes")
    if int(wrong.get("until", 0)) <= micros(turn.now):
        wrong = {"until": micros(turn.now + _HOUR), "count": 0}
    turn.remember("wrong_codes", {**wrong, "count": wrong["count"] + 1})


def _minutes(span: timedelta) -> int:
    return max(1, -(-span // timedelta(minutes=1)))


def _join(turn: Turn) -> None:
    pair = turn.study()
    older, younger = pair.older, pair.younger
    if older.speaker.guest and younger.speaker.guest:
        return _refuse(turn, "guests", "joining.guests", "menu", "human")
    if any(channel != _BROWSER for channel, _ in older.homes & younger.homes):
        return _refuse(turn, "same_account", "joining.same_account", "connect", "human", "menu")
    if older.speaker.tester_since is not None or younger.speaker.tester_since is not None:
        return _refuse(turn, "tester", "joining.tester", "human", "menu")
    pair.standing = standing(pair, referral.typed_within(turn) + turn.stopped_since(instant(older.created_at)))
    settled = turn.unite(pair, _attributes(pair))
    _remember(turn, pair)
    if not (older.speaker.guest and younger.speaker.guest):
        referral.become_known(turn)
        quiz.joined(turn)
    owned = (older.referral, younger.referral)
    turn.note(
        "joined",
        alias=younger.id,
        reversed=settled.reversed,
        short=settled.short,
        released=settled.released,
        waiting=settled.waiting,
        rejected=sum(own is not None and own is not pair.standing for own in owned),
    )
    if older.speaker.consent != younger.speaker.consent:
        turn.record_consent("joining.done")
    _tell(turn, pair, settled)
    return None


def standing(pair: Pair, within: timedelta) -> Referral | None:
    """The referral that stands: the earlier, of those not rejected and not between the two or in a ring with them.

    Nor does one stand that waits still and is of somebody known already then, for longer than `within`, by the other.
    """
    own = [referral for referral in (pair.older.referral, pair.younger.referral) if referral]
    lawful = [one for one in own if one.state != "rejected" and not one.ring and not _known_before(pair, one, within)]
    return min(lawful, key=lambda one: (one.at, one.referee), default=None)


def _known_before(pair: Pair, one: Referral, within: timedelta) -> bool:
    older = pair.older
    late = one.at - older.created_at > within // timedelta(microseconds=1)
    return one is pair.younger.referral and one.state == "pending" and late and not older.speaker.guest


def _attributes(pair: Pair) -> dict[str, Any]:
    """What the older person is from now on. Who was never asked has not refused; who refused anywhere has."""
    older, younger = pair.older, pair.younger
    chosen = younger if younger.chose_at > older.chose_at else older
    agreed = older.speaker.consent or younger.speaker.consent
    brought = older.referral or younger.referral
    return {
        "language": chosen.speaker.language,
        "consent": agreed and not (older.refused or younger.refused),
        "guest": older.speaker.guest and younger.speaker.guest,
        "referrer": (pair.standing.referrer if pair.standing else None) if brought else older.speaker.referrer,
    }


def _remember(turn: Turn, pair: Pair) -> None:
    """Unite what is remembered of both: by the mechanic that remembers it, else the older's stands."""
    older, younger = (
        {name: json.loads(raw) for name, raw in side.speaker.memory.items()} for side in (pair.older, pair.younger)
    )
    for name in older.keys() | younger.keys():
        one, other = older.get(name, {}), younger.get(name, {})
        unite = getattr(mechanics().get(name), "unite", None) or _UNITE.get(name)
        turn.remember(name, unite(one, other) if unite else one or other)
    turn.remember("joined", {"ids": [*pair.older.ids[1:], *pair.younger.ids]})


def _held_longest(older: dict[str, Any], younger: dict[str, Any]) -> dict[str, Any]:
    return max(older, younger, key=lambda kept: _STATES[kept.get("state")])


_UNITE = {
    "handover": _held_longest,  # a conversation that staff hold goes on being held
    "form": lambda older, younger: {},  # half a form of one conversation makes no sense in the other
    "misses": lambda older, younger: {},
}


def _tell(turn: Turn, pair: Pair, settled: Settled) -> None:
    """Tell both conversations, in the one language, what the person has now."""
    points = turn.owned_by(pair.older.id)
    more = [
        turn.phrase(phrase, points=count)
        for phrase, count in (("joining.twice", settled.reversed), ("joining.waiting", settled.waiting))
        if count
    ]
    if pair.older.speaker.blocked or pair.younger.speaker.blocked:
        more.append(turn.phrase("blocked.why"))
    turn.say_text("\n".join([turn.phrase("joining.done", points=points), *more]), "points", "menu")
    told = "\n".join([turn.phrase("joining.told", points=points), *more])
    choices = tuple(turn.library.choice(turn.language, command) for command in ("points", "human"))
    pair.told.append(Message(told, None, choices).tree())
