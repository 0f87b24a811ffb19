"""Root mean square normalisation over the last axis (Zhang and Sennrich 2019, equation 4).

    y = x · rstd ⊙ w        rstd = 1 / √(mean(x²) + eps)

Shapes: x, y ``(M, N)``; w ``(N,)`` or None; rstd ``(M,)``. All arrays are of one dtype, but for bfloat16, where rstd
and dw are float32.
"""

from typing import Any

from ..dispatch import select


def forward(x: Any, w: Any = None, *, eps: float = 1e-6) -> tuple[Any, Any]:
    """Returns ``(y, rstd)``; the backward reads x and rstd."""
    return select(__name__, x).forward(x, w, eps=eps)


def backward(
    dy: Any,
    x: Any,
    w: Any,
    rstd: Any,
    *,
    dx: Any = None,
    dw: Any = None,
    accumulate: tuple[bool, bool] = (False, False),
) -> None:
    """Writes the gradients that are asked for, by array: those left None are not computed.

    With x̂ = x·rstd and d = dY ⊙ w (the mean over N, the sum over M):

        dX = rstd · (d − x̂ · mean(d ⊙ x̂))        dw = Σ dY ⊙ x̂

    ``accumulate`` says for (dx, dw) whether to add to what the array holds instead of overwriting it.
    """
    select(__name__, dy).backward(dy, x, w, rstd, dx=dx, dw=dw, accumulate=accumulate)
