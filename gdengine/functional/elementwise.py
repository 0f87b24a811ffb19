"""Functions of each element, and arithmetic with broadcasting. Each forward stands beside its backward."""

from typing import Any

import numpy as np

from ..device import beside, check_same, is_on_cuda, namespace
from ..kernels.common.wide import narrow, wide
from ..tensor import Tensor, as_tensor, is_floating, record, tensors_of, to_array, value_of, wrap

# ---- two operands


def add(a: Any, b: Any) -> Tensor:
    """a + b."""
    x, y = operands(a, b)
    return record("add", x._array + y._array, (x, y), _SumBackward(x, y, 1))


def subtract(a: Any, b: Any) -> Tensor:
    """a − b."""
    x, y = operands(a, b)
    return record("subtract", x._array - y._array, (x, y), _SumBackward(x, y, -1))


class _SumBackward:
    """da = dy, db = ± dy, summed over what was broadcast."""

    __slots__ = ("sign", "x", "y")

    def __init__(self, x: Tensor, y: Tensor, sign: int):
        self.x = (x.shape, x.dtype) if x.requires_grad else None
        self.y = (y.shape, y.dtype) if y.requires_grad else None
        self.sign = sign

    def __call__(self, dy: Any) -> tuple[Any, Any]:
        dx = unbroadcast(dy, *self.x) if self.x else None
        db = unbroadcast(dy if self.sign > 0 else -dy, *self.y) if self.y else None
        return dx, db


def multiply(a: Any, b: Any) -> Tensor:
    """a ⊙ b. Backward: da = dy ⊙ b, db = dy ⊙ a."""
    x, y = operands(a, b)
    p, q = x._array, y._array
    at_x, at_y = (x.shape, x.dtype), (y.shape, y.dtype)
    wants_x, wants_y = x.requires_grad, y.requires_grad
    keeps = tuple(kept for kept, wanted in ((y, wants_x), (x, wants_y)) if wanted)
    for_y, for_x = (p if wants_y else None), (q if wants_x else None)

    def backward(dy: Any) -> tuple[Any, Any]:
        dx = unbroadcast(dy * for_x, *at_x) if wants_x else None
        return dx, unbroadcast(dy * for_y, *at_y) if wants_y else None

    return record("multiply", p * q, (x, y), backward, keeps=keeps)


def divide(a: Any, b: Any) -> Tensor:
    """a / b; integers divide into float32. Backward: da = dy / b, db = −dy ⊙ a / b²."""
    x, y = operands(a, b)
    p, q = x._array, y._array
    at_x, at_y = (x.shape, x.dtype), (y.shape, y.dtype)
    wants_x, wants_y = x.requires_grad, y.requires_grad
    result = np.true_divide(p, q) if is_floating(x.dtype) else np.true_divide(p, q, dtype=np.float32)
    for_y = p if wants_y else None

    def backward(dy: Any) -> tuple[Any, Any]:
        dx = dy / q
        return (
            unbroadcast(dx, *at_x) if wants_x else None,
            unbroadcast(-dx * for_y / q, *at_y) if wants_y else None,
        )

    return record("divide", result, (x, y), backward, keeps=(x, y) if wants_y else (y,))


def power(a: Any, b: Any) -> Tensor:
    """aᵇ. Backward: da = dy ⊙ b·aᵇ⁻¹, 0 where b = 0; db = dy ⊙ aᵇ·ln a, 0 where a = 0 and b ≥ 0."""
    x, y = operands(a, b)
    p, q = x._array, y._array
    at_x, at_y = (x.shape, x.dtype), (y.shape, y.dtype)
    wants_x, wants_y = x.requires_grad, y.requires_grad
    result = np.power(p, q)
    for_y = result if wants_y else None

    def backward(dy: Any) -> tuple[Any, Any]:
        dx = db = None
        if wants_x:
            dx = unbroadcast(np.where(q == 0, 0, dy * q * np.power(p, np.where(q == 0, 1, q - 1))), *at_x)
        if wants_y:
            flat = (p == 0) & (q >= 0)
            db = unbroadcast(np.where(flat, 0, dy * for_y * np.log(np.where(p == 0, 1, p))), *at_y)
        return dx, db

    return record("power", result, (x, y), backward, keeps=(x, y), keeps_output=wants_y)


