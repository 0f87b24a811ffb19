"""What skips, saying why, on machines that cannot run CUDA sources on the CPU."""

import pytest

from .build import why_not


@pytest.fixture
def emulator() -> None:
    """The test runs kernels on the CPU."""
    if reason := why_not():
        pytest.skip(reason)
