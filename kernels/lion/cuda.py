"""Lion on the GPU: launches of lion.cu.

`step` is the operation's contract; `step_flat` is for a whole training step, as in adamw.
"""

from typing import Any

from .. import runtime
from ..common.device_flat import launch, upload

SOURCE = runtime.Source(__file__, "lion.cu")


def step(theta, grad, m, **settings):
    step_flat(theta, grad, m, coefficients=upload(coefficients(**settings)))


def coefficients(
    *, lr: float, betas: tuple[float, float], weight_decay: float, grad_scale: float = 1.0
) -> tuple[float, ...]:
    """What the kernel reads of a group: seven numbers, from the settings that the contract's `step` takes."""
    beta1, beta2 = betas
    return grad_scale, 1 - lr * weight_decay, lr, beta1, 1 - beta1, beta2, 1 - beta2


def step_flat(theta: Any, grad: Any, m: Any, **given: Any) -> None:
    """Update the chunks of flat float32 vectors in place: see `device_flat.launch` for what else is given."""
    launch(SOURCE["lion_f32"], theta, grad, {"m": m}, **given)
