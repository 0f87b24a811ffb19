"""Where arrays live: NumPy's on the CPU, CuPy's on a GPU; and the ways between.

A device is a string: ``"cpu"``, ``"cuda"`` (CuPy's current device), ``"cuda:1"``. What computes on an array gets its
functions from `namespace`, and so runs on both. Copies to the GPU go through CuPy's pinned buffers and do not wait;
copies back wait for what they copy.
"""

import re
import sys
from typing import Any

import numpy as np

from . import cuda

CPU = "cpu"
_NAMES = re.compile(r"(cpu|cuda|gpu)(?::(\d+))?")


def is_device(target: Any) -> bool:
    """Whether an argument of ``to`` names a device, and no dtype."""
    return isinstance(target, str) and target.split(":")[0] in ("cpu", "cuda", "gpu")


def is_on_cuda(array: Any) -> bool:
    """Whether it is a CuPy array. CuPy is not imported to find out."""
    return not isinstance(array, np.ndarray) and type(array).__module__.split(".")[0] == "cupy"


def namespace(array: Any) -> Any:
    """The module of functions for an array: ``numpy``, or ``cupy``."""
    return np if isinstance(array, np.ndarray) or not is_on_cuda(array) else sys.modules["cupy"]


def device_of(array: Any) -> str:
    """``"cpu"`` or ``"cuda:0"`` …"""
    return f"cuda:{array.device.id}" if is_on_cuda(array) else CPU


def resolve(target: str) -> str:
    """The device that ``target`` names, with its number.

    Raises:
        ValueError: it names none.
        RuntimeError: it cannot be used here; says why.
    """
    found = _NAMES.fullmatch(target) if isinstance(target, str) else None
    if found is None or (found[1] == "cpu" and found[2]):
        raise ValueError(f"a device is 'cpu', 'cuda' or 'cuda:1', got {target!r}")
    if found[1] == "cpu":
        return CPU
    if found[1] == "gpu":
        raise RuntimeError(f"device {target!r} cannot be used: it is called {target.replace('gpu', 'cuda')!r} here")
    if not cuda.is_available():
        raise RuntimeError(f"device {target!r} cannot be used: {cuda.why_not()}. Use 'cpu'.")
    number = cuda.current_device() if found[2] is None else int(found[2])
    if number >= cuda.device_count():
        raise RuntimeError(f"device {target!r} cannot be used: there are {cuda.device_count()}, numbered from 0")
    return f"cuda:{number}"


def moved(array: Any, target: str) -> Any:
    """``array`` on a device, as `resolve` named it: itself where it is there, else a copy."""
    if device_of(array) == target:
        return array
    if target == CPU:
        return to_host(array)
    cupy = cuda.prepared()
    cuda.check_not_capturing("a copy to the GPU")
    with cupy.cuda.Device(int(target.split(":")[1])):
        return cupy.array(array)


def to_host(array: Any) -> Any:
    """``array`` as a NumPy array: itself, or a copy, for which this waits."""
    if not is_on_cuda(array):
        return array
    cuda.check_not_capturing("a copy from the GPU, which waits for it,")
    return array.get()


def pinned(shape: tuple[int, ...], dtype: Any) -> Any:
    """An undefined NumPy array in page-locked memory, which a GPU reads and writes while the CPU goes on."""
    import cupyx

    return cupyx.empty_pinned(shape, dtype)


def beside(array: Any, other: Any) -> Any:
    """A plain array where ``other`` lives: NumPy's is copied to the GPU; what is there already stays."""
    if isinstance(array, np.ndarray) and is_on_cuda(other):
        return moved(array, device_of(other))
    return array


def assign(target: Any, source: Any) -> None:
    """``target[...] = source``, from wherever it is; scalars and shapes broadcast."""
    if is_on_cuda(target):
        target[...] = beside(source, target)
    else:
        np.copyto(target, to_host(source))


def check_same(function: str, **arrays: Any) -> None:
    """Raise unless all arrays (None aside) live on one device."""
    for array in arrays.values():
        if type(array) is not np.ndarray and array is not None:
            break
    else:  # all NumPy's, as nearly always
        return
    places = {name: device_of(array) for name, array in arrays.items() if array is not None}
    if len(set(places.values())) > 1:
        found = ", ".join(f"{name} on {place}" for name, place in places.items())
        target = next(place for place in places.values() if place != CPU)
        raise RuntimeError(f"{function} wants its tensors on one device, got {found}: move them, x.to({target!r})")
