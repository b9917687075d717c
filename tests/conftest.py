"""A toy policy, a toy model and a fake classifier for the files that need no more than that."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from moderation import Policy, load_policy
from moderation.classifier import OUTPUTS
from moderation.linear import features
from moderation.model import save_linear
from moderation.normalise import Folded
from moderation.policy import GUIDELINES

collect_ignore_glob = ["benchmarks/*"]

POLICY = r"""
[policy]
name = "toy"
version = "1"
[thresholds]
unflagged = 0.75
referred = 0.5
[[rule]]
id = "threat.kill"
guideline = "threat"
effect = "reject"
statement = "States an intent to kill."
reason = "It threatens someone."
known_problems = "None known."
fires_on = ['\bi will kill (?:you|them)\b']
violates = ["i will kill you", "I will k1ll them", "So I will kill you"]
allowed = ["hello", "this queue will kill me"]
[[rule]]
id = "personal_attack.you"
guideline = "personal_attack"
effect = "refer"
statement = "Speaks to the other commenter."
reason = "It speaks about a person."
known_problems = "Nearly all."
fires_on = ['\byou\b']
violates = ["you", "YOU", "thank you"]
allowed = ["hello", "young"]
""" + "".join(f'[[guideline]]\nid = "{name}"\ntitle = "T"\ntext = "No {name}."\n' for name in GUIDELINES)


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

    def doubt(self, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Doubt as much as the first stage does."""
        return scores[:, 0]

    def evidence(self, comment: Folded, output: str) -> tuple[tuple[int, int], ...]:
        assert output == "personal_attack"
        start = comment.folded.text.index("clown")
        return (comment.folded.original(start, start + 5),)


@pytest.fixture(scope="session")
def toy_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy of all six guidelines with one rule that rejects and one that refers."""
    file = tmp_path_factory.mktemp("policy") / "toy.toml"
    file.write_text(POLICY, encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def toy_policy(toy_file: Path) -> Policy:
    return load_policy(toy_file)


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without an encoder that finds an attack in «clown»."""
    folder = tmp_path_factory.mktemp("models") / "toy-1"
    weights = np.zeros((1 << 14, len(OUTPUTS)), np.float32)
    indices, _ = features("clown", 14)
    weights[indices[0], [0, OUTPUTS.index("personal_attack")]] = 20
    calibration = np.tile(np.array([1, 0], np.float32), (len(OUTPUTS), 1))
    save_linear(folder, weights, np.full(len(OUTPUTS), -4, np.float32), calibration)
    return folder