def maximum(a: Any, b: Any) -> Tensor:
    """The larger of a and b. Backward: dy goes to the larger, half to each where they are equal."""
    return _extremum("maximum", np.maximum, np.less, a, b)


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of a and b. Backward: dy goes to the smaller, half to each where they are equal."""
    return _extremum("minimum", np.minimum, np.greater, a, b)


def _extremum(name: str, pick: Any, loses: Any, a: Any, b: Any) -> Tensor:
    x, y = operands(a, b)
    p, q = x._array, y._array
    at_x, at_y = (x.shape, x.dtype), (y.shape, y.dtype)
    wants_x, wants_y = x.requires_grad, y.requires_grad

    def backward(dy: Any) -> tuple[Any, Any]:
        shared = np.where(p == q, dy / 2, dy)
        return (
            unbroadcast(np.where(loses(p, q), 0, shared), *at_x) if wants_x else None,
            unbroadcast(np.where(loses(q, p), 0, shared), *at_y) if wants_y else None,
        )

    return record(name, pick(p, q), (x, y), backward, keeps=(x, y))


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """a where ``condition`` (bool) is true, b elsewhere. The gradient goes to what was taken, zero to the other."""
    chosen = as_tensor(condition)._array
    if chosen.dtype != np.bool_:
        raise TypeError(f"where wants a bool condition, got {chosen.dtype}: write x != 0 or x > 0")
    x, y = operands(a, b)
    x, y = _beside(x, chosen), _beside(y, chosen)
    chosen = beside(chosen, x._array)
    check_broadcast(chosen.shape, x.shape, y.shape)
    at_x, at_y = (x.shape, x.dtype), (y.shape, y.dtype)
    wants_x, wants_y = x.requires_grad, y.requires_grad

    def backward(dy: Any) -> tuple[Any, Any]:
        zero = dy.dtype.type(0)
        return (
            unbroadcast(np.where(chosen, dy, zero), *at_x) if wants_x else None,
            unbroadcast(np.where(chosen, zero, dy), *at_y) if wants_y else None,
        )

    return record("where", np.where(chosen, x._array, y._array), (x, y), backward, keeps=tensors_of(condition))


# ---- one operand


def negative(x: Any) -> Tensor:
    """−x."""
    x = as_tensor(x)
    return record("negative", -x._array, (x,), lambda dy: (-dy,))


def absolute(x: Any) -> Tensor:
    """|x|. Backward: dy ⊙ sign(x), 0 at 0."""
    x = as_tensor(x)
    array = x._array
    return record("absolute", np.abs(array), (x,), lambda dy: (dy * np.sign(array),), keeps=(x,))


def exp(x: Any) -> Tensor:
    """eˣ. Backward: dy ⊙ eˣ."""
    x = floating(x)
    y = np.exp(x._array)
    return record("exp", y, (x,), lambda dy: (dy * y,), keeps_output=True)


def log(x: Any) -> Tensor:
    """ln x. Backward: dy / x, 0 where dy is 0."""
    x = floating(x)
    array = x._array
    return record("log", np.log(array), (x,), lambda dy: (over(dy, array),), keeps=(x,))


def sqrt(x: Any) -> Tensor:
    """√x. Backward: dy / (2√x), 0 where dy is 0."""
    x = floating(x)
    y = np.sqrt(x._array)
    return record("sqrt", y, (x,), lambda dy: (over(dy, 2 * y),), keeps_output=True)


def tanh(x: Any) -> Tensor:
    """tanh x. Backward: dy ⊙ (1 − tanh² x)."""
    x = floating(x)
    y = np.tanh(x._array)
    return record("tanh", y, (x,), lambda dy: (dy * (1 - y * y),), keeps_output=True)


def sigmoid(x: Any) -> Tensor:
    """σ(x) = 1 / (1 + e⁻ˣ), computed from e⁻|ˣ| so that nothing overflows. Backward: dy ⊙ σ(1 − σ)."""
    x = floating(x)
    small = np.exp(-np.abs(x._array))
    y = np.where(x._array >= 0, 1, small) / (1 + small)
    return record("sigmoid", y, (x,), lambda dy: (dy * y * (1 - y),), keeps_output=True)


def clone(x: Any) -> Tensor:
    """A copy; the gradient passes through."""
    x = as_tensor(x)
    return record("clone", x._array.copy(), (x,), lambda dy: (dy,))


def cast(x: Any, dtype: Any) -> Tensor:
    """x in another dtype. The gradient comes back in x's own."""
    x = as_tensor(x)
    target, own = np.dtype(dtype), x.dtype
    if target == own:
        return x
    converted = to_array(x, target)
    if not is_floating(target):
        return wrap(converted)
    return record("cast", converted, (x,), lambda dy: (dy.astype(own),))


