"""The gate of a language model's feed-forward layer (Shazeer 2020, "GLU Variants Improve Transformer").

    y = silu(a) ⊙ b,    silu(a) = a·σ(a)

Shapes: a, b and y are of one shape, any; any float dtype. Apart, silu and the product read and write five arrays of
that size forward, and nine backward; here it is three, and five, and nothing but a and b is kept.
"""

from typing import Any

from ..dispatch import select


def forward(a: Any, b: Any) -> Any:
    """silu(a) ⊙ b, elementwise; a new array."""
    return select(__name__, a).forward(a, b)


def backward(dy: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """dA = dY ⊙ b ⊙ silu'(a) and dB = dY ⊙ silu(a); new arrays. ``a`` and ``b`` are what `forward` was given."""
    return select(__name__, dy).backward(dy, a, b)
