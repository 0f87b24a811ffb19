"""NAdam and RAdam: Adam with Nesterov's look ahead, and Adam that waits until its root can be trusted."""

import math
from functools import lru_cache
from typing import Any

from .. import kernels
from ..flat import Flat
from ..kernels.moments import cuda as moments_on_gpu
from .gradients import Noise
from .optimizer import LearningRate, Optimizer, check_betas, check_eps, check_lr, check_range


class _Moments(Optimizer):
    """What the two share: see `gdengine.kernels.moments`. A rule says what it makes of lr and the number of a step."""

    state_names = ("exp_avg", "exp_avg_sq")

    def shares(self, group: dict[str, Any], lr: float, step: int) -> dict[str, float]:
        """by_grad, by_mean, root_scale and eps of the kernel's contract, for update number ``step`` of a parameter."""
        raise NotImplementedError

    def check(self, group: dict[str, Any]) -> None:
        check_lr(group["lr"])
        check_betas(group["betas"])
        check_eps(group["eps"])
        check_range("weight_decay", group["weight_decay"], 0)

    def update(self, flat: Flat, part: slice, group: dict[str, Any], lr: float, step: int, grad_scale: float) -> None:
        vectors = (flat.theta, flat.grad, flat.state["exp_avg"], flat.state["exp_avg_sq"])
        kernels.moments.step(*(vector[part] for vector in vectors), **self._settings(group, lr, step, grad_scale))

    def gpu_row(self, group: dict[str, Any], lr: float, step: int) -> tuple[float, ...]:
        return moments_on_gpu.coefficients(**self._settings(group, lr, step, 1.0))

    def gpu_update(self, flat: Flat, chunks: Any, variant: Any, rows: Any, clip: Any, ok: Any) -> None:
        state = (flat.state["exp_avg"], flat.state["exp_avg_sq"])
        given = {"chunks": chunks, "coefficients": rows, "clip": clip, "ok": ok, "shadow": flat.shadow}
        moments_on_gpu.step_flat(flat.theta, flat.grad, *state, **given)

    def _settings(self, group: dict[str, Any], lr: float, step: int, grad_scale: float) -> dict[str, Any]:
        decay, apart = group["weight_decay"], group["decoupled_weight_decay"]
        return {
            "betas": tuple(group["betas"]),
            "shrink": 1 - lr * decay if apart else 1.0,
            "weight_decay": 0.0 if apart else decay,
            "grad_scale": -grad_scale if group["maximize"] else grad_scale,
            **self.shares(group, lr, step),
        }


class NAdam(_Moments):
    """Adam with Nesterov's momentum (Dozat 2016, algorithm 2, and the schedule of its section 3.1), in PyTorch's form.

        g ← g + weight_decay·θ                             (decoupled: θ ← θ·(1 − lr·weight_decay) below instead)
        m ← β₁·m + (1 − β₁)·g              v ← β₂·v + (1 − β₂)·g²
        μₜ = β₁·(1 − ½·0.96^(t·momentum_decay))            Mₜ = μ₁ · … · μₜ
        θ ← θ − lr · ((1 − μₜ)/(1 − Mₜ)·g + μₜ₊₁/(1 − Mₜ₊₁)·m) / (√v / √(1 − β₂ᵗ) + eps)

    t counts a parameter's own updates; M is computed from it, and is no state. State vectors: ``exp_avg`` (m) and
    ``exp_avg_sq`` (v).

    Args:
        params, clip_norm, clip_value, noise: see `Optimizer`.
        lr: a number, or a function of the step.
        betas: each in [0, 1).
        eps: above 0, since 0/0 would stand wherever a gradient has always been 0.
        weight_decay, momentum_decay: at least 0.
        decoupled_weight_decay: shrink θ by itself, as `AdamW` does, in place of adding to the gradient.
        maximize: climb instead: g is −grad.
    """

    def __init__(
        self,
        params: Any,
        lr: LearningRate = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        noise: Noise | None = None,
    ):
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        defaults |= {"momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay}
        super().__init__(params, defaults, clip_norm, clip_value, noise)

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        check_range("momentum_decay", group["momentum_decay"], 0)

    def shares(self, group: dict[str, Any], lr: float, step: int) -> dict[str, float]:
        beta1, beta2 = group["betas"]
        products = _products(float(beta1), float(group["momentum_decay"]))
        now, after = products.factor(step), products.factor(step + 1)
        return {
            "by_grad": lr * (1 - now) / (1 - products.of(step)),
            "by_mean": lr * after / (1 - products.of(step + 1)),
            "root_scale": 1 / math.sqrt(1 - beta2**step),
            "eps": group["eps"],
        }


class RAdam(_Moments):
    """Adam that divides by the root once its variance is small enough to be trusted (Liu et al. 2020, algorithm 2).

        g ← g + weight_decay·θ                             (decoupled: θ ← θ·(1 − lr·weight_decay) below instead)
        m ← β₁·m + (1 − β₁)·g              v ← β₂·v + (1 − β₂)·g²
        ρ∞ = 2/(1 − β₂) − 1                ρₜ = ρ∞ − 2·t·β₂ᵗ/(1 − β₂ᵗ)
        r² = (ρₜ − 4)·(ρₜ − 2)·ρ∞ / ((ρ∞ − 4)·(ρ∞ − 2)·ρₜ)
        θ ← θ − lr/(1 − β₁ᵗ) · r·m·√(1 − β₂ᵗ) / (√v + eps)         where ρₜ > 5, else
        θ ← θ − lr/(1 − β₁ᵗ) · m

    In PyTorch's form, ε with the uncorrected root. t counts a parameter's own updates. State vectors: ``exp_avg`` (m)
    and ``exp_avg_sq`` (v).

    Args: as those of `NAdam`, without ``momentum_decay``.
    """

    def __init__(
        self,
        params: Any,
        lr: LearningRate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        noise: Noise | None = None,
    ):
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        defaults |= {"decoupled_weight_decay": decoupled_weight_decay}
        super().__init__(params, defaults, clip_norm, clip_value, noise)

    def shares(self, group: dict[str, Any], lr: float, step: int) -> dict[str, float]:
        beta1, beta2 = group["betas"]
        rate, rest = lr / (1 - beta1**step), 1 - beta2**step
        most = 2 / (1 - beta2) - 1
        length = most - 2 * step * beta2**step / rest
        if length <= 5:
            return {"by_grad": 0.0, "by_mean": rate, "root_scale": 0.0, "eps": 1.0}
        r = math.sqrt((length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length))
        return {"by_grad": 0.0, "by_mean": rate * r * math.sqrt(rest), "root_scale": 1.0, "eps": group["eps"]}


class _Products:
    """μ_t = β·(1 − ½·0.96^(t·decay)), and the products of all up to t, each computed once."""

    def __init__(self, beta: float, decay: float):
        self.beta, self.decay = beta, decay
        self._known = [1.0]

    def factor(self, t: int) -> float:
        return self.beta * (1 - 0.5 * 0.96 ** (t * self.decay))

    def of(self, t: int) -> float:
        while len(self._known) <= t:
            self._known.append(self._known[-1] * self.factor(len(self._known)))
        return self._known[t]


@lru_cache(maxsize=64)
def _products(beta: float, decay: float) -> _Products:
    return _Products(beta, decay)
