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
COEFFICIENTS = 10
SETTINGS = 6


def step(theta, grad, m, v, *, lr, betas, eps, weight_decay, step, grad_scale=1.0, decoupled=True):
    beta1, beta2 = betas
    row = (
        *(grad_scale, 0.0 if decoupled else weight_decay, 1 - lr * weight_decay if decoupled else 1.0),
        *(beta1, 1 - beta1, beta2, 1 - beta2),
        *(lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step), eps),
    )
    coefficients = runtime.device().upload(np.array(row, np.float32))
    step_flat(theta, grad, m, v, chunks=whole(theta.size), coefficients=coefficients)


def step_flat(
    theta: Any,
    grad: Any,
    m: Any,
    v: Any,
    *,
    chunks: Chunks,
    coefficients: Any,
    ok: Any = None,
    shadow: Any = None,
    rounding: tuple[tuple[int, int], Any] | None = None,
) -> None:
    """Update the chunks of flat float32 vectors in place.

    Args:
        coefficients: float32 (groups, 10), as `coefficients` computes them.
        ok: int32 (1,); where it holds 0, nothing is written.
        shadow: bfloat16, like theta: gets a rounded copy.
        rounding: ``(key, call)`` rounds the copy stochastically, with the random bits of call number ``call``, a
            uint64 array (1,) of the device: element e by the lower 16 bits of random element e.
    """
    check_flat(theta, grad=grad, m=m, v=v, shadow=shadow)
    if chunks.count == 0:
        return
    key, call = ((0, 0), None) if rounding is None else rounding
    runtime.launch(
        SOURCE["adamw_f32"],
        grid=(runtime.blocks(chunks.count, 1, 8),),
        block=(256,),
        arguments=(
            *(theta, grad, m, v, shadow),
            *chunks.arguments,
            *(coefficients, ok, int(rounding is not None), *key, call),
        ),
    )


def coefficients(settings: Any, steps: Any, scale: Any, ok: Any, out: Any) -> None:
    """On the device: count a step for each group, and compute the group's coefficients, unless ok holds 0.

    Args:
        settings: float64 (groups, 6): lr, β₁, β₂, eps, weight_decay, and 1 where it is decoupled.
        steps: int64 (groups,), counted up.
        scale: float32 (1,), the clip factor; ok: int32 (1,). Both as `global_norm.cuda.measure` leaves them.
        out: float32 (groups, 10).
    """
    groups = len(steps)
    if settings.shape != (groups, SETTINGS) or out.shape != (groups, COEFFICIENTS):
        raise ValueError(
            f"for {groups} groups settings must have the shape {(groups, SETTINGS)} and out {(groups, COEFFICIENTS)}, "
            f"got {settings.shape} and {out.shape}"
        )
    runtime.launch(
        SOURCE["adamw_coefficients"],
        grid=(-(-groups // 128),),
        block=(128,),
        arguments=(settings, steps, scale, ok, out, groups),
    )
