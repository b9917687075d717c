"""How two decisions on one comment differ, and what tips a flip."""

from dataclasses import dataclass

from moderation.decision import Decision, Verdict
from moderation.finding import Effect

REJECTED, APPROVED = "newly rejected", "newly approved"
"""A flip's direction: A approves and B rejects, or the other way round."""

OTHER_GUIDELINES = "other guidelines"
"""No flip: the verdicts are the same, and at most the guidelines are not."""

THRESHOLD, SCORE = "threshold", "score"
"""Causes of a flip that are no rule: the bar is another, or the score is."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What B decided, seen from A.

    Parameters
    ----------
    direction
        `REJECTED` or `APPROVED` for a flip, else `OTHER_GUIDELINES`.
    rejecting, approving
        The decisions of both sides; of a flip the one that rejects and the one that approves.
    """

    direction: str
    rejecting: Decision
    approving: Decision

    @classmethod
    def between(cls, a: Decision, b: Decision) -> "Difference":
        """Set two decisions on the same comment side by side."""
        if a.verdict is b.verdict:
            return cls(OTHER_GUIDELINES, a, b)
        return cls(REJECTED, b, a) if b.verdict is Verdict.REJECT else cls(APPROVED, a, b)

    @property
    def causes(self) -> tuple[str, ...]:
        """What tips the flip, as `causes` tells it; empty where there is none."""
        return () if self.direction == OTHER_GUIDELINES else causes(self.rejecting, self.approving)


def causes(rejecting: Decision, approving: Decision) -> tuple[str, ...]:
    """Tell what tips a flip.

    Parameters
    ----------
    rejecting, approving
        The decisions of both sides on one comment, whichever is A.

    Returns
    -------
    tuple of str
        The rules that reject it; where the score does, the rules that lower its bar on this side alone, else
        `THRESHOLD` where the other side's score would reach this side's bar, else `SCORE`.
    """
    if rejecting.decided_by == "rule":
        return tuple(dict.fromkeys(f.rule for f in rejecting.findings if f.effect is Effect.REJECT))
    if approving.score < rejecting.threshold:
        return (SCORE,)
    elsewhere = {finding.rule for finding in approving.findings}
    referring = [f.rule for f in rejecting.findings if f.effect is Effect.REFER and f.rule not in elsewhere]
    if referring and not any(finding.effect is Effect.REFER for finding in approving.findings):
        return tuple(dict.fromkeys(referring))
    return (THRESHOLD,)
