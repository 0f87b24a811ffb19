"""How kernels are compiled and run.

A kernel is written as a worker ``(t, nt, …)`` that does piece ``t`` of ``nt``; `parallel` makes a kernel of it, to be
compiled at its first call. The pieces depend on the number of threads asked for, never on how many happen to be free,
so that this number alone fixes the bits.

Once a kernel has run on several threads, a forked child that runs one is killed (by GNU OpenMP): start processes with
"spawn".
"""

import os
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
from numba import njit

from ..threads import get_num_threads
from . import malloc
from .cache import attach, title
from .launch import launch, prepared
from .parts import PartCompiler

# What reductions need to vectorise: a row of layer_norm takes 1.84 ns an element without, 0.25 ns with them. Not nnan
# and ninf: NaN must stay NaN. Not arcp: the estimate of 1/x that then replaces divisions makes NaN of 1/inf.
FAST = {"reassoc", "contract", "nsz"}
STRICT = {"contract"}

_PART = {"nogil": True, "error_model": "numpy", "pipeline_class": PartCompiler}
_PART |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # nothing but kernels calls a part

# One kernel at a time: Numba's workqueue layer kills the process when two Python threads enter. Re-entrant: a signal
# handler may run a kernel between two lines in here.
LOCK = threading.RLock()


class _Masked(threading.local):
    n = 0  # how many of Numba's threads regions of this Python thread use; 0 before the first


_masked = _Masked()


def jit(function: Callable) -> Callable:
    """Compile a part of a worker: sums may be reordered."""
    return njit(fastmath=FAST, forceinline=True, **_PART)(function)


def strict(function: Callable) -> Callable:
    """Compile a part of a worker whose accuracy hangs on the order of its operations."""
    return njit(fastmath=STRICT, forceinline=True, **_PART)(function)


def exact(function: Callable) -> Callable:
    """Compile a part of a worker that rounds nothing: its bits cannot differ, and it need not be inlined."""
    return njit(**_PART)(function)


def parallel(worker: Callable) -> "Kernel":
    """Make a kernel of ``worker(t, nt, …)``."""
    return Kernel(worker)


def in_stages(worker: Callable) -> "Kernel":
    """Make a kernel of ``worker(t, nt, stage, …)``, whose pieces all end a stage before any begins the next.

    ``kernel(pieces, first, stop, …)`` runs the stages first … stop − 1. One call from Python in place of several: 5 to
    10 µs each, where many a small kernel takes 20.
    """
    return Kernel(worker, staged=True)


class Kernel:
    """``kernel(pieces, …)`` runs ``worker(t, pieces, …)`` for every t, on the threads there are."""

    def __init__(self, worker: Callable, staged: bool = False) -> None:
        prepare()
        piece = jit(worker)

        def run(pieces, *args):
            function, data = prepared(piece, args)
            launch(pieces, function, data)

        def run_stages(pieces, first, stop, *args):
            for stage in range(first, stop):
                function, data = prepared(piece, (stage, *args))
                launch(pieces, function, data)

        if staged:
            run = run_stages
        # Compiled code is known by this name: kernels cached by different processes must not share one.
        run.__qualname__ = f"run.{title(worker)}"
        self._run = njit(nogil=True, error_model="numpy")(run)
        attach(self._run, worker)

    def __call__(self, pieces: int, *args: Any) -> None:
        with LOCK:
            if _masked.n != (threads := get_num_threads()):
                _use_threads(threads)
            self._run(pieces, *args)


@cache
def prepare() -> None:
    """Set up the process, before Numba starts its threads.

    OpenMP is asked for first: it starts a region in 2 µs, Numba's workqueue in 120 to 170. Where no OpenMP library is
    found, Numba takes the next layer.

    Between regions a thread of GNU OpenMP spins for some milliseconds before it sleeps. On cores that others use too
    that is ruinous: a GPT step of 40 ms took 1,000. Sleeping at once costs 50 µs for each region. 10,000 turns, about
    200 µs, bridge the gaps that Python leaves between small kernels: an MLP's step took 0.47 ms with them, 0.67 to 0.78
    with 3,000, 0.47 with 100,000. With two other processes on the two cores, a GPT's step took 90 to 100 ms with them,
    71 to 75 with 3,000, up to 163 with 30,000.
    """
    malloc.keep_freed_memory()
    if "NUMBA_THREADING_LAYER_PRIORITY" not in os.environ:
        numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def _use_threads(n: int) -> None:
    """Let regions of this Python thread use ``n`` of Numba's threads, as far as there are so many.

    The first call starts them: kernels loaded from the cache are linked to what that brings in.
    """
    numba.set_num_threads(min(n, numba.config.NUMBA_NUM_THREADS))
    _masked.n = n
