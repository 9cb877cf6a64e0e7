"""A push sent to one tester, before anybody else gets it: no push to any cap, and nothing is counted of it.

Says who may be sent a trial and where they are reached; who sends it is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from campaigns import pushing
from campaigns.desk import ActRefused, Desk
from content import pushes as saying
from content.library import Library
from storage import kept, push_tests, standing
from storage.draft import dumps

_KEY_SECONDS = 86_400.0  # a form sent twice sends one test


def send_test(
    desk: Desk, library: Library, number: int, subscriber: int, ways: Mapping[str, Sequence[str]], key: str = ""
) -> bool:
    """Send what a push says to one tester at once, before all pushes, where they are reached best.

    `ways` are accounts (`channel:account`) by how a push can go out there. False for a `key` that was used already.
    Needs `pushes.write`; raises ActRefused for whoever is no tester.
    """
    pushing.may(desk, "pushes.write")
    push = pushing.locked(desk, number)
    for zh, en in saying.faults(push.content, library):
        raise ActRefused(zh, en)
    try:
        person = standing.locked(desk.connection, subscriber)
    except KeyError:
        raise ActRefused(f"没有用户 {subscriber}", f"there is no subscriber {subscriber}") from None
    if not push_tests.is_tester(desk.connection, person.id) or person.blocked:
        raise ActRefused(
            f"用户 {person.id} 不是测试用户；先在用户页上指定为测试用户",
            f"subscriber {person.id} is no tester; name them a tester on their page first",
        )
    spoken = [*ways.get("service", ()), *ways.get("mass", ())]
    to = push_tests.place(desk.connection, person.id, [*ways.get("bot", ()), *spoken], ways.get("page", ()))
    if to is None:
        raise ActRefused(
            f"用户 {person.id} 在现有渠道上收不到：没有关注，或渠道没有开",
            f"subscriber {person.id} cannot be reached: they follow no account that is open",
        )
    if key and not kept.count(desk.connection, f"push-test/{number}/{key}", 1, _KEY_SECONDS):
        return False
    language = to.language if to.language in library.plan.languages else library.plan.languages[0]
    said = dumps(saying.both(push.content, library, library.revision, language))
    push_tests.queue(desk.connection, person.id, to, said, int(to.account in spoken), desk.now)
    desk.note("push.tested", push.campaign, library.revision, {"push": number}, person.id)
    return True
