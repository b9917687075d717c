"""Charts of how well a classifier scores and where the thresholds stand, as SVG files.

The same figures give the same file, byte for byte, under the same version of matplotlib.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from moderation.decision import Decision
from moderation.evaluation import Floats, calibration_error
from moderation.finding import Effect
from moderation.tuning import OperatingPoint, Tuning

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

# Told apart by people of every colour vision and in grey print.
# Source: Okabe and Ito, Color Universal Design (2008), https://jfly.uni-koeln.de/color/.
_REJECT = "#D55E00"
_APPROVE = "#0072B2"
_INK = "#1a1a1a"
_QUIET = "#767676"
_NOTE: dict[str, Any] = {"loc": "left", "fontsize": 11, "fontweight": "normal", "color": _QUIET, "pad": 6}
_BINS = 15  # as in evaluation.calibration_error
_LOOK: dict[str, Any] = {
    "svg.hashsalt": "moderation",
    "svg.fonttype": "none",  # words stay words: to search, to read aloud, and small
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _QUIET,
    "axes.labelcolor": _INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "text.color": _INK,
    "xtick.color": _QUIET,
    "ytick.color": _QUIET,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "lines.solid_capstyle": "round",
}


@dataclass(frozen=True, slots=True)
class Point:
    """A classifier on the chart of `frontier`.

    Parameters
    ----------
    name
        What stands beside it.
    speed
        Comments a second on one core, above 0.
    quality
        Average precision or AUC, 0 to 1.
    ours
        Whether it stands out.
    """

    name: str
    speed: float
    quality: float
    ours: bool = False


def precision_recall(labels: Sequence[int], decisions: Sequence[Decision], tuning: Tuning, path: Path) -> None:
    """Draw precision against recall over all thresholds, with the old and the new operating point.

    The curve ranks as `evaluation.quality` does, comments that a rule rejects above all, and knows one threshold; the
    points apply both and may stand beside it.

    Parameters
    ----------
    labels, decisions
        What `tuning.tune` was given: 1 reject or 0 approve, of equal length, at least one of them 1.
    path
        The SVG file to write.
    """
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(labels, [d.score + _by_rule(d) for d in decisions])
    precision, recall = precision[-2::-1], recall[-2::-1]  # From the highest threshold; the last point is of none.
    base = tuning.to_reject / tuning.rows
    with _drawing(path, "What a lower threshold gains and costs") as figure:
        axes = figure.subplots()
        axes.set(xlabel="Recall (share of the comments to reject)", xlim=(0, 1), ylim=(0, 1.02))
        axes.set_ylabel("Precision (share of the rejected)")
        _percent(axes, "xy")
        axes.plot(recall, precision, color=_APPROVE, linewidth=2, clip_on=False)
        axes.axhline(base, color=_QUIET, linewidth=1, linestyle=(0, (4, 3)))
        labelled = _Labels(axes, np.column_stack((recall, precision)))
        labelled.add_line(np.array([[0.0, base], [1.0, base]]))
        for name, point, colour in reversed(_distinct(tuning)):
            words = f"{name}: {_pair(point)}\n"
            if point.recall.share is None or point.precision.share is None:
                labelled.put(0, base, words + "rejects nothing", colour)
                continue
            axes.plot(point.recall.share, point.precision.share, "o", **_marker(colour), clip_on=False)
            words += f"precision {point.precision.share:.0%}, recall {point.recall.share:.0%}"
            labelled.put(point.recall.share, point.precision.share, words, colour)
        labelled.put(1, base, f"rejecting all: {base:.0%}", _QUIET, ("above left", "below left"))


def calibration(labels: Sequence[int], decisions: Sequence[Decision], path: Path) -> None:
    """Draw how often comments of each score are to be rejected, and below it how many have such a score.

    Bars are Wilson intervals of 95%.

    Parameters
    ----------
    labels, decisions
        1 reject or 0 approve, of equal length, at least one.
    path
        The SVG file to write.
    """
    from scipy.stats import binomtest

    truth, score = np.array(labels), np.array([decision.score for decision in decisions])
    bins = np.minimum((score * _BINS).astype(int), _BINS - 1)
    error = calibration_error(truth, score)
    with _drawing(path, "Does the score mean what it says?") as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="Share labelled reject")
        upper.plot([0, 1], [0, 1], color=_QUIET, linewidth=1, linestyle=(0, (4, 3)))
        found = np.unique(bins)
        middles = np.array([score[bins == part].mean() for part in found])
        shares = np.array([truth[bins == part].mean() for part in found])
        counted = [truth[bins == part] for part in found]
        sure = [binomtest(int(part.sum()), len(part)).proportion_ci(method="wilson") for part in counted]
        upper.vlines(
            middles, [edge.low for edge in sure], [edge.high for edge in sure], color=_APPROVE, linewidth=1.5, alpha=0.6
        )
        upper.plot(middles, shares, "-o", color=_APPROVE, linewidth=2, markersize=6, clip_on=False, zorder=3)
        upper.text(0.02, 0.95, "more to reject\nthan the score says", va="top", color=_QUIET)
        upper.text(0.98, 0.05, "fewer to reject\nthan the score says", va="bottom", ha="right", color=_QUIET)
        _percent(upper, "y")
        _histogram(lower, score, _APPROVE)
        lower.set(xlabel=f"Score (expected calibration error {error:.3f})", ylabel="Comments\n(log)")
        upper.set_title("dashed: a perfect score; bars: 95% intervals", **_NOTE)


def distribution(labels: Sequence[int], decisions: Sequence[Decision], tuning: Tuning, path: Path) -> None:
    """Draw how the scores of comments to approve and to reject spread, with the old and the new thresholds.

    Comments that a rule rejects are left out: their score decides nothing.

    Parameters
    ----------
    labels, decisions
        What `tuning.tune` was given: 1 reject or 0 approve, of equal length.
    path
        The SVG file to write.
    """
    left = [(label, d.score) for label, d in zip(labels, decisions, strict=True) if not _by_rule(d)]
    marks = [
        (value, f"{name} {key} {value:.3g}", colour)
        for name, point, colour in _distinct(tuning)
        for key, value in point.thresholds.items()
    ]
    with _drawing(path, "Where the thresholds cut the scores") as figure:
        strip, upper, lower = figure.subplots(3, 1, sharex=True, height_ratios=(0.3 * len(marks), 2, 2))
        strip.set(xlim=(0, 1), ylim=(0, len(marks)))
        strip.set_axis_off()
        for axes, label, colour, name in ((upper, 0, _APPROVE, "To approve"), (lower, 1, _REJECT, "To reject")):
            score = np.array([value for said, value in left if said == label])
            _histogram(axes, score, colour)
            axes.set_ylabel(f"{name}: {len(score):,}\n(log)", color=colour, fontsize=11)
            for value, _, ink in marks:
                axes.axvline(value, color=ink, linewidth=1.5)
        _name_marks(strip, marks)
        by_rule = len(labels) - len(left)
        lower.set_xlabel("Score" + (f" (without {by_rule} that a rule rejects)" if by_rule else ""))


def frontier(points: Sequence[Point], path: Path, quality: str = "Average precision") -> None:
    """Draw quality against speed, with a line through those that none other beats in both.

    Parameters
    ----------
    points
        At least one.
    path
        The SVG file to write.
    quality
        Name of the measure, for the axis.

    Raises
    ------
    ValueError
        When there is no point, or a speed is not above 0.
    """
    if not points or not all(point.speed > 0 for point in points):
        raise ValueError("frontier needs points, each with a speed above 0")
    best = unbeaten(points)
    with _drawing(path, "Quality against speed") as figure:
        axes = figure.subplots()
        axes.set_xscale("log")
        speeds = [point.speed for point in points]
        qualities = [point.quality for point in points]
        margin = max(0.02, 0.15 * (max(qualities) - min(qualities)))
        axes.set_xlim(min(speeds) / 4, max(speeds) * 4)  # a decade at least, so that the axis has a number
        axes.set_ylim(max(0.0, min(qualities) - margin), min(1.0, max(qualities) + margin))
        axes.set(xlabel="Comments a second on one core (log) → faster", ylabel=f"{quality} → better")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda value, _: "")
        axes.grid(which="minor", visible=False)
        if len(best) > 1:
            axes.set_title("dashed: no other is both faster and better", **_NOTE)
        line = np.array([[point.speed, point.quality] for point in best])
        axes.plot(line[:, 0], line[:, 1], color=_QUIET, linewidth=1.5, linestyle=(0, (4, 3)), zorder=1)
        labelled = _Labels(axes, line)
        for point in points:
            axes.plot(point.speed, point.quality, "o", **_marker(_REJECT if point.ours else _APPROVE), clip_on=False)
            labelled.add_marker(point.speed, point.quality)
        for point in sorted(points, key=lambda point: (not point.ours, point.name)):
            colour = _REJECT if point.ours else _APPROVE
            labelled.put(point.speed, point.quality, point.name, colour, bold=point.ours)


def unbeaten(points: Sequence[Point]) -> list[Point]:
    """Give the points than which none is both as fast and as good, and one of these more; slowest first."""
    return sorted(
        (
            point
            for point in points
            if not any(
                other.speed >= point.speed
                and other.quality >= point.quality
                and (other.speed, other.quality) != (point.speed, point.quality)
                for other in points
            )
        ),
        key=lambda point: (point.speed, point.name),
    )


# --------------------------------------------------------------------------- what is drawn


def _by_rule(decision: Decision) -> bool:
    return any(finding.effect is Effect.REJECT for finding in decision.findings)


def _distinct(tuning: Tuning) -> list[tuple[str, OperatingPoint, str]]:
    """Give the operating points with name and colour, one where nothing changed."""
    if tuning.old.thresholds == tuning.new.thresholds:
        return [("unchanged", tuning.new, _REJECT)]
    return [("old", tuning.old, _QUIET), ("new", tuning.new, _REJECT)]


# --------------------------------------------------------------------------- how it is drawn


@contextmanager
def _drawing(path: Path, title: str) -> "Iterator[Figure]":
    """Give a figure to draw on and write it, whatever the user's own settings of matplotlib are."""
    import matplotlib.style
    from matplotlib.figure import Figure

    with matplotlib.style.context(["default", _LOOK]):
        figure = Figure(figsize=(6.4, 4.8), layout="constrained", facecolor="white")
        figure.suptitle(title, x=0.02, ha="left", fontsize=13, fontweight="bold")
        yield figure
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": "moderation", "Title": title})


