"""Schedules one after another."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .basic import Constant, Cosine, Linear, Schedule, Warmup, check_rate, check_steps
from .decays import check_rising


@dataclass(frozen=True)
class Join:
    """Each schedule from its boundary on, counted from there: lr(t) = schedules[i](t − boundaries[i − 1])."""

    schedules: tuple[Schedule, ...]
    boundaries: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedules", tuple(self.schedules))
        object.__setattr__(self, "boundaries", tuple(self.boundaries))
        if len(self.schedules) != len(self.boundaries) + 1:
            raise ValueError(
                f"{len(self.schedules)} schedules meet at {len(self.schedules) - 1} boundaries, got "
                f"{len(self.boundaries)}"
            )
        for schedule in self.schedules:
            if not callable(schedule):
                raise TypeError(f"join wants schedules, got {schedule!r}: write constant({schedule!r})")
        check_rising("boundaries", self.boundaries)

    def __call__(self, t: int) -> float:
        number = bisect_right(self.boundaries, t)
        return self.schedules[number](t - self.boundaries[number - 1] if number else t)


@dataclass(frozen=True)
class InverseRootFall:
    """lr(t) = floor + (peak − floor)·(1 − √(t/total)), and ``floor`` from t = total on.

    Source: Hägele et al. (2024), equation 2.
    """

    peak: float
    total: int
    floor: float = 0.0

    def __post_init__(self) -> None:
        check_rate("peak", self.peak)
        check_rate("floor", self.floor)
        check_steps("total", self.total, 1)

    def __call__(self, t: int) -> float:
        return self.floor + (self.peak - self.floor) * (1 - (min(t, self.total) / self.total) ** 0.5)


def join(schedules: Sequence[Schedule], boundaries: Sequence[int]) -> Join:
    """`Join`: the first schedule to boundaries[0], the next from there. PyTorch's SequentialLR."""
    return Join(tuple(schedules), tuple(boundaries))


def warmup_stable_decay(
    peak: float,
    warmup: int,
    stable: int,
    decay: int,
    floor: float = 0.0,
    shape: Literal["linear", "cosine", "sqrt"] = "linear",
) -> Warmup:
    """Up over ``warmup`` steps, ``stable`` steps at ``peak``, down to ``floor`` over ``decay`` (Hu et al. 2024: WSD).

    From anywhere in the stable part a run can go on, or go down to an end.

    ``shape`` of the way down: a line, half a cosine, or 1 − √ (`InverseRootFall`).
    """
    kinds: dict[str, Schedule] = {"linear": Linear(peak, floor, decay), "cosine": Cosine(peak, decay, floor)}
    kinds["sqrt"] = InverseRootFall(peak, decay, floor)
    if shape not in kinds:
        raise ValueError(f"shape must be 'linear', 'cosine' or 'sqrt', got {shape!r}")
    check_steps("stable", stable, 0)
    return Warmup(warmup, Join((Constant(peak), kinds[shape]), (stable,)) if stable else kinds[shape])
