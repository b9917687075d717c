"""The pipe: normalise, rules, classifier, decide."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from moderation.classifier import OUTPUTS, Classifier, load
from moderation.comment import Comment
from moderation.decision import Decision, Verdict, decide
from moderation.errors import ModelError
from moderation.finding import Effect, Finding
from moderation.normalise import Folded, fold
from moderation.paths import DEFAULT_POLICY, MODELS
from moderation.policy import Policy, load_policy
from moderation.rules import apply_rules, check_examples


def default_model() -> Path:
    """Give the folder of the model that ships with the package: the newest there.

    Raises
    ------
    ModelError
        When there is none.
    """
    folders = sorted((path.parent for path in MODELS.glob("*/manifest.json")), key=_natural)
    if not folders:
        raise ModelError(f"{MODELS}: holds no model; run `moderation train`")
    return folders[-1]


def _natural(folder: Path) -> tuple[str, int]:
    name, _, version = folder.name.rpartition("-")
    return name, int(version) if version.isdecimal() else -1


class Moderator:
    """A policy and a classifier, loaded once, that decide on any number of comments.

    Parameters
    ----------
    policy
        As `load_policy` gives it.
    classifier
        Anything with ``version``, ``score`` and ``evidence``.

    Examples
    --------
    >>> from moderation import Moderator
    >>> moderator = Moderator.default()
    >>> moderator.review("The minister's plan is short-sighted.").verdict.value
    'approve'
    >>> decision = moderator.review("You are a f*cking idiot")
    >>> decision.verdict.value, "profanity" in decision.guidelines
    ('reject', True)
    """

    def __init__(self, policy: Policy, classifier: Classifier) -> None:
        self.policy = policy
        self.classifier = classifier

    @classmethod
    def default(cls) -> "Moderator":
        """Load the policy and the model that ship with the package.

        Raises
        ------
        PolicyError, ModelError
            When either cannot be used.
        """
        return cls.load()

    @classmethod
    def load(cls, policy: str | Path | None = None, model: str | Path | None = None) -> "Moderator":
        """Load a policy file and a model folder; None stands for the one shipped.

        Raises
        ------
        PolicyError, ModelError
            When either cannot be used.
        """
        if policy is None:
            loaded = load_policy(DEFAULT_POLICY, check_patterns=False)  # The test suite checks it.
        else:
            loaded = load_policy(policy)
            check_examples(loaded)
        return cls(loaded, load(default_model() if model is None else Path(model).resolve()))

    def review(self, comment: Comment | str) -> Decision:
        """Decide on one comment; the same as in a batch."""
        return self.review_many([comment])[0]

    def review_many(self, comments: Iterable[Comment | str]) -> tuple[Decision, ...]:
        """Decide on comments, in their order.

        Raises
        ------
        TypeError
            When a comment is neither a `Comment` nor a text, or one text is given for many.
        """
        if isinstance(comments, str | Comment):
            raise TypeError("review_many takes many comments; review takes one")
        prepared = [_comment(comment) for comment in comments]
        folded = [fold(comment.text, self.policy.words) for comment in prepared]
        scores = self.classifier.score(folded).tolist()
        return tuple(
            self._decide(comment, views, dict(zip(OUTPUTS, map(_exact, row), strict=True)))
            for comment, views, row in zip(prepared, folded, scores, strict=True)
        )

    def _decide(self, comment: Comment, folded: Folded, scores: dict[str, float]) -> Decision:
        findings = apply_rules(folded, self.policy)
        decision = decide(comment.id, findings, scores, self.policy, self.classifier.version)
        if decision.verdict is Verdict.APPROVE or decision.decided_by == "rule":
            return decision
        strongest = max(decision.guidelines, key=decision.scores.__getitem__)
        carried = tuple(
            Finding("classifier", strongest, Effect.SCORE, start, end, comment.text[start:end])
            for start, end in self.classifier.evidence(folded, strongest)
        )
        return replace(decision, findings=tuple(sorted((*findings, *carried), key=lambda f: (f.start, f.end, f.rule))))


def _comment(comment: Comment | str) -> Comment:
    if isinstance(comment, Comment):
        return comment
    if isinstance(comment, str):
        return Comment(comment)
    raise TypeError(f"a comment is a Comment or a str, not {type(comment).__name__}")


def _exact(score: float) -> float:
    return round(score, 6)
