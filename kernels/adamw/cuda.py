"""Adam and AdamW on the GPU: launches of adamw.cu.

`step` is the operation's contract. `step_flat` is what a whole training step uses: one launch over all parts of the
flat vectors, everything that changes from step to step in device memory, nothing that waits for the device.
"""

import math
from typing import Any

import numpy as np

from .. import runtime
from ..common.chunks import Chunks, whole
from ..common.device_arrays import check_flat

SOURCE = runtime.Source(__file__, "adamw.cu")


def step(theta, grad, m, v, *, lr, betas, eps, weight_decay, step, grad_scale=1.0, decoupled=True, v_max=None):
    row = coefficients(
        lr=lr,
        betas=betas,
        eps=eps,
        weight_decay=weight_decay,
        step=step,
        grad_scale=grad_scale,
        decoupled=decoupled,
    )
    uploaded = runtime.device().upload(np.array(row, np.float32))
    step_flat(theta, grad, m, v, v_max=v_max, chunks=whole(theta.size), coefficients=uploaded)


def coefficients(
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    step: int,
    grad_scale: float = 1.0,
    decoupled: bool = True,
) -> tuple[float, ...]:
    """What the kernel reads of a group: ten numbers, from the settings that the contract's `step` takes."""
    beta1, beta2 = betas
    return (
        *(grad_scale, 0.0 if decoupled else weight_decay, 1 - lr * weight_decay if decoupled else 1.0),
        *(beta1, 1 - beta1, beta2, 1 - beta2),
        *(lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step), eps),
    )


def step_flat(
    theta: Any,
    grad: Any,
    m: Any,
    v: Any,
    *,
    v_max: Any = None,
    chunks: Chunks,
    coefficients: Any,
    clip: Any = None,
    ok: Any = None,
    shadow: Any = None,
    rounding: tuple[tuple[int, int], Any] | None = None,
) -> None:
    """Update the chunks of flat float32 vectors in place.

    Args:
        v_max: for AMSGrad: the largest v so far.
        coefficients: float32 (groups, 10), a row of `coefficients` for each group.
        clip: float32 (1,): the gradient is multiplied by it too.
        ok: int32 (1,); where it holds 0, nothing is written.
        shadow: bfloat16, like theta: gets a rounded copy.
        rounding: ``(key, call)`` rounds the copy stochastically, with the random bits of call number ``call``, a
            uint64 array (1,) of the device: element e by the lower 16 bits of random element e.
    """
    check_flat(theta, grad=grad, m=m, v=v, v_max=v_max, shadow=shadow)
    if chunks.count == 0:
        return
    key, call = ((0, 0), None) if rounding is None else rounding
    runtime.launch(
        SOURCE["adamw_f32"],
        grid=(runtime.blocks(chunks.count, 1, 8),),
        block=(256,),
        arguments=(
            *(theta, grad, m, v, v_max, shadow),
            *chunks.arguments,
            *(coefficients, clip, ok, int(rounding is not None), *key, call),
        ),
    )
