import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moderation import ModelError
from moderation import model as models
from moderation.classifier import OUTPUTS
from moderation.encoder import EncoderClassifier
from moderation.linear import LinearClassifier
from moderation.model import (
    FORMAT,
    LINEAR,
    NETWORK,
    ROUTER,
    STACKING,
    TOKENISER,
    default_model,
    load,
    save_linear,
    write_manifest,
)
from moderation.normalise import Words, fold
from moderation.router import Router

N = len(OUTPUTS)
DOUBT = np.linspace(-0.5, 0.5, 2 * N + 4, dtype=np.float32)
FILES = (LINEAR, NETWORK, TOKENISER, STACKING, ROUTER)
COMMENTS = [fold(text, Words(())) for text in ("You idiot.", "", "What a thoughtful article. Thanks!")]


def arrays(seed: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    source = np.random.default_rng(seed)
    weights = source.normal(size=(256, N)).astype(np.float16)
    calibration = np.stack([source.uniform(0.2, 2, N), source.normal(size=N)], axis=1).astype(np.float32)
    return weights, source.normal(size=N).astype(np.float32), calibration


def convolved() -> dict[str, Any]:
    """The arrays of a router's network of one convolution, which reads 9 word pieces."""
    source = np.random.default_rng(6)
    shapes = {"weights_0": (6, 3), "bias_0": 3, "head": (6, 3), "head_bias": 3, "out": (3, N), "out_bias": N}
    found = {name: source.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return found | {"words": np.ones((9, 2), np.int8), "scales": np.ones(9, np.float32)}


def written(folder: Path) -> Path:
    """Write a model with both stages; its network and tokeniser are read when they are first used, not before."""
    save_linear(folder, *arrays())
    (folder / NETWORK).write_bytes(b"no network")
    (folder / TOKENISER).write_bytes(b"no tokeniser")
    stacking = np.ones((N, 2 * N + 1), np.float32)
    np.savez(
        folder / STACKING, stacking=stacking, shift=np.zeros(N), bar=0.25, gap=0.5, first=DOUBT[: N + 3], doubt=DOUBT
    )
    np.savez(folder / ROUTER, **convolved())
    write_manifest(folder, FILES)
    return folder


Change = Callable[[Path], object]


def with_manifest(**changes: object) -> Change:
    def change(folder: Path) -> None:
        file = folder / "manifest.json"
        file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes), encoding="utf-8")

    return change


def with_file(name: str, content: bytes) -> Change:
    """Replace a file and its digest, as someone would who made the model."""

    def change(folder: Path) -> None:
        (folder / name).write_bytes(content)
        write_manifest(folder, FILES)

    return change


def with_array(name: str, **changed: object) -> Change:
    def change(folder: Path) -> None:
        with np.load(folder / name) as found:
            np.savez(folder / name, **(dict(found) | changed))
        write_manifest(folder, FILES)

    return change


def without_array(name: str, gone: str) -> Change:
    def change(folder: Path) -> None:
        with np.load(folder / name) as found:
            np.savez(folder / name, **{key: value for key, value in found.items() if key != gone})
        write_manifest(folder, FILES)

    return change


def flip_a_bit(name: str) -> Change:
    def change(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)

    return change


def refusal(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load(folder)
    message = str(caught.value)
    assert str(folder) in message
    assert "\n" not in message
    return message


class Runs:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.file,)


# --------------------------------------------------------------------------- what loads


def test_linear_stage_comes_back_as_it_was(tmp_path: Path) -> None:
    save_linear(tmp_path / "random-5", *arrays())
    model = load(tmp_path / "random-5")
    expected = LinearClassifier("random-5", *arrays())
    assert (model.version, model.linear.version, model.linear.bits) == ("random-5", "random-5", 8)
    assert (model.linear.score(COMMENTS) == expected.score(COMMENTS)).all()
    assert model.linear.evidence(COMMENTS[0], "any") == expected.evidence(COMMENTS[0], "any")
    assert (model.router, model.encoder) == (None, None)
    assert model.cascade == (model.linear, None)


def test_both_stages_come_back(tmp_path: Path) -> None:
    model = load(written(tmp_path / "random-5"))
    assert isinstance(model.encoder, EncoderClassifier)
    assert (model.linear.stage, model.encoder.stage) == ("linear", "encoder")
    assert model.version == model.linear.version == model.encoder.version == "random-5"
    assert (model.encoder.bar, model.encoder.gap) == (0.25, 0.5)
    assert isinstance(model.router, Router)
    assert (model.router.stage, model.router.version) == ("linear", "random-5")
    assert (model.router.score(COMMENTS) == model.linear.score(COMMENTS)).all()
    assert model.router.evidence(COMMENTS[0], "any") == model.linear.evidence(COMMENTS[0], "any")
    assert model.cascade == (model.router, model.encoder)


def test_manifest_names_every_file_with_its_digest(tmp_path: Path) -> None:
    folder = written(tmp_path / "random-5")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["format"], manifest["version"], manifest["outputs"]) == (FORMAT, "random-5", list(OUTPUTS))
    assert manifest["files"] == {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}


