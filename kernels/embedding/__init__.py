"""Rows of a table by index, and the gradient of the table.

Shapes: w ``(V, C)``; ids of any shape, any integer dtype, in [0, V) (the caller has checked); y ``(*ids.shape, C)``.
"""

from typing import Any

from ..dispatch import select


def forward(w: Any, ids: Any) -> Any:
    """y[i] = w[ids[i]]; a new array."""
    return select(__name__, w).forward(w, ids)


def backward(dy: Any, ids: Any, *, out: Any, accumulate: bool = False) -> Any:
    """dw[v] = Σ over i with ids[i] = v of dy[i], in ascending order of i: a fixed order, so the same bits every time.

    Writes into ``out`` ``(V, C)`` (adding where ``accumulate``), and returns it.
    """
    return select(__name__, dy).backward(dy, ids, out=out, accumulate=accumulate)
