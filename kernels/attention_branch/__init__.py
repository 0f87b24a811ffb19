"""A branch of a transformer that is added to what it reads: Y = X + attention(norm(X)·Wᵀ + b)·Wₒᵀ + bₒ.

The norm is `gdengine.kernels.layer_norm`; the products are `gdengine.kernels.linear`, the first giving queries, keys
and values packed; between them is `gdengine.kernels.attention`, without dropout. In one pass, for the CPU, where a core
then keeps its sequences' rows in its own cache from the norm to the sum.

Shapes: X, Y ``(B, T, C)``; ``norm`` is ``(w, b)``, both ``(C,)``, b or None; ``qkv`` is ``(W, b)``, ``(3·C, C)`` and
``(3·C,)`` or None; ``proj`` is ``(Wₒ, bₒ)``, ``(C, C)`` and ``(C,)`` or None. All arrays are of one dtype.
"""

from typing import Any

from ..dispatch import select

Affine = tuple[Any, Any]
Gradients = tuple[Any, Any, Any, Any, Any, Any, Any]


def suits(x: Any, w: Any) -> bool:
    """Whether there is an implementation that is faster than the operations one after the other, for this X and W."""
    implementation = select(__name__, x)
    return hasattr(implementation, "suits") and implementation.suits(x, w)


def forward(
    x: Any, norm: Affine, qkv: Affine, proj: Affine, *, n_head: int, causal: bool = True, eps: float = 1e-5
) -> tuple[Any, Any]:
    """Returns ``(y, saved)``; ``saved`` is for `backward` alone. n_head divides C."""
    return select(__name__, x).forward(x, norm, qkv, proj, n_head=n_head, causal=causal, eps=eps)


def backward(
    dy: Any,
    x: Any,
    saved: Any,
    norm: Affine,
    qkv: Affine,
    proj: Affine,
    *,
    n_head: int,
    causal: bool = True,
    out: Gradients,
    accumulate: tuple[bool, ...] = (False,) * 7,
) -> None:
    """All gradients, into ``out``: of X, the norm's w and b, W, b, Wₒ, bₒ; None for one that is not asked for.

    ``accumulate`` says for each whether to add to what the array holds. The arrays are apart from each other.
    """
    select(__name__, dy).backward(
        dy, x, saved, norm, qkv, proj, n_head=n_head, causal=causal, out=out, accumulate=accumulate
    )
