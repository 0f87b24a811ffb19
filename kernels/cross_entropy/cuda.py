"""Softmax cross-entropy on the GPU: launches of cross_entropy.cu.

For bfloat16 logits, losses, lse and dlosses are float32.
"""

import numpy as np

from .. import runtime
from ..common.device_arrays import finish, ready, suffix, target

SOURCE = runtime.Source(__file__, "cross_entropy.cu")


def forward(logits, targets, *, ignore_index=-100):
    kernel = SOURCE[f"cross_entropy_forward_{suffix(logits, 'cross_entropy')}"]
    rows, n = logits.shape
    logits, targets = ready(logits, logits.shape, "logits"), _targets(targets, rows)
    losses, lse = (runtime.device().empty((rows,), np.float32) for _ in range(2))
    if rows:
        runtime.launch(kernel, grid=(rows,), block=(256,), arguments=(logits, targets, losses, lse, n, ignore_index))
    return losses, lse


def backward(dlosses, logits, targets, lse, *, ignore_index=-100, out=None, accumulate=False):
    kernel = SOURCE[f"cross_entropy_backward_{suffix(logits, 'cross_entropy')}"]
    rows, n = logits.shape
    dlosses, lse = ready(dlosses, (rows,), "dlosses"), ready(lse, (rows,), "lse")
    logits, targets = ready(logits, logits.shape, "logits"), _targets(targets, rows)
    dz = target(out, (rows, n), logits.dtype, "out")
    if rows:
        runtime.launch(
            kernel,
            grid=(rows,),
            block=(256,),
            arguments=(dlosses, logits, targets, lse, dz, n, ignore_index, int(accumulate)),
        )
    return finish(dz, out)


def _targets(targets, rows):
    return ready(targets.astype(np.int64, copy=False), (rows,), "targets")
