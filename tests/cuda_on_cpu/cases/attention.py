"""Attention: O, and the three gradients computed from the saved O and lse.

A score is a sum of D products, off by at most (D + 8)·u·A with A = |scale|·max Σ|q||k| over the row's keys; the
exponent that is subtracted from it is no larger, and every tile of keys rescales what was summed by an exponential of
such numbers, good to 2 ulp. So weights are off by a factor 1 + `_relative`, which is multiplied by what they are summed
with. bfloat16: P and dS are rounded to it, 2⁻⁸ of each, before they are multiplied; all else is float32.
"""

import numpy as np
import pytest

from gdengine.kernels import runtime
from gdengine.kernels.attention import cuda, reference
from gdengine.kernels.dropout import reference as dropping
from gdengine.kernels.philox import reference as philox

from ..device import EmulatedDevice
from . import BF16, FLOATS, U, assert_within, case, normal, unaligned, wide

DROPOUT = (0.3, (0x12345678, 0x9ABCDEF0), 2**40 + 3)
F32 = FLOATS[0]


def _arrays(batch: int, heads: int, queries: int, keys: int, size: int, dtype: np.dtype) -> list[np.ndarray]:
    """q, k, v and do."""
    q, do = (normal(batch, heads, queries, size, dtype=dtype, seed=seed) for seed in (0, 3))
    k, v = (normal(batch, heads, keys, size, dtype=dtype, seed=seed) for seed in (1, 2))
    return [q, k, v, do]


