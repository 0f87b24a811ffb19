"""Gradient descent with momentum on the GPU: launches of sgd.cu.

`step` is the operation's contract; `step_flat` is for a whole training step, as in adamw.
"""

from typing import Any

import numpy as np

from .. import runtime
from ..common.chunks import Chunks, whole
from ..common.device_arrays import check_flat

SOURCE = runtime.Source(__file__, "sgd.cu")


def step(
    theta,
    grad,
    buf,
    *,
    lr,
    momentum=0.0,
    dampening=0.0,
    weight_decay=0.0,
    nesterov=False,
    first=False,
    grad_scale=1.0,
    decoupled=False,
):
    row = coefficients(
        lr=lr,
        momentum=momentum,
        dampening=dampening,
        weight_decay=weight_decay,
        nesterov=nesterov,
        first=first,
        grad_scale=grad_scale,
        decoupled=decoupled,
    )
    uploaded = runtime.device().upload(np.array(row, np.float32))
    step_flat(theta, grad, buf if momentum else None, chunks=whole(theta.size), coefficients=uploaded)


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


def step_flat(
    theta: Any,
    grad: Any,
    buf: Any,
    *,
    chunks: Chunks,
    coefficients: Any,
    clip: Any = None,
    ok: Any = None,
    shadow: Any = None,
) -> None:
    """Update the chunks of flat float32 vectors in place.

    Args:
        buf: the momentum, or None where no group has any.
        coefficients: float32 (groups, 8), a row of `coefficients` for each group.
        clip: float32 (1,): the gradient is multiplied by it too.
        ok: int32 (1,); where it holds 0, nothing is written.
        shadow: bfloat16, like theta: gets a rounded copy.
    """
    check_flat(theta, grad=grad, buf=buf, shadow=shadow)
    if chunks.count == 0:
        return
    runtime.launch(
        SOURCE["sgd_f32"],
        grid=(runtime.blocks(chunks.count, 1, 8),),
        block=(256,),
        arguments=(theta, grad, buf, shadow, *chunks.arguments, coefficients, clip, ok),
    )
