"""The affine layer."""

import math
from typing import Any

import numpy as np

from .. import functional as F
from ..tensor import Parameter, Tensor
from . import init
from .module import Module, check_sizes


class Linear(Module):
    """Y = X·Wᵀ + b over the last axis: ``(..., in_features)`` to ``(..., out_features)``.

    ``weight`` ``(out_features, in_features)`` and ``bias`` ``(out_features,)`` start uniform in ±1/√in_features, as
    PyTorch's do. Called with ``activation`` or ``residual``, computes those in the same pass: see
    `gdengine.functional.linear`.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, dtype: Any = np.float32):
        super().__init__()
        check_sizes("Linear", in_features=in_features, out_features=out_features)
        self.in_features = in_features
        self.out_features = out_features
        bound = 1 / math.sqrt(max(in_features, 1))
        self.weight = Parameter(np.empty((out_features, in_features), dtype))
        init.uniform_(self.weight, -bound, bound)
        self.register_parameter("bias", Parameter(np.empty(out_features, dtype)) if bias else None)
        if bias:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Any, *, activation: str | None = None, residual: Any = None) -> Tensor:
        return F.linear(x, self.weight, self.bias, activation=activation, residual=residual)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
