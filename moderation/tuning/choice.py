"""The choice of thresholds for labelled comments, by one of two aims."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from moderation.decision import Decision
from moderation.errors import ModerationError
from moderation.finding import Effect
from moderation.tuning.cuts import Cuts, cheapest, within
from moderation.tuning.outcome import Bools, Flips, OperatingPoint, named_rows, operating_points
from moderation.tuning.placing import Gap, placed


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
    unflagged, referred = (
        Cuts.of((row.score, row.label) for row in rows if row.kind == kind) for kind in ("unflagged", "referred")
    )
    by_rule = [row for row in rows if row.kind == "rule"]
    to_approve = sum(not row.label for row in rows)
    if false_rejection is not None:
        wrong = [row.number for row in by_rule if not row.label]
        allowed = math.floor(_exactly(false_rejection) * to_approve)
        _check_reach(wrong, unflagged.unavoidable + referred.unavoidable, allowed, to_approve, false_rejection)
        pairs = within(unflagged, referred, allowed - len(wrong))
    else:
        pairs = cheapest(unflagged, referred, _exactly(cost_ratio or 0))
    _, i, j = min(pairs)
    chosen = placed(
        Gap.of(unflagged, i, thresholds["unflagged"]),
        Gap.of(referred, j, thresholds["referred"]),
    )
    truth = np.array([row.label == 1 for row in rows])
    before, after = _rejected(rows, thresholds), _rejected(rows, chosen)
    old, new = operating_points(truth, (before, after), (thresholds, chosen))
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
        newly_rejected=Flips.of(numbers, after & ~before, truth),
        newly_approved=Flips.of(numbers, before & ~after, ~truth),
    )


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
    by_rule: Sequence[int], by_top_score: int, allowed: int, to_approve: int, false_rejection: float
) -> None:
    """Refuse an aim that no thresholds reach, given the rows that a rule rejects wrongly."""
    least = len(by_rule) + by_top_score
    if least <= allowed:
        return
    causes = []
    if by_rule:
        causes.append(f"{len(by_rule)} by rule ({named_rows(by_rule, len(by_rule))})")
    if by_top_score:
        causes.append(f"{by_top_score} for a score of 1")
    reachable = math.ceil(Fraction(least, to_approve) * 10_000) / 10_000
    raise ModerationError(
        f"of {to_approve} comments labelled 0, {' and '.join(causes)} are rejected at any threshold; a false rejection "
        f"of {false_rejection:g} allows {allowed}: ask for {reachable:g} or more, mend the rules that "
        "fire there, or correct the labels"
    )


def _rejected(rows: Sequence[_Row], thresholds: Mapping[str, float]) -> Bools:
    return np.array([row.kind == "rule" or row.score >= thresholds[row.kind] for row in rows])
