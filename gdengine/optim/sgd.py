"""Stochastic gradient descent."""

from collections.abc import Sequence
from typing import Any

from .. import kernels
from ..flat import Flat
from ..kernels.sgd import cuda as sgd_on_gpu
from .gradients import Noise
from .optimizer import LearningRate, Optimizer, check_lr, check_range


class SGD(Optimizer):
    """Gradient descent with momentum and Nesterov's variant, in PyTorch's form.

        g ← g + weight_decay·θ                  (decoupled: θ ← θ·(1 − lr·weight_decay) below instead)
        b ← momentum·b + (1 − dampening)·g      (b ← g at a parameter's first update)
        θ ← θ − lr·b                            (Nesterov: lr·(g + momentum·b); without momentum: lr·g)

    Momentum that is switched on half-way, in ``param_groups``, starts from a buffer of zeros.

    Source: Sutskever, Martens, Dahl and Hinton (2013), section 2, with lr inside the update and not inside b; the
    decoupled decay is Loshchilov and Hutter's (2019, algorithm 1: SGDW).

    Args:
        params, clip_norm, clip_value, noise: see `Optimizer`.
        lr: a number, or a function of the step.
        momentum, dampening, weight_decay: at least 0; momentum below 1.
        nesterov: needs momentum, and no dampening.
        decoupled_weight_decay: shrink θ by itself, as `AdamW` does, in place of adding to the gradient.
        maximize: climb instead: g is −grad.
    """

    state_names = ("momentum_buffer",)

    def __init__(
        self,
        params: Any,
        lr: LearningRate = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        decoupled_weight_decay: bool = False,
        maximize: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        noise: Noise | None = None,
    ):
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, defaults, clip_norm, clip_value, noise)

    def needed_state(self, groups: Sequence[dict[str, Any]]) -> Sequence[str]:
        return self.state_names if any(group["momentum"] for group in groups) else ()

    def check(self, group: dict[str, Any]) -> None:
        check_lr(group["lr"])
        check_range("momentum", group["momentum"], 0, 1)
        check_range("dampening", group["dampening"], 0)
        check_range("weight_decay", group["weight_decay"], 0)
        if group["nesterov"] and (not group["momentum"] or group["dampening"]):
            raise ValueError("nesterov=True needs momentum above 0 and dampening 0")

    def update(self, flat: Flat, part: slice, group: dict[str, Any], lr: float, step: int, grad_scale: float) -> None:
        buf = self._buffer(flat) if group["momentum"] else flat.state.get("momentum_buffer")
        kernels.sgd.step(
            flat.theta[part],
            flat.grad[part],
            None if buf is None else buf[part],
            lr=lr,
            momentum=group["momentum"],
            dampening=group["dampening"],
            weight_decay=group["weight_decay"],
            nesterov=group["nesterov"],
            first=step == 1,
            grad_scale=-grad_scale if group["maximize"] else grad_scale,
            decoupled=group["decoupled_weight_decay"],
        )

    def gpu_variant(self, flat: Flat, group: dict[str, Any]) -> Any:
        return bool(group["momentum"])

    def gpu_row(self, group: dict[str, Any], lr: float, step: int) -> tuple[float, ...]:
        settings = {key: group[key] for key in ("momentum", "dampening", "weight_decay", "nesterov")}
        own = {"decoupled": group["decoupled_weight_decay"], "grad_scale": -1.0 if group["maximize"] else 1.0}
        return sgd_on_gpu.coefficients(lr=lr, first=step == 1, **settings, **own)

    def gpu_update(self, flat: Flat, chunks: Any, variant: Any, rows: Any, clip: Any, ok: Any) -> None:
        buffer = self._buffer(flat) if variant else None
        sgd_on_gpu.step_flat(
            flat.theta, flat.grad, buffer, chunks=chunks, coefficients=rows, clip=clip, ok=ok, shadow=flat.shadow
        )

    def _buffer(self, flat: Flat) -> Any:
        """The momentum's vector: of zeros where it was switched on half-way."""
        if "momentum_buffer" not in flat.state:
            flat.add_state("momentum_buffer")
        return flat.state["momentum_buffer"]
