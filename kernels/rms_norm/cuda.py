"""Root mean square normalisation on the GPU: launches of rms_norm.cu.

For bfloat16 x, rstd and dw are float32: the sums behind them are, and dw goes into g.
"""

from typing import Any

import numpy as np

from .. import runtime
from ..common.device_arrays import finish, ready, suffix, target

SOURCE = runtime.Source(__file__, "rms_norm.cu")
FORWARD_WARPS = 4
MOST_COLUMNS = 227 * 1024 // 4  # dw of a row in shared memory


def forward(x, w=None, *, eps=1e-6):
    kernel = SOURCE[f"rms_norm_forward_{suffix(x, 'rms_norm')}"]
    x = ready(x, x.shape, "x")
    rows, n = x.shape
    w = None if w is None else ready(w, (n,), "w")
    y, rstd = runtime.device().empty(x.shape, x.dtype), runtime.device().empty((rows,), np.float32)
    runtime.launch(
        kernel,
        grid=(max(1, -(-rows // FORWARD_WARPS)),),
        block=(32 * FORWARD_WARPS,),
        arguments=(x, w, y, rstd, rows, n, eps),
    )
    return y, rstd


def backward(dy, x, w, rstd, *, dx=None, dw=None, accumulate=(False, False)):
    kernel = SOURCE[f"rms_norm_backward_{suffix(x, 'rms_norm')}"]
    rows, n = x.shape
    if dw is not None and n > MOST_COLUMNS:
        raise ValueError(f"rms_norm.backward on the GPU takes rows of up to {MOST_COLUMNS} elements, got {n}")
    dy, x, rstd = ready(dy, x.shape, "dy"), ready(x, x.shape, "x"), ready(rstd, (rows,), "rstd")
    w = None if w is None else ready(w, (n,), "w")
    into = None if dx is None else target(dx, x.shape, x.dtype, "dx")
    sums = None if dw is None else target(dw, (n,), np.float32, "dw")
    grid = runtime.blocks(rows, 1, 4)
    partials: Any = None if dw is None else runtime.device().empty((grid, n), np.float32)
    runtime.launch(
        kernel,
        grid=(grid,),
        block=(256,),
        arguments=(dy, x, w, rstd, into, partials, rows, n, int(accumulate[0])),
        shared_bytes=0 if dw is None else 4 * n,
    )
    if dx is not None:
        finish(into, dx)
    if dw is not None:
        runtime.launch(
            SOURCE["rms_norm_sum_rows"],
            grid=(-(-n // 32),),
            block=(256,),
            arguments=(partials, sums, grid, n, int(accumulate[1])),
        )
        finish(sums, dw)
