"""The moving average: a difference, the share, a product and a sum, a rounding each."""

import numpy as np
import pytest

from gdengine.kernels.moving_average import cuda, reference

from . import U, assert_within, case, normal, unaligned, wide


@case
def update() -> None:
    for size, wrap in ((1, np.copy), (1030, np.copy), (26_007, np.copy), (103, unaligned)):
        average, x = wrap(normal(size)), wrap(normal(size, seed=1))
        exact, bound = wide(average), 8 * U * 0.125 * (np.abs(wide(average)) + np.abs(wide(x)))
        reference.update(exact, wide(x), decay=0.875)
        cuda.update(average, x, decay=0.875)
        assert_within(average, exact, bound, f"{size}")


@case
def arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="the shape"):
        cuda.update(normal(6), normal(5), decay=0.5)
