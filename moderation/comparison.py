"""The same comments under two policies, models or classifiers: which decisions flip, and what tips them."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from moderation.classifier import OUTPUTS, Array, Classifier
from moderation.decision import Decision, Verdict
from moderation.errors import RecordError
from moderation.finding import Effect
from moderation.labels import Confusion, guessed_label, label_of
from moderation.moderator import Moderator
from moderation.normalise import Folded
from moderation.records import Record
from moderation.report import Example, Reservoir, example, render

CHUNK_ROWS = 1000
SAMPLE = 100
"""Flips of each direction that are kept to look at; a few more for each guideline and cause."""

SIDES = ("A", "B")
REJECTED, APPROVED = "newly rejected", "newly approved"
"""A flip's direction: A approves and B rejects, or the other way round."""

THRESHOLD, SCORE = "threshold", "score"
"""Causes of a flip that are no rule: the bar is another, or the score is."""

_CAUSE_SAMPLE = 5
_RESERVOIRS = 400


@dataclass(frozen=True, slots=True)
class Side:
    """Under what a side decides: identity of the policy, version of the model, its stages."""

    policy: str
    model: str
    stages: str

    @classmethod
    def of(cls, moderator: Moderator) -> "Side":
        """Name a moderator's."""
        stages = [moderator.classifier.stage, *([moderator.encoder.stage] if moderator.encoder else [])]
        return cls(moderator.policy.identity, moderator.classifier.version, " + ".join(stages))


@dataclass(slots=True)
class Change:
    """Counts of comments for one guideline or one rule.

    Parameters
    ----------
    a, b
        Comments that either side rejects for the guideline, or in which the rule fires.
    rejected, approved
        Comments newly rejected and newly approved for it.
    """

    a: int = 0
    b: int = 0
    rejected: int = 0
    approved: int = 0

    def flip(self, direction: str) -> None:
        """Count a flip."""
        self.rejected += direction == REJECTED
        self.approved += direction == APPROVED

    def to_dict(self) -> dict[str, int]:
        """Give the counts by name."""
        return {"a": self.a, "b": self.b, "newly_rejected": self.rejected, "newly_approved": self.approved}


