"""What every kernel has to show, an operation a file: its launcher on ragged arrays, against the reference in float64.

A case is a function without arguments that launches through `gdengine.kernels.<operation>.cuda` and asserts. It runs
while an `EmulatedDevice` stands in for the GPU: see `run`.

Bounds come from the arithmetic. u = 2⁻²⁴ is float32's unit roundoff, 2⁻⁸ bfloat16's; a sum of n terms that L threads
share is off by at most (n/L + log₂ L + a few) · u · Σ|terms| (Higham 2002, section 4.2); kernels compute in float32 and
round once more to the array's dtype.
"""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from gdengine.kernels import runtime

from ..device import EmulatedDevice

U = 2.0**-24
BF16 = np.dtype(ml_dtypes.bfloat16)
FLOATS = (np.dtype(np.float32), BF16)

CASES: dict[str, Callable[[], None]] = {}
"""``operation.name`` → the case; filled by `load`."""


def case(function: Callable[[], None]) -> Callable[[], None]:
    """Register a case under its module's and its own name."""
    CASES[f"{function.__module__.rsplit('.', 1)[1]}.{function.__name__}"] = function
    return function


def load() -> dict[str, Callable[[], None]]:
    """All cases."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return CASES


def run(name: str, schedule: str, seed: int = 1) -> None:
    """Run one case in one schedule."""
    with runtime.substituted(EmulatedDevice(schedule, seed)):
        load()[name]()


# ---- what cases share


def normal(*shape: int, dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    """Standard normal numbers, rounded to ``dtype``."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def unaligned(array: np.ndarray) -> np.ndarray:
    """A copy that starts one element past a multiple of 16 bytes."""
    raw = np.zeros(array.nbytes + 32, np.uint8)
    start = -raw.ctypes.data % 16 + array.itemsize
    view = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def wide(array: np.ndarray) -> np.ndarray:
    """The same numbers in float64."""
    return array.astype(np.float64)


def assert_within(got: np.ndarray, exact: np.ndarray, bound: np.ndarray, what: str = "") -> None:
    """``got`` differs from ``exact`` by at most ``bound``, plus one rounding to its own dtype."""
    assert got.shape == exact.shape, f"{what}: shape {got.shape}, expected {exact.shape}"
    unit = 2.0**-8 if got.dtype == BF16 else U
    limit = bound + unit * (np.abs(exact) + bound) + 1e-38
    off = np.abs(wide(got) - exact)
    worst = np.unravel_index(np.argmax(off / limit), off.shape) if off.size else ()
    assert (off <= limit).all(), (
        f"{what}: element {tuple(map(int, worst))} is {float(got[worst]):.9g}, expected {exact[worst]:.9g} ± "
        f"{limit[worst]:.3g}; {int((~(off <= limit)).sum())} of {off.size} are wrong"
    )
