"""What was seen, and where."""

from dataclasses import dataclass
from enum import StrEnum


class Effect(StrEnum):
    """What a finding does to the decision."""

    REJECT = "reject"
    """It decides alone."""
    REFER = "refer"
    """It lowers the bar that the score has to reach."""
    SCORE = "score"
    """It carried the classifier's score; the rule layer has no part in it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where one rule fired, or one span that carried the classifier's score.

    Parameters
    ----------
    rule
        Id of the rule, or ``classifier``.
    guideline
        Id of the guideline.
    effect
        What it does to the decision.
    start, end
        Half-open offsets in code points of the original text.
    excerpt
        ``text[start:end]`` of the original text.
    """

    rule: str
    guideline: str
    effect: Effect
    start: int
    end: int
    excerpt: str

    def to_dict(self) -> dict[str, str | int]:
        """Give the finding as it stands in files and over HTTP."""
        return {
            "rule": self.rule,
            "guideline": self.guideline,
            "effect": self.effect.value,
            "start": self.start,
            "end": self.end,
            "excerpt": self.excerpt,
        }
