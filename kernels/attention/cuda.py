"""Attention on the GPU: which kernels, which tiles, how much shared memory; copies where an array's layout demands one.

Two generations: bfloat16 on tensor cores (attention_mma.cu, sm_80 and up), and float32 with ordinary arithmetic
(attention_simt.cu, any device). Below sm_80 bfloat16 is computed in float32.

``saved`` is (o, lse): lse, float32 (B, H, T), is the logarithm to base 2 of each row's sum of exponentials.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import runtime
from ..common.device_arrays import finish, suffix

SIZES = (32, 64, 128)  # the head sizes that there are kernels for; those between are padded with zeros on the way in
THREADS = 128
PASSES = runtime.Source(__file__, "attention_passes.cu")


@dataclass(frozen=True)
class Generation:
    """The kernels of one source, and for each of them and each of SIZES the rows that a block works for (``own``) and
    those that come by at a time (``passing``): as the source's entries have them.
    """

    name: str
    alignment: int  # bytes: what addresses and strides must be a multiple of
    stages: int  # how many tiles of passing rows there are
    own: dict[str, tuple[int, ...]]
    passing: dict[str, tuple[int, ...]]

    def dtype(self, array: Any) -> Any:
        """What ``array`` has to be to run here."""
        return array.dtype if self.name == "mma" else np.dtype(np.float32)


MMA = Generation(
    *("mma", 16, 2),
    own={"forward": (128, 128, 128), "backward_keys": (64, 64, 64), "backward_queries": (128, 128, 64)},
    passing={"forward": (64, 64, 32), "backward_keys": (64, 64, 32), "backward_queries": (64, 64, 32)},
)
SIMT = Generation(
    *("simt", 4, 1),
    own={"forward": (64, 64, 32), "backward_keys": (64, 64, 32), "backward_queries": (64, 64, 32)},
    passing={"forward": (32, 32, 32), "backward_keys": (32, 32, 16), "backward_queries": (32, 32, 16)},
)
SOURCES = {kind.name: runtime.Source(__file__, f"attention_{kind.name}.cu") for kind in (MMA, SIMT)}


def forward(q, k, v, *, causal, scale=None, dropout=None):
    _check(q, k, v, causal)
    kind, dtype, scale = _generation(q), q.dtype, _scale(q.shape[3], scale)
    if scale <= 0:  # the kernels take the largest product for the largest score
        q = (q.astype(np.float32) * np.float32(-1 if scale else 0)).astype(dtype)
        scale = -scale or 1.0
    q, (k, v) = _readable(kind, q), _alike(kind, k, v)
    o = _rows_outside(q.shape, q.dtype)
    lse = runtime.device().empty(q.shape[:3], np.float32)
    arguments = (q, *_strides(q), k, v, *_strides(k), o, lse)
    _launch(kind, "forward", arguments, q, k, causal, scale, dropout)
    return o.astype(dtype, copy=False), (o, lse)


def backward(do, q, k, v, saved, *, causal, scale=None, dropout=None, out=None):
    _check(q, k, v, causal)
    if do.shape != q.shape or do.dtype != q.dtype:
        raise ValueError(f"do must be {q.dtype} {q.shape} as q is, got {do.dtype} {do.shape}")
    o, lse = saved
    kind, dtype, scale = _generation(q), q.dtype, _scale(q.shape[3], scale)
    out = (None, None, None) if out is None else out
    (dq,), (dk, dv) = _writable(kind, q, out[:1]), _writable(kind, k, out[1:])
    do, q, (k, v) = _readable(kind, do), _readable(kind, q), _alike(kind, k, v)
    delta = _delta(do, o)
    arguments = (do, *_strides(do), q, *_strides(q), k, v, *_strides(k), lse, delta)
    options = (q, k, causal, scale, dropout)
    _launch(kind, "backward_keys", (*arguments, dk, dv, *_strides(dk)), *options)
    _launch(kind, "backward_queries", (*arguments, dq, *_strides(dq)), *options)
    return tuple(finish(grad.astype(dtype, copy=False), into) for grad, into in zip((dq, dk, dv), out, strict=True))


def _check(q: Any, k: Any, v: Any, causal: bool) -> None:
    batch, heads, queries, size = q.shape
    keys = k.shape[2]
    suffix(q, "attention")
    for array, name in ((k, "k"), (v, "v")):
        if array.shape != (batch, heads, keys, size):
            raise ValueError(f"{name} must have the shape {(batch, heads, keys, size)}, got {array.shape}")
        if array.dtype != q.dtype:
            raise TypeError(f"{name} must be {q.dtype} as q is, got {array.dtype}")
    if keys == 0:
        raise ValueError(f"attention needs at least one key, got k of shape {k.shape}")
    if causal and queries != keys:
        raise ValueError(f"causal attention wants as many keys as queries, got {queries} queries and {keys} keys")
    if not 1 <= size <= SIZES[-1]:
        raise ValueError(f"attention on the GPU takes heads of 1 to {SIZES[-1]} elements, got q of shape {q.shape}")


def _generation(q: Any) -> Generation:
    return MMA if q.dtype.name == "bfloat16" and runtime.device().capability >= (8, 0) else SIMT


def _scale(size: int, scale: float | None) -> float:
    return 1 / math.sqrt(size) if scale is None else float(scale)


def _strides(array: Any) -> tuple[int, ...]:
    """From batch to batch, head to head, row to row, in elements; 0 where there is only one."""
    axes = zip(array.shape[:3], array.strides[:3], strict=True)
    return tuple(stride // array.itemsize if length > 1 else 0 for length, stride in axes)


def _address(array: Any) -> int:
    return array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr


def _by_stride(array: Any, alignment: int) -> bool:
    """Whether a kernel can go through it: rows of neighbouring elements, starting at multiples of ``alignment``."""
    if array.shape[3] > 1 and array.strides[3] != array.itemsize:
        return False
    return not any(n % alignment for n in (_address(array), *(array.itemsize * n for n in _strides(array))))


def _readable(kind: Generation, array: Any) -> Any:
    """``array`` in the generation's dtype, itself where it can be, else a copy with rows that start aligned."""
    array = array.astype(kind.dtype(array), copy=False)
    return array if _by_stride(array, kind.alignment) else _copy(array)


