"""Lion."""

from typing import Any

from .. import kernels
from ..flat import Flat
from ..kernels.lion import cuda as lion_on_gpu
from .gradients import Noise
from .optimizer import LearningRate, Optimizer, check_betas, check_lr, check_range


class Lion(Optimizer):
    """Steps of one size: the sign of an interpolated momentum (Chen et al. 2023, algorithm 2).

        θ ← θ·(1 − lr·weight_decay) − lr·sign(β₁·m + (1 − β₁)·g)
        m ← β₂·m + (1 − β₂)·g

    Every element moves by lr, so that lr is to be 3 to 10 times smaller than for `AdamW`, and weight_decay as many
    times larger (section 5 there). One state vector, ``exp_avg`` (m).

    Args:
        params, clip_norm, clip_value, noise: see `Optimizer`.
        lr: a number, or a function of the step.
        betas: each in [0, 1).
        weight_decay: at least 0, decoupled.
        maximize: climb instead: g is −grad.
    """

    state_names = ("exp_avg",)

    def __init__(
        self,
        params: Any,
        lr: LearningRate = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        noise: Noise | None = None,
    ):
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults, clip_norm, clip_value, noise)

    def check(self, group: dict[str, Any]) -> None:
        check_lr(group["lr"])
        check_betas(group["betas"])
        check_range("weight_decay", group["weight_decay"], 0)

    def update(self, flat: Flat, part: slice, group: dict[str, Any], lr: float, step: int, grad_scale: float) -> None:
        kernels.lion.step(
            flat.theta[part],
            flat.grad[part],
            flat.state["exp_avg"][part],
            lr=lr,
            betas=tuple(group["betas"]),
            weight_decay=group["weight_decay"],
            grad_scale=-grad_scale if group["maximize"] else grad_scale,
        )

    def gpu_row(self, group: dict[str, Any], lr: float, step: int) -> tuple[float, ...]:
        settings = {"betas": group["betas"], "weight_decay": group["weight_decay"]}
        return lion_on_gpu.coefficients(lr=lr, grad_scale=-1.0 if group["maximize"] else 1.0, **settings)

    def gpu_update(self, flat: Flat, chunks: Any, variant: Any, rows: Any, clip: Any, ok: Any) -> None:
        momentum = flat.state["exp_avg"]
        lion_on_gpu.step_flat(
            flat.theta, flat.grad, momentum, chunks=chunks, coefficients=rows, clip=clip, ok=ok, shadow=flat.shadow
        )
