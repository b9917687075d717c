"""The pipe: normalise, rules, classifier, decide."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from moderation.classifier import OUTPUTS, Array, Classifier, FirstStage
from moderation.comment import Comment
from moderation.decision import Decision, Verdict, decide, is_referred, threshold_of
from moderation.encoder import PASSAGE_CHARACTERS
from moderation.errors import ModelError
from moderation.finding import Effect, Finding
from moderation.model import default_model
from moderation.model import load as load_model
from moderation.normalise import Folded, fold
from moderation.paths import DEFAULT_POLICY
from moderation.policy import Policy, load_policy
from moderation.rules import apply_rules, check_examples

CLASSIFIERS = ("cascade", "linear", "encoder")


class Origin(NamedTuple):
    """The files that a moderator was loaded from (None for those shipped), and what they held then."""

    policy: str | None
    model: str | None
    classifier: str
    policy_identity: str
    model_digest: str


class Moderator:
    """A policy and a classifier, loaded once, that decide on any number of comments.

    Parameters
    ----------
    policy
        As `load_policy` gives it.
    classifier
        Scores every comment: anything with ``version``, ``stage``, ``score`` and ``evidence``; with an encoder behind
        it also ``score_and_doubt``.
    encoder
        Scores again what no rule rejects and it would reject likely enough for the policy, judging from the
        first stage's doubt; None for no second look.

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

    def __init__(self, policy: Policy, classifier: Classifier, encoder: Classifier | None = None) -> None:
        self.policy = policy
        self.classifier = classifier
        self.encoder = encoder if policy.encoder else None
        self.origin: Origin | None = None

    def __reduce__(self) -> Any:
        """Travel to another process as the names of the files, which are loaded there once."""
        if self.origin is None:
            raise TypeError("only a moderator that was loaded from files can be sent to another process")
        return _loaded_once, (self.origin,)

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
    def load(
        cls, policy: str | Path | None = None, model: str | Path | None = None, classifier: str = "cascade"
    ) -> "Moderator":
        """Load a policy file and a model folder; None stands for the one shipped.

        Parameters
        ----------
        classifier
            One of `CLASSIFIERS`: ``cascade`` (the encoder looks where the policy says), ``linear``
            (never) or ``encoder`` (at every comment; to compare).

        Raises
        ------
        PolicyError, ModelError
            When either cannot be used.
        ValueError
            When the classifier has no such name.
        """
        if classifier not in CLASSIFIERS:
            raise ValueError(f"classifier is one of {', '.join(CLASSIFIERS)}, not {classifier!r}")
        if policy is None:
            loaded = load_policy(DEFAULT_POLICY, check_patterns=False)  # The test suite checks it.
        else:
            loaded = load_policy(policy)
            check_examples(loaded)
        folder = default_model() if model is None else Path(model).resolve()
        stages = load_model(folder)
        if classifier == "encoder":
            if stages.encoder is None:
                raise ModelError(f"{folder}: has no encoder; train one, or choose the classifier `linear`")
            moderator = cls(loaded, stages.encoder)
        else:
            moderator = cls(loaded, *((stages.linear,) if classifier == "linear" else stages.cascade))
        moderator.origin = Origin(
            None if policy is None else str(Path(policy).resolve()),
            None if model is None else str(folder),
            classifier,
            loaded.identity,
            stages.digest,
        )
        return moderator

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
        findings = [apply_rules(views, self.policy) for views in folded]
        by: list[Classifier] = [self.classifier] * len(prepared)
        if self.encoder:
            first, doubts = cast(FirstStage, self.classifier).score_and_doubt(folded)
            scores = _rounded(first)
            again = self._worth_reading(folded, findings, scores, _rounded(doubts))
            seen = _rounded(self.encoder.score([folded[index] for index in again]))
            for index, row in zip(again, seen, strict=True):
                scores[index], by[index] = row, self.encoder
        else:
            scores = _rounded(self.classifier.score(folded))
        return tuple(self._decide(*row) for row in zip(prepared, folded, findings, scores, by, strict=True))

    def _worth_reading(
        self,
        comments: Sequence[Folded],
        findings: Sequence[Sequence[Finding]],
        scores: Sequence[Sequence[float]],
        doubts: Sequence[float],
    ) -> list[int]:
        """Give which comments the encoder reads: those worth the time."""
        looks = self.policy.encoder
        assert looks is not None  # Without, there is no encoder.
        read: list[int] = []
        for index, (comment, found, doubt) in enumerate(zip(comments, findings, doubts, strict=True)):
            if any(each.effect is Effect.REJECT for each in found):
                continue
            size = min(len(comment.skeleton.text), PASSAGE_CHARACTERS)
            # What the linear stage would reject, for any guideline, is confirmed or approved.
            if max(scores[index]) >= threshold_of(found, self.policy) or looks.at(
                doubt, size, referred=is_referred(found)
            ):
                read.append(index)
        return read

    def _decide(
        self,
        comment: Comment,
        folded: Folded,
        findings: Sequence[Finding],
        scores: Sequence[float],
        classifier: Classifier,
    ) -> Decision:
        by_output = dict(zip(OUTPUTS, scores, strict=True))
        decision = decide(comment.id, findings, by_output, self.policy, classifier.version, classifier.stage)
        if decision.verdict is Verdict.APPROVE or decision.decided_by == "rule":
            return decision
        strongest = max(decision.guidelines, key=decision.scores.__getitem__)
        carried = tuple(
            Finding("classifier", strongest, Effect.SCORE, start, end, comment.text[start:end])
            for start, end in classifier.evidence(folded, strongest)
        )
        return replace(decision, findings=tuple(sorted((*findings, *carried), key=lambda f: (f.start, f.end, f.rule))))


@lru_cache(maxsize=2)
def _loaded_once(origin: Origin) -> Moderator:
    return Moderator.load(origin.policy, origin.model, origin.classifier)


def _comment(comment: Comment | str) -> Comment:
    if isinstance(comment, Comment):
        return comment
    if isinstance(comment, str):
        return Comment(comment)
    raise TypeError(f"a comment is a Comment or a str, not {type(comment).__name__}")


def _rounded(scores: Array) -> Any:
    """Give scores as numbers of Python with six places, as decisions carry them."""
    return scores.astype(np.float64).round(6).tolist()
