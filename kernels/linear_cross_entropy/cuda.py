"""A head's cross-entropy on the GPU: products by linear's kernels, losses and dZ by linear_cross_entropy.cu."""

import numpy as np

from .. import runtime
from ..common.device_arrays import finish, ready, suffix, target
from ..cross_entropy import cuda as cross_entropy
from ..linear import cuda as linear
from . import chunks

SOURCE = runtime.Source(__file__, "linear_cross_entropy.cu")
ELEMENTS = 2**28  # of a chunk's logits: 5,312 rows of GPT-2's vocabulary, enough for products at full speed


def forward(x, w, targets, b=None, *, ignore_index=-100, rows=None):
    losses = runtime.device().empty((len(x),), np.float32)
    for part in chunks.chunks(len(x), rows or _rows(w)):
        z, _ = linear.forward(x[part], w, b)
        losses[part] = cross_entropy.forward(z, targets[part], ignore_index=ignore_index)[0]
    return losses


def backward(
    dlosses,
    x,
    w,
    targets,
    b=None,
    *,
    ignore_index=-100,
    dx=None,
    dw=None,
    db=None,
    accumulate=(False, False, False),
    rows=None,
):
    kernel = SOURCE[f"linear_cross_entropy_{suffix(x, 'linear_cross_entropy')}"]
    m = len(x)
    dlosses = ready(dlosses, (m,), "dlosses")
    targets = ready(targets.astype(np.int64, copy=False), (m,), "targets")
    given = (dx, x.shape, x.dtype, "dx"), (dw, w.shape, np.float32, "dw"), (db, w.shape[:1], np.float32, "db")
    written = tuple([None if out is None else target(out, *what) for out, *what in given])
    losses = runtime.device().empty((m,), np.float32)

    def differentiate(z, part):
        if len(z):
            arguments = (dlosses[part], z, targets[part], losses[part], z.shape[1], ignore_index)
            runtime.launch(kernel, grid=(len(z),), block=(256,), arguments=arguments)
        return z

    chunks.backward(linear, x, w, b, rows or _rows(w), differentiate, written, accumulate)
    for array, (out, *_) in zip(written, given, strict=True):
        finish(array, out)
    return losses


def _rows(w):
    """How many rows are a chunk: whole multiples of 128, a tile of a product."""
    return max(128, ELEMENTS // max(1, len(w)) // 128 * 128)
