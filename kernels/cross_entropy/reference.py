"""Softmax cross-entropy in plain NumPy: the specification."""

import numpy as np

from ..common.store import store
from ..common.wide import narrow, wide


def forward(logits, targets, *, ignore_index=-100):
    logits = wide(logits)
    top = logits.max(axis=1)
    lse = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    counted = targets != ignore_index
    chosen = logits[np.arange(len(targets)), np.where(counted, targets, 0)]
    return np.where(counted, lse - chosen, 0).astype(logits.dtype, copy=False), lse


def backward(dlosses, logits, targets, lse, *, ignore_index=-100, out=None, accumulate=False):
    counted = targets != ignore_index
    dz = np.exp(wide(logits) - lse[:, None])
    dz[np.arange(len(targets)), np.where(counted, targets, 0)] -= 1
    dz *= dlosses[:, None]
    dz[~counted] = 0
    return store(narrow(dz, logits), out, accumulate)
