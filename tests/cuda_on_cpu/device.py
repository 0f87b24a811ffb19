"""The emulator as a device of `gdengine.kernels.runtime`: launchers run on it with NumPy arrays."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from gdengine.kernels.common.cuda_source import Kernel

from .emulator import TensorMap, launch


class EmulatedDevice:
    """Put it in the GPU's place with ``runtime.substituted(EmulatedDevice("greedy"))``.

    It has few multiprocessors, so that grids that stride over their work have to; one under ThreadSanitizer, to which a
    new thread costs a millisecond.
    """

    def __init__(self, schedule: str = "order", seed: int = 1, capability: tuple[int, int] = (9, 0)):
        self.schedule, self.seed, self.capability = schedule, seed, capability
        self.multiprocessors = 1 if os.environ.get("CUDA_ON_CPU_SANITIZER") == "thread" else 3

    def empty(self, shape: Any, dtype: Any) -> np.ndarray:
        """Every byte 0xff: NaN in any float dtype, -1 in an integer one."""
        array = np.empty(shape, dtype)
        array.view(np.uint8).fill(0xFF) if array.ndim else array.reshape(1).view(np.uint8).fill(0xFF)
        return array

    def upload(self, array: np.ndarray) -> np.ndarray:
        return np.array(array, order="C")

    def tensor_map(self, array: np.ndarray, box_width: int, box_height: int, swizzled: bool) -> TensorMap:
        return TensorMap(array, box_width, box_height, swizzled)

    def launch(self, kernel: Kernel, grid: Sequence[int], block: Sequence[int], values: list, shared: int) -> None:
        launch(
            kernel.source.path,
            kernel.name,
            grid,
            block,
            values,
            schedule=self.schedule,
            seed=self.seed,
            shared_bytes=shared,
        )
