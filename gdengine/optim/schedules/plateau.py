"""A schedule that looks at the loss."""

import math
from typing import Any, Literal

from .basic import Constant, Schedule, check_rate, check_steps

STATE = ("scale", "best", "bad", "cooling")


class ReduceOnPlateau:
    """Another schedule times a scale, which falls by ``factor`` when the loss has stopped falling.

    ``observe(loss)`` after each evaluation. A loss is better than the best so far by more than ``threshold`` of it
    (``"rel"``), or by more than ``threshold`` (``"abs"``); after more than ``patience`` in a row that are not better,
    the scale is multiplied by factor, and for ``cooldown`` further ones none is counted. As PyTorch's
    ReduceLROnPlateau does, without its eps.

    It has a state (``state_dict``), which is part of the optimizer's where this is a group's ``lr`` itself and not
    inside another schedule: put others inside this one.

    Args:
        lr: a learning rate, or a schedule.
        mode: ``"min"`` for losses, ``"max"`` for what is to rise.
        min_lr: the scale falls no further than to this value (of a learning rate that is a number; schedules are cut
            off there).

    Raises:
        ValueError: a setting is out of range.
    """

    def __init__(
        self,
        lr: float | Schedule,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        mode: Literal["min", "max"] = "min",
    ):
        self.schedule = lr if callable(lr) else Constant(lr)
        if not 0 < factor < 1:
            raise ValueError(f"factor must be between 0 and 1, got {factor!r}")
        check_steps("patience", patience, 0)
        check_steps("cooldown", cooldown, 0)
        check_rate("min_lr", min_lr)
        if not 0 <= threshold < math.inf:
            raise ValueError(f"threshold must be a finite number from 0 up, got {threshold!r}")
        if threshold_mode not in ("rel", "abs") or mode not in ("min", "max"):
            raise ValueError(
                f"threshold_mode is 'rel' or 'abs' and mode 'min' or 'max', got {threshold_mode!r} and {mode!r}"
            )
        self.factor, self.patience, self.cooldown, self.min_lr = factor, patience, cooldown, min_lr
        self.threshold, self.threshold_mode, self.mode = threshold, threshold_mode, mode
        self.scale = 1.0
        self.best: float | None = None
        self.bad = 0
        self.cooling = 0

    def __call__(self, t: int) -> float:
        value = self.schedule(t)
        return max(value * self.scale, min(value, self.min_lr))

    def observe(self, loss: Any) -> bool:
        """Take notice of a loss, a number or what becomes one; whether the learning rate falls from here on."""
        value = float(loss)
        if self._is_better(value):
            self.best, self.bad = value, 0
        else:
            self.bad += 1
        if self.cooling > 0:
            self.cooling, self.bad = self.cooling - 1, 0
        if self.bad <= self.patience:
            return False
        self.scale, self.bad, self.cooling = self.scale * self.factor, 0, self.cooldown
        return True

    def _is_better(self, value: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        if self.best is None:
            return sign * value < math.inf
        margin = self.threshold * (self.best if self.threshold_mode == "rel" else 1)
        return sign * value < sign * self.best - margin

    def state_dict(self) -> dict[str, Any]:
        """``{"scale", "best", "bad", "cooling"}``."""
        return {name: getattr(self, name) for name in STATE}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken.

        Raises:
            ValueError: something is missing.
        """
        if missing := [name for name in STATE if name not in state_dict]:
            raise ValueError(f"the state of ReduceOnPlateau needs {', '.join(missing)} too")
        self.scale = float(state_dict["scale"])
        self.best = None if state_dict["best"] is None else float(state_dict["best"])
        self.bad, self.cooling = int(state_dict["bad"]), int(state_dict["cooling"])

    def __repr__(self) -> str:
        return f"ReduceOnPlateau({self.schedule!r}, factor={self.factor}, patience={self.patience}, scale={self.scale})"


def reduce_on_plateau(
    lr: float | Schedule, factor: float = 0.1, patience: int = 10, **settings: Any
) -> ReduceOnPlateau:
    """`ReduceOnPlateau`."""
    return ReduceOnPlateau(lr, factor, patience, **settings)
