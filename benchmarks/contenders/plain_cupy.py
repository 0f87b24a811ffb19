"""CuPy by itself: what a launch costs without anything of ours round it."""

import importlib
from typing import Any

from ..timing import Call, DeviceClock
from .arrays import Cupy
from .devices import CupyDevice

LAUNCHES = 100


def make() -> "PlainCupy":
    """On the current device."""
    return PlainCupy()


class PlainCupy:
    """CuPy as a contender."""

    def __init__(self) -> None:
        import gdengine

        if not gdengine.cuda.is_available():
            raise ImportError(gdengine.cuda.why_not())
        self.clock: Any = DeviceClock(CupyDevice())

    def about(self) -> dict[str, Any]:
        import cupy

        return {"version": cupy.__version__, **self.clock.device.about()}

    def memory(self) -> dict[str, Any]:
        return self.clock.device.memory()

    def release(self) -> None:
        self.clock.device.release()

    def launch(self, kind: str) -> Call:
        """The kernel that `benchmarks.contenders.ours` launches, called as CuPy calls it."""
        if kind != "kernel":
            raise NotImplementedError("CuPy has no gelu")
        from gdengine.kernels import runtime
        from gdengine.kernels.common import gpu

        there, gelu = Cupy(), importlib.import_module("gdengine.kernels.gelu.cuda")
        x, y = there.normal("x", (256,)), there.zeros((256,))
        kernel = gelu.SOURCE["gelu_forward_f32"]
        function = gpu._function(kernel, 0)
        arguments = tuple(runtime.typed(kernel, (x, y, x.size)))

        def run(number: int) -> None:
            for _ in range(LAUNCHES):
                function((1,), (256,), arguments)

        return Call(run)

    def copy(self, size: int) -> Call:
        """Half of the bytes read, half written, by the driver's own copy."""
        there = Cupy()
        source, target = there.normal("source", (size // 4,)), there.zeros((size // 4,))
        return Call(lambda number: target.data.copy_from_device_async(source.data, size))

    def matmul(self, dtype: str, size: int) -> Call:
        """cuBLAS through CuPy."""
        if dtype != "float32":
            raise NotImplementedError(f"CuPy's products of {dtype} are not compared")
        there = Cupy()
        a, b = there.normal("a", (size, size)), there.normal("b", (size, size))
        out = there.zeros((size, size))
        return Call(lambda number: there.cupy.matmul(a, b, out=out))