def _heads(packed: np.ndarray, heads: int) -> list[np.ndarray]:
    """Views (B, H, T, D) of the three parts of (B, T, 3·C), as gdengine.functional takes them apart."""
    batch, time, width = packed.shape
    return list(packed.reshape(batch, time, 3, heads, width // (3 * heads)).transpose(2, 0, 3, 1, 4))


def _relative(q: np.ndarray, k: np.ndarray, scale: float) -> np.ndarray:
    """By how much of itself a weight may be off, for each query."""
    size = np.abs(scale) * (np.abs(q) @ np.abs(k).swapaxes(-1, -2)).max(axis=-1, keepdims=True)
    tiles = k.shape[2] / 16 + 1
    return 2 * U * ((q.shape[3] + 8) * size + tiles * (2 * size + 4) + k.shape[2] + 20)


def _check(q, k, v, do, causal: bool, what: str, out=None, dropout=None, scale=None) -> tuple:
    """Forward and backward against the reference in float64; returns what they gave."""
    options = {"causal": causal, "scale": scale, "dropout": dropout}
    o, saved = cuda.forward(q, k, v, **options)
    grads = cuda.backward(do, q, k, v, saved, out=out, **options)
    dtype, rounding = q.dtype, 2.0**-8 if q.dtype == BF16 else 0.0
    if out is not None:
        assert all(got is given for got, given in zip(grads, out, strict=True))
    q, k, v, do = wide(q), wide(k), wide(v), wide(do)
    exact_o, p = reference.forward(q, k, v, **options)
    assert o.dtype == dtype
    assert o.swapaxes(1, 2).flags.c_contiguous
    used, factor = p, np.ones_like(p)
    if dropout is not None:
        used, factor = dropping.forward(p, *dropout), dropping.forward(factor, *dropout)
    scale = q.shape[3] ** -0.5 if scale is None else scale
    relative = _relative(q, k, scale)
    bound_o = (relative + rounding + 4 * U) * (used @ np.abs(v))
    assert_within(o, exact_o, bound_o, f"{what}: o")

    exact = reference.backward(do, q, k, v, p, **options)
    several = (max(q.shape[2:]) + 16) * U
    unit = 2.0**-8 if dtype == BF16 else U
    dp = factor * (do @ v.swapaxes(-1, -2))
    size_dp = factor * (np.abs(do) @ np.abs(v).swapaxes(-1, -2))
    delta = (dp * p).sum(axis=-1, keepdims=True)
    off_o = bound_o + unit * (np.abs(exact_o) + bound_o)
    size_delta = (np.abs(do) * np.abs(exact_o)).sum(axis=-1, keepdims=True)
    off_delta = (np.abs(do) * off_o).sum(axis=-1, keepdims=True) + several * size_delta
    ds = p * np.abs(dp - delta)
    off_ds = relative * ds + p * (several * size_dp + off_delta + 4 * U * (np.abs(dp) + np.abs(delta)))
    off_ds += (rounding + several) * (ds + off_ds)
    bounds = (
        np.abs(scale) * (off_ds @ np.abs(k) + 4 * U * (ds @ np.abs(k))),
        np.abs(scale) * (off_ds.swapaxes(-1, -2) @ np.abs(q) + 4 * U * (ds.swapaxes(-1, -2) @ np.abs(q))),
        ((relative + rounding + several) * used).swapaxes(-1, -2) @ np.abs(do),
    )
    for values in zip(grads, exact, bounds, ("dq", "dk", "dv"), strict=True):
        assert_within(*values[:3], f"{what}: {values[3]}")
    return o, saved, grads


@case
def causal_f32() -> None:
    for time, size in ((1, 8), (17, 40), (70, 64), (37, 128)):
        _check(*_arrays(1, 2, time, time, size, F32), True, f"f32 {time, size}")


@case
def full_f32() -> None:
    for queries, keys, size in ((1, 65, 64), (67, 33, 20), (35, 70, 128)):
        _check(*_arrays(2, 1, queries, keys, size, F32), False, f"f32 {queries, keys, size}")


@case
def causal_bf16() -> None:
    for time, size in ((1, 8), (17, 40), (130, 64), (37, 128)):
        _check(*_arrays(1, 1, time, time, size, BF16), True, f"bf16 {time, size}")


@case
def full_bf16() -> None:
    for queries, keys, size in ((1, 65, 64), (67, 33, 24), (35, 70, 128)):
        _check(*_arrays(1, 1, queries, keys, size, BF16), False, f"bf16 {queries, keys, size}")


@case
def packed_views() -> None:
    """q, k and v cut from one buffer, gradients written into another; the neighbours of what is written stay."""
    for dtype in FLOATS:
        for size in (16, 20):
            packed, grads = normal(2, 21, 3 * 2 * size, dtype=dtype), np.full((2, 21, 3 * 2 * size), np.nan, dtype)
            do = normal(2, 21, 2, size, dtype=dtype, seed=1).swapaxes(1, 2)
            _check(*_heads(packed, 2), do, True, f"{dtype} {size} packed", out=tuple(_heads(grads, 2)))


@case
def arrays_in_any_layout() -> None:
    """Unaligned, with strides of their own, broadcast, gradients into views that differ; every one as if contiguous."""
    for dtype in FLOATS:
        arrays = _arrays(2, 2, 9, 9, 24, dtype)
        o, saved, grads = _check(*arrays, True, f"{dtype} contiguous")
        q, k, v, do = arrays
        others = [
            [unaligned(array) for array in arrays],
            [q, k.swapaxes(1, 2).copy().swapaxes(1, 2), v, do.swapaxes(1, 2).copy().swapaxes(1, 2)],
            [array.swapaxes(2, 3).copy().swapaxes(2, 3) for array in arrays],
            [np.concatenate([array, array], axis=3)[..., :24] for array in arrays],
        ]
        outs = [
            [unaligned(array) for array in (q, k, v)],
            [q.swapaxes(0, 1).copy().swapaxes(0, 1), k.copy(), v.swapaxes(1, 2).copy().swapaxes(1, 2)],
            [np.zeros((*array.shape[:3], 48), dtype)[..., ::2] for array in (q, k, v)],
            [np.zeros((*array.shape[:3], 25), dtype)[..., 1:] for array in (q, k, v)],
        ]
        for (q, k, v, do), out in zip(others, outs, strict=True):
            np.testing.assert_array_equal(cuda.forward(q, k, v, causal=True)[0], o)
            got = cuda.backward(do, q, k, v, saved, causal=True, out=tuple(out))
            for one, given, same in zip(got, out, grads, strict=True):
                assert one is given
                np.testing.assert_array_equal(one, same)
    q, k, v, do = _arrays(2, 3, 5, 6, 8, FLOATS[0])
    _check(q, np.broadcast_to(k[:1], k.shape), np.broadcast_to(v[:1], v.shape), do, False, "broadcast")


@case
def dropout() -> None:
    for dtype in FLOATS:
        _check(*_arrays(1, 2, 35, 35, 32, dtype), True, f"{dtype} causal", dropout=DROPOUT)
        _check(*_arrays(1, 1, 70, 67, 64, dtype), False, f"{dtype} full", dropout=DROPOUT)
        _check(*_arrays(1, 1, 20, 36, 128, dtype), False, f"{dtype} full", dropout=DROPOUT)
        _check(*_arrays(1, 1, 5, 4, 8, dtype), False, f"{dtype} p = 0", dropout=(0.0, *DROPOUT[1:]))


@case
def which_weights_are_dropped() -> None:
    """With V = 1, O is dropout(P) itself: the zeros are the mask's, exactly; and the call counts from device memory."""
    for dtype in FLOATS:
        q, k = normal(2, 1, 30, 64, dtype=dtype), normal(2, 1, 61, 64, dtype=dtype, seed=1)
        v = np.broadcast_to(np.eye(61, 64, dtype=dtype), k.shape)
        kept = dropping.forward(np.ones((2, 1, 30, 61)), *DROPOUT) > 0
        o, _ = cuda.forward(q, k, v, causal=False, dropout=DROPOUT)
        np.testing.assert_array_equal(o[..., :61] > 0, kept)
        with runtime.counting_from(np.array([2**40], np.uint64)):
            counted, _ = cuda.forward(q, k, v, causal=False, dropout=(*DROPOUT[:2], 3))
        np.testing.assert_array_equal(counted, o)


@case
def an_element_at_the_threshold_stays() -> None:
    """p is chosen so that an element draws exactly ⌈p·2²⁴⌉: it stays, and with p one step of 2⁻²⁴ higher it goes."""
    _, key, call = DROPOUT
    drawn = philox.bits(key, call, 4) >> np.uint32(8)
    for dtype in FLOATS:
        q, v = np.ones((1, 1, 1, 4), dtype), np.eye(4, dtype=dtype)[None, None]
        for element in range(4):
            for step, stays in ((0, True), (1, False)):
                p = (int(drawn[element]) + step) * 2.0**-24
                o, _ = cuda.forward(q, v, v, causal=False, dropout=(p, key, call))
                assert (float(o[0, 0, 0, element]) > 0) == stays, f"{dtype} {element} {step}"


@case
def scales() -> None:
    for dtype in FLOATS:
        for scale in (0.7, -0.4, 0.0):
            arrays = _arrays(1, 1, 20, 20, 16, dtype)
            _check(*arrays, scale > 0, f"{dtype} scale {scale}", scale=scale)


@case
def extreme_scores() -> None:
    """Scores of ±10⁴ neither overflow nor lose a row; the greatest key comes first, last, between, or is none."""
    for dtype in FLOATS:
        q, k, v = (normal(1, 1, 70, 32, dtype=dtype, seed=seed) for seed in range(3))
        q[...], k[..., 1:] = 8, 0
        for places, height in (([0], 300), ([69], 300), ([33], 300), ([5], -300), (range(70), -300)):
            k[..., 0] = 0
            k[0, 0, places, 0] = height
            seen = k[0, 0, :, 0] == k[0, 0, :, 0].max()
            o, saved = cuda.forward(q, k, v, causal=False, scale=4.0)
            exact = np.broadcast_to(wide(v)[:, :, seen].mean(axis=2, keepdims=True), v.shape)
            rounding = (2.0**-8 if dtype == BF16 else 0) + 100 * U
            assert_within(o, exact, rounding * np.abs(wide(v)).max() * np.ones(v.shape), f"{dtype} {places} {height}")
            for grad in cuda.backward(v, q, k, v, saved, causal=False, scale=4.0):
                assert np.isfinite(wide(grad)).all()


@case
def old_devices_compute_bfloat16_in_float32() -> None:
    with runtime.substituted(EmulatedDevice(capability=(7, 5))):
        _check(*_arrays(1, 1, 9, 7, 12, BF16), False, "sm_75")
        packed, grads = normal(1, 5, 3 * 2 * 8, dtype=BF16), np.zeros((1, 5, 3 * 2 * 8), BF16)
        do = normal(1, 5, 2, 8, dtype=BF16, seed=1).swapaxes(1, 2)
        _check(*_heads(packed, 2), do, True, "sm_75 packed", out=tuple(_heads(grads, 2)), scale=-0.2)


@case
def nothing_to_do() -> None:
    for dtype in FLOATS:
        for batch, heads, queries, keys in ((0, 2, 3, 3), (2, 0, 3, 3), (1, 2, 0, 3)):
            q, k, v, do = _arrays(batch, heads, queries, keys, 8, dtype)
            o, saved = cuda.forward(q, k, v, causal=False)
            assert o.shape == q.shape
            dq, dk, dv = cuda.backward(do, q, k, v, saved, causal=False)
            assert dq.shape == q.shape
            np.testing.assert_array_equal(dk, np.zeros_like(k))
            np.testing.assert_array_equal(dv, np.zeros_like(v))


@case
def what_cannot_be_done() -> None:
    q, k, v, do = _arrays(1, 1, 3, 4, 8, F32)
    with pytest.raises(ValueError, match="as many keys as queries"):
        cuda.forward(q, k, v, causal=True)
    with pytest.raises(ValueError, match="at least one key"):
        cuda.forward(q, k[:, :, :0], v[:, :, :0], causal=False)
    with pytest.raises(ValueError, match="v must have the shape"):
        cuda.forward(q, k, v[:, :, :3], causal=False)
    with pytest.raises(TypeError, match="k must be float32"):
        cuda.forward(q, k.astype(BF16), v, causal=False)
    with pytest.raises(TypeError, match="float32 and bfloat16"):
        cuda.forward(wide(q), wide(k), wide(v), causal=False)
    long = normal(1, 1, 3, 129)
    with pytest.raises(ValueError, match="heads of 1 to 128 elements"):
        cuda.forward(long, long, long, causal=True)
    _, saved = cuda.forward(q, k, v, causal=False)
    with pytest.raises(ValueError, match="do must be float32"):
        cuda.backward(do[:, :, :2], q, k, v, saved, causal=False)
    with pytest.raises(ValueError, match="out must hold float32"):
        cuda.backward(do, q, k, v, saved, causal=False, out=(q, k, v.astype(BF16)))
