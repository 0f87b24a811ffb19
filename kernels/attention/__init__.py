"""Scaled dot-product attention (Vaswani et al. 2017, equation 1), causal or full.

    S = scale · Q·Kᵀ        P = softmax(S)        O = dropout(P)·V

Shapes: q ``(B, H, T, D)``; k, v ``(B, H, S, D)``; o like q; P ``(B, H, T, S)``. The arrays may be strided views (q, k
and v cut from one packed buffer), as long as the last axis is contiguous. ``causal`` lets query i see keys 0…i only,
and wants T = S.
"""

from typing import Any

from ..dispatch import select

Dropout = tuple[float, tuple[int, int], int]  # (p, key, call): see the contract of `dropout`


def forward(
    q: Any, k: Any, v: Any, *, causal: bool, scale: float | None = None, dropout: Dropout | None = None
) -> tuple[Any, Any]:
    """Returns ``(o, saved)``: ``saved`` is for `backward` alone, and its form is the implementation's own affair.

    ``scale`` is 1/√D unless given. ``dropout`` is ``(p, key, call)``: entry P[b, h, t, s] is element
    ((b·H + h)·T + t)·S + s of that call, as in the contract of `gdengine.kernels.dropout`. The memory of ``o`` is laid
    out ``(B, T, H, D)``: swapping its axes 1 and 2 and joining the last two costs no copy.
    """
    if causal and q.shape[2] != k.shape[2]:
        raise ValueError(f"causal attention wants as many queries as keys, got q {q.shape} and k {k.shape}")
    return select(__name__, q).forward(q, k, v, causal=causal, scale=scale, dropout=dropout)


def backward(
    do: Any,
    q: Any,
    k: Any,
    v: Any,
    saved: Any,
    *,
    causal: bool,
    scale: float | None = None,
    dropout: Dropout | None = None,
    out: tuple[Any, Any, Any] | None = None,
) -> tuple[Any, Any, Any]:
    """The gradients ``(dq, dk, dv)``, overwriting the arrays (or strided views) of ``out`` where given.

    dV = dropout(P)ᵀ·dO        dP = dropout(dO·Vᵀ)        dS = P ⊙ (dP − Σ_s dP ⊙ P)
    dQ = scale · dS·K          dK = scale · dSᵀ·Q
    """
    return select(__name__, do).backward(do, q, k, v, saved, causal=causal, scale=scale, dropout=dropout, out=out)
