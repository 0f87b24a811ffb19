"""The CPU kernels' toolbox: BLAS and its threads, the cache, the pieces, exp."""

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
        pytest.skip("NumPy is linked with no library whose number of threads can be asked")
    before = library.get_num_threads()
    library.set_num_threads(number)
    try:
        linear.forward(*x_and_w())
        assert library.get_num_threads() == number
    finally:
        library.set_num_threads(before)


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
    from numba import njit

    from gdengine.kernels.common import pieces

    split = njit(lambda n, t, nt: pieces.split(n, t, nt))
    region = njit(lambda rows, columns, t, nt: pieces.region(rows, columns, t, nt))
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
