"""Which thresholds suit a publisher's own labelled comments, and what would change with them."""

import copy
import math
import re
import tomllib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from moderation.decision import Decision
from moderation.errors import ModerationError
from moderation.finding import Effect

RESAMPLES = 2000
"""How many bootstrap samples an interval stands on."""

EXAMPLES = 5
"""How many row numbers are kept of each kind of changed verdict."""

_SEED = 20_260_101
_KEYS = ("unflagged", "referred")
_NUMBER = r"[+-]?\d[\d_]*(?:\.[\d_]+)?(?:[eE][+-]?[\d_]+)?"
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

    @property
    def rows(self) -> int:
        """How many verdicts change."""
        return self.right + self.wrong


@dataclass(frozen=True, slots=True)
class Tuning:
    """Old and new thresholds side by side, on the same labelled comments.

    Parameters
    ----------
    rows, to_reject, to_approve
        How many comments, and how many of them are labelled 1 and 0.
    by_rule
        How many a rule rejects, whatever the thresholds.
    referred
        How many of the others meet the threshold ``referred``.
    false_rejection, cost_ratio
        What was asked for; one of them is None.
    old, new
        Both operating points.
    newly_rejected, newly_approved
        The verdicts that change.
    """

    rows: int
    to_reject: int
    to_approve: int
    by_rule: int
    referred: int
    false_rejection: float | None
    cost_ratio: float | None
    old: OperatingPoint
    new: OperatingPoint
    newly_rejected: Flips
    newly_approved: Flips


def tune(
    labels: Sequence[int],
    decisions: Sequence[Decision],
    thresholds: Mapping[str, float],
    *,
    false_rejection: float | None = None,
    cost_ratio: float | None = None,
    numbers: Sequence[int] | None = None,
) -> Tuning:
    """Choose the thresholds that suit labelled comments best; exactly one aim must be given.

    Every pair of thresholds that differs in a verdict is weighed, with ``referred`` at most ``unflagged``.
    Of pairs that are as good, the one with the fewest wrong rejections is taken, then the one with the higher
    ``unflagged``. Each threshold stands near the middle of the gap between the lowest score that it rejects and the
    highest that it approves, with as few digits as that allows. A threshold that none of the comments meets stays
    where it is, so far as the other allows.

    Parameters
    ----------
    labels
        1 for a comment to reject and 0 for one to approve.
    decisions
        On the same comments, of the same length; scores, findings and nothing else of them is used.
    thresholds
        ``unflagged`` and ``referred`` as the policy has them now.
    false_rejection
        Aim: as many right rejections as possible while at most this share (0 to 1) of the comments labelled 0 is
        rejected, rejections by rule included.
    cost_ratio
        Aim: the least cost, where one wrongly rejected comment costs as much as this many wrongly approved ones.
        Above 0; 5 spares comments, 0.2 spares readers.
    numbers
        Row number of each comment; 1, 2, 3 and so on where not given.

    Raises
    ------
    ModerationError
        When the aim is missing, double, out of range or out of reach, or when a label lacks comments.
    """
    numbers = range(1, len(labels) + 1) if numbers is None else numbers
    rows = [
        _Row(*row) for row in zip(numbers, labels, map(_kind, decisions), (d.score for d in decisions), strict=True)
    ]
    _check(rows, false_rejection, cost_ratio)
    unflagged, referred = (_Cuts.of(row for row in rows if row.kind == kind) for kind in _KEYS)
    by_rule = [row for row in rows if row.kind == "rule"]
    wrong = [row for row in by_rule if not row.label]
    to_approve = sum(not row.label for row in rows)
    if false_rejection is not None:
        allowed = math.floor(_exactly(false_rejection) * to_approve)
        _check_reach(wrong, unflagged.unavoidable + referred.unavoidable, allowed, to_approve, false_rejection)
        pairs = _within(unflagged, referred, allowed - len(wrong))
    else:
        pairs = _cheapest(unflagged, referred, _exactly(cost_ratio or 0))
    _, i, j = min(pairs)
    chosen = _placed(unflagged.gap(i, thresholds["unflagged"]), referred.gap(j, thresholds["referred"]))

    truth = np.array([row.label == 1 for row in rows])
    before, after = _rejected(rows, thresholds), _rejected(rows, chosen)
    old, new = _operating_points(truth, (before, after), (thresholds, chosen))
    return Tuning(
        rows=len(rows),
        to_reject=len(rows) - to_approve,
        to_approve=to_approve,
        by_rule=len(by_rule),
        referred=sum(row.kind == "referred" for row in rows),
        false_rejection=false_rejection,
        cost_ratio=cost_ratio,
        old=old,
        new=new,
        newly_rejected=_flips(numbers, after & ~before, truth),
        newly_approved=_flips(numbers, before & ~after, ~truth),
    )


