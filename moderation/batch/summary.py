"""What a review came to, in numbers."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from moderation.decision import Decision, Verdict


@dataclass
class Summary:
    """What a review came to.

    Parameters
    ----------
    approved, rejected, unreadable
        Numbers of rows.
    guidelines
        Rejected comments by guideline; a comment may break several.
    decided_by
        Rejected comments by what decided.
    """

    approved: int = 0
    rejected: int = 0
    unreadable: int = 0
    guidelines: Counter[str] = field(default_factory=Counter)
    decided_by: Counter[str] = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        """All rows read."""
        return self.approved + self.rejected + self.unreadable

    def add(self, decision: Decision) -> None:
        """Count one decision."""
        if decision.verdict is Verdict.APPROVE:
            self.approved += 1
        else:
            self.rejected += 1
            self.guidelines.update(decision.guidelines)
            self.decided_by[decision.decided_by] += 1

    def merge(self, counts: Mapping[str, Any]) -> None:
        """Count what `counts` of another tells."""
        self.approved += counts["approved"]
        self.rejected += counts["rejected"]
        self.unreadable += counts["unreadable"]
        self.guidelines.update(counts["guidelines"])
        self.decided_by.update(counts["decided_by"])

    def with_(self, other: "Summary") -> "Summary":
        """Give the sum of both."""
        both = Summary()
        both.merge(self.counts())
        both.merge(other.counts())
        return both

    def counts(self) -> dict[str, Any]:
        """Give all numbers as JSON can hold them."""
        return {
            "approved": self.approved,
            "rejected": self.rejected,
            "unreadable": self.unreadable,
            "guidelines": dict(self.guidelines),
            "decided_by": dict(self.decided_by),
        }
