"""What the pipe asks of a classifier, whichever stage of the cascade it is."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from moderation.exchange import exchanged
from moderation.normalise import Folded
from moderation.policy import GUIDELINES

OUTPUTS = ("any", *GUIDELINES)
"""Columns of a score: that any guideline is broken, then each guideline."""

Array = npt.NDArray[np.float32]


class Classifier(Protocol):
    """One stage: ``linear`` or ``encoder``."""

    version: str
    stage: str

    def score(self, comments: Sequence[Folded]) -> Array:
        """Give calibrated probabilities, shape (n_comments, n_outputs), columns as in `OUTPUTS`."""

    def evidence(self, comment: Folded, output: str) -> tuple[tuple[int, int], ...]:
        """Give the half-open spans of the original text that carried one output's score."""


class FirstStage(Classifier, Protocol):
    """A stage that tells where another should look again."""

    def score_and_doubt(self, comments: Sequence[Folded]) -> tuple[Array, Array]:
        """Give what `score` gives, and how likely the second stage would reject, shape (n_comments,)."""


def mean_of_readings(comments: Sequence[Folded], logits: Callable[[Sequence[str]], Array]) -> Array:
    """Give the logits of each comment: of one that names a group of people, the mean of it and of it `exchanged`.

    Parameters
    ----------
    logits
        Gives those of texts, shape (n_texts, n_columns).
    """
    texts = [comment.skeleton.text for comment in comments]
    again = {row: other for row, text in enumerate(texts) if (other := exchanged(text)) is not None}
    found, rows = logits([*texts, *again.values()]), list(again)
    found[rows] = (found[rows] + found[len(texts) :]) / 2
    return found[: len(texts)]


def probabilities(logits: npt.NDArray[np.floating[Any]]) -> Array:
    """Turn calibrated logits into probabilities, rounded so that a row read back gives the same decision."""
    return np.asarray((1.0 / (1.0 + np.exp(-logits.astype(np.float64)))).round(6), dtype=np.float32)


def log_odds(scores: Array) -> Array:
    """Turn probabilities into logits, within those of one in a million."""
    kept = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
    return np.asarray(np.log(kept / (1 - kept)), dtype=np.float32)
