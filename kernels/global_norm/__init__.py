"""The sum of squares of a vector, in float64, in a fixed order: what a gradient's norm and its finite check need.

For float32 input the sum is finite exactly when every element is: the largest possible square, 1.2e77, leaves room for
more elements in a float64 than any memory holds. It moves 4 bytes an element.
"""

from typing import Any

from ..dispatch import select


def sum_of_squares(g: Any) -> float:
    """Σ g[i]², every square and sum in float64; ``g`` is a vector."""
    return select(__name__, g).sum_of_squares(g)
