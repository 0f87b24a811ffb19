"""The CPU kernels' toolbox: BLAS and its threads, the cache, the pieces, exp."""

import ctypes
import os
import sys

import numpy as np
import pytest

from gdengine.kernels import linear

pytestmark = pytest.mark.usefixtures("fused")


def x_and_w():
    rng = np.random.default_rng(0)
    return rng.normal(size=(300, 64)).astype(np.float32), rng.normal(size=(200, 64)).astype(np.float32)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_host_program_keeps_its_number_of_blas_threads(number):
    from gdengine.kernels.common import blas

    library = blas.find()
    if library is None:
        pytest.skip("NumPy is linked with no library that kernels call themselves")
    before = library.get_num_threads()
    library.set_num_threads(number)
    try:
        linear.forward(*x_and_w())
        assert library.get_num_threads() == number
    finally:
        library.set_num_threads(before)


def test_where_kernels_share_numpys_blas_it_has_one_thread_inside_and_its_own_again_after_an_error(monkeypatch):
    from gdengine.kernels.common import blas
    from gdengine.kernels.linear import cpu

    library = blas.find()
    if library is None:
        pytest.skip("NumPy is linked with no library that kernels call themselves")
    before, inside = library.get_num_threads(), []

    def fail(*args):
        inside.append(library.get_num_threads())
        raise RuntimeError("on purpose")

    monkeypatch.setattr(cpu._forward, "_run", fail)
    monkeypatch.setattr(cpu._forward, "_sets_threads", True)
    library.set_num_threads(2)
    try:
        with pytest.raises(RuntimeError, match="on purpose"):
            linear.forward(*x_and_w())
        assert inside == [1]
        assert library.get_num_threads() == 2
    finally:
        library.set_num_threads(before)


def test_kernels_have_a_blas_of_their_own_with_one_thread():

    from gdengine.kernels.common import blas

    library = blas.find()
    if library is None:
        pytest.skip("NumPy is linked with no library that kernels call themselves")
    if not sys.platform.startswith("linux") or os.environ.get("GDENGINE_BLAS") == "shared":
        pytest.skip("a copy is made on Linux only, and where the user did not say no")
    copy, before = blas.for_kernels(), library.get_num_threads()
    assert not blas.is_shared()
    library.set_num_threads(2)
    try:
        assert copy.get_num_threads() == 1
        copy.set_num_threads(1)
        assert library.get_num_threads() == 2
    finally:
        library.set_num_threads(before)


def test_a_copy_reads_its_settings_and_leaves_the_programs_own(monkeypatch):

    import llvmlite.binding

    from gdengine.kernels.common import blas, blas_copy

    if blas.find() is None or blas.is_shared():
        pytest.skip("kernels have no copy of a BLAS here")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.setattr(blas_copy, "CORES", {llvmlite.binding.get_host_cpu_name(): "Zen"})
    if blas.find().core in ("SkylakeX", "Haswell", "Zen", "Cooperlake", "Sapphirerapids"):  # a processor with AVX2
        assert blas._usable(blas_copy.load(blas.find().sgemm)).core in ("Zen", "Haswell")
    assert os.environ["OPENBLAS_NUM_THREADS"] == "2"
    assert "OPENBLAS_CORETYPE" not in os.environ


@pytest.mark.parametrize("why", ["asked", "no memory files", "may not be executed"])
def test_without_a_copy_kernels_share_numpys_blas(why, monkeypatch):

    from gdengine.kernels.common import blas, blas_copy

    if blas.find() is None:
        pytest.skip("NumPy is linked with no library that kernels call themselves")
    monkeypatch.setattr(blas, "for_kernels", blas.for_kernels.__wrapped__)
    if why == "asked":
        monkeypatch.setenv("GDENGINE_BLAS", "shared")
    elif why == "no memory files":
        monkeypatch.delattr(os, "memfd_create", raising=False)
    else:
        monkeypatch.setattr(blas_copy, "_path", lambda function: os.devnull)  # an empty file cannot be loaded
    assert blas.for_kernels() is blas.find()
    assert blas.is_shared.__wrapped__()


