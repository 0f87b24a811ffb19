"""Constant, linear, half a cosine; and a warm-up before any schedule."""

import math
from collections.abc import Callable
from dataclasses import dataclass

Schedule = Callable[[int], float]


@dataclass(frozen=True)
class Constant:
    """lr(t) = lr."""

    lr: float

    def __post_init__(self) -> None:
        check_rate("lr", self.lr)

    def __call__(self, t: int) -> float:
        return self.lr


@dataclass(frozen=True)
class Linear:
    """A straight line: lr(t) = start + (stop − start)·t/total, and ``stop`` from t = total on."""

    start: float
    stop: float
    total: int

    def __post_init__(self) -> None:
        check_rate("start", self.start)
        check_rate("stop", self.stop)
        check_steps("total", self.total, 1)

    def __call__(self, t: int) -> float:
        return self.stop if t >= self.total else self.start + (self.stop - self.start) * t / self.total


@dataclass(frozen=True)
class Cosine:
    """Half a cosine: lr(t) = floor + (peak − floor)·(1 + cos(π·t/total))/2, and ``floor`` from t = total on.

    Source: Loshchilov and Hutter (2017), equation 5, without restarts.
    """

    peak: float
    total: int
    floor: float = 0.0

    def __post_init__(self) -> None:
        check_rate("peak", self.peak)
        check_rate("floor", self.floor)
        check_steps("total", self.total, 1)

    def __call__(self, t: int) -> float:
        return self.floor + (self.peak - self.floor) * (1 + math.cos(math.pi * min(t, self.total) / self.total)) / 2


@dataclass(frozen=True)
class Warmup:
    """A rising line before another schedule: lr(t) = after(0)·(t + 1)/steps for t < steps, then after(t − steps).

    The first update is taken at after(0)/steps and not at 0, where it would teach nothing; the last of the warm-up, at
    t = steps − 1, at after(0).
    """

    steps: int
    after: Schedule

    def __post_init__(self) -> None:
        check_steps("steps", self.steps, 0)
        if not callable(self.after):
            raise TypeError(f"a warm-up goes before a schedule, got {self.after!r}: write warmup(steps, constant(lr))")

    def __call__(self, t: int) -> float:
        return self.after(0) * (t + 1) / self.steps if t < self.steps else self.after(t - self.steps)


def constant(lr: float) -> Constant:
    """`Constant`."""
    return Constant(lr)


def linear(start: float, stop: float, total: int) -> Linear:
    """`Linear`: from ``start`` to ``stop`` over ``total`` steps."""
    return Linear(start, stop, total)


def cosine(peak: float, total: int, floor: float = 0.0) -> Cosine:
    """`Cosine`: from ``peak`` to ``floor`` over ``total`` steps."""
    return Cosine(peak, total, floor)


def warmup(steps: int, after: Schedule) -> Warmup:
    """`Warmup`: ``steps`` rising steps before any schedule ``after``."""
    return Warmup(steps, after)


def warmup_cosine(peak: float, warmup: int, total: int, floor: float = 0.0) -> Warmup:
    """Rise to ``peak`` over ``warmup`` steps, then half a cosine to ``floor`` at step ``total``, warm-up included."""
    _check_warmup(warmup, total)
    return Warmup(warmup, Cosine(peak, total - warmup, floor))


def warmup_linear(peak: float, warmup: int, total: int, floor: float = 0.0) -> Warmup:
    """Rise to ``peak`` over ``warmup`` steps, then a line to ``floor`` at step ``total``, warm-up included."""
    _check_warmup(warmup, total)
    return Warmup(warmup, Linear(peak, floor, total - warmup))


def check_rate(name: str, value: float) -> None:
    """Raise unless ``value`` is a finite number that is not negative."""
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a finite learning rate from 0 up, got {value!r}")


def check_steps(name: str, value: int, least: int) -> None:
    """Raise unless ``value`` is a whole number from ``least`` up."""
    if int(value) != value or value < least:
        raise ValueError(f"{name} must be a whole number of steps, at least {least}, got {value!r}")


def _check_warmup(warmup: int, total: int) -> None:
    check_steps("warmup", warmup, 0)
    if total <= warmup:
        raise ValueError(f"total counts the warm-up's steps too: it must exceed warmup={warmup}, got {total}")
