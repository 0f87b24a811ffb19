"""Smooth functions of each element beyond `elementwise`'s: trigonometric ones, erf, ones that keep small digits."""

import math
from typing import Any

import numpy as np

from ..kernels.common.erf import erf as erf_of
from ..tensor import Tensor, as_tensor, record
from .elementwise import floating, over


def sin(x: Any) -> Tensor:
    """sin x, x in radians. Backward: dy ⊙ cos x."""
    x = floating(x)
    array = x._array
    return record("sin", np.sin(array), (x,), lambda dy: (dy * np.cos(array),), keeps=(x,))


def cos(x: Any) -> Tensor:
    """cos x, x in radians. Backward: −dy ⊙ sin x."""
    x = floating(x)
    array = x._array
    return record("cos", np.cos(array), (x,), lambda dy: (-dy * np.sin(array),), keeps=(x,))


def erf(x: Any) -> Tensor:
    """The error function, 2/√π · ∫₀ˣ e^(−t²) dt, good to the last digits: see `gdengine.kernels.common.erf`.

    Backward: dy ⊙ 2/√π · e^(−x²).
    """
    x = floating(x)
    array = x._array

    def backward(dy: Any) -> tuple[Any]:
        return (dy * (2 / math.sqrt(math.pi)) * np.exp(-array * array),)

    return record("erf", erf_of(array), (x,), backward, keeps=(x,))


def log1p(x: Any) -> Tensor:
    """ln(1 + x), to all digits where x is small. Backward: dy / (1 + x), 0 where dy is 0."""
    x = floating(x)
    array = x._array
    return record("log1p", np.log1p(array), (x,), lambda dy: (over(dy, 1 + array),), keeps=(x,))


def expm1(x: Any) -> Tensor:
    """eˣ − 1, to all digits where x is small. Backward: dy ⊙ eˣ."""
    x = floating(x)
    y = np.expm1(x._array)
    return record("expm1", y, (x,), lambda dy: (dy * (y + 1),), keeps_output=True)


def rsqrt(x: Any) -> Tensor:
    """1 / √x. Backward: −dy / (2·x·√x), 0 where dy is 0."""
    x = floating(x)
    array = x._array
    root = np.sqrt(array)
    return record("rsqrt", 1 / root, (x,), lambda dy: (over(-dy, 2 * array * root),), keeps=(x,))


def square(x: Any) -> Tensor:
    """x². Backward: 2·dy ⊙ x."""
    x = as_tensor(x)
    array = x._array
    return record("square", array * array, (x,), lambda dy: (2 * dy * array,), keeps=(x,))
