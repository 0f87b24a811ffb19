"""A rule's step on the GPU: launches of kernels that are `step_flat` of common/flat_step.cuh."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import runtime
from .chunks import Chunks, whole
from .device_arrays import check_flat


def upload(row: Sequence[float]) -> Any:
    """The coefficients of one group, as `launch` takes them."""
    return runtime.device().upload(np.array(row, np.float32))


def launch(
    kernel: runtime.Kernel,
    theta: Any,
    grad: Any,
    state: dict[str, Any],
    *,
    coefficients: Any,
    chunks: Chunks | None = None,
    clip: Any = None,
    ok: Any = None,
    shadow: Any = None,
) -> None:
    """Update the chunks of flat float32 vectors in place.

    Args:
        state: the rule's vectors by name, in the kernel's order; None for one that it may go without.
        coefficients: float32 (groups, …), what the kernel reads of each group.
        chunks: the parts of the vectors; None: all of them, of group 0.
        clip: float32 (1,): the gradient is multiplied by it too.
        ok: int32 (1,); where it holds 0, nothing is written.
        shadow: bfloat16, like theta: gets a rounded copy.
    """
    check_flat(theta, grad=grad, **state, shadow=shadow)
    chunks = whole(theta.size) if chunks is None else chunks
    if chunks.count:
        runtime.launch(
            kernel,
            grid=(runtime.blocks(chunks.count, 1, 8),),
            block=(256,),
            arguments=(theta, grad, *state.values(), shadow, *chunks.arguments, coefficients, clip, ok),
        )
