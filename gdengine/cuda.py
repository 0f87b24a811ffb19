"""CUDA devices: whether there are any, which is current, their memory and streams. CuPy is imported when it is needed.

Arrays of a device are computed on while that device is CuPy's current one: `device` makes it so. Kernels run on CuPy's
current stream, so ``with gd.cuda.Stream():`` puts what is inside on a stream of its own.
"""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any


def is_available() -> bool:
    """Whether ``"cuda"`` can be used; `why_not` says why not."""
    return not why_not()


@cache
def why_not() -> str:
    """The reason why CUDA cannot be used in this process; empty when it can."""
    try:
        import cupy
    except Exception as error:  # a wheel for another CUDA or NumPy fails in more ways than ImportError
        return f"CuPy cannot be imported ({error}); pip install 'gdengine[cuda13]' (or [cuda12]) brings it"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        return f"CuPy finds no driver that it can use ({error})"
    return "" if count else "CuPy finds no GPU"


def device_count() -> int:
    """How many CUDA devices there are; 0 where CUDA cannot be used."""
    return int(_cupy().cuda.runtime.getDeviceCount()) if is_available() else 0


def current_device() -> int:
    """The number of CuPy's current device."""
    return int(_cupy().cuda.runtime.getDevice())


def device(number: int) -> Any:
    """``with gd.cuda.device(1):`` that device is the current one inside."""
    return _cupy().cuda.Device(number)


def get_device_name(number: int | None = None) -> str:
    """What the driver calls a device; the current one by default."""
    properties = _cupy().cuda.runtime.getDeviceProperties(current_device() if number is None else number)
    name = properties["name"]
    return name.decode() if isinstance(name, bytes) else str(name)


def synchronize() -> None:
    """Wait until the current device has done all that it was told."""
    _cupy().cuda.runtime.deviceSynchronize()


def Stream() -> Any:
    """A stream of its own: ``with gd.cuda.Stream() as stream: …``, then ``stream.synchronize()``. It is CuPy's."""
    return _cupy().cuda.Stream(non_blocking=True)


@dataclass(frozen=True)
class Memory:
    """Memory of the current device, in bytes.

    Attributes:
        used: by arrays that are alive.
        held: from the driver by CuPy's pool: ``used`` and what it keeps for the next arrays.
        free: what the driver could still give.
        total: what the device has.
    """

    used: int
    held: int
    free: int
    total: int

    def __str__(self) -> str:
        return f"{readable(self.used)} in use, {readable(self.held)} held, {readable(self.free)} of " + (
            f"{readable(self.total)} free"
        )


def memory() -> Memory:
    """How much memory of the current device is used, held, free, and there."""
    cupy = _cupy()
    pool = cupy.get_default_memory_pool()
    free, total = cupy.cuda.runtime.memGetInfo()
    return Memory(int(pool.used_bytes()), int(pool.total_bytes()), int(free), int(total))


def empty_cache() -> None:
    """Give the memory that is held and not used back to the driver: for other programs on the device."""
    _cupy().get_default_memory_pool().free_all_blocks()


class OutOfMemoryError(MemoryError):
    """The GPU has too little memory: says how much was asked, held and free, and what usually helps."""


def guarded(allocate: Any) -> Any:
    """A CuPy allocator that raises `OutOfMemoryError` where ``allocate`` finds nothing."""
    failure = _cupy().cuda.memory.OutOfMemoryError

    def allocate_or_explain(size: int) -> Any:
        try:
            return allocate(size)
        except failure as error:
            raise OutOfMemoryError(
                f"the GPU is out of memory: {readable(size)} asked for; {memory()}. What usually helps: a smaller "
                "batch (with accumulate= for the same gradient), bf16, linear_cross_entropy in place of logits and "
                "cross_entropy, no_grad() round evaluation, and letting go of losses and outputs of earlier steps"
            ) from error

    return allocate_or_explain


def prepared() -> Any:
    """CuPy, its allocator wrapped (once) so that running out of memory is explained."""
    cupy = _cupy()
    _explain_out_of_memory(cupy)
    return cupy


@cache
def _explain_out_of_memory(cupy: Any) -> None:
    cupy.cuda.set_allocator(guarded(cupy.cuda.get_allocator()))


def _cupy() -> Any:
    if why_not():
        raise RuntimeError(f"CUDA cannot be used: {why_not()}")
    return sys.modules["cupy"]


# ---- capturing: while a graph is made, nothing may wait for the device

captures: list[Any] = []  # the graphs being captured, the innermost last: to ask `if captures` costs no call


def capturing() -> Any:
    """The graph that is being captured; None outside `gdengine.graph`."""
    return captures[-1] if captures else None


@contextlib.contextmanager
def captured_by(graph: Any) -> Iterator[None]:
    """What runs inside is recorded by ``graph``."""
    captures.append(graph)
    try:
        yield
    finally:
        captures.pop()


def check_not_capturing(what: str) -> None:
    """Raise inside a capture."""
    if captures:
        raise RuntimeError(
            f"{what} cannot be part of a captured graph, whose replays run without Python. Pass arrays as arguments of "
            "the graph, return tensors, and read values (item, float, print) outside"
        )


def readable(size: float) -> str:
    """Bytes as 1.5 GiB."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
