"""How far a review is: on a terminal a bar, elsewhere a line at times."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from moderation.cli.app import ERRORS

if TYPE_CHECKING:
    from moderation.batch import Summary

LINE_SECONDS = 5.0
RATE_SECONDS = 30.0
"""The rate is that of so many last seconds."""


@contextmanager
def review_progress(quiet: bool) -> Iterator[Callable[["Summary", float], None]]:
    """Show rows, rate, time left and verdicts on a terminal; a line at times where it is none."""
    if quiet:
        yield lambda summary, share: None
        return
    pace = Pace(time.monotonic)
    if not ERRORS.is_terminal:
        last = time.monotonic()

        def line(summary: "Summary", share: float) -> None:
            nonlocal last
            told = pace.told(summary, share)
            if time.monotonic() - last >= LINE_SECONDS and share < 1:
                last = time.monotonic()
                ERRORS.print(told, markup=False, highlight=False, soft_wrap=True)

        yield line
        return
    from rich.progress import BarColumn, Progress, TextColumn

    with Progress(BarColumn(), TextColumn("{task.fields[line]}", markup=False), console=ERRORS) as bar:
        task = bar.add_task("", total=None, line="")

        def shown_bar(summary: "Summary", share: float) -> None:
            bar.update(task, completed=share, total=1.0 if share else None, line=pace.told(summary, share))

        yield shown_bar


class Pace:
    """Tells how far a review is, how fast, and how long it will take.

    Parameters
    ----------
    clock
        Gives seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()
        self._share = 0.0
        self._expected = 0.0

    def told(self, summary: "Summary", share: float) -> str:
        """Put what is done into words; the first call counts as the beginning."""
        now = self._clock()
        self._seen.append((now, summary.rows))
        while len(self._seen) > 2 and now - self._seen[0][0] > RATE_SECONDS:
            self._seen.popleft()
        begun, rows = self._seen[0]
        if share > self._share:
            self._share, self._expected = share, summary.rows / share
        parts = [f"{summary.rows:,} rows"]
        if share:
            parts[0] += f" ({share:.0%})"
        if now > begun and summary.rows > rows:
            rate = (summary.rows - rows) / (now - begun)
            parts.append(f"{rate:,.0f} rows/s")
            if self._expected > summary.rows:
                parts.append(f"{_duration((self._expected - summary.rows) / rate)} left")
        verdicts = f"{summary.approved:,} approved, {summary.rejected:,} rejected"
        if summary.unreadable:
            verdicts += f", {summary.unreadable:,} unreadable"
        return f"{', '.join(parts)}: {verdicts}"


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
