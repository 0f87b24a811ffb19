"""Which implementation of an operation runs: by where its first array lives, and by that array's dtype.

======================  ==========================================================
NumPy, float32          ``cpu.py``, when Numba is there
NumPy, any other dtype  ``reference.py``
CuPy                    ``cuda.py``
======================  ==========================================================

The choice between fused and reference is made once a process, at the first call: swapping one for the other half-way
would change the bits of a run. ``GDENGINE_KERNELS=reference`` forces the reference.
"""

import importlib
import importlib.util
import os
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from .common import garbage

CHOICES = ("fused", "reference")
FLOAT = np.dtype(np.float32)


@cache
def choice() -> str:
    """``"fused"`` or ``"reference"``: what float32 arrays on the CPU are computed with in this process."""
    return "reference" if why_reference() else "fused"


@cache
def why_reference() -> str:
    """The reason why the fused CPU kernels are not used; empty when they are."""
    asked = os.environ.get("GDENGINE_KERNELS", "fused")
    if asked not in CHOICES:
        raise ValueError(f"GDENGINE_KERNELS is {asked!r}; it must be one of {', '.join(CHOICES)}")
    if asked == "reference":
        return "GDENGINE_KERNELS=reference"
    try:
        with garbage.kept():
            numba = importlib.import_module("numba")
    except ImportError as error:
        return f"Numba cannot be imported ({error})"
    return "NUMBA_DISABLE_JIT is set" if numba.config.DISABLE_JIT else ""


@cache
def module(package: str, kind: str) -> ModuleType:
    """``cpu.py`` or ``reference.py`` of ``package``, an operation's folder."""
    return importlib.import_module(f"{package}.{kind}")


@cache
def _has(package: str, kind: str) -> bool:
    return importlib.util.find_spec(f"{package}.{kind}") is not None


@cache
def _for_float32(package: str) -> ModuleType:
    """The module that computes on NumPy's float32 arrays."""
    return module(package, "cpu" if choice() == "fused" and _has(package, "cpu") else "reference")


def select(package: str, array: Any) -> ModuleType:
    """The module of ``package`` (an operation's folder) that computes on ``array``."""
    if type(array) is np.ndarray and array.dtype is FLOAT:  # the most of all calls, decided in 0.1 µs
        return _for_float32(package)
    if not isinstance(array, np.ndarray):
        if type(array).__module__.split(".")[0] == "cupy":  # which is not imported to find out
            if not _has(package, "cuda"):
                raise TypeError(f"{package} is for the CPU alone: on a GPU, call the operations that it joins")
            return module(package, "cuda")
        raise TypeError(f"{package} computes on NumPy and CuPy arrays, got {type(array).__name__}")
    return _for_float32(package) if array.dtype == FLOAT else module(package, "reference")
