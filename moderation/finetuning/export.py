"""Write the fine-tuned encoder as ONNX with 8-bit weights, for the run-time stage."""

import tempfile
from pathlib import Path

import torch
from torch import nn

from moderation.finetuning.network import Network


class Passage(nn.Module):
    """The network as it reads one passage at a time: the same sums, without padding and with fewer steps.

    Query, key and value are one product, and the query's scale is in its weights; that takes less time.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        body = network.body
        self.heads = body.config.num_attention_heads
        self.width = body.config.hidden_size
        self.words = body.embeddings.word_embeddings
        # A comment is one segment, so the first segment's vector is everywhere.
        segment = body.embeddings.token_type_embeddings.weight[0]
        self.places = nn.Parameter(body.embeddings.position_embeddings.weight + segment)
        self.norm = body.embeddings.LayerNorm
        self.layers = body.encoder.layer
        self.joined = nn.ModuleList(self._joined(layer.attention.self) for layer in self.layers)
        self.token, self.head = network.token, network.head

    def _joined(self, attention: nn.Module) -> nn.Linear:
        scale = (self.width // self.heads) ** -0.5
        query, key, value = (attention.get_submodule(name) for name in ("query", "key", "value"))
        joined = nn.Linear(self.width, 3 * self.width)
        with torch.no_grad():
            joined.weight.copy_(torch.cat([query.weight * scale, key.weight, value.weight]))
            joined.bias.copy_(torch.cat([query.bias * scale, key.bias, value.bias]))
        return joined

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the logits of the outputs, (n_outputs,), and of the tokens, (n_tokens,); ``ids`` is (n_tokens,)."""
        hidden = self.norm(self.words(ids) + self.places[: ids.shape[0]])
        for joined, layer in zip(self.joined, self.layers, strict=True):
            split = joined(hidden).reshape(-1, 3, self.heads, self.width // self.heads)
            query, key, value = split[:, 0].transpose(0, 1), split[:, 1].permute(1, 2, 0), split[:, 2].transpose(0, 1)
            read = (torch.softmax(query @ key, -1) @ value).transpose(0, 1).reshape(-1, self.width)
            hidden = layer.attention.output.LayerNorm(layer.attention.output.dense(read) + hidden)
            wide = nn.functional.gelu(layer.intermediate.dense(hidden))
            hidden = layer.output.LayerNorm(layer.output.dense(wide) + hidden)
        tokens = self.token(hidden)
        pooled = torch.cat([hidden.mean(0), (torch.softmax(tokens, 0) * hidden).sum(0)])
        return self.head(pooled), tokens[:, 0]


def export(network: Network, target: Path) -> None:
    """Write the network as ONNX with 8-bit weights, of which one bit is left free.

    Processors without VNNI add two products in 16 bits, and with all bits in use they overflow there: what the network
    says would depend on the machine.

    Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html (dynamic).
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    tokens = {0: "tokens"}
    with tempfile.TemporaryDirectory() as folder:
        whole, ready = f"{folder}/whole.onnx", f"{folder}/ready.onnx"
        torch.onnx.export(
            Passage(network).eval(),
            (torch.ones(8, dtype=torch.long),),
            whole,
            input_names=["ids"],
            output_names=["logits", "tokens"],
            dynamic_axes={"ids": tokens, "tokens": tokens},
            opset_version=17,
            dynamo=False,
        )
        quant_pre_process(whole, ready, skip_symbolic_shape=True)
        quantize_dynamic(ready, str(target), weight_type=QuantType.QInt8, per_channel=True, reduce_range=True)
