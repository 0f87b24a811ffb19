"""Losses against classes."""

from typing import Any

import numpy as np

from .. import kernels
from ..device import beside, check_same, is_on_cuda, namespace
from ..precision import operand, sum_dtype
from ..tape import as_array, is_grad_enabled
from ..tensor import Tensor, as_tensor, is_floating, record, tensors_of, wrap
from .activations import log_softmax
from .elementwise import cast, floating
from .embedding import check_indices
from .linear import check_affine, check_alike

REDUCTIONS = ("mean", "sum", "none")


def cross_entropy(
    logits: Any,
    targets: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """−log softmax(logits)[target], over the last axis: see `gdengine.kernels.cross_entropy`.

    With p = softmax(z), class weights w (1 unless given) and ε = label_smoothing, the loss of a position is

        (1 − ε)·w[target]·(−ln p[target]) + ε/V · Σ_v w[v]·(−ln p[v])

    and for targets that are probabilities q (a float for each class) Σ_v w[v]·q'[v]·(−ln p[v]), q' = (1 − ε)·q + ε/V.

    Args:
        logits: ``(..., V)``: classes last, also with more than two axes (PyTorch has them second).
        targets: integers ``(...)`` in [0, V), or ``ignore_index`` where a position does not count; or probabilities
            ``(..., V)``, through which gradients pass too.
        weight: ``(V,)``, how much each class counts; a constant.
        reduction: ``"mean"`` over the positions that count (Σ losses / Σ w[target]; of probabilities over all
            positions), ``"sum"``, or ``"none"`` for a loss each.
        label_smoothing: in [0, 1]: the share of the target that goes to all classes alike (Szegedy et al. 2016).

    Raises:
        ValueError: the shapes do not fit, or ``"mean"`` when no position counts.
        TypeError: targets are neither integers nor probabilities.
        IndexError: a target is out of range; the message says which, and where. (Targets that live on a GPU are not
            looked at, since that would have to wait for it: there the loss of one out of range is NaN.)
    """
    z = floating(logits)
    t = as_tensor(targets)._array
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy wants a label_smoothing in [0, 1], got {label_smoothing!r}")
    label_smoothing = float(label_smoothing)
    w = class_weights("cross_entropy", weight, z)
    if is_floating(t.dtype) and t.shape == z.shape:
        return _soft_cross_entropy(z, targets, w, reduction, label_smoothing)
    all_count = _check(z, t, ignore_index, reduction) and not 0 <= ignore_index < z.shape[-1]
    given, t = t, beside(t, z._array)
    check_same("cross_entropy", logits=z._array, targets=t)
    if w is not None or label_smoothing:
        return _weighted_cross_entropy(z, t, w, ignore_index, reduction, label_smoothing, tensors_of(targets))
    counts = 1 / given.size if all_count and reduction == "mean" else _weight(given, ignore_index, reduction)
    rows, flat = z._array.reshape(-1, z.shape[-1]), t.reshape(-1)
    losses, lse = kernels.cross_entropy.forward(rows, flat, ignore_index=ignore_index)
    shape = z.shape

    def backward(dy: Any) -> tuple[Any]:
        dlosses = _upstream(dy, counts, losses.shape)
        dz = kernels.cross_entropy.backward(dlosses, rows, flat, lse, ignore_index=ignore_index)
        return (dz.reshape(shape),)

    result = _reduced(losses, t.shape, counts, reduction)
    return record("cross_entropy", result, (z,), backward, keeps=(z, *tensors_of(targets)))


def _weighted_cross_entropy(
    z: Tensor, t: Any, w: Any, ignore_index: int, reduction: str, smoothing: float, keeps: tuple[Tensor, ...]
) -> Tensor:
    """With class weights or smoothing, on top of the kernel that knows neither.

    A position's loss is α·(lse − z[t]) + γ·(W·lse − Σ w·z) with α = (1 − ε)·w[t], γ = ε/V and W = Σ w, so that its
    gradient is that of a plain one times α + γ·W, with γ·W put back at t and γ·w taken from all.
    """
    n = z.shape[-1]
    rows, flat = z._array.reshape(-1, n), t.reshape(-1)
    losses, lse = kernels.cross_entropy.forward(rows, flat, ignore_index=ignore_index)
    xp, dtype, shape = namespace(rows), losses.dtype, z.shape
    w = xp.ones(n, dtype) if w is None else w.astype(dtype, copy=False)
    counted = flat != ignore_index
    chosen = xp.where(counted, flat, 0)
    own = xp.where(counted, w[chosen], dtype.type(0))
    alpha, gamma, total = own * (1 - smoothing), smoothing / n, w.sum()
    losses = alpha * losses
    if smoothing:
        rest = total * lse - (rows * w).sum(axis=1, dtype=dtype)
        losses = losses + xp.where(counted, gamma * rest, dtype.type(0))
    counts = _share_of("cross_entropy", own, reduction)

    def backward(dy: Any) -> tuple[Any]:
        dlosses = _upstream(dy, counts, losses.shape)
        spread = xp.where(counted, dlosses * gamma, dlosses.dtype.type(0))
        dz = kernels.cross_entropy.backward(
            dlosses * alpha + spread * total, rows, flat, lse, ignore_index=ignore_index
        )
        if smoothing:
            dz -= (spread[:, None] * w).astype(dz.dtype, copy=False)
            dz[xp.arange(len(flat)), chosen] += (spread * total).astype(dz.dtype, copy=False)
        return (dz.reshape(shape),)

    return record("cross_entropy", _reduced(losses, t.shape, counts, reduction), (z,), backward, keeps=(z, *keeps))


def _soft_cross_entropy(z: Tensor, targets: Any, w: Any, reduction: str, smoothing: float) -> Tensor:
    check_reduction("cross_entropy", reduction)
    if not z.shape:
        raise ValueError("cross_entropy of logits () wants an axis of classes")
    z, q = cast(z, sum_dtype(z.dtype)), as_tensor(targets)
    if smoothing:
        q = q * (1 - smoothing) + smoothing / z.shape[-1]
    surprise = -log_softmax(z)
    return reduced((q * (surprise if w is None else surprise * wrap(w))).sum(-1), reduction)


def linear_cross_entropy(
    x: Any,
    weight: Any,
    targets: Any,
    bias: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """cross_entropy(X·Wᵀ + b, targets), whose logits are never whole: see `gdengine.kernels.linear_cross_entropy`.

    For ``"mean"`` and ``"sum"``, gradients are computed together with the loss where they are wanted, in three products
    in all, and held until the backward; for ``"none"`` the backward computes the logits again, chunk by chunk.

    Args:
        x: ``(..., in)``.
        weight: ``(V, in)``.
        targets: integers ``(...)`` in [0, V), or ``ignore_index``.
        bias: ``(V,)`` or None.
        reduction: as for `cross_entropy`.

    Raises:
        ValueError: a shape does not fit, or ``"mean"`` when no position counts.
        TypeError: the dtypes differ, or targets are not integers.
        IndexError: a target is out of range (not looked at on a GPU).
    """
    x, w = operand(floating(x)), operand(weight)
    b = None if bias is None else operand(bias)
    check_affine("linear_cross_entropy", x.shape, w, b)
    check_alike("linear_cross_entropy", x=x, weight=w, bias=b)
    t = as_tensor(targets)._array
    check_reduction("linear_cross_entropy", reduction)
    if t.shape != x.shape[:-1]:
        raise ValueError(f"linear_cross_entropy of x {x.shape} wants targets {x.shape[:-1]}, got {t.shape}")
    check_indices("linear_cross_entropy", "targets", t, w.shape[0], ignore_index)
    counts = _weight(t, ignore_index, reduction)
    t = beside(t, x._array)
    check_same("linear_cross_entropy", x=x._array, targets=t)
    rows, flat = x._array.reshape(-1, x.shape[-1]), t.reshape(-1)
    arrays = (rows, w._array, flat, None if b is None else b._array)
    own, wide, xp = x.dtype, sum_dtype(x.dtype), namespace(rows)
    at = ((x.shape, own), (w.shape, wide), (w.shape[:1], wide))
    wanted = tuple([part is not None and part.requires_grad and is_grad_enabled() for part in (x, w, b)])

    def differentiate(dlosses: Any, targets: tuple[Any, ...], accumulate: Any) -> Any:
        """The losses; gradients go into ``targets``, of X, W and b, None where not wanted."""
        dx, dw, db = targets
        return kernels.linear_cross_entropy.backward(
            dlosses,
            *arrays,
            ignore_index=ignore_index,
            dx=None if dx is None else dx.reshape(rows.shape),
            dw=dw,
            db=db,
            accumulate=accumulate,
        )

    if reduction == "none" or not any(wanted):
        losses = kernels.linear_cross_entropy.forward(*arrays, ignore_index=ignore_index)

        def backward(dy: Any, into: Any) -> None:
            places = [into(i, *place) for i, place in enumerate(at)]
            dlosses = _upstream(dy, counts, flat.shape).astype(wide, copy=False)
            differentiate(dlosses, tuple([a for a, _ in places]), tuple([add for _, add in places]))

        keeps = (x, w, *tensors_of(targets)) if b is None else (x, w, b, *tensors_of(targets))
    else:
        ones = xp.ones((), wide)
        held: list[Any] = [xp.empty(*place) if want else None for want, place in zip(wanted, at, strict=True)]
        losses = differentiate(_upstream(ones, counts, flat.shape), tuple(held), (False, False, False))

        def backward(dy: Any, into: Any) -> None:
            for i, (gradient, place) in enumerate(zip(held, at, strict=True)):
                target, add = into(i, *place)
                if target is None:
                    continue
                factor = dy.astype(target.dtype, copy=False)
                if add:
                    target += gradient * factor
                else:
                    np.multiply(gradient, factor, out=target)

        keeps = ()
    result = _reduced(losses, t.shape, counts, reduction)
    return record("linear_cross_entropy", result, (x, w, b), backward, keeps=keeps, direct=True)


def nll_loss(
    log_probabilities: Any, targets: Any, *, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """−w[target]·x[target], over the last axis: what `cross_entropy` is of `log_softmax`.

    Args: as those of `cross_entropy`, with ``log_probabilities`` ``(..., V)``.

    Raises:
        ValueError, TypeError, IndexError: as `cross_entropy`.
    """
    x = floating(log_probabilities)
    t = as_tensor(targets)._array
    _check(x, t, ignore_index, reduction, "nll_loss")
    w = class_weights("nll_loss", weight, x)
    t = beside(t, x._array)
    check_same("nll_loss", log_probabilities=x._array, targets=t)
    n, shape, xp = x.shape[-1], x.shape, namespace(t)
    rows, flat = x._array.reshape(-1, n), t.reshape(-1)
    counted = flat != ignore_index
    at = (xp.arange(len(flat)), xp.where(counted, flat, 0))
    dtype = rows.dtype
    own = counted.astype(dtype) if w is None else xp.where(counted, w[at[1]].astype(dtype), dtype.type(0))
    counts = _share_of("nll_loss", own, reduction)

    def backward(dy: Any) -> tuple[Any]:
        dx = xp.zeros(rows.shape, dtype)
        dx[at] = -_upstream(dy, counts, flat.shape) * own
        return (dx.reshape(shape),)

    losses = -own * xp.where(counted, rows[at], dtype.type(0))
    return record("nll_loss", _reduced(losses, t.shape, counts, reduction), (x,), backward, keeps=tensors_of(targets))


# ---- what losses share


def check_reduction(function: str, reduction: str) -> None:
    """Raise unless it is known."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"{function} knows the reductions {REDUCTIONS}, not {reduction!r}")


def reduced(losses: Tensor, reduction: str) -> Tensor:
    """The losses' mean or sum, or themselves."""
    return losses.mean() if reduction == "mean" else losses.sum() if reduction == "sum" else losses


def class_weights(function: str, weight: Any, z: Tensor) -> Any:
    """The weights of z's classes as an array where z lives; None where none are given."""
    if weight is None:
        return None
    w = as_tensor(weight)._array
    if w.shape != z.shape[-1:]:
        raise ValueError(f"{function} of {z.shape} wants a weight for each class, {z.shape[-1:]}, got {w.shape}")
    w = beside(w, z._array)
    check_same(function, logits=z._array, weight=w)
    return w.astype(sum_dtype(z.dtype), copy=False)


def _upstream(dy: Any, counts: Any, shape: tuple[int, ...]) -> Any:
    """The gradient of each loss from that of the result: times what it counts in it."""
    factor = dy.dtype.type(counts) if isinstance(counts, float) else counts.astype(dy.dtype)
    scaled = dy.reshape(-1) * factor
    upstream = namespace(dy).empty(shape, scaled.dtype)
    upstream[...] = scaled
    return upstream


def _reduced(losses: Any, shape: tuple[int, ...], counts: Any, reduction: str) -> Any:
    """The result. Summed in float64: the rounding of a long sum would otherwise show in the reported loss."""
    if reduction == "none":
        return losses.reshape(shape)
    return as_array(losses.sum(dtype=np.float64) * counts).astype(losses.dtype)


def _share_of(function: str, own: Any, reduction: str) -> Any:
    """As `_weight`, where position i counts ``own[i]``."""
    if reduction != "mean":
        return 1.0
    total = own.sum(dtype=np.float64)
    if is_on_cuda(own):
        return 1 / total
    if total == 0:
        raise ValueError(f"{function}: the mean loss over no targets: every one is ignore_index, or of weight 0")
    return float(1 / total)


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


def _hint_at_shape(logits: tuple[int, ...], targets: tuple[int, ...]) -> str:
    """What to write where the logits have PyTorch's order, or the targets an axis too many."""
    if targets == (*logits[:-1], 1):
        return ": write targets.squeeze(-1)"
    if len(logits) > 2 and targets == logits[:1] + logits[2:]:
        order = (0, *range(2, len(logits)), 1)
        return f": classes are axis 1 of these logits, so write logits.permute{order}"
    return ""


def _check(z: Tensor, t: Any, ignore_index: int, reduction: str, function: str = "cross_entropy") -> bool:
    """Raise unless the targets fit; whether they are known to be classes, none of them ignored for lying outside."""
    check_reduction(function, reduction)
    if t.shape != z.shape[:-1] or not z.shape:
        raise ValueError(
            f"{function} of logits {z.shape} wants targets of shape {z.shape[:-1]} (classes are the last axis), got "
            f"{t.shape}{_hint_at_shape(z.shape, t.shape)}"
        )
    return check_indices(function, "targets", t, z.shape[-1], ignore_index)
