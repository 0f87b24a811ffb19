"""RMSprop and Adagrad: the gradient divided by the root of its mean square, or of its sum."""

from collections.abc import Sequence
from typing import Any

from .. import kernels
from ..flat import Flat
from ..kernels.rmsprop import cuda as rmsprop_on_gpu
from .gradients import Noise
from .optimizer import LearningRate, Optimizer, check_eps, check_lr, check_range


class _Scaled(Optimizer):
    """What the two share: see `gdengine.kernels.rmsprop`. A rule says which vectors a group has, and its numbers."""

    def settings(self, group: dict[str, Any], lr: float, step: int) -> dict[str, float]:
        """The numbers of the kernel's contract, for update number ``step`` of a parameter."""
        raise NotImplementedError

    def vectors(self, flat: Flat, group: dict[str, Any]) -> list[Any]:
        """v, buffer and mean of the kernel's contract; None for what the group does without."""
        raise NotImplementedError

    def update(self, flat: Flat, part: slice, group: dict[str, Any], lr: float, step: int, grad_scale: float) -> None:
        state = [None if vector is None else vector[part] for vector in self.vectors(flat, group)]
        sign = -1.0 if group["maximize"] else 1.0
        settings = self.settings(group, lr, step)
        kernels.rmsprop.step(flat.theta[part], flat.grad[part], *state, grad_scale=sign * grad_scale, **settings)

    def gpu_row(self, group: dict[str, Any], lr: float, step: int) -> tuple[float, ...]:
        sign = -1.0 if group["maximize"] else 1.0
        return rmsprop_on_gpu.coefficients(grad_scale=sign, **self.settings(group, lr, step))

    def gpu_variant(self, flat: Flat, group: dict[str, Any]) -> Any:
        return bool(group.get("momentum")), bool(group.get("centered"))

    def gpu_update(self, flat: Flat, chunks: Any, variant: Any, rows: Any, clip: Any, ok: Any) -> None:
        momentum, centered = variant
        state = self.vectors(flat, {"momentum": momentum, "centered": centered})
        given = {"chunks": chunks, "coefficients": rows, "clip": clip, "ok": ok, "shadow": flat.shadow}
        rmsprop_on_gpu.step_flat(flat.theta, flat.grad, *state, **given)


class RMSprop(_Scaled):
    """The gradient divided by the root of its running mean square, in PyTorch's form (ε outside the root).

        g ← g + weight_decay·θ
        v ← alpha·v + (1 − alpha)·g²
        a ← alpha·a + (1 − alpha)·g,    s = v − a²       (centered; else s = v)
        u = g / (√s + eps)
        b ← momentum·b + u,             u = b            (with momentum)
        θ ← θ − lr·u

    State vectors: ``square_avg`` (v), ``momentum_buffer`` (b), ``grad_avg`` (a); one that is switched on half-way, in
    ``param_groups``, starts from zeros. Where rounding makes s negative it counts as 0 (PyTorch's root is NaN there).

    Sources: Tieleman and Hinton (2012), lecture 6.5; centered: Graves (2013), equations 38 to 41, with other places of
    ε and the momentum.

    Args:
        params, clip_norm, clip_value, noise: see `Optimizer`.
        lr: a number, or a function of the step.
        alpha: in [0, 1).
        eps: above 0, since 0/0 would stand wherever a gradient has always been 0.
        weight_decay: at least 0, added to the gradient.
        momentum: at least 0, below 1.
        centered: divide by the spread about the mean.
        maximize: climb instead: g is −grad.
    """

    state_names = ("square_avg", "momentum_buffer", "grad_avg")

    def __init__(
        self,
        params: Any,
        lr: LearningRate = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        noise: Noise | None = None,
    ):
        defaults = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        defaults |= {"centered": centered, "maximize": maximize}
        super().__init__(params, defaults, clip_norm, clip_value, noise)

    def needed_state(self, groups: Sequence[dict[str, Any]]) -> Sequence[str]:
        optional = (("momentum_buffer", "momentum"), ("grad_avg", "centered"))
        return ["square_avg", *(name for name, setting in optional if any(group[setting] for group in groups))]

    def check(self, group: dict[str, Any]) -> None:
        check_lr(group["lr"])
        check_range("alpha", group["alpha"], 0, 1)
        check_eps(group["eps"])
        check_range("weight_decay", group["weight_decay"], 0)
        check_range("momentum", group["momentum"], 0, 1)

    def settings(self, group: dict[str, Any], lr: float, step: int) -> dict[str, float]:
        own = {name: group[name] for name in ("eps", "momentum", "weight_decay")}
        return {"lr": lr, "keep": group["alpha"], "rest": 1 - group["alpha"], **own}

    def vectors(self, flat: Flat, group: dict[str, Any]) -> list[Any]:
        wanted = (True, group["momentum"], group["centered"])
        flat.add_state(*(n for n, on in zip(self.state_names, wanted, strict=True) if on and n not in flat.state))
        return [flat.state[name] if on else None for name, on in zip(self.state_names, wanted, strict=True)]


class Adagrad(_Scaled):
    """The gradient divided by the root of the sum of all its squares (Duchi, Hazan and Singer 2011, figure 1).

        g ← g + weight_decay·θ
        v ← v + g²                                          (from initial_accumulator_value on)
        θ ← θ − lr/(1 + (t − 1)·lr_decay) · g/(√v + eps)

    In PyTorch's form; t counts a parameter's own updates. State vector: ``sum`` (v).

    Args:
        params, clip_norm, clip_value, noise: see `Optimizer`.
        lr: a number, or a function of the step.
        lr_decay, weight_decay, initial_accumulator_value: at least 0.
        eps: above 0, since 0/0 would stand wherever a gradient has always been 0.
        maximize: climb instead: g is −grad.
    """

    state_names = ("sum",)

    def __init__(
        self,
        params: Any,
        lr: LearningRate = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        noise: Noise | None = None,
    ):
        defaults = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps, "maximize": maximize}
        defaults["initial_accumulator_value"] = initial_accumulator_value
        super().__init__(params, defaults, clip_norm, clip_value, noise)

    def check(self, group: dict[str, Any]) -> None:
        check_lr(group["lr"])
        for name in ("lr_decay", "weight_decay", "initial_accumulator_value"):
            check_range(name, group[name], 0)
        check_eps(group["eps"])

    def settings(self, group: dict[str, Any], lr: float, step: int) -> dict[str, float]:
        start = group["initial_accumulator_value"] if step == 1 else 0.0
        falling = lr / (1 + (step - 1) * group["lr_decay"])
        own = {name: group[name] for name in ("eps", "weight_decay")}
        return {"lr": falling, "keep": 1.0, "rest": 1.0, "start": start, **own}

    def vectors(self, flat: Flat, group: dict[str, Any]) -> list[Any]:
        return [flat.state["sum"], None, None]
