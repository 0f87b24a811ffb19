"""Learning rates as functions of the step: ``schedule(t)`` for t = 0, 1, 2, …, the number of updates already taken.

    lr
     peak ┤   ╭──╮
          │  ╱    ╲          warm-up, then decay
    floor ┤ ╱      ╲____
          └──────────────→ t
            warmup    total

A schedule is plain data: it prints as what it is, compares by value and holds no position of its own.
"""

from .basic import (
    Constant,
    Cosine,
    Linear,
    Schedule,
    Warmup,
    constant,
    cosine,
    linear,
    warmup,
    warmup_cosine,
    warmup_linear,
)
from .cycles import CosineRestarts, OneCycle, cosine_restarts, one_cycle
from .decays import (
    Exponential,
    InverseSqrt,
    MultiStep,
    Polynomial,
    Step,
    exponential,
    inverse_sqrt,
    multi_step,
    polynomial,
    step,
)
from .joined import Join, join, warmup_stable_decay
from .plateau import ReduceOnPlateau, reduce_on_plateau
from .plotting import plot
from .units import InEpochs, InTokens, in_epochs, in_tokens

__all__ = [
    "Constant",
    "Cosine",
    "CosineRestarts",
    "Exponential",
    "InEpochs",
    "InTokens",
    "InverseSqrt",
    "Join",
    "Linear",
    "MultiStep",
    "OneCycle",
    "Polynomial",
    "ReduceOnPlateau",
    "Schedule",
    "Step",
    "Warmup",
    "constant",
    "cosine",
    "cosine_restarts",
    "exponential",
    "in_epochs",
    "in_tokens",
    "inverse_sqrt",
    "join",
    "linear",
    "multi_step",
    "one_cycle",
    "plot",
    "polynomial",
    "reduce_on_plateau",
    "step",
    "warmup",
    "warmup_cosine",
    "warmup_linear",
    "warmup_stable_decay",
]
