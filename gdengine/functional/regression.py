"""Losses against values: of numbers, and of probabilities."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..kernels.common.wide import wide
from ..tape import as_array
from ..tensor import Tensor, as_tensor, record
from .activations import logsigmoid
from .elementwise import exp, floating, log, operands, where
from .losses import check_reduction, reduced


def mse_loss(input: Any, target: Any, *, reduction: str = "mean") -> Tensor:
    """(x − t)². Backward: 2·dy ⊙ (x − t), and its negative to the target.

    Args:
        input, target: of one shape. (Shapes that would broadcast, ``(B, 1)`` and ``(B,)``, are as good as always a
            mistake.)
        reduction: ``"mean"``, ``"sum"``, or ``"none"`` for a loss each.

    Raises:
        ValueError: the shapes differ, or the reduction is not known.
    """
    return _of_difference("mse_loss", input, target, reduction, lambda d: d * d, lambda d: 2 * d)


def l1_loss(input: Any, target: Any, *, reduction: str = "mean") -> Tensor:
    """|x − t|. Backward: dy ⊙ sign(x − t). Arguments and errors as those of `mse_loss`."""
    return _of_difference("l1_loss", input, target, reduction, np.abs, np.sign)


def huber_loss(input: Any, target: Any, *, delta: float = 1.0, reduction: str = "mean") -> Tensor:
    """d²/2 where |d| ≤ delta, else delta·(|d| − delta/2), with d = x − t (Huber 1964).

    Backward: dy ⊙ d, limited to ± delta. Arguments and errors as those of `mse_loss`.

    Raises:
        ValueError: delta is not above 0.
    """
    if not delta > 0:
        raise ValueError(f"huber_loss wants a delta above 0, got {delta!r}")
    delta = float(delta)

    def loss(d: Any) -> Any:
        size = np.abs(d)
        return np.where(size <= delta, 0.5 * d * d, delta * (size - 0.5 * delta))

    def slope(d: Any) -> Any:
        return np.minimum(np.maximum(d, -delta), delta)

    return _of_difference("huber_loss", input, target, reduction, loss, slope)


def smooth_l1_loss(input: Any, target: Any, *, beta: float = 1.0, reduction: str = "mean") -> Tensor:
    """d²/(2·beta) where |d| < beta, else |d| − beta/2, with d = x − t (Girshick 2015); `l1_loss` for beta 0.

    Backward: dy ⊙ d/beta, limited to ± 1. Arguments and errors as those of `mse_loss`.

    Raises:
        ValueError: beta is below 0.
    """
    if not beta >= 0:
        raise ValueError(f"smooth_l1_loss wants a beta of 0 or more, got {beta!r}")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    beta = float(beta)

    def loss(d: Any) -> Any:
        size = np.abs(d)
        return np.where(size < beta, d * d * (0.5 / beta), size - 0.5 * beta)

    def slope(d: Any) -> Any:
        return np.minimum(np.maximum(d / beta, -1), 1)

    return _of_difference("smooth_l1_loss", input, target, reduction, loss, slope)


def _of_difference(
    name: str,
    input: Any,
    target: Any,
    reduction: str,
    loss: Callable[[Any], Any],
    slope: Callable[[Any], Any],
) -> Tensor:
    """A loss of x − t alone, as one node."""
    x, t = _alike(name, input, target, reduction)
    d = wide(x._array) - wide(t._array)
    losses = loss(d)
    of_x, of_t = ((part.dtype if part.requires_grad else None) for part in (x, t))
    share = 1 / max(d.size, 1) if reduction == "mean" else 1.0

    def backward(dy: Any) -> tuple[Any, Any]:
        dx = wide(dy) * share * slope(d)
        return (
            None if of_x is None else dx.astype(of_x, copy=False),
            None if of_t is None else (-dx).astype(of_t, copy=False),
        )

    if reduction != "none":
        # in float64: the rounding of a long sum would otherwise show in the reported loss
        losses = as_array(losses.sum(dtype=np.float64) * share)
    return record(name, losses.astype(np.result_type(x.dtype, t.dtype), copy=False), (x, t), backward)


def binary_cross_entropy_with_logits(
    input: Any, target: Any, *, weight: Any = None, pos_weight: Any = None, reduction: str = "mean"
) -> Tensor:
    """−w·(p·t·ln σ(x) + (1 − t)·ln(1 − σ(x))), computed from −|x| so that nothing overflows.

    Args:
        input, target: of one shape; targets in [0, 1].
        weight: w, how much each counts; broadcast.
        pos_weight: p, how much more a positive counts than a negative; broadcast, so ``(C,)`` is one for each class.
        reduction: ``"mean"``, ``"sum"``, or ``"none"`` for a loss each.

    Raises:
        ValueError: the shapes differ, or the reduction is not known.
    """
    x, t = _alike("binary_cross_entropy_with_logits", input, target, reduction)
    positive = t if pos_weight is None else t * pos_weight
    losses = -(positive * logsigmoid(x) + (1 - t) * logsigmoid(-x))
    return reduced(losses if weight is None else losses * weight, reduction)


def kl_div(input: Any, target: Any, *, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """t·(ln t − x), with x log-probabilities and t probabilities; 0 where t is 0. Σ of it is the divergence KL(t ‖ eˣ).

    Args:
        input, target: of one shape; the target in logarithms too where ``log_target``.
        reduction: ``"batchmean"``: Σ / the size of the first axis, which is the divergence's mean; ``"mean"`` over all
            elements, ``"sum"``, or ``"none"``.

    Raises:
        ValueError: the shapes differ, or the reduction is not known.
    """
    x, t = _alike("kl_div", input, target, "sum" if reduction == "batchmean" else reduction)
    losses = exp(t) * (t - x) if log_target else t * (log(where(t == 0, 1.0, t)) - x)
    if reduction == "batchmean":
        return losses.sum() / (x.shape[0] if x.shape else 1)
    return reduced(losses, reduction)


def _alike(name: str, input: Any, target: Any, reduction: str) -> tuple[Tensor, Tensor]:
    """Both as float tensors of one shape."""
    check_reduction(name, reduction)
    x, t = as_tensor(input), as_tensor(target)
    if x.shape != t.shape:
        raise ValueError(
            f"{name} wants an input and a target of one shape, got {x.shape} and {t.shape}: "
            + ("write input.squeeze(-1)" if x.shape == (*t.shape, 1) else "reshape or expand one")
        )
    x, t = operands(floating(x), t)
    if reduction == "mean" and math.prod(x.shape) == 0:
        raise ValueError(f"{name}: the mean loss over no elements, of shape {x.shape}")
    return x, t
