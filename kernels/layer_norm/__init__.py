"""Layer normalisation over the last axis (Ba, Kiros and Hinton 2016, equation 3).

    y = (x − mean) · rstd ⊙ w + b        rstd = 1 / √(var + eps), var with divisor N

Shapes: x, y ``(M, N)``; w, b ``(N,)`` or None; mean, rstd ``(M,)``. All arrays are of one dtype.
"""

from typing import Any

from ..dispatch import select


def forward(x: Any, w: Any = None, b: Any = None, *, eps: float = 1e-5) -> tuple[Any, Any, Any]:
    """Returns ``(y, mean, rstd)``; the backward reads x, mean and rstd."""
    return select(__name__, x).forward(x, w, b, eps=eps)


def backward(
    dy: Any,
    x: Any,
    w: Any,
    mean: Any,
    rstd: Any,
    *,
    dx: Any = None,
    dw: Any = None,
    db: Any = None,
    accumulate: tuple[bool, bool, bool] = (False, False, False),
) -> None:
    """Writes the gradients that are asked for, by array: those left None are not computed.

    With x̂ = (x − mean)·rstd and d = dY ⊙ w (means over N, sums over M):

        dX = rstd · (d − mean(d) − x̂ · mean(d ⊙ x̂))        dw = Σ dY ⊙ x̂        db = Σ dY

    ``accumulate`` says for (dx, dw, db) whether to add to what the array holds instead of overwriting it.
    """
    select(__name__, dy).backward(dy, x, w, mean, rstd, dx=dx, dw=dw, db=db, accumulate=accumulate)
