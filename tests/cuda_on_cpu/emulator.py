"""Launch a .cu file's kernels on NumPy arrays."""

import ctypes
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .build import library

SCHEDULES = ("order", "reverse", "random", "greedy")
# what the letters of a signature mean (host/entry.h)
DTYPES = {
    "f": "float32",
    "d": "float64",
    "B": "bfloat16",
    "i": "int32",
    "I": "uint32",
    "q": "int64",
    "Q": "uint64",
    "?": "bool",
    "b": "int8",
    "c": "uint8",
}
TENSOR_MAP = 0x7E4504

executed: set[tuple[str, str]] = set()
"""(source as folder/file, kernel) of everything that has been launched and ended well in this process."""


class KernelError(RuntimeError):
    """A kernel did something that it may not; names the block, the thread and mostly the line."""


@dataclass(frozen=True)
class TensorMap:
    """A 2-D array of bfloat16 or float32, seen in boxes: what TMA moves at a time. Sizes in elements."""

    array: np.ndarray
    box_width: int
    box_height: int
    swizzled: bool = True

    def __post_init__(self) -> None:
        if self.array.ndim != 2 or self.array.strides[0] % 16 or self.array.strides[1] != self.array.itemsize:
            raise ValueError(f"TMA wants rows a multiple of 16 bytes apart, got the strides {self.array.strides}")

    def encode(self, address: int) -> bytes:
        """The struct TensorMap of host/hopper.h."""
        height, width = self.array.shape
        sizes = (width, height, self.array.strides[0], self.box_width, self.box_height)
        packed = struct.pack("<Q8I", address, *sizes, self.swizzled, self.array.itemsize, TENSOR_MAP)
        return packed.ljust(128, b"\0")


def launch(
    source: Path | str,
    kernel: str,
    grid: Sequence[int],
    block: Sequence[int],
    arguments: Sequence[Any],
    *,
    schedule: str = "order",
    seed: int = 1,
    shared_bytes: int = 0,
    seconds: float = 20,
) -> None:
    """Run ``kernel`` of the file ``source``; arrays are updated in place.

    Args:
        arguments: for a pointer a NumPy array of its dtype (views and overlapping arrays are fine) or ``np.uintp(0)``;
            for a scalar a NumPy scalar of exactly its type; for a tensor map a `TensorMap`.
        schedule: which thread runs next, one of `SCHEDULES`: in order, in reverse, at random, or one warp as far ahead
            of the others as it can get.
        seconds: of CPU time, after which the launch is abandoned as endless.

    Raises:
        KernelError: what the kernel did wrong.
        TypeError: an argument has another type than the kernel declares.
        BuildError: the source does not compile.
    """
    path = Path(source).resolve()
    loaded = _load(path, os.environ.get("CUDA_ON_CPU_SANITIZER", ""))
    name = f"{path.parent.name}/{path.name}:{kernel}"
    signature = _signature(loaded, kernel, name)
    if len(signature) != len(arguments):
        raise TypeError(f"{name} takes {len(signature)} arguments, got {len(arguments)}")
    memory = _Memory(loaded, list(zip(signature, arguments, strict=True)))
    cells = [_cell(name, i, *pair, memory) for i, pair in enumerate(zip(signature, arguments, strict=True))]
    loaded.set_schedule(SCHEDULES.index(schedule), seed, seconds)
    addresses = (ctypes.c_void_p * len(cells))(*(ctypes.addressof(cell) for cell in cells))
    status = getattr(loaded, f"launch_{kernel}")(
        _triple(grid), _triple(block), ctypes.c_size_t(shared_bytes), addresses
    )
    overwritten = memory.give_back()
    if status:
        raise KernelError(f"{name}: {loaded.error_message().decode()}")
    if overwritten:
        raise KernelError(f"{name}: wrote before or after the memory of argument(s) {', '.join(map(str, overwritten))}")
    executed.add((f"{path.parent.name}/{path.name}", kernel))


def _load(path: Path, sanitizer: str) -> Any:
    return _open(library(path, sanitizer))


@cache
def _open(path: Path) -> Any:
    loaded = ctypes.CDLL(str(path))
    loaded.device_allocate.restype = ctypes.c_void_p
    loaded.device_allocate.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
    loaded.device_free.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
    loaded.error_message.restype = ctypes.c_char_p
    loaded.set_schedule.argtypes = [ctypes.c_uint, ctypes.c_uint64, ctypes.c_double]
    return loaded


