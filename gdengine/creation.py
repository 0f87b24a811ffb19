"""New tensors. A ``dtype`` is float32 unless said; a shape is given as ``f(2, 3)`` or ``f((2, 3))``."""

from operator import index
from typing import Any

import numpy as np

from .random import default_generator
from .tensor import Tensor, to_array


def tensor(data: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor over a copy of ``data``: numbers, nested lists, an array or a tensor (whose history is not copied)."""
    return Tensor(np.array(to_array(data, dtype)), requires_grad=requires_grad)


def from_numpy(array: Any) -> Tensor:
    """A tensor over the memory of a NumPy array."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy wants a NumPy array, got {type(array).__name__}: use gd.tensor(...)")
    return Tensor(array)


def from_dlpack(source: Any) -> Tensor:
    """A tensor over the memory of any array that speaks DLPack (a PyTorch tensor, a JAX array) and lies on the CPU."""
    return Tensor(np.from_dlpack(source))


def zeros(*shape: Any, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    """Zeros."""
    return Tensor(np.zeros(_shape(shape), dtype), requires_grad=requires_grad)


def ones(*shape: Any, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    """Ones."""
    return Tensor(np.ones(_shape(shape), dtype), requires_grad=requires_grad)


def full(shape: Any, value: Any, *, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    """``value`` everywhere."""
    return Tensor(np.full(_shape((shape,)), value, dtype), requires_grad=requires_grad)


def zeros_like(x: Any, *, requires_grad: bool = False) -> Tensor:
    """Zeros in the shape and dtype of ``x``."""
    return Tensor(np.zeros_like(to_array(x)), requires_grad=requires_grad)


def ones_like(x: Any, *, requires_grad: bool = False) -> Tensor:
    """Ones in the shape and dtype of ``x``."""
    return Tensor(np.ones_like(to_array(x)), requires_grad=requires_grad)


def arange(start: Any, stop: Any = None, step: Any = 1, *, dtype: Any = None) -> Tensor:
    """start, start + step, … below stop; from 0 with one argument. int64 for integers, else float32."""
    values = np.arange(start, step=step) if stop is None else np.arange(start, stop, step)
    return Tensor(values if dtype is None and values.dtype.kind in "iu" else values.astype(dtype or np.float32))


def rand(*shape: Any, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    """Uniform in [0, 1), from 24 random bits each."""
    return Tensor(default_generator.uniform(_shape(shape)).astype(dtype, copy=False), requires_grad=requires_grad)


def randn(*shape: Any, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    """Standard normal."""
    return Tensor(default_generator.normal(_shape(shape)).astype(dtype, copy=False), requires_grad=requires_grad)


def randint(low: int, high: int, shape: Any) -> Tensor:
    """Integers in [low, high), int64."""
    return Tensor(default_generator.integers(low, high, _shape((shape,))))


def randperm(n: int) -> Tensor:
    """The numbers 0 … n − 1 in random order, int64."""
    return Tensor(default_generator.permutation(n))


def _shape(shape: tuple[Any, ...]) -> tuple[int, ...]:
    if len(shape) == 1 and isinstance(shape[0], tuple | list):
        shape = tuple(shape[0])
    sizes = tuple(index(n) for n in shape)
    if any(n < 0 for n in sizes):
        raise ValueError(f"a tensor's sizes are 0 or more, got {sizes}")
    return sizes
