"""The bits of a matrix product depend on gdengine's number of threads, not on the host program's."""

import numpy as np
import pytest

import gdengine as gd
from gdengine.kernels.common import blas


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_host_programs_number_of_threads_changes_nothing(dtype):
    library = blas.find()
    if library is None:
        pytest.skip("NumPy is linked with no library whose number of threads gdengine sets")
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(301, 700)).astype(dtype), rng.normal(size=(700, 257)).astype(dtype)
    before, results = library.get_num_threads(), []
    try:
        for number in (1, 2, 3):
            library.set_num_threads(number)
            x = gd.tensor(a, requires_grad=True)
            y = x @ b
            y.backward(np.ones(y.shape, dtype))
            results.append((y.detach().numpy(), x.grad.numpy()))
            assert library.get_num_threads() == number
    finally:
        library.set_num_threads(before)
    for y, dx in results[1:]:
        np.testing.assert_array_equal(y, results[0][0])
        np.testing.assert_array_equal(dx, results[0][1])
