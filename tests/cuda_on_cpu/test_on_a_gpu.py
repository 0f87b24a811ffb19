"""The same cases on a real GPU: what the emulator cannot show, the PTX of the wrappers first of all.

    python -m pytest -m gpu

runs these, and tests/device on the GPU in the place of its stand-in.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gdengine as gd
from gdengine.kernels import runtime
from gdengine.kernels.common.cuda_source import Kernel

from . import cases
from .device import EmulatedDevice
from .emulator import TensorMap, ranges

pytestmark = pytest.mark.gpu


class RoundTrip(EmulatedDevice):
    """Launches on the GPU with NumPy arrays: they travel there before each launch, and back after it."""

    def __init__(self) -> None:
        super().__init__()
        from gdengine.kernels.common.gpu import Gpu

        self.gpu = Gpu()
        self.capability = self.gpu.capability
        if os.environ.get("GDENGINE_UNDER_SANITIZER"):
            import cupy

            cupy.cuda.set_allocator(None)  # no pool, whose blocks are larger than what was asked for

    def launch(self, kernel: Kernel, grid: Sequence[int], block: Sequence[int], values: list, shared: int) -> None:
        import cupy

        memory = ranges([(True, value) for value in values])
        buffers = [cupy.empty(r.start % 16 + r.size, np.uint8) for r in memory]
        for r, buffer in zip(memory, buffers, strict=True):
            r.copy = buffer.data.ptr + r.start % 16
            cupy.cuda.runtime.memcpy(r.copy, r.start, r.size, cupy.cuda.runtime.memcpyHostToDevice)
        self.gpu.launch(kernel, grid, block, [self._there(value, memory) for value in values], shared)
        for r in memory:
            cupy.cuda.runtime.memcpy(r.start, r.copy, r.size, cupy.cuda.runtime.memcpyDeviceToHost)

    def _there(self, value: Any, memory: list) -> Any:
        from gdengine.kernels.common.gpu import encode_tensor_map

        array = value.array if isinstance(value, TensorMap) else value
        if not isinstance(array, np.ndarray):
            return value
        at = array.ctypes.data
        address = next(r.copy + at - r.start for r in memory if r.holds(at))
        if isinstance(value, TensorMap):
            return encode_tensor_map(array, address, value.box_width, value.box_height, value.swizzled)
        return np.uintp(address)


class Recorder(RoundTrip):
    """Remembers the bytes of every array after each launch."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[list[bytes]] = []

    def launch(self, kernel: Kernel, grid: Sequence[int], block: Sequence[int], values: list, shared: int) -> None:
        super().launch(kernel, grid, block, values, shared)
        self.left.append([value.tobytes() for value in values if isinstance(value, np.ndarray)])


@pytest.fixture(autouse=True)
def _cupy():
    """CuPy, and a GPU that it can use."""
    if not gd.cuda.is_available():
        pytest.skip(f"needs a GPU: {gd.cuda.why_not()}")


# The wrappers of PTX first: where these are wrong, nothing made of them can be right.
NAMES = sorted(cases.load(), key=lambda name: (not name.startswith("tensor_cores"), name))


@pytest.mark.parametrize("name", NAMES)
def test_case(name):
    with runtime.substituted(RoundTrip()):
        cases.load()[name]()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_bits_over_two_runs(name):
    runs = [Recorder(), Recorder()]
    for run in runs:
        with runtime.substituted(run):
            cases.load()[name]()
    assert runs[0].left == runs[1].left


@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "initcheck", "synccheck"])
def test_compute_sanitizer(tool):
    """NVIDIA's checker over all cases. It cannot see into what TMA and wgmma do; the emulator does."""
    if os.environ.get("GDENGINE_UNDER_SANITIZER"):
        pytest.skip("this is the run under compute-sanitizer")
    program = shutil.which("compute-sanitizer")
    if program is None:
        pytest.skip("compute-sanitizer, which comes with the CUDA toolkit, is not on the path")
    inside = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-m",
        "gpu",
        "-p",
        "no:cacheprovider",
        "-k",
        "test_case",
        __file__,
    ]
    done = subprocess.run(
        [program, "--tool", tool, "--error-exitcode", "9", "--target-processes", "all", *inside],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "GDENGINE_UNDER_SANITIZER": "1", "CUPY_CACHE_IN_MEMORY": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
