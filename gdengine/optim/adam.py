"""Adam and AdamW."""

from collections.abc import Sequence
from typing import Any

from .. import kernels
from ..flat import Flat
from ..kernels.adamw import cuda as adamw_on_gpu
from .gradients import Noise
from .optimizer import LearningRate, Optimizer, check_betas, check_eps, check_lr, check_range


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, algorithm 1), with ε outside the root, as PyTorch has it (Keras and ONNX differ).

        g ← g + weight_decay·θ
        m ← β₁·m + (1 − β₁)·g            v ← β₂·v + (1 − β₂)·g²
        θ ← θ − lr/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + eps)

    t counts a parameter's own updates. State vectors: ``exp_avg`` (m) and ``exp_avg_sq`` (v). With ``amsgrad`` the root
    is of the largest v so far, ``max_exp_avg_sq`` (Reddi, Kale and Kumar 2018, algorithm 2, with the corrected bias of
    PyTorch); switched on half-way, in ``param_groups``, it starts from the v of that step.

    Args:
        params, clip_norm, clip_value, noise: see `Optimizer`.
        lr: a number, or a function of the step.
        betas: each in [0, 1).
        eps: above 0, since 0/0 would stand wherever a gradient has always been 0.
        weight_decay: at least 0; here coupled, added to the gradient (`AdamW` decouples it).
        amsgrad: never let a larger step follow from a v that has shrunk.
        maximize: climb instead: g is −grad.
    """

    state_names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    decoupled = False

    def __init__(
        self,
        params: Any,
        lr: LearningRate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        noise: Noise | None = None,
    ):
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        defaults |= {"amsgrad": amsgrad, "maximize": maximize}
        super().__init__(params, defaults, clip_norm, clip_value, noise)

    def needed_state(self, groups: Sequence[dict[str, Any]]) -> Sequence[str]:
        return self.state_names if any(group["amsgrad"] for group in groups) else self.state_names[:2]

    def check(self, group: dict[str, Any]) -> None:
        check_lr(group["lr"])
        check_betas(group["betas"])
        check_eps(group["eps"])
        check_range("weight_decay", group["weight_decay"], 0)

    def update(self, flat: Flat, part: slice, group: dict[str, Any], lr: float, step: int, grad_scale: float) -> None:
        kernels.adamw.step(
            flat.theta[part],
            flat.grad[part],
            flat.state["exp_avg"][part],
            flat.state["exp_avg_sq"][part],
            lr=lr,
            betas=tuple(group["betas"]),
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            step=step,
            grad_scale=-grad_scale if group["maximize"] else grad_scale,
            decoupled=self.decoupled,
            v_max=self._largest(flat)[part] if group["amsgrad"] else None,
        )

    def gpu_variant(self, flat: Flat, group: dict[str, Any]) -> Any:
        return bool(group["amsgrad"])

    def gpu_row(self, group: dict[str, Any], lr: float, step: int) -> tuple[float, ...]:
        settings = {key: group[key] for key in ("betas", "eps", "weight_decay")}
        sign = -1.0 if group["maximize"] else 1.0
        return adamw_on_gpu.coefficients(lr=lr, step=step, decoupled=self.decoupled, grad_scale=sign, **settings)

    def gpu_update(self, flat: Flat, chunks: Any, variant: Any, rows: Any, clip: Any, ok: Any) -> None:
        adamw_on_gpu.step_flat(
            flat.theta,
            flat.grad,
            flat.state["exp_avg"],
            flat.state["exp_avg_sq"],
            v_max=self._largest(flat) if variant else None,
            chunks=chunks,
            coefficients=rows,
            clip=clip,
            ok=ok,
            shadow=flat.shadow,
        )

    def _largest(self, flat: Flat) -> Any:
        """AMSGrad's vector: of zeros where it was switched on half-way."""
        if "max_exp_avg_sq" not in flat.state:
            flat.add_state("max_exp_avg_sq")
        return flat.state["max_exp_avg_sq"]


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2, in PyTorch's form).

        m ← β₁·m + (1 − β₁)·g            v ← β₂·v + (1 − β₂)·g²
        θ ← θ·(1 − lr·weight_decay)
        θ ← θ − lr/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + eps)

    Arguments as for `Adam`; weight_decay is 0.01 unless given.
    """

    decoupled = True

    def __init__(
        self,
        params: Any,
        lr: LearningRate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        noise: Noise | None = None,
    ):
        settings = {"maximize": maximize, "clip_norm": clip_norm, "clip_value": clip_value, "noise": noise}
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, **settings)  # type: ignore[arg-type]
