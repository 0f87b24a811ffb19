"""These tests run on a stand-in for the GPU; ``-m gpu`` runs the same ones on a real one."""

import pytest

import gdengine as gd
from tests import stand_in
from tests.cuda_on_cpu.build import why_not


@pytest.fixture(params=["stand-in", pytest.param("gpu", marks=pytest.mark.gpu)])
def gpu(request):
    """The test runs where there is a ``"cuda"``; its value is what holds its CuPy: ``gpu.cupy``."""
    if request.param == "gpu":
        if not gd.cuda.is_available():
            pytest.skip(f"needs a GPU: {gd.cuda.why_not()}")
        import cupy

        yield Place(cupy, None)
        return
    if reason := why_not():
        pytest.skip(reason)
    with stand_in.installed() as device:
        yield Place(stand_in.cupy, device)


class Place:
    """Where a test runs: its CuPy, and the stand-in's device (None on a GPU)."""

    def __init__(self, cupy, device):
        self.cupy, self.device = cupy, device

    def launched(self, part):
        """Whether a kernel with ``part`` in its name was launched; true on a GPU, where nobody watches."""
        return self.device is None or any(part in name for name in self.device.launched)
