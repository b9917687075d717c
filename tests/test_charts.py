import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes

from moderation import charts
from moderation.charts import Point, calibration, distribution, frontier, precision_recall, unbeaten
from moderation.decision import Decision, Verdict
from moderation.finding import Effect, Finding
from moderation.tuning import tune

OLD = {"unflagged": 0.9, "referred": 0.8}
SVG = "{http://www.w3.org/2000/svg}"


def decided(score: float, effect: Effect | None = None) -> Decision:
    findings = (Finding("threat.kill", "threat", effect, 0, 1, "x"),) if effect else ()
    return Decision("", Verdict.APPROVE, (), "", score, {}, 0.5, "linear", findings, "toy", "fake")


LABELS = [1] * 10 + [0] * 30
DECISIONS = [
    *(decided(score) for score in np.linspace(0.35, 0.95, 8).round(3).tolist()),
    decided(0.1, Effect.REJECT),
    decided(0.7, Effect.REFER),
    *(decided(score) for score in np.linspace(0, 0.6, 28).round(3).tolist()),
    decided(0.2, Effect.REFER),
    decided(0.3, Effect.REJECT),
]
TUNING = tune(LABELS, DECISIONS, OLD, false_rejection=0.1)
assert TUNING.new.thresholds != OLD
assert TUNING.new.precision.share is not None
assert TUNING.new.recall.share is not None
POINTS = [
    Point("ours linear", 2000, 0.62, ours=True),
    Point("ours cascade", 300, 0.71, ours=True),
    Point("slow & good", 10, 0.72),
    Point("fast", 50_000, 0.5),
    Point("neither", 20, 0.4),
]
DRAWN: dict[str, Callable[[Path], None]] = {
    "precision_recall": lambda path: precision_recall(LABELS, DECISIONS, TUNING, path),
    "calibration": lambda path: calibration(LABELS, DECISIONS, path),
    "distribution": lambda path: distribution(LABELS, DECISIONS, TUNING, path),
    "frontier": lambda path: frontier(POINTS, path, "AUC"),
}


def words_of(path: Path) -> list[str]:
    """All words of a chart, in the order of the file; the file has to be XML."""
    root = ET.parse(path).getroot()
    assert root.tag == f"{SVG}svg"
    return [text.text or "" for text in root.iter(f"{SVG}text")]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "precision_recall",
            [
                "What a lower threshold gains and costs",
                "Recall (share of the comments to reject)",
                "Precision (share of the rejected)",
                "old: 0.9 / 0.8",
                # Rejected at .9: the score .95 and the rule's two, one of which is wrong.
                "precision 67%, recall 20%",
                f"new: {TUNING.new.unflagged:.3g} / {TUNING.new.referred:.3g}",
                f"precision {TUNING.new.precision.share:.0%}, recall {TUNING.new.recall.share:.0%}",
                "rejecting all: 25%",
                "80%",
            ],
        ),
        (
            "calibration",
            ["Does the score mean what it says?", "Share labelled reject", "more to reject", "fewer to reject", "0.2"],
        ),
        (
            "distribution",
            [
                "Where the thresholds cut the scores",
                "old unflagged 0.9",
                "old referred 0.8",
                f"new unflagged {TUNING.new.unflagged:.3g}",
                f"new referred {TUNING.new.referred:.3g}",
                "To approve: 29",
                "To reject: 9",
                "Score (without 2 that a rule rejects)",
            ],
        ),
        (
            "frontier",
            [
                "Quality against speed",
                "Comments a second on one core (log) → faster",
                "AUC → better",
                *(point.name for point in POINTS),
                "dashed: no other is both faster and better",
                "1,000",
            ],
        ),
    ],
)
def test_charts_say(name: str, expected: list[str], tmp_path: Path) -> None:
    path = tmp_path / "chart.svg"
    DRAWN[name](path)
    words = words_of(path)
    assert [word for word in expected if word not in words] == []
    assert ET.parse(path).getroot().findtext(f"{SVG}title") == expected[0]


@pytest.mark.parametrize("name", DRAWN)
def test_a_chart_is_the_same_every_time(name: str, tmp_path: Path) -> None:
    DRAWN[name](tmp_path / "a.svg")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": "other"}):
        DRAWN[name](tmp_path / "b.svg")  # the user's own settings do not count
        assert matplotlib.rcParams["font.size"] == 30  # and stay
    first = (tmp_path / "a.svg").read_bytes()
    assert first == (tmp_path / "b.svg").read_bytes()
    assert b"<dc:date>" not in first


def test_thresholds_that_stay_are_named_once(tmp_path: Path) -> None:
    same = tune(LABELS, DECISIONS, TUNING.new.thresholds, false_rejection=0.1)
    precision_recall(LABELS, DECISIONS, same, tmp_path / "a.svg")
    distribution(LABELS, DECISIONS, same, tmp_path / "b.svg")
    words = words_of(tmp_path / "a.svg") + words_of(tmp_path / "b.svg")
    assert not [word for word in words if word.startswith(("old", "new"))]
    assert len([word for word in words if word.startswith("unchanged")]) == 3


def test_thresholds_that_reject_nothing_have_no_point(tmp_path: Path) -> None:
    labels, decisions = [1, 0], [decided(0.6), decided(0.2)]
    precision_recall(labels, decisions, tune(labels, decisions, OLD, cost_ratio=1), tmp_path / "a.svg")
    words = words_of(tmp_path / "a.svg")
    assert words[words.index("old: 0.9 / 0.8") + 1] == "rejects nothing"


# --------------------------------------------------------------------------- what is drawn


