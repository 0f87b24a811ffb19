"""What depends on how a process starts: without Numba or a usable BLAS, with cold and warm caches, with threads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

DIGEST = """
import hashlib
import json
import numpy as np
from gdengine.kernels import adamw, attention, cross_entropy, dispatch, dropout, layer_norm, linear, threads
threads.set_num_threads(2)

def numbers(*shape):
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)

def digest(*arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()
"""


def run(code, **environment):
    """What ``code`` prints as JSON in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GDENGINE_", "OMP_", "NUMBA_"))}
    done = subprocess.run(
        [sys.executable, "-c", DIGEST + code],
        cwd=ROOT,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


FUNCTIONS = """
x, w, b = numbers(70, 33), numbers(40, 33), numbers(40)
z, saved = linear.forward(x, w, b, activation="gelu")
losses, lse = cross_entropy.forward(z, np.arange(70) % 40)
q = numbers(2, 3, 70, 8)
o, _ = attention.forward(q, q, q, causal=True, dropout=(0.1, (1, 2), 3))
y, mean, rstd = layer_norm.forward(z)
theta, m, v = numbers(50), numbers(50), numbers(50) ** 2
adamw.step(theta, numbers(50), m, v, lr=0.1, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, step=2)
results = [z, saved, losses, lse, o, y, mean, rstd, theta, m, v, dropout.forward(x, 0.5, (1, 2), 3)]
"""


@pytest.mark.parametrize(
    ("begin", "environment", "reason"),
    [
        ("import sys; sys.modules['numba'] = None", {}, "Numba cannot be imported"),
        ("", {"GDENGINE_KERNELS": "reference"}, "GDENGINE_KERNELS=reference"),
        ("", {"NUMBA_DISABLE_JIT": "1"}, "NUMBA_DISABLE_JIT"),
    ],
)
def test_the_reference_serves_and_the_reason_is_said(begin, environment, reason):
    why, finite = run(
        f"{begin}\n{FUNCTIONS}\n"
        "print(json.dumps([dispatch.why_reference(), all(bool(np.isfinite(r).all()) for r in results)]))",
        **environment,
    )
    assert reason in why
    assert finite


def test_an_unknown_choice_is_an_error():
    message = run(
        "try:\n    dispatch.choice()\nexcept ValueError as error:\n    print(json.dumps(str(error)))",
        GDENGINE_KERNELS="fast",
    )
    assert message == "GDENGINE_KERNELS is 'fast'; it must be one of fused, reference"


def test_the_first_run_has_the_bits_of_the_next(fused, tmp_path):
    code = """
from gdengine.kernels.common.compiling import on_compile
compiled = []
on_compile(compiled.append)
q = numbers(2, 3, 70, 8)  # sums that the compiler may reorder, here and in the rows of the loss
o, saved = attention.forward(q, q, q, causal=True, dropout=(0.1, (1, 2), 3))
losses, lse = cross_entropy.forward(numbers(70, 99), np.arange(70))
print(json.dumps([len(compiled), digest(o, losses, lse)]))
"""
    (cold, first), (warm, second) = (run(code, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2))
    assert (cold, warm) == (3, 0)  # attention, the loss, and the matrix product
    assert first == second


TOGETHER = """
import threading
x, w = numbers(300, 65), numbers(200, 65)
expected = digest(linear.forward(x, w, activation="gelu")[0], *layer_norm.forward(x))
found = set()

def work():
    for _ in range(30):
        found.add(digest(linear.forward(x, w, activation="gelu")[0], *layer_norm.forward(x)))

workers = [threading.Thread(target=work) for _ in range(3)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
import numba
print(json.dumps([found == {expected}, numba.threading_layer()]))
"""


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_python_threads_may_compute_at_once(fused, layer):
    # The workqueue layer kills the process when two threads enter it, unless something keeps them apart.
    if layer == "omp":
        pytest.importorskip("numba.np.ufunc.omppool", reason="there is no OpenMP library", exc_type=ImportError)
    assert run(TOGETHER, NUMBA_THREADING_LAYER=layer) == [True, layer]


@pytest.mark.parametrize("environment", [{}, {"GDENGINE_MALLOPT": "0"}])
def test_malloc_is_told_to_keep_memory_unless_asked_not_to(environment):
    code = "from gdengine.kernels.common.malloc import keep_freed_memory as keep\nimport platform\n"
    kept, libc = run(code + "print(json.dumps([keep(), platform.libc_ver()[0]]))", **environment)
    assert kept == (libc == "glibc" and not environment)