# --------------------------------------------------------------------------- what is weighed


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    label: int
    kind: str
    score: float


def _kind(decision: Decision) -> str:
    """Give ``rule`` for a comment that a rule rejects, else the name of the threshold that it meets."""
    effects = {finding.effect for finding in decision.findings}
    if Effect.REJECT in effects:
        return "rule"
    return "referred" if Effect.REFER in effects else "unflagged"


def _exactly(value: float) -> Fraction:
    """Give the decimal that a person wrote, not its binary neighbour: 0.29 of 100 are 29."""
    return Fraction(repr(float(value)))


def _check(rows: Sequence[_Row], false_rejection: float | None, cost_ratio: float | None) -> None:
    if (false_rejection is None) == (cost_ratio is None):
        raise ModerationError("thresholds need one aim: give either a false rejection or a cost ratio")
    if false_rejection is not None and not 0 <= false_rejection <= 1:
        raise ModerationError(f"false rejection {false_rejection}: must be a share from 0 to 1, such as 0.01")
    if cost_ratio is not None and not 0 < cost_ratio < math.inf:
        raise ModerationError(f"cost ratio {cost_ratio}: must be a number above 0, such as 5")
    for row in rows:
        if row.label not in (0, 1):
            raise ModerationError(f"row {row.number}: label {row.label!r}: must be 1 (reject) or 0 (approve)")
    for label, meaning in ((1, "to reject"), (0, "to approve")):
        if not any(row.label == label for row in rows):
            raise ModerationError(
                f"no comment is labelled {label} ({meaning}): thresholds need comments of both labels"
            )


def _check_reach(
    by_rule: Sequence[_Row], by_top_score: int, allowed: int, to_approve: int, false_rejection: float
) -> None:
    """Refuse an aim that no thresholds reach."""
    least = len(by_rule) + by_top_score
    if least <= allowed:
        return
    causes = []
    if by_rule:
        causes.append(f"{len(by_rule)} by rule (row{'s' * (len(by_rule) > 1)} {_listed(by_rule)})")
    if by_top_score:
        causes.append(f"{by_top_score} for a score of 1")
    reachable = math.ceil(Fraction(least, to_approve) * 10_000) / 10_000
    raise ModerationError(
        f"of {to_approve} comments labelled 0, {' and '.join(causes)} are rejected at any threshold; a false rejection "
        f"of {false_rejection:g} allows {allowed}: ask for {reachable:g} or more, mend the rules that "
        "fire there, or correct the labels"
    )


def _listed(rows: Sequence[_Row]) -> str:
    return ", ".join(str(row.number) for row in rows[:EXAMPLES]) + ", …" * (len(rows) > EXAMPLES)


@dataclass(frozen=True, slots=True)
class _Cuts:
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
    def of(cls, rows: Iterable[_Row]) -> "_Cuts":
        """Sort and count."""
        counts: dict[float, list[int]] = {}
        for row in rows:
            counts.setdefault(row.score, [0, 0])[row.label] += 1
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

    def gap(self, cut: int, old: float) -> "_Gap":
        """Give where the threshold of a cut may stand; ``old`` is preferred where there is nothing to cut."""
        above = self.levels[cut - 1] if cut else 1.0
        below = self.levels[cut] if cut < len(self.levels) else None
        return _Gap(below, above, None if self.levels else old)

    def lowest_above(self, cut: int) -> float:
        """Give the highest threshold that makes this cut."""
        return self.levels[cut - 1] if cut else 1.0


Choice = tuple[tuple[Fraction | int, int], int, int]
"""Badness (the less, the better) with wrong rejections, and the cuts of ``unflagged`` and ``referred``."""


def _first_referred(unflagged: _Cuts, referred: _Cuts) -> Iterator[tuple[int, int]]:
    """Yield each cut of ``unflagged`` with the first cut of ``referred`` that can stand at or below it."""
    falling = [-level for level in referred.levels]
    for i in range(unflagged.first, len(unflagged.levels) + 1):
        # All referred scores that reach the highest threshold of this cut must be rejected as well.
        yield i, max(referred.first, bisect_right(falling, -unflagged.lowest_above(i)))


def _within(unflagged: _Cuts, referred: _Cuts, allowed: int) -> Iterator[Choice]:
    """Yield for each cut of ``unflagged`` the best of ``referred`` with no more wrong rejections than allowed."""
    for i, first in _first_referred(unflagged, referred):
        last = bisect_right(referred.wrong, allowed - unflagged.wrong[i]) - 1
        if first <= last:
            # The first of the cuts that reject as many rightly rejects the fewest wrongly.
            j = bisect_left(referred.right, referred.right[last], lo=first)
            yield (-unflagged.right[i] - referred.right[j], unflagged.wrong[i] + referred.wrong[j]), i, j


