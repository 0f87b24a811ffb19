"""One step of Adam (Kingma and Ba 2015, algorithm 1) or AdamW (Loshchilov and Hutter 2019, algorithm 2).

    g ← grad_scale · grad   (+ weight_decay · θ, coupled only)
    m ← β₁·m + (1 − β₁)·g
    v ← β₂·v + (1 − β₂)·g²
    v_max ← max(v_max, v), and v_max in the place of v below   (AMSGrad only: Reddi, Kale and Kumar 2018, algorithm 2)
    θ ← θ·(1 − lr·weight_decay)   (decoupled only)
    θ ← θ − lr/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + eps)

ε stands outside the root, as in PyTorch. theta, grad, m and v (and v_max) are vectors of one length and dtype;
grad is only read. It moves at least 28 bytes a parameter in float32, four reads and three writes; 36 with v_max.
"""

from typing import Any

from ..dispatch import select


def step(
    theta: Any,
    grad: Any,
    m: Any,
    v: Any,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    step: int,
    grad_scale: float = 1.0,
    decoupled: bool = True,
    v_max: Any = None,
) -> None:
    """Updates theta, m and v in place, and v_max where it is given: that is AMSGrad.

    ``step`` is t, from 1 up; ``grad_scale`` is the clip factor, below 0 to climb.
    """
    select(__name__, theta).step(
        theta,
        grad,
        m,
        v,
        lr=lr,
        betas=betas,
        eps=eps,
        weight_decay=weight_decay,
        step=step,
        grad_scale=grad_scale,
        decoupled=decoupled,
        v_max=v_max,
    )
