"""Gradient descent with momentum on the GPU: launches of sgd.cu.

`step` is the operation's contract; `step_flat` is for a whole training step, as in adamw.
"""

from typing import Any

from .. import runtime
from ..common.device_flat import launch, upload

SOURCE = runtime.Source(__file__, "sgd.cu")


def step(theta, grad, buf, **settings):
    buf = buf if settings.get("momentum") else None
    step_flat(theta, grad, buf, coefficients=upload(coefficients(**settings)))


def coefficients(
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    first: bool = False,
    grad_scale: float = 1.0,
    decoupled: bool = False,
) -> tuple[float, ...]:
    """What the kernel reads of a group: eight numbers, from the settings that the contract's `step` takes."""
    coupled, decay = (0.0, 1 - lr * weight_decay) if decoupled else (weight_decay, 1.0)
    return grad_scale, coupled, decay, momentum, 1 - dampening, lr, float(nesterov), float(first)


def step_flat(theta: Any, grad: Any, buf: Any, **given: Any) -> None:
    """Update the chunks of flat float32 vectors in place: see `device_flat.launch` for what else is given.

    ``buf`` is the momentum, or None where no group has any.
    """
    launch(SOURCE["sgd_f32"], theta, grad, {"buf": buf}, **given)
