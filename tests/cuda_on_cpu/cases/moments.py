"""NAdam and RAdam: the divisor is 1/2 at least, so that a quotient errs by a few roundings more than its numerator's
terms do. Chunks, groups, clip factor and shadow are `lion`'s cases.
"""

from typing import Any

import numpy as np

from gdengine.kernels.moments import cuda, reference

from . import U, assert_within, case, normal, unaligned, wide

SETTINGS: dict[str, Any] = {"betas": (0.75, 0.9), "by_grad": 0.1, "by_mean": 0.3, "shrink": 0.75, "grad_scale": 0.5}
WITH_ROOT, WITHOUT = {"root_scale": 1.5, "eps": 0.5}, {"root_scale": 0.0, "eps": 1.0}


def _vectors(size: int) -> list[np.ndarray]:
    return [normal(size), normal(size, seed=1), normal(size, seed=2), np.abs(normal(size, seed=3)) + np.float32(1)]


def _check(vectors: list[np.ndarray], what: str, **settings: Any) -> None:
    exact = [wide(vector) for vector in vectors]
    g = np.abs(exact[1]) + np.abs(exact[0])
    sizes = sum(np.abs(vector) for vector in exact) + g * g
    reference.step(*exact, **settings)
    cuda.step(*vectors, **settings)
    for name, got, wanted in zip(("theta", "grad", "m", "v"), vectors, exact, strict=True):
        assert_within(got, wanted, 24 * U * sizes, f"{what}: {name}")


@case
def step() -> None:
    for root in (WITH_ROOT, WITHOUT):
        for size in (1, 1030):
            _check(_vectors(size), f"{size} {root}", **SETTINGS, **root)
        _check(_vectors(1030), f"decay {root}", **SETTINGS, **root, weight_decay=0.3)
        _check([unaligned(vector) for vector in _vectors(103)], f"unaligned {root}", **SETTINGS, **root)
