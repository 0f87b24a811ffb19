"""SwiGLU for float32, in one pass: see `silu.cpu` for the exponential."""

from ..common.elementwise import computed
from ..common.exp import ONE, fexp
from ..common.jit import parallel
from ..common.pieces import split
from ..silu.cpu import sigmoid


def forward(a, b):
    (y,) = computed(_forward, a=a, b=b)
    return y


def backward(dy, a, b):
    return computed(_backward, 2, dy=dy, a=a, b=b)


@parallel
def _forward(t, nt, a, b, y):
    lo, hi = split(a.size, t, nt)
    a, b, y = a[lo:hi], b[lo:hi], y[lo:hi]
    for i in range(y.size):
        y[i] = a[i] * sigmoid(a[i], fexp(-abs(a[i]))) * b[i]


@parallel
def _backward(t, nt, dy, a, b, da, db):
    lo, hi = split(a.size, t, nt)
    dy, a, b, da, db = dy[lo:hi], a[lo:hi], b[lo:hi], da[lo:hi], db[lo:hi]
    for i in range(da.size):
        e = fexp(-abs(a[i]))
        sigma = sigmoid(a[i], e)
        da[i] = dy[i] * b[i] * (sigma * (ONE + a[i] * sigmoid(-a[i], e)))
        db[i] = dy[i] * (a[i] * sigma)
