"""The sum of squares on the GPU: launches of global_norm.cu."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import runtime
from ..common.chunks import Chunks, whole
from ..common.device_arrays import ready, suffix

SOURCE = runtime.Source(__file__, "global_norm.cu")
BLOCKS = 8  # a multiprocessor
NOWHERE = 2**64 - 1


def sum_of_squares(g):
    g = ready(g, g.shape, "g")
    total, _, _ = measure([(g, whole(g.size))])
    return float(total[0])


def measure(
    vectors: Sequence[tuple[Any, Chunks]], max_norm: float | None = None, losses: Any = None
) -> tuple[Any, Any, Any]:
    """The sum of squares over the chunks of several vectors, the clip factor and the finite check, without waiting.

    Args:
        losses: a float64 vector that is to be finite too, or None.

    Returns:
        Arrays of the device with one element each: ``sum`` (float64), ``scale`` = min(1, max_norm/(√sum + 1e-6)), or 1
        without max_norm (float32), and ``ok``, 1 where the sum and the losses are finite (int32).
    """
    grids = [runtime.blocks(chunks.count, 1, BLOCKS) if chunks.count else 0 for _, chunks in vectors]
    empty = runtime.device().empty
    partials = empty((max(1, sum(grids)),), np.float64)
    first = 0
    for (g, chunks), grid in zip(vectors, grids, strict=True):
        if grid:
            runtime.launch(
                SOURCE[f"squares_{suffix(g, 'global_norm')}"],
                grid=(grid,),
                block=(256,),
                arguments=(g, *chunks.arguments, partials[first : first + grid]),
            )
        first += grid
    total, scale, ok = empty((1,), np.float64), empty((1,), np.float32), empty((1,), np.int32)
    runtime.launch(
        SOURCE["finish_norm"],
        grid=(1,),
        block=(256,),
        arguments=(
            *(partials, first, 0.0 if max_norm is None else max_norm),
            *(losses, 0 if losses is None else losses.size, total, scale, ok),
        ),
    )
    return total, scale, ok


def first_not_finite(g: Any, chunks: Chunks, ok: Any) -> Any:
    """A uint64 array (1,): the place in ``g`` of the first element of the chunks that is not finite, where ok holds 0.

    Without waiting. Elsewhere, and where all are finite (it was another vector), it holds 2⁶⁴ − 1.
    """
    first = runtime.device().empty((1,), np.uint64)
    first.fill(np.uint64(NOWHERE))
    if chunks.count:
        runtime.launch(
            SOURCE["first_not_finite"],
            grid=(runtime.blocks(chunks.count, 1, BLOCKS),),
            block=(256,),
            arguments=(g, *chunks.arguments, ok, first),
        )
    return first
