"""Inputs of single kernels and updates: the same numbers for every contender, made without waiting for gigabytes.

Random, since zeros can run faster than numbers do; a block of a million or so is drawn and repeated.
"""

import zlib
from typing import Any

import numpy as np

BLOCK = 2**20 + 7  # not a multiple of any row: rows differ


def normal(name: str, size: int, scale: float = 1.0) -> np.ndarray:
    """Up to ``BLOCK`` normal numbers, float32 ``(min(size, BLOCK),)``; they depend on the name and on how many."""
    drawn = _generator(name).standard_normal(min(size, BLOCK), np.float32)
    return drawn * np.float32(scale)


def integers(name: str, size: int, bound: int) -> np.ndarray:
    """Numbers in [0, bound), int64 ``(size,)``."""
    return _generator(name).integers(0, bound, size)


def sample(array: Any) -> list[float]:
    """Some elements of an array of the CPU, the same places for the same shape: what two contenders compare."""
    flat = np.asarray(rows(array)).astype(np.float64).reshape(-1)
    return flat[np.linspace(0, flat.size - 1, min(flat.size, 64)).astype(np.int64)].tolist()


def rows(array: Any) -> Any:
    """About eight rows of an array, of whatever library: enough to compare, and little to copy from a device."""
    return array[:: max(1, array.shape[0] // 8)] if array.ndim > 1 else array


def _generator(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))
