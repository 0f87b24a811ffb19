"""SiLU on the GPU: launches of silu.cu."""

from .. import runtime
from ..common.device_arrays import ready, suffix

SOURCE = runtime.Source(__file__, "silu.cu")


def forward(x):
    x = ready(x, x.shape, "x")
    y = runtime.device().empty(x.shape, x.dtype)
    _launch("forward", x, y)
    return y


def backward(dy, x):
    x = ready(x, x.shape, "x")
    dy = ready(dy, x.shape, "dy")
    dx = runtime.device().empty(x.shape, x.dtype)
    _launch("backward", dy, x, dx)
    return dx


def _launch(direction, *arrays):
    x = arrays[-1]
    width = 16 // x.dtype.itemsize
    runtime.launch(
        SOURCE[f"silu_{direction}_{suffix(x, 'silu')}"],
        grid=(runtime.blocks(-(-x.size // width), 256, 8),),
        block=(256,),
        arguments=(*arrays, x.size),
    )
