"""Rotary position embedding on the GPU: launches of rotary.cu."""

import numpy as np

from .. import runtime
from ..common.device_arrays import ready, suffix

SOURCE = runtime.Source(__file__, "rotary.cu")


def rotate(x, cos, sin, *, interleaved=False, inverse=False):
    kernel = SOURCE[f"rotary_{suffix(x, 'rotary')}"]
    x, cos, sin = ready(x, x.shape, "x"), ready(cos, cos.shape, "cos"), ready(sin, sin.shape, "sin")
    y = runtime.device().empty(x.shape, x.dtype)
    runtime.launch(
        kernel,
        grid=(runtime.blocks(x.size, 256, 8),),
        block=(256,),
        arguments=(
            *(x, cos.astype(np.float32, copy=False), sin.astype(np.float32, copy=False), y, x.size),
            *(x.shape[1], x.shape[2], cos.shape[1], int(interleaved), -1.0 if inverse else 1.0),
        ),
    )
    return y
