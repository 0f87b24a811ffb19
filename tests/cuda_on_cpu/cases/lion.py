"""Lion: where the interpolated momentum is near 0 its sign may be either, so inputs keep away from there; the rest is
products and sums, a rounding each.
"""

from typing import Any

import numpy as np

from gdengine.kernels.common.chunks import parts
from gdengine.kernels.lion import cuda, reference

from . import BF16, U, assert_within, case, normal, unaligned, wide

SETTINGS: dict[str, Any] = {"lr": 0.05, "betas": (0.75, 0.96), "weight_decay": 0.3}


def _vectors(size: int) -> list[np.ndarray]:
    """Gradients of sizes 8 … 16 and momenta of 2: (1 − β₁)·g clearly outweighs β₁·m, and (1 − β₂)·g not β₂·m."""
    signs = np.where(normal(size, seed=5) > 0, 1, -1).astype(np.float32)
    large = np.float32(8) * (1 + np.abs(np.sin(normal(size, seed=1))))
    return [normal(size), large * np.where(normal(size, seed=6) > 0, 1, -1).astype(np.float32), 2 * signs]


def _check(vectors: list[np.ndarray], what: str, **settings: Any) -> None:
    theta, grad, m = (wide(vector) for vector in vectors)
    sizes = np.abs(theta) + settings["lr"], np.abs(m) + 2 * np.abs(grad)
    reference.step(theta, grad, m, **settings)
    cuda.step(*vectors, **settings)
    assert_within(vectors[0], theta, 6 * U * sizes[0], f"{what}: theta")
    assert_within(vectors[2], m, 8 * U * sizes[1], f"{what}: m")


@case
def step() -> None:
    for extra in ({}, {"grad_scale": -2.0}, {"weight_decay": 0.0}):
        for size in (1, 1030, 4096 + 5):
            _check(_vectors(size), f"{size} {extra}", **{**SETTINGS, **extra})
        _check([unaligned(vector) for vector in _vectors(103)], f"unaligned {extra}", **{**SETTINGS, **extra})


@case
def nothing_moves_without_gradient_and_momentum() -> None:
    theta = normal(7)
    before = theta.copy()
    cuda.step(theta, np.zeros(7, np.float32), np.zeros(7, np.float32), **{**SETTINGS, "weight_decay": 0.0})
    np.testing.assert_array_equal(theta, before)


@case
def parts_with_a_shadow() -> None:
    size, cut = 9000, [(0, 4100, 0), (4128, 6991, 1)]
    cut += [(start, start + 30, start // 64 % 2) for start in range(7040, 8960, 64)]  # more than there are blocks
    groups = [SETTINGS, {"lr": 0.25, "betas": (0.5, 0.5), "weight_decay": 0.0}]
    rows = np.array([cuda.coefficients(**group, grad_scale=2.0) for group in groups], np.float32)
    clip = np.array([0.5], np.float32)
    vectors, before, shadow = _vectors(size), _vectors(size), np.zeros(size, BF16)
    for ok in (0, 1):
        for got, was in zip(vectors, before, strict=True):
            np.testing.assert_array_equal(got, was)
        cuda.step_flat(
            *vectors, chunks=parts(size, cut), coefficients=rows, clip=clip, ok=np.array([ok], np.int32), shadow=shadow
        )
    inside = np.zeros(size, bool)
    for start, stop, group in cut:
        inside[start:stop] = True
        exact = [wide(vector[start:stop]) for vector in before]
        reference.step(*exact, **groups[group])
        assert_within(vectors[0][start:stop], exact[0], 6 * U * (np.abs(exact[0]) + 0.5), f"{start}: theta")
        assert_within(vectors[2][start:stop], exact[2], 8 * U * np.full(stop - start, 18.0), f"{start}: m")
    for got, was in zip(vectors, before, strict=True):
        np.testing.assert_array_equal(got[~inside], was[~inside])
    np.testing.assert_array_equal(shadow, np.where(inside, vectors[0].astype(BF16), np.zeros((), BF16)))
