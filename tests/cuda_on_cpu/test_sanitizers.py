"""The cases again, under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer.

They run in processes of their own with the sanitizer's runtime preloaded and BLAS at one thread. Only the kernels are
instrumented. ThreadSanitizer knows the fibers as threads and the emulated barriers as what orders them, so that it sees
a race whether or not the schedule lets it do harm. One schedule is enough; the random one, since a race can hide where
the same thread always comes last.
"""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from . import cases

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("emulator")]

ROOT = Path(__file__).resolve().parents[2]
RUNTIMES = {"address": "libasan.so", "undefined": "libubsan.so", "thread": "libtsan.so"}
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:exitcode=66",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "GDENGINE_KERNELS": "reference",
    "GDENGINE_NUM_THREADS": "1",
}
LONG = ("attention", "linear", "linear_cross_entropy")
REST = sorted({name.split(".")[0] for name in cases.load()}.difference(LONG))
# In parts that pytest's workers share: each begins a process, so the operations that take little go together.
GROUPS = [*((operation,) for operation in LONG), *(tuple(REST[start::3]) for start in range(3))]
RUNS = [(sanitizer, group) for sanitizer in ("address", "undefined", "thread") for group in GROUPS]
PROBE = """
import numpy as np
from tests.cuda_on_cpu.emulator import launch
launch("tests/cuda_on_cpu/samples/faults.cu", "{kernel}", (2,), (64,), [np.zeros(128, np.float32)], schedule="greedy")
print("ended")
"""


def sanitized(sanitizer: str, *arguments: str, seconds: float) -> subprocess.CompletedProcess:
    """Python with ``arguments``, the sanitizer preloaded."""
    runtime = subprocess.run(
        ["g++", f"-print-file-name={RUNTIMES[sanitizer]}"], capture_output=True, text=True, check=True
    ).stdout.strip()
    environment = {**os.environ, **OPTIONS, "LD_PRELOAD": runtime, "CUDA_ON_CPU_SANITIZER": sanitizer}
    environment["PYTHONPATH"] = str(ROOT)
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


@cache
def why_not(sanitizer: str) -> str:
    """Why the machine cannot run under that sanitizer; empty when it can."""
    try:
        done = sanitized(sanitizer, "-c", PROBE.format(kernel="correct"), seconds=120)
    except subprocess.TimeoutExpired:
        return f"a correct kernel does not end within two minutes under the {sanitizer} sanitizer"
    if done.returncode or "ended" not in done.stdout:
        return f"a correct kernel fails under the {sanitizer} sanitizer here: {(done.stdout + done.stderr)[-600:]}"
    return ""


@pytest.mark.parametrize(
    ("sanitizer", "operations"), RUNS, ids=lambda names: names if isinstance(names, str) else " ".join(names)
)
def test_cases(sanitizer, operations):
    if reason := why_not(sanitizer):
        pytest.skip(reason)
    names = [name for name in sorted(cases.load()) if name.split(".")[0] in operations]
    # without capture, so that the sanitizer's report comes through
    options = ("-q", "-x", "-s", "-n", "0", "-p", "no:cacheprovider")
    tests = [f"tests/cuda_on_cpu/test_kernels.py::test_case[{name}-random]" for name in names]
    done = sanitized(sanitizer, "-m", "pytest", *options, *tests, seconds=1800)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    assert f"{len(names)} passed" in done.stdout


@pytest.mark.parametrize(
    ("sanitizer", "kernel", "message"),
    [
        ("address", "past_shared", "heap-buffer-overflow"),
        ("undefined", "misaligned", "misaligned address"),
        ("thread", "lost_barrier", "data race"),
        ("thread", "blocks_share", "data race"),
    ],
)
def test_a_sanitizer_sees_what_it_is_for(sanitizer, kernel, message):
    if reason := why_not(sanitizer):
        pytest.skip(reason)
    done = sanitized(sanitizer, "-c", PROBE.format(kernel=kernel), seconds=120)
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
