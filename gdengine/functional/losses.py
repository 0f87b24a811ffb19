"""Losses."""

from typing import Any

import numpy as np

from .. import kernels
from ..tensor import Tensor, record, tensors_of, value_of
from .elementwise import floating
from .embedding import check_indices

REDUCTIONS = ("mean", "sum", "none")


def cross_entropy(logits: Any, targets: Any, *, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """−log softmax(logits)[target], over the last axis: see `gdengine.kernels.cross_entropy`.

    Args:
        logits: ``(..., V)``: classes last, also with more than two axes (PyTorch has them second).
        targets: integers ``(...)`` in [0, V), or ``ignore_index`` where a position does not count.
        reduction: ``"mean"`` over the positions that count, ``"sum"``, or ``"none"`` for a loss each.

    Raises:
        ValueError: the shapes do not fit, or ``"mean"`` when no position counts.
        TypeError: targets are not integers.
        IndexError: a target is out of range; the message says which, and where.
    """
    z = floating(logits)
    t = np.asarray(value_of(targets))
    _check(z, t, ignore_index, reduction)
    rows, flat = z._array.reshape(-1, z.shape[-1]), t.reshape(-1)
    losses, lse = kernels.cross_entropy.forward(rows, flat, ignore_index=ignore_index)
    counted = flat.size - int(np.count_nonzero(flat == ignore_index))
    if reduction == "mean" and counted == 0:
        raise ValueError("the mean loss over no targets: every one of them is ignore_index")
    weight = 1 / counted if reduction == "mean" else 1.0
    shape = z.shape

    def backward(dy: Any) -> tuple[Any]:
        dlosses = np.ascontiguousarray(np.broadcast_to(dy.reshape(-1) * dy.dtype.type(weight), losses.shape))
        dz = kernels.cross_entropy.backward(dlosses, rows, flat, lse, ignore_index=ignore_index)
        return (dz.reshape(shape),)

    result = losses.reshape(t.shape)
    if reduction != "none":
        # summed in float64: the rounding of a sum over many positions would otherwise show in the reported loss
        result = np.asarray(losses.sum(dtype=np.float64) * weight, losses.dtype)
    return record("cross_entropy", result, (z,), backward, keeps=(z, *tensors_of(targets)))


def _check(z: Tensor, t: Any, ignore_index: int, reduction: str) -> None:
    if reduction not in REDUCTIONS:
        raise ValueError(f"cross_entropy knows the reductions {REDUCTIONS}, not {reduction!r}")
    if t.shape != z.shape[:-1] or not z.shape:
        raise ValueError(
            f"cross_entropy of logits {z.shape} wants targets of shape {z.shape[:-1]} (classes are the last axis), got "
            f"{t.shape}"
        )
    check_indices("cross_entropy", "targets", t, z.shape[-1], ignore_index)
