"""Who may do what: every right there is, and the rights of each role. What is not listed here nobody may do.

Knows no person: which roles somebody has is kept with them. `branch` limits whose people a right reaches, not which.
"""

from __future__ import annotations

from collections.abc import Iterable

# right: what it lets somebody do, in Chinese and English, as the staff page shows it.
RIGHTS: dict[str, tuple[str, str]] = {
    "people.read": ("查看用户的经历，个人信息遮住", "see a subscriber's story, personal fields masked"),
    "people.reveal": ("写明原因后查看个人信息", "see personal fields after giving a reason"),
    "people.block": ("停用或恢复用户", "block and unblock subscribers"),
    "people.test": ("指定测试用户", "name testers"),
    "acts.read": ("查看提出的变动和结果", "see proposed changes and what became of them"),
    "acts.propose": ("提出补偿、更正和期初余额", "propose goodwill, corrections and opening balances"),
    "acts.approve": ("复核别人提出的变动", "approve what somebody else proposed"),
    "referrals.reject": ("否决推荐", "reject a referral"),
    "plan.read": ("查看方案、版本和预算", "see the plan, its revisions and its budget"),
    "plan.apply": ("应用新的方案版本", "apply a new revision of the plan"),
    "pushes.read": ("查看推送和结果", "see pushes and their results"),
    "pushes.write": ("写推送、提交、暂停和取消", "write, submit, pause and cancel pushes"),
    "pushes.approve": ("复核别人写的推送", "approve pushes that somebody else wrote"),
    "surveys.read": ("查看问卷结果", "see the results of surveys"),
    "surveys.texts": ("写明用途后查看问卷的文字回答", "see what was written in surveys after giving a purpose"),
    "system.read": ("查看系统状态", "see the system's state"),
    "audit.read": ("查看操作记录", "see the audit log"),
    "service.stop": ("紧急停止和恢复发送", "stop and resume all sending"),
    "staff.manage": ("管理员工和权限", "manage staff and their roles"),
}

# The four groups of the plan's [groups] clause, and who looks after the console itself.
ROLES: dict[str, frozenset[str]] = {
    "planning": frozenset(
        {"people.read", "plan.read", "plan.apply", "acts.read", "acts.approve", "people.test", "system.read"}
        | {"audit.read", "service.stop", "pushes.read", "pushes.approve", "surveys.read", "surveys.texts"}
    ),
    "publicity": frozenset(
        {"people.read", "plan.read", "system.read", "people.test", "service.stop"}
        | {"pushes.read", "pushes.write", "pushes.approve", "surveys.read", "surveys.texts"}
    ),
    "handling": frozenset(
        {"people.read", "people.reveal", "plan.read", "acts.read", "acts.propose", "referrals.reject"}
    ),
    "service": frozenset(
        {"people.read", "people.reveal", "plan.read", "people.block", "acts.read", "acts.propose", "surveys.read"}
    ),
    "administrator": frozenset(RIGHTS),
}

# Every act on a Desk by its module and name, and the right that it asks for. A test calls each as every role; an act
# that is not listed here, nor among those that somebody does for themselves alone, does not build.
ACTS: dict[str, str] = {
    "copies:release": "service.stop",
    "desk:apply_plan": "plan.apply",
    "proposals:approve": "acts.approve",
    "proposals:cost": "acts.read",
    "proposals:decline": "acts.approve",
    "proposals:faults": "acts.read",
    "proposals:find": "acts.read",
    "proposals:lines": "acts.read",
    "proposals:listed": "acts.read",
    "proposals:propose": "acts.propose",
    "proposals:withdraw": "acts.propose",
    "push_plan:sync": "plan.apply",
    "push_trial:send_test": "pushes.write",
    "pushing:approve": "pushes.approve",
    "pushing:cancel": "pushes.write",
    "pushing:change": "pushes.write",
    "pushing:create": "pushes.write",
    "pushing:pause": "pushes.write",
    "pushing:resume": "pushes.write",
    "pushing:send_back": "pushes.approve",
    "pushing:submit": "pushes.write",
    "revealing:reveal": "people.reveal",
    "staff:activate": "staff.manage",
    "staff:add": "staff.manage",
    "staff:change": "staff.manage",
    "staff:reset": "staff.manage",
    "standing:block": "people.block",
    "standing:reject": "referrals.reject",
    "standing:test": "people.test",
    "standing:unblock": "people.block",
    "standing:untest": "people.test",
    "survey_results:figures": "surveys.read",
    "survey_results:words": "surveys.texts",
    "stopping:resume": "service.stop",
    "stopping:stop": "service.stop",
}
OWN_ACTS = frozenset(
    {"staff:end_session", "staff:entered", "staff:set_language", "staff:set_password", "staff:set_second"}
)

# Whoever sits at the machine's command line runs the service itself: nothing there is beyond them.
OPERATOR = frozenset(RIGHTS)


def of(roles: Iterable[str]) -> frozenset[str]:
    """The rights of somebody with these roles; a role that is not listed gives none."""
    return frozenset().union(*(ROLES.get(role, frozenset()) for role in roles))
