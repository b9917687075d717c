"""A decision on the scale of another service: one score for each name of the protocol."""

from collections.abc import Sequence

from moderation.decision import Decision, Verdict
from moderation.finding import Effect, Finding

RULE_SCORE = 0.99
"""What a rule that rejects gives at least: the classifier need not have seen what the rule is certain of."""
_GAP = 0.001
"""Room on both sides of the bend: some callers ask for ``>`` and some for ``>=``."""

Sources = Sequence[tuple[str, ...]]
"""Guidelines, rules or ``any`` that speak for one name; each entry holds those that must speak together."""


def broken(sources: Sources, decision: Decision) -> bool:
    """Whether the decision finds any of the sources broken."""
    return any(all(_is_broken(source, decision) for source in together) for together in sources)


def score(sources: Sources, decision: Decision, verdict_at: float | None = None) -> float:
    """Give the highest score of the sources, 0 to 1.

    A guideline's is the classifier's probability, and at least `RULE_SCORE` where a rule of it rejects; that of a
    guideline which alone stands for a rejected comment is the comment's.

    Parameters
    ----------
    verdict_at
        Where on the scale this policy's threshold shall lie: at or above it whatever the decision names as
        broken, below it everything else. None leaves the probabilities as they are.
    """
    return round(
        max((min(_score(source, decision, verdict_at) for source in together) for together in sources), default=0.0), 6
    )


def places(sources: Sources, decision: Decision) -> list[Finding]:
    """Give the findings that speak for the sources, in the order of the text; all for ``any``."""
    names = {source for together in sources for source in together}
    return [found for found in decision.findings if "any" in names or {found.guideline, found.rule} & names]


def _rejects(source: str, decision: Decision) -> bool:
    return any(
        found.effect is Effect.REJECT and source in ("any", found.guideline, found.rule) for found in decision.findings
    )


def _is_broken(source: str, decision: Decision) -> bool:
    if source == "any":
        return decision.verdict is Verdict.REJECT
    if source in decision.guidelines:
        return True
    return decision.verdict is Verdict.REJECT and any(found.rule == source for found in decision.findings)


def _score(source: str, decision: Decision, verdict_at: float | None) -> float:
    is_broken = _is_broken(source, decision)
    found = decision.score if source == "any" else decision.scores.get(source, 0.0)
    if is_broken and found < decision.threshold <= decision.score:
        found = decision.score
    if verdict_at is not None:
        found = _bent(found, is_broken, decision.threshold, verdict_at)
    return max(found, RULE_SCORE) if _rejects(source, decision) else found


def _bent(found: float, is_broken: bool, threshold: float, at: float) -> float:
    """Stretch the two sides of the threshold so that it comes to lie at ``at``."""
    if is_broken:
        share = (found - threshold) / (1 - threshold) if threshold < 1 else 1.0
        return min(1.0, max(at + _GAP, at + (1 - at) * share))
    share = found / threshold if threshold > 0 else 0.0
    return max(0.0, min(at - _GAP, at * share))
