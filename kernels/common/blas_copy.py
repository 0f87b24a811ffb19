"""A second copy of NumPy's OpenBLAS, for kernels alone: with settings of its own.

How many threads a product takes, and which processor's code it runs, are settings of a whole library. Kernels want one
thread (see `blas`) where the program round them wants them all; in a copy they need not set and put back what other
threads read meanwhile. And on AMD's Zen 4, which executes 512-bit instructions in two halves, OpenBLAS takes its code
for Intel's AVX-512 processors, though its own for Zen is faster: per core 105 to 108 GFLOP/s against 92 to 101 at the
shapes of a GPT of width 128, 97 against 74 for 64 rows.

The copy is a file in memory (25 MB, 30 ms), as the dynamic linker loads one file only once. It is Linux's way; on other
systems, or where memory may not be executed, kernels share NumPy's library. ``OPENBLAS_CORETYPE``, where the user set
it, is followed; ``GDENGINE_BLAS=shared`` does without a copy.
"""

import contextlib
import ctypes
import os
from collections.abc import Iterator
from typing import Any

import llvmlite.binding

# What OpenBLAS is told to take for a processor, by LLVM's name of it.
CORES = {"znver4": "Zen"}


class _Place(ctypes.Structure):
    """What dladdr finds out about an address."""

    _fields_ = [
        ("path", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("symbol", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    ]


def load(function: Any) -> ctypes.PyDLL | None:
    """A copy of the library that ``function`` (of ctypes) is in; None where there can be none."""
    if os.environ.get("GDENGINE_BLAS") == "shared" or not hasattr(os, "memfd_create"):
        return None
    try:
        with open(_path(function), "rb") as source, _file_in_memory() as copy, _settings():
            while os.sendfile(copy, source.fileno(), None, 1 << 30):
                pass
            return ctypes.PyDLL(f"/proc/self/fd/{copy}")
    except (OSError, AttributeError):  # no such file, no dladdr, memory that may not be executed
        return None


def _path(function: Any) -> str:
    place = _Place()
    ctypes.CDLL(None).dladdr(ctypes.cast(function, ctypes.c_void_p), ctypes.byref(place))
    return os.fsdecode(place.path or b"")


@contextlib.contextmanager
def _file_in_memory() -> Iterator[int]:
    descriptor = os.memfd_create("openblas", os.MFD_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _settings() -> Iterator[None]:
    """What the library reads while it is loaded."""
    wanted = {"OPENBLAS_NUM_THREADS": "1"}
    core = CORES.get(llvmlite.binding.get_host_cpu_name())
    if core is not None and "OPENBLAS_CORETYPE" not in os.environ:
        wanted["OPENBLAS_CORETYPE"] = core
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
