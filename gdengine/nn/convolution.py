"""Convolution layers."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import functional as F
from ..tensor import Parameter, Tensor
from . import init
from .module import Module


class _Convolution(Module):
    """What the layers share: ``weight`` and ``bias`` start uniform in ±1/√fan_in, as PyTorch's."""

    def __init__(
        self,
        axes: int,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        groups: int,
        bias: bool,
        dtype: Any,
        *,
        transposed: bool = False,
    ):
        super().__init__()
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"groups={groups} cuts {in_channels} input and {out_channels} output channels into equal parts: it "
                "must divide both"
            )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = tuple(kernel_size) if isinstance(kernel_size, tuple | list) else (kernel_size,) * axes
        self.stride, self.padding, self.dilation = stride, padding, dilation
        ends = (in_channels, out_channels // groups) if transposed else (out_channels, in_channels // groups)
        self.weight = Parameter(np.empty((*ends, *self.kernel_size), dtype))
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        self.register_parameter("bias", Parameter(np.empty(out_channels, dtype)) if bias else None)
        if bias:
            bound = 1 / math.sqrt(max(1, init.fan_in(self.weight)))
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding!r}, dilation={self.dilation}, groups={self.groups}, bias={self.bias is not None}"
        )


class _Plain(_Convolution):
    """What the untransposed ones share; ``axes`` is how many they go over, ``convolve`` the function that does."""

    axes: int
    convolve: Callable[..., Tensor]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        dtype: Any = np.float32,
    ):
        settings = (kernel_size, stride, padding, dilation, groups, bias, dtype)
        super().__init__(self.axes, in_channels, out_channels, *settings)

    def forward(self, x: Any) -> Tensor:
        settings = (self.stride, self.padding, self.dilation, self.groups)
        return type(self).convolve(x, self.weight, self.bias, *settings)


class Conv1d(_Plain):
    """The convolution of ``(N, in_channels, L)`` with ``weight`` ``(out_channels, in_channels/groups, K)``.

    See `gdengine.functional.conv1d`.
    """

    axes, convolve = 1, staticmethod(F.conv1d)


class Conv2d(_Plain):
    """The convolution of ``(N, in_channels, H, W)`` with ``weight`` ``(out_channels, in_channels/groups, KH, KW)``.

    See `gdengine.functional.conv2d`.
    """

    axes, convolve = 2, staticmethod(F.conv2d)


class ConvTranspose2d(_Convolution):
    """The transposed convolution, with ``weight`` ``(in_channels, out_channels/groups, KH, KW)``.

    See `gdengine.functional.conv_transpose2d`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        *,
        dtype: Any = np.float32,
    ):
        ends = (in_channels, out_channels, kernel_size)
        super().__init__(2, *ends, stride, padding, dilation, groups, bias, dtype, transposed=True)
        self.output_padding = output_padding

    def forward(self, x: Any) -> Tensor:
        steps = (self.stride, self.padding, self.output_padding)
        return F.conv_transpose2d(x, self.weight, self.bias, *steps, self.groups, self.dilation)
