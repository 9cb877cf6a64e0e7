"""What a campaign wants, what it costs and whether it worked: goals, budget, indicators, evaluation.

Subtotals and the total are computed from the lines, never written down twice.
"""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from content.plan.terms import Count, Fen, Id, Moment, Share, Span, Table, amount, refuse, term
from content.plan.texts import Long, Name

Kind = Literal["publicity-online", "publicity-offline", "offers", "other"]

KINDS: dict[Kind, tuple[str, str]] = {
    "publicity-online": ("线上宣传", "publicity, online"),
    "publicity-offline": ("线下宣传", "publicity, offline"),
    "offers": ("优惠", "offers"),
    "other": ("其他", "other"),
}


class Goals(Table):
    """What the campaign wants, as percentages."""

    user_growth: Share = amount("用户数增长", "growth of users")
    call_growth: Share = amount("网内通话增长", "growth of calls inside the family")
    sharing_growth: Share = amount("共享用量增长", "growth of sharing inside the family")
    churn_at_most: Share = amount("月离网率不超过", "monthly churn at most")
    satisfaction: Share = amount("满意度", "satisfaction")


class BudgetLine(Table):
    """One figure of the budget."""

    id: Id = term("代号", "id")
    kind: Kind = term("类别", "kind")
    name: Name = term("科目", "line")
    amount: Fen = amount("金额", "amount")


class Budget(Table):
    """Every line's figure; nothing promised may go beyond its line."""

    warn_at: Share = amount("用到多少提醒", "warn when so much is used")
    lines: tuple[BudgetLine, ...] = term("科目", "lines", min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> Budget:
        ids = [line.id for line in self.lines]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise refuse(f"科目重复：{', '.join(twice)}", f"budget line twice: {', '.join(twice)}")
        return self

    def line(self, name: str) -> BudgetLine | None:
        """The line of that id."""
        return next((line for line in self.lines if line.id == name), None)

    def subtotal(self, kind: Kind) -> int:
        """Fen of all set lines of a kind."""
        return sum(line.amount or 0 for line in self.lines if line.kind == kind)

    @property
    def total(self) -> int:
        """Fen of all set lines."""
        return sum(line.amount or 0 for line in self.lines)


class Indicators(Table):
    """Where the figures stand before the campaign and where they should get to."""

    new_users: Count = amount("新增用户", "new users")
    net_growth: Count = amount("净增用户", "net growth")
    users_before: Count = amount("活动前用户数", "users before")
    minutes_before: Count = amount("活动前户均月通话分钟", "monthly call minutes per household before")
    minutes_target: Count = amount("目标户均月通话分钟", "monthly call minutes per household, target")
    data_before: Count = amount("活动前户均月流量（MB）", "monthly MB per household before")
    data_target: Count = amount("目标户均月流量（MB）", "monthly MB per household, target")
    cloud_before: Share = amount("活动前家庭云使用率", "cloud use before")
    cloud_target: Share = amount("目标家庭云使用率", "cloud use, target")
    satisfaction_before: Share = amount("活动前满意度", "satisfaction before")
    revenue_growth: Share = amount("收入增长", "revenue growth")


class Evaluation(Table):
    """How often figures are collected, the closing survey, and how channels are judged."""

    every: Span = amount("数据收集周期", "figures collected every")
    holdout: Share = amount("对照组比例", "holdout group")
    credit_to: Literal["first-touch", "last-touch"] = term("归因", "a gain is credited to")
    cost_per_user: Fen = amount("单个新增用户成本上限", "cost per new user at most")
    survey_at: Moment = term("满意度调查时间", "survey at")
    question: Long = term("调查问题", "survey question")
