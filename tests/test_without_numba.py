"""Without Numba, what the quick tests say of gdengine still holds, on the NumPy reference.

Left out is what does not depend on the kernels, or runs on the reference anyway: the tests of `tests/cuda_on_cpu` and
`tests/device` (device code and its stand-in), of `tests/data` and `tests/benchmarks`, and those which mostly start
processes of their own, draw, or say something of the sources (`ELSEWHERE`). A folder a time, for pytest's workers to
share.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BLOCKED = "import sys, pytest; sys.modules['numba'] = None; sys.exit(pytest.main(sys.argv[1:]))"
FOLDERS = ("functional", "kernels", "models", "nn", "optim", "training")
ELSEWHERE = (
    *("test_architecture.py", "test_docker.py", "test_examples.py", "test_on_a_gpu.py", "test_without_numba.py"),
    *("training/test_kill.py", "training/test_plots.py", "training/test_reports.py"),
)
ALONE = [path.name for path in sorted((ROOT / "tests").glob("test_*.py")) if path.name not in ELSEWHERE]
# half a minute on the reference, and the same on text is not left out
LONG = ("models/test_against_torch.py::test_a_gpt_of_4_layers_follows_pytorchs_losses[random]",)


@pytest.mark.slow
@pytest.mark.parametrize("parts", [*((folder,) for folder in FOLDERS), tuple(ALONE)], ids=[*FOLDERS, "the rest"])
def test_everything_passes_on_the_reference(parts):
    environment = {**os.environ, "GDENGINE_KERNELS": "reference"}  # for the processes that the tests start
    arguments = ["-q", "-n", "0", "-p", "no:cacheprovider"]
    arguments += [f"--ignore=tests/{name}" for name in ELSEWHERE] + [f"--deselect=tests/{name}" for name in LONG]
    arguments += [f"tests/{name}" for name in parts]
    run = subprocess.run(
        [sys.executable, "-c", BLOCKED, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
    assert " passed" in run.stdout.splitlines()[-1]
