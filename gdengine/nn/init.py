"""Initialisers: each overwrites a parameter in place, with the default generator's next random call, and returns it.

The numbers are drawn in float64 and rounded, so a model of any dtype starts from the same values.
"""

import math
from typing import Any

import numpy as np

from ..random import default_generator
from ..tape import no_grad
from ..tensor import Tensor

GAINS = {
    **dict.fromkeys(("linear", "conv1d", "conv2d", "conv_transpose2d", "sigmoid"), 1.0),
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 0.75,
}


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


def kaiming_uniform_(x: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Tensor:
    """Uniform in ±gain·√(3 / fan) (He et al. 2015, equations 10 and 15).

    The gain is the `calculate_gain` of what follows, unless told √(2 / (1 + a²)): a (leaky) ReLU of slope ``a``.
    ``mode`` is ``"fan_in"``, which keeps the size of values, or ``"fan_out"``, which keeps that of gradients.
    """
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3 / _fan(x, mode))
    return uniform_(x, -bound, bound)


def kaiming_normal_(x: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Tensor:
    """Normal with variance gain² / fan, as `kaiming_uniform_` (He et al. 2015, equations 10 and 15)."""
    return normal_(x, std=calculate_gain(nonlinearity, a) / math.sqrt(_fan(x, mode)))


def xavier_uniform_(x: Tensor, gain: float = 1.0) -> Tensor:
    """Uniform in ±gain·√(6 / (fan_in + fan_out)) (Glorot and Bengio 2010, equation 16)."""
    bound = gain * math.sqrt(6 / (fan_in(x) + fan_out(x)))
    return uniform_(x, -bound, bound)


def xavier_normal_(x: Tensor, gain: float = 1.0) -> Tensor:
    """Normal with variance gain²·2 / (fan_in + fan_out) (Glorot and Bengio 2010, section 4.2.1)."""
    return normal_(x, std=gain * math.sqrt(2 / (fan_in(x) + fan_out(x))))


def orthogonal_(x: Tensor, gain: float = 1.0) -> Tensor:
    """gain times a random matrix with orthonormal rows, or columns where there are fewer of those.

    Of ``(out, in, ...)``, the axes after the first joined: Q of the QR decomposition of a normal matrix, each column
    with the sign that R's diagonal has, so that all rotations are equally likely (Saxe, McClelland and Ganguli 2014).
    """
    _check_matrix(x)
    rows, columns = x.shape[0], math.prod(x.shape[1:])
    drawn = default_generator.normal((max(rows, columns), min(rows, columns))).astype(np.float64)
    q, r = np.linalg.qr(drawn)
    q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return _set(x, gain * (q.T if rows < columns else q).reshape(x.shape))


def trunc_normal_(x: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0) -> Tensor:
    """Normal with this mean and standard deviation, cut off outside of [a, b]: what falls there is drawn again.

    Where less than a quarter would fall inside, uniform numbers are taken, each with its density's share of the highest
    (rejection: Robert 1995). Each round is a random call of its own.

    Raises:
        ValueError: std is not positive, or a is not below b.
    """
    if not std > 0 or not a < b or not math.isfinite(b - a):
        raise ValueError(f"trunc_normal_ wants std > 0 and finite a < b, got std={std!r}, a={a!r}, b={b!r}")
    low, high = (a - mean) / std, (b - mean) / std
    inside = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
    top = min(max(0.0, low), high)  # where the density is highest
    values, open_ = np.empty(x.size), np.arange(x.size)
    while open_.size:
        if inside > 0.25:
            drawn = default_generator.normal((open_.size,)).astype(np.float64)
            taken = (drawn >= low) & (drawn <= high)
        else:
            drawn = low + (high - low) * default_generator.uniform((open_.size,)).astype(np.float64)
            taken = default_generator.uniform((open_.size,)) < np.exp((top * top - drawn * drawn) / 2)
        values[open_[taken]] = drawn[taken]
        open_ = open_[~taken]
    return _set(x, (mean + std * values).reshape(x.shape))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By how much to widen weights for the size of values to survive what follows them: PyTorch's numbers.

    1 for ``"linear"``, ``"conv2d"``, ``"sigmoid"`` and the like, 5/3 for ``"tanh"``, √2 for ``"relu"``, √(2 / (1 +
    slope²)) for ``"leaky_relu"`` with ``param`` the slope (0.01 unless given), ¾ for ``"selu"``.

    Raises:
        ValueError: it is not known.
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2 / (1 + slope * slope))
    if nonlinearity not in GAINS:
        raise ValueError(f"gains are known for leaky_relu, {', '.join(GAINS)}; got {nonlinearity!r}")
    return GAINS[nonlinearity]


def fan_in(x: Tensor) -> int:
    """How many inputs each output sums: the product of all sizes but the first, for weights ``(out, in, ...)``."""
    _check_matrix(x)
    return int(np.prod(x.shape[1:]))


def fan_out(x: Tensor) -> int:
    """How many outputs each input feeds: out times the sizes after in."""
    _check_matrix(x)
    return x.shape[0] * int(np.prod(x.shape[2:]))


def _fan(x: Tensor, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode is 'fan_in' or 'fan_out', got {mode!r}")
    return fan_in(x) if mode == "fan_in" else fan_out(x)


def _check_matrix(x: Tensor) -> None:
    if x.ndim < 2:
        raise ValueError(
            f"fans are defined for weights (out, in, ...), not for shape {x.shape}: use normal_ or uniform_"
        )


def _set(x: Tensor, values: Any) -> Tensor:
    with no_grad():
        return x.copy_(values)
