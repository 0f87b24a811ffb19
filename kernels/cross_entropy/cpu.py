"""Softmax cross-entropy for float32: a row of logits is read once, its exponentials are never stored."""

import numpy as np

from ..common.arrays import finish, integers, ready, target
from ..common.exp import ONE, ZERO, fexp
from ..common.jit import jit, parallel
from ..common.pieces import pieces, split
from ..common.rows import fill, largest


def forward(logits, targets, *, ignore_index=-100):
    m, v = logits.shape
    logits, targets = ready(logits, (m, v), "logits"), _targets(targets, m)
    losses, lse = np.empty(m, np.float32), np.empty(m, np.float32)
    _forward(pieces(logits.size), logits, targets, int(ignore_index), losses, lse)
    return losses, lse


def backward(dlosses, logits, targets, lse, *, ignore_index=-100, out=None, accumulate=False):
    m, v = logits.shape
    logits, targets = ready(logits, (m, v), "logits"), _targets(targets, m)
    dlosses, lse = ready(dlosses, (m,), "dlosses"), ready(lse, (m,), "lse")
    dz = target(out, (m, v), "out")
    add = bool(accumulate) and out is not None
    _backward(pieces(logits.size), dlosses, logits, targets, lse, int(ignore_index), dz, add)
    return finish(dz, out)


def _targets(targets, m):
    flat = integers(targets)
    if flat.size != m:
        raise ValueError(f"targets must hold one class index for each of {m} rows, got the shape {targets.shape}")
    return flat


@parallel
def _forward(t, nt, logits, targets, ignore_index, losses, lse):
    lo, hi = split(targets.size, t, nt)
    for i in range(lo, hi):
        row = logits[i]
        top = largest(row, row.size)
        log_sum = np.log(_sum_of_exp(row, top))
        lse[i] = top + log_sum
        losses[i] = ZERO if targets[i] == ignore_index else log_sum - (row[targets[i]] - top)


@jit
def _sum_of_exp(row, top):
    total = ZERO
    for j in range(row.size):
        total += fexp(row[j] - top)
    return total


@parallel
def _backward(t, nt, dlosses, logits, targets, lse, ignore_index, dz, accumulate):
    lo, hi = split(targets.size, t, nt)
    for i in range(lo, hi):
        if targets[i] != ignore_index:
            _backward_row(dlosses[i], logits[i], targets[i], lse[i], dz[i], accumulate)
        elif not accumulate:
            fill(dz[i], 0)


@jit
def _backward_row(dloss, row, chosen, lse, dz, accumulate):
    before = dz[chosen] if accumulate else ZERO
    at_chosen = before + dloss * (fexp(row[chosen] - lse) - ONE)
    if accumulate:
        for j in range(row.size):
            dz[j] += dloss * fexp(row[j] - lse)
    else:
        for j in range(row.size):
            dz[j] = dloss * fexp(row[j] - lse)
    dz[chosen] = at_chosen
