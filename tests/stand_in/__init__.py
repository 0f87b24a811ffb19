"""A GPU that is not there: CuPy's place taken by `tests.stand_in.cupy`, the kernels' by the emulator.

So all that gdengine does between a training script and a kernel's launch (moving models, the optimizer's step, mixed
precision, captured graphs, checkpoints, the trainer) runs without a GPU, through its own launchers:

    with stand_in.installed():
        model.to("cuda")

What it cannot show: the order of streams (all is done at once), speed, what CuPy's own kernels round differently.
"""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from gdengine import cuda
from gdengine.kernels import runtime
from gdengine.kernels.common.cuda_source import Kernel

from ..cuda_on_cpu.device import EmulatedDevice
from ..cuda_on_cpu.emulator import TensorMap
from . import cupy, cupyx

MODULES = {"cupy": cupy, "cupy.cuda": cupy.cuda, "cupyx": cupyx}


@contextlib.contextmanager
def installed(schedule: str = "order", capability: tuple[int, int] = (9, 0)) -> Iterator[Any]:
    """Inside, CuPy is the stand-in, ``"cuda"`` is there, and kernels run on the CPU. Yields the device."""
    before = {name: sys.modules.get(name) for name in MODULES}
    sys.modules.update(MODULES)
    _forget()
    device = StandInDevice(schedule, capability=capability)
    try:
        with runtime.substituted(device):
            yield device
    finally:
        for name, module in before.items():
            sys.modules.pop(name) if module is None else sys.modules.update({name: module})
        _forget()


def _forget() -> None:
    cuda.why_not.cache_clear()
    cuda._explain_out_of_memory.cache_clear()
    cupy.cuda.reset()


class StandInDevice(EmulatedDevice):
    """The emulator on the stand-in's arrays. Remembers which kernels were launched."""

    def __init__(self, schedule: str, capability: tuple[int, int]):
        super().__init__(schedule, capability=capability)
        self.launched: list[str] = []

    def empty(self, shape: Any, dtype: Any) -> Any:
        return cupy.empty(shape, dtype)

    def upload(self, array: Any) -> Any:
        return cupy.asarray(array)

    def tensor_map(self, array: Any, box_width: int, box_height: int, swizzled: bool) -> TensorMap:
        return TensorMap(cupy.host_of(array), box_width, box_height, swizzled)

    def launch(self, kernel: Kernel, grid: Sequence[int], block: Sequence[int], values: list, shared: int) -> None:
        hosts = [cupy.host_of(value) for value in values]
        self.launched.append(kernel.name)
        cupy.cuda.enqueue(lambda: EmulatedDevice.launch(self, kernel, grid, block, hosts, shared))
