"""One step of an exponential moving average.

    average ← average + (1 − decay)·(x − average)

average and x are arrays of one shape and dtype; x is only read. It moves 12 bytes an element in float32.
"""

from typing import Any

from ..dispatch import select


def update(average: Any, x: Any, *, decay: float) -> None:
    """Updates average in place."""
    select(__name__, average).update(average, x, decay=decay)
