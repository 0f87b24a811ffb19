"""The sigmoid-weighted linear unit (Elfwing et al. 2017, "Sigmoid-Weighted Linear Units"), also called swish.

    silu(x) = x·σ(x),    σ(x) = 1 / (1 + e^−x)
    silu'(x) = σ(x)·(1 + x·(1 − σ(x)))

Any shape, any float dtype.
"""

from typing import Any

from ..dispatch import select


def forward(x: Any) -> Any:
    """silu(x), elementwise; a new array."""
    return select(__name__, x).forward(x)


def backward(dy: Any, x: Any) -> Any:
    """dX = dY ⊙ silu'(x); a new array. ``x`` is what `forward` was given."""
    return select(__name__, dy).backward(dy, x)
