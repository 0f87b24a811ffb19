"""Schedules that go down and up again: the cosine with restarts, and one cycle."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from .basic import check_rate, check_steps


@dataclass(frozen=True)
class CosineRestarts:
    """Half a cosine from ``peak`` to ``floor``, begun anew after ``period``, period·t_mult, period·t_mult², … steps:

        lr(t) = floor + (peak·decay^i − floor)·(1 + cos(π·s/n))/2

    in the i-th cycle, of n steps, s steps after its start.

    Source: Loshchilov and Hutter (2017), equation 5 (SGDR); ``decay`` lowers the peak with each restart.
    """

    peak: float
    period: int
    t_mult: int = 1
    floor: float = 0.0
    decay: float = 1.0

    def __post_init__(self) -> None:
        check_rate("peak", self.peak)
        check_rate("floor", self.floor)
        check_rate("decay", self.decay)
        check_steps("period", self.period, 1)
        check_steps("t_mult", self.t_mult, 1)

    def __call__(self, t: int) -> float:
        number, start, length = 0, 0, self.period
        if self.t_mult == 1:
            number = int(t // length)
            start = number * length
        while t >= start + length:
            number, start, length = number + 1, start + length, length * self.t_mult
        peak = self.peak * self.decay**number
        return self.floor + (peak - self.floor) * (1 + math.cos(math.pi * (t - start) / length)) / 2


@dataclass(frozen=True)
class OneCycle:
    """Up from peak/div to ``peak`` over a share ``pct_start`` of the ``total`` steps, and down to peak/(div·final_div).

    In ``three_phase`` the way down takes as long as the way up, back to peak/div, and the rest falls on from there.
    Each phase is half a cosine, or a line; from the last step on the lowest value stays.

    Source: Smith and Topin (2018), section 3, in PyTorch's form: the top is at t = pct_start·total − 1.
    """

    peak: float
    total: int
    pct_start: float = 0.3
    div: float = 25.0
    final_div: float = 1e4
    anneal: Literal["cos", "linear"] = "cos"
    three_phase: bool = False

    def __post_init__(self) -> None:
        check_rate("peak", self.peak)
        check_steps("total", self.total, 1)
        if not 0 <= self.pct_start <= (0.5 if self.three_phase else 1):
            raise ValueError(f"pct_start must be a share from 0 to 1 (to 0.5 in three phases), got {self.pct_start!r}")
        for name in ("div", "final_div"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a finite number above 0, got {getattr(self, name)!r}")
        if self.anneal not in ("cos", "linear"):
            raise ValueError(f"anneal must be 'cos' or 'linear', got {self.anneal!r}")

    def __call__(self, t: int) -> float:
        low, top = self.peak / self.div, self.pct_start * self.total - 1
        points = [(0.0, low), (top, self.peak)]
        if self.three_phase:
            points.append((2 * top, low))
        points.append((self.total - 1, low / self.final_div))
        for (start, first), (end, last) in pairwise(points):
            if t <= end:
                return self._between(first, last, 1.0 if end <= start else (t - start) / (end - start))
        return points[-1][1]

    def _between(self, first: float, last: float, share: float) -> float:
        if self.anneal == "linear":
            return first + (last - first) * share
        return last + (first - last) * (1 + math.cos(math.pi * share)) / 2


def cosine_restarts(
    peak: float, period: int, t_mult: int = 1, floor: float = 0.0, decay: float = 1.0
) -> CosineRestarts:
    """`CosineRestarts`. PyTorch's CosineAnnealingWarmRestarts."""
    return CosineRestarts(peak, period, t_mult, floor, decay)


def one_cycle(
    peak: float,
    total: int,
    pct_start: float = 0.3,
    div: float = 25.0,
    final_div: float = 1e4,
    anneal: Literal["cos", "linear"] = "cos",
    three_phase: bool = False,
) -> OneCycle:
    """`OneCycle`. PyTorch's OneCycleLR."""
    return OneCycle(peak, total, pct_start, div, final_div, anneal, three_phase)
