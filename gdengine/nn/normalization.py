"""Normalisation layers."""

from typing import Any

import numpy as np

from .. import functional as F
from ..tensor import Parameter, Tensor
from .module import Module


class LayerNorm(Module):
    """Layer normalisation over the last axis, of size ``normalized_shape``: see `gdengine.functional.layer_norm`.

    ``weight`` starts at 1, ``bias`` at 0; each can be left out.
    """

    def __init__(
        self,
        normalized_shape: int,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = np.float32,
    ):
        super().__init__()
        self.normalized_shape = normalized_shape
        self.eps = eps
        affine = elementwise_affine
        self.register_parameter("weight", Parameter(np.ones(normalized_shape, dtype)) if affine else None)
        self.register_parameter("bias", Parameter(np.zeros(normalized_shape, dtype)) if affine and bias else None)

    def forward(self, x: Any) -> Tensor:
        return F.layer_norm(x, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, weight={self.weight is not None}, bias={self.bias is not None}"
        )
