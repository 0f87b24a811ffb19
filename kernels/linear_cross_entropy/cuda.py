"""A head's cross-entropy on the GPU: the linear layer's and the cross-entropy's kernels, a chunk of rows at a time."""

import numpy as np

from .. import runtime
from ..common.device_arrays import ready, suffix
from ..cross_entropy import cuda as cross_entropy
from ..linear import cuda as linear
from . import chunks

ELEMENTS = 2**28  # of a chunk's logits: products of some thousand rows, which fill a GPU


def forward(x, w, targets, b=None, *, ignore_index=-100, rows=None):
    losses, targets = _losses(x), _targets(targets, len(x))
    for part in chunks.chunks(len(x), rows or _rows(w)):
        z, _ = linear.forward(x[part], w, b)
        losses[part], _ = cross_entropy.forward(z, targets[part], ignore_index=ignore_index)
        del z
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
    losses, targets = _losses(x), _targets(targets, len(x))

    def differentiate(z, part):
        losses[part], lse = cross_entropy.forward(z, targets[part], ignore_index=ignore_index)
        return cross_entropy.backward(dlosses[part], z, targets[part], lse, ignore_index=ignore_index, out=z)

    chunks.backward(linear, x, w, b, rows or _rows(w), differentiate, (dx, dw, db), accumulate)
    return losses


def _losses(x):
    suffix(x, "linear_cross_entropy")
    return runtime.device().empty((len(x),), np.float32)


def _targets(targets, m):
    return ready(targets.reshape(-1).astype(np.int64, copy=False), (m,), "targets")


def _rows(w):
    """How many rows are a chunk: whole multiples of 128, a tile of the product."""
    return max(128, ELEMENTS // max(1, len(w)) // 128 * 128)
