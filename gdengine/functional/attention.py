"""Scaled dot-product attention."""

from typing import Any

from .. import kernels
from ..device import check_same, namespace
from ..precision import operand
from ..random import default_generator
from ..tensor import Tensor, record
from .dropout import check_p
from .elementwise import floating
from .masked_attention import masked_attention, repeat_heads


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(scale · Q·Kᵀ)·V for each batch entry and head: see `gdengine.kernels.attention`.

    Args:
        query: ``(B, H, T, D)``.
        key, value: ``(B, H, S, D)``.
        attn_mask: broadcasts to ``(B, H, T, S)``: bool, true where a key may be seen, or floats that are added to the
            scores. A query that may see nothing gets zeros. (Without a mask the fused kernels run, which are faster.)
        dropout_p: how much of the softmax to drop (the caller passes 0 when not training).
        is_causal: position i sees keys 0 … i only; wants T = S.
        scale: 1/√D unless given.
        enable_gqa: key and value may have fewer heads, of which H is a multiple: neighbouring query heads share one.

    Raises:
        ValueError: a shape does not fit, or dropout_p is not in [0, 1).
        TypeError: the dtypes differ.
    """
    q, k, v = operand(floating(query)), operand(floating(key)), operand(floating(value))
    if enable_gqa:
        k, v = _grouped(q, k), _grouped(q, v)
    _check(q, k, v, is_causal)
    if attn_mask is not None:
        return masked_attention(q, k, v, attn_mask, is_causal, scale, _dropout_call(dropout_p))
    heads: tuple[Any, Any, Any] = (_last_contiguous(q._array), _last_contiguous(k._array), _last_contiguous(v._array))
    options: dict[str, Any] = {"causal": is_causal, "scale": scale, "dropout": _dropout_call(dropout_p)}
    o, saved = kernels.attention.forward(*heads, **options)

    def backward(do: Any) -> tuple[Any, Any, Any]:
        return kernels.attention.backward(_last_contiguous(do), *heads, saved, **options)

    return record("scaled_dot_product_attention", o, (q, k, v), backward, keeps=(q, k, v))


def qkv_attention(qkv: Any, n_head: int, *, dropout_p: float = 0.0, is_causal: bool = True) -> Tensor:
    """Self-attention over packed projections, read and written in place: no copy is made to take them apart.

    Args:
        qkv: ``(B, T, 3·C)``: for each position its query, key and value, each ``n_head`` heads of C / n_head.

    Returns:
        ``(B, T, C)``, the heads side by side. Equal to splitting qkv in three, viewing each as
        ``(B, T, n_head, D).transpose(1, 2)``, `scaled_dot_product_attention`, and joining the heads again.

    Raises:
        ValueError: the last axis is not 3·n_head·D, or dropout_p is not in [0, 1).
    """
    qkv = operand(floating(qkv))
    if n_head < 1 or qkv.ndim != 3 or qkv.shape[2] % (3 * n_head):
        raise ValueError(f"qkv_attention wants (B, T, 3·C) with C a multiple of n_head={n_head}, got {qkv.shape}")
    packed = _last_contiguous(qkv._array)
    heads = _heads(packed, n_head)
    options: dict[str, Any] = {"causal": is_causal, "dropout": _dropout_call(dropout_p)}
    o, saved = kernels.attention.forward(*heads, **options)
    joined = (*packed.shape[:2], packed.shape[2] // 3)

    def backward(do: Any) -> tuple[Any]:
        dqkv = namespace(packed).empty(packed.shape, packed.dtype)
        do = _last_contiguous(do).reshape(*joined[:2], n_head, joined[2] // n_head).swapaxes(1, 2)
        kernels.attention.backward(do, *heads, saved, **options, out=_heads(dqkv, n_head))
        return (dqkv,)

    return record("qkv_attention", o.swapaxes(1, 2).reshape(joined), (qkv,), backward, keeps=(qkv,))


def _heads(packed: Any, n_head: int) -> tuple[Any, Any, Any]:
    """Views (B, H, T, D) of the queries, keys and values in (B, T, 3·C)."""
    batch, time, width = packed.shape
    parts = packed.reshape(batch, time, 3, n_head, width // (3 * n_head)).transpose(2, 0, 3, 1, 4)
    return parts[0], parts[1], parts[2]


def _last_contiguous(array: Any) -> Any:
    if array.strides[-1] == array.itemsize or array.size == 0:
        return array
    return namespace(array).ascontiguousarray(array)


def _grouped(q: Tensor, x: Tensor) -> Tensor:
    """Keys or values for every head of queries."""
    if {q.ndim, x.ndim} != {4} or not x.shape[1] or q.shape[1] % x.shape[1]:
        raise ValueError(f"enable_gqa wants query heads a multiple of the key's, got query {q.shape} and {x.shape}")
    return x if x.shape[1] == q.shape[1] else repeat_heads(x, q.shape[1] // x.shape[1])


def _dropout_call(p: float) -> tuple[float, tuple[int, int], int] | None:
    check_p(p)
    return (p, *default_generator.next_call()) if p > 0 else None


def _check(q: Tensor, k: Tensor, v: Tensor, is_causal: bool) -> None:
    shapes = f"got query {q.shape}, key {k.shape}, value {v.shape}"
    if {q.ndim, k.ndim, v.ndim} != {4}:
        raise ValueError(f"attention wants (batch, heads, time, width) three times, {shapes}")
    if k.shape != v.shape or q.shape[:2] != k.shape[:2] or q.shape[3] != k.shape[3]:
        raise ValueError(f"attention wants equal batch, heads and width, and as many keys as values; {shapes}")
    if is_causal and q.shape[2] != k.shape[2]:
        raise ValueError(f"causal attention wants as many queries as keys, {shapes}; pass is_causal=False to decode")
    check_same("attention", query=q._array, key=k._array, value=v._array)
    if len({q.dtype, k.dtype, v.dtype}) > 1:
        raise TypeError(f"attention wants one dtype, got {q.dtype}, {k.dtype}, {v.dtype}")
