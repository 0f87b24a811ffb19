"""Clipping the gradient by its norm over all parameters (Pascanu, Mikolov and Bengio 2013, algorithm 1)."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import kernels
from ..tape import FRESH
from ..tensor import Tensor
from .gradients import clipped

EPS = 1e-6  # PyTorch's, so that trajectories agree


def clip_coefficient(norm: float, clip_norm: float | None) -> float:
    """min(1, clip_norm / (norm + 1e-6)): what to multiply the gradient with."""
    return 1.0 if clip_norm is None else min(1.0, clip_norm / (norm + EPS))


def norm_of(vectors: Sequence[Any]) -> float:
    """√Σ g² over all vectors. It is inf or nan where an element is, and not where only the squares overflow."""
    norm = _root_of_squares(vectors)
    if math.isfinite(norm):
        return norm
    largest = float(np.max([float(np.abs(vector).max(initial=0)) for vector in vectors]))
    return largest * _root_of_squares([vector / largest for vector in vectors]) if math.isfinite(largest) else largest


def clip_grad_norm_(parameters: Any, max_norm: float) -> float:
    """Scale the fresh gradients of ``parameters`` in place so that their joint norm is at most ``max_norm``.

    Works across optimizers, and without one. Inside one, ``clip_norm=`` does the same without a pass of its own.

    Returns:
        The norm before, a number. Where it is inf or nan nothing is changed, and the optimizer's step will say so.

    Raises:
        ValueError: max_norm is not positive.
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm must be positive, got {max_norm!r}")
    gradients = [leaf.grad for leaf in _with_fresh_gradients(parameters)]
    norm = norm_of([gradient.reshape(-1) for gradient in gradients])
    scale = clip_coefficient(norm, max_norm)
    if math.isfinite(norm) and scale < 1:
        for gradient in gradients:
            np.multiply(gradient, gradient.dtype.type(scale), out=gradient)
    return norm


def clip_grad_value_(parameters: Any, clip_value: float) -> None:
    """Bring every element of the fresh gradients of ``parameters`` into ±clip_value, in place.

    Works across optimizers, and without one. Inside one, ``clip_value=`` does the same. An element that is inf or nan
    stays so (PyTorch makes clip_value of inf): the optimizer's step will say so, and skip.

    Raises:
        ValueError: clip_value is not positive.
    """
    check_positive("clip_value", clip_value)
    for leaf in _with_fresh_gradients(parameters):
        leaf.grad[...] = clipped(leaf.grad, clip_value)


def check_positive(name: str, value: float | None) -> None:
    """Raise unless it is a positive number, or None."""
    if value is not None and not value > 0:
        raise ValueError(f"{name} must be a positive number or None, got {value!r}")


def _with_fresh_gradients(parameters: Any) -> list[Any]:
    tensors = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    leaves = [tensor._leaf for tensor in tensors if tensor.requires_grad and tensor._leaf is not None]
    return [leaf for leaf in leaves if leaf.state == FRESH]


def _root_of_squares(vectors: Sequence[Any]) -> float:
    """√Σ g², the sums of the vectors added without rounding in between."""
    try:
        return math.sqrt(math.fsum(kernels.global_norm.sum_of_squares(vector) for vector in vectors))
    except OverflowError:  # each sum is finite, all together are not
        return math.inf
