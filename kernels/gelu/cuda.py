"""GELU on the GPU: launches of gelu.cu."""

from .. import runtime
from ..common.device_elementwise import computed

SOURCE = runtime.Source(__file__, "gelu.cu")


def forward(x):
    (y,) = computed(SOURCE, "gelu_forward", x=x)
    return y


def backward(dy, x):
    (dx,) = computed(SOURCE, "gelu_backward", dy=dy, x=x)
    return dx