# ---- operands and their shapes


def operands(a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """Both as tensors of one kind: scalars and lists take on the other's dtype, and integers do not widen floats.

    Raises:
        ValueError: the shapes do not broadcast.
    """
    x, y = matched(_paired(a, b), _paired(b, a))
    if type(x._array) is not type(y._array):
        check_same("arithmetic", left=x._array, right=y._array)
    if x.shape != y.shape:
        check_broadcast(x.shape, y.shape)
    return x, y


def check_broadcast(*shapes: tuple[int, ...]) -> None:
    """Raise unless the shapes broadcast against each other."""
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(
            f"shapes {' and '.join(map(str, shapes))} do not broadcast: from the right, sizes must be equal or 1. "
            "Insert an axis with x[:, None] or x.unsqueeze(dim), or exchange two with x.transpose(0, 1)"
        ) from None


def matched(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """An integer operand beside a floating one takes on its dtype."""
    if x.dtype != y.dtype:
        if is_floating(x.dtype) and not is_floating(y.dtype):
            y = cast(y, x.dtype)
        elif is_floating(y.dtype) and not is_floating(x.dtype):
            x = cast(x, y.dtype)
    return x, y


def _paired(a: Any, other: Any) -> Tensor:
    if isinstance(a, Tensor):
        return a
    a, partner = value_of(a), as_tensor(other)._array
    dtype = partner.dtype
    if isinstance(a, bool | int | float):
        return wrap(_scalar(a, partner))
    return wrap(beside(to_array(a, dtype if is_floating(dtype) and not hasattr(a, "dtype") else None), partner))


def _scalar(a: bool | int | float, partner: Any) -> Any:
    """A Python number as an array of the other operand's dtype, unless it is a float beside integers."""
    dtype = partner.dtype
    if not is_floating(dtype) and (isinstance(a, float) or dtype == np.bool_):
        dtype = to_array(a).dtype
    # on a GPU made there: a copy would cost more, and could not be captured
    return namespace(partner).full((), a, dtype) if is_on_cuda(partner) else np.asarray(a, dtype)


def _beside(x: Tensor, array: Any) -> Tensor:
    """x where ``array`` lives, if x is a constant."""
    return wrap(beside(x._array, array)) if x._edge is None else x


def floating(x: Any) -> Tensor:
    """As a tensor of a float dtype: float32 where it was integers."""
    x = x if isinstance(x, Tensor) else as_tensor(x)
    return x if is_floating(x._array.dtype) else cast(x, np.float32)


def over(dy: Any, divisor: Any) -> Any:
    """dy / divisor, and 0 where dy is 0: at 0/0 and 0/NaN too.

    So that where(x > 0, sqrt(x), 0), which asks nothing of the root at 0, gets no NaN from there.
    """
    return dy / np.where(dy == 0, divisor.dtype.type(1), divisor)


def unbroadcast(gradient: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """The gradient of an operand of ``shape`` from that of the broadcast result: summed over what was repeated.

    In float32 where it is bfloat16: of a row of more than 256 ones, the sum in bfloat16 would stay at 256.
    """
    if gradient.shape != shape:
        extra = gradient.ndim - len(shape)
        repeated = tuple(range(extra)) + tuple(
            extra + i for i, n in enumerate(shape) if n == 1 and gradient.shape[extra + i] != 1
        )
        gradient = narrow(wide(gradient).sum(axis=repeated, keepdims=True), gradient).reshape(shape)
    return gradient if gradient.dtype == dtype else gradient.astype(dtype)
