"""Cross-entropy of a language model's head, Z = X·Wᵀ + b, whose logits are never whole.

    loss[m] = log Σ_v exp(z[m, v]) − z[m, target[m]],    z[m] = X[m]·Wᵀ + b

A head's logits are its largest array by far: 65,536 tokens of GPT-2's vocabulary are 13 GB in float32, where X is
0.2 and W 0.15. Here a chunk of rows goes through at a time: its logits, their losses, and where gradients are wanted
dZ over the logits in their place, from which dX, dW and db take their parts. Three products in all, as with whole
logits; dW and db are added to once more for each further chunk.

Shapes: X ``(M, K)``; W ``(V, K)``; b ``(V,)`` or None; targets ``(M,)`` of any integer dtype, in [0, V) or
``ignore_index``, whose rows have loss 0 and gradient 0: the caller has checked. All float arrays are of one dtype,
but for bfloat16, where losses, dlosses, dW and db are float32 and a chunk's logits bfloat16.

Chunks of ``rows`` rows, an implementation's own choice by default; the sums of dW and db have other bits with another.

Sources: Hsu et al. 2024, "Liger Kernel" (gradient in place of a chunk's logits, in the forward); Wijmans et al. 2024,
"Cut Your Losses in Large-Vocabulary Language Models" (logits that never are in memory at all).
"""

from typing import Any

from ..dispatch import select


def forward(x: Any, w: Any, targets: Any, b: Any = None, *, ignore_index: int = -100, rows: int | None = None) -> Any:
    """Returns the losses ``(M,)``."""
    return select(__name__, x).forward(x, w, targets, b, ignore_index=ignore_index, rows=rows)


def backward(
    dlosses: Any,
    x: Any,
    w: Any,
    targets: Any,
    b: Any = None,
    *,
    ignore_index: int = -100,
    dx: Any = None,
    dw: Any = None,
    db: Any = None,
    accumulate: tuple[bool, bool, bool] = (False, False, False),
    rows: int | None = None,
) -> Any:
    """The gradients of Σ dlosses ⊙ losses, and the losses, which are returned as `forward` returns them.

        dz[m, v] = dlosses[m] · (exp(z[m, v]) / Σ_u exp(z[m, u]) − [v = target[m]])
        dX = dZ·W        dW = dZᵀ·X        db = Σ_m dZ[m]

    Nothing of a forward is needed: who knows ``dlosses`` beforehand, 1/M for a mean, calls this alone. Writes into
    those of ``dx``, ``dw`` and ``db`` that are given, adding where ``accumulate`` (of dX, dW, db) says so.
    """
    return select(__name__, x).backward(
        dlosses, x, w, targets, b, ignore_index=ignore_index, dx=dx, dw=dw, db=db, accumulate=accumulate, rows=rows
    )
