"""The verdict, and everything that a reader needs to redo it by hand."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from moderation.comment import Comment
from moderation.errors import ModelError
from moderation.finding import Effect, Finding
from moderation.policy import Policy


class Verdict(StrEnum):
    """What happens to a comment."""

    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Decision:
    """One comment's verdict with its reasons.

    Parameters
    ----------
    id
        The comment's.
    verdict
        Approve or reject.
    guidelines
        Ids of the guidelines broken, empty for an approved comment.
    reason
        One sentence for the comment's author; empty for an approved comment.
    score
        Probability that any guideline is broken, 0 to 1.
    scores
        Probability for each guideline, 0 to 1.
    threshold
        What ``score`` had to reach (``>=``) to be rejected.
    decided_by
        ``rule``, or the stage whose score counted: ``linear`` or ``encoder``.
    findings
        All findings in the order of the text, those of approved comments as well.
    policy, model
        Identities of both.
    """

    id: str
    verdict: Verdict
    guidelines: tuple[str, ...]
    reason: str
    score: float
    scores: Mapping[str, float]
    threshold: float
    decided_by: str
    findings: tuple[Finding, ...]
    policy: str
    model: str

    def to_dict(self) -> dict[str, Any]:
        """Give the decision as it stands in files and over HTTP."""
        return {
            "id": self.id,
            "verdict": self.verdict.value,
            "guidelines": list(self.guidelines),
            "reason": self.reason,
            "score": self.score,
            "scores": dict(self.scores),
            "threshold": self.threshold,
            "decided_by": self.decided_by,
            "findings": [finding.to_dict() for finding in self.findings],
            "policy": self.policy,
            "model": self.model,
        }

    def explain(self) -> str:
        """Give the decision in words, a line for each finding."""
        if self.decided_by == "rule":
            how = "by rule"
        else:
            sign = ">=" if self.verdict is Verdict.REJECT else "<"
            digits = 6 if sign == "<" and round(self.score, 3) == round(self.threshold, 3) else 3
            how = f"score {self.score:.{digits}f} {sign} threshold {self.threshold:.{digits}f}"
        lines = [f"{self.verdict.value}: {', '.join(self.guidelines) or 'no guideline broken'} ({how})"]
        lines.extend(
            f"  {finding.start}-{finding.end} {finding.excerpt!r}: {finding.rule}"
            f" ({finding.guideline}, {finding.effect.value})"
            for finding in self.findings
        )
        return "\n".join(lines)


class Reviewer(Protocol):
    """Whatever decides on comments, such as a `Moderator`."""

    def review_many(self, comments: Iterable[Comment | str]) -> Sequence[Decision]:
        """Decide on comments, in their order."""


def is_referred(findings: Sequence[Finding]) -> bool:
    """Whether a finding refers the comment."""
    return any(each.effect is Effect.REFER for each in findings)


def threshold_of(findings: Sequence[Finding], policy: Policy) -> float:
    """Give the threshold that applies: ``referred`` where a finding refers the comment, else ``unflagged``."""
    return policy.thresholds["referred" if is_referred(findings) else "unflagged"]


def decide(
    comment_id: str,
    findings: Sequence[Finding],
    scores: Mapping[str, float],
    policy: Policy,
    model: str,
    stage: str = "linear",
) -> Decision:
    """Make the decision; the only place where a verdict is made.

    A finding that rejects decides alone. Else the score of any guideline being broken decides, against `threshold_of`.

    Parameters
    ----------
    scores
        Probability for ``any`` and each guideline.
    stage
        Which stage of the classifier gave them.

    Raises
    ------
    ModelError
        When a score is no probability: nothing is approved because of it.
    """
    if not all(0 <= score <= 1 for score in scores.values()):
        raise ModelError(f"{model}: gave scores that are no probabilities; train it again")
    rejecting = [finding for finding in findings if finding.effect is Effect.REJECT]
    threshold = threshold_of(findings, policy)
    texts = policy.guideline_texts
    by_guideline = {name: scores[name] for name in texts}
    over = scores["any"] >= threshold
    guidelines: tuple[str, ...] = ()
    reason = ""
    if over or rejecting:
        broken = {finding.guideline for finding in rejecting}
        if over:
            broken.update(name for name, score in by_guideline.items() if score >= threshold)
            if not broken:
                broken = {max(by_guideline, key=by_guideline.__getitem__)}
        guidelines = tuple(name for name in texts if name in broken)
        reason = policy.rule(rejecting[0].rule).reason if rejecting else texts[guidelines[0]]
    return Decision(
        id=comment_id,
        verdict=Verdict.REJECT if rejecting or over else Verdict.APPROVE,
        guidelines=guidelines,
        reason=reason,
        score=scores["any"],
        scores=by_guideline,
        threshold=threshold,
        decided_by="rule" if rejecting else stage,
        findings=tuple(findings),
        policy=policy.identity,
        model=model,
    )
