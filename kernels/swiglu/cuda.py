"""SwiGLU on the GPU: launches of swiglu.cu."""

from .. import runtime
from ..common.device_elementwise import computed

SOURCE = runtime.Source(__file__, "swiglu.cu")


def forward(a, b):
    (y,) = computed(SOURCE, "swiglu_forward", a=a, b=b)
    return y


def backward(dy, a, b):
    return computed(SOURCE, "swiglu_backward", 2, dy=dy, a=a, b=b)
