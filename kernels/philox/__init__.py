"""Random bits that are a function of their number: Philox 4×32-10 (Salmon, Moraes, Dror and Shaw 2011, section 3.3).

The key is ``(seed, rank)``, two 32-bit words. The 128-bit counter holds the call number (upper 64 bits) and element
// 4 (lower 64 bits); element e takes word e % 4 of the block. So any element of any call can be drawn alone, in any
order, on any device, with the same bits.
"""

from typing import Any

import numpy as np

from ..dispatch import choice, module


def bits(key: tuple[int, int], call: int, n: int, *, start: int = 0) -> Any:
    """Elements ``start`` … ``start + n − 1`` of random call number ``call``: uint32 ``(n,)``."""
    return _implementation().bits(key, call, n, start=start)


def uniform(key: tuple[int, int], call: int, n: int, *, start: int = 0) -> Any:
    """float32 ``(n,)`` in [0, 1): the upper 24 bits of `bits`, divided by 2²⁴, exactly."""
    return (bits(key, call, n, start=start) >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def normal(key: tuple[int, int], call: int, n: int) -> Any:
    """float64 ``(n,)``, standard normal, by Box and Muller (1958) from pairs of elements.

    With u, u' = (bits + ½) / 2³² of elements 2i and 2i + 1: √(−2 ln u)·cos(2πu') and √(−2 ln u)·sin(2πu').
    """
    pairs = (n + 1) // 2
    u = (bits(key, call, 2 * pairs).reshape(pairs, 2) + 0.5) * 2.0**-32
    radius, angle = np.sqrt(-2 * np.log(u[:, 0])), 2 * np.pi * u[:, 1]
    return np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=1).reshape(-1)[:n]


def _implementation() -> Any:
    return module(__name__, "cpu" if choice() == "fused" else "reference")
