"""Normalisation layers."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import functional as F
from ..recomputation import is_recomputing
from ..tape import no_grad
from ..tensor import Parameter, Tensor, as_tensor
from .module import Module, check_sizes


class LayerNorm(Module):
    """Layer normalisation over the last axis, of size ``normalized_shape``: see `gdengine.functional.layer_norm`.

    ``weight`` starts at 1, ``bias`` at 0; each can be left out. ``normalized_shape`` is a number, or a list of that one
    (PyTorch takes several axes: join them first, ``x.flatten(-2)``).

    Raises:
        ValueError: it names several axes.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = np.float32,
    ):
        super().__init__()
        self.normalized_shape = _last_axis("LayerNorm", normalized_shape)
        self.eps = eps
        affine = elementwise_affine
        self.register_parameter("weight", Parameter(np.ones(self.normalized_shape, dtype)) if affine else None)
        self.register_parameter("bias", Parameter(np.zeros(self.normalized_shape, dtype)) if affine and bias else None)

    def forward(self, x: Any) -> Tensor:
        return F.layer_norm(x, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, weight={self.weight is not None}, bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """Root mean square normalisation over the last axis, of size ``normalized_shape``.

    See `gdengine.functional.rms_norm`. ``weight`` starts at 1, and can be left out. ``normalized_shape`` as in
    `LayerNorm`.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        dtype: Any = np.float32,
    ):
        super().__init__()
        self.normalized_shape = _last_axis("RMSNorm", normalized_shape)
        self.eps = eps
        weight = Parameter(np.ones(self.normalized_shape, dtype)) if elementwise_affine else None
        self.register_parameter("weight", weight)

    def forward(self, x: Any) -> Tensor:
        return F.rms_norm(x, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, weight={self.weight is not None}"


class GroupNorm(Module):
    """Normalisation of each sample's groups of channels, ``(N, num_channels, ...)``: see `functional.group_norm`.

    ``weight`` starts at 1, ``bias`` at 0; both can be left out.
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, *, dtype: Any = np.float32
    ):
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(f"num_channels must be a multiple of num_groups, got {num_channels} and {num_groups}")
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.register_parameter("weight", Parameter(np.ones(num_channels, dtype)) if affine else None)
        self.register_parameter("bias", Parameter(np.zeros(num_channels, dtype)) if affine else None)

    def forward(self, x: Any) -> Tensor:
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.weight is not None}"


class _BatchNorm(Module):
    """Batch normalisation: see `gdengine.functional.batch_norm`.

    ``weight`` starts at 1, ``bias`` at 0. The buffers ``running_mean`` (from 0) and ``running_var`` (from 1) follow the
    batches of training, and serve in evaluation; ``num_batches_tracked`` counts them.

    Args:
        momentum: how far the running statistics go to each batch's; None for their mean over all batches.
        affine: with weight and bias.
        track_running_stats: without, evaluation uses the batch's statistics too.
    """

    axes: tuple[int, ...] = ()

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: Any = np.float32,
    ):
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.register_parameter("weight", Parameter(np.ones(num_features, dtype)) if affine else None)
        self.register_parameter("bias", Parameter(np.zeros(num_features, dtype)) if affine else None)
        tracks = track_running_stats
        self.register_buffer("running_mean", np.zeros(num_features, dtype) if tracks else None)
        self.register_buffer("running_var", np.ones(num_features, dtype) if tracks else None)
        self.register_buffer("num_batches_tracked", np.zeros((), np.int64) if tracks else None)

    def forward(self, x: Any) -> Tensor:
        x = as_tensor(x)
        if x.ndim not in self.axes:
            wanted = " or ".join(map(str, self.axes))
            raise ValueError(f"{type(self).__name__} wants {wanted} axes, got x of shape {x.shape}")
        tracks = self.training and self.num_batches_tracked is not None
        momentum = self.momentum
        if momentum is None:
            momentum = 1 / (1 + int(self.num_batches_tracked)) if tracks else 0.0
        training = self.training or self.running_mean is None
        y = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, training, momentum, self.eps)
        if tracks and not is_recomputing():
            with no_grad():
                self.num_batches_tracked += 1
        return y

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.weight is not None}, "
            f"track_running_stats={self.running_mean is not None}"
        )


class BatchNorm1d(_BatchNorm):
    __doc__ = f"Of ``(N, C)`` or ``(N, C, L)``. {_BatchNorm.__doc__}"
    axes = (2, 3)


class BatchNorm2d(_BatchNorm):
    __doc__ = f"Of ``(N, C, H, W)``. {_BatchNorm.__doc__}"
    axes = (4,)


def _last_axis(layer: str, shape: int | Sequence[int]) -> int:
    """The size of the last axis, which may stand in a list by itself."""
    sizes: Sequence[int] = shape if isinstance(shape, tuple | list) else (shape,)
    if len(sizes) != 1:
        raise ValueError(
            f"{layer} normalises over the last axis alone, got normalized_shape={shape!r}: join the axes first, "
            f"x.flatten({-len(sizes)}), and write normalized_shape={math.prod(sizes)}"
        )
    check_sizes(layer, normalized_shape=sizes[0])
    return sizes[0]
