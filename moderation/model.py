"""A model folder: the stages' files and the manifest that they are checked against."""

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from moderation.classifier import OUTPUTS, Array, Classifier
from moderation.encoder import EncoderClassifier, Network, Tokeniser
from moderation.errors import ModelError
from moderation.linear import LinearClassifier
from moderation.paths import MODELS
from moderation.router import Convolutions, Router

FORMAT = 6
LINEAR, NETWORK, TOKENISER, STACKING, ROUTER = (
    "linear.npz",
    "encoder.onnx",
    "tokenizer.json",
    "encoder.npz",
    "router.npz",
)
"""Files of a model: those after the first only where it has an encoder."""


@dataclass(frozen=True, slots=True)
class Model:
    """The stages of one model; ``router`` and ``encoder`` are None where it was trained without.

    Parameters
    ----------
    digest
        SHA-256 of the manifest, which has the digests of all files.
    """

    linear: LinearClassifier
    router: Router | None
    encoder: EncoderClassifier | None
    digest: str = ""

    @property
    def cascade(self) -> tuple[Classifier, Classifier | None]:
        """What a `Moderator` takes: the router and the encoder, or the linear stage alone where there is none."""
        return (self.linear, None) if self.router is None else (self.router, self.encoder)

    @property
    def version(self) -> str:
        """Name and version, as decisions carry it."""
        return self.linear.version


def default_model() -> Path:
    """Give the folder of the model that ships with the package: the newest there.

    Raises
    ------
    ModelError
        When there is none.
    """
    folders = sorted((path.parent for path in MODELS.glob("*/manifest.json")), key=_natural)
    if not folders:
        raise ModelError(f"{MODELS}: holds no model; run `moderation train`")
    return folders[-1]


def _natural(folder: Path) -> tuple[int, str]:
    name, _, version = folder.name.rpartition("-")
    return int(version) if version.isdecimal() else -1, name


def save_linear(folder: Path, weights: Array, bias: Array, calibration: Array) -> None:
    """Write the linear stage's arrays, and a manifest of a model without an encoder."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        folder / LINEAR, weights=weights.astype(np.float16), bias=bias.astype(np.float32), calibration=calibration
    )
    write_manifest(folder, (LINEAR,))


def write_manifest(
    folder: Path, files: tuple[str, ...], continued: str | None = None, stages_of: str | None = None
) -> None:
    """Write the digests that `load` checks; the folder's name is the model's version.

    Parameters
    ----------
    continued
        Version of the model whose encoder was fine-tuned further.
    stages_of
        Version of the model whose stages were kept, and only what follows from their scores fitted anew.
    """
    manifest = {
        "format": FORMAT,
        "version": folder.name,
        "outputs": list(OUTPUTS),
        "continued": continued,
        "stages_of": stages_of,
        "files": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def origin(folder: Path, key: str) -> str | None:
    """Give what the manifest says under ``continued`` or ``stages_of``, see `write_manifest`."""
    found: str | None = json.loads((folder / "manifest.json").read_text(encoding="utf-8")).get(key)
    return found


def load(folder: Path) -> Model:
    """Load a model; only arrays, a network graph and a word list are read, and no code from the files is run.

    Raises
    ------
    ModelError
        When a file is missing, differs from its digest in the manifest, or has another format.
    """
    try:
        return _loaded(folder, (folder / "manifest.json").read_bytes())
    except FileNotFoundError as error:
        raise ModelError(f"{error.filename}: no such file; name a folder that `moderation train` wrote") from error
    except (AttributeError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile, OSError) as error:
        raise ModelError(f"{folder}: not a model ({error}); name a folder that `moderation train` wrote") from error


@lru_cache(maxsize=1)
def _loaded(folder: Path, raw_manifest: bytes) -> Model:
    manifest, told = json.loads(raw_manifest), hashlib.sha256(raw_manifest).hexdigest()
    if manifest["format"] != FORMAT or manifest["outputs"] != list(OUTPUTS):
        raise ModelError(f"{folder}: format {manifest['format']} is not {FORMAT}; train the model again")
    raw = {name: _checked(folder / name, digest) for name, digest in manifest["files"].items()}
    weights, bias, calibration = _arrays(raw[LINEAR], ("weights", "bias", "calibration"))
    _check_shapes(weights, bias, calibration)
    if NETWORK not in raw:
        return Model(LinearClassifier(manifest["version"], weights, bias, calibration), None, None, told)
    second = _arrays(raw[STACKING], ("stacking", "shift", "bar", "gap", "first", "doubt"))
    size = len(OUTPUTS)
    shapes = [array.shape for array in second]
    if shapes != [(size, 2 * size + 1), (size,), (), (), (size + 3,), (2 * size + 4,)]:
        raise ValueError(f"{STACKING} of shapes {shapes}")
    stacking, shift, bar, gap, first, doubt = second
    linear = LinearClassifier(manifest["version"], weights, bias, calibration)
    network, tokeniser = Network(raw[NETWORK]), Tokeniser(raw[TOKENISER])
    router = Router(linear, convolutions(raw[ROUTER]), tokeniser, first, doubt)
    return Model(
        linear,
        router,
        EncoderClassifier(linear, network, tokeniser, stacking, shift, float(bar), float(gap), router.passage),
        told,
    )


def _checked(file: Path, digest: str) -> bytes:
    raw = file.read_bytes()
    if hashlib.sha256(raw).hexdigest() != digest:
        raise ModelError(f"{file}: altered since it was trained; restore it or train again")
    return raw


def convolutions(raw: bytes) -> Convolutions:
    """Read the router's network from the bytes of its file.

    Raises
    ------
    KeyError, ValueError, EOFError, BadZipFile, OSError
        When they hold none.
    """
    with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
        return Convolutions({name: arrays[name] for name in arrays.files})


def _arrays(raw: bytes, names: tuple[str, ...]) -> list[Array]:
    with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
        found = [arrays[name] for name in names]
    if any(np.isnan(array).any() or np.isposinf(array).any() for array in found):
        raise ValueError("weights that are no numbers")
    return [array if array.dtype == np.float16 else array.astype(np.float32) for array in found]


def _check_shapes(weights: Array, bias: Array, calibration: Array) -> None:
    rows, outputs = weights.shape
    if outputs != len(OUTPUTS) or rows & (rows - 1) or bias.shape != (outputs,) or calibration.shape != (outputs, 2):
        raise ValueError(f"arrays of shapes {weights.shape}, {bias.shape}, {calibration.shape}")
