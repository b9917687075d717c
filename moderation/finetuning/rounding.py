"""Learn with weights and inputs rounded as in the exported network, so that the rounding costs it little.

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
CVPR 2018, https://arxiv.org/abs/1712.05877 (simulated quantization, gradients passed straight through).
"""

import torch
from torch import nn

WEIGHT_STEPS = 64
"""Steps on either side of zero: 8 bits with a sign, of which `moderation.finetuning.export` leaves one free."""
STEPS = 255
"""From the lowest value to the highest: 8 bits without a sign, as inputs and word vectors have."""
_SMALLEST = 1e-8


class RoundedLinear(nn.Linear):
    """A product that rounds its weights by output and its input by comment while it learns."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Give the product; of exact numbers once it has learned."""
        if not self.training:
            return super().forward(input)
        largest = self.weight.detach().abs().amax(1, keepdim=True)
        step = largest.clamp(min=_SMALLEST) / WEIGHT_STEPS
        weight = _straight_through(self.weight, torch.round(self.weight / step) * step)
        input = input.float()
        every = tuple(range(1, input.dim()))
        low, high = input.detach().amin(every, keepdim=True), input.detach().amax(every, keepdim=True)
        return nn.functional.linear(_between(input, low, high), weight, self.bias)


class RoundedWords(nn.Embedding):
    """The vectors of the words, rounded all alike while they are learned."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Give the vectors."""
        found = super().forward(input)
        weight = self.weight.detach()
        return _between(found, weight.amin(), weight.amax()) if self.training else found


def round_while_learning(network: nn.Module) -> None:
    """Have all products and word vectors of a network round while it learns; the names of its weights stay."""
    for name, module in network.named_modules():
        if type(module) is nn.Linear:
            module.__class__ = RoundedLinear
        elif name.endswith("word_embeddings"):
            module.__class__ = RoundedWords


def _between(values: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Give values rounded to 8 bits without a sign, which reach from the lowest to the highest and hold zero."""
    low = low.clamp(max=0)
    step = ((high.clamp(min=0) - low) / STEPS).clamp(min=_SMALLEST)
    zero = torch.round(-low / step)
    return _straight_through(values, (torch.round(values / step + zero).clamp(0, STEPS) - zero) * step)


def _straight_through(values: torch.Tensor, rounded: torch.Tensor) -> torch.Tensor:
    """Give the rounded values with the gradient of those that were not."""
    return values + (rounded - values).detach()
