"""A subscriber's standing: block and unblock, name a tester and take the test back, reject the referral that brought
them. Each form says what will happen and asks for a reason; what was decided before stands below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from bot.console import ROOT, page, post
from bot.console.pages.people_words import KINDS_OF
from bot.console.pages.plan import _members
from bot.console.visit import Missing, Visit, Wrong
from campaigns import standing as acts
from campaigns.desk import ActRefused, may_see
from storage import people, standing, story

KINDS = {
    "people.blocked": ("停用用户", "Blocked a subscriber"),
    "people.unblocked": ("恢复用户", "Unblocked a subscriber"),
    "people.tested": ("指定测试用户", "Named a tester"),
    "people.untested": ("收回测试", "Took a test back"),
}
WORDS = {
    "title": ("停用、测试、否决推荐", "Block, test, reject a referral"),
    "person": ("用户 {number}", "Subscriber {number}"),
    "active": ("正常", "in good standing"),
    "blocked": ("已停用", "blocked"),
    "tester": ("测试用户", "tester"),
    "since": ("{what}，自 {when}", "{what} since {when}"),
    "block": ("停用这位用户", "Block this person"),
    "block_what": (
        "立即生效：不能签到、得积分或花积分，到期事项不再给出什么，推荐码不能再带来朋友。每天最多告诉本人一次原因和找谁。"
        "退订、人工、查看和删除个人信息照常。取消关注后再来，仍然停用。",
        "At once: no check-in, no points to get or spend, nothing falls due for them, and their code brings nobody. "
        "They are told at most once a day why and whom to ask. Leaving, asking for a person, seeing and erasing their "
        "data go on. Unfollowing and coming back does not lift it.",
    ),
    "unblock": ("恢复这位用户", "Unblock this person"),
    "unblock_what": (
        "原有的积分、资料和推荐都还在；停用期间错过的不补。",
        "Points, details and referrals are as they were; what was missed meanwhile is not made up.",
    ),
    "test": ("指定为测试用户", "Name a tester"),
    "test_what": (
        "在真实账号上提前体验活动。积分记在测试账户里，不动用预算，不计入任何数字；每条回复都注明是测试。收回后恢复原样。",
        "They live the campaign on the real account before it starts. Their points stand in a test account, touch no "
        "budget and no figure; every answer says that it is a test. Taken back, all is as it was.",
    ),
    "untest": ("收回测试", "Take the test back"),
    "untest_what": (
        "测试积分退回，占用解除，测试留下的到期事项、记忆和推荐都去掉。",
        "Test points go back, holds are voided; what the test laid down to fall due, remembered and referred goes.",
    ),
    "has": ("测试账户", "In the test account"),
    "points": ("积分", "points"),
    "reject": ("否决推荐", "Reject the referral"),
    "reject_what": (
        "由用户 {referrer} 推荐，现在是“{state}”。否决后为它占用的奖励解除，这位用户也不能再被别人推荐。",
        "Brought by subscriber {referrer}, now “{state}”. Rejected, what is held for it is freed, and nobody else can "
        "refer this person.",
    ),
    "why": ("原因", "Reason"),
    "why_hint": (
        "留在下面的记录里。请不要写手机号等个人信息。",
        "Kept in the record below. Please write no phone numbers or other details of people.",
    ),
    "history": ("记录", "Record"),
    "never": ("还没有记录。", "There is none yet."),
    "when": ("时间", "When"),
    "what": ("做了什么", "What"),
    "who": ("谁", "Who"),
    "operator": ("命令行（运维）", "the command line (operator)"),
    "kind.blocked": ("停用", "blocked"),
    "kind.unblocked": ("恢复", "unblocked"),
    "kind.tested": ("指定测试", "named a tester"),
    "kind.untested": ("收回测试", "test taken back"),
    "kind.rejected": ("否决推荐", "referral rejected"),
    "back": ("回到用户页", "Back to the person"),
    "done": ("已办好。", "Done."),
    "was_so": ("先前已经是这样，没有改变。", "It was so already; nothing changed."),
}
PATH = f"{ROOT}/people/{{number:int}}/standing"
PERSON_LINKS = [("/console/people/{number}/standing", "people.read", WORDS["title"])]
_SHOWN = 50


@page(PATH, "people.read")
async def look(visit: Visit) -> Response:
    """How the person stands, what may be done about it, and what was decided before."""
    return await _shown(visit)


@post(f"{PATH}/block", "people.block")
async def block(visit: Visit) -> Response:
    """Block."""
    return await _press(visit, acts.block)


@post(f"{PATH}/unblock", "people.block")
async def unblock(visit: Visit) -> Response:
    """Unblock."""
    return await _press(visit, acts.unblock)


@post(f"{PATH}/test", "people.test")
async def test(visit: Visit) -> Response:
    """Name a tester."""
    return await _press(visit, acts.test)


@post(f"{PATH}/untest", "people.test")
async def untest(visit: Visit) -> Response:
    """Take a test back."""
    return await _press(visit, acts.untest)


@post(f"{PATH}/reject", "referrals.reject")
async def reject(visit: Visit) -> Response:
    """Reject the referral by which the person came."""
    return await _press(visit, acts.reject)


async def _press(visit: Visit, act: Callable[[Any, int], bool]) -> Response:
    """Do it and come back to the page; refused, show the form once more with what was written."""
    number, why = visit.number("number"), ""
    try:
        why = visit.form.text("why", acts.WHY_MAX, label=WORDS["why"])
        changed = await visit.act(lambda desk: act(desk, number), why)
    except (Wrong, ActRefused) as refused:
        return await _shown(visit, refused=refused, why=why)
    return visit.go(f"{ROOT}/people/{number}/standing", said=WORDS["done" if changed else "was_so"])


async def _shown(visit: Visit, refused: Wrong | ActRefused | None = None, why: str = "") -> Response:
    number = visit.number("number")
    told = await visit.read(lambda connection: _read(visit, connection, number))
    if isinstance(told, int):
        return visit.go(f"{ROOT}/people/{told}/standing")
    status = 200 if refused is None else 400 if isinstance(refused, Wrong) else 409
    return visit.show("standing.html", WORDS, status, **told, refused=refused, why=why)


def _read(visit: Visit, connection: Any, number: int) -> dict[str, Any] | int:
    one = story.person(connection, number)
    if one is None:
        raise Missing
    may_see(visit.desk(connection), one.branch)
    now = story.stands_for(connection, number)
    if now != number:
        return now
    by = story.brought_by(connection, number)
    rejectable = by is not None and by["state"] in acts.REJECTABLE
    state = visit.tell(*KINDS_OF["referral"][by["state"]]) if by else ""
    return {
        "one": one,
        "by": by if rejectable else None,
        "state": state,
        "has": people.test_balances(connection, number),
        "records": standing.records(connection, number, _SHOWN),
        "members": _members(connection),
    }
