"""New tensors. A ``dtype`` is float32 unless said; a shape is given as ``f(2, 3)`` or ``f((2, 3))``.

``device`` says where the tensor lives, ``"cpu"`` unless said. Random numbers are drawn on the CPU and copied, so they
are the same on every device.
"""

import contextlib
from collections.abc import Iterator
from operator import index
from typing import Any

import numpy as np

from . import cuda
from .device import CPU, moved, namespace, resolve
from .random import default_generator
from .tensor import Tensor, to_array

DLPACK_CUDA = (2, 13)  # kDLCUDA, kDLCUDAManaged


def tensor(data: Any, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor over a copy of ``data``: numbers, nested lists, an array or a tensor (whose history is not copied).

    It lives where data does unless ``device`` says otherwise.
    """
    array = to_array(data, dtype)
    return _made(namespace(array).array(array), device, requires_grad)


def from_numpy(array: Any) -> Tensor:
    """A tensor over the memory of a NumPy array."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy wants a NumPy array, got {type(array).__name__}: use gd.tensor(...)")
    return Tensor(array)


def from_dlpack(source: Any) -> Tensor:
    """A tensor over the memory of any array that speaks DLPack: a PyTorch tensor, a JAX array, on the CPU or a GPU."""
    if source.__dlpack_device__()[0] in DLPACK_CUDA:
        return Tensor(cuda.prepared().from_dlpack(source))
    return Tensor(np.from_dlpack(source))


def zeros(*shape: Any, dtype: Any = np.float32, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """Zeros."""
    return full(_shape(shape), 0, dtype=dtype, device=device, requires_grad=requires_grad)


def ones(*shape: Any, dtype: Any = np.float32, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """Ones."""
    return full(_shape(shape), 1, dtype=dtype, device=device, requires_grad=requires_grad)


def full(
    shape: Any, value: Any, *, dtype: Any = np.float32, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """``value`` everywhere."""
    with _namespace_of(device) as xp:
        return Tensor(xp.full(_shape((shape,)), value, dtype), requires_grad=requires_grad)


def zeros_like(x: Any, *, requires_grad: bool = False) -> Tensor:
    """Zeros in the shape and dtype of ``x``, where x lives."""
    return Tensor(np.zeros_like(to_array(x)), requires_grad=requires_grad)


def ones_like(x: Any, *, requires_grad: bool = False) -> Tensor:
    """Ones in the shape and dtype of ``x``, where x lives."""
    return Tensor(np.ones_like(to_array(x)), requires_grad=requires_grad)


def arange(start: Any, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """start, start + step, … below stop; from 0 with one argument. int64 for integers, else float32."""
    values = np.arange(start, step=step) if stop is None else np.arange(start, stop, step)
    if dtype is not None or values.dtype.kind not in "iu":
        values = values.astype(dtype or np.float32)
    return _made(values, device)


def rand(*shape: Any, dtype: Any = np.float32, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """Uniform in [0, 1), from 24 random bits each."""
    return _made(default_generator.uniform(_shape(shape)).astype(dtype, copy=False), device, requires_grad)


def randn(*shape: Any, dtype: Any = np.float32, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """Standard normal."""
    return _made(default_generator.normal(_shape(shape)).astype(dtype, copy=False), device, requires_grad)


def randint(low: int, high: int, shape: Any, *, device: str | None = None) -> Tensor:
    """Integers in [low, high), int64."""
    return _made(default_generator.integers(low, high, _shape((shape,))), device)


def randperm(n: int, *, device: str | None = None) -> Tensor:
    """The numbers 0 … n − 1 in random order, int64."""
    return _made(default_generator.permutation(n), device)


def _made(array: Any, device: str | None, requires_grad: bool = False) -> Tensor:
    return Tensor(array if device is None else moved(array, resolve(device)), requires_grad=requires_grad)


@contextlib.contextmanager
def _namespace_of(device: str | None) -> Iterator[Any]:
    """NumPy; or CuPy, that device the current one."""
    place = CPU if device is None else resolve(device)
    if place == CPU:
        yield np
    else:
        with cuda.device(int(place.split(":")[1])):
            yield cuda.prepared()


def _shape(shape: tuple[Any, ...]) -> tuple[int, ...]:
    if len(shape) == 1 and isinstance(shape[0], tuple | list):
        shape = tuple(shape[0])
    sizes = tuple(index(n) for n in shape)
    if any(n < 0 for n in sizes):
        raise ValueError(f"a tensor's sizes are 0 or more, got {sizes}")
    return sizes
