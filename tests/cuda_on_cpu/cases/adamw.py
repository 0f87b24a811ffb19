"""Adam and AdamW. With g the gradient after scaling (and coupled decay), e(g) ≤ 4u·Σ|its terms|; m and v are each two
products and a sum of such terms; the quotient takes a root, a product, a sum and a division, each within a rounding.
"""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from gdengine.kernels.adamw import cuda, reference
from gdengine.kernels.common.chunks import parts
from gdengine.kernels.philox import reference as philox

from . import BF16, U, assert_within, case, normal, unaligned, wide

SETTINGS = {"lr": 1e-2, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}


def _state(size: int) -> list[np.ndarray]:
    theta, grad, m = (normal(size, seed=seed) for seed in range(3))
    return [theta, grad, 0.1 * m, 0.01 * np.abs(normal(size, seed=3))]


def _exact(state: list[np.ndarray], v_max: Any = None, **settings: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What the reference makes of theta, m and v (and v_max, in place) in float64, and how far float32 may be off."""
    theta, grad, m, v = map(wide, state)
    before = np.abs(theta)
    beta1, beta2 = settings["betas"]
    step, lr, scale = settings["step"], settings["lr"], settings.get("grad_scale", 1.0)
    coupled = 0.0 if settings.get("decoupled", True) else settings["weight_decay"]
    g = scale * np.abs(grad) + coupled * before
    e_g = 4 * U * g
    e_m = 4 * U * np.abs(beta1 * m) + (1 - beta1) * (e_g + 4 * U * g)
    e_v = 4 * U * beta2 * v + (1 - beta2) * (2 * g * e_g + 6 * U * g * g)
    reference.step(theta, grad, m, v, v_max=v_max, **settings)
    rate = lr / (1 - beta1**step)
    largest = v if v_max is None else v_max
    root = np.sqrt(largest) / np.sqrt(1 - beta2**step)
    below = root + settings["eps"]
    e_below = root * (0.5 * e_v / np.maximum(largest, 1e-30) + 4 * U) + 2 * U * below
    e_update = rate * (e_m / below + np.abs(m) / below * (e_below / below + 6 * U))
    return [theta, m, v], [4 * U * before + e_update + U * np.abs(theta), e_m, e_v]


def _check(state: list[np.ndarray], expected: tuple, what: str) -> None:
    for got, exact, bound, name in zip((state[0], state[2], state[3]), *expected, ("theta", "m", "v"), strict=True):
        assert_within(got, exact, bound, f"{what}: {name}")


@case
def step() -> None:
    for size in (1, 3, 1030, 4096 * 2 + 5):
        for extra in ({"step": 1}, {"step": 1000, "grad_scale": 0.25}, {"step": 7, "decoupled": False}):
            settings = {**SETTINGS, **extra}
            state = _state(size)
            expected = _exact(state, **settings)
            cuda.step(*state, **settings)
            _check(state, expected, f"{size} {extra}")


@case
def amsgrad() -> None:
    """The largest v is kept, and its root taken: it is off by as much as v may be. Through parts, with gaps, too."""
    for size, wrap in ((1030, np.copy), (4096 + 5, np.copy), (103, unaligned)):
        state = [wrap(vector) for vector in _state(size)]
        v_max = wrap(0.01 * np.abs(normal(size, seed=4)))
        most, settings = wide(v_max), {**SETTINGS, "step": 7, "grad_scale": 0.25}
        expected = _exact(state, v_max=most, **settings)
        cuda.step(*state, v_max=v_max, **settings)
        _check(state, expected, f"{size}")
        assert_within(v_max, most, expected[1][2], f"{size}: v_max")
        assert 0 < (v_max > state[3]).sum() < size
    before = wrap(0.01 * np.abs(normal(size, seed=4)))
    v_max, rows = before.copy(), np.array([cuda.coefficients(**settings)], np.float32)
    cuda.step_flat(*state, v_max=v_max, chunks=parts(size, [(4, 9, 0), (64, 90, 0)]), coefficients=rows)
    inside = np.isin(np.arange(size), [*range(4, 9), *range(64, 90)])
    np.testing.assert_array_equal(v_max, np.where(inside, np.maximum(before, state[3]), before))


@case
def step_of_unaligned_vectors() -> None:
    settings = {**SETTINGS, "step": 2}
    state = [unaligned(vector) for vector in _state(103)]
    expected = _exact(state, **settings)
    cuda.step(*state, **settings)
    _check(state, expected, "unaligned")


@case
def vectors_that_cannot_be_updated_in_place_are_refused() -> None:
    state = _state(6)
    for wrong, message in ((np.ones(12, np.float32)[::2], "must be contiguous"), (np.ones(5, np.float32), "the shape")):
        with pytest.raises(ValueError, match=message):
            cuda.step(state[0], state[1], wrong, state[3], **SETTINGS, step=1)


@case
def parts_and_groups() -> None:
    """Many parts of two groups, with gaps that stay as they were; the shadow is theta rounded, in the parts only."""
    size, cut = 30_000, [(0, 4100, 0), (4128, 4160, 1), (8000, 27_987, 0)]
    cut += [(start, start + 30, start // 64 % 2) for start in range(28_032, 29_952, 64)]  # more than there are blocks
    groups = [{**SETTINGS, "step": 3}, {**SETTINGS, "lr": 0.1, "weight_decay": 0.3, "decoupled": False, "step": 11}]
    state, before = _state(size), _state(size)
    shadow = np.zeros(size, BF16)
    coefficients = np.array([cuda.coefficients(**g, grad_scale=2.0) for g in groups], np.float32)
    ok, clip = np.array([1], np.int32), np.array([0.25], np.float32)
    cuda.step_flat(*state, chunks=parts(size, cut), coefficients=coefficients, clip=clip, ok=ok, shadow=shadow)
    inside = np.zeros(size, bool)
    for start, stop, group in cut:
        inside[start:stop] = True
        expected = _exact([vector[start:stop] for vector in before], grad_scale=0.5, **groups[group])
        _check([vector[start:stop] for vector in state], expected, f"{start} … {stop}")
    for got, was in zip(state, before, strict=True):
        np.testing.assert_array_equal(got[~inside], was[~inside])
    np.testing.assert_array_equal(shadow, np.where(inside, state[0].astype(BF16), np.zeros((), BF16)))


@case
def nothing_moves_where_the_gradient_is_not_finite() -> None:
    state, before, shadow = _state(50), _state(50), np.zeros(50, BF16)
    coefficients, ok, clip = np.ones((1, 10), np.float32), np.array([0], np.int32), np.array([np.nan], np.float32)
    chunks = parts(50, [(0, 50, 0)])
    cuda.step_flat(*state, chunks=chunks, coefficients=coefficients, clip=clip, ok=ok, shadow=shadow)
    for got, was in zip((*state, shadow), (*before, np.zeros(50, BF16)), strict=True):
        np.testing.assert_array_equal(got, was)


@case
def stochastic_rounding() -> None:
    """The shadow is theta plus the random bits below bfloat16's, cut off."""
    for size, wrap in ((5000, np.copy), (70, unaligned)):
        state, shadow = [wrap(vector) for vector in _state(size)], np.zeros(size, BF16)
        state[0][5] = np.inf
        coefficients = np.array([[1, 0, 1, 0.9, 0.1, 0.9, 0.1, 1e-3, 1, 1e-8]], np.float32)
        key, call = (7, 8), np.array([2**33 + 5], np.uint64)
        cut = [(0, size - 3, 0), (size - 3, size, 0)]
        cuda.step_flat(*state, chunks=parts(size, cut), coefficients=coefficients, shadow=shadow, rounding=(key, call))
        random = philox.bits(key, int(call[0]), size) & np.uint32(0xFFFF)
        bits = (state[0].view(np.uint32) + random) >> 16
        expected = bits.astype(np.uint16).view(ml_dtypes.bfloat16)
        expected[5] = np.inf
        np.testing.assert_array_equal(shadow, expected)
