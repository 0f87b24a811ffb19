"""The Gaussian error linear unit in its tanh form (Hendrycks and Gimpel 2016, section 2), as GPT-2 uses it.

    gelu(x) = x/2 · (1 + tanh(√(2/π) · (x + 0.044715·x³)))

Any shape, any float dtype.
"""

from typing import Any

from ..dispatch import select


def forward(x: Any) -> Any:
    """gelu(x), elementwise; a new array."""
    return select(__name__, x).forward(x)


def backward(dy: Any, x: Any) -> Any:
    """dX = dY ⊙ gelu'(x); a new array. ``x`` is what `forward` was given."""
    return select(__name__, dy).backward(dy, x)
