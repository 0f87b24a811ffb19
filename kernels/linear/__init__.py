"""The affine map Y = X·Wᵀ + b, with an activation or a residual in the same pass, and its gradients.

Shapes: X ``(M, K)``, W ``(N, K)`` (out, in), b ``(N,)``, Y and ``residual`` ``(M, N)``. All arrays are of
one dtype, but for bfloat16, where dW and db are float32: they go into g, and their sums are float32 anyway.
"""

from typing import Any

from ..dispatch import select

ACTIVATIONS = (None, "relu", "gelu")


def forward(x: Any, w: Any, b: Any = None, *, activation: str | None = None, residual: Any = None) -> tuple[Any, Any]:
    """Y = act(X·Wᵀ + b) + residual.

    Returns ``(y, saved)``. ``saved`` is what `backward_activation` reads: the values before the activation for
    ``"gelu"`` (the tanh form), ``y`` itself for ``"relu"``, None without activation. An activation and a residual do
    not go together.
    """
    if activation is not None and residual is not None:
        raise ValueError("linear.forward takes an activation or a residual, not both")
    return select(__name__, x).forward(x, w, b, activation=activation, residual=residual)


def backward_activation(dy: Any, saved: Any, activation: str) -> Any:
    """dZ = dY ⊙ act'(Z), with Z = X·Wᵀ + b the values before the activation; a new array."""
    return select(__name__, dy).backward_activation(dy, saved, activation)


def backward_input(
    dy: Any, w: Any, *, activation: str | None = None, saved: Any = None, out: Any = None, accumulate: bool = False
) -> Any:
    """dX = dY·W, or dX += dY·W where ``accumulate``. Writes into ``out`` where given; returns dX.

    With ``activation``, X was act(U) and ``saved`` ``(M, K)`` is what the forward that made it saved (U for ``"gelu"``,
    X for ``"relu"``): dU = (dY·W) ⊙ act'(U) is computed instead, in the same pass. ``out`` is then other memory than
    ``saved``.
    """
    if (activation is None) != (saved is None):
        raise ValueError(
            "linear.backward_input goes back through an activation with what its forward saved: "
            f"give both or neither, got activation={activation!r} and saved {'None' if saved is None else saved.shape}"
        )
    return select(__name__, dy).backward_input(
        dy, w, activation=activation, saved=saved, out=out, accumulate=accumulate
    )


def backward_weight(
    dy: Any, x: Any, *, out: Any = None, accumulate: bool = False, db: Any = None, accumulate_db: bool = False
) -> Any:
    """dW = dYᵀ·X, or dW += dYᵀ·X where ``accumulate``. Writes into ``out`` where given; returns dW ``(N, K)``.

    Where ``db`` ``(N,)`` is given, db = Σ_m dY[m], or db += Σ_m dY[m] where ``accumulate_db``, in the same pass.
    """
    return select(__name__, dy).backward_weight(
        dy, x, out=out, accumulate=accumulate, db=db, accumulate_db=accumulate_db
    )


def backward_bias(dy: Any, *, out: Any = None, accumulate: bool = False) -> Any:
    """db = Σ_m dY[m], or db += Σ_m dY[m] where ``accumulate``. Writes into ``out`` where given; returns db ``(N,)``."""
    return select(__name__, dy).backward_bias(dy, out=out, accumulate=accumulate)


def backward(
    dy: Any,
    x: Any,
    w: Any,
    *,
    activation: str | None = None,
    saved: Any = None,
    below: str | None = None,
    below_saved: Any = None,
    dx: Any = None,
    dw: Any = None,
    db: Any = None,
    accumulate: tuple[bool, bool, bool] = (False, False, False),
) -> None:
    """All gradients of Y = act(X·Wᵀ + b): dZ as `backward_activation`, then dX = dZ·W, dW = dZᵀ·X, db = Σ_m dZ[m].

    Writes those of ``dx``, ``dw`` and ``db`` that are given, adding where ``accumulate`` (of dX, dW, db) says so; the
    three are apart from each other. ``saved`` is what `forward` returned. With ``below``, X was act(U) itself: dU is
    computed in place of dX, from ``below_saved``, as `backward_input` does. x may be None without dw, and w without dx.
    """
    if (activation is None) != (saved is None) or (below is None) != (below_saved is None):
        raise ValueError("linear.backward wants an activation and what its forward saved, or neither")
    select(__name__, dy).backward(
        *(dy, x, w),
        activation=activation,
        saved=saved,
        below=below,
        below_saved=below_saved,
        dx=dx,
        dw=dw,
        db=db,
        accumulate=accumulate,
    )
