"""Launch CUDA kernels: source → NVRTC → cubin → disk → driver → launch, with arguments of the declared types.

An operation's ``cuda.py`` launches through here::

    SOURCE = runtime.Source(__file__, "gelu.cu")
    runtime.launch(SOURCE["gelu_forward_f32"], grid=(blocks,), block=(256,), arguments=(x, y, x.size))

What carries a launch out is a `Device`: the GPU under CuPy, unless another one was put in its place
(`substituted`). Tests put an emulator there, and so run a launcher's choices and the kernel itself without a GPU.
CuPy is imported when the first kernel is launched, not before.
"""

import contextlib
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Protocol

import numpy as np

from .common.cuda_source import Kernel, Parameter, Source

__all__ = [
    "Device",
    "Kernel",
    "KernelError",
    "Source",
    "blocks",
    "counting_from",
    "device",
    "launch",
    "random_base",
    "substituted",
]

SCALARS = {
    "int": np.int32,
    "unsigned": np.uint32,
    "unsigned int": np.uint32,
    "long long": np.int64,
    "unsigned long long": np.uint64,
    "float": np.float32,
    "double": np.float64,
}
ELEMENTS = {  # the dtypes that a pointer may mean
    "float": ("float32",),
    "double": ("float64",),
    "__nv_bfloat16": ("bfloat16",),
    "int": ("int32",),
    "unsigned": ("uint32",),
    "long long": ("int64",),
    "unsigned long long": ("uint64",),
    "unsigned char": ("uint8",),
}


class KernelError(RuntimeError):
    """A kernel could not be compiled or launched; says which, with which arguments, and why."""


class Device(Protocol):
    """Where kernels run."""

    @property
    def capability(self) -> tuple[int, int]:
        """The compute capability, such as (9, 0)."""

    @property
    def multiprocessors(self) -> int:
        """How many there are: grids that stride over their work are a multiple of it."""

    def empty(self, shape: Any, dtype: Any) -> Any:
        """A new C-contiguous array with undefined content."""

    def upload(self, array: np.ndarray) -> Any:
        """A copy of an array of the CPU."""

    def tensor_map(self, array: Any, box_width: int, box_height: int, swizzled: bool) -> Any:
        """What TMA calls a tensor map of a 2-D array, as a kernel's argument."""

    def launch(self, kernel: Kernel, grid: Sequence[int], block: Sequence[int], values: list, shared: int) -> None:
        """Run a kernel; ``values`` are arrays and NumPy scalars of exactly the declared types."""


_substitute: list[Device] = []


def device() -> Device:
    """Where kernels run now."""
    return _substitute[-1] if _substitute else _gpu()


@contextlib.contextmanager
def substituted(other: Device) -> Iterator[None]:
    """Run kernels on ``other`` inside this block."""
    _substitute.append(other)
    try:
        yield
    finally:
        _substitute.pop()


_random_bases: list[Any] = []


def random_base() -> Any:
    """A uint64 array (1,) of the device that kernels add to the number of their random call; None for nothing.

    A captured graph bears the numbers of its capture, and counts on through it.
    """
    return _random_bases[-1] if _random_bases else None


@contextlib.contextmanager
def counting_from(base: Any) -> Iterator[None]:
    """Random calls inside are numbered from ``base`` on: see `random_base`."""
    _random_bases.append(base)
    try:
        yield
    finally:
        _random_bases.pop()


@cache
def _gpu() -> Device:
    from .common.gpu import Gpu

    return Gpu()


def launch(
    kernel: Kernel, *, grid: Sequence[int], block: Sequence[int], arguments: Sequence[Any], shared_bytes: int = 0
) -> None:
    """Launch ``kernel`` with ``grid`` blocks of ``block`` threads; asynchronous, on the current stream.

    Python numbers become the declared type; None is a null pointer.

    Raises:
        KernelError: an argument has another type than the kernel declares, or the launch failed.
    """
    values = typed(kernel, arguments)
    try:
        device().launch(kernel, grid, block, values, shared_bytes)
    except KernelError:
        raise
    except Exception as error:
        described = ", ".join(map(_describe, kernel.parameters, arguments))
        raise KernelError(
            f"{kernel} failed with grid {tuple(grid)}, block {tuple(block)}, {shared_bytes} bytes of shared memory and "
            f"the arguments {described}: {error}"
        ) from error


def typed(kernel: Kernel, arguments: Sequence[Any]) -> list:
    """The arguments as the kernel declares them."""
    if len(arguments) != len(kernel.parameters):
        names = ", ".join(parameter.name for parameter in kernel.parameters)
        raise KernelError(f"{kernel} takes {len(kernel.parameters)} arguments ({names}), got {len(arguments)}")
    return [_typed(kernel, *pair) for pair in zip(kernel.parameters, arguments, strict=True)]


def _typed(kernel: Kernel, parameter: Parameter, value: Any) -> Any:
    if parameter.is_pointer:
        if value is None:
            return np.uintp(0)
        name = getattr(getattr(value, "dtype", None), "name", type(value).__name__)
        if name not in ELEMENTS[parameter.type]:
            raise KernelError(f"{kernel}: {parameter.name} points to {parameter.type}, got {name}")
        return value
    if parameter.type not in SCALARS:
        return value  # a struct: the device's own
    wanted = SCALARS[parameter.type]
    integral = issubclass(wanted, np.integer)
    if not isinstance(value, int | np.integer if integral else int | float | np.integer | np.floating):
        raise KernelError(f"{kernel}: {parameter.name} is {parameter.type}, got a {type(value).__name__}")
    try:
        return wanted(value)
    except OverflowError as error:
        raise KernelError(f"{kernel}: {parameter.name} is {parameter.type}, which cannot hold {value}") from error


def _describe(parameter: Parameter, value: Any) -> str:
    if hasattr(value, "shape") and value.shape != ():
        return f"{parameter.name}: {value.dtype}{list(value.shape)}"
    return f"{parameter.name}={value}"


def blocks(items: int, threads: int, per_multiprocessor: int) -> int:
    """A grid for ``items`` independent pieces of work, ``threads`` at a time, that strides where there are more."""
    return max(1, min(-(-items // threads), per_multiprocessor * device().multiprocessors))
