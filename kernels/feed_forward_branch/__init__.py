"""A branch of a transformer that is added to what it reads: Y = X + act(norm(X)·W₁ᵀ + b₁)·W₂ᵀ + b₂.

The norm is `gdengine.kernels.layer_norm`, the rest `gdengine.kernels.linear`; in one pass, for the CPU, where a core
then keeps its rows in its own cache from the norm to the sum.

Shapes: X, Y ``(..., C)``; ``norm`` is ``(w, b)``, both ``(C,)``, b or None; ``fc`` is ``(W₁, b₁)``, ``(N, C)`` and
``(N,)`` or None; ``proj`` is ``(W₂, b₂)``, ``(C, N)`` and ``(C,)`` or None. All arrays are of one dtype.
"""

from typing import Any

from ..dispatch import select
from ..linear import ACTIVATIONS as OF_LINEAR

ACTIVATIONS = OF_LINEAR[1:]

Affine = tuple[Any, Any]
Gradients = tuple[Any, Any, Any, Any, Any, Any, Any]


def suits(x: Any, w: Any) -> bool:
    """Whether there is an implementation that is faster than the operations one after the other, for this X and W₁."""
    implementation = select(__name__, x)
    return hasattr(implementation, "suits") and implementation.suits(x, w)


def forward(x: Any, norm: Affine, fc: Affine, proj: Affine, *, activation: str, eps: float = 1e-5) -> tuple[Any, Any]:
    """Returns ``(y, saved)``; ``saved`` is for `backward` alone."""
    return select(__name__, x).forward(x, norm, fc, proj, activation=activation, eps=eps)


def backward(
    dy: Any,
    x: Any,
    saved: Any,
    norm: Affine,
    fc: Affine,
    proj: Affine,
    *,
    activation: str,
    out: Gradients,
    accumulate: tuple[bool, ...] = (False,) * 7,
) -> None:
    """All gradients, into ``out``: of X, the norm's w and b, W₁, b₁, W₂, b₂; None for one that is not asked for.

    ``accumulate`` says for each whether to add to what the array holds. The arrays are apart from each other.
    """
    select(__name__, dy).backward(dy, x, saved, norm, fc, proj, activation=activation, out=out, accumulate=accumulate)
