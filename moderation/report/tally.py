"""What a decided file comes to, counted in one pass and in memory that does not grow with it."""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TypeVar

from moderation.decision import Decision, Verdict
from moderation.errors import RecordError
from moderation.finding import Effect
from moderation.labels import Confusion, Ranking
from moderation.report.decided import Decided
from moderation.report.sample import Example, Samples, example

BINS = 50
"""Bars of the score distribution; each holds scores from its lower edge (``>=``) to its upper (``<``), the last 1."""

SAMPLE = 150
"""Approved, and rejected, comments that are kept to look at."""

_DIFFERENT = 1000
_CAUSES = 5
_RULE_SAMPLE = 3

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class RuleTally:
    """What one rule did.

    Parameters
    ----------
    guideline, effect
        The rule's.
    fired, rejected
        Comments in which it fired, and those of them that were rejected, by whatever.
    labels
        The labelled comments in which it fired: rejected is that it fired.
    """

    guideline: str
    effect: Effect
    fired: int = 0
    rejected: int = 0
    labels: Confusion = field(default_factory=Confusion)


class Tally:
    """Counts, histograms and samples of decided rows.

    Parameters
    ----------
    sample
        How many approved, and rejected, comments are kept to look at; further ones for each guideline, rule
        and kind of error.
    """

    def __init__(self, sample: int = SAMPLE) -> None:
        self.unreadable = 0
        self.problems: list[RecordError] = []
        self.verdicts: Counter[Verdict] = Counter()
        self.decided: Counter[tuple[str, Verdict]] = Counter()
        self.guidelines: Counter[tuple[str, str]] = Counter()
        """Rejected comments by guideline and by what decided; a comment may break several."""
        self.broken: Counter[str] = Counter()
        """Rejected comments by guideline."""
        self.scores = {verdict: [0] * BINS for verdict in Verdict}
        self.rules: dict[str, RuleTally] = {}
        self.thresholds: Counter[float] = Counter()
        self.policies: Counter[str] = Counter()
        self.models: Counter[str] = Counter()
        self.confusion = Confusion()
        self.confusion_by: dict[str, Confusion] = {}
        self.ranking = Ranking()
        self._sample = sample
        self._samples = Samples()

    @property
    def rows(self) -> int:
        """All rows that hold a decision."""
        return self.verdicts.total()

    def fail(self, error: RecordError) -> None:
        """Count a row that cannot be read; the first causes are kept."""
        self.unreadable += 1
        if len(self.problems) < _CAUSES:
            self.problems.append(error)

    def add(self, row: Decided) -> None:
        """Count one decided row."""
        decision, label = row.decision, row.label
        rejected = decision.verdict is Verdict.REJECT
        self.verdicts[decision.verdict] += 1
        by = _bounded(self.decided, (decision.decided_by, decision.verdict), ("others", decision.verdict))[0]
        self.scores[decision.verdict][min(int(decision.score * BINS), BINS - 1)] += 1
        for counter, key in ((self.policies, decision.policy), (self.models, decision.model)):
            _bounded(counter, key, "others")
        if decision.threshold in self.thresholds or len(self.thresholds) < _DIFFERENT:
            self.thresholds[decision.threshold] += 1
        if rejected:
            for guideline in dict.fromkeys(decision.guidelines):
                name = _bounded(self.broken, guideline, "others")
                self.guidelines[name, by] += 1
        self._add_rules(decision, label)
        if label is not None:
            self.confusion.add(label, rejected)
            self.confusion_by.setdefault(by, Confusion()).add(label, rejected)
            self.ranking.add(label, decision.score, decision.decided_by == "rule")
        self._offer(row)

    def _add_rules(self, decision: Decision, label: bool | None) -> None:
        effects = {f.rule: f for f in decision.findings if f.effect is not Effect.SCORE}
        for name, finding in effects.items():
            tally = self.rules.get(name)
            if tally is None:
                if len(self.rules) >= _DIFFERENT:
                    continue
                tally = self.rules[name] = RuleTally(finding.guideline, finding.effect)
            tally.fired += 1
            tally.rejected += decision.verdict is Verdict.REJECT
            if label is not None:
                tally.labels.add(label, True)

    def _offer(self, row: Decided) -> None:
        decision, label = row.decision, row.label
        rejected = decision.verdict is Verdict.REJECT

        def make() -> tuple[int, Example]:
            return self.rows, example(row.record.row, row.record.comment, (decision,), label)

        self._samples.offer("verdict", decision.verdict.value, self._sample, make)
        self._samples.offer("decided", decision.decided_by, self._sample // 5, make)
        for guideline in decision.guidelines:
            self._samples.offer("guideline", guideline, self._sample // 5, make)
        for rule in {finding.rule: None for finding in decision.findings if finding.rule in self.rules}:
            self._samples.offer("rule", rule, min(_RULE_SAMPLE, self._sample), make)
        if label is not None and label != rejected:
            self._samples.offer("error", "wrong rejection" if rejected else "wrong approval", self._sample // 3, make)

    def examples(self) -> tuple[Example, ...]:
        """Give all comments kept to look at, each once, in the order of the file."""
        return self._samples.kept()

    def errors(self, kind: str) -> tuple[Example, ...]:
        """Give the comments kept of one kind of error, those that the score was surest of first.

        Parameters
        ----------
        kind
            ``wrong rejection`` or ``wrong approval``.
        """
        sign = -1 if kind == "wrong rejection" else 1
        return tuple(sorted(self._samples.kept("error", kind), key=lambda found: sign * found.decisions[0].score))


def _bounded(counter: Counter[K], key: K, other: K) -> K:
    """Count a key, or where there are too many different ones the other; give the one that was counted."""
    if key not in counter and len(counter) >= _DIFFERENT:
        key = other
    counter[key] += 1
    return key
