"""Dropout (Srivastava et al. 2014) by counter: the mask is recomputed, never stored.

    y[e] = x[e] / (1 − p) where u[e] ≥ p, else 0

u[e] is element e (in C order) of random call number ``call`` under ``key``, uniform in [0, 1) by 24 bits, as
`gdengine.kernels.philox.uniform` draws it. ``p`` lies in [0, 1); it is compared as ⌈p·2²⁴⌉ with those 24 bits, so that
every device and dtype drops the same elements.
"""

from typing import Any

from ..dispatch import select


def forward(x: Any, p: float, key: tuple[int, int], call: int) -> Any:
    """A new array. Its own backward: dX = forward(dY, p, key, call)."""
    return select(__name__, x).forward(x, p, key, call)
