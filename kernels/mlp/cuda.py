"""The layers on a GPU, one after the other, each with its kernels of `kernels.linear`."""

from .. import runtime
from ..linear import cuda as linear
from . import separately


def forward(x, layers, *, activation, residual=None):
    return separately.forward(linear, x, layers, activation, residual)


def backward(dy, x, saved, layers, *, activation, out, accumulate):
    separately.backward(linear, runtime.device().empty, dy, x, saved, layers, activation, out, accumulate)
