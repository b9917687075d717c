"""Learn stage after stage; the state is saved as it goes, and a run that was cut off continues where it stood."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from moderation.classifier import OUTPUTS
from moderation.errors import ModerationError
from moderation.finetuning.network import SEED, Network, new_network
from moderation.finetuning.restore import restore
from moderation.finetuning.samples import Sample, Samples, batches
from moderation.finetuning.stages import STAGES, Stage

RATIONALE_SHARE = 1.0
"""Weight of the loss on the annotators' spans beside that on the labels."""
SAVE_EVERY_BATCHES = 200
_TAUGHT_AT_ONCE = 128

Report = Callable[[str], None]


def fine_tune(
    samples: Samples,
    work: Path,
    report: Report,
    earlier: Path | None = None,
    stages: Sequence[Stage] = STAGES,
    seed: int = SEED,
) -> Network:
    """Fine-tune through all stages; state is kept in ``work``, and a run that was cut off goes on from there.

    Parameters
    ----------
    earlier
        A model's ONNX file to fine-tune further, through the last stage alone.

    Raises
    ------
    ModerationError
        When the state in ``work`` or the earlier model cannot be read.
    """
    work.mkdir(parents=True, exist_ok=True)
    network = new_network()
    if earlier is not None:
        restore(network, earlier)
        stages = [replace(stages[-1], start=())]
    for stage in stages:
        done = work / f"{stage.name}.pt"
        if done.is_file():
            network.load_state_dict(_read(done))
            report(f"{stage.name}: taken from {done}")
            continue
        if stage.start:
            network.load_state_dict(_mean([_read(work / f"{name}.pt") for name in stage.start]))
        drawn = samples.draw(stage, seed)
        if stage.taught:
            report(f"{stage.name}: labelling {len(drawn)} comments")
            drawn = taught(network, drawn)
        _run(network, stage, drawn, work / f"{stage.name}.part.pt", report, seed)
        _write(network.state_dict(), done)
        (work / f"{stage.name}.part.pt").unlink(missing_ok=True)
    network.eval()
    return network


def _mean(states: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Give the mean of the weights of several states.

    Source: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022.
    """
    return {
        name: (sum(state[name].float() for state in states) / len(states)).to(first.dtype)
        for name, first in states[0].items()
    }


def taught(network: Network, samples: Sequence[Sample]) -> list[Sample]:
    """Give the samples with the public ones labelled by what the network says."""
    network.eval()
    found = list(samples)
    order = sorted((i for i, sample in enumerate(samples) if sample.public), key=lambda i: len(samples[i].ids))
    for start in range(0, len(order), _TAUGHT_AT_ONCE):
        places = order[start : start + _TAUGHT_AT_ONCE]
        ids, mask = _padded([samples[i].ids for i in places])
        with torch.no_grad(), halved():
            said = torch.sigmoid(network(ids, mask)[0].float()).tolist()
        for place, row in zip(places, said, strict=True):
            found[place] = replace(samples[place], labels=tuple(row))
    return found


def _run(network: Network, stage: Stage, samples: list[Sample], state: Path, report: Report, seed: int) -> None:
    torch.manual_seed(seed)
    todo = batches(samples, random.Random(f"{seed} {stage.name} batches"))
    optimiser = torch.optim.AdamW(_groups(network), lr=stage.learning_rate, fused=True)
    warm = max(1, len(todo) // 16)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warm, max(0.02, (len(todo) - step) / max(1, len(todo) - warm)))
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
        mean += (descend(network, _loss(network, batch), optimiser, schedule) - mean) / min(number, 100)
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


def descend(network: nn.Module, loss: torch.Tensor, optimiser: Any, schedule: Any) -> float:
    """Learn from one batch, and give its loss."""
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    optimiser.zero_grad()
    schedule.step()
    return float(loss.detach())


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
    ids, mask = _padded([sample.ids for sample in batch])
    marked = torch.full(ids.shape, -1.0)
    for row, sample in enumerate(batch):
        if sample.marked is not None:
            marked[row, : len(sample.ids)] = torch.tensor(sample.marked)
    labels = torch.tensor([sample.labels for sample in batch])
    weight = torch.tensor([sample.weight for sample in batch])
    with halved():
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


def halved() -> torch.autocast:
    """Compute in 16 bits where the processor can; others would emulate it, ten times slower than 32 bits."""
    able = torch.cpu.get_capabilities()
    return torch.autocast("cpu", torch.bfloat16, enabled=any(able.get(name) for name in ("avx512_bf16", "amx_bf16")))


def _padded(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Give token ids and which of them are real, both of shape (n_rows, n_tokens of the longest)."""
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
    return ids, mask


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
