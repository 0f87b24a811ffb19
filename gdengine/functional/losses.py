"""Losses."""

from typing import Any

import numpy as np

from .. import kernels
from ..device import beside, check_same, is_on_cuda, namespace
from ..tape import as_array
from ..tensor import Tensor, as_tensor, record, tensors_of
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
        IndexError: a target is out of range; the message says which, and where. (Targets that live on a GPU are not
            looked at, since that would have to wait for it: there the loss of one out of range is NaN.)
    """
    z = floating(logits)
    t = as_tensor(targets)._array
    _check(z, t, ignore_index, reduction)
    weight = _weight(t, ignore_index, reduction)
    t = beside(t, z._array)
    check_same("cross_entropy", logits=z._array, targets=t)
    rows, flat = z._array.reshape(-1, z.shape[-1]), t.reshape(-1)
    losses, lse = kernels.cross_entropy.forward(rows, flat, ignore_index=ignore_index)
    shape = z.shape

    def backward(dy: Any) -> tuple[Any]:
        factor = dy.dtype.type(weight) if isinstance(weight, float) else weight.astype(dy.dtype)
        scaled = dy.reshape(-1) * factor
        dlosses = namespace(dy).empty(losses.shape, scaled.dtype)
        dlosses[...] = scaled
        dz = kernels.cross_entropy.backward(dlosses, rows, flat, lse, ignore_index=ignore_index)
        return (dz.reshape(shape),)

    result = losses.reshape(t.shape)
    if reduction != "none":
        # summed in float64: the rounding of a sum over many positions would otherwise show in the reported loss
        result = as_array(losses.sum(dtype=np.float64) * weight).astype(losses.dtype)
    return record("cross_entropy", result, (z,), backward, keeps=(z, *tensors_of(targets)))


def _weight(targets: Any, ignore_index: int, reduction: str) -> Any:
    """What each loss counts in the result: a number; for the mean over targets on a GPU an array, not waited for."""
    if reduction != "mean":
        return 1.0
    if is_on_cuda(targets):
        return 1 / (targets != ignore_index).sum(dtype=np.float64)  # of no targets: inf, and the mean NaN
    counted = targets.size - int(np.count_nonzero(targets == ignore_index))
    if counted == 0:
        raise ValueError("the mean loss over no targets: every one of them is ignore_index")
    return 1 / counted


def _check(z: Tensor, t: Any, ignore_index: int, reduction: str) -> None:
    if reduction not in REDUCTIONS:
        raise ValueError(f"cross_entropy knows the reductions {REDUCTIONS}, not {reduction!r}")
    if t.shape != z.shape[:-1] or not z.shape:
        raise ValueError(
            f"cross_entropy of logits {z.shape} wants targets of shape {z.shape[:-1]} (classes are the last axis), got "
            f"{t.shape}"
        )
    check_indices("cross_entropy", "targets", t, z.shape[-1], ignore_index)