def _signature(loaded: Any, kernel: str, name: str) -> list[str]:
    """Two letters for each parameter: see host/entry.h."""
    try:
        function = getattr(loaded, f"signature_{kernel}")
    except AttributeError:
        raise KeyError(f"{name}: there is no such kernel") from None
    function.restype = ctypes.c_char_p
    letters = function().decode()
    return [letters[i : i + 2] for i in range(0, len(letters), 2)]


def _triple(sizes: Sequence[int]) -> Any:
    return (ctypes.c_uint * 3)(*(*sizes, 1, 1)[:3])


def _cell(name: str, number: int, code: str, value: Any, memory: "_Memory") -> Any:
    """The memory that holds one argument's value."""
    kind, letter = code
    if isinstance(value, TensorMap):
        if code != "vs":
            raise TypeError(f"{name}: argument {number} is a tensor map, the kernel wants something else")
        return _aligned(value.encode(memory.address(value.array)))
    wanted = DTYPES[letter]
    if kind == "v":
        if not isinstance(value, np.generic) or value.dtype.name != wanted:
            raise TypeError(f"{name}: argument {number} must be a NumPy {wanted}, got {type(value).__name__}")
        return ctypes.create_string_buffer(value.tobytes(), value.nbytes)
    if isinstance(value, np.uintp) and value == 0:
        return ctypes.c_void_p(0)
    if not isinstance(value, np.ndarray) or value.dtype.name != wanted:
        got = getattr(value, "dtype", type(value).__name__)
        raise TypeError(f"{name}: argument {number} must be an array of {wanted}, got {got}")
    return ctypes.c_void_p(memory.address(value))


def _aligned(content: bytes) -> Any:
    raw = (ctypes.c_char * (len(content) + 64))()
    start = -ctypes.addressof(raw) % 64
    cell = (ctypes.c_char * len(content)).from_buffer(raw, start)
    cell.raw = content
    return cell


@dataclass
class Range:
    """Memory that one or more arguments cover together, and where its copy lies."""

    start: int
    stop: int
    arguments: list[int]
    written: bool
    copy: int = 0

    @property
    def size(self) -> int:
        return self.stop - self.start

    def holds(self, address: int) -> bool:
        return self.start <= address < self.stop or address == self.start == self.stop


def ranges(arguments: Sequence[tuple[bool, Any]]) -> list[Range]:
    """The memory of the arrays among ``arguments``, pairs (is written, value); overlapping arrays stay together."""
    found = []
    for number, (written, value) in enumerate(arguments):
        array = value.array if isinstance(value, TensorMap) else value
        if isinstance(array, np.ndarray):
            found.append(Range(*np.lib.array_utils.byte_bounds(array), [number], written))
    merged: list[Range] = []
    for one in sorted(found, key=lambda r: (r.start, -r.stop)):
        if merged and one.start < merged[-1].stop:
            last = merged[-1]
            last.stop = max(last.stop, one.stop)
            last.arguments += one.arguments
            last.written |= one.written
        else:
            merged.append(one)
    return merged


class _Memory:
    """The arrays of a launch, moved to guarded memory and back."""

    def __init__(self, loaded: Any, passed: Sequence[tuple[str, Any]]):
        self.loaded = loaded
        self.ranges = ranges([(code[0] != "p", value) for code, value in passed])
        for r in self.ranges:
            r.copy = loaded.device_allocate(r.size, r.start % 16)
            ctypes.memmove(r.copy, r.start, r.size)

    def address(self, array: np.ndarray) -> int:
        """Where the array's first element lies in guarded memory."""
        at = array.ctypes.data
        return next(r.copy + at - r.start for r in self.ranges if r.holds(at))

    def give_back(self) -> list[int]:
        """Copy back what may have been written; the arguments round whose memory something was written."""
        overwritten = []
        for r in self.ranges:
            if r.written:
                ctypes.memmove(r.start, r.copy, r.size)
            if self.loaded.device_free(r.copy, r.size, r.start % 16):
                overwritten += r.arguments
        return sorted(overwritten)