def _marker(colour: str) -> dict[str, Any]:
    return {"color": colour, "markersize": 9, "markeredgecolor": "white", "markeredgewidth": 1.5, "zorder": 4}


def _percent(axes: "Axes", which: str) -> None:
    for letter in which:
        getattr(axes, f"{letter}axis").set_major_formatter(lambda value, _: f"{value:.0%}")


def _histogram(axes: "Axes", score: Floats, colour: str) -> None:
    """Draw counts of scores; from one half up, so that a single comment is seen on the log axis."""
    axes.hist(score, bins=np.linspace(0, 1, 2 * _BINS + 1).tolist(), color=colour, alpha=0.55, edgecolor="white")
    axes.set_yscale("log")
    axes.set_ylim(0.5, max(10.0, axes.get_ylim()[1]))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else "")
    axes.grid(which="minor", visible=False)
    axes.minorticks_off()


_SIDES: dict[str, tuple[float, float, str, str]] = {
    "right": (9, 0, "left", "center"),
    "left": (-9, 0, "right", "center"),
    "above": (0, 9, "center", "bottom"),
    "below": (0, -9, "center", "top"),
    "above right": (6, 6, "left", "bottom"),
    "above left": (-6, 6, "right", "bottom"),
    "below right": (6, -6, "left", "top"),
    "below left": (-6, -6, "right", "top"),
}


