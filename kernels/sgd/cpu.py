"""One step of gradient descent with momentum for float32, in one pass over the vectors."""

import numpy as np

from ..common.arrays import finish, ready, target
from ..common.jit import parallel
from ..common.pieces import pieces, split


def step(
    theta,
    grad,
    buf,
    *,
    lr,
    momentum=0.0,
    dampening=0.0,
    weight_decay=0.0,
    nesterov=False,
    first=False,
    grad_scale=1.0,
):
    shape = theta.shape
    grad, moved = ready(grad, shape, "grad"), target(theta, shape, "theta")
    if momentum:
        kept = target(buf, shape, "buf")
        if first:
            kept[...] = 0
        share, own, held = (1.0 if first else 1.0 - dampening), *((1.0, momentum) if nesterov else (0.0, 1.0))
        _step_with_momentum(
            pieces(theta.size),
            *(moved.reshape(-1), grad.reshape(-1), kept.reshape(-1)),
            *(float(grad_scale), float(weight_decay), float(momentum), float(share), float(lr * own), float(lr * held)),
        )
        finish(kept, buf)
    else:
        _step(
            pieces(theta.size), moved.reshape(-1), grad.reshape(-1), float(grad_scale), float(weight_decay), float(lr)
        )
    finish(moved, theta)


@parallel
def _step(t, nt, theta, grad, scale, decay, lr):
    lo, hi = split(theta.size, t, nt)
    theta, grad = theta[lo:hi], grad[lo:hi]
    scale, decay, lr = np.float32(scale), np.float32(decay), np.float32(lr)
    zero = np.float32(0)
    for i in range(theta.size):
        theta[i] -= lr * (scale * grad[i] + (decay * theta[i] if decay != 0 else zero))


@parallel
def _step_with_momentum(t, nt, theta, grad, buf, scale, decay, momentum, share, own, held):
    """``own`` and ``held``: how much of the gradient itself and of the buffer goes into the step, times lr."""
    lo, hi = split(theta.size, t, nt)
    theta, grad, buf = theta[lo:hi], grad[lo:hi], buf[lo:hi]
    scale, decay, momentum = np.float32(scale), np.float32(decay), np.float32(momentum)
    share, own, held = np.float32(share), np.float32(own), np.float32(held)
    zero = np.float32(0)
    for i in range(theta.size):
        g = scale * grad[i] + (decay * theta[i] if decay != 0 else zero)
        buf[i] = momentum * buf[i] + share * g
        theta[i] -= (own * g if own != 0 else zero) + held * buf[i]
