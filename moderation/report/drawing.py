"""Where the bars, lines and ticks of the report's charts lie, in units of their SVG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log10

from moderation.decision import Verdict
from moderation.labels import Ranking


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis and what is written there."""

    place: float
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: scores from ``low`` to ``high``, counts, and the tops of both its parts."""

    x: float
    low: float
    high: float
    comments: int
    rejected: int
    top: float
    rejected_top: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A line across a chart, such as a threshold."""

    x: float
    value: float
    row: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many comments have which score; heights are logarithmic, so that the few high scores are seen.

    Parameters
    ----------
    marks
        Thresholds; ``row`` tells those apart whose words would run into one another.
    """

    width: float
    height: float
    left: float
    base: float
    bar_width: float
    bars: tuple[Bar, ...]
    ticks_x: tuple[Tick, ...]
    ticks_y: tuple[Tick, ...]
    marks: tuple[Mark, ...]


def histogram(scores: Mapping[Verdict, Sequence[int]], thresholds: Sequence[float]) -> Histogram:
    """Draw the score distribution.

    Parameters
    ----------
    scores
        Counts a bar, of equal width from 0 to 1, for each verdict.
    """
    left, right, top, base, height = 64.0, 632.0, 44.0, 204.0, 244.0
    bins = len(scores[Verdict.REJECT])
    totals = [sum(counts) for counts in zip(*scores.values(), strict=True)]
    highest = log10(1 + max(totals, default=0)) or 1.0

    def y(count: int) -> float:
        return round(base - log10(1 + count) / highest * (base - top), 2)

    def x(score: float) -> float:
        return round(left + score * (right - left), 2)

    bars = tuple(
        Bar(x(i / bins), i / bins, (i + 1) / bins, totals[i], rejected, y(totals[i]), y(rejected))
        for i, rejected in enumerate(scores[Verdict.REJECT])
    )
    steps = (1, 2, 5) if highest < 2 else (1,)
    powers = [step * 10**power for power in range(10) for step in steps if log10(1 + step * 10**power) <= highest]
    if len(powers) > 6:
        powers = powers[::2]
    marks: list[Mark] = []
    for value in sorted(thresholds):
        near = marks and x(value) - marks[-1].x < 96
        marks.append(Mark(x(value), value, 1 - marks[-1].row if near else 0))
    return Histogram(
        width=640.0,
        height=height,
        left=left,
        base=base,
        bar_width=round((right - left) / bins - 1, 2),
        bars=bars,
        ticks_x=tuple(Tick(x(step / 5), f"{step / 5:g}") for step in range(6)),
        ticks_y=(Tick(base, "0"), *(Tick(y(power), compact(power)) for power in powers)),
        marks=tuple(marks),
    )


@dataclass(frozen=True, slots=True)
class Curve:
    """Precision against recall; the point is where the verdicts stand, None where nothing was rejected."""

    width: float
    height: float
    left: float
    right: float
    base: float
    line: str
    ticks_x: tuple[Tick, ...]
    ticks_y: tuple[Tick, ...]
    base_rate: float
    point: tuple[float, float] | None


def curve(ranking: Ranking, base_rate: float, precision: float | None, recall: float | None) -> Curve:
    """Draw precision against recall over all thresholds.

    Parameters
    ----------
    base_rate
        Share of the labelled comments that are to be rejected: the precision of rejecting all.
    """
    left, right, top, base = 58.0, 392.0, 14.0, 270.0

    def x(share: float) -> float:
        return round(left + share * (right - left), 1)

    def y(share: float) -> float:
        return round(base - share * (base - top), 1)

    points = [(x(r), y(p)) for r, p in ranking.curve()]
    line = [points[0]] if points else []
    for before, here in pairwise(points):
        # What is nearer than half a unit cannot be seen.
        if abs(here[0] - line[-1][0]) + abs(here[1] - line[-1][1]) >= 0.5:
            if line[-1] != before and abs(before[1] - here[1]) > 2:
                line.append(before)
            line.append(here)
    shares = tuple(step / 4 for step in range(5))
    return Curve(
        width=400.0,
        height=316.0,
        left=left,
        right=right,
        base=base,
        line=" ".join(f"{a:g},{b:g}" for a, b in line),
        ticks_x=tuple(Tick(x(share), f"{share:.0%}") for share in shares),
        ticks_y=tuple(Tick(y(share), f"{share:.0%}") for share in shares),
        base_rate=y(base_rate),
        point=None if precision is None or recall is None else (x(recall), y(precision)),
    )


def compact(count: int) -> str:
    """Write a count in few characters, such as 10k."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count // size}{letter}"
    return str(count)
