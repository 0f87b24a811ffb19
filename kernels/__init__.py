"""The hand-written math: one folder for each operation.

Each folder holds ``__init__.py`` (the contract, and the choice of an implementation), ``reference.py`` (plain NumPy in
any float dtype: the specification) and ``cpu.py`` (the fused float32 version). Everything here knows arrays only: no
tensors, no tape, no parameters.
"""

from . import (
    adamw,
    attention,
    attention_branch,
    conv2d,
    cross_entropy,
    dropout,
    embedding,
    feed_forward_branch,
    gelu,
    global_norm,
    layer_norm,
    linear,
    linear_cross_entropy,
    lion,
    matmul,
    mlp,
    moments,
    moving_average,
    philox,
    rms_norm,
    rmsprop,
    rotary,
    sgd,
    silu,
    swiglu,
)

__all__ = [
    "adamw",
    "attention",
    "attention_branch",
    "conv2d",
    "cross_entropy",
    "dropout",
    "embedding",
    "feed_forward_branch",
    "gelu",
    "global_norm",
    "layer_norm",
    "linear",
    "linear_cross_entropy",
    "lion",
    "matmul",
    "mlp",
    "moments",
    "moving_average",
    "philox",
    "rms_norm",
    "rmsprop",
    "rotary",
    "sgd",
    "silu",
    "swiglu",
]
