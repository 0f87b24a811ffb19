"""Embedding on the GPU: launches of embedding.cu and radix_sort.cu. The gradient of the table is float32."""

from typing import Any

import numpy as np

from .. import runtime
from ..common.device_arrays import finish, ready, suffix, target

SOURCE = runtime.Source(__file__, "embedding.cu")
SORT = runtime.Source(__file__, "radix_sort.cu")
WARPS, COLUMNS, TILE, DIGITS = 4, 128, 2048, 256


def forward(w, ids):
    kernel = SOURCE[f"embedding_forward_{suffix(w, 'embedding')}"]
    w, flat = ready(w, w.shape, "w"), ids.reshape(-1).astype(np.int64, copy=False)
    flat = ready(flat, flat.shape, "ids")
    y = runtime.device().empty((flat.size, w.shape[1]), w.dtype)
    runtime.launch(
        kernel,
        grid=(runtime.blocks(flat.size, WARPS, 16),),
        block=(32 * WARPS,),
        arguments=(w, flat, y, flat.size, *w.shape),
    )
    return y.reshape(*ids.shape, w.shape[1])


def backward(dy, ids, *, out, accumulate=False):
    kernel = SOURCE[f"embedding_backward_{suffix(dy, 'embedding')}"]
    v, c = out.shape
    flat = ids.reshape(-1).astype(np.int32)
    dy = ready(dy.reshape(-1, c), (flat.size, c), "dy")
    dw = target(out, (v, c), np.float32, "out")
    if not accumulate:
        dw.fill(0)
    if flat.size:
        keys, order = sort(flat, v)
        runtime.launch(
            kernel,
            grid=(-(-flat.size // WARPS), -(-c // COLUMNS)),
            block=(32 * WARPS,),
            arguments=(dy, keys, order, dw, flat.size, v, c, int(accumulate)),
        )
    return finish(dw, out)


def sort(keys: Any, bound: int) -> tuple[Any, Any]:
    """int32 ``keys`` in [0, bound) in ascending order, and the place that each came from; equal ones stay in order."""
    n, tiles = keys.size, -(-keys.size // TILE)
    empty = runtime.device().empty
    counts = empty((DIGITS * tiles,), np.int32)
    order = None
    for shift in range(0, max(1, (bound - 1).bit_length()), 8):
        sorted_keys, sorted_order = empty((n,), np.int32), empty((n,), np.int32)
        runtime.launch(SORT["count_digits"], grid=(tiles,), block=(256,), arguments=(keys, n, shift, counts))
        runtime.launch(SORT["scan_counts"], grid=(1,), block=(1024,), arguments=(counts, DIGITS * tiles))
        runtime.launch(
            SORT["scatter"],
            grid=(tiles,),
            block=(256,),
            arguments=(keys, order, sorted_keys, sorted_order, n, shift, counts),
        )
        keys, order = sorted_keys, sorted_order
    return keys, order
