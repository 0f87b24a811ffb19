"""A head's cross-entropy for float32: a row of logits becomes its gradient while it is in the cache."""

import numpy as np

from ..common.arrays import check_target, finish, integers, ready, target
from ..common.exp import ONE, ZERO, fexp
from ..common.jit import jit, parallel
from ..common.pieces import pieces, split
from ..common.rows import fill, largest
from ..cross_entropy import cpu as cross_entropy
from ..linear import cpu as linear
from . import chunks

ELEMENTS = 2**24  # of a chunk's logits, 64 MiB


def forward(x, w, targets, b=None, *, ignore_index=-100, rows=None):
    x, w, targets, b = _ready(x, w, targets, b)
    losses = np.empty(len(x), np.float32)
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
    x, w, targets, b = _ready(x, w, targets, b)
    dlosses = ready(dlosses, (len(x),), "dlosses")
    given = {"dx": (dx, x.shape), "dw": (dw, w.shape), "db": (db, w.shape[:1])}
    for name, (out, shape) in given.items():
        if out is not None:
            check_target(out, shape, name)
    written = [None if out is None else target(out, shape, name) for name, (out, shape) in given.items()]
    losses = np.empty(len(x), np.float32)

    def differentiate(z, part):
        _differentiate(pieces(z.size), dlosses[part], z, targets[part], int(ignore_index), losses[part])
        return z

    chunks.backward(linear, x, w, b, rows or _rows(w), differentiate, written, accumulate)
    for array, out in zip(written, (dx, dw, db), strict=True):
        finish(array, out)
    return losses


def _ready(x, w, targets, b):
    (m, k), v = x.shape, len(w)
    targets = integers(targets)
    if targets.size != m:
        raise ValueError(f"targets must hold one class index for each of {m} rows, got the shape {targets.shape}")
    return ready(x, (m, k), "x"), ready(w, (v, k), "w"), targets, None if b is None else ready(b, (v,), "b")


def _rows(w):
    """How many rows are a chunk: whole multiples of 64."""
    return max(64, ELEMENTS // max(1, len(w)) // 64 * 64)


@parallel
def _differentiate(t, nt, dlosses, z, targets, ignore_index, losses):
    lo, hi = split(targets.size, t, nt)
    for i in range(lo, hi):
        if targets[i] == ignore_index:
            losses[i] = ZERO
            fill(z[i], 0)
        else:
            losses[i] = _differentiate_row(dlosses[i], z[i], targets[i])


@jit
def _differentiate_row(dloss, row, chosen):
    """Exponentials once, over the logits; then their share of the sum."""
    top = largest(row, row.size)
    centred = row[chosen] - top
    total = ZERO
    for j in range(row.size):
        e = fexp(row[j] - top)
        row[j] = e
        total += e
    at_chosen = dloss * (row[chosen] / total - ONE)
    share = dloss / total
    for j in range(row.size):
        row[j] *= share
    row[chosen] = at_chosen
    return np.log(total) - centred
