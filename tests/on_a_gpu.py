"""All that wants a GPU, one command, in an order in which the first failure says most.

    python -m tests.on_a_gpu                       # everything, about half an hour
    python -m tests.on_a_gpu kernels device        # some of it, where a call may not take that long

kernels     every kernel against its reference, the wrappers of PTX first; then twice, for the same bits
device      models, optimizers, precision, graphs and the trainer, on the GPU in the place of its stand-in
memcheck, racecheck, initcheck, synccheck
            every kernel under NVIDIA's checker
check       whether every benchmark works
benchmarks  the benchmarks themselves, about seven minutes

Each has a time limit, and goes on after a failure. Ends with a line for each; the exit status is that of the worst.
Needs pytest, and what gdengine needs; PyTorch for what is compared with it, compute-sanitizer for the checkers.
"""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = "addopts=-ra --strict-markers --import-mode=importlib"  # one process for the one GPU, without pytest-xdist
PYTEST = (sys.executable, "-m", "pytest", "-q", "-o", OPTIONS, "-m", "gpu", "--durations=10")
KERNELS = "tests/cuda_on_cpu/test_on_a_gpu.py"
BENCHMARKS = (sys.executable, "-m", "benchmarks", "gpu")

STAGES: dict[str, tuple[tuple[str, ...], int]] = {  # the command, and the seconds that it may take
    "kernels": ((*PYTEST, "--maxfail=20", KERNELS, "-k", "not sanitizer"), 570),
    "device": ((*PYTEST, "--maxfail=20", "tests/device"), 570),
    **{
        tool: ((*PYTEST, f"{KERNELS}::test_compute_sanitizer[{tool}]"), 570)
        for tool in ("memcheck", "racecheck", "initcheck", "synccheck")
    },
    "check": ((*BENCHMARKS, "--check"), 300),
    "benchmarks": (BENCHMARKS, 570),
}


def main(names: list[str]) -> int:
    """Run the stages of those names, all without any; the worst exit status."""
    if unknown := [name for name in names if name not in STAGES]:
        print(f"there is no stage {unknown[0]!r}; there are {', '.join(STAGES)}")
        return 2
    results = [(name, *run(*STAGES[name])) for name in names or STAGES]
    print()
    for name, status, seconds in results:
        print(f"{name:12}{'passed' if status == 0 else f'FAILED ({status})':16}{seconds:6.0f} s")
    return max(status for _, status, _ in results)


def run(command: tuple[str, ...], limit: int) -> tuple[int, float]:
    """Run a command: its exit status (124: it took longer than ``limit`` seconds), and how long it took."""
    print(f"\n$ {' '.join(command)}", flush=True)
    start = time.monotonic()
    try:
        status = subprocess.run(command, cwd=ROOT, timeout=limit, check=False).returncode
    except subprocess.TimeoutExpired:
        status = 124
    return abs(status), time.monotonic() - start


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