def _cheapest(unflagged: _Cuts, referred: _Cuts, ratio: Fraction) -> Iterator[Choice]:
    """Yield for each cut of ``unflagged`` the cheapest of ``referred``."""
    cost = [ratio * wrong - right for right, wrong in zip(referred.right, referred.wrong, strict=True)]
    # best[j] is the cheapest of the cuts from j on, of equals the first: it rejects the fewest wrongly.
    best = [len(referred.levels)] * len(cost)
    for j in reversed(range(len(cost) - 1)):
        best[j] = min(j, best[j + 1], key=lambda cut: (cost[cut], cut))
    for i, first in _first_referred(unflagged, referred):
        j = best[first]
        yield (ratio * unflagged.wrong[i] - unflagged.right[i] + cost[j], unflagged.wrong[i] + referred.wrong[j]), i, j


# --------------------------------------------------------------------------- where a threshold stands


@dataclass(frozen=True, slots=True)
class _Gap:
    """Thresholds above ``below`` (any from 0 on, where it is None) up to and with ``above`` make the same cut."""

    below: float | None
    above: float
    preferred: float | None = None

    @property
    def bottom(self) -> float:
        return 0.0 if self.below is None else self.below

    def threshold(self) -> float:
        """Give the preferred threshold, or one near the middle with as few digits as the middle half holds."""
        if self.preferred is not None:
            return self.preferred
        middle = (self.bottom + self.above) / 2
        reach = (self.above - self.bottom) / 4
        for digits in range(2, 18):
            short = round(middle, digits)
            if abs(short - middle) <= reach and self.holds(short):
                return short
        return middle if self.holds(middle) else self.above

    def holds(self, threshold: float) -> bool:
        return (self.below is None or self.below < threshold) and threshold <= self.above


def _placed(unflagged: _Gap, referred: _Gap) -> dict[str, float]:
    """Place both thresholds, in the middle of what both gaps share where they would stand the wrong way round."""
    high, low = unflagged.threshold(), referred.threshold()
    if low > high:
        bottoms = [gap.below for gap in (unflagged, referred) if gap.below is not None]
        shared = _Gap(max(bottoms, default=None), min(unflagged.above, referred.above))
        high = low = shared.threshold()
    return {"unflagged": high, "referred": low}


# --------------------------------------------------------------------------- what comes of it


def _rejected(rows: Sequence[_Row], thresholds: Mapping[str, float]) -> Bools:
    return np.array([row.kind == "rule" or row.score >= thresholds[row.kind] for row in rows])


def _operating_points(
    truth: Bools, rejected: tuple[Bools, Bools], thresholds: tuple[Mapping[str, float], Mapping[str, float]]
) -> tuple[OperatingPoint, OperatingPoint]:
    """Count both, each with intervals from the same resamples.

    To draw comments with replacement is to draw the counts of the eight kinds of comment (label, old verdict, new
    verdict) from a multinomial distribution, which is quick however many comments there are.
    """
    before, after = rejected
    kinds = np.bincount(truth * 4 + before * 2 + after, minlength=8)
    draws = np.random.default_rng(_SEED).multinomial(len(truth), kinds / len(truth), size=RESAMPLES)
    points = []
    for bit, at in zip((2, 1), thresholds, strict=True):
        spoken = [kind for kind in range(8) if kind & bit]
        right, wrong = ([kind for kind in spoken if (kind >= 4) == label] for label in (True, False))
        to_reject, to_approve, every = [4, 5, 6, 7], [0, 1, 2, 3], list(range(8))
        points.append(
            OperatingPoint(
                unflagged=at["unflagged"],
                referred=at["referred"],
                right=int(kinds[right].sum()),
                wrong=int(kinds[wrong].sum()),
                rejection=_estimate(kinds, draws, spoken, every),
                recall=_estimate(kinds, draws, right, to_reject),
                precision=_estimate(kinds, draws, right, spoken),
                false_rejection=_estimate(kinds, draws, wrong, to_approve),
            )
        )
    return points[0], points[1]


def _estimate(
    kinds: npt.NDArray[np.int64], draws: npt.NDArray[np.int64], part: Sequence[int], whole: Sequence[int]
) -> Estimate:
    total = int(kinds[list(whole)].sum())
    if not total:
        return Estimate(None, None, None)
    parts, wholes = draws[:, list(part)].sum(axis=1), draws[:, list(whole)].sum(axis=1)
    low, high = np.quantile(parts[wholes > 0] / wholes[wholes > 0], (0.025, 0.975))
    return Estimate(int(kinds[list(part)].sum()) / total, float(low), float(high))


