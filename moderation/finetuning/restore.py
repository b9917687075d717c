"""Give a network the weights of a model's ONNX file, to fine-tune it further."""

from pathlib import Path

import torch

from moderation.classifier import OUTPUTS
from moderation.errors import ModelError
from moderation.finetuning.export import Passage
from moderation.finetuning.network import Network


def restore(network: Network, file: Path) -> None:
    """Set the weights to those that `export` wrote to ``file``, which 8 bits have rounded.

    Raises
    ------
    ModelError
        When the file cannot be read or holds another network.
    """
    arrays = _arrays(file)
    body, width = network.body, network.body.config.hidden_size
    # `Passage` shares the network's parts, and the file has their names; what it makes of some is undone below.
    shared = {
        name: value
        for name, value in Passage(network).named_parameters()
        if not name.startswith(("joined.", "places")) and ".attention.self." not in name
    }
    try:
        with torch.no_grad():
            for name, value in shared.items():
                value.copy_(arrays[name])
            body.embeddings.position_embeddings.weight.copy_(arrays["places"])
            body.embeddings.token_type_embeddings.weight.zero_()
            for number, layer in enumerate(body.encoder.layer):
                attention = layer.attention.self
                scale = (width // body.config.num_attention_heads) ** -0.5
                for kind in ("weight", "bias"):
                    query, key, value = arrays[f"joined.{number}.{kind}"].split(width)
                    getattr(attention.query, kind).copy_(query / scale)
                    getattr(attention.key, kind).copy_(key)
                    getattr(attention.value, kind).copy_(value)
    except (KeyError, RuntimeError, ValueError) as error:
        raise ModelError(f"{file}: not a network of {len(OUTPUTS)} outputs as we export it ({error})") from error


def embeddings(file: Path) -> torch.Tensor:
    """Give the embeddings of a model's ONNX file, shape (n_pieces, width).

    Raises
    ------
    ModelError
        When the file cannot be read.
    """
    return _arrays(file)["words.weight"].float()


def _arrays(file: Path) -> dict[str, torch.Tensor]:
    """Give the network's arrays by the names of the parts of `Passage`, none of 8 bits any more."""
    import onnx
    from onnx.numpy_helper import to_array

    try:
        graph = onnx.load(str(file)).graph
    except Exception as error:  # The parser's errors have no common parent but this.
        raise ModelError(f"{file}: not a network ({error}); restore the model") from error
    raw = {entry.name: torch.tensor(to_array(entry)) for entry in graph.initializer}
    found = {}
    for name, value in raw.items():
        if name.endswith("_quantized"):
            stem = name.removesuffix("_quantized")
            whole = (value.float() - raw[f"{stem}_zero_point"].float()) * raw[f"{stem}_scale"]
            # A product whose input is one row loses its name: it is the head's.
            short = stem.removesuffix("_Transposed") if "." in stem else "head.weight"
            found[short] = whole if short == "words.weight" else whole.T
        else:
            found[name] = value
    return found
