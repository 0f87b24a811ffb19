"""Two-dimensional convolution (cross-correlation, as every framework has it), and its gradients.

    Y[n, o, y, x] = b[o] + Σ_c Σ_i Σ_j W[o, c, i, j] · X[n, c', y·s_y + i·d_y − top, x·s_x + j·d_x − left]

with X zero outside of itself. With ``groups`` > 1, output channel o reads the C/groups input channels of its own group:
c' = (o // (O/groups)) · C/groups + c.

Shapes: X ``(N, C, H, W)``, W ``(O, C/groups, KH, KW)``, b ``(O,)``, Y ``(N, O, OH, OW)``. All arrays are of one dtype,
but for bfloat16, where dW and db are float32. How the windows lie is a `Geometry`.

Forward and both gradients are matrix products over the columns of X, ``(C/groups·KH·KW, N·OH·OW)`` (Chellapilla, Puri
and Simard 2006), of which a bounded part stands in memory at a time.
"""

from typing import Any

from ..dispatch import select
from .geometry import Geometry

__all__ = ["Geometry", "backward_input", "backward_weight", "forward"]


def forward(x: Any, w: Any, b: Any = None, *, geometry: Geometry) -> Any:
    """Y, a new array."""
    return select(__name__, x).forward(x, w, b, geometry=geometry)


def backward_input(
    dy: Any, w: Any, x_shape: tuple[int, ...], *, geometry: Geometry, out: Any = None, accumulate: bool = False
) -> Any:
    """dX[n, c, ·, ·] = Σ over the windows that hold the element of W · dY, or dX += that where ``accumulate``.

    Writes into ``out`` where given; returns dX, of ``x_shape``. (A transposed convolution's forward.)
    """
    return select(__name__, dy).backward_input(dy, w, x_shape, geometry=geometry, out=out, accumulate=accumulate)


def backward_weight(
    dy: Any,
    x: Any,
    w_shape: tuple[int, ...],
    *,
    geometry: Geometry,
    out: Any = None,
    accumulate: bool = False,
    db: Any = None,
    accumulate_db: bool = False,
) -> Any:
    """dW[o, c, i, j] = Σ_n,y,x dY[n, o, y, x] · X[n, c', …], or dW += that where ``accumulate``.

    Writes into ``out`` where given; returns dW, of ``w_shape``. Where ``db`` is given, db = Σ_n,y,x dY, or db += that
    where ``accumulate_db``, in the same pass.
    """
    return select(__name__, dy).backward_weight(
        dy, x, w_shape, geometry=geometry, out=out, accumulate=accumulate, db=db, accumulate_db=accumulate_db
    )
