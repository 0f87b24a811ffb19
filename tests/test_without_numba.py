"""Without Numba, everything that the quick tests say of gdengine still holds, on the NumPy reference."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BLOCKED = "import sys, pytest; sys.modules['numba'] = None; sys.exit(pytest.main(sys.argv[1:]))"


@pytest.mark.slow
def test_everything_passes_on_the_reference():
    environment = {**os.environ, "GDENGINE_KERNELS": "reference"}  # for the processes that the tests start
    arguments = ["-q", "-p", "no:cacheprovider", "--ignore=tests/cuda_on_cpu", "tests"]
    run = subprocess.run(
        [sys.executable, "-c", BLOCKED, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
    assert " passed" in run.stdout.splitlines()[-1]