def product(wrong=None):
    """A matrix product with the arguments of cblas_sgemm; wrong in one way where asked."""

    def matrix(address, rows, columns, stride):
        if rows == 0 or columns == 0:
            return np.zeros((rows, columns), np.float32)
        memory = (ctypes.c_float * ((rows - 1) * stride + columns)).from_address(address)
        flat = np.frombuffer(memory, np.float32)
        return np.lib.stride_tricks.as_strided(flat, (rows, columns), (4 * stride, 4))

    def sgemm(order, left, right, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        first = matrix(a, k, m, lda).T if left == 112 else matrix(a, m, k, lda)
        second = matrix(b, n, k, ldb).T if right == 112 and wrong != "transpose" else matrix(b, k, n, ldb)
        out = matrix(c, m, n, ldc)
        if wrong == "beta":
            out[...] = alpha * first @ second + beta * out
        else:
            out[...] = alpha * first @ second + (beta * out if beta else 0)

    return sgemm


def test_a_blas_is_tried_before_it_is_trusted():
    from gdengine.kernels.common.blas import _multiplies

    assert _multiplies(product())
    assert not _multiplies(product(wrong="beta"))  # 0 · NaN is NaN: it must not read what it overwrites


def test_every_file_that_kernels_are_compiled_from_is_in_their_stamp():

    from numba.core.dispatcher import Dispatcher

    from gdengine.kernels.common.cache import COMPILED
    from tests.kernels.walk import OPERATIONS, module

    for operation in OPERATIONS:
        module(operation, "cpu")
    prefix = "gdengine.kernels.common."
    used = {
        value.py_func.__module__
        for name, of in sys.modules.items()
        if name.startswith("gdengine.kernels.") and of is not None
        for value in vars(of).values()
        if isinstance(value, Dispatcher)
    }
    assert {name.removeprefix(prefix) for name in used if name.startswith(prefix)} <= set(COMPILED)


def test_the_cache_goes_where_it_can(tmp_path, monkeypatch):
    from gdengine.kernels.common import cache

    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setattr(cache, "_places", lambda: iter([blocked / "below", tmp_path / "free" / "below"]))
    assert cache.folder.__wrapped__() == tmp_path / "free" / "below"
    monkeypatch.setattr(cache, "_places", lambda: iter([blocked / "below"]))
    assert cache.folder.__wrapped__() is None


def test_a_folder_among_the_temporary_ones_must_be_ours_alone(tmp_path):
    from gdengine.kernels.common.cache import _is_private

    assert _is_private(tmp_path / "new")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    assert not _is_private(tmp_path / "open")
    (tmp_path / "link").symlink_to(tmp_path / "new")
    assert not _is_private(tmp_path / "link")


def test_a_kernel_runs_and_is_announced_without_a_cache(monkeypatch):
    from gdengine.kernels.common import cache, jit
    from gdengine.kernels.common.compiling import on_compile

    monkeypatch.setattr(cache, "folder", lambda: None)

    def _halve(t, nt, x):
        for i in range(x.size):
            x[i] /= 2

    announced = []
    stop = on_compile(announced.append)
    x = np.ones(3, np.float32)
    jit.parallel(_halve)(1, x)
    stop()
    assert np.array_equal(x, [0.5, 0.5, 0.5])
    assert announced == ["kernels.halve"]
    jit.parallel(_halve)(1, x)
    assert len(announced) == 1


def test_pieces_cover_everything_once():
    from gdengine.kernels.common.pieces import region, split

    for n in (0, 1, 15, 16, 17, 100, 1000):
        for nt in (1, 2, 3, 8, 100):
            covered = [i for t in range(nt) for i in range(*split(n, t, nt))]
            assert covered == list(range(n))
            for columns in (0, 1, 20, 3000):
                cells = np.zeros((n, columns), int)
                for t in range(nt):
                    r0, r1, c0, c1 = region(n, columns, t, nt)
                    cells[r0:r1, c0:c1] += 1
                assert (cells == 1).all()


def test_exp_is_within_its_bound():
    from gdengine.kernels.common.exp import HIGHEST, LOWEST, fexp
    from gdengine.kernels.common.jit import parallel

    def _exp(t, nt, x, y):
        for i in range(x.size):
            y[i] = fexp(x[i])

    kernel = parallel(_exp)
    x = np.linspace(LOWEST, HIGHEST, 1_000_001, dtype=np.float32)
    y = np.empty_like(x)
    kernel(1, x, y)
    exact = np.exp(x.astype(np.float64))
    # Half a unit by the last rounding; a quarter by that of r = x − n·ln 2, which is at most 0.35; the rest by the
    # polynomial's own, all taken where e^r is just below 1 and the unit is 2⁻²⁴.
    assert np.max(np.abs(y - exact) / np.spacing(exact.astype(np.float32))) <= 1.01

    special = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1e9, -1e9, 3e38, -3e38], np.float32)
    y = np.empty_like(special)
    kernel(1, special, y)
    assert np.array_equal(y, np.array([np.nan, np.inf, 0, 1, 1, np.inf, 0, np.inf, 0], np.float32), equal_nan=True)
