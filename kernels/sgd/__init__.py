"""One step of gradient descent with momentum (Sutskever et al. 2013), in PyTorch's form.

    g ← grad_scale · grad   (+ weight_decay · θ, coupled only)
    b ← momentum·b + (1 − dampening)·g        (b ← g on a parameter's first step)
    θ ← θ·(1 − lr·weight_decay)   (decoupled only: Loshchilov and Hutter 2019, algorithm 1)
    θ ← θ − lr · (b, or g + momentum·b with Nesterov; g itself without momentum)

theta, grad and buf are vectors of one length and dtype; grad is only read. It moves at least 12 bytes a parameter in
float32, 20 with momentum.
"""

from typing import Any

from ..dispatch import select


def step(
    theta: Any,
    grad: Any,
    buf: Any,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    first: bool = False,
    grad_scale: float = 1.0,
    decoupled: bool = False,
) -> None:
    """Updates theta and buf in place. ``buf`` may be None when momentum is 0; ``first``: buf holds nothing yet."""
    select(__name__, theta).step(
        theta,
        grad,
        buf,
        lr=lr,
        momentum=momentum,
        dampening=dampening,
        weight_decay=weight_decay,
        nesterov=nesterov,
        first=first,
        grad_scale=grad_scale,
        decoupled=decoupled,
    )
