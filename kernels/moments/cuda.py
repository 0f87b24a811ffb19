"""A step by two means on the GPU: launches of moments.cu.

`step` is the operation's contract; `step_flat` is for a whole training step, as in adamw.
"""

from typing import Any

from .. import runtime
from ..common.device_flat import launch, upload

SOURCE = runtime.Source(__file__, "moments.cu")


def step(theta, grad, m, v, **settings):
    step_flat(theta, grad, m, v, coefficients=upload(coefficients(**settings)))


def coefficients(
    *,
    betas: tuple[float, float],
    by_grad: float,
    by_mean: float,
    root_scale: float,
    eps: float,
    shrink: float = 1.0,
    weight_decay: float = 0.0,
    grad_scale: float = 1.0,
) -> tuple[float, ...]:
    """What the kernel reads of a group: eleven numbers, from the settings that the contract's `step` takes."""
    beta1, beta2 = betas
    means = (beta1, 1 - beta1, beta2, 1 - beta2)
    return grad_scale, weight_decay, shrink, *means, by_grad, by_mean, root_scale, eps


def step_flat(theta: Any, grad: Any, m: Any, v: Any, **given: Any) -> None:
    """Update the chunks of flat float32 vectors in place: see `device_flat.launch` for what else is given."""
    launch(SOURCE["moments_f32"], theta, grad, {"m": m, "v": v}, **given)
