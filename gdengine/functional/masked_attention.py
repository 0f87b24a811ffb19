"""Attention with masks, and with fewer heads of keys and values than of queries."""

import math
from typing import Any

import numpy as np

from .. import kernels
from ..device import beside, check_same, namespace
from ..kernels.common.wide import narrow, wide
from ..tensor import Tensor, as_tensor, is_floating, record
from .elementwise import unbroadcast


def masked_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Any, is_causal: bool, scale: float | None, dropout: Any
) -> Tensor:
    """softmax(scale · Q·Kᵀ + M)·V, with M = ``mask`` where it is of floats, 0 or −∞ where it is bool.

    A query that may see nothing gets zeros, and gives none: as PyTorch's. The scores stand in memory, (B, H, T, S).

    Backward, with P the softmax after dropout and dP = dO·Vᵀ: dS = P ⊙ (dP − Σ dP ⊙ P), dQ = scale · dS·K, dK = scale ·
    dSᵀ·Q, dV = Pᵀ·dO, dM = dS summed over what was repeated.
    """
    m = as_tensor(mask)
    if m._array.dtype != np.bool_ and not is_floating(m.dtype):
        raise TypeError(f"an attention mask is bool (true: may be seen) or of floats that are added, got {m.dtype}")
    m_array = beside(m._array, q._array) if m._edge is None else m._array
    check_same("attention", query=q._array, attn_mask=m_array)
    scores_shape = (*q.shape[:3], k.shape[2])
    if len(m.shape) > 4 or _broadcast(m.shape, scores_shape) != scores_shape:
        raise ValueError(
            f"an attention mask broadcasts to {scores_shape}, (batch, heads, queries, keys); got {m.shape}"
        )
    if not k.shape[2]:
        raise ValueError(f"attention needs at least one key, got key of shape {k.shape}")
    queries, keys, values = wide(q._array), wide(k._array), wide(v._array)
    factor = 1 / math.sqrt(q.shape[3]) if scale is None else float(scale)
    s = kernels.matmul.forward(queries, keys.swapaxes(2, 3)) * factor
    s = np.where(m_array, s, -np.inf) if m_array.dtype == np.bool_ else s + m_array.astype(s.dtype, copy=False)
    if is_causal:
        xp = namespace(s)
        s = np.where(xp.arange(s.shape[2])[:, None] >= xp.arange(s.shape[3]), s, -np.inf)
    p = _softmax(s)
    kept = p if dropout is None else kernels.dropout.forward(p, *dropout)
    o = kernels.matmul.forward(kept, values)
    dtypes, at_mask = (q.dtype, k.dtype, v.dtype), (m.shape, m.dtype)

    def backward(do: Any) -> tuple[Any, ...]:
        do = wide(do)
        dp = kernels.matmul.forward(do, values.swapaxes(2, 3))
        dp = dp if dropout is None else kernels.dropout.forward(dp, *dropout)
        ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True))
        dq = kernels.matmul.forward(ds, keys) * factor
        dk = kernels.matmul.forward(ds.swapaxes(2, 3), queries) * factor
        dv = kernels.matmul.forward(kept.swapaxes(2, 3), do)
        grads = (d.astype(dtype, copy=False) for d, dtype in zip((dq, dk, dv), dtypes, strict=True))
        return (*grads, unbroadcast(ds, *at_mask) if m.requires_grad else None)

    return record("masked_attention", narrow(o, q._array), (q, k, v, m), backward, keeps=(q, k, v))


def repeat_heads(x: Tensor, times: int) -> Tensor:
    """Each head of keys or values ``(B, H, S, D)`` ``times`` over. Backward: their sum."""
    batch, heads, keys, size = x.shape

    def backward(dy: Any) -> tuple[Any]:
        parts = wide(dy).reshape(batch, heads, times, keys, size)
        return (narrow(parts.sum(axis=2), dy),)

    return record("repeat_heads", x._array.repeat(times, axis=1), (x,), backward)


def _softmax(s: Any) -> Any:
    """Over the last axis; zeros where all is −∞."""
    top = s.max(axis=-1, keepdims=True)
    e = np.exp(s - np.where(top == -np.inf, s.dtype.type(0), top))
    total = e.sum(axis=-1, keepdims=True)
    return e / np.where(total == 0, s.dtype.type(1), total)


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    try:
        return np.broadcast_shapes(a, b)
    except ValueError:
        return None
