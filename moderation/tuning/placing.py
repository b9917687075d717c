"""Where a threshold stands between the scores that it parts."""

import math
from dataclasses import dataclass

from moderation.tuning.cuts import Cuts


@dataclass(frozen=True, slots=True)
class Gap:
    """The thresholds that make the same cut.

    Parameters
    ----------
    below
        They are above this score; minus infinity where any from 0 on will do.
    above
        They are at most this score, 0 to 1.
    preferred
        The one to take where there is nothing to cut.
    """

    below: float
    above: float
    preferred: float | None = None

    @classmethod
    def of(cls, cuts: Cuts, cut: int, old: float) -> "Gap":
        """Give where the threshold of a cut may stand; ``old`` is preferred where there is nothing to cut."""
        below = cuts.levels[cut] if cut < len(cuts.levels) else -math.inf
        return cls(below, cuts.highest(cut), None if cuts.levels else old)

    def threshold(self) -> float:
        """Give the preferred threshold, or one near the middle with as few digits as the middle half holds."""
        if self.preferred is not None:
            return self.preferred
        bottom = max(self.below, 0.0)
        middle = (bottom + self.above) / 2
        reach = (self.above - bottom) / 4
        candidates = (*(round(middle, digits) for digits in range(2, 18)), middle)
        held = (one for one in candidates if abs(one - middle) <= reach and self.below < one <= self.above)
        return next(held, self.above)


def placed(unflagged: Gap, referred: Gap) -> dict[str, float]:
    """Place both thresholds, in the middle of what both gaps share where they would stand the wrong way round."""
    high, low = unflagged.threshold(), referred.threshold()
    if low > high:
        shared = Gap(max(unflagged.below, referred.below), min(unflagged.above, referred.above))
        high = low = shared.threshold()
    return {"unflagged": high, "referred": low}