def _alike(kind: Generation, k: Any, v: Any) -> tuple[Any, Any]:
    """Both readable, with the same strides."""
    k, v = _readable(kind, k), _readable(kind, v)
    return (k, v) if _strides(k) == _strides(v) else (_copy(k), _copy(v))


def _copy(array: Any) -> Any:
    size = array.shape[3]
    copy = runtime.device().empty((*array.shape[:3], -(-size // 8) * 8), array.dtype)[..., :size]
    copy[...] = array
    return copy


def _rows_outside(shape: tuple[int, ...], dtype: Any) -> Any:
    """A new (B, H, T, D), in memory (B, T, H, D): joining the heads of a position costs no copy."""
    batch, heads, rows, size = shape
    return runtime.device().empty((batch, rows, heads, size), dtype).swapaxes(1, 2)


def _writable(kind: Generation, like: Any, outs: tuple[Any, ...]) -> list[Any]:
    """Arrays for gradients of the shape of ``like``, strides alike: those of ``outs`` where they can be, else new."""
    dtype = kind.dtype(like)
    for out in outs:
        if out is not None and (out.shape != like.shape or out.dtype != like.dtype):
            raise ValueError(f"out must hold {like.dtype} {like.shape} here, got {out.dtype} {out.shape}")
    fitting = [out for out in outs if out is not None and out.dtype == dtype and _by_stride(out, out.itemsize)]
    if len(fitting) == len(outs) and len({_strides(out) for out in outs}) == 1:
        return fitting
    return [_rows_outside(like.shape, dtype) for _ in outs]


def _delta(do: Any, o: Any) -> Any:
    """Σ do ⊙ o over each row."""
    batch, heads, queries, size = do.shape
    delta = runtime.device().empty((batch, heads, queries), np.float32)
    if delta.size:
        runtime.launch(
            PASSES[f"attention_delta_{suffix(do, 'attention')}"],
            grid=(-(-delta.size // 32),),
            block=(256,),
            arguments=(do, *_strides(do), o, delta, batch, heads, queries, size),
        )
    return delta


def _launch(
    kind: Generation, kernel: str, arguments: tuple, q: Any, k: Any, causal: bool, scale: float, dropout: Any
) -> None:
    """Run a kernel for every ``own`` rows of every head."""
    batch, heads, queries, size = q.shape
    keys = k.shape[2]
    which = next(i for i, most in enumerate(SIZES) if size <= most)
    own, passing = kind.own[kernel][which], kind.passing[kernel][which]
    blocks = batch * heads * -(-(keys if kernel == "backward_keys" else queries) // own)
    p, key, call = dropout or (0, (0, 0), 0)
    settings = (math.ceil(p * 2**24), 1 / (1 - p), *key, call, runtime.random_base())
    if blocks:
        runtime.launch(
            SOURCES[kind.name][f"attention_{kind.name}_{kernel}_{SIZES[which]}"],
            grid=(blocks,),
            block=(THREADS,),
            arguments=(*arguments, heads, queries, keys, size, int(causal), scale, *settings),
            shared_bytes=_shared_bytes(kind, kernel, own, passing, SIZES[which]),
        )


def _shared_bytes(kind: Generation, kernel: str, own: int, passing: int, size: int) -> int:
    """As the sources divide it up."""
    row = size * (2 if kind is MMA else 4) + 16
    operands = (own * (1 if kernel == "forward" else 2) + passing * 2 * kind.stages) * row
    statistics = 2 * kind.stages * passing * 4 if kernel == "backward_keys" else 0
    weights = 0 if kind is MMA else own * (passing + 4) * 4  # mma keeps them in registers
    queries, keys = (passing, own) if kernel == "backward_keys" else (own, passing)
    return operands + statistics + weights + kind.stages * queries * -(-keys // 32) * 4  # a bit for each weight
