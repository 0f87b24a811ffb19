"""Layer normalisation on the GPU: launches of layer_norm.cu.

For bfloat16 x, mean and rstd, dw and db are float32: the sums behind them are, and dw and db go into g.
"""

from typing import Any

import numpy as np

from .. import runtime
from ..common.device_arrays import finish, ready, suffix, target

SOURCE = runtime.Source(__file__, "layer_norm.cu")
FORWARD_WARPS = 4
MOST_COLUMNS = (227 * 1024 - 32) // 32 * 4  # dw and db of a row in shared memory, beside the 32 bytes of a block's sum


def forward(x, w=None, b=None, *, eps=1e-5):
    y, _, mean, rstd = _forward(x, None, w, b, eps)
    return y, mean, rstd


def forward_residual(
    x: Any, residual: Any, w: Any = None, b: Any = None, *, eps: float = 1e-5
) -> tuple[Any, Any, Any, Any]:
    """`forward` of s = x + residual, in one pass. Returns ``(y, s, mean, rstd)``; the backward reads s."""
    return _forward(x, ready(residual, x.shape, "residual"), w, b, eps)


def _forward(x, residual, w, b, eps):
    kernel = SOURCE[f"layer_norm_forward_{suffix(x, 'layer_norm')}"]
    x = ready(x, x.shape, "x")
    rows, n = x.shape
    w, b = (None if p is None else ready(p, (n,), name) for p, name in ((w, "w"), (b, "b")))
    empty = runtime.device().empty
    y, mean, rstd = empty(x.shape, x.dtype), empty((rows,), np.float32), empty((rows,), np.float32)
    total = None if residual is None else empty(x.shape, x.dtype)
    runtime.launch(
        kernel,
        grid=(max(1, -(-rows // FORWARD_WARPS)),),
        block=(32 * FORWARD_WARPS,),
        arguments=(x, residual, w, b, total, y, mean, rstd, rows, n, eps),
    )
    return y, total, mean, rstd


def backward(dy, x, w, mean, rstd, *, dx=None, dw=None, db=None, accumulate=(False, False, False)):
    kernel = SOURCE[f"layer_norm_backward_{suffix(x, 'layer_norm')}"]
    rows, n = x.shape
    columns = dw is not None or db is not None
    if columns and n > MOST_COLUMNS:
        raise ValueError(f"layer_norm.backward on the GPU takes rows of up to {MOST_COLUMNS} elements, got {n}")
    dy, x = ready(dy, x.shape, "dy"), ready(x, x.shape, "x")
    mean, rstd = ready(mean, (rows,), "mean"), ready(rstd, (rows,), "rstd")
    w = None if w is None else ready(w, (n,), "w")
    into = None if dx is None else target(dx, x.shape, x.dtype, "dx")
    grid = runtime.blocks(rows, 1, 4)
    partials: Any = runtime.device().empty((grid, 2 * n), np.float32) if columns else None
    runtime.launch(
        kernel,
        grid=(grid,),
        block=(256,),
        arguments=(dy, x, w, mean, rstd, into, partials, rows, n, int(accumulate[0])),
        shared_bytes=32 * -(-n // 4) if columns else 0,
    )
    finish(into, dx)
    for out, first, add, name in ((dw, 0, accumulate[1], "dw"), (db, n, accumulate[2], "db")):
        if out is not None:
            sums = target(out, (n,), np.float32, name)
            runtime.launch(
                SOURCE["sum_rows"],
                grid=(-(-n // 32),),
                block=(256,),
                arguments=(partials[:, first:], sums, grid, n, 2 * n, int(add)),
            )
            finish(sums, out)
