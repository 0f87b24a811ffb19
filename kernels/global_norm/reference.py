"""The sum of squares in plain NumPy: the specification."""

import numpy as np


def sum_of_squares(g):
    wide = g.astype(np.float64, copy=False)
    with np.errstate(over="ignore"):  # float64 can overflow: the caller sees inf
        return float(np.sum(wide * wide))
