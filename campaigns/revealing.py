"""Personal fields are shown to staff once a purpose is given: each look is an event in the audit log.

The purpose is one of a list, for events hold no free text and are kept for ever.
"""

from __future__ import annotations

from campaigns.desk import ActRefused, Desk, may_see
from storage import story

# purpose: what it is for, in Chinese and English.
PURPOSES: dict[str, tuple[str, str]] = {
    "asked": ("用户本人来问", "the person asked us"),
    "complaint": ("处理投诉", "a complaint"),
    "delivery": ("寄送或核对礼品", "sending or handing out a gift"),
    "application": ("办理业务", "an application"),
    "correction": ("更正积分或推荐", "a correction of points or referrals"),
    "abuse": ("查核违规", "looking into abuse"),
    "law": ("依法查询", "a duty by law"),
}


def reveal(desk: Desk, number: int, purpose: str) -> None:
    """Record why this person's details are looked at now. Needs `people.reveal`; raises ActRefused without a purpose,
    KeyError for nobody."""
    desk.require("people.reveal")
    person = story.person(desk.connection, number)
    if person is None:
        raise KeyError(number)
    may_see(desk, person.branch)
    if purpose not in PURPOSES:
        raise ActRefused("请选择查看的用途", "choose what you need it for")
    desk.note("people.revealed", "", 0, {"purpose": purpose}, subscriber=number)
