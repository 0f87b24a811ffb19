"""Layers that make images smaller or larger: each calls the function of its name."""

from collections.abc import Callable
from typing import Any

from .. import functional as F
from ..tensor import Tensor
from .module import Module


class _Pool(Module):
    """What pooling layers share: windows, and ``pool``, the function of a layer's name."""

    pool: Callable[..., Tensor]

    def __init__(self, kernel_size: Any, stride: Any, padding: Any):
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding = padding

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _MaxPool(_Pool):
    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
    ):
        super().__init__(kernel_size, stride, padding)
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def forward(self, x: Any) -> Tensor:
        windows = (self.kernel_size, self.stride, self.padding, self.dilation)
        return type(self).pool(x, *windows, self.ceil_mode)


class MaxPool1d(_MaxPool):
    """The largest element of each window: see `gdengine.functional.max_pool1d`."""

    pool = staticmethod(F.max_pool1d)


class MaxPool2d(_MaxPool):
    """The largest element of each window: see `gdengine.functional.max_pool2d`."""

    pool = staticmethod(F.max_pool2d)


class _AvgPool(_Pool):
    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        super().__init__(kernel_size, stride, padding)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x: Any) -> Tensor:
        windows = (self.kernel_size, self.stride, self.padding)
        return type(self).pool(x, *windows, self.ceil_mode, self.count_include_pad)


class AvgPool1d(_AvgPool):
    """The mean of each window: see `gdengine.functional.avg_pool1d`."""

    pool = staticmethod(F.avg_pool1d)


class AvgPool2d(_AvgPool):
    """The mean of each window: see `gdengine.functional.avg_pool2d`."""

    pool = staticmethod(F.avg_pool2d)


class AdaptiveAvgPool2d(Module):
    """Means over ``output_size`` windows that cover the image: see `gdengine.functional.adaptive_avg_pool2d`."""

    def __init__(self, output_size: Any):
        super().__init__()
        self.output_size = output_size

    def forward(self, x: Any) -> Tensor:
        return F.adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class Upsample(Module):
    """The image resized to ``size`` or by ``scale_factor``: see `gdengine.functional.interpolate`."""

    def __init__(
        self, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None
    ):
        super().__init__()
        self.size, self.scale_factor, self.mode, self.align_corners = size, scale_factor, mode, align_corners

    def forward(self, x: Any) -> Tensor:
        return F.interpolate(x, self.size, self.scale_factor, self.mode, self.align_corners)

    def extra_repr(self) -> str:
        by = f"scale_factor={self.scale_factor}" if self.size is None else f"size={self.size}"
        return f"{by}, mode={self.mode!r}"
