"""Teach the router's small network what the encoder says."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from moderation import encoder
from moderation.classifier import OUTPUTS, Array
from moderation.encoder import Tokens
from moderation.finetuning.learning import descend
from moderation.finetuning.network import SEED
from moderation.finetuning.restore import embeddings
from moderation.finetuning.samples import Sample, Samples, batches
from moderation.finetuning.stages import ROUTING
from moderation.router import WIDTH

EMBEDDED, HIDDEN, LAYERS = 64, 128, 2
EPOCHS = 4
LEARNING_RATE, EMBEDDING_RATE = 2e-3, 3e-3
BATCH_TOKENS = 8192
HIGHEST_LOGIT = 8.0
"""What the encoder says is cut off there: how sure it is beyond does not matter."""
LOGIT_SHARE = 0.05
"""Weight of the squared error of the logits beside the loss on the probabilities."""
ANY_SHARE = 3.0
"""How much the output counts that any guideline is broken, beside each guideline's."""
_LABELLED_AT_ONCE = 2000

Report = Callable[[str], None]


class RouterNetwork(nn.Module):
    """What `moderation.router.Convolutions` computes, for whole batches of one sentence each.

    Parameters
    ----------
    words
        Shape (n_pieces, n): what the embeddings begin as; the first, of what fills a batch up, is none.
    """

    def __init__(self, words: torch.Tensor) -> None:
        super().__init__()
        width = words.shape[1]
        self.words = nn.Embedding.from_pretrained(words, freeze=False, padding_idx=0)
        with torch.no_grad():
            self.words.weight[0] = 0
        self.layers = nn.ModuleList(
            nn.Conv1d(HIDDEN if number else width, HIDDEN, WIDTH, padding=WIDTH // 2) for number in range(LAYERS)
        )
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(2 * HIDDEN, HIDDEN)
        self.out = nn.Linear(HIDDEN, len(OUTPUTS))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Give the logits, (n, n_outputs); ``ids`` is (n, n_tokens), filled up with 0."""
        real = (ids != 0).float().unsqueeze(1)
        hidden = self.drop(self.words(ids)).transpose(1, 2)
        for number, layer in enumerate(self.layers):
            read = torch.relu(layer(hidden)) * real
            hidden = hidden + read if number else read
        # After a rectifier nothing is below what fills up.
        pooled = torch.cat([hidden.amax(2), hidden.sum(2) / real.sum(2).clamp(min=1).sqrt()], 1)
        logits: torch.Tensor = self.out(self.drop(torch.relu(self.head(pooled))))
        return logits

    def arrays(self) -> dict[str, Array]:
        """Give the arrays that `Convolutions` takes, the embeddings in 8 bits."""
        words = self.words.weight.detach().numpy()
        scales = np.maximum(np.abs(words).max(axis=1), 1e-6).astype(np.float32) / 127
        found = {"words": np.rint(words / scales[:, None]).astype(np.int8), "scales": scales}
        for number, layer in enumerate(self.layers):
            weight = layer.get_parameter("weight").detach().permute(2, 1, 0)  # (WIDTH, n_in, HIDDEN)
            found[f"weights_{number}"] = weight.reshape(-1, HIDDEN).numpy()
            found[f"bias_{number}"] = layer.get_parameter("bias").detach().numpy()
        for name, part in (("head", self.head), ("out", self.out)):
            found |= {name: part.weight.detach().T.numpy(), f"{name}_bias": part.bias.detach().numpy()}
        return {name: np.ascontiguousarray(array) for name, array in found.items()}


def learn_router(samples: Samples, network: Path, report: Report, seed: int = SEED) -> dict[str, Array]:
    """Give the arrays of the router's network, taught by an encoder; twenty minutes on two cores.

    Parameters
    ----------
    network
        The encoder's ONNX file; the main directions of its embeddings are what the router's begin as.

    Raises
    ------
    ModelError
        When the file cannot be read.
    """
    drawn = [sample for sample in samples.draw(ROUTING, seed) if len(sample.ids) > 2]
    taught: list[Sample] = []
    for logits in _said(network, drawn):
        kept = torch.sigmoid(torch.from_numpy(logits).clamp(-HIGHEST_LOGIT, HIGHEST_LOGIT))
        read = drawn[len(taught) : len(taught) + len(kept)]
        taught += [replace(sample, labels=tuple(row)) for sample, row in zip(read, kept.tolist(), strict=True)]
        report(f"router: the encoder has read {len(taught)} of {len(drawn)} comments")
    torch.manual_seed(seed)
    router = RouterNetwork(_begun(embeddings(network)))
    _learn(router, taught, report, seed)
    return router.arrays()


def _said(network: Path, samples: Sequence[Sample]) -> Iterator[Array]:
    """Give the encoder's logits of the samples, a part after another, shape (n_samples, n_outputs)."""
    import joblib

    parts = [
        [sample.ids for sample in samples[start : start + _LABELLED_AT_ONCE]]
        for start in range(0, len(samples), _LABELLED_AT_ONCE)
    ]
    calls = (joblib.delayed(_said_of)(network, part) for part in parts)
    found: Iterator[Array] = joblib.Parallel(n_jobs=-1, return_as="generator")(calls)
    return found


def _said_of(network: Path, rows: Sequence[tuple[int, ...]]) -> Array:
    return np.array([_network(network).run(Tokens(ids, ()))[0] for ids in rows])


@lru_cache(maxsize=1)
def _network(file: Path) -> encoder.Network:
    return encoder.Network(file.read_bytes())


def _begun(words: torch.Tensor) -> torch.Tensor:
    """Give the embeddings' main directions, shape (n_pieces, EMBEDDED)."""
    words = words - words.mean(0)
    _, _, directions = torch.linalg.svd(words, full_matrices=False)
    begun = words @ directions[:EMBEDDED].T
    return begun / begun.std() / 2


def _learn(network: RouterNetwork, samples: Sequence[Sample], report: Report, seed: int) -> None:
    chance = random.Random(f"{seed} router")
    todo = [
        batch for _ in range(EPOCHS) for batch in batches(chance.sample(samples, len(samples)), chance, BATCH_TOKENS)
    ]
    embedded = [network.words.weight]
    others = [value for name, value in network.named_parameters() if name != "words.weight"]
    groups = [{"params": embedded, "lr": EMBEDDING_RATE}, {"params": others, "lr": LEARNING_RATE}]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, [EMBEDDING_RATE, LEARNING_RATE], total_steps=len(todo))
    share = torch.tensor([ANY_SHARE] + [1.0] * (len(OUTPUTS) - 1))
    mean = 0.0
    for number, batch in enumerate(todo, 1):
        ids = nn.utils.rnn.pad_sequence([torch.tensor(sample.ids[1:-1]) for sample in batch], batch_first=True)
        said = torch.tensor([sample.labels for sample in batch])
        weight = torch.tensor([sample.weight for sample in batch])
        logits = network(ids)
        by_label = nn.functional.binary_cross_entropy_with_logits(logits, said, reduction="none")
        by_label = by_label + LOGIT_SHARE * (logits - torch.logit(said)) ** 2
        loss = (by_label * share).sum(1) @ weight / weight.sum()
        mean += (descend(network, loss, optimiser, schedule) - mean) / min(number, 100)
        if number % 200 == 0:
            report(f"router: batch {number} of {len(todo)}, loss {mean:.4f}")
