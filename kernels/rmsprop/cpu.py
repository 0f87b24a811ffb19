"""One step of RMSprop or Adagrad for float32, in one pass over the vectors."""

import numpy as np

from ..common.arrays import NONE1, finish, ready, target
from ..common.jit import parallel
from ..common.pieces import pieces, split


def step(
    theta,
    grad,
    v,
    buf=None,
    mean=None,
    *,
    lr,
    keep,
    rest,
    eps,
    start=0.0,
    momentum=0.0,
    weight_decay=0.0,
    grad_scale=1.0,
):
    shape = theta.shape
    grad = ready(grad, shape, "grad")
    outs = {"theta": theta, "v": v, "buf": buf, "mean": mean}
    written = {name: NONE1 if out is None else target(out, shape, name) for name, out in outs.items()}
    _step(
        pieces(theta.size),
        *(grad.reshape(-1), *(array.reshape(-1) for array in written.values())),
        *(float(grad_scale), float(weight_decay), float(keep), float(rest), float(start)),
        *(float(lr), float(momentum), float(eps)),
    )
    for name, out in outs.items():
        if out is not None:
            finish(written[name], out)


@parallel
def _step(t, nt, grad, theta, v, buf, mean, scale, coupled, keep, rest, start, lr, momentum, eps):
    lo, hi = split(theta.size, t, nt)
    grad, theta, v, buf, mean = grad[lo:hi], theta[lo:hi], v[lo:hi], buf[lo:hi], mean[lo:hi]
    scale, coupled, keep, rest = np.float32(scale), np.float32(coupled), np.float32(keep), np.float32(rest)
    start, lr, momentum, eps = np.float32(start), np.float32(lr), np.float32(momentum), np.float32(eps)
    zero = np.float32(0)
    for i in range(theta.size):
        g = scale * grad[i] + (coupled * theta[i] if coupled != 0 else zero)
        v[i] = keep * v[i] + rest * g * g + start
        spread = v[i]
        if mean.size > 0:
            mean[i] = keep * mean[i] + rest * g
            spread = max(spread - mean[i] * mean[i], zero)
        u = g / (np.sqrt(spread) + eps)
        if buf.size > 0:
            buf[i] = momentum * buf[i] + u
            u = buf[i]
        theta[i] -= lr * u
