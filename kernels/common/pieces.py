"""Into how many pieces work is cut, and which part of it a piece is."""

from ..threads import get_num_threads
from .jit import jit

# Less than this takes about as long as waking a thread.
ELEMENTS = 16_384
PRODUCTS = 262_144


def pieces(work: int, least: int = ELEMENTS) -> int:
    """How many pieces to cut ``work`` into: one for each thread, as long as a piece holds ``least``."""
    most = work // least
    return 1 if most < 2 else min(get_num_threads(), most)


@jit
def split(n, t, nt):
    """The part ``lo, hi`` of n that piece t of nt does: in multiples of 16, a cache line, where there is enough."""
    size = (n + nt - 1) // nt
    if size >= 16:
        size = (size + 15) // 16 * 16
    return min(n, t * size), min(n, (t + 1) * size)


@jit
def region(rows, columns, t, nt):
    """The part ``r0, r1, c0, c1`` of a matrix product that piece t does: whole rows, or whole columns.

    Every piece packs the other operand whole, so that the longer side is the one to cut: columns of 64 × 256 are a
    fifth faster than rows. Whole rows are better for what follows a product, and are taken up to 1 : 2.
    """
    if 2 * rows >= columns:
        r0, r1 = split(rows, t, nt)
        return r0, r1, 0, columns
    c0, c1 = split(columns, t, nt)
    return 0, rows, c0, c1
