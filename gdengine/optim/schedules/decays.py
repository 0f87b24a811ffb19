"""Schedules that only fall: in steps, exponentially, polynomially, with the root of the step."""

import math
from bisect import bisect_right
from dataclasses import dataclass

from .basic import check_rate, check_steps


@dataclass(frozen=True)
class Step:
    """A stair: lr(t) = lr·gamma^⌊t/every⌋."""

    lr: float
    every: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        check_rate("lr", self.lr)
        check_steps("every", self.every, 1)
        check_rate("gamma", self.gamma)

    def __call__(self, t: int) -> float:
        return self.lr * self.gamma ** (t // self.every)


@dataclass(frozen=True)
class MultiStep:
    """A stair whose steps are given: lr(t) = lr·gamma^(how many of ``milestones`` are at most t)."""

    lr: float
    milestones: tuple[int, ...]
    gamma: float = 0.1

    def __post_init__(self) -> None:
        check_rate("lr", self.lr)
        check_rate("gamma", self.gamma)
        object.__setattr__(self, "milestones", tuple(self.milestones))
        check_rising("milestones", self.milestones)

    def __call__(self, t: int) -> float:
        return self.lr * self.gamma ** bisect_right(self.milestones, t)


@dataclass(frozen=True)
class Exponential:
    """lr(t) = max(floor, lr·gamma^t)."""

    lr: float
    gamma: float
    floor: float = 0.0

    def __post_init__(self) -> None:
        check_rate("lr", self.lr)
        check_rate("floor", self.floor)
        if not 0 < self.gamma <= 1:
            raise ValueError(f"gamma must be in (0, 1], got {self.gamma!r}")

    def __call__(self, t: int) -> float:
        return max(self.floor, self.lr * self.gamma**t)


@dataclass(frozen=True)
class Polynomial:
    """lr(t) = floor + (peak − floor)·(1 − t/total)^power, and ``floor`` from t = total on."""

    peak: float
    total: int
    power: float = 1.0
    floor: float = 0.0

    def __post_init__(self) -> None:
        check_rate("peak", self.peak)
        check_rate("floor", self.floor)
        check_rate("power", self.power)
        check_steps("total", self.total, 1)

    def __call__(self, t: int) -> float:
        if t >= self.total:
            return self.floor
        return self.floor + (self.peak - self.floor) * (1 - t / self.total) ** self.power


@dataclass(frozen=True)
class InverseSqrt:
    """A rising line, then the root's fall: lr(t) = peak·min(s/warmup, √(warmup/s)) with s = t + 1.

    Source: Vaswani et al. (2017), section 5.3, where peak is (d_model·warmup)^−½.
    """

    peak: float
    warmup: int

    def __post_init__(self) -> None:
        check_rate("peak", self.peak)
        check_steps("warmup", self.warmup, 1)

    def __call__(self, t: int) -> float:
        return self.peak * min((t + 1) / self.warmup, math.sqrt(self.warmup / (t + 1)))


def step(lr: float, every: int, gamma: float = 0.1) -> Step:
    """`Step`: times ``gamma`` after every ``every`` steps. PyTorch's StepLR."""
    return Step(lr, every, gamma)


def multi_step(lr: float, milestones: tuple[int, ...] | list[int], gamma: float = 0.1) -> MultiStep:
    """`MultiStep`: times ``gamma`` at each milestone. PyTorch's MultiStepLR, Optax's piecewise constant."""
    return MultiStep(lr, tuple(milestones), gamma)


def exponential(lr: float, gamma: float, floor: float = 0.0) -> Exponential:
    """`Exponential`: times ``gamma`` at every step. PyTorch's ExponentialLR."""
    return Exponential(lr, gamma, floor)


def polynomial(peak: float, total: int, power: float = 1.0, floor: float = 0.0) -> Polynomial:
    """`Polynomial`: from ``peak`` to ``floor`` over ``total`` steps. PyTorch's PolynomialLR."""
    return Polynomial(peak, total, power, floor)


def inverse_sqrt(peak: float, warmup: int) -> InverseSqrt:
    """`InverseSqrt`: up to ``peak`` over ``warmup`` steps, then down with the root of the step."""
    return InverseSqrt(peak, warmup)


def check_rising(name: str, values: tuple[int, ...]) -> None:
    """Raise unless these are whole numbers above 0, each above the one before."""
    for value in values:
        check_steps(f"each of {name}", value, 1)
    if list(values) != sorted(set(values)):
        raise ValueError(f"{name} must rise, got {values}")
