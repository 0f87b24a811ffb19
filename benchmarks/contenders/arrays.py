"""Inputs where a contender keeps its arrays: NumPy's, CuPy's, PyTorch's; the same numbers in all of them.

The random block goes to the device once, and is repeated there. bfloat16 travels as the 16 bits that it is.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import inputs


class Host:
    """NumPy arrays."""

    def __init__(self, dtype: str = "float32"):
        self.dtype = dtype

    def normal(self, name: str, shape: Sequence[int], scale: float = 1.0, dtype: str | None = None) -> Any:
        """Normal numbers."""
        block = self._bits(inputs.normal(name, math.prod(shape), scale), dtype or self.dtype)
        return self._typed(self._repeated(block, math.prod(shape)), dtype or self.dtype).reshape(tuple(shape))

    def integers(self, name: str, size: int, bound: int) -> Any:
        """Integers below ``bound``, int64."""
        return self._there(inputs.integers(name, size, bound))

    def zeros(self, shape: Sequence[int], dtype: str | None = None) -> Any:
        """Zeros."""
        return self._typed(self._zeros(math.prod(shape), dtype or self.dtype), dtype or self.dtype).reshape(
            tuple(shape)
        )

    def number(self, value: float, shape: Sequence[int]) -> Any:
        """One float32 number everywhere."""
        return self._there(np.full(tuple(shape), value, np.float32))

    def exactly(self, values: Any) -> Any:
        """These float32 numbers."""
        return self._there(np.array(values, np.float32))

    def to_host(self, array: Any) -> np.ndarray:
        """A few rows of it, on the CPU."""
        return np.asarray(inputs.rows(array))

    @staticmethod
    def _bits(block: np.ndarray, dtype: str) -> np.ndarray:
        if dtype == "float32":
            return block
        import ml_dtypes

        return block.astype(ml_dtypes.bfloat16).view(np.uint16)

    def _repeated(self, block: np.ndarray, size: int) -> Any:
        return np.resize(block, size)

    def _zeros(self, size: int, dtype: str) -> Any:
        return np.zeros(size, np.float32 if dtype == "float32" else np.uint16)

    def _typed(self, bits: Any, dtype: str) -> Any:
        if dtype == "float32":
            return bits
        import ml_dtypes

        return bits.view(ml_dtypes.bfloat16)

    def _there(self, array: np.ndarray) -> Any:
        return array


class Cupy(Host):
    """CuPy arrays on the current device."""

    def __init__(self, dtype: str = "float32"):
        super().__init__(dtype)
        import cupy

        self.cupy = cupy

    def to_host(self, array: Any) -> np.ndarray:
        return self.cupy.ascontiguousarray(inputs.rows(array)).get()

    def _repeated(self, block: np.ndarray, size: int) -> Any:
        there, out = self.cupy.asarray(block), self.cupy.empty(size, block.dtype)
        for at in range(0, size, len(block)):
            out[at : at + len(block)] = there[: size - at]
        return out

    def _zeros(self, size: int, dtype: str) -> Any:
        return self.cupy.zeros(size, np.float32 if dtype == "float32" else np.uint16)

    def _there(self, array: np.ndarray) -> Any:
        return self.cupy.asarray(array)


class Torch(Host):
    """PyTorch tensors on ``device``."""

    def __init__(self, device: str, dtype: str = "float32"):
        super().__init__(dtype)
        import torch

        self.torch, self.device = torch, device

    def to_host(self, array: Any) -> np.ndarray:
        return inputs.rows(array.detach()).float().cpu().numpy()

    def _repeated(self, block: np.ndarray, size: int) -> Any:
        there = self.torch.from_numpy(block.view(np.int16) if block.dtype == np.uint16 else block).to(self.device)
        return there.repeat(-(-size // len(block)))[:size]

    def _zeros(self, size: int, dtype: str) -> Any:
        kind = self.torch.float32 if dtype == "float32" else self.torch.int16
        return self.torch.zeros(size, dtype=kind, device=self.device)

    def _typed(self, bits: Any, dtype: str) -> Any:
        return bits if dtype == "float32" else bits.view(self.torch.bfloat16)

    def _there(self, array: np.ndarray) -> Any:
        return self.torch.from_numpy(array).to(self.device)
