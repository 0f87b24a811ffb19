"""SwiGLU on the GPU: launches of swiglu.cu."""

from .. import runtime
from ..common.device_arrays import ready, suffix

SOURCE = runtime.Source(__file__, "swiglu.cu")


def forward(a, b):
    a, b = ready(a, a.shape, "a"), ready(b, a.shape, "b")
    y = runtime.device().empty(a.shape, a.dtype)
    _launch("forward", a, b, y)
    return y


def backward(dy, a, b):
    dy, a, b = ready(dy, a.shape, "dy"), ready(a, a.shape, "a"), ready(b, a.shape, "b")
    da, db = (runtime.device().empty(a.shape, a.dtype) for _ in range(2))
    _launch("backward", dy, a, b, da, db)
    return da, db


def _launch(direction, *arrays):
    a = arrays[0]
    width = 16 // a.dtype.itemsize
    runtime.launch(
        SOURCE[f"swiglu_{direction}_{suffix(a, 'swiglu')}"],
        grid=(runtime.blocks(-(-a.size // width), 256, 8),),
        block=(256,),
        arguments=(*arrays, a.size),
    )
