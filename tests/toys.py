"""A toy policy and a toy model, for tests and measurements that need no more than that."""

from pathlib import Path

import numpy as np

from moderation.classifier import OUTPUTS
from moderation.linear import features
from moderation.model import save_linear
from moderation.policy import GUIDELINES

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


def write_toys(folder: Path) -> tuple[Path, Path]:
    """Write both: a policy of all six guidelines with one rule that rejects and one that refers, and a model
    without an encoder that finds an attack in «clown».
    """
    file, model = folder / "toy.toml", folder / "toy-1"
    file.write_text(POLICY, encoding="utf-8")
    weights = np.zeros((1 << 14, len(OUTPUTS)), np.float32)
    indices, _ = features("clown", 14)
    weights[indices[0], [0, OUTPUTS.index("personal_attack")]] = 20
    calibration = np.tile(np.array([1, 0], np.float32), (len(OUTPUTS), 1))
    save_linear(model, weights, np.full(len(OUTPUTS), -4, np.float32), calibration)
    return file, model
