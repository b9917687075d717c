"""What comes of thresholds on labelled comments: the rejections, with intervals, and the verdicts that change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
"""How many bootstrap samples an interval stands on."""

EXAMPLES = 5
"""How many row numbers are kept of each kind of changed verdict."""

_SEED = 20_260_101
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share with its interval.

    Parameters
    ----------
    share
        0 to 1; None where there is nothing to take a share of.
    low, high
        Percentile bootstrap interval of 95%, None as well where no resample has anything to take a share of.
        Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """

    share: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What a pair of thresholds does to the labelled comments, rejections by rule included.

    Parameters
    ----------
    unflagged, referred
        The thresholds, 0 to 1; the second is not above the first.
    right, wrong
        How many comments are rejected that are labelled 1 and 0.
    rejection
        Share of all comments that is rejected.
    recall
        Share of the comments labelled 1 that is rejected.
    precision
        Share of the rejected comments that is labelled 1.
    false_rejection
        Share of the comments labelled 0 that is rejected.
    """

    unflagged: float
    referred: float
    right: int
    wrong: int
    rejection: Estimate
    recall: Estimate
    precision: Estimate
    false_rejection: Estimate

    @property
    def rejected(self) -> int:
        """How many comments are rejected."""
        return self.right + self.wrong

    @property
    def thresholds(self) -> dict[str, float]:
        """Both thresholds by name, as `rewritten` takes them and a policy holds them."""
        return {"unflagged": self.unflagged, "referred": self.referred}


@dataclass(frozen=True, slots=True)
class Flips:
    """The verdicts that change in one direction.

    Parameters
    ----------
    right, wrong
        How many of them then agree with the label, and how many no longer do.
    right_rows, wrong_rows
        Numbers of the first of each, at most `EXAMPLES`.
    """

    right: int
    wrong: int
    right_rows: tuple[int, ...]
    wrong_rows: tuple[int, ...]

    @classmethod
    def of(cls, numbers: Sequence[int], flipped: Bools, agrees: Bools) -> "Flips":
        """Count the flipped rows that then agree with their labels and those that do not."""
        right, wrong = np.flatnonzero(flipped & agrees), np.flatnonzero(flipped & ~agrees)
        return cls(
            right=len(right),
            wrong=len(wrong),
            right_rows=tuple(numbers[row] for row in right[:EXAMPLES]),
            wrong_rows=tuple(numbers[row] for row in wrong[:EXAMPLES]),
        )

    @property
    def rows(self) -> int:
        """How many verdicts change."""
        return self.right + self.wrong


def named_rows(numbers: Sequence[int], count: int) -> str:
    """Name the first of so many rows by their numbers, such as ``rows 3, 8, …``."""
    return f"row{'s' * (count > 1)} {', '.join(map(str, numbers[:EXAMPLES]))}{', …' * (count > EXAMPLES)}"


def operating_points(
    truth: Bools, rejected: tuple[Bools, Bools], thresholds: tuple[Mapping[str, float], Mapping[str, float]]
) -> list[OperatingPoint]:
    """Count what the old and the new thresholds reject, with intervals from the same resamples.

    To draw comments with replacement is to draw the counts of the eight kinds of comment (label, old verdict, new
    verdict) from a multinomial distribution, which is quick however many comments there are.

    Parameters
    ----------
    truth
        Which comments are labelled 1, shape (n_comments,).
    rejected
        Which of them the old and the new thresholds reject, of the same shape.
    thresholds
        The old and the new.
    """
    before, after = rejected
    counts = np.bincount(truth * 4 + before * 2 + after, minlength=8)
    draws = np.random.default_rng(_SEED).multinomial(len(truth), counts / len(truth), size=RESAMPLES)

    def estimate(part: Bools, whole: Bools) -> Estimate:
        total = int(counts[whole].sum())
        if not total:
            return Estimate(None, None, None)
        parts, wholes = draws[:, part].sum(axis=1), draws[:, whole].sum(axis=1)
        low, high = np.quantile(parts[wholes > 0] / wholes[wholes > 0], (0.025, 0.975))
        return Estimate(int(counts[part].sum()) / total, float(low), float(high))

    kinds = np.arange(8)
    to_reject = kinds >= 4
    points = []
    for bit, at in zip((2, 1), thresholds, strict=True):
        spoken = kinds & bit > 0
        right, wrong = spoken & to_reject, spoken & ~to_reject
        points.append(
            OperatingPoint(
                unflagged=at["unflagged"],
                referred=at["referred"],
                right=int(counts[right].sum()),
                wrong=int(counts[wrong].sum()),
                rejection=estimate(spoken, kinds >= 0),
                recall=estimate(right, to_reject),
                precision=estimate(right, spoken),
                false_rejection=estimate(wrong, ~to_reject),
            )
        )
    return points
