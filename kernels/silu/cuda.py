"""SiLU on the GPU: launches of silu.cu."""

from .. import runtime
from ..common.device_elementwise import computed

SOURCE = runtime.Source(__file__, "silu.cu")


def forward(x):
    (y,) = computed(SOURCE, "silu_forward", x=x)
    return y


def backward(dy, x):
    (dx,) = computed(SOURCE, "silu_backward", dy=dy, x=x)
    return dx
