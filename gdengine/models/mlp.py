"""The multi-layer perceptron."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from .. import functional as F
from .. import nn
from ..tensor import Tensor


class MLP(nn.Module):
    """Linear layers with an activation between them: ``MLP([64, 256, 256, 10])`` maps ``(..., 64)`` to ``(..., 10)``.

    Args:
        sizes: the widths, input first, output last; at least two.
        activation: ``"relu"`` or ``"gelu"``.
    """

    def __init__(self, sizes: Sequence[int], activation: str = "relu"):
        super().__init__()
        if len(sizes) < 2:
            raise ValueError(f"an MLP needs at least an input and an output size, got {list(sizes)}")
        if activation not in ("relu", "gelu"):
            raise ValueError(f"activation must be 'relu' or 'gelu', got {activation!r}")
        self.activation = activation
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, x: Any) -> Tensor:
        layers = list(self.layers)
        if all(type(layer) is nn.Linear and layer._hooks is None for layer in layers):
            return F.mlp(x, [(layer.weight, layer.bias) for layer in layers], activation=self.activation)
        for layer in layers[:-1]:
            x = layer(x, activation=self.activation)
        return layers[-1](x)
