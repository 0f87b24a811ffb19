"""e^x for float32, inside loops that vectorise.

Numba has no vectorised exp or tanh: 2.5 and 20 ns an element, against 0.24 for this one.
"""

import math

import numpy as np
from llvmlite import ir
from numba import float32, int32
from numba.extending import intrinsic

from .jit import strict

ONE = np.float32(1)
ZERO = np.float32(0)
INFINITY = np.float32(math.inf)

# Beyond these e^x becomes 0 and inf. (In float32 it leaves the normal numbers at −87.34, and overflows at 88.72.)
LOWEST, HIGHEST = np.float32(-87.3), np.float32(88.3)

LOG2E = np.float32(1 / math.log(2))
SHIFT = np.float32(1.5 * 2**23)  # x + SHIFT is x rounded to a whole number, which stands in the lowest bits
LN2_HIGH = np.float32(355 / 512)  # 9 bits: its product with n is exact
LN2_LOW = np.float32(math.log(2) - 355 / 512)

# e^r ≈ 1 + r + r²·(C0 + C1·r + … + C4·r⁴) for |r| ≤ ln(2)/2: a fit of least greatest relative error, 3e-9.
C4, C3, C2, C1, C0 = (np.float32(c) for c in (1.3814540e-3, 8.3687452e-3, 4.1668391e-2, 1.6666520e-1, 4.9999993e-1))


@strict  # reordered sums would undo the rounding to n, and x − n·ln 2 in two steps
def fexp(x):
    """e^x within 1.01 units in the last place: 2ⁿ·e^r with n = x/ln 2 rounded (Cody and Waite 1980). NaN stays NaN."""
    shifted = x * LOG2E + SHIFT
    n = shifted - SHIFT
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    p = ((((C4 * r + C3) * r + C2) * r + C1) * r + C0) * (r * r) + r + ONE
    power = float_of(int32(int32(bits_of(shifted) << int32(23)) + int32(0x3F800000)))  # 2ⁿ, by its exponent
    result = p * power
    if x < LOWEST:
        result = ZERO
    if x > HIGHEST:
        result = INFINITY
    return result


@intrinsic
def bits_of(typing_context, x):
    """The bits of a float32, as int32."""

    def build(context, builder, signature, args):
        return builder.bitcast(args[0], ir.IntType(32))

    return int32(float32), build


@intrinsic
def float_of(typing_context, x):
    """The float32 that has the bits of an int32."""

    def build(context, builder, signature, args):
        return builder.bitcast(args[0], ir.FloatType())

    return float32(int32), build
