"""Dropout."""

from typing import Any

from .. import kernels
from ..random import default_generator
from ..tensor import Tensor, record
from .elementwise import floating


def dropout(x: Any, p: float = 0.5, training: bool = True) -> Tensor:
    """Each element 0 with probability ``p``, else times 1/(1 − p): see `gdengine.kernels.dropout`.

    x itself when not training.

    Raises:
        ValueError: p is not in [0, 1).
    """
    x = floating(x)
    check_p(p)
    if not training or p == 0:
        return x
    key, call = default_generator.next_call()

    def backward(dy: Any) -> tuple[Any]:
        return (kernels.dropout.forward(dy, p, key, call),)

    return record("dropout", kernels.dropout.forward(x._array, p, key, call), (x,), backward)


def check_p(p: float) -> None:
    """Raise unless ``p`` is a probability of dropping that leaves something."""
    if not 0 <= p < 1:
        raise ValueError(f"dropout wants a probability p with 0 <= p < 1, got {p!r}")
