"""Affine maps one after the other, with an activation between them: a multi-layer perceptron, forward and back.

    H₀ = X        Hᵢ = act(Hᵢ₋₁·Wᵢᵀ + bᵢ)        Y = Hₙ₋₁·Wₙᵀ + bₙ + residual

Shapes: X ``(M, K₀)``, Wᵢ ``(Kᵢ, Kᵢ₋₁)``, bᵢ ``(Kᵢ,)`` or None, Y and ``residual`` ``(M, Kₙ)``; ``layers`` are the
pairs ``(Wᵢ, bᵢ)``. All arrays are of one dtype, but for bfloat16, where dW and db are float32. In `kernels.linear` an
activation's gradient is computed in the pass of the layer above it, so that dHᵢ never stands in memory.
"""

from typing import Any

from ..dispatch import select
from ..linear import ACTIVATIONS as OF_LINEAR

ACTIVATIONS = OF_LINEAR[1:]

Layers = tuple[tuple[Any, Any], ...]


def forward(x: Any, layers: Layers, *, activation: str, residual: Any = None) -> tuple[Any, Any]:
    """Returns ``(y, saved)``; ``saved`` is for `backward` alone."""
    return select(__name__, x).forward(x, layers, activation=activation, residual=residual)


def backward(
    dy: Any,
    x: Any,
    saved: Any,
    layers: Layers,
    *,
    activation: str,
    out: tuple[Any, ...],
    accumulate: tuple[bool, ...],
) -> None:
    """Gradients into ``out``: of X, W₁, b₁, …, Wₙ, bₙ; None for one that is not asked for.

    ``accumulate`` says for each whether to add to what the array holds. An array may be given more than once: it is
    written for the last layer first, and for X last.
    """
    select(__name__, dy).backward(dy, x, saved, layers, activation=activation, out=out, accumulate=accumulate)
