"""Optimizers, clipping, and learning rate schedules."""

from .adam import Adam, AdamW
from .clipping import clip_grad_norm_
from .optimizer import Optimizer
from .schedules import (
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
from .sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "Linear",
    "Optimizer",
    "Schedule",
    "Warmup",
    "clip_grad_norm_",
    "constant",
    "cosine",
    "linear",
    "warmup",
    "warmup_cosine",
    "warmup_linear",
]