@dataclass(slots=True)
class Comparison:
    """What two sides decided on the same comments, counted in memory that does not grow with them.

    Parameters
    ----------
    sides
        A and B.
    verdicts
        Comments by the verdicts of A and B.
    reasons
        Comments that both reject, for other guidelines.
    guidelines, rules
        Counts by guideline, and by rule; a flip counts for each rule that tips it.
    causes
        Flips by direction that no rule tips, by `THRESHOLD` or `SCORE`.
    decided
        Comments by what decided in A and in B.
    confusion
        How A and B agree with the labels.
    """

    sides: tuple[Side, Side]
    sample: int = SAMPLE
    unreadable: int = 0
    problems: list[RecordError] = field(default_factory=list)
    verdicts: Counter[tuple[Verdict, Verdict]] = field(default_factory=Counter)
    reasons: int = 0
    guidelines: dict[str, Change] = field(default_factory=dict)
    rules: dict[str, Change] = field(default_factory=dict)
    causes: Counter[tuple[str, str]] = field(default_factory=Counter)
    decided: Counter[tuple[str, str]] = field(default_factory=Counter)
    confusion: tuple[Confusion, Confusion] = field(default_factory=lambda: (Confusion(), Confusion()))
    _reservoirs: dict[tuple[str, str], Reservoir[tuple[int, Example]]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """All comments that both sides decided on."""
        return self.verdicts.total()

    @property
    def rejected(self) -> int:
        """Comments that A approves and B rejects."""
        return self.verdicts[Verdict.APPROVE, Verdict.REJECT]

    @property
    def approved(self) -> int:
        """Comments that A rejects and B approves."""
        return self.verdicts[Verdict.REJECT, Verdict.APPROVE]

    @property
    def flips(self) -> int:
        """Comments whose verdict differs."""
        return self.rejected + self.approved

    def fail(self, error: RecordError) -> None:
        """Count a row that cannot be read; the first causes are kept."""
        self.unreadable += 1
        if len(self.problems) < _CAUSE_SAMPLE:
            self.problems.append(error)

    def add(self, record: Record, a: Decision, b: Decision, label: bool | None = None) -> None:
        """Count one comment and what both sides decided on it."""
        self.verdicts[a.verdict, b.verdict] += 1
        self.decided[a.decided_by, b.decided_by] += 1
        for side, decision in zip(SIDES, (a, b), strict=True):
            name = side.lower()
            for guideline in decision.guidelines:
                change = self.guidelines.setdefault(guideline, Change())
                setattr(change, name, getattr(change, name) + 1)
            for rule in {finding.rule for finding in decision.findings if finding.effect is not Effect.SCORE}:
                change = self.rules.setdefault(rule, Change())
                setattr(change, name, getattr(change, name) + 1)
        if label is not None:
            for confusion, decision in zip(self.confusion, (a, b), strict=True):
                confusion.add(label, decision.verdict is Verdict.REJECT)
        if a.verdict is not b.verdict:
            self._flip(record, a, b, label)
        elif set(a.guidelines) != set(b.guidelines):
            self.reasons += 1
            self._keep("direction", "other guidelines", self.sample, record, a, b, label)

    def _flip(self, record: Record, a: Decision, b: Decision, label: bool | None) -> None:
        direction = REJECTED if b.verdict is Verdict.REJECT else APPROVED
        rejecting, approving = (b, a) if direction == REJECTED else (a, b)
        self._keep("direction", direction, self.sample, record, a, b, label)
        for guideline in rejecting.guidelines:
            self.guidelines[guideline].flip(direction)
            self._keep("guideline", f"{direction} {guideline}", _CAUSE_SAMPLE, record, a, b, label)
        for cause in causes(rejecting, approving):
            if cause in (THRESHOLD, SCORE):
                self.causes[direction, cause] += 1
            else:
                self.rules[cause].flip(direction)
            self._keep("cause", f"{direction} {cause}", _CAUSE_SAMPLE, record, a, b, label)

    def _keep(
        self, stratum: str, name: str, size: int, record: Record, a: Decision, b: Decision, label: bool | None
    ) -> None:
        key = (stratum, name)
        if key not in self._reservoirs:
            if len(self._reservoirs) >= _RESERVOIRS:
                return
            self._reservoirs[key] = Reservoir(min(size, self.sample), f"{stratum} {name}")
        # Rows of several files may have the same number.
        self._reservoirs[key].offer(lambda: (self.rows, example(record.row, record.comment, (a, b), label)))

    def examples(self, direction: str | None = None) -> tuple[Example, ...]:
        """Give the comments kept to look at, in the order of the file: of one direction, or all of them."""
        kept = dict(
            pair
            for (stratum, name), reservoir in self._reservoirs.items()
            if direction is None or (stratum, name) == ("direction", direction)
            for pair in reservoir.kept
        )
        return tuple(kept[place] for place in sorted(kept))

    def to_dict(self) -> dict[str, Any]:
        """Give everything but the examples' texts, as JSON holds it."""
        labels = {
            side: {
                "rows": found.rows,
                "right_rejections": found.right_rejections,
                "wrong_rejections": found.wrong_rejections,
                "right_approvals": found.right_approvals,
                "wrong_approvals": found.wrong_approvals,
                "precision": found.precision,
                "recall": found.recall,
            }
            for side, found in zip(("a", "b"), self.confusion, strict=True)
            if found.rows
        }
        return {
            **{
                name: {"policy": side.policy, "model": side.model, "stages": side.stages}
                for name, side in zip(("a", "b"), self.sides, strict=True)
            },
            "comments": self.rows,
            "unreadable": self.unreadable,
            "both_approve": self.verdicts[Verdict.APPROVE, Verdict.APPROVE],
            "both_reject": self.verdicts[Verdict.REJECT, Verdict.REJECT],
            "newly_rejected": self.rejected,
            "newly_approved": self.approved,
            "other_guidelines": self.reasons,
            "guidelines": {name: change.to_dict() for name, change in sorted(self.guidelines.items())},
            "rules": {name: change.to_dict() for name, change in sorted(self.rules.items())},
            "causes": {
                cause: {
                    "newly_rejected": self.causes[REJECTED, cause],
                    "newly_approved": self.causes[APPROVED, cause],
                }
                for cause in (THRESHOLD, SCORE)
            },
            "decided_by": {f"{a} > {b}": count for (a, b), count in sorted(self.decided.items())},
            "labels": labels or None,
            "examples": [
                {
                    "row": found.row,
                    "id": found.id,
                    "label": found.label,
                    **{name: d.to_dict() for name, d in zip(("a", "b"), found.decisions, strict=True)},
                }
                for found in self.examples()
            ],
        }


def causes(rejecting: Decision, approving: Decision) -> tuple[str, ...]:
    """Tell what tips a flip.

    Parameters
    ----------
    rejecting, approving
        The decisions of both sides on one comment, whichever is A.

    Returns
    -------
    tuple of str
        The rules that reject it; where the score does, the rules that lower its bar on this side alone, else
        `THRESHOLD` where the other side's score would reach this side's bar, else `SCORE`.
    """
    if rejecting.decided_by == "rule":
        return tuple(dict.fromkeys(f.rule for f in rejecting.findings if f.effect is Effect.REJECT))
    if approving.score < rejecting.threshold:
        return (SCORE,)
    elsewhere = {finding.rule for finding in approving.findings}
    referring = [f.rule for f in rejecting.findings if f.effect is Effect.REFER and f.rule not in elsewhere]
    if referring and not any(finding.effect is Effect.REFER for finding in approving.findings):
        return tuple(dict.fromkeys(referring))
    return (THRESHOLD,)


def compare(
    a: Moderator,
    b: Moderator,
    rows: Iterator[Record | RecordError],
    label: str | None = None,
    sample: int = SAMPLE,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Decide on comments under both sides and count what differs, in one pass and in constant memory.

    Each side decides as it would alone. A stage that both share scores each comment once, unless the words of
    the policies read it differently.

    Parameters
    ----------
    rows
        As `records.read` yields them.
    label
        Column that says what should be decided; ``expected`` or ``label`` where None and it holds labels.
    sample
        How many flips of each direction are kept to look at.
    progress
        Told, now and then, the rows done and the flips among them.

    Raises
    ------
    RecordError
        When the rows have no such column (row 0).
    """
    found = Comparison((Side.of(a), Side.of(b)), sample)
    begun = False
    for done, row in enumerate(review_both(a, b, rows), 1):
        if isinstance(row, RecordError):
            found.fail(row)
            continue
        record, one, other = row
        if not begun:
            begun = True
            if label is not None and label not in record.values:
                have = ", ".join(record.values)
                raise RecordError("the comments", 0, f"have no column {label!r}; their columns are {have}")
        label = label or guessed_label(record.values)
        found.add(record, one, other, label_of(record.values.get(label)) if label else None)
        if progress is not None and done % CHUNK_ROWS == 0:
            progress(done, found.flips)
    if progress is not None:
        progress(found.rows + found.unreadable, found.flips)
    return found


def review_both(
    a: Moderator, b: Moderator, rows: Iterator[Record | RecordError]
) -> Iterator[tuple[Record, Decision, Decision] | RecordError]:
    """Decide on rows under both sides, keeping their order; an unreadable row passes through as its error.

    Each decision is what its moderator would decide alone.
    """
    known: dict[int, Shared] = {}
    first, second = (_sharing(side, known) for side in (a, b))
    while chunk := list(islice(rows, CHUNK_ROWS)):
        comments = [row.comment for row in chunk if isinstance(row, Record)]
        decisions = zip(first.review_many(comments), second.review_many(comments), strict=True)
        for row in chunk:
            yield (row, *next(decisions)) if isinstance(row, Record) else row
        for shared in known.values():
            shared.forget()


class Shared:
    """A classifier that tells again what it told of a text, without computing it.

    A text counts as the same where its skeleton is; the other views follow from what is written.
    """

    def __init__(self, classifier: Classifier) -> None:
        self._classifier: Any = classifier
        self.version = classifier.version
        self.stage = classifier.stage
        self._scores: dict[tuple[str, str], tuple[Array, Any]] = {}
        self._evidence: dict[tuple[str, str, str], tuple[Folded, tuple[tuple[int, int], ...]]] = {}

    def score(self, comments: Sequence[Folded]) -> Array:
        """Give the classifier's probabilities, shape (n_comments, n_outputs)."""
        return self.score_and_doubt(comments)[0]

    def score_and_doubt(self, comments: Sequence[Folded]) -> tuple[Array, Array]:
        """Give these and how likely the encoder behind a first stage would reject, shape (n_comments,)."""
        new = {_key(comment): comment for comment in comments if _key(comment) not in self._scores}
        if new:
            asked = list(new.values())
            if hasattr(self._classifier, "score_and_doubt"):
                scores, doubts = self._classifier.score_and_doubt(asked)
            else:
                scores, doubts = self._classifier.score(asked), np.zeros(len(asked), dtype=np.float32)
            self._scores |= zip(new, zip(scores, doubts, strict=True), strict=True)
        if not comments:
            return np.zeros((0, len(OUTPUTS)), dtype=np.float32), np.zeros(0, dtype=np.float32)
        told = [self._scores[_key(comment)] for comment in comments]
        return np.array([scores for scores, _ in told]), np.array([doubt for _, doubt in told])

    def evidence(self, comment: Folded, output: str) -> tuple[tuple[int, int], ...]:
        """Give the classifier's half-open spans of the original."""
        key = (*_key(comment), output)
        known = self._evidence.get(key)
        # The same skeleton may have been read from other places of the text.
        if known is None or known[0] != comment:
            known = self._evidence[key] = (comment, self._classifier.evidence(comment, output))
        return known[1]

    def forget(self) -> None:
        """Keep nothing of what was told."""
        self._scores.clear()
        self._evidence.clear()


def _key(comment: Folded) -> tuple[str, str]:
    return comment.plain.text, comment.skeleton.text


def _sharing(side: Moderator, known: dict[int, Shared]) -> Moderator:
    """Give a moderator like this one, whose stages are shared with others of the same."""

    def shared(classifier: Classifier) -> Shared:
        return known.setdefault(id(classifier), Shared(classifier))

    return Moderator(side.policy, shared(side.classifier), shared(side.encoder) if side.encoder else None)


def page(comparison: Comparison, source: Path) -> str:
    """Give the comparison as a page in one file.

    Raises
    ------
    ModelError
        When jinja2 is not installed.
    """
    kept = comparison.examples()
    changed = [item for item in comparison.rules.items() if item[1].rejected or item[1].approved]
    tipping = sorted(changed, key=lambda item: (-item[1].rejected - item[1].approved, item[0]))
    return render(
        "comparison.html.jinja",
        title="Comparison",
        source=source.name,
        comparison=comparison,
        names=SIDES,
        directions=(REJECTED, APPROVED),
        other="other guidelines",
        guidelines=sorted(
            comparison.guidelines.items(), key=lambda item: (-item[1].rejected - item[1].approved, item[0])
        ),
        most=max((change.rejected + change.approved for change in comparison.guidelines.values()), default=0),
        rules=tipping,
        bare=(THRESHOLD, SCORE),
        stages=sorted({by for pair in comparison.decided for by in pair}),
        examples=[(found, *_filters(found)) for found in kept],
        all_guidelines=sorted({name for e in kept for d in e.decisions for name in d.guidelines}),
        all_causes=sorted({cause for e in kept for cause in _filters(e)[1]}),
    )


def _filters(found: Example) -> tuple[str, tuple[str, ...]]:
    """Give an example's direction and what tips it."""
    a, b = found.decisions
    if a.verdict is b.verdict:
        return "other guidelines", ()
    if b.verdict is Verdict.REJECT:
        return REJECTED, causes(b, a)
    return APPROVED, causes(a, b)