def _pair(point: OperatingPoint) -> str:
    return f"{point.unflagged:.3g} / {point.referred:.3g}"


def _name_marks(strip: "Axes", marks: Sequence[tuple[float, str, str]]) -> None:
    """Lead each threshold's line up to its name, one a row, all to one side where there is room."""
    values = [value for value, _, _ in marks]
    if min(values) >= 0.2:
        leftward = set(values)
    else:
        leftward = set() if max(values) <= 0.6 else {value for value in values if value > 0.5}
    # A line must not run through the name of another: to the left of their lines the last stands highest.
    ordered = sorted(marks, key=lambda mark: mark[0] if mark[0] in leftward else -mark[0])
    for row, (value, words, colour) in enumerate(ordered):
        # It starts below, where the upper chart covers it, so that no gap is left.
        (line,) = strip.plot([value, value], [-1, row + 0.5], color=colour, linewidth=1.5, clip_on=False, zorder=1)
        line.set_in_layout(False)
        left = value in leftward
        strip.annotate(
            words,
            (value, row + 0.5),
            xytext=(-5 if left else 5, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            color=colour,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            zorder=2,
        )


class _Labels:
    """Puts words beside points, each on the side where it covers least of what is there already.

    Parameters
    ----------
    axes
        With limits and scales set: places are measured on them.
    line
        Points of a curve to keep clear of, shape (n_points, 2).
    """

    def __init__(self, axes: "Axes", line: Floats) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        self.axes = axes
        figure = axes.get_figure(root=True)
        assert figure is not None
        canvas: Any = FigureCanvasAgg(figure)
        self.renderer: RendererBase = canvas.get_renderer()
        figure.draw_without_rendering()
        self.taken: list[Bbox] = []
        self.dots: list[Floats] = []
        self.add_line(line)

    def add_line(self, line: Floats) -> None:
        """Keep clear of a line as well."""
        at = np.asarray(self.axes.transData.transform(line))
        steps = np.linspace(0, 1, 60)[:, None, None]
        between = at[None, :-1] * (1 - steps) + at[None, 1:] * steps
        self.dots.append(np.unique(np.concatenate((at, between.reshape(-1, 2))).round(), axis=0))

    def add_marker(self, x: float, y: float) -> None:
        """Keep clear of a marker as well."""
        from matplotlib.transforms import Bbox

        (at_x, at_y) = self.axes.transData.transform((x, y))
        self.taken.append(Bbox.from_extents(at_x - 8, at_y - 8, at_x + 8, at_y + 8))

    def put(
        self, x: float, y: float, words: str, colour: str, sides: Sequence[str] = tuple(_SIDES), *, bold: bool = False
    ) -> None:
        """Write words beside a point."""
        found: list[tuple[float, int, Annotation, Bbox]] = []
        for rank, side in enumerate(sides):
            across, up, horizontal, vertical = _SIDES[side]
            text = self.axes.annotate(
                words,
                (x, y),
                xytext=(across, up),
                textcoords="offset points",
                ha=horizontal,
                va=vertical,
                color=colour,
                fontweight="bold" if bold else "normal",
                zorder=5,
            )
            box = text.get_window_extent(self.renderer)
            found.append((self._covered(box), rank, text, box))
        _, _, kept, box = min(found, key=lambda entry: entry[:2])
        for _, _, text, _ in found:
            if text is not kept:
                text.remove()
        self.taken.append(box)

    def _covered(self, box: "Bbox") -> float:
        """Give how bad a place is: what is outside of the axes or under other words counts most."""
        from matplotlib.transforms import Bbox

        area = self.axes.bbox
        inside = Bbox.intersection(box, area)
        outside = 1 - (inside.width * inside.height / (box.width * box.height) if inside else 0)
        under = sum(bool(box.overlaps(other)) for other in self.taken)
        dots = np.concatenate(self.dots)
        on_line = ((dots > box.p0) & (dots < box.p1)).all(axis=1).sum()
        return 1000 * outside + 500 * under + float(min(on_line, 400))
