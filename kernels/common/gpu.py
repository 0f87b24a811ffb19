"""The GPU, through CuPy: loads cubins and launches their kernels."""

import ctypes
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import cupy
import numpy as np

from .cubins import cubin
from .cuda_source import Kernel, Source

WITHOUT_ASKING = 48 << 10  # bytes of dynamic shared memory; more has to be asked for

# from cuda.h: CUtensorMapDataType, CUtensorMapSwizzle, CUtensorMapL2promotion
TENSOR_TYPES = {"float32": 7, "bfloat16": 9}
SWIZZLE_NONE, SWIZZLE_128 = 0, 3
PROMOTE_256 = 3


class Gpu:
    """CuPy's current device; see `gdengine.kernels.runtime.Device`."""

    @property
    def capability(self) -> tuple[int, int]:
        return _capability(cupy.cuda.runtime.getDevice())

    @property
    def multiprocessors(self) -> int:
        return _multiprocessors(cupy.cuda.runtime.getDevice())

    def empty(self, shape: Any, dtype: Any) -> Any:
        return cupy.empty(shape, dtype)

    def upload(self, array: np.ndarray) -> Any:
        return cupy.asarray(array)

    def tensor_map(self, array: Any, box_width: int, box_height: int, swizzled: bool) -> Any:
        return encode_tensor_map(array, array.data.ptr, box_width, box_height, swizzled)

    def launch(self, kernel: Kernel, grid: Sequence[int], block: Sequence[int], values: list, shared: int) -> None:
        function = _function(kernel, cupy.cuda.runtime.getDevice())
        if shared > WITHOUT_ASKING:
            function.max_dynamic_shared_size_bytes = shared
        function(tuple(grid), tuple(block), tuple(values), shared_mem=shared)


def encode_tensor_map(array: Any, address: int, box_width: int, box_height: int, swizzled: bool) -> Any:
    """The tensor map of memory at ``address`` that is laid out like ``array``, 2-D float32 or bfloat16.

    An array of one element of 128 bytes: CuPy passes what is of NumPy and of size one by value.

    Raises:
        ValueError: the driver refuses it.
    """
    return _encoded(array.dtype.name, array.shape, array.strides[0], address, box_width, box_height, swizzled)


@lru_cache(maxsize=4096)  # encoding takes longer than a launch, and a training step's arrays come to lie where they did
def _encoded(
    dtype: str, shape: tuple[int, int], pitch: int, address: int, box_width: int, box_height: int, swizzled: bool
) -> np.ndarray:
    height, width = shape
    buffer = (ctypes.c_char * 256)()
    start = -ctypes.addressof(buffer) % 128  # the driver wants 64 bytes of alignment
    status = _driver().cuTensorMapEncodeTiled(
        ctypes.c_void_p(ctypes.addressof(buffer) + start),
        *(ctypes.c_int(TENSOR_TYPES[dtype]), ctypes.c_uint32(2), ctypes.c_void_p(address)),
        *((ctypes.c_uint64 * 2)(width, height), (ctypes.c_uint64 * 1)(pitch)),
        *((ctypes.c_uint32 * 2)(box_width, box_height), (ctypes.c_uint32 * 2)(1, 1)),
        *(ctypes.c_int(0), ctypes.c_int(SWIZZLE_128 if swizzled else SWIZZLE_NONE)),
        *(ctypes.c_int(PROMOTE_256), ctypes.c_int(0)),
    )
    if status:
        raise ValueError(
            f"a tensor map of {dtype}{list(shape)}, rows {pitch} bytes apart, at {address:#x}, in boxes of {box_width} "
            f"× {box_height} was refused (driver error {status}): rows must start at multiples of 16 bytes"
        )
    return np.frombuffer(buffer, np.dtype("V128"), 1, start)


@cache
def _multiprocessors(device: int) -> int:
    return int(cupy.cuda.Device(device).attributes["MultiProcessorCount"])


@cache
def _capability(device: int) -> tuple[int, int]:
    major, minor = divmod(int(cupy.cuda.Device(device).compute_capability), 10)
    return major, minor


@cache
def _module(source: Source, device: int) -> Any:
    major, minor = _capability(device)
    architecture = f"sm_{major}{minor}" + ("a" if major == 9 else "")
    return cupy.RawModule(path=str(cubin(source, architecture)))


@cache
def _function(kernel: Kernel, device: int) -> Any:
    return _module(kernel.source, device).get_function(kernel.name)


@cache
def _driver() -> Any:
    return ctypes.CDLL("libcuda.so.1")
