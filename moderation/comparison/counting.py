"""What two sides decided on the same comments, counted."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from moderation.comparison.difference import APPROVED, OTHER_GUIDELINES, REJECTED, SCORE, THRESHOLD, Difference
from moderation.decision import Decision, Verdict
from moderation.errors import RecordError
from moderation.finding import Effect
from moderation.labels import Confusion
from moderation.moderator import Moderator
from moderation.records import Record
from moderation.report import Example, Samples, example

SAMPLE = 100
"""Flips of each direction that are kept to look at; a few more for each guideline and cause."""

SIDES = ("A", "B")

_CAUSE_SAMPLE = 5


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

    @property
    def flips(self) -> int:
        """Comments whose verdict differs for it."""
        return self.rejected + self.approved

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
    _samples: Samples = field(default_factory=Samples)

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
        _count(self.guidelines, a.guidelines, b.guidelines)
        _count(self.rules, _rules(a), _rules(b))
        if label is not None:
            for confusion, decision in zip(self.confusion, (a, b), strict=True):
                confusion.add(label, decision.verdict is Verdict.REJECT)
        difference = Difference.between(a, b)
        direction = difference.direction

        def make() -> tuple[int, Example]:
            return self.rows, example(record.row, record.comment, (a, b), label)

        if direction == OTHER_GUIDELINES:
            if set(a.guidelines) != set(b.guidelines):
                self.reasons += 1
                self._samples.offer("direction", direction, self.sample, make)
            return
        few = min(_CAUSE_SAMPLE, self.sample)
        self._samples.offer("direction", direction, self.sample, make)
        for guideline in difference.rejecting.guidelines:
            self.guidelines[guideline].flip(direction)
            self._samples.offer("guideline", f"{direction} {guideline}", few, make)
        for cause in difference.causes:
            if cause in (THRESHOLD, SCORE):
                self.causes[direction, cause] += 1
            else:
                self.rules[cause].flip(direction)
            self._samples.offer("cause", f"{direction} {cause}", few, make)

    def examples(self, direction: str | None = None) -> tuple[Example, ...]:
        """Give the comments kept to look at, in the order of the file: of one direction, or all of them."""
        return self._samples.kept() if direction is None else self._samples.kept("direction", direction)

    def to_dict(self) -> dict[str, Any]:
        """Give everything but the examples' texts, as JSON holds it."""
        labels = {
            side: {"rows": found.rows, **asdict(found), "precision": found.precision, "recall": found.recall}
            for side, found in zip(("a", "b"), self.confusion, strict=True)
            if found.rows
        }
        return {
            "a": asdict(self.sides[0]),
            "b": asdict(self.sides[1]),
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


def by_flips(changes: Mapping[str, Change]) -> list[tuple[str, Change]]:
    """Give guidelines or rules with their counts, those of the most flips first."""
    return sorted(changes.items(), key=lambda item: (-item[1].flips, item[0]))


def _count(changes: dict[str, Change], a: Collection[str], b: Collection[str]) -> None:
    """Count a comment for what A and B name."""
    for name in dict.fromkeys((*a, *b)):
        change = changes.setdefault(name, Change())
        change.a += name in a
        change.b += name in b


def _rules(decision: Decision) -> set[str]:
    return {finding.rule for finding in decision.findings if finding.effect is not Effect.SCORE}
