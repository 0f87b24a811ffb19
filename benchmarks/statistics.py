"""Medians with their spread, ratios taken within a round, and how fast something grows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spread:
    """The median, and the quartiles on both sides of it."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Raises ValueError where there are none."""
    if not len(values):
        raise ValueError("the median of no values: nothing was measured")
    low, median, high = np.percentile(np.asarray(values, np.float64), [25, 50, 75])
    return Spread(float(median), float(low), float(high))


def ratio(over: Sequence[float], under: Sequence[float]) -> Spread:
    """Of two contenders' times, round by round: over[i] / under[i]."""
    return spread([a / b for a, b in zip(over, under, strict=True)])


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """The exponent e of y ≈ c·xᵉ, by least squares over the logarithms."""
    exponent, _ = np.polyfit(np.log(np.asarray(xs, np.float64)), np.log(np.asarray(ys, np.float64)), 1)
    return float(exponent)
