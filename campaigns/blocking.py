"""What somebody hears whom staff keep from taking part: once a day why nothing happens and whom to ask, else nothing.

What is theirs by law or by decency goes on: refusing messages, seeing and taking away what is kept of them, a person
to talk to.
"""

from __future__ import annotations

from campaigns.turn import Turn

# Mechanic and command that still answer; leave words and 人工 stand before them in the order of answering anyway.
STILL = frozenset(
    {("consent", "leave"), ("consent", "return"), ("service", "human")}
    | {("privacy", command) for command in ("privacy", "know", "forget")}
)


def tell(turn: Turn) -> None:
    """Say why not, the first time on a local day; afterwards only note that something was heard."""
    turn.note("blocked_heard")
    if turn.recall("blocked").get("day") != turn.today:
        turn.remember("blocked", {"day": turn.today})
        turn.say("blocked.why", "human", "privacy", "leave")