@pytest.fixture
def plotted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[float], list[float]]]:
    """Every line and marker that is plotted, as x and y."""
    found: list[tuple[list[float], list[float]]] = []
    plot = Axes.plot

    def spy(self: Axes, *args: object, **options: object) -> object:
        x, y = (np.atleast_1d(np.asarray(value, np.float64)).tolist() for value in args[:2])
        found.append((x, y))
        return plot(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Axes, "plot", spy)
    return found


def test_the_curve_by_hand(plotted: list[tuple[list[float], list[float]]], tmp_path: Path) -> None:
    # In order: the rule's 0, then 1 and 0 at one score, then 1.
    labels = [1, 0, 0, 1]
    decisions = [decided(0.7), decided(0.7), decided(0.1, Effect.REJECT), decided(0.4)]
    tuning = tune(labels, decisions, OLD, cost_ratio=0.1)
    precision_recall(labels, decisions, tuning, tmp_path / "a.svg")
    assert plotted[0] == ([0.0, 0.5, 1.0], [0.0, pytest.approx(1 / 3), 0.5])
    assert ([1.0], [0.5]) in plotted[1:]  # new: everything
    assert ([0.0], [0.0]) in plotted[1:]  # old: only the rule's, which is wrong


def test_calibration_by_hand(plotted: list[tuple[list[float], list[float]]], tmp_path: Path) -> None:
    labels = [1, 0, 0, 1, 1]
    calibration(labels, [decided(score) for score in (0.41, 0.45, 0.01, 1.0, 0.98)], tmp_path / "a.svg")
    (x, y) = plotted[1]
    assert x == pytest.approx([0.01, 0.43, 0.99])
    assert y == [0.0, 0.5, 1.0]
    # .2 * .01 + .4 * .07 + .4 * .01
    assert "Score (expected calibration error 0.034)" in words_of(tmp_path / "a.svg")


def test_thresholds_stand_where_they_are(plotted: list[tuple[list[float], list[float]]], tmp_path: Path) -> None:
    distribution(LABELS, DECISIONS, TUNING, tmp_path / "a.svg")
    expected = [*OLD.values(), *TUNING.new.thresholds.values()]
    assert sorted(x[0] for x, _ in plotted) == sorted(expected)


# --------------------------------------------------------------------------- the frontier


def test_the_line_goes_through_those_that_none_beats(
    plotted: list[tuple[list[float], list[float]]], tmp_path: Path
) -> None:
    frontier(POINTS, tmp_path / "a.svg")
    assert plotted[0] == ([10, 300, 2000, 50_000], [0.72, 0.71, 0.62, 0.5])
    assert sorted(plotted[1:]) == sorted(([point.speed], [point.quality]) for point in POINTS)


@pytest.mark.parametrize(
    ("points", "best"),
    [
        ([Point("a", 1, 0.5)], "a"),
        ([Point("a", 1, 0.5), Point("b", 2, 0.5)], "b"),  # as good and faster
        ([Point("a", 1, 0.6), Point("b", 1, 0.5)], "a"),  # as fast and better
        ([Point("b", 1, 0.5), Point("a", 1, 0.5)], "ab"),  # neither beats the other
        ([Point("a", 2, 0.5), Point("b", 1, 0.6)], "ba"),
    ],
)
def test_unbeaten(points: list[Point], best: str) -> None:
    assert "".join(point.name for point in unbeaten(points)) == best


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5)), min_size=1, max_size=8))
def test_quality_falls_along_the_line(places: list[tuple[int, int]]) -> None:
    line = unbeaten([Point("", speed, quality / 5) for speed, quality in places])
    assert [point.quality for point in line] == sorted((point.quality for point in line), reverse=True)
    assert max(quality for _, quality in places) / 5 == line[0].quality
    assert max(speed for speed, _ in places) == line[-1].speed


@pytest.mark.parametrize("points", [[], [Point("a", 0, 0.5)], [Point("a", -1, 0.5)]])
def test_a_frontier_needs_speeds(points: list[Point], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="speed above 0"):
        frontier(points, tmp_path / "a.svg")
    assert not (tmp_path / "a.svg").exists()


def test_a_single_point_has_a_number_on_its_axis_and_no_line(tmp_path: Path) -> None:
    frontier([Point("alone", 33, 0.5)], tmp_path / "a.svg")
    words = words_of(tmp_path / "a.svg")
    assert "alone" in words
    assert [word for word in words if re.fullmatch(r"1|10|100|1,000", word)]
    assert not [word for word in words if "dashed" in word or "times" in word]


def test_names_do_not_cover_each_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept: list[charts._Labels] = []
    put = charts._Labels.put

    def spy(self: charts._Labels, *args: object, **options: object) -> None:
        put(self, *args, **options)  # type: ignore[arg-type]
        kept.append(self)

    monkeypatch.setattr(charts._Labels, "put", spy)
    close = [Point(f"classifier {n}", 100 * 1.3**n, 0.5 + 0.02 * (n % 2)) for n in range(5)]
    frontier([*close, Point("far", 1, 0.9)], tmp_path / "a.svg")
    names = kept[-1].taken[-6:]
    assert not [(a, b) for a in range(6) for b in range(a) if names[a].overlaps(names[b])]
    figure = kept[-1].axes.get_figure(root=True)
    assert figure is not None
    assert all(0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in names)


# --------------------------------------------------------------------------- a quiet guest


def test_matplotlib_is_loaded_where_used_and_opens_no_window() -> None:
    code = (
        "import sys, moderation.charts as c; assert 'matplotlib' not in sys.modules\n"
        f"c.frontier([c.Point('a', 1, .5)], c.Path({str(Path('/dev/null'))!r}))\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
        "assert not {'tkinter', 'PyQt5', 'gi'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
