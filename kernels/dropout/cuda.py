"""Dropout on the GPU: launches of dropout.cu."""

import math

from .. import runtime
from ..common.device_arrays import ready, suffix

SOURCE = runtime.Source(__file__, "dropout.cu")


def forward(x, p, key, call):
    x = ready(x, x.shape, "x")
    y = runtime.device().empty(x.shape, x.dtype)
    runtime.launch(
        SOURCE[f"dropout_{suffix(x, 'dropout')}"],
        grid=(runtime.blocks(-(-x.size // 4), 256, 8),),
        block=(256,),
        arguments=(x, y, x.size, math.ceil(p * 2**24), 1 / (1 - p), *key, call, runtime.random_base()),
    )
    return y
