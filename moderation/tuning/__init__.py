"""Which thresholds suit a publisher's own labelled comments, and what would change with them."""

from moderation.tuning.choice import Tuning, tune
from moderation.tuning.outcome import EXAMPLES, RESAMPLES, Estimate, Flips, OperatingPoint
from moderation.tuning.policy_text import rewritten
from moderation.tuning.wording import report

__all__ = [
    "EXAMPLES",
    "RESAMPLES",
    "Estimate",
    "Flips",
    "OperatingPoint",
    "Tuning",
    "report",
    "rewritten",
    "tune",
]
