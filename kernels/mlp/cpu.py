"""The layers for float32, a stage of one kernel each: small ones take less time than a call from Python does.

A step of an MLP 64-256-256-10 with 64 rows calls two kernels here in place of six.
"""

import numpy as np

from ..common.arrays import NONE1, NONE2, finish, ready, target
from ..common.jit import in_stages
from ..common.pieces import PRODUCTS, pieces
from ..linear import cpu as linear
from ..linear.cpu import CODES, GELU, PLAIN, backward_part, forward_part
from . import separately


def forward(x, layers, *, activation, residual=None):
    if len(layers) == 1:
        return separately.forward(linear, x, layers, activation, residual)
    (m, _), code = x.shape, CODES[activation]
    x, (weights, biases) = ready(x, x.shape, "x"), _ready(layers, x.shape[1])
    sizes = [len(w) for w in weights]
    before = tuple([np.empty((m, n), np.float32) for n in sizes])  # of each layer, before its activation; the last is Y
    after = tuple([np.empty((m, n), np.float32) for n in sizes[:-1]]) + before[-1:] if code == GELU else before
    residual = NONE2 if residual is None else ready(residual, (m, sizes[-1]), "residual")
    _forward(_pieces(m, weights), 0, len(weights), x, weights, biases, residual, before, after, code)
    return after[-1], tuple(zip(after[:-1], before[:-1], strict=True))


def backward(dy, x, saved, layers, *, activation, out, accumulate):
    if len(layers) == 1 or (out[0] is not None and (out[0] is out[1] or out[0] is out[2])):
        separately.backward(linear, np.empty, dy, x, saved, layers, activation, out, accumulate)
        return
    m, (after, before) = len(x), zip(*saved, strict=True)
    dy, x = ready(dy, (m, len(layers[-1][0])), "dy"), ready(x, x.shape, "x")
    weights, last, width = [], separately.lowest(out), x.shape[1]
    dw, db, du = [], [], []
    for i, (w, _) in enumerate(layers):
        shape = len(w), width
        to_w, to_b = out[1 + 2 * i : 3 + 2 * i]
        weights.append(ready(w, shape, "w"))
        dw.append(NONE2 if to_w is None else target(to_w, shape, "dw"))
        db.append(NONE1 if to_b is None else target(to_b, shape[:1], "db"))
        du.append(np.empty((m, shape[0]) if last <= i < len(layers) - 1 else (0, 0), np.float32))
        width = shape[0]
    du[-1] = dy
    dx = NONE2 if out[0] is None else target(out[0], x.shape, "dx")
    wants, adds = tuple([array is not None for array in out]), tuple([bool(add) for add in accumulate])
    _backward(
        *(_pieces(m, weights), 0, len(weights) - last),
        *(x, tuple(weights), after, before, tuple(du), CODES[activation], last, dx, tuple(dw), tuple(db), wants, adds),
    )
    for written, into in zip((dx, *dw, *db), (out[0], *out[1::2], *out[2::2]), strict=True):
        finish(written, into)


def _ready(layers, width):
    """All weights, and all biases, as kernels read them."""
    weights, biases = [], []
    for w, b in layers:
        weights.append(ready(w, (len(w), width), "w"))
        width = len(w)
        biases.append(NONE1 if b is None else ready(b, (width,), "b"))
    return tuple(weights), tuple(biases)


def _pieces(m, weights):
    return pieces(m * max([w.size for w in weights]), PRODUCTS)


@in_stages
def _forward(t, nt, stage, x, weights, biases, residual, before, after, activation):
    if stage == len(weights) - 1:
        of, added = PLAIN, residual
    else:
        of, added = activation, NONE2
    read = x if stage == 0 else after[stage - 1]
    forward_part(t, nt, read, weights[stage], biases[stage], added, before[stage], after[stage], of)


@in_stages
def _backward(t, nt, stage, x, weights, after, before, du, activation, last, dx, dw, db, wants, adds):
    i = len(weights) - 1 - stage
    wants_w, add_w, add_b = wants[1 + 2 * i], adds[1 + 2 * i], adds[2 + 2 * i]
    if i > 0:
        read, saved, below, to, wants_x, add_x = after[i - 1], before[i - 1], activation, du[i - 1], i > last, False
    else:
        read, saved, below, to, wants_x, add_x = x, NONE2, PLAIN, dx, wants[0], adds[0]
    backward_part(t, nt, du[i], read, weights[i], saved, below, to, dw[i], db[i], wants_x, wants_w, add_x, add_w, add_b)