def test_same_arrays_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "random-5", tmp_path / "b" / "random-5"
    for folder in (first, second):
        save_linear(folder, *arrays())
    for name in (LINEAR, "manifest.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


@pytest.mark.parametrize(
    ("names", "newest"),
    [
        (["linear-1"], "linear-1"),
        (["linear-9", "linear-10"], "linear-10"),  # by number, not by letter
        (["cascade-2", "linear-1"], "cascade-2"),
        (["draft", "linear-1"], "linear-1"),  # one without a number is older than all
    ],
)
def test_default_model_is_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], newest: str
) -> None:
    monkeypatch.setattr(models, "MODELS", tmp_path)
    (tmp_path / "linear-99").mkdir()  # without a manifest it is none
    for name in names:
        save_linear(tmp_path / name, *arrays())
    assert default_model() == tmp_path / newest


def test_without_a_model_it_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "MODELS", tmp_path)
    with pytest.raises(ModelError, match=r"holds no model; run `moderation train`$"):
        default_model()


# --------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (flip_a_bit, "altered since it was trained; restore it or train again"),
        (lambda name: lambda folder: (folder / name).write_bytes(b""), "altered since it was trained"),
        (lambda name: lambda folder: (folder / name).unlink(), "no such file; name a folder that `moderation train`"),
    ],
    ids=["altered", "emptied", "missing"],
)
def test_every_file_is_checked(tmp_path: Path, name: str, change: Callable[[str], Change], problem: str) -> None:
    folder = written(tmp_path / "random-5")
    change(name)(folder)
    assert refusal(folder).startswith(f"{folder / name}: {problem}")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json: no such file; name a folder"),
        (lambda folder: (folder / "manifest.json").write_bytes(b"{"), "not a model"),
        (lambda folder: (folder / "manifest.json").write_bytes(b"\xff"), "not a model"),
        (lambda folder: (folder / "manifest.json").write_bytes(b"[]"), "not a model"),
        (lambda folder: (folder / "manifest.json").write_bytes(b"{}"), "not a model"),
        (with_manifest(format=1), f"format 1 is not {FORMAT}; train the model again"),
        (with_manifest(format=FORMAT + 1), f"format {FORMAT + 1} is not {FORMAT}; train the model again"),
        (with_manifest(outputs=["any"]), "train the model again"),
        (with_manifest(outputs=[*OUTPUTS[:-2], OUTPUTS[-1], OUTPUTS[-2]]), "train the model again"),
        (with_manifest(files=[LINEAR]), "not a model"),
        (with_manifest(files={}), "not a model"),
        (with_file(LINEAR, b"no arrays"), "not a model"),
        (with_file(STACKING, b"no arrays"), "not a model"),
        (with_array(LINEAR, weights=np.array([{"a": 1}], dtype=object)), "not a model"),
        (with_array(LINEAR, weights=np.zeros((16, N - 1))), "not a model"),
        (with_array(LINEAR, weights=np.zeros((15, N))), "not a model"),
        (with_array(LINEAR, weights=np.full((16, N), np.nan)), "weights that are no numbers"),
        (without_array(LINEAR, "bias"), "not a model"),
        (with_array(STACKING, stacking=np.zeros((N, 2))), "encoder.npz of shapes"),
        (with_array(STACKING, stacking=np.full((N, 2 * N + 1), np.inf)), "weights that are no numbers"),
        (with_array(STACKING, bar=np.zeros(2)), "encoder.npz of shapes"),
        (with_array(STACKING, doubt=np.zeros(N)), "encoder.npz of shapes"),
        (with_array(STACKING, first=np.zeros(N)), "encoder.npz of shapes"),
        (with_array(STACKING, bar=np.nan), "weights that are no numbers"),
        (without_array(STACKING, "stacking"), "not a model"),
        (without_array(STACKING, "bar"), "not a model"),
        (without_array(STACKING, "doubt"), "not a model"),
        (with_file(ROUTER, b"no arrays"), "not a model"),
        (without_array(ROUTER, "words"), "not a model"),
        (without_array(ROUTER, "weights_0"), "convolutions of shapes"),
        (without_array(ROUTER, "out_bias"), "not a model"),
        (with_array(ROUTER, scales=np.ones(8, np.float32)), "convolutions of shapes"),
        (with_array(ROUTER, weights_0=np.zeros((5, 3), np.float32)), "convolutions of shapes"),
        (with_array(ROUTER, out=np.zeros((3, N + 1), np.float32)), "convolutions of shapes"),
        (with_array(ROUTER, head_bias=np.full(3, np.nan, np.float32)), "weights that are no numbers"),
        (with_array(ROUTER, words=np.array([{"a": 1}], dtype=object)), "not a model"),
    ],
)
def test_model_that_cannot_be_used_is_refused(tmp_path: Path, change: Change, problem: str) -> None:
    folder = written(tmp_path / "random-5")
    change(folder)
    assert problem in refusal(folder)


@pytest.mark.parametrize("gone", [LINEAR, TOKENISER, STACKING, ROUTER])
def test_manifest_that_leaves_a_file_out_is_refused(tmp_path: Path, gone: str) -> None:
    folder = written(tmp_path / "random-5")
    write_manifest(folder, tuple(name for name in FILES if name != gone))
    assert "not a model" in refusal(folder)


def test_loading_runs_nothing_from_the_file(tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    folder = written(tmp_path / "random-5")
    with_array(LINEAR, bias=np.array([Runs(trap)], dtype=object))(folder)
    assert "allow_pickle=False" in refusal(folder)
    assert not trap.exists()
    # The trap works: read carelessly, the file runs.
    with np.load(folder / LINEAR, allow_pickle=True) as found:
        assert found["bias"] is not None
    assert trap.exists()
