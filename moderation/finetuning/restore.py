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
    passage = Passage(network)
    # What `export` names: the parts of `Passage`, but for the joined products and the places, in the body's own order.
    own = {name: value for name, value in passage.named_parameters() if not name.startswith(("joined.", "places"))}
    try:
        with torch.no_grad():
            for name, value in own.items():
                unused = name.startswith("layers.") and ".attention.self." in name
                if not unused:
                    value.copy_(arrays[name])
            body.embeddings.position_embeddings.weight.copy_(arrays["places"])
            body.embeddings.token_type_embeddings.weight.zero_()
            for number, layer in enumerate(body.encoder.layer):
                attention = layer.attention.self
                scale = (width // body.config.num_attention_heads) ** -0.5
                for kind in ("weight", "bias"):
                    parts = arrays[f"joined.{number}.{kind}"].split(width)
                    for linear, part, by in zip(
                        (attention.query, attention.key, attention.value), parts, (scale, 1.0, 1.0), strict=True
                    ):
                        getattr(linear, kind).copy_(part / by)
    except (KeyError, RuntimeError, ValueError) as error:
        raise ModelError(f"{file}: not a network of {len(OUTPUTS)} outputs as we export it ({error})") from error


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
