"""Blocking a subscriber and lifting it, naming a tester and taking the test back, rejecting a referral.

Each is done at once by one member of staff who gives a reason; the same again changes nothing. Value that counts is
never moved here.
"""

from __future__ import annotations

from campaigns.desk import ActRefused, Desk, may_see
from storage import referrals, revisions, standing

WHY_MAX = 400
REJECTABLE = frozenset(state for state, steps in referrals.STEPS.items() if "rejected" in steps)


def block(desk: Desk, number: int) -> bool:
    """Keep a person from taking part from now on; False when they are blocked already. Needs `people.block`.

    Raises ActRefused without a reason, for nobody, and for a person of another branch. So do the others here.
    """
    one = _reach(desk, "people.block", number)
    if one.blocked:
        return False
    standing.set_blocked(desk.connection, one.id, desk.now)
    _keep(desk, one.id, "blocked")
    return True


def unblock(desk: Desk, number: int) -> bool:
    """Let a person take part again, with all they had; False when they were not blocked. Needs `people.block`."""
    one = _reach(desk, "people.block", number)
    if not one.blocked:
        return False
    standing.set_blocked(desk.connection, one.id, None)
    _keep(desk, one.id, "unblocked")
    return True


def test(desk: Desk, number: int) -> bool:
    """Let a person live the campaign as a test from now on; False when they do already. Needs `people.test`.

    Raises ActRefused for somebody blocked, too: nothing would answer them.
    """
    one = _reach(desk, "people.test", number)
    if one.tester_since:
        return False
    if one.blocked:
        raise ActRefused("这位用户已停用，请先恢复再指定测试", "this person is blocked; unblock them before they test")
    since = standing.begin_test(desk.connection, one.id, desk.now)
    standing.record(desk.connection, one.id, "tested", desk.actor, since, desk.why)
    desk.note("people.tested", "", 0, {}, subscriber=one.id)
    return True


def untest(desk: Desk, number: int) -> bool:
    """Take a person's test back: they are as they were before it; False when they do not test. Needs `people.test`."""
    desk.require("people.test")
    referrals.lock_tests(desk.connection, number)
    one = _reach(desk, "people.test", number)
    if not one.tester_since:
        return False
    campaign = next(iter(revisions.campaigns(desk.connection)), "")
    revision = revisions.current(desk.connection, campaign) or 0 if campaign else 0
    done = standing.end_test(desk.connection, one, campaign, revision, desk.now)
    done["referrals"] = referrals.drop_tests(desk.connection, one.id, desk.actor, revision, desk.now)
    standing.record(desk.connection, one.id, "untested", desk.actor, desk.now, desk.why)
    desk.note("people.untested", "", 0, done, subscriber=one.id)
    return True


def reject(desk: Desk, number: int) -> bool:
    """Find that the referral by which a person came was none; False when that was found already.

    What is held for it is freed, and the person is not free for another. Needs `referrals.reject`. Raises ActRefused
    for nobody's guest and once it is rewarded, too.
    """
    one = _reach(desk, "referrals.reject", number)
    campaign = referrals.campaign_of(desk.connection, one.id)
    revision = (revisions.current(desk.connection, campaign) or 0) if campaign else 0
    try:
        if not referrals.move(desk.connection, one.id, "rejected", desk.actor, revision, desk.now):
            return False
    except KeyError:
        raise ActRefused("这位用户没有推荐人", "nobody referred this person") from None
    except referrals.Unlawful as wrong:
        raise ActRefused(
            f"推荐的状态是 {wrong.state}，奖励已经发过，不能再否决；发错的奖励请按更正处理",
            f"the referral is {wrong.state}: its reward was given, so it cannot be rejected; "
            "a reward given wrongly is put right by a correction",
        ) from None
    referrals.void_holds(desk.connection, one.id, desk.now)
    standing.record(desk.connection, one.id, "rejected", desk.actor, desk.now, desk.why)
    return True


def _reach(desk: Desk, right: str, number: int) -> standing.Locked:
    desk.require(right)
    if not desk.why.strip():
        raise ActRefused("请写明原因", "say why")
    if len(desk.why) > WHY_MAX:
        raise ActRefused(f"原因最多 {WHY_MAX} 个字", f"the reason may have {WHY_MAX} characters at most")
    try:
        one = standing.locked(desk.connection, number)
    except KeyError:
        raise ActRefused(f"没有编号是 {number} 的用户", f"there is no subscriber {number}") from None
    may_see(desk, one.branch)
    return one


def _keep(desk: Desk, person: int, kind: str) -> None:
    standing.record(desk.connection, person, kind, desk.actor, desk.now, desk.why)
    desk.note(f"people.{kind}", "", 0, {}, subscriber=person)
