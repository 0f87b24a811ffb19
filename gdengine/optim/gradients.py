"""What a step does to the gradients before its rule sees them: scale, add noise, clip each element."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..cuda import capturing
from ..device import beside, namespace
from ..flat import Flat, Segment, runs
from ..random import default_generator

Noise = Callable[[int], float]
"""The standard deviation of what is added to each element of the gradient, as a function of the step."""


@dataclass(frozen=True)
class GradientNoise:
    """Noise that dies away: g ← g + N(0, σ²) with σ² = eta / (1 + t)^gamma; called with t, gives σ.

    Source: Neelakantan et al. (2015), equation 1, with the values that they tried: eta in {0.01, 0.3, 1}, gamma 0.55.

    Raises:
        ValueError: eta or gamma is negative or not finite.
    """

    eta: float = 0.3
    gamma: float = 0.55

    def __post_init__(self) -> None:
        for name in ("eta", "gamma"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a finite number from 0 up, got {getattr(self, name)!r}")

    def __call__(self, t: int) -> float:
        return math.sqrt(self.eta / (1 + t) ** self.gamma)


def clipped(gradient: Any, clip_value: float) -> Any:
    """Each element brought into ±clip_value; inf and nan stay, so that a step still sees them."""
    xp = namespace(gradient)
    bound = gradient.dtype.type(clip_value)
    return xp.where(xp.isfinite(gradient), xp.minimum(xp.maximum(gradient, -bound), bound), gradient)


def check_captured(changes: bool) -> None:
    """Raise where a graph is being captured and what is done to gradients ``changes`` from step to step."""
    if changes and capturing() is not None:
        raise RuntimeError(
            "grad_scale and noise change from step to step, which a captured graph cannot follow: scale the loss "
            "inside the graph, by an argument of it, or call step() outside"
        )


def prepare(flats: Sequence[Flat], grad_scale: float, sigma: float, clip_value: float | None) -> None:
    """Scale the gradients that a step will use, add noise of standard deviation ``sigma``, clip, in this order.

    In place. The noise of an element depends on its place in the flat vectors, whatever else has a gradient.

    Raises:
        ValueError: grad_scale is not finite.
    """
    if not math.isfinite(grad_scale):
        raise ValueError(f"grad_scale must be a finite number, got {grad_scale!r}")
    for flat in flats:
        live = flat.live()
        for part, _ in runs(live):
            if grad_scale != 1:
                flat.grad[part] *= flat.dtype.type(grad_scale)
        if sigma:
            _add_noise(flat, live, sigma)
        for part, _ in runs(live):
            if clip_value is not None:
                flat.grad[part] = clipped(flat.grad[part], clip_value)


def _add_noise(flat: Flat, live: Sequence[Segment], sigma: float) -> None:
    """Drawn on the CPU, so that it is the same noise on every device. The padding stays zero."""
    noise = (sigma * default_generator.normal((flat.size,))).astype(flat.dtype)
    for segment in live:
        part = slice(segment.start, segment.start + segment.size)
        flat.grad[part] += beside(noise[part], flat.grad)
