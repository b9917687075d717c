"""A sample of comments to look at: drawn in one pass, each cut to what can be shown, its evidence marked."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Generic, TypeVar

from moderation.comment import Comment
from moderation.decision import Decision
from moderation.finding import Effect, Finding

SHOWN_CHARACTERS = 1200
"""Of a longer comment, the part around its first evidence is shown."""

_SHOWN_FINDINGS = 40
_SHOWN_EXCERPT = 120
_LEAD_CHARACTERS = 300
_KINDS = 400
_STRENGTH = (Effect.REJECT, Effect.SCORE, Effect.REFER)

T = TypeVar("T")


class Reservoir(Generic[T]):
    """Some of all that was offered, each with the same chance; the same offers give the same sample.

    Parameters
    ----------
    size
        How many are kept.
    seed
        Where its chance begins.

    Source: Vitter, "Random sampling with a reservoir", 1985 (algorithm R).
    """

    def __init__(self, size: int, seed: int | str = 0) -> None:
        self._size = size
        self._random = random.Random(seed)
        self.offered = 0
        self.kept: list[T] = []

    def offer(self, make: Callable[[], T]) -> None:
        """Keep what ``make`` gives, in place of another or not at all; it is called only if kept."""
        self.offered += 1
        if len(self.kept) < self._size:
            self.kept.append(make())
        elif (place := self._random.randrange(self.offered)) < self._size:
            self.kept[place] = make()


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a comment; ``effect`` is None where no finding holds it, else the strongest, with the rules."""

    text: str
    effect: Effect | None = None
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Example:
    """One comment to look at.

    Parameters
    ----------
    row
        Number of its row, from 1.
    id, article
        The comment's.
    segments
        The part shown, in order.
    before, after
        Characters of the comment that are not shown.
    decisions
        What was decided, once or by each side of a comparison; of many findings only the first.
    label
        Whether its label says to reject; None without one.
    """

    row: int
    id: str
    article: str
    segments: tuple[Segment, ...]
    before: int
    after: int
    decisions: tuple[Decision, ...]
    label: bool | None = None


class Samples:
    """Some comments of every kind to look at; kinds beyond the first few hundred are left out."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str], Reservoir[tuple[int, Example]]] = {}

    def offer(self, stratum: str, name: str, size: int, make: Callable[[], tuple[int, Example]]) -> None:
        """Keep a comment as one of a kind, or not.

        Parameters
        ----------
        stratum, name
            The kind, such as ``guideline`` and ``threat``; the same comment may be of several.
        size
            How many of the kind are kept.
        make
            Gives the comment and its place among all of them; the numbers of rows will not do, since those of
            several files may be the same.
        """
        kind = (stratum, name)
        if kind not in self._kinds:
            if len(self._kinds) >= _KINDS:
                return
            self._kinds[kind] = Reservoir(size, f"{stratum} {name}")
        self._kinds[kind].offer(make)

    def kept(self, stratum: str | None = None, name: str | None = None) -> tuple[Example, ...]:
        """Give the comments kept of one kind, or of all, each once and in the order of the file."""
        chosen = [of for kind, of in self._kinds.items() if stratum is None or kind == (stratum, name)]
        kept = dict(pair for reservoir in chosen for pair in reservoir.kept)
        return tuple(kept[place] for place in sorted(kept))


def example(row: int, comment: Comment, decisions: Sequence[Decision], label: bool | None = None) -> Example:
    """Cut a comment to what can be shown, and mark the findings of all decisions in it."""
    findings = list(dict.fromkeys(finding for decision in decisions for finding in decision.findings))
    text = comment.text
    strongest = min(findings, key=lambda finding: (_STRENGTH.index(finding.effect), finding.start), default=None)
    begin = 0
    if len(text) > SHOWN_CHARACTERS and strongest is not None:
        begin = max(0, min(strongest.start - _LEAD_CHARACTERS, len(text) - SHOWN_CHARACTERS))
    end = min(len(text), begin + SHOWN_CHARACTERS)
    return Example(
        row,
        comment.id[:_SHOWN_EXCERPT],
        comment.article[:_SHOWN_EXCERPT],
        segments(text, findings, begin, end),
        begin,
        len(text) - end,
        tuple(replace(decision, findings=_cut(decision.findings)) for decision in decisions),
        label,
    )


def _cut(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(replace(f, excerpt=_shortened(f.excerpt)) for f in findings[:_SHOWN_FINDINGS])


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_EXCERPT else f"{text[: _SHOWN_EXCERPT - 1]}…"


def segments(text: str, findings: Sequence[Finding], begin: int = 0, end: int | None = None) -> tuple[Segment, ...]:
    """Cut ``text[begin:end]`` where findings begin and end; the pieces follow one another and make up the whole."""
    end = len(text) if end is None else end
    inside = [finding for finding in findings if finding.start < end and finding.end > begin][:_SHOWN_FINDINGS]
    edges = {begin, end} | {min(max(edge, begin), end) for finding in inside for edge in (finding.start, finding.end)}
    places = sorted(edges)
    found = []
    for start, stop in pairwise(places):
        holding = [finding for finding in inside if finding.start <= start and stop <= finding.end]
        effect = min((finding.effect for finding in holding), key=_STRENGTH.index, default=None)
        found.append(Segment(text[start:stop], effect, tuple(dict.fromkeys(finding.rule for finding in holding))))
    return tuple(found)
