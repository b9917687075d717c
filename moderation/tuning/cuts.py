"""All ways to cut labelled comments by their scores, and the best of them for an aim."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate

Choice = tuple[tuple[Fraction | int, int], int, int]
"""Badness (the less, the better) with wrong rejections, and the cuts of ``unflagged`` and ``referred``."""


@dataclass(frozen=True, slots=True)
class Cuts:
    """All ways to cut the comments that meet one threshold: cut ``k`` rejects the ``k`` highest scores.

    Parameters
    ----------
    levels
        The distinct scores, falling.
    right, wrong
        How many comments labelled 1 and 0 each cut rejects; one longer than ``levels``.
    first
        The first cut that a threshold can make: a score of 1 is rejected by every threshold.
    """

    levels: tuple[float, ...]
    right: tuple[int, ...]
    wrong: tuple[int, ...]
    first: int

    @classmethod
    def of(cls, scored: Iterable[tuple[float, int]]) -> "Cuts":
        """Sort and count comments, each given by its score and its label."""
        counts: dict[float, list[int]] = {}
        for score, label in scored:
            counts.setdefault(score, [0, 0])[label] += 1
        levels = tuple(sorted(counts, reverse=True))
        return cls(
            levels=levels,
            right=tuple(accumulate((counts[level][1] for level in levels), initial=0)),
            wrong=tuple(accumulate((counts[level][0] for level in levels), initial=0)),
            first=int(bool(levels) and levels[0] >= 1),
        )

    @property
    def unavoidable(self) -> int:
        """How many comments labelled 0 every threshold rejects."""
        return self.wrong[self.first]

    def highest(self, cut: int) -> float:
        """Give the highest threshold that makes this cut."""
        return self.levels[cut - 1] if cut else 1.0


def within(unflagged: Cuts, referred: Cuts, allowed: int) -> Iterator[Choice]:
    """Yield for each cut of ``unflagged`` the best of ``referred`` with no more wrong rejections than allowed."""
    for i, first in _first_referred(unflagged, referred):
        last = bisect_right(referred.wrong, allowed - unflagged.wrong[i]) - 1
        if first <= last:
            # The first of the cuts that reject as many rightly rejects the fewest wrongly.
            j = bisect_left(referred.right, referred.right[last], lo=first)
            yield (-unflagged.right[i] - referred.right[j], unflagged.wrong[i] + referred.wrong[j]), i, j


def cheapest(unflagged: Cuts, referred: Cuts, ratio: Fraction) -> Iterator[Choice]:
    """Yield for each cut of ``unflagged`` the cheapest of ``referred``."""
    cost = [ratio * wrong - right for right, wrong in zip(referred.right, referred.wrong, strict=True)]
    # best[j] is the cheapest of the cuts from j on, of equals the first: it rejects the fewest wrongly.
    best = [len(referred.levels)] * len(cost)
    for j in reversed(range(len(cost) - 1)):
        best[j] = min(j, best[j + 1], key=lambda cut: (cost[cut], cut))
    for i, first in _first_referred(unflagged, referred):
        j = best[first]
        yield (ratio * unflagged.wrong[i] - unflagged.right[i] + cost[j], unflagged.wrong[i] + referred.wrong[j]), i, j


def _first_referred(unflagged: Cuts, referred: Cuts) -> Iterator[tuple[int, int]]:
    """Yield each cut of ``unflagged`` with the first cut of ``referred`` that can stand at or below it."""
    falling = [-level for level in referred.levels]
    for i in range(unflagged.first, len(unflagged.levels) + 1):
        # All referred scores that reach the highest threshold of this cut must be rejected as well.
        yield i, max(referred.first, bisect_right(falling, -unflagged.highest(i)))
