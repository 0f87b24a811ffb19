"""Rows that are taken through a whole branch at once: what no two pieces share but the gradients of parameters.

A piece takes its own rows, a block of them at a time, from the first product to the last, so that what one pass writes
the next one reads from the core's own cache, and no piece waits for another in between. The gradients of parameters are
sums over all rows: the first piece adds into the caller's arrays, every other into a row of ``parts``, which are added
in the order of the pieces when all are done.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..threads import get_num_threads
from .arrays import NONE1, ready
from .jit import jit
from .pieces import PRODUCTS, split
from .rows import add, copy, fill
from .sgemm import at

BLOCK = 256  # rows at a time: those of a GPT of width 128 stay in a cache of 1 MB

# With fewer rows a piece, adding up the pieces' gradients, some ten operations' time an element, would no longer be
# small beside the products. (An estimate; what was measured had 384 and more.)
LEAST = 128


def row_pieces(units: int, rows: int, work: int) -> int:
    """Into how many pieces to cut ``units`` of so many ``rows`` each, ``work`` multiplications in all; 0 if better not.

    Better not where a piece would have few rows, or where one would have much more to do than another.
    """
    wanted = max(1, min(get_num_threads(), work // PRODUCTS))
    if wanted == 1:
        return 1
    if units * rows < wanted * LEAST or (rows > 1 and units % wanted and units < 4 * wanted):
        return 0
    return wanted


def ready_norm(norm: tuple[Any, Any], width: int) -> tuple[Any, Any]:
    """A layer norm's w and b, as kernels read them."""
    w, b = norm
    b = np.zeros(width, np.float32) if b is None else ready(b, (width,), "the norm's b")
    return ready(w, (width,), "the norm's w"), b


def ready_affine(affine: tuple[Any, Any], out: int, width: int) -> tuple[Any, Any]:
    """A linear map's w and b, as kernels read them."""
    w, b = affine
    return ready(w, (out, width), "w"), NONE1 if b is None else ready(b, (out,), "b")


def store_sums_of_nothing(out: Sequence[Any], accumulate: Sequence[bool]) -> None:
    """The gradients of parameters where there are no rows."""
    for array, add_to in zip(out, accumulate, strict=True):
        if array is not None and not add_to:
            array[...] = 0


@jit
def block_size(rows):
    """How many rows to take at a time: equal parts of at most `BLOCK`."""
    count = max(1, (rows + BLOCK - 1) // BLOCK)
    return max(1, (rows + count - 1) // count)


@jit
def matrix_place(t, out, parts, offset):
    """The address where piece t adds up the gradient of a matrix."""
    return at(out, 0, 0) if t == 0 else at(parts, t - 1, offset)


@jit
def vector_place(t, out, parts, offset):
    """Where piece t adds up the gradient of a vector."""
    return out if t == 0 else parts[t - 1][offset : offset + out.size]


@jit
def adds_up(t, later, accumulate):
    """Whether piece t adds to what its place holds: the sum of an earlier block, or what the caller wants kept."""
    return later or (t == 0 and accumulate)


@jit
def begin(rows, bias):
    """Each row = bias, or 0 without one: what a product is then added to."""
    for i in range(rows.shape[0]):
        if bias.size > 0:
            copy(rows[i], bias)
        else:
            fill(rows[i], 0)


@jit
def begin_with(rows, residual, bias):
    """Each row = residual + bias."""
    for i in range(rows.shape[0]):
        copy(rows[i], residual[i])
        if bias.size > 0:
            add(rows[i], bias)


@jit
def pass_on(dy, dx, accumulate):
    """dx = dy, or dx += dy where ``accumulate``: what reaches a branch's input past the branch."""
    for i in range(dy.shape[0]):
        if accumulate:
            add(dx[i], dy[i])
        else:
            copy(dx[i], dy[i])


@jit
def clear(total, keep):
    if not keep:
        fill(total, 0)


@jit
def gather(t, nt, out, parts, offset):
    """Piece t's part of out += Σ_s parts[s, offset : offset + out.size], one s after the other."""
    lo, hi = split(out.size, t, nt)
    for s in range(parts.shape[0]):
        add(out[lo:hi], parts[s][offset + lo : offset + hi])
