"""Lion on the GPU: launches of lion.cu.

`step` is the operation's contract; `step_flat` is for a whole training step, as in adamw.
"""

from typing import Any

import numpy as np

from .. import runtime
from ..common.chunks import Chunks, whole
from ..common.device_arrays import check_flat

SOURCE = runtime.Source(__file__, "lion.cu")


def step(theta, grad, m, *, lr, betas, weight_decay, grad_scale=1.0):
    row = coefficients(lr=lr, betas=betas, weight_decay=weight_decay, grad_scale=grad_scale)
    uploaded = runtime.device().upload(np.array(row, np.float32))
    step_flat(theta, grad, m, chunks=whole(theta.size), coefficients=uploaded)


def coefficients(
    *, lr: float, betas: tuple[float, float], weight_decay: float, grad_scale: float = 1.0
) -> tuple[float, ...]:
    """What the kernel reads of a group: seven numbers, from the settings that the contract's `step` takes."""
    beta1, beta2 = betas
    return grad_scale, 1 - lr * weight_decay, lr, beta1, 1 - beta1, beta2, 1 - beta2


def step_flat(
    theta: Any,
    grad: Any,
    m: Any,
    *,
    chunks: Chunks,
    coefficients: Any,
    clip: Any = None,
    ok: Any = None,
    shadow: Any = None,
) -> None:
    """Update the chunks of flat float32 vectors in place.

    Args:
        coefficients: float32 (groups, 7), a row of `coefficients` for each group.
        clip: float32 (1,): the gradient is multiplied by it too.
        ok: int32 (1,); where it holds 0, nothing is written.
        shadow: bfloat16, like theta: gets a rounded copy.
    """
    check_flat(theta, grad=grad, m=m, shadow=shadow)
    if chunks.count == 0:
        return
    runtime.launch(
        SOURCE["lion_f32"],
        grid=(runtime.blocks(chunks.count, 1, 8),),
        block=(256,),
        arguments=(theta, grad, m, shadow, *chunks.arguments, coefficients, clip, ok),
    )
