"""Gradient descent with momentum: products and sums, a rounding each."""

from typing import Any

import numpy as np

from gdengine.kernels.common.chunks import parts
from gdengine.kernels.sgd import cuda, reference

from . import BF16, U, assert_within, case, normal, unaligned, wide

VARIANTS: tuple[dict[str, Any], ...] = (
    {"lr": 0.1},
    {"lr": 0.1, "weight_decay": 0.3, "grad_scale": 0.5},
    {"lr": 0.1, "momentum": 0.9, "dampening": 0.25, "weight_decay": 0.3},
    {"lr": 0.1, "weight_decay": 0.3, "decoupled": True},
    {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.3, "decoupled": True},
    {"lr": 0.1, "momentum": 0.9, "first": True, "weight_decay": 0.1},
)


def _check(vectors: list[np.ndarray], **settings: Any) -> None:
    theta, grad, buf = (wide(vector) for vector in vectors)
    sizes = np.abs(grad) + np.abs(theta) + np.abs(buf)  # every coefficient is at most 1, so every term below twice this
    reference.step(theta, grad, buf, **settings)
    cuda.step(*vectors, **settings)
    for got, exact, name in ((vectors[0], theta, "theta"), (vectors[2], buf, "buf")):
        assert_within(got, exact, 12 * U * sizes, f"{len(got)} {settings} {name}")


@case
def step() -> None:
    for settings in VARIANTS:
        for size in (1, 1030, 4096 + 5):
            _check([normal(size, seed=seed) for seed in range(3)], **settings)
        _check([unaligned(normal(103, seed=seed)) for seed in range(3)], **settings)


@case
def parts_with_a_shadow() -> None:
    size, cut = 9000, [(0, 4100, 0), (4128, 6991, 1)]
    cut += [(start, start + 30, start // 64 % 2) for start in range(7040, 8960, 64)]  # more than there are blocks
    for with_buffer in (True, False):
        theta, grad, buf = (normal(size, seed=seed) for seed in range(3))
        expected, before, shadow = theta.copy(), buf.copy(), np.zeros(size, BF16)
        settings = [{"lr": 0.5, "momentum": 0.5}, {"lr": 0.25, "momentum": 0.75, "nesterov": True}]
        rows = [cuda.coefficients(**group, grad_scale=2.0) for group in settings]
        for start, stop, group in cut:
            part = slice(start, stop)
            plain = settings[group] if with_buffer else {"lr": settings[group]["lr"]}
            exact = [wide(vector[part]) for vector in (expected, grad, before)]
            reference.step(*exact, **plain)
            expected[part] = exact[0]
        coefficients = np.array(rows, np.float32)
        for ok in (0, 1):
            untouched = theta.copy()
            cuda.step_flat(
                *(theta, grad, buf if with_buffer else None),
                chunks=parts(size, cut),
                coefficients=coefficients,
                clip=np.array([0.5], np.float32),
                ok=np.array([ok], np.int32),
                shadow=shadow,
            )
            if not ok:
                np.testing.assert_array_equal(theta, untouched)
        inside = np.zeros(size, bool)
        for start, stop, _ in cut:
            inside[start:stop] = True
        sizes = np.abs(untouched) + np.abs(grad) + np.abs(before)
        assert_within(theta, wide(expected), np.where(inside, 12 * U * sizes, 0), "theta")
        np.testing.assert_array_equal(shadow, np.where(inside, theta.astype(BF16), np.zeros((), BF16)))
