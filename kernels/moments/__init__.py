"""One step of a rule that goes by the mean of the gradient and of its square, for rules beside Adam: NAdam and RAdam.

    g ← grad_scale · grad + weight_decay · θ
    m ← β₁·m + (1 − β₁)·g        v ← β₂·v + (1 − β₂)·g²
    θ ← shrink·θ − (by_grad·g + by_mean·m) / (root_scale·√v + eps)

What a rule makes of the learning rate and the number of the step stands in by_grad, by_mean, root_scale and eps: see
`gdengine.optim.NAdam` and `gdengine.optim.RAdam`. With root_scale = 0 and eps = 1 nothing is divided by. theta, grad, m
and v are vectors of one length and dtype; grad is only read. It moves at least 28 bytes a parameter in float32.
"""

from typing import Any

from ..dispatch import select


def step(
    theta: Any,
    grad: Any,
    m: Any,
    v: Any,
    *,
    betas: tuple[float, float],
    by_grad: float,
    by_mean: float,
    root_scale: float,
    eps: float,
    shrink: float = 1.0,
    weight_decay: float = 0.0,
    grad_scale: float = 1.0,
) -> None:
    """Updates theta, m and v in place."""
    select(__name__, theta).step(
        *(theta, grad, m, v),
        betas=betas,
        by_grad=by_grad,
        by_mean=by_mean,
        root_scale=root_scale,
        eps=eps,
        shrink=shrink,
        weight_decay=weight_decay,
        grad_scale=grad_scale,
    )
