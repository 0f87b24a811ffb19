"""Rotary position embedding (Su et al. 2021, equation 34): pairs of elements turned by an angle of the position.

    y_a = x_a · cos θ − x_b · sin θ        y_b = x_b · cos θ + x_a · sin θ        θ = position · base^(−2k/R)

for the pairs (a, b) of the first R elements, k = 0 … R/2 − 1: ``interleaved`` pairs neighbours, (2k, 2k + 1), as the
paper and GPT-J do; else halves, (k, k + R/2), as GPT-NeoX and LLaMA do. Elements from R on stay.

Shapes: x, y ``(M, T, D)``; cos, sin ``(T, R/2)`` with R ≤ D. All arrays are of one dtype, but for bfloat16 x, whose cos
and sin are float32.
"""

from typing import Any

from ..dispatch import select


def rotate(x: Any, cos: Any, sin: Any, *, interleaved: bool = False, inverse: bool = False) -> Any:
    """y, a new array. ``inverse`` turns by −θ, which is the gradient: a rotation's transpose is its inverse.

    Raises:
        ValueError: the shapes do not fit.
    """
    if cos.ndim != 2 or cos.shape[0] != x.shape[1] or 2 * cos.shape[1] > x.shape[2] or sin.shape != cos.shape:
        raise ValueError(f"rotary wants cos and sin of shape ({x.shape[1]}, R/2), got {cos.shape} and {sin.shape}")
    return select(__name__, x).rotate(x, cos, sin, interleaved=interleaved, inverse=inverse)
