"""The same cases on a real GPU: what the emulator cannot show, the PTX of the wrappers first of all."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from gdengine.kernels import runtime
from gdengine.kernels.common.cuda_source import Kernel

from . import cases
from .device import EmulatedDevice
from .emulator import TensorMap, ranges

pytestmark = pytest.mark.gpu


class RoundTrip(EmulatedDevice):
    """Launches on the GPU with NumPy arrays: they travel there before each launch, and back after it."""

    def __init__(self) -> None:
        super().__init__()
        from gdengine.kernels.common.gpu import Gpu

        self.gpu = Gpu()
        self.capability = self.gpu.capability

    def launch(self, kernel: Kernel, grid: Sequence[int], block: Sequence[int], values: list, shared: int) -> None:
        import cupy

        memory = ranges([(True, value) for value in values])
        buffers = [cupy.empty(r.size + 32, np.uint8) for r in memory]
        for r, buffer in zip(memory, buffers, strict=True):
            r.copy = buffer.data.ptr + r.start % 16
            cupy.cuda.runtime.memcpy(r.copy, r.start, r.size, cupy.cuda.runtime.memcpyHostToDevice)
        self.gpu.launch(kernel, grid, block, [self._there(value, memory) for value in values], shared)
        for r in memory:
            cupy.cuda.runtime.memcpy(r.start, r.copy, r.size, cupy.cuda.runtime.memcpyDeviceToHost)

    def _there(self, value: Any, memory: list) -> Any:
        from gdengine.kernels.common.gpu import encode_tensor_map

        array = value.array if isinstance(value, TensorMap) else value
        if not isinstance(array, np.ndarray):
            return value
        at = array.ctypes.data
        address = next(r.copy + at - r.start for r in memory if r.holds(at))
        if isinstance(value, TensorMap):
            return encode_tensor_map(array, address, value.box_width, value.box_height, value.swizzled)
        return np.uintp(address)


@pytest.mark.parametrize("name", sorted(cases.load(), key=lambda name: (not name.startswith("tensor_cores"), name)))
def test_case(name):
    pytest.importorskip("cupy", reason="needs CuPy")
    with runtime.substituted(RoundTrip()):
        cases.load()[name]()
