"""A head's cross-entropy in plain NumPy: the specification."""

import numpy as np

from ..common.wide import wide
from ..cross_entropy import reference as cross_entropy
from ..linear import reference as linear
from . import chunks

ELEMENTS = 2**22  # of a chunk's logits, of which some copies stand in memory at once


def forward(x, w, targets, b=None, *, ignore_index=-100, rows=None):
    losses = np.empty(len(x), wide(x[:0]).dtype)
    for part in chunks.chunks(len(x), rows or _rows(w)):
        z, _ = linear.forward(x[part], w, b)
        losses[part], _ = cross_entropy.forward(z, targets[part], ignore_index=ignore_index)
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
    losses = np.empty(len(x), wide(x[:0]).dtype)

    def differentiate(z, part):
        losses[part], lse = cross_entropy.forward(z, targets[part], ignore_index=ignore_index)
        return cross_entropy.backward(dlosses[part], z, targets[part], lse, ignore_index=ignore_index, out=z)

    chunks.backward(linear, x, w, b, rows or _rows(w), differentiate, (dx, dw, db), accumulate)
    return losses


def _rows(w):
    return max(1, ELEMENTS // max(1, len(w)))
