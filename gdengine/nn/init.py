"""Initialisers: each overwrites a parameter in place, with the default generator's next random call, and returns it.

The numbers are drawn in float64 and rounded, so a model of any dtype starts from the same values.
"""

import math
from typing import Any

import numpy as np

from ..random import default_generator
from ..tape import no_grad
from ..tensor import Tensor


def zeros_(x: Tensor) -> Tensor:
    """0."""
    return constant_(x, 0.0)


def ones_(x: Tensor) -> Tensor:
    """1."""
    return constant_(x, 1.0)


def constant_(x: Tensor, value: float) -> Tensor:
    """``value``."""
    with no_grad():
        return x.fill_(value)


def normal_(x: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Normal with this mean and standard deviation.

    Raises:
        ValueError: std is negative.
    """
    if not std >= 0:
        raise ValueError(f"a standard deviation is at least 0, got std={std!r}")
    return _set(x, mean + std * default_generator.normal(x.shape))


def uniform_(x: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Uniform in [low, high).

    Raises:
        ValueError: low is above high.
    """
    if not low <= high:
        raise ValueError(f"uniform_ draws from low up to high, got low={low!r}, high={high!r}")
    return _set(x, low + (high - low) * default_generator.uniform(x.shape).astype(np.float64))


def kaiming_uniform_(x: Tensor, a: float = 0.0) -> Tensor:
    """Uniform in ±√(6 / ((1 + a²)·fan_in)), for (leaky) ReLU of slope ``a`` (He et al. 2015, equations 10 and 15)."""
    bound = math.sqrt(6 / ((1 + a * a) * fan_in(x)))
    return uniform_(x, -bound, bound)


def kaiming_normal_(x: Tensor, a: float = 0.0) -> Tensor:
    """Normal with variance 2 / ((1 + a²)·fan_in) (He et al. 2015, equations 10 and 15)."""
    return normal_(x, std=math.sqrt(2 / ((1 + a * a) * fan_in(x))))


def xavier_uniform_(x: Tensor, gain: float = 1.0) -> Tensor:
    """Uniform in ±gain·√(6 / (fan_in + fan_out)) (Glorot and Bengio 2010, equation 16)."""
    bound = gain * math.sqrt(6 / (fan_in(x) + fan_out(x)))
    return uniform_(x, -bound, bound)


def xavier_normal_(x: Tensor, gain: float = 1.0) -> Tensor:
    """Normal with variance gain²·2 / (fan_in + fan_out) (Glorot and Bengio 2010, section 4.2.1)."""
    return normal_(x, std=gain * math.sqrt(2 / (fan_in(x) + fan_out(x))))


def fan_in(x: Tensor) -> int:
    """How many inputs each output sums: the product of all sizes but the first, for weights ``(out, in, ...)``."""
    _check_matrix(x)
    return int(np.prod(x.shape[1:]))


def fan_out(x: Tensor) -> int:
    """How many outputs each input feeds: out times the sizes after in."""
    _check_matrix(x)
    return x.shape[0] * int(np.prod(x.shape[2:]))


def _check_matrix(x: Tensor) -> None:
    if x.ndim < 2:
        raise ValueError(
            f"fans are defined for weights (out, in, ...), not for shape {x.shape}: use normal_ or uniform_"
        )


def _set(x: Tensor, values: Any) -> Tensor:
    with no_grad():
        return x.copy_(values)
