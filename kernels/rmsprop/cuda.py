"""RMSprop and Adagrad on the GPU: launches of rmsprop.cu.

`step` is the operation's contract; `step_flat` is for a whole training step, as in adamw.
"""

from typing import Any

from .. import runtime
from ..common.device_flat import launch, upload

SOURCE = runtime.Source(__file__, "rmsprop.cu")


def step(theta, grad, v, buf=None, mean=None, **settings):
    step_flat(theta, grad, v, buf, mean, coefficients=upload(coefficients(**settings)))


def coefficients(
    *,
    lr: float,
    keep: float,
    rest: float,
    eps: float,
    start: float = 0.0,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    grad_scale: float = 1.0,
) -> tuple[float, ...]:
    """What the kernel reads of a group: eight numbers, from the settings that the contract's `step` takes."""
    return grad_scale, weight_decay, keep, rest, start, lr, momentum, eps


def step_flat(theta: Any, grad: Any, v: Any, buf: Any, mean: Any, **given: Any) -> None:
    """Update the chunks of flat float32 vectors in place: see `device_flat.launch` for what else is given."""
    launch(SOURCE["rmsprop_f32"], theta, grad, {"v": v, "buf": buf, "mean": mean}, **given)
