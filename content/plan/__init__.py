"""The plan as data: its kinds of value, its clauses, and the rules they must keep."""

from content.plan.model import Plan

__all__ = ["Plan"]
