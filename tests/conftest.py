"""A toy policy, a toy model and a fake classifier for the files that need no more than that."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from toys import write_toys

from moderation import Policy, load_policy
from moderation.classifier import OUTPUTS
from moderation.normalise import Folded

collect_ignore_glob = ["benchmarks/*"]


class Fake:
    """Scores an attack by the first word that it knows, and finds its evidence in «clown».

    Parameters
    ----------
    knows
        Score for a comment that holds the word.
    other
        Score for all other comments and outputs.
    """

    version = "fake-1"
    stage = "linear"

    def __init__(self, knows: dict[str, float] | None = None, other: float = 0.125) -> None:
        self.knows = knows or {}
        self.other = other

    def score(self, comments: Sequence[Folded]) -> npt.NDArray[np.float32]:
        scores = np.full((len(comments), len(OUTPUTS)), self.other, np.float32)
        for row, comment in zip(scores, comments, strict=True):
            found = [score for word, score in self.knows.items() if word in comment.folded.text]
            row[[0, OUTPUTS.index("personal_attack")]] = [*found, self.other][0]
        return scores

    def score_and_doubt(self, comments: Sequence[Folded]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Doubt as much as it would reject."""
        scores = self.score(comments)
        return scores, scores[:, 0]

    def evidence(self, comment: Folded, output: str) -> tuple[tuple[int, int], ...]:
        assert output == "personal_attack"
        start = comment.folded.text.index("clown")
        return (comment.folded.original(start, start + 5),)


@pytest.fixture(scope="session")
def toy_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy of all six guidelines with one rule that rejects and one that refers."""
    return write_toys(tmp_path_factory.mktemp("policy"))[0]


@pytest.fixture(scope="session")
def toy_policy(toy_file: Path) -> Policy:
    return load_policy(toy_file)


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without an encoder that finds an attack in «clown»."""
    return write_toys(tmp_path_factory.mktemp("models"))[1]
