"""Nonlinearities, and the softmax."""

import math
from typing import Any

import numpy as np

from .. import kernels
from ..device import check_same
from ..kernels.common.erf import erf
from ..kernels.common.wide import narrow, wide
from ..tensor import Tensor, as_tensor, record
from .elementwise import floating, multiply, sigmoid
from .shaping import axis_of, split


def relu(x: Any) -> Tensor:
    """max(x, 0). Backward: dy where x > 0."""
    x = as_tensor(x)
    y = np.maximum(x._array, 0)
    return record("relu", y, (x,), lambda dy: (dy * (y > 0),), keeps_output=True)


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Tensor:
    """x where x > 0, else negative_slope·x. Backward: dy, times negative_slope where x ≤ 0."""
    x = floating(x)
    array = x._array
    slope = float(negative_slope)

    def scaled(values: Any) -> Any:
        values = wide(values)
        return narrow(np.where(array > 0, values, values * slope), array)

    return record("leaky_relu", scaled(array), (x,), lambda dy: (scaled(dy),), keeps=(x,))


def relu6(x: Any) -> Tensor:
    """min(max(x, 0), 6). Backward: dy where 0 < x < 6."""
    x = as_tensor(x)
    y = np.minimum(np.maximum(x._array, 0), 6)
    return record("relu6", y, (x,), lambda dy: (dy * ((y > 0) & (y < 6)),), keeps_output=True)


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha·(eˣ − 1) (Clevert et al. 2016). Backward: dy, times alpha·eˣ where x ≤ 0."""
    x = floating(x)
    array, z, alpha = x._array, wide(x._array), float(alpha)
    y = np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))

    def backward(dy: Any) -> tuple[Any]:
        d = wide(dy)
        return (narrow(np.where(z > 0, d, d * alpha * np.exp(np.minimum(z, 0))), array),)

    return record("elu", narrow(y, array), (x,), backward, keeps=(x,))


def gelu(x: Any, approximate: str = "tanh") -> Tensor:
    """The Gaussian error linear unit: see `gdengine.kernels.gelu`.

    Args:
        approximate: ``"tanh"``, GPT-2's form and the default here, or ``"none"`` for the exact one, PyTorch's default,
            x·(1 + erf(x/√2))/2, whose slope is (1 + erf(x/√2))/2 + x·e^(−x²/2)/√(2π).

    Raises:
        ValueError: another form.
    """
    if approximate not in ("tanh", "none"):
        raise ValueError(f"gelu is approximate='tanh' or 'none' (the exact form), got {approximate!r}")
    x = floating(x)
    array = x._array
    if approximate == "tanh":
        y = kernels.gelu.forward(array)
        return record("gelu", y, (x,), lambda dy: (kernels.gelu.backward(dy, array),), keeps=(x,))
    z = wide(array)
    below = 0.5 * (1 + erf(z * math.sqrt(0.5)))

    def backward(dy: Any) -> tuple[Any]:
        return (narrow(wide(dy) * (below + z * np.exp(-0.5 * z * z) * (1 / math.sqrt(2 * math.pi))), array),)

    return record("gelu", narrow(z * below, array), (x,), backward, keeps=(x,))


def silu(x: Any) -> Tensor:
    """x·σ(x), also called swish: see `gdengine.kernels.silu`."""
    x = floating(x)
    array = x._array
    return record("silu", kernels.silu.forward(array), (x,), lambda dy: (kernels.silu.backward(dy, array),), keeps=(x,))


def mish(x: Any) -> Tensor:
    """x·tanh(ln(1 + eˣ)) (Misra 2019). With t that tanh, backward: dy ⊙ (t + x·(1 − t²)·σ(x)).

    With s = e^(−|x|), t = (1 + 2s) / (1 + 2s + 2s²) where x ≥ 0, else (s² + 2s) / (s² + 2s + 2): nothing overflows, and
    1 − t = 1 / (…) of the same loses no digits.
    """
    x = floating(x)
    array = x._array

    def parts() -> tuple[Any, Any, Any]:
        """t, 1 − t, and σ(x)."""
        s = np.exp(-np.abs(array))
        above = array >= 0
        share = np.where(above, 1 + 2 * s, s * (s + 2))
        rest = np.where(above, 2 * s * s, 2)
        return share / (share + rest), rest / (share + rest), np.where(above, 1, s) / (1 + s)

    def backward(dy: Any) -> tuple[Any]:
        t, rest, sigma = parts()
        return (dy * (t + array * rest * (1 + t) * sigma),)

    return record("mish", array * parts()[0], (x,), backward, keeps=(x,))


def softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """ln(1 + e^(beta·x)) / beta, and x itself where beta·x > threshold. Backward: dy ⊙ σ(beta·x), or dy."""
    x = floating(x)
    array = x._array
    beta, dtype = float(beta), x.dtype
    z = wide(array) * beta
    curve = (np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))) / beta

    def backward(dy: Any) -> tuple[Any]:
        return (np.where(z > threshold, dy, dy * _sigmoid(z)).astype(dtype, copy=False),)

    return record("softplus", narrow(np.where(z > threshold, array, curve), array), (x,), backward)


def logsigmoid(x: Any) -> Tensor:
    """ln σ(x) = min(x, 0) − ln(1 + e^(−|x|)). Backward: dy ⊙ σ(−x)."""
    x = floating(x)
    array = x._array
    y = np.minimum(array, 0) - np.log1p(np.exp(-np.abs(array)))
    return record("logsigmoid", y, (x,), lambda dy: (dy * _sigmoid(-array),), keeps=(x,))


def hardswish(x: Any) -> Tensor:
    """x·min(max(x + 3, 0), 6)/6 (Howard et al. 2019). Backward: dy ⊙ 0 below −3, (2x + 3)/6, 1 above 3."""
    x = floating(x)
    array = x._array

    def backward(dy: Any) -> tuple[Any]:
        return (dy * np.where(array < -3, 0, np.where(array > 3, 1, array / 3 + 0.5)),)

    return record("hardswish", array * np.minimum(np.maximum(array + 3, 0), 6) / 6, (x,), backward, keeps=(x,))


def glu(x: Any, dim: int = -1) -> Tensor:
    """a ⊙ σ(b), with a and b the first and second half of x along ``dim`` (Dauphin et al. 2017).

    Raises:
        ValueError: the axis cannot be halved.
    """
    x = floating(x)
    n = x.shape[axis_of(x, dim)]
    if n % 2:
        raise ValueError(f"glu halves axis {dim}, which has {n} elements: an even number is wanted")
    a, b = split(x, [n // 2, n // 2], dim)
    return multiply(a, sigmoid(b))


def swiglu(gate: Any, x: Any) -> Tensor:
    """silu(gate) ⊙ x, as one node: see `gdengine.kernels.swiglu`.

    Raises:
        ValueError: the shapes differ.
        TypeError: the dtypes differ.
    """
    a, b = floating(gate), floating(x)
    if a.shape != b.shape:
        raise ValueError(f"swiglu wants a gate and an x of one shape, got {a.shape} and {b.shape}")
    if a.dtype != b.dtype:
        raise TypeError(f"swiglu wants one dtype, got gate {a.dtype} and x {b.dtype}: convert one, as in x.to(…)")
    check_same("swiglu", gate=a._array, x=b._array)
    p, q = a._array, b._array
    y = kernels.swiglu.forward(p, q)
    return record("swiglu", y, (a, b), lambda dy: kernels.swiglu.backward(dy, p, q), keeps=(a, b))


def _sigmoid(z: Any) -> Any:
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, small) / (1 + small)


def softmax(x: Any, dim: int = -1) -> Tensor:
    """eˣ / Σ eˣ along ``dim``. Backward: y ⊙ (dy − Σ dy ⊙ y)."""
    x = floating(x)
    axis = axis_of(x, dim) if x.ndim else None
    z = wide(x._array)
    e = np.exp(z - (z.max(axis=axis, keepdims=True) if z.size else 0))
    y = narrow(e / e.sum(axis=axis, keepdims=True), x._array)

    def backward(dy: Any) -> tuple[Any]:
        d, p = wide(dy), wide(y)
        return (narrow(p * (d - (d * p).sum(axis=axis, keepdims=True)), y),)

    return record("softmax", y, (x,), backward, keeps_output=True)


def log_softmax(x: Any, dim: int = -1) -> Tensor:
    """x − ln Σ eˣ along ``dim``. Backward: dy − eʸ ⊙ Σ dy."""
    x = floating(x)
    axis = axis_of(x, dim) if x.ndim else None
    z = wide(x._array)
    shifted = z - (z.max(axis=axis, keepdims=True) if z.size else 0)
    with np.errstate(divide="ignore"):  # the logarithm of nothing, over no elements
        y = narrow(shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True)), x._array)

    def backward(dy: Any) -> tuple[Any]:
        d = wide(dy)
        return (narrow(d - np.exp(wide(y)) * d.sum(axis=axis, keepdims=True), y),)

    return record("log_softmax", y, (x,), backward, keeps_output=True)
