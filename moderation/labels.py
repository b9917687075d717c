"""What a person said of a comment, and how far the verdicts agree."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

LABEL_NAMES = ("expected", "label")
"""Columns that are taken for labels where none is named."""

_REJECT = ("reject", "true", "yes")
_APPROVE = ("approve", "false", "no")


def label_of(value: object) -> bool | None:
    """Tell whether a label says to reject; None where it says neither.

    Parameters
    ----------
    value
        ``reject`` or ``approve``, 1 or 0, true or false, yes or no, or a share of raters, of which 0.5 rejects.
    """
    word = str(value).strip().lower()
    if word in _REJECT:
        return True
    if word in _APPROVE:
        return False
    try:
        share = float(word)
    except ValueError:
        return None
    return share >= 0.5 if 0 <= share <= 1 else None


@dataclass(slots=True)
class Confusion:
    """How the verdicts on labelled comments agree with their labels.

    Parameters
    ----------
    right_rejections, wrong_rejections
        Rejected comments whose label says reject, or approve.
    right_approvals, wrong_approvals
        Approved comments whose label says approve, or reject.
    """

    right_rejections: int = 0
    wrong_rejections: int = 0
    right_approvals: int = 0
    wrong_approvals: int = 0

    def add(self, label: bool, rejected: bool) -> None:
        """Count one labelled comment."""
        if rejected:
            self.right_rejections += label
            self.wrong_rejections += not label
        else:
            self.wrong_approvals += label
            self.right_approvals += not label

    @property
    def rows(self) -> int:
        """All labelled comments."""
        return self.right_rejections + self.wrong_rejections + self.right_approvals + self.wrong_approvals

    @property
    def to_reject(self) -> int:
        """Comments whose label says reject."""
        return self.right_rejections + self.wrong_approvals

    @property
    def precision(self) -> float | None:
        """Share of the rejected that were to be rejected, 0 to 1; None where nothing was rejected."""
        return _share(self.right_rejections, self.right_rejections + self.wrong_rejections)

    @property
    def recall(self) -> float | None:
        """Share of the comments to reject that were rejected, 0 to 1; None where there are none."""
        return _share(self.right_rejections, self.to_reject)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall, 0 to 1; None where no comment is rejected nor to be rejected."""
        wrong = self.wrong_rejections + self.wrong_approvals
        return _share(2 * self.right_rejections, 2 * self.right_rejections + wrong)

    @property
    def accuracy(self) -> float | None:
        """Share of the verdicts that are as the label says, 0 to 1; None where there are no labels."""
        return _share(self.right_rejections + self.right_approvals, self.rows)

    @property
    def false_rejection(self) -> float | None:
        """Share of the comments to approve that were rejected, 0 to 1; None where there are none."""
        return _share(self.wrong_rejections, self.wrong_rejections + self.right_approvals)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


@dataclass(slots=True)
class Ranking:
    """Precision and recall over all thresholds, from counts of ranks a label: its memory does not grow.

    Parameters
    ----------
    steps
        Into how many steps the scores from 0 to 1 are cut; within one the order is not known.
    """

    steps: int = 10_000
    _to_reject: Counter[int] = field(default_factory=Counter)
    _to_approve: Counter[int] = field(default_factory=Counter)

    def add(self, label: bool, score: float, by_rule: bool) -> None:
        """Count one labelled comment; those that a rule rejects rank above all others."""
        step = int(score * self.steps) + (self.steps + 1 if by_rule else 0)
        (self._to_reject if label else self._to_approve)[step] += 1

    def curve(self) -> tuple[tuple[float, float], ...]:
        """Give (recall, precision) from the highest threshold to the lowest; empty without comments to reject."""
        total = self._to_reject.total()
        points = []
        right = wrong = 0
        for step in sorted(self._to_reject | self._to_approve, reverse=True) if total else ():
            right += self._to_reject[step]
            wrong += self._to_approve[step]
            points.append((right / total, right / (right + wrong)))
        return tuple(points)

    def average_precision(self) -> float | None:
        """Give the area under the curve as steps, 0 to 1; None without comments to reject.

        Source: ``sklearn.metrics.average_precision_score``, which gives the same where no step holds two scores.
        """
        points = self.curve()
        if not points:
            return None
        before = (0.0, *(recall for recall, _ in points))
        return sum((recall - last) * precision for last, (recall, precision) in zip(before, points, strict=False))


def guessed_label(values: Mapping[str, object], names: Sequence[str] = LABEL_NAMES) -> str | None:
    """Give the first column of these names whose value is a label; None where there is none."""
    return next((name for name in names if name in values and label_of(values[name]) is not None), None)
