"""One step of Lion (Chen et al. 2023, algorithm 2): the sign of an interpolated momentum.

    g ← grad_scale · grad
    θ ← θ·(1 − lr·weight_decay) − lr · sign(β₁·m + (1 − β₁)·g)
    m ← β₂·m + (1 − β₂)·g

sign(0) is 0. theta, grad and m are vectors of one length and dtype; grad is only read. It moves at least 20 bytes a
parameter in float32: three reads, two writes.
"""

from typing import Any

from ..dispatch import select


def step(
    theta: Any,
    grad: Any,
    m: Any,
    *,
    lr: float,
    betas: tuple[float, float],
    weight_decay: float,
    grad_scale: float = 1.0,
) -> None:
    """Updates theta and m in place. ``grad_scale`` is the clip factor, below 0 to climb."""
    select(__name__, theta).step(theta, grad, m, lr=lr, betas=betas, weight_decay=weight_decay, grad_scale=grad_scale)