def _flips(numbers: Sequence[int], flipped: Bools, agrees: Bools) -> Flips:
    right, wrong = np.flatnonzero(flipped & agrees), np.flatnonzero(flipped & ~agrees)
    return Flips(
        right=len(right),
        wrong=len(wrong),
        right_rows=tuple(numbers[row] for row in right[:EXAMPLES]),
        wrong_rows=tuple(numbers[row] for row in wrong[:EXAMPLES]),
    )


# --------------------------------------------------------------------------- in words, and in the policy


def report(tuning: Tuning) -> str:
    """Draw a tuning as text: the thresholds, the counts with intervals, and what would change."""
    if tuning.false_rejection is not None:
        aim = f"the most right rejections with at most {tuning.false_rejection:.6g} of the comments to approve rejected"
    else:
        aim = f"the least cost, one wrong rejection as dear as {tuning.cost_ratio:.6g} wrong approvals"
    table = [("", "old", "new")]
    table += [(key, str(tuning.old.thresholds[key]), str(tuning.new.thresholds[key])) for key in _KEYS]
    for name, count, whole, estimate in (
        ("rejected", "rejected", tuning.rows, "rejection"),
        ("recall", "right", tuning.to_reject, "recall"),
        ("precision", "right", None, "precision"),
        ("false rejection", "wrong", tuning.to_approve, "false_rejection"),
    ):
        cells = [
            _cell(getattr(point, count), point.rejected if whole is None else whole, getattr(point, estimate))
            for point in (tuning.old, tuning.new)
        ]
        table.append((name, cells[0], cells[1]))
    widths = [max(len(row[column]) for row in table) for column in range(3)]
    drawn = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    lines = [
        f"{tuning.rows} labelled comments, {tuning.to_reject} to reject and {tuning.to_approve} to approve; a rule "
        f"rejects {tuning.by_rule} at any threshold, {tuning.referred} are referred.",
        f"Aim: {aim}.",
        "",
        *drawn,
        "",
        _changes("rejected", tuning.newly_rejected),
        _changes("approved", tuning.newly_approved),
        f"In brackets: 95% intervals from {RESAMPLES} resamples. These comments chose the new thresholds, so that the "
        "new figures flatter a little; measure on others.",
    ]
    if not tuning.referred:
        lines.append("No comment is referred: nothing here speaks for or against the threshold `referred`.")
    if not tuning.new.wrong:
        # Source: Hanley and Lippman-Hand, If nothing goes wrong, is everything all right? JAMA 249 (1983).
        bound = 1 - 0.05 ** (1 / tuning.to_approve)
        lines.append(
            f"None of {tuning.to_approve} comments to approve is rejected: of many more it may still be up to "
            f"{bound:.2%} (95%)."
        )
    return "\n".join(lines)


def _cell(part: int, whole: int, estimate: Estimate) -> str:
    if estimate.share is None:
        return f"{part} of {whole}"
    return f"{part} of {whole}, {estimate.share:.2%} ({estimate.low:.2%} to {estimate.high:.2%})"


def _changes(verdict: str, flips: Flips) -> str:
    if not flips.rows:
        return f"Newly {verdict}: none."
    kinds = [
        f"{count} {how} (row{'s' * (count > 1)} {', '.join(map(str, rows))}{', …' * (count > len(rows))})"
        for how, count, rows in (("rightly", flips.right, flips.right_rows), ("wrongly", flips.wrong, flips.wrong_rows))
        if count
    ]
    return f"Newly {verdict}: {flips.rows}, " + " and ".join(kinds) + "."


def rewritten(policy_text: str, thresholds: Mapping[str, float]) -> str:
    """Put thresholds into a policy's text; all else stays as it is, byte for byte, comments as well.

    Parameters
    ----------
    policy_text
        TOML, with its line ends as they are in the file.
    thresholds
        ``unflagged`` and ``referred``.

    Raises
    ------
    ModerationError
        When the text is no TOML or has no such thresholds.
    """
    for key in _KEYS:
        policy_text = _with_threshold(policy_text, key, float(thresholds[key]))
    return policy_text


def _with_threshold(text: str, key: str, value: float) -> str:
    """Replace the number whose change makes exactly the wanted difference once the text is parsed."""
    try:
        data: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ModerationError(f"the policy is no TOML: {error}; mend it there") from error
    table = data.get("thresholds")
    if isinstance(table, dict) and key in table:
        if table[key] == value:
            return text
        wanted = copy.deepcopy(data)
        wanted["thresholds"][key] = value
        for place in re.finditer(rf"""(?<![\w-])["']?{key}["']?[ \t]*=[ \t]*({_NUMBER})""", text):
            changed = text[: place.start(1)] + repr(value) + text[place.end(1) :]
            try:
                found = tomllib.loads(changed)
            except tomllib.TOMLDecodeError:  # it stood in a string of another shape
                continue
            if found == wanted:
                return changed
    raise ModerationError(f"thresholds: {key}: not in the policy; write `{key} = {value!r}` under [thresholds]")
