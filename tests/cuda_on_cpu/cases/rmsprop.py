"""RMSprop and Adagrad: v is kept away from 0 and from the mean's square, so that the root and the quotient by it err by
a few roundings more than the products and sums before them. Chunks, groups, clip factor and shadow are `lion`'s cases.
"""

import itertools
from typing import Any

import numpy as np

from gdengine.kernels.rmsprop import cuda, reference

from . import U, assert_within, case, normal, unaligned, wide

SETTINGS: dict[str, Any] = {"lr": 0.1, "keep": 0.75, "rest": 0.25, "eps": 0.5, "start": 0.25, "grad_scale": 0.5}


def _vectors(size: int, buffer: bool, mean: bool) -> list[Any]:
    v, a = np.abs(normal(size, seed=2)) + np.float32(4), np.float32(1.5) * np.sin(normal(size, seed=4))
    return [normal(size), normal(size, seed=1), v, normal(size, seed=3) if buffer else None, a if mean else None]


def _check(vectors: list[Any], what: str, **settings: Any) -> None:
    exact = [None if vector is None else wide(vector) for vector in vectors]
    g = np.abs(exact[1]) + np.abs(exact[0])
    sizes = sum(np.abs(vector) for vector in exact if vector is not None) + g * g + 1
    reference.step(*exact, **settings)
    cuda.step(*vectors, **settings)
    for name, got, wanted in zip(("theta", "grad", "v", "buf", "mean"), vectors, exact, strict=True):
        if got is not None:
            assert_within(got, wanted, 24 * U * sizes, f"{what}: {name}")


@case
def step() -> None:
    for buffer, mean in itertools.product((False, True), repeat=2):
        settings = {**SETTINGS, "momentum": 0.5 if buffer else 0.0}
        for size in (1, 1030):
            _check(_vectors(size, buffer, mean), f"{size} {buffer} {mean}", **settings)
        _check(_vectors(1030, buffer, mean), "decay", **settings, weight_decay=0.3)
        ragged = [None if vector is None else unaligned(vector) for vector in _vectors(103, buffer, mean)]
        _check(ragged, f"unaligned {buffer} {mean}", **settings)
