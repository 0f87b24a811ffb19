"""Nonlinearities, and the softmax."""

from typing import Any

import numpy as np

from .. import kernels
from ..tensor import Tensor, as_tensor, record
from .elementwise import floating


def relu(x: Any) -> Tensor:
    """max(x, 0). Backward: dy where x > 0."""
    x = as_tensor(x)
    y = np.maximum(x._array, 0)
    return record("relu", y, (x,), lambda dy: (dy * (y > 0),), keeps_output=True)


def gelu(x: Any) -> Tensor:
    """The Gaussian error linear unit in the tanh form: see `gdengine.kernels.gelu`."""
    x = floating(x)
    array = x._array
    return record("gelu", kernels.gelu.forward(array), (x,), lambda dy: (kernels.gelu.backward(dy, array),), keeps=(x,))


def softmax(x: Any, dim: int = -1) -> Tensor:
    """eˣ / Σ eˣ along ``dim``. Backward: y ⊙ (dy − Σ dy ⊙ y)."""
    x = floating(x)
    e = np.exp(x._array - x._array.max(axis=dim, keepdims=True))
    y = e / e.sum(axis=dim, keepdims=True)

    def backward(dy: Any) -> tuple[Any]:
        return (y * (dy - (dy * y).sum(axis=dim, keepdims=True)),)

    return record("softmax", y, (x,), backward, keeps_output=True)


def log_softmax(x: Any, dim: int = -1) -> Tensor:
    """x − ln Σ eˣ along ``dim``. Backward: dy − eʸ ⊙ Σ dy."""
    x = floating(x)
    shifted = x._array - x._array.max(axis=dim, keepdims=True)
    y = shifted - np.log(np.exp(shifted).sum(axis=dim, keepdims=True))

    def backward(dy: Any) -> tuple[Any]:
        return (dy - np.exp(y) * dy.sum(axis=dim, keepdims=True),)

    return record("log_softmax", y, (x,), backward, keeps_output=True)
