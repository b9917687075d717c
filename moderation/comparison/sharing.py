"""Scores that both sides need, computed once."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from moderation.classifier import OUTPUTS, Array, Classifier
from moderation.moderator import Moderator
from moderation.normalise import Folded


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


def sharing(side: Moderator, known: dict[int, Shared]) -> Moderator:
    """Give a moderator like this one, whose stages are shared with others of the same."""

    def shared(classifier: Classifier) -> Shared:
        return known.setdefault(id(classifier), Shared(classifier))

    return Moderator(side.policy, shared(side.classifier), shared(side.encoder) if side.encoder else None)
