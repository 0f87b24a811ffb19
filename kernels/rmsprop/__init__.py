"""One step of RMSprop, which divides the gradient by the root of its mean square, or of Adagrad: by that of their sum.

    g ← grad_scale · grad + weight_decay · θ
    v ← keep·v + rest·g² + start
    a ← keep·a + rest·g,    s = v − a²          (where the mean a is given; else s = v)
    u = g / (√s + eps)
    b ← momentum·b + u,     u = b               (where the buffer b is given)
    θ ← θ − lr·u

RMSprop has keep = α and rest = 1 − α (Tieleman and Hinton 2012; with a, Graves 2013), Adagrad keep = rest = 1 (Duchi,
Hazan and Singer 2011). theta, grad, v, buf and mean are vectors of one length and dtype; grad is only read. Where
rounding makes s negative, it is 0. It moves at least 20 bytes a parameter in float32, 8 more with each of b and a.
"""

from typing import Any

from ..dispatch import select


def step(
    theta: Any,
    grad: Any,
    v: Any,
    buf: Any = None,
    mean: Any = None,
    *,
    lr: float,
    keep: float,
    rest: float,
    eps: float,
    start: float = 0.0,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    grad_scale: float = 1.0,
) -> None:
    """Updates theta, v, and buf and mean where given, in place. ``start``: what v begins with; 0 after a first step."""
    select(__name__, theta).step(
        *(theta, grad, v, buf, mean),
        lr=lr,
        keep=keep,
        rest=rest,
        eps=eps,
        start=start,
        momentum=momentum,
        weight_decay=weight_decay,
        grad_scale=grad_scale,
    )
