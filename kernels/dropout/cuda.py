"""Dropout on the GPU: launches of dropout.cu."""

import math

from .. import runtime
from ..common.device_arrays import ready, suffix

SOURCE = runtime.Source(__file__, "dropout.cu")


def forward(x, p, key, call, *, base=None):
    """As the contract; ``base`` is a uint64 array (1,) of the device that is added to ``call`` when the kernel runs."""
    x = ready(x, x.shape, "x")
    y = runtime.device().empty(x.shape, x.dtype)
    runtime.launch(
        SOURCE[f"dropout_{suffix(x, 'dropout')}"],
        grid=(runtime.blocks(-(-x.size // 4), 256, 8),),
        block=(256,),
        arguments=(x, y, x.size, math.ceil(p * 2**24), 1 / (1 - p), *key, call, base),
    )
    return y
